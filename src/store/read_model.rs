//! The read model: transactions as people ask for them. Projected from the journal off the money path;
//! whatever it lacks can be projected again.

use super::{OutcomeKind, StoreError, TxnId};
use crate::base::{BatchNumber, BindingId, Fate, MaskedPan, Stan, Timestamp};
use crate::binding::TerminalKey;

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
    /// Journal group that holds its intent.
    pub journal_group: u64,
    /// What became of it; `None` while it is open.
    pub outcome: Option<RowOutcome>,
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

impl RowOutcome {
    /// What is known of an answer stays known when a later outcome says nothing of it.
    pub(super) fn keep_from(&mut self, earlier: Self) {
        self.rrn = self.rrn.take().or(earlier.rrn);
        self.approval_code = self.approval_code.take().or(earlier.approval_code);
        if self.answer.is_empty() {
            self.answer = earlier.answer;
        }
    }
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

/// What one round of projection changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// New transactions, some of them with their outcome already.
    pub inserted: Vec<TransactionRow>,
    /// Outcomes of transactions that are there already.
    pub updated: Vec<(TxnId, RowOutcome)>,
    /// Open batch of terminals and whether they are signed on; the last one counts.
    pub terminals: Vec<(TerminalKey, BatchNumber, bool)>,
    /// Reserved STANs: group, date, first running number that is free. The last one counts.
    pub stan_blocks: Vec<(String, u32, u64)>,
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
pub trait ReadModel: Send {
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

    /// Calls `each` with every transaction that is not at its end: without an outcome, or with something
    /// owed. Oldest first.
    ///
    /// # Errors
    /// When reading fails.
    fn unfinished(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError>;

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

    /// The highest STAN of a batch and when it was accepted; `None` for an empty batch.
    ///
    /// # Errors
    /// When reading fails.
    fn highest_stan(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Option<(Stan, Timestamp)>, StoreError>;

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
