//! A terminal of a simulated world: one request at a time, and what was not answered is cleared up before
//! anything else. It keeps its own books, of what it saw.

use bytes::BytesMut;

use super::Finding;
use super::rates::Rates;
use crate::base::{BatchNumber, Fate, Moment, Stan, TerminalId};
use crate::binding::AccountKind;
use crate::iso8583::{Books, DeclineCode, Dialect, Index, Message, Mti, ResponseCode};
use crate::sim::message::{Earlier, Identity, LocalTime, Phrases, Place};

/// What became of a request, as the terminal sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InDoubt,
    Approved,
    Declined,
    Reversed,
}

/// One line of its books.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) minor: u64,
    pub(super) sign: i64,
    pub(super) state: State,
    pub(super) stan: Stan,
    /// Terminal and number of the sale or pre-authorisation that it follows.
    pub(super) follows: Option<(TerminalId, Stan)>,
    /// Whose money it is when it follows nothing.
    pub(super) paid: AccountKind,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing is unanswered.
    Nothing,
    /// A request is out.
    Asking,
    /// A request that was answered before is out once more.
    AskingAgain,
    /// A reversal is out, or is to be sent.
    Reversing,
}

/// What was asked last.
#[derive(Clone, Debug)]
struct Asked {
    frame: BytesMut,
    answer: Mti,
    place: Place,
    minor: u64,
    fate: Fate,
    /// What the terminal can do with it later.
    opens: Opens,
    tries: u32,
    first_code: Option<ResponseCode>,
}

/// What an approved request is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opens {
    Nothing,
    /// A void, and refunds.
    Sale,
    /// One completion.
    Authorisation,
}

/// What it does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Sends this frame, and waits.
    Send(BytesMut),
    /// Rests.
    Rest,
    /// Has done all it was asked to.
    Done,
}

/// What an answer changed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing: it answers a copy of what has had its answer, and comes late.
    Late,
    /// It acts at once.
    AtOnce,
    /// It rests before it acts.
    Rest,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) who: Identity,
    pub(super) rows: Vec<Row>,
    /// Number of its connection; `None` when it has none.
    pub(super) session: Option<u64>,
    /// When what it waits for counts as unanswered.
    pub(super) deadline: Moment,
    doing: Doing,
    asked: Option<Asked>,
    last_sale: Option<Earlier>,
    last_authorisation: Option<Earlier>,
    /// Requests and reversals (`true`) sent over this connection and not answered, by their STAN.
    unheard: Vec<(bool, Stan)>,
    stan: Stan,
    left: u32,
    /// Draws which sales are paid with a wallet, where its shop takes them.
    wallets: Option<fastrand::Rng>,
}

impl Terminal {
    pub(super) fn new(who: Identity, requests: u32, wallets: Option<fastrand::Rng>) -> Self {
        Self {
            who,
            rows: Vec::new(),
            session: None,
            deadline: Moment::default(),
            doing: Doing::Nothing,
            asked: None,
            last_sale: None,
            last_authorisation: None,
            unheard: Vec::new(),
            stan: Stan::FIRST,
            left: requests,
            wallets,
        }
    }

    /// What a request of its was paid with.
    pub(super) fn paid(&self, stan: Stan) -> AccountKind {
        let mut of = self.rows.iter().rev().filter(|row| row.stan == stan);
        of.next().map_or(AccountKind::BankCard, |row| row.paid)
    }

    pub(super) const fn is_done(&self) -> bool {
        self.left == 0 && matches!(self.doing, Doing::Nothing)
    }

    /// The last sale that it saw approved, and did not void or refund itself since.
    pub(super) const fn last_sale(&self) -> Option<Earlier> {
        self.last_sale
    }

    pub(super) const fn waits(&self) -> bool {
        !matches!(self.doing, Doing::Nothing)
    }

