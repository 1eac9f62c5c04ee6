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
//!              └──▶ EXPIRED  (moved no money, or is repeated until answered)
//!
//!          TOMBSTONE: a reversal came first; the original is declined when it arrives
//! ```
//!
//! | event | from | to | who |
//! |---|---|---|---|
//! | `accept` | nothing | in flight | terminal |
//! | `answered` | in flight | approved, declined | upstream |
//! | `unanswered` | in flight | reversal owed, expired | time, lost link |
//! | `reverse` | in flight, approved | reversal owed | terminal |
//! | `acknowledged` | reversal owed | reversed | upstream |
//!
//! Everything else leaves the state as it is: an answer to something no longer in flight is late, a
//! second reversal finds the first. A durable approval is undone by the terminal's reversal alone
//! (invariant 4): no event of time leads from approved to reversal owed.

use std::collections::VecDeque;

use crate::base::{BatchNumber, BindingId, Fate, MerchantId, Stan, TxnId};
use crate::iso8583::MatchKey;

/// Transactions a lane remembers. A terminal has one request in flight and reverses before it goes on;
/// older originals are found in the read model.
const REMEMBERED: usize = 8;

/// What became of a transaction so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Forwarded, or about to be.
    InFlight,
    /// The upstream approved; `answer` is the frame's message as the terminal gets it, without envelope.
    Approved {
        /// Bytes to send again when the request is repeated.
        answer: Box<[u8]>,
    },
    /// Declined by the upstream, or by us after it was accepted.
    Declined {
        /// Bytes to send again when the request is repeated.
        answer: Box<[u8]>,
    },
    /// It must be undone upstream.
    ReversalOwed,
    /// The upstream acknowledged that it is undone.
    Reversed,
    /// Not answered; nothing is owed.
    Expired,
    /// Never seen, but reversed already.
    Tombstone,
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
    /// What happens when its fate is unknown.
    pub fate: Fate,
    /// State.
    pub state: State,
}

impl Transaction {
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
}

