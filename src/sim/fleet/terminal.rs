//! How one terminal behaves: sign on, trade, and clear up what was not answered before anything else.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::line::{Answer, Asked, Exchange, Line};
use super::{Member, Shared};
use crate::base::{BatchNumber, Fate, Stan};
use crate::iso8583::{DeclineCode, EncodeError, Index, ResponseCode};
use crate::sim::ledger::{Row, State};
use crate::sim::message::{Earlier, LocalTime, Place};
use crate::sim::time::local_time;
use crate::sim::transport::Target;

/// A terminal and its memory, the part that survives a lost connection.
#[derive(Debug)]
pub(super) struct Terminal {
    shared: Arc<Shared>,
    member: Member,
    target: Target,
    random: fastrand::Rng,
    line: Option<Line>,
    failed_dials: u32,
    signed_on: bool,
    place: Place,
    /// Kept before the request is sent, dropped when an acceptable answer came.
    owed: Option<Owed>,
    last_sale: Option<Earlier>,
}

/// What must be cleared up before the next request.
#[derive(Clone, Debug)]
struct Owed {
    original: BytesMut,
    asked: Asked,
    place: Place,
    how: Redress,
    tries: u32,
}

/// How an unanswered request is cleared up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Redress {
    /// A reversal undoes it.
    Reverse,
    /// It is sent again until answered.
    Repeat,
}

/// What a terminal may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Business {
    Sale { minor: u64 },
    Balance,
    Void,
    Refund,
}

/// Pause after signing on was declined: real terminals wait for a person.
const DECLINED_PAUSE: Duration = Duration::from_millis(500);
/// Pause between tries of a reversal that is answered, but not acknowledged, or of a repeat that is still in doubt.
const RESEND_PAUSE: Duration = Duration::from_millis(300);
/// First pause after a failed connection; it doubles up to 32 times as much.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);

impl Terminal {
    pub(super) fn new(shared: Arc<Shared>, member: Member, number: usize) -> Self {
        let settings = &shared.settings;
        let number = u64::try_from(number).unwrap_or_default();
        // Multiplied apart, so that neighbouring seeds do not give neighbouring terminals the same draws.
        let seed = settings.seed.wrapping_mul(1_000_003).wrapping_add(number);
        let target = Target {
            tls: settings
                .target
                .tls
                .as_ref()
                .map(|tls| tls.with_own_sessions()),
            ..settings.target.clone()
        };
        Self {
            random: fastrand::Rng::with_seed(seed),
            member,
            target,
            line: None,
            failed_dials: 0,
            signed_on: false,
            place: Place {
                batch: BatchNumber::FIRST,
                stan: Stan::FIRST,
            },
            owed: None,
            last_sale: None,
            shared,
        }
    }

    /// Trades until the fleet stops, and then until nothing is owed.
    pub(super) async fn run(mut self) {
        loop {
            if let Some(owed) = self.owed.take() {
                self.clear_up(owed).await;
                continue;
            }
            if self.shared.stop.is_cancelled() {
                break;
            }
            if self.slot().await && self.connected().await {
                if self.signed_on {
                    self.trade().await;
                } else {
                    self.sign_on().await;
                }
            }
        }
        if let Some(line) = self.line.take() {
            line.close().await;
        }
    }

    /// Waits for the terminal's turn. False when the fleet stops first.
    async fn slot(&self) -> bool {
        let now = self.shared.settings.clock.now();
        let slot = self.shared.slots.take(now);
        self.pause(slot.since(now)).await
    }