    /// Its turn: nothing came until the deadline, or it has nothing to do.
    pub(super) fn act(
        &mut self,
        phrases: &Phrases,
        rates: &Rates,
        now: LocalTime,
        elsewhere: Option<(TerminalId, &Earlier)>,
        random: &mut fastrand::Rng,
    ) -> Result<Next, Finding> {
        match self.doing {
            Doing::Nothing if self.left == 0 => Ok(Next::Done),
            Doing::Nothing => self
                .ask(phrases, rates, now, elsewhere, random)
                .map(Next::Send),
            Doing::Asking => self.unanswered(phrases, rates, random).map(Next::Send),
            // The first answer holds.
            Doing::AskingAgain => {
                self.doing = Doing::Nothing;
                Ok(Next::Rest)
            }
            Doing::Reversing => self.reversal(phrases).map(Next::Send),
        }
    }

    fn ask(
        &mut self,
        phrases: &Phrases,
        rates: &Rates,
        now: LocalTime,
        elsewhere: Option<(TerminalId, &Earlier)>,
        random: &mut fastrand::Rng,
    ) -> Result<BytesMut, Finding> {
        self.left -= 1;
        self.stan = self.stan.next();
        let place = Place {
            batch: BatchNumber::FIRST,
            stan: self.stan,
        };
        let mut frame = BytesMut::new();
        let minor = random.u64(1..100_000);
        let mut opens = Opens::Nothing;
        let mut left = self.last_sale;
        let own = self.who.terminal;
        let mut follows = None;
        let mut paid = AccountKind::BankCard;
        let made = match &self.last_sale {
            _ if let Some(authorisation) = &self.last_authorisation
                && rates.completes.hits(random) =>
            {
                // For less is usual, for a tip more is right, for half as much again is not.
                let minor = random.u64(1..=authorisation.minor + authorisation.minor / 2);
                let of = Earlier {
                    minor,
                    ..*authorisation
                };
                if !rates.completes_again.hits(random) {
                    self.last_authorisation = None;
                }
                follows = Some((own, of.place.stan));
                phrases.completion(&mut frame, self.who, place, &of, now)
            }
            _ if rates.authorises.hits(random) => {
                opens = Opens::Authorisation;
                phrases.pre_authorisation(&mut frame, self.who, place, minor, now)
            }
            _ if let Some((other, sale)) = elsewhere
                && rates.refunds_elsewhere.hits(random) =>
            {
                follows = Some((other, sale.place.stan));
                phrases.refund(&mut frame, self.who, place, sale, now)
            }
            Some(sale) if rates.voids.hits(random) => {
                left = None;
                follows = Some((own, sale.place.stan));
                phrases.void(&mut frame, self.who, place, sale, now)
            }
            Some(sale) if rates.refunds.hits(random) => {
                // In parts, each of which may be the last.
                let minor = if rates.refunds_parts.hits(random) {
                    random.u64(1..=sale.minor)
                } else {
                    sale.minor
                };
                let rest = sale.minor - minor;
                left = (rest > 0).then_some(Earlier {
                    minor: rest,
                    ..*sale
                });
                let part = Earlier { minor, ..*sale };
                follows = Some((own, sale.place.stan));
                phrases.refund(&mut frame, self.who, place, &part, now)
            }
            Some(_) | None => {
                opens = Opens::Sale;
                if self.wallets.as_mut().is_some_and(fastrand::Rng::bool) {
                    paid = AccountKind::WeChat;
                    phrases.sale_by_code(&mut frame, self.who, place, minor, now)
                } else {
                    phrases.sale(&mut frame, self.who, place, minor, now)
                }
            }
        };
        made.map_err(|_unwritable| Finding::Unusable)?;
        self.last_sale = left;
        let dialect = phrases.dialect();
        let mut index = Index::new();
        let message = message_of(dialect, &frame, &mut index)?;
        let request = dialect.classify(&message).ok_or(Finding::Unusable)?;
        let minor = message.amount().map_or(0, |amount| amount.minor);
        self.rows.push(Row {
            minor,
            sign: match request.books {
                Books::Debit => 1,
                Books::Credit => -1,
                Books::None => 0,
            },
            state: State::InDoubt,
            stan: self.stan,
            follows,
            paid,
        });
        self.asked = Some(Asked {
            answer: message.mti().answer(),
            place: Place {
                batch: message.batch().unwrap_or_default(),
                stan: self.stan,
            },
            minor,
            fate: request.fate,
            opens,
            tries: 1,
            first_code: None,
            frame: frame.clone(),
        });
        self.doing = Doing::Asking;
        Ok(frame)
    }

