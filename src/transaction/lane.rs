//! One terminal's lane: duplicates, one financial request at a time, reversals.
//!
//! ```text
//!            accept
//!              │
//!              ▼        answer          reversal
//!          IN_FLIGHT ───────────▶ APPROVED ────────┐
//!              │  │  └──────────▶ DECLINED         │
//!              │  │   no answer, or reversal       ▼          acknowledged
//!              │  └───────────────────────▶ REVERSAL_OWED ──────────────▶ REVERSED
//!              │  no answer, to be repeated               answer
//!              ├──────────────────────────▶ REPEAT_OWED ────────────────▶ APPROVED, DECLINED
//!              └──▶ EXPIRED  (moved no money)
//!
//!          REVERSAL_OWED, REPEAT_OWED ──sent as often as it may be──▶ PARKED ──reversal──▶ REVERSAL_OWED
//!                      ▲                                                │  │
//!                      └────────────────────resent──────────────────────┘  └──closed──▶ REVERSED
//!
//!          TOMBSTONE: a reversal came first; the original is declined when it arrives
//! ```
//!
//! | event | from | to | who |
//! |---|---|---|---|
//! | `accept` | nothing | in flight | terminal |
//! | `answered` | in flight | approved, declined | upstream |
//! | `unanswered` | in flight | reversal owed, repeat owed, expired | time, lost link |
//! | `answered` | repeat owed | approved, declined | upstream |
//! | `reverse` | in flight, approved, parked | reversal owed | terminal |
//! | `parked` | reversal owed, repeat owed | parked | the limit of attempts |
//! | `resent` | parked | reversal owed, repeat owed | a person |
//! | `closed` | parked | reversed | a person |
//! | `acknowledged` | reversal owed | reversed | upstream |
//!
//! Everything else leaves the state as it is: an answer to something no longer in flight is late, a
//! second reversal finds the first. A durable approval is undone by the terminal's reversal alone
//! (invariant 4): no event of time leads from approved to reversal owed.
//!
//! A lane remembers a few transactions; the store remembers the others. What a lane can say without the
//! store is bounded by [`Reach`]: a STAN above all that the batch has seen is new, one that is not has to
//! be looked up.

use std::collections::VecDeque;

use crate::base::clock::Moment;
use crate::base::{BatchNumber, BindingId, Fate, MaskedPan, MerchantId, Stan, TxnId};
use crate::iso8583::MatchKey;

/// Transactions a lane remembers, beside what is awaited or owed. A terminal has one request in flight and reverses
/// before it goes on; older originals are found in the read model.
const REMEMBERED: usize = 8;

/// Refusals a lane remembers.
const REFUSALS_REMEMBERED: usize = 64;

/// What became of a transaction so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Forwarded, or about to be.
    InFlight,
    /// The upstream approved.
    Approved {
        /// What is sent again when the request is repeated.
        answer: Remembered,
    },
    /// Declined by the upstream, or by us after it was accepted.
    Declined {
        /// What is sent again when the request is repeated.
        answer: Remembered,
    },
    /// It must be undone upstream.
    ReversalOwed,
    /// The upstream acknowledged that it is undone.
    Reversed,
    /// Not answered; it is sent again, with the same identity, until it is.
    RepeatOwed,
    /// What is owed for it was sent as often as it may be; a person decides, or the terminal reverses it.
    Parked,
    /// Not answered; nothing is owed.
    Expired,
    /// Never seen, but reversed already.
    Tombstone,
}

/// The answer a request got, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// The whole message as the terminal got it, without length prefix.
    Message(Box<[u8]>),
    /// What the store keeps of it: the rest is made from the repeated request.
    Kept {
        /// DE39.
        code: [u8; 2],
        /// Data elements as the journal keeps them.
        elements: Box<[u8]>,
    },
}

/// One remembered transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Number; a tombstone has none.
    pub number: Option<TxnId>,
    /// Binding that admitted it.
    pub binding: BindingId,
    /// Merchant it was for.
    pub merchant: MerchantId,
    /// Batch.
    pub batch: BatchNumber,
    /// Terminal's STAN.
    pub stan: Stan,
    /// STAN towards the upstream.
    pub upstream_stan: Stan,
    /// Position of the upstream group.
    pub group: usize,
    /// Key its answer is found by.
    pub match_key: MatchKey,
    /// Keyed hash of what makes two requests the same.
    pub content: u64,
    /// Amount it asked for, minor units.
    pub amount: u64,
    /// Its card, masked.
    pub card: MaskedPan,
    /// Whether something follows it (a void, a completion, a refund), or may for all the lane knows.
    pub followed: bool,
    /// What happens when its fate is unknown.
    pub fate: Fate,
    /// Until when its STAN means this request. Afterwards the same STAN is another request's.
    pub until: Moment,
    /// State.
    pub state: State,
}

impl Transaction {
    /// Whether something is still awaited or owed.
    const fn is_open(&self) -> bool {
        match self.state {
            State::InFlight | State::ReversalOwed | State::RepeatOwed | State::Parked => true,
            State::Approved { .. }
            | State::Declined { .. }
            | State::Reversed
            | State::Expired
            | State::Tombstone => false,
        }
    }

    fn reverse(&mut self) -> ReversalStep {
        let Some(number) = self.number else {
            return ReversalStep::Repeated;
        };
        match (&self.state, self.fate) {
            (State::ReversalOwed | State::Reversed | State::Tombstone, _) => ReversalStep::Repeated,
            (State::Declined { .. } | State::Expired, _) | (_, Fate::Expire) => {
                ReversalStep::NothingToUndo
            }
            (_, Fate::Repeat) => ReversalStep::NotReversible,
            (
                State::InFlight | State::Approved { .. } | State::Parked | State::RepeatOwed,
                Fate::Reverse,
            ) => {
                self.state = State::ReversalOwed;
                ReversalStep::Owe(number)
            }
        }
    }

