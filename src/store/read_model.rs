//! The read model: transactions as people ask for them. Projected from the journal off the money path;
//! whatever it lacks can be projected again.

use super::batch::{BatchModel, BatchRecord};
use super::{Intervention, OutcomeKind, StoreError, TxnId};
use crate::base::{
    AccountId, AcquirerId, Amount, BatchNumber, BindingId, Fate, MaskedPan, MerchantId,
    RequestType, Stan, TerminalId, Timestamp,
};
use crate::binding::TerminalKey;
use crate::binding::drain::Outstanding;
use crate::binding::tested::TestsShown;
use crate::transaction::originals::{Certainty, FollowUps};

/// One transaction as the read model shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Transaction.
    pub txn: TxnId,
    /// When it was accepted.
    pub at: Timestamp,
    /// Terminal.
    pub key: TerminalKey,
    /// DE42.
    pub merchant: String,
    /// Binding that admitted it.
    pub binding: BindingId,
    /// Version of that binding.
    pub version: u32,
    /// Account it settles into.
    pub account: u32,
    /// Whether its settlement is held.
    pub held: bool,
    /// What happens when its fate is unknown.
    pub fate: Fate,
    /// Name of the request in its dialect.
    pub request: String,
    /// +1 the merchant's favour, -1 the customer's, 0 none.
    pub sign: i8,
    /// Batch.
    pub batch: BatchNumber,
    /// The terminal's STAN.
    pub stan: Stan,
    /// Upstream group.
    pub group: String,
    /// STAN towards the upstream.
    pub upstream_stan: Stan,
    /// DE4.
    pub amount: u64,
    /// DE49.
    pub currency: String,
    /// Card number, masked.
    pub pan: MaskedPan,
    /// Keyed hash of what makes two requests the same.
    pub content: u64,
    /// The transaction it voids, completes or refunds; 0 for none that is known here.
    pub original: TxnId,
    /// What became of it; `None` while it is open.
    pub outcome: Option<RowOutcome>,
    /// Kind for the gate.
    pub kind: RequestType,
    /// Journal groups that hold its records, in order, the intent's first: a group stands there once for
    /// each record.
    pub groups: Vec<u64>,
}

/// The latest outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOutcome {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: OutcomeKind,
    /// DE39.
    pub code: String,
    /// Amount that counts.
    pub booked: u64,
    /// DE37 of the answer, if it had one.
    pub rrn: Option<String>,
    /// DE38 of the answer, if it had one.
    pub approval_code: Option<String>,
    /// What the journal keeps of the answer, for a repeat of the request.
    pub answer: Box<[u8]>,
}

/// Something that was taken in a merchant's favour and stands, or may: what limits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sold {
    /// Transaction.
    pub txn: TxnId,
    /// When it was accepted.
    pub at: Timestamp,
    /// Terminal.
    pub key: TerminalKey,
    /// Binding that admitted it.
    pub binding: BindingId,
    /// Account it settles into.
    pub account: AccountId,
    /// DE42.
    pub merchant: MerchantId,
    /// What counts of it.
    pub amount: Amount,
}

/// A reversal came for an original never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TombstoneRow {
    /// Binding at that time.
    pub binding: BindingId,
    /// Batch of the original.
    pub batch: BatchNumber,
    /// STAN of the original.
    pub stan: Stan,
    /// When.
    pub at: Timestamp,
}

impl RowOutcome {
    /// This outcome, with what an earlier one brought of an answer and this one lacks.
    #[must_use]
    pub fn after(mut self, before: Option<Self>) -> Self {
        if let Some(before) = before {
            self.rrn = self.rrn.or(before.rrn);
            self.approval_code = self.approval_code.or(before.approval_code);
            if self.answer.is_empty() {
                self.answer = before.answer;
            }
        }
        self
    }
}

impl TransactionRow {
    /// Counts this transaction as one that follows another, unless it came to nothing.
    pub(super) fn count_in(&self, follow_ups: &mut FollowUps) {
        let (amount, certainty) = match &self.outcome {
            None => (self.amount, Certainty::Open),
            Some(outcome) => match outcome.kind {
                OutcomeKind::Approved => (outcome.booked, Certainty::Stands),
                // It is sent until it is answered.
                OutcomeKind::RepeatOwed => (self.amount, Certainty::Stands),
                // It may be days until somebody decides.
                OutcomeKind::Parked => (self.amount, Certainty::Parked),
                OutcomeKind::Declined
                | OutcomeKind::ReversalOwed
                | OutcomeKind::Reversed
                | OutcomeKind::Expired
                | OutcomeKind::Closed => return,
            },
        };
        follow_ups.count(self.kind, amount, certainty);
    }
}