    /// Nothing came: what is repeated is repeated, what is reversed may be repeated once before.
    fn unanswered(
        &mut self,
        phrases: &Phrases,
        rates: &Rates,
        random: &mut fastrand::Rng,
    ) -> Result<BytesMut, Finding> {
        let asked = self.asked.as_mut().ok_or(Finding::Unusable)?;
        let again = match asked.fate {
            Fate::Reverse => asked.tries < 3 && rates.repeats.hits(random),
            Fate::Repeat | Fate::Expire => true,
        };
        asked.tries += 1;
        if again {
            return Ok(asked.frame.clone());
        }
        self.doing = Doing::Reversing;
        self.reversal(phrases)
    }

    fn reversal(&self, phrases: &Phrases) -> Result<BytesMut, Finding> {
        let asked = self.asked.as_ref().ok_or(Finding::Unusable)?;
        let mut frame = BytesMut::new();
        let prefix = phrases.dialect().framing().prefix_bytes();
        let original = asked.frame.get(prefix..).unwrap_or_default();
        let reason = ResponseCode::new(*b"98");
        phrases
            .reversal(&mut frame, original, reason, false)
            .map_err(|_unwritable| Finding::Unusable)?;
        Ok(frame)
    }

    /// What it has to say goes out over its connection, or over a new one.
    pub(super) fn sends(&mut self, dials: bool) {
        if dials {
            self.unheard.clear();
        }
        if let Some(asked) = &self.asked {
            let what = (self.doing == Doing::Reversing, asked.place.stan);
            self.unheard.push(what);
        }
    }

    /// An answer arrives on its connection.
    pub(super) fn on_answer(
        &mut self,
        dialect: &Dialect,
        message: &Message<'_>,
        rates: &Rates,
        random: &mut fastrand::Rng,
    ) -> Result<Heard, Finding> {
        let stan = message.stan().ok_or(Finding::Unusable)?;
        if message.terminal() != Some(self.who.terminal) {
            return Err(Finding::ForeignAnswer { stan });
        }
        let Some(asked) = self.asked.clone() else {
            return Err(Finding::ForeignAnswer { stan });
        };
        let code = message.response_code().ok_or(Finding::Unusable)?;
        let is_reversal = message.mti().class_key() & 0x0f == 4;
        let of = |sent: &(bool, Stan)| *sent == (is_reversal, stan);
        let Some(sent) = self.unheard.iter().position(of) else {
            return Err(Finding::ForeignAnswer { stan });
        };
        self.unheard.remove(sent);
        if stan != asked.place.stan {
            return Ok(Heard::Late);
        }
        match self.doing {
            Doing::Reversing if is_reversal => {
                if dialect.acknowledges_reversal(code) {
                    self.settle(State::Reversed);
                    return Ok(Heard::Rest);
                }
                // Terminals clear a reversal on an acknowledgement only.
                Err(Finding::ReversalRefused { code })
            }
            Doing::Asking | Doing::AskingAgain if !is_reversal => {
                if message.mti() != asked.answer {
                    return Err(Finding::ForeignAnswer { stan });
                }
                if message
                    .amount()
                    .is_some_and(|amount| amount.minor != asked.minor)
                {
                    return Err(Finding::ForeignAnswer { stan });
                }
                if self.doing == Doing::AskingAgain {
                    self.doing = Doing::Nothing;
                    return match asked.first_code {
                        Some(first) if first != code => Err(Finding::AnswerChanged {
                            stan,
                            first,
                            then: code,
                        }),
                        _ => Ok(Heard::Rest),
                    };
                }
                if self.answered(dialect, message, code, rates, random) {
                    return Ok(Heard::AtOnce);
                }
                Ok(Heard::Rest)
            }
            // It has given up what this answers.
            Doing::Nothing | Doing::Asking | Doing::AskingAgain | Doing::Reversing => {
                Ok(Heard::Late)
            }
        }
    }