    fn is_meant(&self, batch: BatchNumber, stan: Stan, merchant: Option<MerchantId>) -> bool {
        let agrees = merchant.is_none_or(|merchant| merchant == self.merchant);
        self.batch == batch && self.stan == stan && agrees
    }
}

/// A request that asks to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Binding that admits it.
    pub binding: BindingId,
    /// Batch it names, or the open one.
    pub batch: BatchNumber,
    /// STAN.
    pub stan: Stan,
    /// Keyed hash of what makes two requests the same.
    pub content: u64,
    /// Now.
    pub now: Moment,
}

/// Up to where a lane knows the STANs of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Binding.
    pub binding: BindingId,
    /// Batch.
    pub batch: BatchNumber,
    /// The highest STAN that the batch has seen; `None` for an empty batch.
    pub highest: Option<Stan>,
    /// Until when that counts, as [`Transaction::until`].
    pub until: Moment,
}

/// A request that was declined without being journalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    binding: BindingId,
    batch: BatchNumber,
    stan: Stan,
    content: u64,
    until: Moment,
    code: [u8; 2],
}

/// What a lane says to a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Never seen: journal and forward it.
    New,
    /// The same request is in flight: its answer serves both.
    Join(TxnId),
    /// The same request was answered: send this again.
    Again(Remembered),
    /// The same request was not answered yet and is being repeated by us: never forward it.
    Repeating(Option<TxnId>),
    /// The same request was undone, or will be: never forward it.
    Undone,
    /// The lane cannot tell: ask the store, [`Lane::learn`], and judge again with [`Lane::judge_looked_up`].
    LookUp,
    /// Another request has the same batch and STAN.
    Duplicate,
    /// A different request of this terminal is in flight.
    Busy,
}

/// What a terminal's reversal finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversalStep {
    /// The original may have been approved: owe its reversal.
    Owe(TxnId),
    /// The reversal is owed or done already.
    Repeated,
    /// The original moved no money.
    NothingToUndo,
    /// The original is of a kind that is repeated until it is answered, and never undone by a reversal.
    NotReversible,
    /// The lane cannot tell: it does not remember the original, or not what follows it. Ask the store.
    LookUp,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    batch: BatchNumber,
    signed_on: bool,
    recent: VecDeque<Transaction>,
    reach: Option<Reach>,
    refusals: VecDeque<Refusal>,
}

impl Lane {
    /// The open batch; 0 before the first sign-on.
    #[must_use]
    pub fn batch(&self) -> BatchNumber {
        self.batch
    }

    /// Whether the terminal is signed on.
    #[must_use]
    pub fn is_signed_on(&self) -> bool {
        self.signed_on
    }

    /// What a store knew of the terminal.
    pub fn restore(&mut self, batch: BatchNumber, signed_on: bool) {
        self.batch = batch;
        self.signed_on = signed_on;
    }

    /// Signs the terminal on and returns its open batch (invariant 8: the batch is ours to give).
    pub fn sign_on(&mut self) -> BatchNumber {
        if self.batch == BatchNumber::default() {
            self.batch = BatchNumber::FIRST;
        }
        self.signed_on = true;
        self.batch
    }

    /// Signs the terminal off, which ends its batch. Returns the batch it will be given next. Signing
    /// off twice ends one batch.
    pub fn sign_off(&mut self) -> BatchNumber {
        if self.signed_on {
            self.batch = self.batch.next();
            self.signed_on = false;
        }
        self.batch
    }

    /// Ends a batch, the open one or, before the first sign-on, one that the terminal counted by itself. What
    /// comes next is in the next one, after a sign-on.
    pub fn close_batch(&mut self, batch: BatchNumber) -> BatchNumber {
        self.batch = batch.next();
        self.signed_on = false;
        self.batch
    }

    /// Whether the batch is the one before the open one: whatever takes a new batch ends that for good.
    #[must_use]
    pub fn has_closed(&self, batch: BatchNumber) -> bool {
        batch != BatchNumber::default() && batch.next() == self.batch
    }

    /// Whether something of that batch waits for its upstream: nobody can say yet whether it counts.
    #[must_use]
    pub fn is_in_flight(&self, batch: BatchNumber) -> bool {
        let counts = |t: &Transaction| t.state == State::InFlight && t.fate != Fate::Expire;
        self.recent.iter().any(|t| t.batch == batch && counts(t))
    }

