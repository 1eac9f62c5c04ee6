//! What is parked until a person resends or closes it.
//!
//! A transaction comes here when what is owed for it was sent as often as it may be, or could not be made
//! after a crash; it leaves when a person decides, or its terminal with a reversal of its own. Which ones
//! are here stands in the journal; in memory there is their number, so that two who decide at the same
//! time cannot both do so. Nothing here is ever sent or dropped by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Switch;
use super::effects::Effect;
use super::limits::tally_of;
use super::owed::Owed;
use super::recovery::records_of;
use super::reversals::NewlyOwed;
use crate::base::{Fate, TxnId};
use crate::iso8583::ResponseCode;
use crate::store::{
    Intent, Intervention, JournalError, JournalStore, Outcome, OutcomeKind, Record, StoreError,
    TransactionRow,
};
use crate::telemetry::metrics;
use crate::transaction::{Lane, State};

/// Why a parked transaction is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionError {
    /// It is not parked, or not any more.
    #[error("it is not parked any more")]
    NotParked,
    /// Its group is not configured.
    #[error(
        "it belongs to the group {0}, which is not configured; configure it again, then resend"
    )]
    GroupGone(String),
    /// It moves no money.
    #[error("nothing is owed for it, because it moves no money; close it")]
    NothingOwed,
    /// The journal does not have what the reversal or the repeat is made from, or its dialect no longer
    /// writes it.
    #[error(
        "what is owed cannot be made from the journal; settle it with the acquirer, then close it"
    )]
    Unwritable,
    /// Nothing more is written.
    #[error("it was not journalled")]
    Journal(#[from] JournalError),
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One that waits for a person.
#[derive(Debug)]
pub(super) struct Parked {
    /// Name of its group.
    pub(super) group: String,
    /// Times it was sent; unknown when that was before a restart.
    pub(super) attempts: Option<u32>,
    /// What was sent; unknown when that was before a restart.
    pub(super) owed: Option<Owed>,
}

#[derive(Debug, Default)]
struct List {
    parked: BTreeMap<TxnId, Parked>,
    counts: HashMap<String, u32>,
}

impl List {
    fn count(&mut self, group: &str, change: impl FnOnce(u32) -> u32) {
        let count = self.counts.entry(group.to_owned()).or_default();
        *count = change(*count);
        metrics::exceptions(group, *count);
    }
}

/// See the module. Changed with the transaction's lane held.
#[derive(Debug, Default)]
pub(crate) struct Exceptions(Mutex<List>);

impl Exceptions {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows every group to be without any.
    pub(super) fn begin<'g>(&self, groups: impl Iterator<Item = &'g str>) {
        let mut list = self.lock();
        groups.for_each(|group| list.count(group, |count| count));
    }

    /// Takes one in.
    pub(super) fn park(&self, txn: TxnId, parked: Parked) {
        let mut list = self.lock();
        let group = parked.group.clone();
        if list.parked.insert(txn, parked).is_none() {
            list.count(&group, |count| count.saturating_add(1));
        }
    }

    /// Takes one out, if it is there.
    pub(super) fn take(&self, txn: TxnId) -> Option<Parked> {
        let mut list = self.lock();
        let parked = list.parked.remove(&txn)?;
        list.count(&parked.group, |count| count.saturating_sub(1));
        Some(parked)
    }

    fn holds(&self, txn: TxnId) -> bool {
        self.lock().parked.contains_key(&txn)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().parked.len()
    }

    /// How often one was sent, if that is known.
    pub(crate) fn attempts(&self, txn: TxnId) -> Option<u32> {
        self.lock().parked.get(&txn)?.attempts
    }
}

impl Switch {
    /// Puts what a parked transaction owes back on its group's book, as if it were owed for the first time.
    /// What is returned is told when that is durable; it never is told when the process ends before.
    ///
    /// # Errors
    /// When it is not parked, or what is owed cannot be made; it is as before then.
    pub(crate) fn resend(
        &self,
        row: &TransactionRow,
        journal: &mut dyn JournalStore,
        done: &Intervention,
    ) -> Result<oneshot::Receiver<()>, ExceptionError> {
        let group = self.group_named(&row.group);
        let group = group.ok_or_else(|| ExceptionError::GroupGone(row.group.clone()))?;
        if row.fate == Fate::Expire {
            return Err(ExceptionError::NothingOwed);
        }
        let new = self.owed_of_journal(row, group, None, journal)?;
        let new = new.ok_or(ExceptionError::Unwritable)?;
        self.decide(row, Some(group), done, |lane| {
            lane.resent(row.txn);
            self.owe(new)
                .then_some(())
                .ok_or(ExceptionError::Journal(JournalError::Closed))
        })
    }