/// What one round of projection changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// New transactions, some of them with their outcome already.
    pub inserted: Vec<TransactionRow>,
    /// Further records of transactions that are there already: the outcome if it is one, and the journal group
    /// it stands in.
    pub updated: Vec<(TxnId, Option<RowOutcome>, u64)>,
    /// What people did with what was parked.
    pub interventions: Vec<Intervention>,
    /// Open batch of terminals and whether they are signed on; the last one counts.
    pub terminals: Vec<(TerminalKey, BatchNumber, bool)>,
    /// Reserved STANs: group, date, first running number that is free. The last one counts.
    pub stan_blocks: Vec<(String, u32, u64)>,
    /// Steps of batches, in their order.
    pub batches: Vec<BatchRecord>,
    /// Reversals of originals never seen.
    pub tombstones: Vec<TombstoneRow>,
}

/// Net money of one terminal as the journal has it, minor units: approved minus what was or must be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalTotal {
    /// Terminal.
    pub key: TerminalKey,
    /// Sales that count, minus what gives money back.
    pub net: i64,
    /// Transactions that count.
    pub count: u64,
}

/// See the module.
pub trait ReadModel: BatchModel + Send {
    /// Last journal group that is projected; 0 for none.
    ///
    /// # Errors
    /// When reading fails.
    fn mark(&mut self) -> Result<u64, StoreError>;

    /// Applies one round and moves the mark, together or not at all.
    ///
    /// # Errors
    /// When writing fails; nothing of the round is there then.
    fn apply(&mut self, changes: &Changes, mark: u64) -> Result<(), StoreError>;

    /// Largest transaction number, 0 for none.
    ///
    /// # Errors
    /// When reading fails.
    fn last_txn(&mut self) -> Result<TxnId, StoreError>;

    /// Calls `each` with every terminal's open batch and whether it is signed on.
    ///
    /// # Errors
    /// When reading fails.
    fn terminals(
        &mut self,
        each: &mut dyn FnMut(TerminalKey, BatchNumber, bool),
    ) -> Result<(), StoreError>;