/// What a lane says to a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Never seen: journal and forward it.
    New,
    /// The same request is in flight: its answer serves both.
    Join(TxnId),
    /// The same request was answered: send this again.
    Again(Box<[u8]>),
    /// The same request was undone, or will be: never forward it.
    Undone,
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
    /// Not remembered here.
    Unknown,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    batch: BatchNumber,
    signed_on: bool,
    recent: VecDeque<Transaction>,
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

    /// Judges a financial request. Only originals are judged so; reversals ask [`Self::reverse`].
    #[must_use]
    pub fn judge(&self, proposal: &Proposal) -> Acceptance {
        if let Some(known) = self.before(proposal) {
            // A tombstone knows no content: whatever the original was, it must not be forwarded.
            let same = known.content == proposal.content || known.state == State::Tombstone;
            return match (&known.state, known.number) {
                _ if !same => Acceptance::Duplicate,
                (State::InFlight, Some(number)) => Acceptance::Join(number),
                (State::Approved { answer } | State::Declined { answer }, _) => {
                    Acceptance::Again(answer.clone())
                }
                // Nobody knows its fate and it is not undone: it goes out again as what it was.
                (State::Expired, _) if known.fate == Fate::Repeat => Acceptance::New,
                (
                    State::InFlight
                    | State::ReversalOwed
                    | State::Reversed
                    | State::Expired
                    | State::Tombstone,
                    _,
                ) => Acceptance::Undone,
            };
        }
        // Something that moves no money does not keep a terminal that gave it up from trading.
        let holds = |t: &Transaction| t.state == State::InFlight && t.fate != Fate::Expire;
        if self.recent.iter().any(holds) {
            return Acceptance::Busy;
        }
        Acceptance::New
    }

    /// Remembers a request that was judged new, or a tombstone.
    pub fn accept(&mut self, transaction: Transaction) {
        // A repeat of what expired takes its place.
        self.recent.retain(|t| {
            t.state != State::Expired
                || (t.binding, t.batch, t.stan)
                    != (transaction.binding, transaction.batch, transaction.stan)
        });
        if self.recent.len() >= REMEMBERED {
            // What is still open must not be forgotten: forget the oldest that is closed.
            let closed =
                |t: &Transaction| !matches!(t.state, State::InFlight | State::ReversalOwed);
            let oldest = self.recent.iter().position(closed).unwrap_or(0);
            drop(self.recent.remove(oldest));
        }
        self.recent.push_back(transaction);
    }

    /// Takes back what was accepted but could not be journalled.
    pub fn forget(&mut self, number: TxnId) {
        self.recent.retain(|t| t.number != Some(number));
    }

    /// The upstream answered. `false` when the transaction is no longer in flight: the answer is late.
    pub fn answered(&mut self, number: TxnId, approved: bool, answer: Box<[u8]>) -> bool {
        let Some(known) = self.in_flight(number) else {
            return false;
        };
        known.state = if approved {
            State::Approved { answer }
        } else {
            State::Declined { answer }
        };
        true
    }

    /// No answer will come. Returns whether a reversal is owed; `None` when it is no longer in flight.
    pub fn unanswered(&mut self, number: TxnId) -> Option<bool> {
        let known = self.in_flight(number)?;
        let owed = known.fate == Fate::Reverse;
        known.state = if owed {
            State::ReversalOwed
        } else {
            State::Expired
        };
        Some(owed)
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
            return ReversalStep::Unknown;
        };
        let Some(number) = known.number else {
            return ReversalStep::Repeated;
        };
        match known.state {
            State::InFlight | State::Approved { .. } => {
                if known.fate != Fate::Reverse {
                    return ReversalStep::NothingToUndo;
                }
                known.state = State::ReversalOwed;
                ReversalStep::Owe(number)
            }
            State::Declined { .. } | State::Expired => ReversalStep::NothingToUndo,
            State::ReversalOwed | State::Reversed | State::Tombstone => ReversalStep::Repeated,
        }
    }

    /// The upstream acknowledged the reversal.
    pub fn acknowledged(&mut self, number: TxnId) {
        for known in &mut self.recent {
            if known.number == Some(number) && known.state == State::ReversalOwed {
                known.state = State::Reversed;
            }
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
        self.recent.iter().rev().find(|t| {
            t.binding == proposal.binding && t.batch == proposal.batch && t.stan == proposal.stan
        })
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
            fate,
            state: State::InFlight,
        }
    }

    /// A lane with one sale in flight: number 1, STAN 1, content 10.
    fn lane() -> Lane {
        let mut lane = Lane::default();
        lane.accept(transaction(1, 1, 10, Fate::Reverse));
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

    #[test]
    fn a_repeat_after_the_answer_gets_the_first_answer_again() {
        let mut lane = lane();
        assert!(lane.answered(TxnId(1), true, Box::from(*b"ok")));
        assert_eq!(
            lane.judge(&proposal(1, 10)),
            Acceptance::Again(Box::from(*b"ok"))
        );
        assert_eq!(lane.judge(&proposal(1, 11)), Acceptance::Duplicate);
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut lane = lane();
        assert_eq!(lane.unanswered(TxnId(1)), Some(true));
        assert!(!lane.answered(TxnId(1), true, Box::default()));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Undone);
        assert_eq!(lane.unanswered(TxnId(1)), None);
    }

    #[test]
    fn a_reversal_is_owed_once_whatever_the_original_came_to() {
        let mut in_flight = lane();
        assert_eq!(reverse(&mut in_flight, 1), ReversalStep::Owe(TxnId(1)));
        assert_eq!(reverse(&mut in_flight, 1), ReversalStep::Repeated);
        assert!(!in_flight.answered(TxnId(1), true, Box::default()));

        let mut approved = lane();
        approved.answered(TxnId(1), true, Box::default());
        assert_eq!(reverse(&mut approved, 1), ReversalStep::Owe(TxnId(1)));
        approved.acknowledged(TxnId(1));
        assert_eq!(reverse(&mut approved, 1), ReversalStep::Repeated);
        assert_eq!(approved.judge(&proposal(1, 10)), Acceptance::Undone);

        let mut declined = lane();
        declined.answered(TxnId(1), false, Box::default());
        assert_eq!(reverse(&mut declined, 1), ReversalStep::NothingToUndo);

        let mut timed_out = lane();
        timed_out.unanswered(TxnId(1));
        assert_eq!(reverse(&mut timed_out, 1), ReversalStep::Repeated);
        assert_eq!(reverse(&mut timed_out, 2), ReversalStep::Unknown);
    }

    #[test]
    fn what_is_repeated_or_expires_is_never_reversed() {
        for fate in [Fate::Repeat, Fate::Expire] {
            let mut lane = Lane::default();
            lane.accept(transaction(1, 1, 10, fate));
            assert_eq!(reverse(&mut lane, 1), ReversalStep::NothingToUndo);
            assert_eq!(lane.unanswered(TxnId(1)), Some(false));
        }
    }

    #[test]
    fn an_enquiry_in_flight_does_not_keep_the_terminal_from_trading() {
        let mut lane = Lane::default();
        lane.accept(transaction(1, 1, 10, Fate::Expire));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Join(TxnId(1)));
        assert_eq!(lane.judge(&proposal(2, 10)), Acceptance::New);
    }

    #[test]
    fn an_unanswered_advice_goes_out_again_when_it_is_repeated() {
        let mut lane = Lane::default();
        lane.accept(transaction(1, 1, 10, Fate::Repeat));
        lane.unanswered(TxnId(1));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::New);
        lane.accept(transaction(2, 1, 10, Fate::Repeat));
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Join(TxnId(2)));
    }

    #[test]
    fn an_original_after_its_reversal_is_never_forwarded() {
        let mut lane = Lane::default();
        let tomb = Transaction {
            number: None,
            state: State::Tombstone,
            ..transaction(0, 1, 0, Fate::Reverse)
        };
        lane.accept(tomb);
        assert_eq!(lane.judge(&proposal(1, 10)), Acceptance::Undone);
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Repeated);
    }

    #[test]
    fn a_reversal_with_the_former_shops_number_does_not_touch_the_new_shop() {
        let mut lane = lane();
        lane.answered(TxnId(1), true, Box::default());
        let other = MerchantId::parse("M2").ok();
        assert_eq!(
            lane.reverse(BatchNumber::FIRST, stan(1), other),
            ReversalStep::Unknown
        );
    }

    #[test]
    fn open_transactions_are_not_forgotten() {
        let mut lane = lane();
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Owe(TxnId(1)));
        for n in 2..100 {
            lane.accept(transaction(u64::from(n), n, 10, Fate::Reverse));
            lane.answered(TxnId(u64::from(n)), false, Box::default());
        }
        assert_eq!(reverse(&mut lane, 1), ReversalStep::Repeated);
        assert_eq!(reverse(&mut lane, 2), ReversalStep::Unknown);
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