    /// Ends a parked transaction: nothing more is sent for it. What is returned is told when that is
    /// durable, as with [`Self::resend`].
    ///
    /// # Errors
    /// When it is not parked; it is as before then.
    pub(crate) fn close_exception(
        &self,
        row: &TransactionRow,
        done: &Intervention,
    ) -> Result<oneshot::Receiver<()>, ExceptionError> {
        let closed = Outcome {
            txn: row.txn,
            at: done.at,
            kind: OutcomeKind::Closed,
            code: *b"  ",
            booked: 0,
            answer: Box::default(),
        };
        self.decide(row, self.group_named(&row.group), done, |lane| {
            lane.closed(row.txn);
            self.journal
                .append(Effect::Nothing, |out| closed.encode(out))?;
            // What was to be reversed was taken back when its reversal was owed.
            if row.fate == Fate::Repeat && self.directory.counters().any() {
                let remembered = self.directory.counters().recall(row.key, row.txn);
                self.uncount(remembered.or_else(|| tally_of(row)));
            }
            self.exceptions.take(row.txn);
            Ok(())
        })
    }

    /// Journals who decided what, and then what follows from it. Should the process end between the two, the
    /// decision stands in the journal and the transaction is parked as before.
    fn decide(
        &self,
        row: &TransactionRow,
        group: Option<usize>,
        done: &Intervention,
        then: impl FnOnce(&mut Lane) -> Result<(), ExceptionError>,
    ) -> Result<oneshot::Receiver<()>, ExceptionError> {
        let (tell, told) = oneshot::channel();
        self.lanes.with(row.key, |lane| {
            if !self.exceptions.holds(row.txn) {
                return Err(ExceptionError::NotParked);
            }
            // A lane of a group that is not configured does not know it.
            if let Some(group) = group {
                let window = self.groups[group].dialect.repeats().window;
                let until = self.until(Some(row.at), window);
                let mut transaction = self.stored_transaction(row, group, until);
                transaction.state = State::Parked;
                lane.take_up(transaction);
            }
            self.journal
                .append(Effect::Nothing, |out| done.encode(out))?;
            then(lane)?;
            self.journal
                .append(Effect::Tell(Some(tell)), |_nothing| {})?;
            let (verb, by) = (done.verb.name(), done.name.as_str());
            tracing::info!(txn = row.txn.0, group = %row.group, verb, by, "a person decided about what was parked");
            Ok(told)
        })
    }

    fn group_named(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.name == name)
    }

    /// What is owed, from the journal's own records: the intent, and the reason if none is given and a reversal
    /// of it was owed before.
    pub(super) fn owed_of_journal(
        &self,
        row: &TransactionRow,
        group: usize,
        reason: Option<ResponseCode>,
        journal: &mut dyn JournalStore,
    ) -> Result<Option<NewlyOwed>, StoreError> {
        let mut intent: Option<Box<Intent<'static>>> = None;
        let mut reason = reason;
        let mut groups = row.groups.clone();
        groups.dedup();
        for wanted in groups {
            records_of(journal, wanted, &mut |record| match record {
                Record::Intent(found) if found.txn == row.txn => intent = Some(found),
                Record::Outcome(outcome)
                    if outcome.txn == row.txn && outcome.kind == OutcomeKind::ReversalOwed =>
                {
                    reason = reason.or_else(|| Some(ResponseCode::new(outcome.code)));
                }
                Record::Intent(_)
                | Record::Outcome(_)
                | Record::Intervention(_)
                | Record::Tombstone { .. }
                | Record::SignedOn { .. }
                | Record::SignedOff { .. }
                | Record::Batch(_)
                | Record::StanBlock { .. } => {}
            })?;
        }
        let owed =
            intent.and_then(|intent| self.owed_of_intent(row, group, &intent, row.fate, reason));
        Ok(owed)
    }

    /// A transaction's intent, if the journal has it.
    pub(super) fn intent_of(
        &self,
        row: &TransactionRow,
        journal: &mut dyn JournalStore,
    ) -> Result<Option<Box<Intent<'static>>>, StoreError> {
        let mut intent = None;
        if let Some(first) = row.groups.first() {
            records_of(journal, *first, &mut |record| {
                if let Record::Intent(found) = record
                    && found.txn == row.txn
                {
                    intent = Some(found);
                }
            })?;
        }
        Ok(intent)
    }
}