    /// The transaction of a binding with that batch and STAN, the latest if there are several.
    ///
    /// # Errors
    /// When reading fails.
    fn find(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<TransactionRow>, StoreError>;

    /// One transaction.
    ///
    /// # Errors
    /// When reading fails.
    fn transaction(&mut self, txn: TxnId) -> Result<Option<TransactionRow>, StoreError>;

    /// At most so many transactions that fit, the latest first.
    ///
    /// # Errors
    /// When the store fails.
    fn latest(&mut self, query: &Query, most: usize) -> Result<Vec<TransactionRow>, StoreError>;

    /// Calls `each` with every transaction that is not at its end: without an outcome, or with something
    /// owed. Oldest first.
    ///
    /// # Errors
    /// When reading fails.
    fn unfinished(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError>;

    /// Calls `each` with every transaction that is parked. Oldest first.
    ///
    /// # Errors
    /// When reading fails.
    fn parked(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError>;

    /// When a reversal came for an original of that batch and STAN that was never seen.
    ///
    /// # Errors
    /// When reading fails.
    fn tombstone(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// The highest STAN of a batch, of a request or a tombstone, and when it came; `None` for an empty batch.
    ///
    /// # Errors
    /// When reading fails.
    fn highest_stan(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Option<(Stan, Timestamp)>, StoreError>;

    /// What follows a transaction and stands, or may.
    ///
    /// # Errors
    /// When reading fails.
    fn follow_ups(&mut self, original: TxnId) -> Result<FollowUps, StoreError>;

    /// Date of the last block of STANs a group reserved, and the first running number after it.
    ///
    /// # Errors
    /// When reading fails.
    fn stan_block(&mut self, group: &str) -> Result<Option<(u32, u64)>, StoreError>;

    /// Net money per terminal.
    ///
    /// # Errors
    /// When reading fails.
    fn totals(&mut self) -> Result<Vec<TerminalTotal>, StoreError>;
}

/// Which transactions are asked for: those that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Acquirer.
    pub acquirer: Option<AcquirerId>,
    /// DE41.
    pub terminal: Option<TerminalId>,
    /// DE42.
    pub merchant: Option<MerchantId>,
    /// Settlement account.
    pub account: Option<AccountId>,
    /// Binding that admitted it.
    pub binding: Option<BindingId>,
    /// DE37 of the answer.
    pub rrn: Option<String>,
    /// DE38 of the answer.
    pub approval_code: Option<String>,
    /// The terminal's STAN.
    pub stan: Option<Stan>,
    /// Batch.
    pub batch: Option<BatchNumber>,
    /// How it stands.
    pub state: Option<QueryState>,
    /// Name of the request in its dialect.
    pub request: Option<String>,
    /// Least amount, minor units.
    pub amount_min: Option<u64>,
    /// Most amount, minor units.
    pub amount_max: Option<u64>,
    /// Accepted at this time or later.
    pub from: Option<Timestamp>,
    /// Accepted before this time.
    pub to: Option<Timestamp>,
}

impl Query {
    /// Whether a transaction fits everything that is set.
    #[must_use]
    pub fn fits(&self, row: &TransactionRow) -> bool {
        fn is<T: PartialEq>(asked: Option<&T>, found: &T) -> bool {
            asked.is_none_or(|asked| asked == found)
        }
        let answer = row.outcome.as_ref();
        let text = |asked: Option<&String>, found: Option<&String>| {
            asked.is_none_or(|asked| found == Some(asked))
        };
        is(self.acquirer.as_ref(), &row.key.acquirer)
            && is(self.terminal.as_ref(), &row.key.terminal)
            && self.merchant.is_none_or(|id| id.as_str() == row.merchant)
            && self.account.is_none_or(|id| id.0 == row.account)
            && is(self.binding.as_ref(), &row.binding)
            && text(self.rrn.as_ref(), answer.and_then(|a| a.rrn.as_ref()))
            && text(
                self.approval_code.as_ref(),
                answer.and_then(|a| a.approval_code.as_ref()),
            )
            && is(self.stan.as_ref(), &row.stan)
            && is(self.batch.as_ref(), &row.batch)
            && is(self.request.as_ref(), &row.request)
            && self.amount_min.is_none_or(|least| row.amount >= least)
            && self.amount_max.is_none_or(|most| row.amount <= most)
            && self.from.is_none_or(|from| row.at >= from)
            && self.to.is_none_or(|to| row.at < to)
            && match self.state {
                None => true,
                Some(QueryState::Open) => answer.is_none(),
                Some(QueryState::Ended(kind)) => answer.is_some_and(|a| a.kind == kind),
            }
    }
}

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryState {
    /// Forwarded, and no outcome yet.
    Open,
    /// Its latest outcome.
    Ended(OutcomeKind),
}

/// Where a page ended: the next one begins with the transaction accepted before this one. Those accepted
/// meanwhile are newer than every cursor and never seen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub TxnId);

impl Cursor {
    /// Reads the text that [`Cursor`]'s `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('t')?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok()).flatten();
        number.map(|number| Self(TxnId(number)))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t{}", self.0.0)
    }
}

/// Some of what a query finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first; what is parked oldest first.
    pub rows: Vec<TransactionRow>,
    /// Where to go on; `None` when that was all.
    pub next: Option<Cursor>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It had to look at more than [`limits::QUERY_STEPS_MAX`](crate::base::limits::QUERY_STEPS_MAX) allows.
    #[error(
        "the question looks at too much; narrow it by account, terminal, merchant, RRN, or a shorter time"
    )]
    TooWide,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What still hangs on a binding, and what of it is approved and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hanging {
    /// How much of what.
    pub outstanding: Outstanding,
    /// What is not settled, for each account and currency.
    pub unsettled: Vec<UnsettledSum>,
}

/// What of one account is approved and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledSum {
    /// Account.
    pub account: AccountId,
    /// DE49.
    pub currency: String,
    /// Transactions.
    pub count: u64,
    /// Their sum in the smallest unit: refunds count against it.
    pub amount: i64,
}

/// Transactions of a binding that are looked at for its tests.
pub const TESTS_LOOKED_AT: u32 = 500;

/// What a binding has done, and what of it is still open.
pub trait BindingReader {
    /// What still hangs on a binding.
    ///
    /// # Errors
    /// When reading fails.
    fn hanging_on(&mut self, binding: BindingId) -> Result<Hanging, StoreError>;

    /// Whether a transaction of a binding's was accepted since that moment and approved.
    ///
    /// # Errors
    /// When reading fails.
    fn approved_since(&mut self, binding: BindingId, since: Timestamp) -> Result<bool, StoreError>;