    /// Waits. False when the fleet stops first.
    async fn pause(&self, time: Duration) -> bool {
        if time.is_zero() {
            return true;
        }
        tokio::select! {
            () = self.shared.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Makes sure that there is a connection. False after a pause when none could be made.
    async fn connected(&mut self) -> bool {
        if let Some(line) = &mut self.line
            && line.is_open().await
        {
            return true;
        }
        let terminal = self.member.identity.terminal;
        match Line::connect(&self.shared, &self.target, terminal).await {
            Ok(line) => {
                self.line = Some(line);
                self.failed_dials = 0;
                true
            }
            Err(_refused) => {
                self.line = None;
                self.shared.tally().connect_failures += 1;
                let most = REDIAL_PAUSE * 2_u32.pow(self.failed_dials.min(5));
                self.failed_dials = self.failed_dials.saturating_add(1);
                tokio::time::sleep(self.jittered(most)).await;
                false
            }
        }
    }

    /// Between half of a time and all of it.
    fn jittered(&mut self, time: Duration) -> Duration {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.u64(micros / 2..=micros))
    }

    fn now(&self) -> LocalTime {
        local_time(self.shared.settings.clock.wall())
    }

    fn next_place(&mut self) -> Place {
        self.place.stan = self.place.stan.next();
        self.place
    }

    async fn sign_on(&mut self) {
        let at = self.next_place();
        let mut frame = BytesMut::new();
        let phrases = &self.shared.phrases;
        let made = phrases.sign_on(&mut frame, self.member.identity, at, self.now());
        let Some((asked, _, _)) = made.ok().and_then(|()| self.plan(&frame)) else {
            self.shared.tally().unusable += 1;
            self.pause(DECLINED_PAUSE).await;
            return;
        };
        match self.exchange(&frame, asked).await {
            Exchange::Answered(answer) if self.shared.phrases.signs_on(answer.code) => {
                self.shared.tally().signed_on += 1;
                self.signed_on = true;
                self.place.batch = answer.batch.unwrap_or_default();
            }
            Exchange::Answered(answer) => {
                self.count_decline(answer.code);
                self.pause(DECLINED_PAUSE).await;
            }
            Exchange::Silent | Exchange::Broken => {}
        }
    }

    async fn trade(&mut self) {
        let business = self.choose();
        let at = self.next_place();
        let mut frame = BytesMut::new();
        let made = self.write(&mut frame, business, at);
        let Some((asked, row, fate)) = made.ok().and_then(|()| self.plan(&frame)) else {
            self.shared.tally().unusable += 1;
            self.pause(DECLINED_PAUSE).await;
            return;
        };
        self.keep(&frame, asked, row, fate);
        self.shared.tally().sent += 1;
        let clock = Arc::clone(&self.shared.settings.clock);
        let began = clock.now();
        let mut repeated = false;
        let mut exchange = self.exchange(&frame, asked).await;
        if !matches!(exchange, Exchange::Answered(_)) && self.repeats_now().await {
            self.shared.tally().repeats += 1;
            repeated = true;
            exchange = self.exchange(&frame, asked).await;
        }
        if let Exchange::Answered(answer) = exchange {
            let micros = clock.now().since(began).as_micros();
            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
            self.shared.tally().latency.saturating_record(micros);
            self.accept(business, at, answer, repeated, row.minor);
        }
        self.count_in_doubt();
    }

    fn choose(&mut self) -> Business {
        let mix = self.shared.settings.mix;
        let can_undo = self.last_sale.is_some();
        if mix.balance.hits(&mut self.random) {
            Business::Balance
        } else if can_undo && mix.void.hits(&mut self.random) {
            Business::Void
        } else if can_undo && mix.refund.hits(&mut self.random) {
            Business::Refund
        } else {
            let minor = self.random.u64(self.shared.settings.amounts.clone());
            Business::Sale { minor }
        }
    }

    fn write(&self, out: &mut BytesMut, business: Business, at: Place) -> Result<(), EncodeError> {
        let (who, now) = (self.member.identity, self.now());
        let phrases = &self.shared.phrases;
        match (business, &self.last_sale) {
            (Business::Sale { minor }, _) => phrases.sale(out, who, at, minor, now),
            (Business::Void, Some(sale)) => phrases.void(out, who, at, sale, now),
            (Business::Refund, Some(sale)) => phrases.refund(out, who, at, sale, now),
            (Business::Balance, _) | (Business::Void | Business::Refund, None) => {
                phrases.balance(out, who, at, now)
            }
        }
    }

    /// Reads back what was written: what its answer must repeat, how it is booked, and what is to be done
    /// when nothing comes. The dialect says the same to the host, so both book alike.
    fn plan(&self, frame: &[u8]) -> Option<(Asked, Row, Fate)> {
        let dialect = &self.shared.settings.dialect;
        let mut index = Index::new();
        let message = frame.get(dialect.framing().prefix_bytes()..)?;
        let message = dialect.decode(message, &mut index).ok()?;
        let request = dialect.classify(&message)?;
        let minor = message.amount().map(|amount| amount.minor);
        let asked = Asked {
            answer: message.mti().answer(),
            stan: message.stan()?,
            minor,
        };
        let row = Row {
            merchant: self.member.identity.merchant,
            batch: message.batch().unwrap_or_default(),
            stan: asked.stan,
            kind: request.kind,
            books: request.books,
            minor: minor.unwrap_or_default(),
            state: State::InDoubt,
        };
        Some((asked, row, request.fate))
    }

    /// Keeps what would clear the request up, before it is sent.
    fn keep(&mut self, frame: &BytesMut, asked: Asked, row: Row, fate: Fate) {
        let how = match fate {
            Fate::Reverse => Redress::Reverse,
            Fate::Repeat => Redress::Repeat,
            Fate::Expire => return,
        };
        let terminal = self.member.identity.terminal;
        self.shared.ledger().book(terminal, row);
        self.owed = Some(Owed {
            original: frame.clone(),
            asked,
            place: Place {
                batch: row.batch,
                stan: row.stan,
            },
            how,
            tries: 0,
        });
    }

    /// Whether the terminal repeats an unanswered request now rather than reverse it.
    async fn repeats_now(&mut self) -> bool {
        self.shared.settings.repeats.hits(&mut self.random) && self.connected().await
    }

    /// Takes the answer to a request.
    fn accept(
        &mut self,
        business: Business,
        at: Place,
        answer: Answer,
        repeated: bool,
        minor: u64,
    ) {
        if self.approves(answer.code) {
            self.settle(State::Approved);
            let mut tally = self.shared.tally();
            tally.approved += 1;
            tally.unexpected += u64::from(self.member.declined_with.is_some());
            drop(tally);
            self.last_sale = match business {
                Business::Sale { .. } => Some(Earlier {
                    place: at,
                    minor,
                    rrn: answer.rrn,
                    approval_code: answer.approval_code,
                }),
                Business::Balance => self.last_sale,
                Business::Void | Business::Refund => None,
            };
            return;
        }
        self.count_decline(answer.code);
        let dialect = &self.shared.settings.dialect;
        if answer.code == dialect.decline(DeclineCode::NotSignedOn) {
            self.signed_on = false;
        }
        if self.leaves_doubt(answer.code, repeated) {
            return;
        }
        self.settle(State::Declined);
        if matches!(business, Business::Void | Business::Refund) {
            self.last_sale = None;
        }
    }

    /// Codes that do not say whether money moved. A repeat answered "duplicate" says it of the first try.
    fn leaves_doubt(&self, code: ResponseCode, repeated: bool) -> bool {
        let dialect = &self.shared.settings.dialect;
        let too_late = [ResponseCode::new(*b"98"), ResponseCode::new(*b"68")];
        code == dialect.decline(DeclineCode::NoAnswer)
            || too_late.contains(&code)
            || (repeated && code == dialect.decline(DeclineCode::Duplicate))
    }

    fn approves(&self, code: ResponseCode) -> bool {
        self.shared.settings.dialect.is_approval(code)
    }

    /// The fate of what is owed is known: nothing more to clear up.
    fn settle(&mut self, state: State) {
        if let Some(owed) = self.owed.take() {
            let terminal = self.member.identity.terminal;
            let Place { batch, stan } = owed.place;
            self.shared.ledger().settle(terminal, (batch, stan), state);
        }
    }

    fn count_decline(&self, code: ResponseCode) {
        let mut tally = self.shared.tally();
        let due = self.member.declined_with;
        tally.unexpected += u64::from(due.is_some_and(|due| due != code));
        *tally.declined.entry((self.member.role, code)).or_default() += 1;
    }

    fn count_in_doubt(&self) {
        if self.owed.is_some() {
            self.shared.tally().in_doubt += 1;
        }
    }

    /// One try to clear up what is owed, before anything else is sent.
    async fn clear_up(&mut self, mut owed: Owed) {
        if !self.connected().await {
            self.owed = Some(owed);
            return;
        }
        owed.tries += 1;
        let (done, state) = match owed.how {
            Redress::Reverse => (self.reverse(&owed).await, State::Reversed),
            Redress::Repeat => self.repeat(&owed).await,
        };
        let given_up = !done && owed.tries >= self.shared.settings.reversal_tries;
        if done || given_up {
            let mut tally = self.shared.tally();
            tally.in_doubt = tally.in_doubt.saturating_sub(u64::from(done));
            tally.reversals_given_up += u64::from(given_up);
        }
        self.owed = Some(owed);
        if done {
            self.settle(state);
        } else if given_up {
            // As real terminals do: the record goes, a slip is printed, and a person must look.
            self.owed = None;
        }
    }

    /// True when the reversal was acknowledged.
    async fn reverse(&mut self, owed: &Owed) -> bool {
        let shared = Arc::clone(&self.shared);
        let rules = shared.settings.dialect.reversal();
        let mut frame = BytesMut::new();
        let prefix = shared.settings.dialect.framing().prefix_bytes();
        let original = owed.original.get(prefix..).unwrap_or_default();
        let repeated = owed.tries > 1;
        let made = shared
            .phrases
            .reversal(&mut frame, original, rules.timeout, repeated);
        if made.is_err() {
            self.shared.tally().unusable += 1;
            return false;
        }
        self.shared.tally().reversals_sent += 1;
        let mti = if repeated {
            rules.repeat_mti
        } else {
            rules.mti
        };
        let asked = Asked {
            answer: mti.answer(),
            ..owed.asked
        };
        match self.exchange(&frame, asked).await {
            Exchange::Answered(answer) => {
                let done = shared.settings.dialect.acknowledges_reversal(answer.code);
                if done {
                    self.shared.tally().reversals_acknowledged += 1;
                } else {
                    self.count_decline(answer.code);
                    tokio::time::sleep(RESEND_PAUSE).await;
                }
                done
            }
            Exchange::Silent | Exchange::Broken => false,
        }
    }

    /// Whether a repeated notice was answered, and with what.
    async fn repeat(&mut self, owed: &Owed) -> (bool, State) {
        self.shared.tally().repeats += 1;
        match self.exchange(&owed.original, owed.asked).await {
            Exchange::Answered(answer) if self.approves(answer.code) => {
                self.shared.tally().approved += 1;
                (true, State::Approved)
            }
            Exchange::Answered(answer) => {
                self.count_decline(answer.code);
                let doubtful = self.leaves_doubt(answer.code, true);
                if doubtful {
                    tokio::time::sleep(RESEND_PAUSE).await;
                }
                (!doubtful, State::Declined)
            }
            Exchange::Silent | Exchange::Broken => (false, State::InDoubt),
        }
    }

    /// Sends a request over the connection there is, and gives the connection up when it broke.
    async fn exchange(&mut self, frame: &[u8], asked: Asked) -> Exchange {
        let exchange = match &mut self.line {
            Some(line) => line.exchange(frame, asked).await,
            None => Exchange::Broken,
        };
        match exchange {
            Exchange::Answered(_) => {}
            Exchange::Silent => self.shared.tally().unanswered += 1,
            Exchange::Broken => {
                self.line = None;
                let mut tally = self.shared.tally();
                tally.unanswered += 1;
                tally.broken += 1;
            }
        }
        exchange
    }
}
