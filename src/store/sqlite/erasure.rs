//! Erases sealed card numbers that no reversal or repeat needs any more, in small steps beside the gateway.
//!
//! A group is written anew under its own number, with [`ERASED`] where something was sealed, once it is projected and
//! everything in it is older than asked for. What is open, owed or parked keeps its card number and is looked at again
//! later. As with what is deleted, the steps commit without a sync of their own: what a power cut brings back is erased
//! again.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::{Connection, TransactionBehavior};

use super::retention::{Group, Retention, STEP_GROUPS, rewrite};
use super::{from_sql, to_sql};
use crate::base::Timestamp;
use crate::store::projection::{SEALED_ELEMENTS, keep_element, kept_element, kept_elements};
use crate::store::record::ERASED;
use crate::store::{Intent, Record, StoreError};

/// Groups with something open that are looked at again in one step.
const AGAIN_GROUPS: usize = 64;

/// How far it is.
#[derive(Clone, Debug)]
pub(super) struct Erasure {
    /// Groups up to here were looked at.
    group: u64,
    /// Of those, groups in which something open was left.
    left: BTreeSet<u64>,
    /// The one of them that was looked at last.
    again: u64,
}

/// What one step erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Transactions whose card number is gone.
    pub transactions: u64,
    /// Whether there is more to look at now.
    pub more: bool,
}

impl Erasure {
    pub(super) fn begin(journal: &Connection) -> rusqlite::Result<Self> {
        let group = journal.query_row("SELECT upto FROM erased", [], |row| {
            row.get(0).map(from_sql)
        })?;
        Ok(Self {
            group,
            left: BTreeSet::new(),
            again: 0,
        })
    }

    /// Up to here nothing is left.
    fn upto(&self) -> u64 {
        self.left.first().map_or(self.group, |first| first - 1)
    }
}

impl Retention {
    /// Erases the sealed card numbers of transactions that are closed and older than `before`, those of a few groups
    /// at most.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a group is damaged: it is left as it is.
    pub fn erase_card_numbers(&mut self, before: Timestamp) -> Result<Erased, StoreError> {
        let mut groups = self.old_groups(self.erasure.group, before, STEP_GROUPS)?;
        let ahead = groups.last().map(|group| group.sequence);
        if ahead.is_none() {
            groups = self.left_groups(before)?;
        }
        if groups.is_empty() {
            return Ok(Erased::default());
        }
        let undone = self.undone(&groups)?;
        // It is only further once that is written: what fails is tried again.
        let mut reached = self.erasure.clone();
        let (mut rewritten, mut transactions) = (Vec::new(), 0);
        for group in &mut groups {
            let (mut erased, mut is_left) = (0, false);
            for record in &mut group.records {
                if let Record::Intent(intent) = record {
                    if undone.contains(&intent.txn.0) {
                        is_left |= has_sealed(intent);
                    } else {
                        erased += u64::from(erase(intent));
                    }
                }
            }
            if is_left {
                reached.left.insert(group.sequence);
            } else {
                reached.left.remove(&group.sequence);
            }
            if erased > 0 {
                rewritten.push(&*group);
                transactions += erased;
            }
        }
        reached.group = ahead.unwrap_or(reached.group);
        let upto = reached.upto();
        let write = |journal: &mut Connection| -> rusqlite::Result<()> {
            let step = journal.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for group in &rewritten {
                let records: Vec<_> = group.records.iter().collect();
                rewrite(&step, group.sequence, &records)?;
            }
            step.execute("UPDATE erased SET upto = ?1", [to_sql(upto)])?;
            step.commit()
        };
        write(self.journal.db_mut()).map_err(StoreError::engine("erasing card numbers"))?;
        self.erasure = reached;
        Ok(Erased {
            transactions,
            more: ahead.is_some(),
        })
    }