    /// Calls `each` with every transaction that a binding admitted, in the order of acceptance.
    ///
    /// # Errors
    /// When reading fails.
    fn of_binding(
        &mut self,
        binding: BindingId,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError>;

    /// Calls `each` with the last transactions that a binding admitted, by batch and trace number, the last first; with so
    /// many at most.
    ///
    /// # Errors
    /// When reading fails.
    fn last_of_binding(
        &mut self,
        binding: BindingId,
        most: u32,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError>;

    /// What a binding that is being tested has shown, of the last [`TESTS_LOOKED_AT`] that it sent: whoever asks reads no
    /// more of one that has traded for years and is not to be activated at all.
    ///
    /// # Errors
    /// When reading fails.
    fn tests_of(&mut self, binding: BindingId) -> Result<TestsShown, StoreError> {
        let mut shown = TestsShown::default();
        self.last_of_binding(binding, TESTS_LOOKED_AT, &mut |row| {
            let (txn, ended) = (Some(row.txn), row.outcome.map(|outcome| outcome.kind));
            match (row.kind, ended) {
                (RequestType::Void, Some(OutcomeKind::Approved)) => {
                    shown.approved = shown.approved.max(txn);
                    shown.voided = shown.voided.max(txn);
                }
                (_, Some(OutcomeKind::Approved)) => shown.approved = shown.approved.max(txn),
                (
                    RequestType::NewMoney,
                    Some(OutcomeKind::Reversed | OutcomeKind::ReversalOwed),
                ) => shown.reversed = shown.reversed.max(txn),
                (_, _) => {}
            }
        })?;
        Ok(shown)
    }
}

/// The read model for people's questions: read only, on a connection of its own, so that no question ever
/// holds up the projection.
pub trait TransactionReader: BindingReader + Send {
    /// Last journal group that is projected; 0 for none.
    ///
    /// # Errors
    /// When reading fails.
    fn mark(&mut self) -> Result<u64, StoreError>;

    /// What fits the query, the latest number first, after the cursor if there is one; at most `limit`, and never more
    /// than [`limits::QUERY_PAGE_MAX`](crate::base::limits::QUERY_PAGE_MAX).
    ///
    /// # Errors
    /// When the question is too wide, or reading fails.
    fn page(
        &mut self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, QueryError>;

    /// One transaction.
    ///
    /// # Errors
    /// When reading fails.
    fn transaction(&mut self, txn: TxnId) -> Result<Option<TransactionRow>, StoreError>;

    /// What is parked, towards one group or all, the oldest first, after the cursor if there is one; at most
    /// `limit`, and never more than
    /// [`limits::EXCEPTIONS_PAGE_MAX`](crate::base::limits::EXCEPTIONS_PAGE_MAX). And how many there are in all,
    /// at the same moment.
    ///
    /// # Errors
    /// When reading fails.
    fn parked(
        &mut self,
        group: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Page, u64), StoreError>;

    /// Calls `each` with everything that was accepted from that time on and counts towards limits: approved sales,
    /// completions and notices that are not voided, and notices that are repeated until they are answered.
    ///
    /// # Errors
    /// When reading fails.
    fn sold(&mut self, from: Timestamp, each: &mut dyn FnMut(Sold)) -> Result<(), StoreError>;

    /// What people did with a transaction, in order.
    ///
    /// # Errors
    /// When reading fails.
    fn interventions(&mut self, txn: TxnId) -> Result<Vec<Intervention>, StoreError>;

    /// Calls `each` with every transaction that was accepted in that time and can move money, by account
    /// and then by acceptance, all as of one moment, until it returns false. What expired and was sent
    /// again is left to its repeat. `earlier` are transactions of before, in the same order and of that account if
    /// there is one, which are shown too. Gives the journal group up to which that is.
    ///
    /// # Errors
    /// When reading fails.
    fn money_of(
        &mut self,
        times: std::ops::Range<Timestamp>,
        account: Option<AccountId>,
        earlier: &[(AccountId, TxnId)],
        each: &mut dyn FnMut(TransactionRow) -> bool,
    ) -> Result<u64, StoreError>;

    /// Calls `each` with every transaction that a terminal's binding took in that time.
    ///
    /// # Errors
    /// When reading fails.
    fn taken_by(
        &mut self,
        key: TerminalKey,
        binding: BindingId,
        times: std::ops::Range<Timestamp>,
        each: &mut dyn FnMut(TransactionRow),
    ) -> Result<(), StoreError>;

    /// What voids, completes or refunds a transaction, whatever became of it.
    ///
    /// # Errors
    /// When reading fails.
    fn followers(&mut self, original: TxnId) -> Result<Vec<TransactionRow>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_nothing_else_is() {
        let cursor = Cursor(TxnId(77));
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for wrong in ["", "t", "1", "t-1", "t+1", "t1.5", "t99999999999999999999"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