    /// How many requests wait for their upstream, or for their way there.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        let waits = |t: &&Transaction| t.state == State::InFlight;
        self.recent.iter().filter(waits).count()
    }

    /// Judges a financial request. Only originals are judged so; reversals ask [`Self::reverse`].
    #[must_use]
    pub fn judge(&self, proposal: &Proposal) -> Acceptance {
        match self.judge_looked_up(proposal) {
            Acceptance::New if !self.is_beyond_reach(proposal) => Acceptance::LookUp,
            judged => judged,
        }
    }

    /// Whether the STAN is above all that its batch has seen, or all that was seen is too old to matter.
    fn is_beyond_reach(&self, proposal: &Proposal) -> bool {
        self.reach
            .filter(|reach| (reach.binding, reach.batch) == (proposal.binding, proposal.batch))
            .is_some_and(|reach| {
                reach.highest.is_none_or(|highest| highest < proposal.stan)
                    || reach.until < proposal.now
            })
    }

    /// Takes what the store knows: up to where its STANs reach, and the transaction that was looked up.
    pub fn learn(&mut self, reach: Reach, found: Option<Transaction>) {
        let same = |known: &Reach| (known.binding, known.batch) == (reach.binding, reach.batch);
        // What was accepted meanwhile is newer than what the store told.
        let newer = |known: &Reach| same(known) && known.highest >= reach.highest;
        if !self.reach.as_ref().is_some_and(newer) {
            self.reach = Some(reach);
        }
        if let Some(found) = found {
            self.take_up(found);
        }
    }

    /// Judges a request that the store was asked about.
    #[must_use]
    pub fn judge_looked_up(&self, proposal: &Proposal) -> Acceptance {
        if let Some(known) = self.before(proposal) {
            // A tombstone knows no content: whatever the original was, it must not be forwarded.
            let same = known.content == proposal.content || known.state == State::Tombstone;
            return match (&known.state, known.number) {
                _ if !same => Acceptance::Duplicate,
                (State::InFlight, Some(number)) => Acceptance::Join(number),
                (State::Approved { answer } | State::Declined { answer }, _) => {
                    Acceptance::Again(answer.clone())
                }
                (State::RepeatOwed, number) => Acceptance::Repeating(number),
                (State::Parked, number) if known.fate == Fate::Repeat => {
                    Acceptance::Repeating(number)
                }
                (
                    State::InFlight
                    | State::ReversalOwed
                    | State::Reversed
                    | State::Parked
                    | State::Expired
                    | State::Tombstone,
                    _,
                ) => Acceptance::Undone,
            };
        }
        if let Some(refusal) = self.refusal_of(proposal) {
            return Acceptance::Again(Remembered::Kept {
                code: refusal.code,
                elements: Box::default(),
            });
        }
        // Something that moves no money does not keep a terminal that gave it up from trading.
        let holds = |t: &Transaction| t.state == State::InFlight && t.fate != Fate::Expire;
        if self.recent.iter().any(holds) {
            return Acceptance::Busy;
        }
        Acceptance::New
    }

    /// Remembers that a request judged new, or busy, was declined with this code all the same, and what the
    /// terminal takes for the end of it. A copy that is still on its way gets the same answer until then.
    pub fn refuse(&mut self, proposal: &Proposal, code: [u8; 2], until: Moment) {
        if self.refusals.len() >= REFUSALS_REMEMBERED {
            self.refusals.pop_front();
        }
        self.refusals.push_back(Refusal {
            binding: proposal.binding,
            batch: proposal.batch,
            stan: proposal.stan,
            content: proposal.content,
            until,
            code,
        });
    }

    fn refusal_of(&self, proposal: &Proposal) -> Option<&Refusal> {
        self.refusals.iter().rev().find(|refusal| {
            (refusal.binding, refusal.batch) == (proposal.binding, proposal.batch)
                && (refusal.stan, refusal.content) == (proposal.stan, proposal.content)
                && proposal.now <= refusal.until
        })
    }

    /// Remembers a request that was judged new, or a tombstone.
    pub fn accept(&mut self, now: Moment, transaction: Transaction) {
        self.reached(now, &transaction);
        self.remember(transaction);
    }

    /// Moves the reach up to what was accepted.
    fn reached(&mut self, now: Moment, new: &Transaction) {
        let Some(reach) = &mut self.reach else { return };
        let same = (reach.binding, reach.batch) == (new.binding, new.batch);
        // A lower STAN was looked up, and the highest one stays what it is until it is too old to matter.
        let higher = reach.highest.is_none_or(|highest| highest <= new.stan);
        if same && (higher || reach.until < now) {
            reach.highest = Some(new.stan);
            reach.until = new.until;
        }
    }

    fn remember(&mut self, transaction: Transaction) {
        // What is awaited or owed must not be forgotten, however much that is: its answer would find nobody. The store
        // has what is closed, and what a person decides about: those may go, the oldest first.
        while self.recent.len() >= REMEMBERED {
            let parked = |t: &Transaction| t.state == State::Parked;
            let closed = self.recent.iter().position(|t| !t.is_open());
            let Some(oldest) = closed.or_else(|| self.recent.iter().position(parked)) else {
                break;
            };
            drop(self.recent.remove(oldest));
        }
        self.recent.push_back(transaction);
    }

    /// Takes back what was accepted but could not be journalled.
    pub fn forget(&mut self, number: TxnId) {
        self.recent.retain(|t| t.number != Some(number));
    }

    /// The upstream answered. `false` when the transaction does not wait for it any more: the answer is late.
    pub fn answered(&mut self, number: TxnId, approved: bool, answer: Remembered) -> bool {
        let open = |t: &&mut Transaction| {
            t.number == Some(number) && matches!(t.state, State::InFlight | State::RepeatOwed)
        };
        let Some(known) = self.recent.iter_mut().find(open) else {
            return false;
        };
        known.state = if approved {
            State::Approved { answer }
        } else {
            State::Declined { answer }
        };
        true
    }

    /// No answer will come. Returns what is owed now; `None` when it is no longer in flight.
    pub fn unanswered(&mut self, number: TxnId) -> Option<Fate> {
        let known = self.in_flight(number)?;
        known.state = match known.fate {
            Fate::Reverse => State::ReversalOwed,
            Fate::Repeat => State::RepeatOwed,
            Fate::Expire => State::Expired,
        };
        Some(known.fate)
    }

    /// The terminal wants the original with that batch and STAN undone. `merchant` tells apart the
    /// bindings that a terminal id had one after the other; without it the latest counts.
    pub fn reverse(
        &mut self,
        batch: BatchNumber,
        stan: Stan,
        merchant: Option<MerchantId>,
    ) -> ReversalStep {
        let meant = |t: &&mut Transaction| t.is_meant(batch, stan, merchant);
        let Some(known) = self.recent.iter_mut().rev().find(meant) else {
            return ReversalStep::LookUp;
        };
        match known.state {
            State::Approved { .. } | State::Parked
                if known.followed && known.fate == Fate::Reverse =>
            {
                ReversalStep::LookUp
            }
            _ => known.reverse(),
        }
    }

    /// Like [`Self::reverse`], for a transaction that nothing follows, as the store says.
    pub fn reverse_looked_up(&mut self, number: TxnId) -> ReversalStep {
        let meant = |t: &&mut Transaction| t.number == Some(number);
        let known = self.recent.iter_mut().rev().find(meant);
        known.map_or(ReversalStep::LookUp, Transaction::reverse)
    }

    /// Something is about to follow that transaction: from here on only the store knows whether it can still be
    /// undone. `false` when the lane knows that it does not stand, though the store may not show that yet.
    pub fn follow(&mut self, number: TxnId) -> bool {
        let known = self.recent.iter_mut().find(|t| t.number == Some(number));
        known.is_none_or(|known| {
            known.followed = true;
            matches!(known.state, State::Approved { .. })
        })
    }

    /// The upstream acknowledged the reversal.
    pub fn acknowledged(&mut self, number: TxnId) {
        for known in &mut self.recent {
            if known.number == Some(number) && known.state == State::ReversalOwed {
                known.state = State::Reversed;
            }
        }
    }

    /// What is owed was sent as often as it may be.
    pub fn parked(&mut self, number: TxnId) {
        for known in &mut self.recent {
            if known.number == Some(number)
                && matches!(known.state, State::ReversalOwed | State::RepeatOwed)
            {
                known.state = State::Parked;
            }
        }
    }

    /// A person wants what is owed sent again.
    pub fn resent(&mut self, number: TxnId) {
        if let Some(known) = self.parked_one(number) {
            known.state = match known.fate {
                Fate::Reverse => State::ReversalOwed,
                Fate::Repeat => State::RepeatOwed,
                Fate::Expire => State::Expired,
            };
        }
    }

    /// A person decided that nothing more is sent. It counts as undone: its request is not forwarded again,
    /// and its reversal finds nothing left to do.
    pub fn closed(&mut self, number: TxnId) {
        if let Some(known) = self.parked_one(number) {
            known.state = State::Reversed;
        }
    }

    /// What the upstream had called undone was not: it is owed once more.
    pub fn reversal_undone(&mut self, number: TxnId) {
        for known in &mut self.recent {
            if known.number == Some(number) && known.state == State::Reversed {
                known.state = State::ReversalOwed;
            }
        }
    }

    /// Takes up what a store knows of a transaction. What is remembered of it is newer and stays, for as
    /// long as the store says that its STAN means it.
    pub fn take_up(&mut self, transaction: Transaction) {
        let same = |t: &&mut Transaction| {
            (t.binding, t.batch, t.stan)
                == (transaction.binding, transaction.batch, transaction.stan)
        };
        match self.recent.iter_mut().rev().find(same) {
            Some(known) if known.number == transaction.number => {
                known.until = known.until.max(transaction.until);
            }
            // Under a STAN used again the newer one counts, and that is the one remembered.
            Some(_) => {}
            None => self.remember(transaction),
        }
    }

    /// The remembered transaction with that batch and STAN, the latest if there are several. `merchant` as
    /// in [`Self::reverse`], which finds the same.
    #[must_use]
    pub fn find(
        &self,
        batch: BatchNumber,
        stan: Stan,
        merchant: Option<MerchantId>,
    ) -> Option<&Transaction> {
        let meant = |t: &&Transaction| t.is_meant(batch, stan, merchant);
        self.recent.iter().rev().find(meant)
    }

    /// What is remembered under the proposal's binding, batch and STAN.
    #[must_use]
    pub fn before(&self, proposal: &Proposal) -> Option<&Transaction> {
        self.known_as(proposal.binding, proposal.batch, proposal.stan)
            // What is open stays what it is however long it takes.
            .filter(|known| known.is_open() || proposal.now <= known.until)
    }

    fn known_as(&self, binding: BindingId, batch: BatchNumber, stan: Stan) -> Option<&Transaction> {
        self.recent
            .iter()
            .rev()
            .find(|t| t.binding == binding && t.batch == batch && t.stan == stan)
    }

    fn parked_one(&mut self, number: TxnId) -> Option<&mut Transaction> {
        self.recent
            .iter_mut()
            .find(|t| t.number == Some(number) && t.state == State::Parked)
    }

    fn in_flight(&mut self, number: TxnId) -> Option<&mut Transaction> {
        self.recent
            .iter_mut()
            .find(|t| t.number == Some(number) && t.state == State::InFlight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stan(n: u32) -> Stan {
        Stan::new(n).unwrap()
    }

    fn proposal(n: u32, content: u64) -> Proposal {
        Proposal {
            binding: BindingId(1),
            batch: BatchNumber::FIRST,
            stan: stan(n),
            content,
            now: Moment(0),
        }
    }

    fn transaction(number: u64, n: u32, content: u64, fate: Fate) -> Transaction {
        Transaction {
            number: Some(TxnId(number)),
            binding: BindingId(1),
            merchant: MerchantId::parse("M1").unwrap(),
            batch: BatchNumber::FIRST,
            stan: stan(n),
            upstream_stan: stan(n),
            group: 0,
            match_key: MatchKey::own(2, stan(n)),
            content,
            amount: 100,
            card: MaskedPan::NONE,
            followed: false,
            fate,
            until: Moment(1_000),
            state: State::InFlight,
        }
    }

    fn message(text: &str) -> Remembered {
        Remembered::Message(text.as_bytes().into())
    }

    /// A lane that knows its batch to be empty.
    fn empty() -> Lane {
        let mut lane = Lane::default();
        let reach = Reach {
            binding: BindingId(1),
            batch: BatchNumber::FIRST,
            highest: None,
            until: Moment(1_000),
        };
        lane.learn(reach, None);
        lane
    }

    /// All that was parked of a terminal is resent at once while it trades.
    #[test]
    fn what_is_awaited_or_owed_is_not_forgotten_however_much_that_is() {
        let mut lane = lane();
        let in_state = |n: u32, state: State| Transaction {
            state,
            ..transaction(n.into(), n, 10, Fate::Reverse)
        };
        for n in 2..=40 {
            lane.take_up(in_state(n, State::ReversalOwed));
        }
        assert!(lane.answered(TxnId(1), true, message("approved")));
        let has = |lane: &Lane, n: u64| lane.recent.iter().any(|t| t.number == Some(TxnId(n)));
        assert!((2..=40).all(|n| has(&lane, n)));
        // What is parked goes before what is owed, and what is closed before both.
        for n in 41..=60 {
            lane.take_up(in_state(n, State::Parked));
        }
        assert!((2..=40).all(|n| has(&lane, n)) && has(&lane, 60) && !has(&lane, 1));
        assert_eq!(lane.recent.len(), 40);
        for known in &mut lane.recent {
            known.state = State::Reversed;
        }
        lane.take_up(in_state(61, State::ReversalOwed));
        assert_eq!(lane.recent.len(), REMEMBERED);
        assert!(has(&lane, 61));
    }

    /// A lane with one sale in flight: number 1, STAN 1, content 10.
    fn lane() -> Lane {
        let mut lane = empty();
        lane.accept(Moment(0), transaction(1, 1, 10, Fate::Reverse));
        lane
    }

    fn reverse(lane: &mut Lane, n: u32) -> ReversalStep {
        lane.reverse(BatchNumber::FIRST, stan(n), MerchantId::parse("M1").ok())
    }

    #[test]
    fn the_same_request_joins_the_one_in_flight_and_another_one_has_to_wait() {
        let lane = lane();
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Join(TxnId(1)));
        assert_eq!(lane.judge(&proposal(1, 11)), Acceptance::Duplicate);
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::Busy);
    }

    fn state(lane: &Lane, n: u32) -> State {
        let found = lane.find(BatchNumber::FIRST, stan(n), None);
        found.unwrap().state.clone()
    }

    #[test]
    fn a_reversal_is_owed_acknowledged_and_owed_once_more() {
        let mut lane = lane();
        lane.accept(Moment(0), transaction(2, 2, 20, Fate::Expire));
        assert_eq!(lane.in_flight_count(), 2);
        assert_eq!(lane.unanswered(TxnId(1)), Some(Fate::Reverse));
        assert_eq!(
            (lane.in_flight_count(), state(&lane, 1)),
            (1, State::ReversalOwed)
        );
        // Of another one, or of what is not reversed yet, nothing changes.
        lane.acknowledged(TxnId(3));
        assert_eq!(state(&lane, 1), State::ReversalOwed);
        lane.reversal_undone(TxnId(1));
        assert_eq!(state(&lane, 1), State::ReversalOwed);
        lane.acknowledged(TxnId(2));
        assert_eq!(state(&lane, 2), State::InFlight);
        lane.acknowledged(TxnId(1));
        assert_eq!(state(&lane, 1), State::Reversed);
        lane.reversal_undone(TxnId(2));
        assert_eq!(
            (state(&lane, 1), state(&lane, 2)),
            (State::Reversed, State::InFlight)
        );
        lane.reversal_undone(TxnId(1));
        assert_eq!(state(&lane, 1), State::ReversalOwed);
    }

    #[test]
    fn what_is_taken_up_again_is_remembered_for_longer_and_nothing_else() {
        let mut lane = lane();
        let longer = |number| Transaction {
            until: Moment(2_000),
            state: State::Reversed,
            ..transaction(number, 1, 10, Fate::Reverse)
        };
        let until = |lane: &Lane| lane.find(BatchNumber::FIRST, stan(1), None).unwrap().until;
        // A newer one has the STAN: what the store says of the older one is not said of it.
        lane.take_up(longer(7));
        assert_eq!(
            (until(&lane), state(&lane, 1)),
            (Moment(1_000), State::InFlight)
        );
        lane.take_up(longer(1));
        assert_eq!(
            (until(&lane), state(&lane, 1)),
            (Moment(2_000), State::InFlight)
        );
        lane.take_up(transaction(1, 1, 10, Fate::Reverse));
        assert_eq!(until(&lane), Moment(2_000));
    }

    #[test]
    fn a_lower_stan_moves_the_reach_only_when_the_highest_is_too_old() {
        let highest = |now: u64| {
            let mut lane = empty();
            lane.accept(Moment(0), transaction(1, 9, 10, Fate::Reverse));
            lane.accept(Moment(now), transaction(2, 3, 20, Fate::Reverse));
            lane.reach.unwrap().highest
        };
        assert_eq!(highest(999), Some(stan(9)));
        assert_eq!(highest(1_000), Some(stan(9)));
        assert_eq!(highest(1_001), Some(stan(3)));
    }

    #[test]
    fn a_repeat_after_the_answer_gets_the_first_answer_again() {
        let mut lane = lane();
        assert!(lane.answered(TxnId(1), true, message("ok")));
        assert_eq!(
            lane.judge(&proposal(1, 10)),
            Acceptance::Again(message("ok"))
        );
        assert_eq!(lane.judge(&proposal(1, 11)), Acceptance::Duplicate);
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut lane = lane();
        assert_eq!(lane.unanswered(TxnId(1)), Some(Fate::Reverse));
        assert!(!lane.answered(TxnId(1), true, message("")));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Undone);
        assert_eq!(lane.unanswered(TxnId(1)), None);
    }

    #[test]
    fn a_reversal_is_owed_once_whatever_the_original_came_to() {
        let mut in_flight = lane();
        assert_eq!(reverse(&mut in_flight, 1), ReversalStep::Owe(TxnId(1)));
        assert_eq!(reverse(&mut in_flight, 1), ReversalStep::Repeated);
        assert!(!in_flight.answered(TxnId(1), true, message("")));

        let mut approved = lane();
        approved.answered(TxnId(1), true, message(""));
        assert_eq!(reverse(&mut approved, 1), ReversalStep::Owe(TxnId(1)));
        approved.acknowledged(TxnId(1));
        assert_eq!(reverse(&mut approved, 1), ReversalStep::Repeated);
        assert_eq!(approved.judge(&proposal(1, 10)), Acceptance::Undone);

        let mut declined = lane();
        declined.answered(TxnId(1), false, message(""));
        assert_eq!(reverse(&mut declined, 1), ReversalStep::NothingToUndo);

        let mut timed_out = lane();
        timed_out.unanswered(TxnId(1));
        assert_eq!(reverse(&mut timed_out, 1), ReversalStep::Repeated);
        assert_eq!(reverse(&mut timed_out, 2), ReversalStep::LookUp);
    }

    #[test]
    fn what_is_repeated_or_expires_is_never_reversed() {
        for (fate, said) in [
            (Fate::Repeat, ReversalStep::NotReversible),
            (Fate::Expire, ReversalStep::NothingToUndo),
        ] {
            let mut lane = empty();
            lane.accept(Moment(0), transaction(1, 1, 10, fate));
            assert_eq!(reverse(&mut lane, 1), said);
            assert_eq!(lane.unanswered(TxnId(1)), Some(fate));
            assert_eq!(reverse(&mut lane, 1), said);
        }
        let mut refunded = empty();
        refunded.accept(Moment(0), transaction(1, 1, 10, Fate::Repeat));
        refunded.answered(TxnId(1), true, message(""));
        assert_eq!(reverse(&mut refunded, 1), ReversalStep::NotReversible);
        let mut declined = empty();
        declined.accept(Moment(0), transaction(1, 1, 10, Fate::Repeat));
        declined.answered(TxnId(1), false, message(""));
        assert_eq!(reverse(&mut declined, 1), ReversalStep::NothingToUndo);
    }

    #[test]
    fn what_something_follows_is_undone_only_when_the_store_has_been_asked() {
        let mut lane = lane();
        assert!(!lane.follow(TxnId(1)));
        // What it does not remember, the store was asked about.
        assert!(lane.follow(TxnId(2)));
        // In flight nothing can follow it.
        let mut in_flight = lane.clone();
        assert_eq!(reverse(&mut in_flight, 1), ReversalStep::Owe(TxnId(1)));
        lane.answered(TxnId(1), true, message("ok"));
        assert!(lane.follow(TxnId(1)));
        assert_eq!(reverse(&mut lane, 1), ReversalStep::LookUp);
        assert_eq!(lane.reverse_looked_up(TxnId(2)), ReversalStep::LookUp);
        assert_eq!(
            lane.judge(&proposal(1, 10)),
            Acceptance::Again(message("ok"))
        );
        assert_eq!(
            lane.reverse_looked_up(TxnId(1)),
            ReversalStep::Owe(TxnId(1))
        );
        assert_eq!(lane.reverse_looked_up(TxnId(1)), ReversalStep::Repeated);
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Repeated);
        // Undone, whether the store shows it or not: nothing follows it any more.
        assert!(!lane.follow(TxnId(1)));
    }

    #[test]
    fn an_enquiry_in_flight_does_not_keep_the_terminal_from_trading() {
        let mut lane = empty();
        lane.accept(Moment(0), transaction(1, 1, 10, Fate::Expire));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Join(TxnId(1)));
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
    }

    #[test]
    fn an_unanswered_advice_is_ours_to_repeat_and_its_answer_serves_the_terminals_repeat() {
        let mut lane = empty();
        lane.accept(Moment(0), transaction(1, 1, 10, Fate::Repeat));
        lane.unanswered(TxnId(1));
        assert_eq!(
            lane.judge(&proposal(1, 10)),
            Acceptance::Repeating(Some(TxnId(1)))
        );
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
        assert!(lane.answered(TxnId(1), true, message("ok")));
        assert_eq!(
            lane.judge(&proposal(1, 10)),
            Acceptance::Again(message("ok"))
        );
        assert!(!lane.answered(TxnId(1), false, message("late")));
    }

    #[test]
    fn a_person_resends_or_closes_what_is_parked_and_nothing_else() {
        for (fate, resent) in [
            (Fate::Reverse, State::ReversalOwed),
            (Fate::Repeat, State::RepeatOwed),
        ] {
            // What is repeated until it is answered is not undone by waiting for a person.
            let repeated = match fate {
                Fate::Repeat => Acceptance::Repeating(Some(TxnId(1))),
                Fate::Reverse | Fate::Expire => Acceptance::Undone,
            };
            let mut lane = empty();
            lane.accept(Moment(0), transaction(1, 1, 10, fate));
            let state = |lane: &Lane| lane.before(&proposal(1, 10)).unwrap().state.clone();
            for not_parked in [State::InFlight, resent.clone()] {
                lane.resent(TxnId(1));
                lane.closed(TxnId(1));
                assert_eq!(state(&lane), not_parked);
                lane.unanswered(TxnId(1));
            }
            lane.parked(TxnId(1));
            assert_eq!(lane.judge(&proposal(1, 10)), repeated);
            lane.resent(TxnId(1));
            assert_eq!(state(&lane), resent);
            lane.parked(TxnId(1));
            lane.closed(TxnId(1));
            assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Undone);
            lane.resent(TxnId(1));
            assert_eq!(state(&lane), State::Reversed);
        }
    }

    #[test]
    fn only_what_is_owed_is_parked_and_only_by_its_number() {
        let mut lane = empty();
        lane.accept(Moment(0), transaction(1, 1, 10, Fate::Reverse));
        lane.accept(Moment(0), transaction(2, 2, 20, Fate::Reverse));
        lane.unanswered(TxnId(1));
        lane.parked(TxnId(2));
        assert_eq!(
            (state(&lane, 1), state(&lane, 2)),
            (State::ReversalOwed, State::InFlight)
        );
        lane.parked(TxnId(1));
        assert_eq!(state(&lane, 1), State::Parked);
    }

    #[test]
    fn what_the_lane_cannot_know_is_looked_up() {
        let mut lane = Lane::default();
        assert_eq!(lane.judge(&proposal(5, 10)), Acceptance::LookUp);
        let reach = Reach {
            binding: BindingId(1),
            batch: BatchNumber::FIRST,
            highest: Some(stan(5)),
            until: Moment(1_000),
        };
        let stored = Transaction {
            state: State::Approved {
                answer: message("ok"),
            },
            ..transaction(7, 5, 10, Fate::Reverse)
        };
        lane.learn(reach, Some(stored));
        assert_eq!(
            lane.judge(&proposal(5, 10)),
            Acceptance::Again(message("ok"))
        );
        assert_eq!(lane.judge(&proposal(5, 11)), Acceptance::Duplicate);
        assert_eq!(lane.judge(&proposal(6, 10)), Acceptance::New);
        for (now, judged) in [(1_000, Acceptance::LookUp), (1_001, Acceptance::New)] {
            let below = Proposal {
                now: Moment(now),
                ..proposal(4, 10)
            };
            assert_eq!(lane.judge(&below), judged, "{now}");
        }
        // Below what the batch has seen, and not remembered: only the store can tell.
        assert_eq!(lane.judge(&proposal(4, 10)), Acceptance::LookUp);
        assert_eq!(lane.judge_looked_up(&proposal(4, 10)), Acceptance::New);
        let other_batch = Proposal {
            batch: BatchNumber::FIRST.next(),
            ..proposal(6, 10)
        };
        assert_eq!(lane.judge(&other_batch), Acceptance::LookUp);
    }

    #[test]
    fn what_was_accepted_meanwhile_is_newer_than_what_the_store_tells() {
        let reach = |batch, highest| Reach {
            binding: BindingId(1),
            batch,
            highest,
            until: Moment(1_000),
        };
        let first = BatchNumber::FIRST;
        let mut lane = empty();
        lane.accept(Moment(0), transaction(9, 9, 10, Fate::Reverse));
        lane.answered(TxnId(9), true, message("ok"));
        lane.learn(reach(first, Some(stan(5))), None);
        assert_eq!(lane.judge(&proposal(8, 10)), Acceptance::LookUp);
        assert_eq!(lane.judge(&proposal(10, 10)), Acceptance::New);
        // The store knows a higher one than the lane.
        lane.learn(reach(first, Some(stan(20))), None);
        assert_eq!(lane.judge(&proposal(10, 10)), Acceptance::LookUp);
        assert_eq!(lane.judge(&proposal(21, 10)), Acceptance::New);
        // What is accepted in another batch, or below, does not move it.
        let other = Transaction {
            batch: first.next(),
            ..transaction(30, 30, 10, Fate::Expire)
        };
        lane.accept(Moment(0), other);
        lane.accept(Moment(0), transaction(4, 4, 10, Fate::Expire));
        assert_eq!(lane.judge(&proposal(20, 11)), Acceptance::LookUp);
        assert_eq!(lane.judge(&proposal(21, 10)), Acceptance::New);
        // Another batch is begun anew.
        lane.learn(reach(first.next(), None), None);
        let next = Proposal {
            batch: first.next(),
            ..proposal(1, 10)
        };
        assert_eq!(lane.judge(&next), Acceptance::New);
        assert_eq!(lane.judge(&proposal(21, 10)), Acceptance::LookUp);
    }

    #[test]
    fn what_could_not_be_journalled_was_never_there() {
        let mut lane = lane();
        assert!(lane.find(BatchNumber::FIRST, stan(1), None).is_some());
        lane.forget(TxnId(2));
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::Busy);
        lane.forget(TxnId(1));
        assert!(lane.find(BatchNumber::FIRST, stan(1), None).is_none());
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
    }

    #[test]
    fn a_stan_means_another_request_once_its_window_has_passed() {
        let mut lane = lane();
        lane.answered(TxnId(1), true, message("ok"));
        let later = |n, content| Proposal {
            now: Moment(1_001),
            ..proposal(n, content)
        };
        assert_eq!(lane.judge(&proposal(1, 11)), Acceptance::Duplicate);
        assert_eq!(lane.judge(&later(1, 11)), Acceptance::New);
        let again = Transaction {
            until: Moment(2_000),
            ..transaction(2, 1, 11, Fate::Reverse)
        };
        lane.accept(Moment(1_001), again);
        assert_eq!(lane.judge(&later(1, 11)), Acceptance::Join(TxnId(2)));
        lane.answered(TxnId(2), true, message("ok"));
        // The reach has started anew with the numbers.
        assert_eq!(lane.judge(&later(2, 10)), Acceptance::New);
    }

    #[test]
    fn a_late_copy_of_what_was_refused_is_refused_too() {
        let mut lane = empty();
        lane.refuse(&proposal(1, 10), *b"91", Moment(1_000));
        for n in 2..30 {
            lane.accept(Moment(0), transaction(u64::from(n), n, 10, Fate::Reverse));
            lane.answered(TxnId(u64::from(n)), true, message("ok"));
        }
        let refused = Acceptance::Again(Remembered::Kept {
            code: *b"91",
            elements: Box::default(),
        });
        assert_eq!(lane.judge(&proposal(1, 10)), refused);
        // Another request under the same number was never here.
        assert_eq!(lane.judge(&proposal(1, 11)), Acceptance::LookUp);
    }

    #[test]
    fn of_many_refusals_the_oldest_is_forgotten() {
        let mut lane = empty();
        let numbers = 1..=u32::try_from(REFUSALS_REMEMBERED).unwrap() + 1;
        for n in numbers.clone() {
            lane.refuse(&proposal(n, 10), *b"91", Moment(1_000));
        }
        let refused = |n: &u32| lane.refusal_of(&proposal(*n, 10)).is_some();
        let remembered: Vec<_> = numbers.clone().filter(refused).collect();
        assert_eq!(remembered, numbers.skip(1).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_open_is_the_same_request_however_long_it_takes() {
        let lane = lane();
        let late = Proposal {
            now: Moment(5_000),
            ..proposal(1, 10)
        };
        assert_eq!(lane.judge(&late), Acceptance::Join(TxnId(1)));
    }

    #[test]
    fn an_original_after_its_reversal_is_never_forwarded() {
        let mut lane = empty();
        let tomb = Transaction {
            number: None,
            state: State::Tombstone,
            ..transaction(0, 1, 0, Fate::Reverse)
        };
        lane.accept(Moment(0), tomb);
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Undone);
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Repeated);
    }

    #[test]
    fn an_original_after_its_reversal_is_looked_up_though_the_lane_has_forgotten_both() {
        let mut lane = empty();
        for n in 1..20 {
            let tomb = Transaction {
                number: None,
                state: State::Tombstone,
                ..transaction(0, n, 0, Fate::Reverse)
            };
            lane.accept(Moment(0), tomb);
        }
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::LookUp);
        assert_eq!(lane.judge(&proposal(19, 10)), Acceptance::Undone);
        assert_eq!(lane.judge(&proposal(20, 10)), Acceptance::New);
    }

    #[test]
    fn a_reversal_with_the_former_shops_number_does_not_touch_the_new_shop() {
        let mut lane = lane();
        lane.answered(TxnId(1), true, message(""));
        let other = MerchantId::parse("M2").ok();
        assert_eq!(
            lane.reverse(BatchNumber::FIRST, stan(1), other),
            ReversalStep::LookUp
        );
    }

    #[test]
    fn open_transactions_are_not_forgotten() {
        let mut lane = lane();
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Owe(TxnId(1)));
        for n in 2..100 {
            lane.accept(Moment(0), transaction(u64::from(n), n, 10, Fate::Reverse));
            lane.answered(TxnId(u64::from(n)), false, message(""));
        }
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Repeated);
        assert_eq!(reverse(&mut lane, 2), ReversalStep::LookUp);
    }

    #[test]
    fn a_batch_waits_for_what_may_still_count_in_it() {
        let mut lane = lane();
        let open = BatchNumber::FIRST;
        assert!(lane.is_in_flight(open));
        assert!(!lane.is_in_flight(open.next()));
        lane.answered(TxnId(1), true, message("ok"));
        assert!(!lane.is_in_flight(open));
        // An enquiry counts nothing.
        lane.accept(Moment(0), transaction(2, 2, 10, Fate::Expire));
        assert!(!lane.is_in_flight(open));
        lane.accept(Moment(0), transaction(3, 3, 10, Fate::Reverse));
        lane.unanswered(TxnId(3));
        assert!(!lane.is_in_flight(open), "what is owed holds up nothing");
    }

    #[test]
    fn a_batch_is_closed_once_and_the_next_one_is_given() {
        let mut lane = Lane::default();
        assert!(!lane.has_closed(BatchNumber::default()));
        let open = BatchNumber::FIRST.next();
        lane.restore(open, true);
        assert_eq!((lane.batch(), lane.is_signed_on()), (open, true));
        assert!(lane.has_closed(BatchNumber::FIRST) && !lane.has_closed(open));
        assert_eq!(lane.close_batch(open), open.next());
        assert_eq!((lane.batch(), lane.is_signed_on()), (open.next(), false));
        assert!(lane.has_closed(open) && !lane.has_closed(open.next()));
    }

    #[test]
    fn signing_off_twice_ends_one_batch() {
        let mut lane = Lane::default();
        assert_eq!(lane.sign_on(), BatchNumber::FIRST);
        assert_eq!(lane.sign_on(), BatchNumber::FIRST);
        assert_eq!(lane.sign_off(), BatchNumber::FIRST.next());
        assert_eq!(lane.sign_off(), BatchNumber::FIRST.next());
        assert!(!lane.is_signed_on());
        assert_eq!(lane.sign_on(), BatchNumber::FIRST.next());
    }
}