    /// Some of the groups in which something was left, in turn.
    fn left_groups(&mut self, before: Timestamp) -> Result<Vec<Group>, StoreError> {
        let erasure = &mut self.erasure;
        let mut wanted: Vec<_> = erasure.left.range(erasure.again + 1..).copied().collect();
        wanted.truncate(AGAIN_GROUPS);
        erasure.again = wanted.last().copied().unwrap_or(0);
        let mut groups = Vec::new();
        for sequence in wanted {
            let next = self.old_groups(sequence - 1, before, 1)?;
            match next.into_iter().next() {
                Some(group) if group.sequence == sequence => groups.push(group),
                // Deleted meanwhile.
                Some(_) | None => {
                    self.erasure.left.remove(&sequence);
                }
            }
        }
        Ok(groups)
    }
}

fn has_sealed(intent: &Intent<'_>) -> bool {
    let pan = !intent.sealed_pan.is_empty() && *intent.sealed_pan != ERASED;
    let elements = kept_element(&intent.reversal, SEALED_ELEMENTS);
    pan || elements.is_some_and(|sealed| *sealed != ERASED)
}

/// Whether there was something to erase.
fn erase(intent: &mut Intent<'_>) -> bool {
    if !has_sealed(intent) {
        return false;
    }
    if !intent.sealed_pan.is_empty() {
        intent.sealed_pan = Cow::Borrowed(&ERASED);
    }
    let mut kept = Vec::with_capacity(intent.reversal.len());
    for (de, element) in kept_elements(&intent.reversal) {
        let is_sealed = de == SEALED_ELEMENTS;
        keep_element(&mut kept, de, if is_sealed { &ERASED } else { element });
    }
    intent.reversal = Cow::Owned(kept);
    true
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::trial::{DAY, Trial, outcome, sale};
    use super::*;
    use crate::base::TxnId;
    use crate::store::{JournalStore as _, OutcomeKind};

    const CARD: &[u8] = b"what is sealed of a card number";
    const FIELD: &[u8] = b"what is sealed of a field";

    fn sealed_sale(txn: u64) -> Record {
        let Record::Intent(mut intent) = sale(txn) else {
            unreachable!()
        };
        intent.sealed_pan = Cow::Borrowed(CARD);
        let mut kept = Vec::new();
        keep_element(&mut kept, 11, b"000501");
        keep_element(&mut kept, SEALED_ELEMENTS, FIELD);
        keep_element(&mut kept, 49, b"156");
        intent.reversal = Cow::Owned(kept);
        Record::Intent(intent)
    }

    /// Erases step by step; how many.
    fn erase_all(retention: &mut Retention, before: u64) -> u64 {
        let mut all = 0;
        loop {
            let step = retention.erase_card_numbers(Timestamp(before)).unwrap();
            all += step.transactions;
            if !step.more {
                // Once more, for those that were left.
                let again = retention.erase_card_numbers(Timestamp(before)).unwrap();
                return all + again.transactions;
            }
        }
    }

    /// Transactions in whose intent something is sealed.
    fn sealed(trial: &Trial) -> Vec<u64> {
        let mut sealed = Vec::new();
        let mut journal = trial.folder.journal().unwrap();
        let mut each = |_: u64, group: &[u8]| {
            let add = |record| {
                if let Record::Intent(intent) = record
                    && has_sealed(&intent)
                {
                    sealed.push(intent.txn.0);
                }
            };
            crate::store::record::read_group(group, add).unwrap();
            true
        };
        journal.replay(0, &mut each).unwrap();
        sealed
    }

    #[test]
    fn card_numbers_go_with_the_age_of_what_is_closed_and_nothing_else_goes() {
        let trial = Trial::new();
        // Two groups of two, one of which is open, and one that is owed.
        trial.append(&[sealed_sale(1), sealed_sale(2)]);
        trial.append(&[sealed_sale(3), sealed_sale(4)]);
        trial.append(&[outcome(1, OutcomeKind::Approved)]);
        trial.append(&[outcome(2, OutcomeKind::Declined)]);
        trial.append(&[
            outcome(3, OutcomeKind::ReversalOwed),
            outcome(4, OutcomeKind::Approved),
        ]);
        trial.append(&[sealed_sale(20), outcome(20, OutcomeKind::Approved)]);
        let mut retention = Retention::open(&trial.folder).unwrap();
        // Nothing before it is projected.
        assert_eq!(erase_all(&mut retention, 10 * DAY), 0);
        trial.project();
        let groups = trial.groups();
        assert_eq!(erase_all(&mut retention, 10 * DAY), 3);
        assert_eq!(sealed(&trial), [3, 20]);
        assert_eq!(trial.groups(), groups);
        assert!(check(trial.folder.path()).is_sound());
        // What is kept beside it is as it was, and what was sealed says that it is gone.
        let mut journal = trial.folder.journal().unwrap();
        let mut first = None;
        let mut each = |_: u64, group: &[u8]| {
            let take = |record| first = first.take().or(Some(record));
            crate::store::record::read_group(group, take).unwrap();
            false
        };
        journal.replay(0, &mut each).unwrap();
        let Some(Record::Intent(intent)) = first else {
            panic!("no intent");
        };
        assert_eq!((intent.txn, &*intent.sealed_pan), (TxnId(1), &ERASED[..]));
        let kept = |de| kept_element(&intent.reversal, de);
        assert_eq!(kept(11), Some(&b"000501"[..]));
        assert_eq!(kept(SEALED_ELEMENTS), Some(&ERASED[..]));
        assert_eq!(kept(49), Some(&b"156"[..]));
        // The one that was owed goes when it is done, in this life and in the next.
        let mut next = Retention::open(&trial.folder).unwrap();
        assert_eq!(erase_all(&mut next, 10 * DAY), 0);
        trial.append(&[outcome(3, OutcomeKind::Reversed)]);
        trial.project();
        assert_eq!(erase_all(&mut retention, 10 * DAY), 1);
        assert_eq!(erase_all(&mut next, 10 * DAY), 0);
        assert_eq!(sealed(&trial), [20]);
        let mut next = Retention::open(&trial.folder).unwrap();
        assert_eq!(erase_all(&mut next, 30 * DAY), 1);
        assert_eq!(sealed(&trial), [0; 0]);
    }

    #[test]
    fn what_could_not_be_erased_is_tried_again() {
        let trial = Trial::new();
        trial.append(&[sealed_sale(1), outcome(1, OutcomeKind::Approved)]);
        trial.project();
        let mut retention = Retention::open(&trial.folder).unwrap();
        let read_only = |retention: &Retention, on: &str| {
            let set = format!("PRAGMA query_only = {on}");
            retention.journal.db().execute_batch(&set).unwrap();
        };
        read_only(&retention, "ON");
        let before = Timestamp(10 * DAY);
        assert!(retention.erase_card_numbers(before).is_err());
        read_only(&retention, "OFF");
        assert_eq!(erase_all(&mut retention, 10 * DAY), 1);
        assert_eq!(sealed(&trial), [0; 0]);
    }

    #[test]
    fn no_byte_of_what_was_erased_is_left_in_the_files() {
        let trial = Trial::new();
        trial.append(&[sealed_sale(1), outcome(1, OutcomeKind::Approved)]);
        trial.project();
        let mut retention = Retention::open(&trial.folder).unwrap();
        assert_eq!(erase_all(&mut retention, 10 * DAY), 1);
        drop(retention);
        // The last connection copies the log into the file and removes it.
        let file = trial.path(super::super::StoreFile::Journal);
        let bytes = std::fs::read(&file).unwrap();
        let has = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
        assert!(has(b"000501"));
        assert!(!has(CARD) && !has(FIELD));
        assert!(!file.with_extension("db-wal").exists());
    }
}