    fn answered(
        &mut self,
        dialect: &Dialect,
        message: &Message<'_>,
        code: ResponseCode,
        rates: &Rates,
        random: &mut fastrand::Rng,
    ) -> bool {
        let Some(asked) = self.asked.as_mut() else {
            return false;
        };
        asked.first_code = Some(code);
        if dialect.is_approval(code) {
            if asked.fate == Fate::Reverse && rates.reverses_approved.hits(random) {
                self.doing = Doing::Reversing;
                return true;
            }
            let (opens, place, minor) = (asked.opens, asked.place, asked.minor);
            self.settle(State::Approved);
            let rrn = message.rrn();
            let approval_code = message.approval_code();
            let earlier = Earlier {
                place,
                minor,
                rrn: rrn
                    .and_then(|rrn| rrn.as_ref().try_into().ok())
                    .unwrap_or([b' '; 12]),
                approval_code: approval_code
                    .and_then(|code| code.as_ref().try_into().ok())
                    .unwrap_or([b' '; 6]),
            };
            match opens {
                Opens::Sale => self.last_sale = Some(earlier),
                Opens::Authorisation => self.last_authorisation = Some(earlier),
                Opens::Nothing => {}
            }
            return self.asks_again(rates, random);
        }
        let unknown = code == dialect.decline(DeclineCode::NoAnswer)
            || (asked.tries > 1 && code == dialect.decline(DeclineCode::InProgress));
        // A repeat refused as undone or as a duplicate leaves it open what became of the first.
        // What is repeated until it is answered was not undone by anybody: its refusal is its answer.
        let undone =
            asked.fate == Fate::Reverse && code == dialect.decline(DeclineCode::InvalidTransaction);
        let duplicate = code == dialect.decline(DeclineCode::Duplicate);
        let in_doubt = asked.tries > 1 && (undone || duplicate);
        if unknown || in_doubt {
            match asked.fate {
                Fate::Reverse => self.doing = Doing::Reversing,
                Fate::Repeat | Fate::Expire => {}
            }
            return asked_again_at_once(self.doing);
        }
        self.settle(State::Declined);
        // What the gateway itself declined it may take when it comes again; the host's word holds.
        code == ResponseCode::new(*b"51") && self.asks_again(rates, random)
    }

    fn asks_again(&mut self, rates: &Rates, random: &mut fastrand::Rng) -> bool {
        if rates.repeats_answered.hits(random) {
            self.doing = Doing::AskingAgain;
        }
        false
    }

    /// The request to be sent once more after its answer came.
    pub(super) fn again(&self) -> Option<BytesMut> {
        let asked = self.asked.as_ref()?;
        (self.doing == Doing::AskingAgain).then(|| asked.frame.clone())
    }

    fn settle(&mut self, state: State) {
        self.doing = Doing::Nothing;
        if let Some(row) = self.rows.last_mut() {
            row.state = state;
        }
    }

    /// What stands in its favour: how many, and their sum.
    pub(super) fn stands(&self) -> (u64, i64) {
        self.rows
            .iter()
            .filter(|row| row.state == State::Approved && row.sign != 0)
            .fold((0, 0), |(count, net), row| {
                let minor = i64::try_from(row.minor).unwrap_or(i64::MAX);
                (count + 1, net + row.sign * minor)
            })
    }
}

/// A reversal goes out at once, a repeat after a rest.
const fn asked_again_at_once(doing: Doing) -> bool {
    matches!(doing, Doing::Reversing)
}

/// The message in a frame with its length prefix.
pub(super) fn message_of<'m>(
    dialect: &'m Dialect,
    frame: &'m [u8],
    index: &'m mut Index,
) -> Result<Message<'m>, Finding> {
    let bytes = frame.get(dialect.framing().prefix_bytes()..);
    bytes
        .and_then(|bytes| dialect.decode(bytes, index).ok())
        .ok_or(Finding::Unusable)
}
