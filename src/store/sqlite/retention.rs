//! Deletes what has been kept long enough, in small steps beside the gateway.
//!
//! A journal group goes when it is projected and everything in it is older than asked for. Records of
//! transactions that are open, or whose reversal is owed, are never deleted: their group is written anew
//! with nothing but them, under its own number. What else a deleted group said and still holds (open
//! batches, reserved STANs, the last transaction's number) goes into tables of `journal.db` from which a
//! read model made anew begins. A row of the read model goes when its transaction is closed and older.
//!
//! The steps commit without a sync of their own: the next group's sync covers them, and what a power cut
//! takes is deleted again.

use std::collections::HashSet;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::erasure::Erasure;
use super::files::Floor;
use super::{SqliteFolder, SqliteJournal, SqliteReadModel, from_sql, postings, to_sql};
use crate::base::Timestamp;
use crate::store::record;
use crate::store::{ReadModel, Record, StoreError};

/// Groups looked at in one step: the journal's writer waits for a step at most.
pub(super) const STEP_GROUPS: u32 = 64;
/// Bytes of groups after which a step takes no further one.
const STEP_BYTES: usize = 4 << 20;
/// Rows looked at in one step.
const STEP_ROWS: u32 = 500;

const _: () = assert!(postings::PART_BITS == 14, "stands in a statement");

/// Pages of a write-ahead log at which a step copies it into its file. More than the journal's writer and
/// the projection let it grow to: only where they are idle is it done here.
const LOG_PAGES: u32 = 8_000;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Groups that are gone.
    pub groups: u64,
    /// Groups of which only what is open or owed is left.
    pub shortened: u64,
    /// Transactions that are gone from the read model.
    pub transactions: u64,
    /// Whether there is more to look at now.
    pub more: bool,
}

/// See the module. Has connections of its own.
#[derive(Debug)]
pub struct Retention {
    pub(super) journal: SqliteJournal,
    pub(super) model: SqliteReadModel,
    /// Groups up to here were looked at in this pass.
    group: u64,
    /// Transactions up to here were looked at in this pass.
    txn: u64,
    pub(super) erasure: Erasure,
}

/// A group while it is looked at.
pub(super) struct Group {
    pub(super) sequence: u64,
    pub(super) records: Vec<Record>,
}

impl Retention {
    /// Opens a store's files once more.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(folder: &SqliteFolder) -> Result<Self, StoreError> {
        let (journal, model) = (folder.journal()?, folder.read_model()?);
        for db in [journal.db(), model.db()] {
            let set = format!("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint={LOG_PAGES}");
            db.execute_batch(&set)
                .map_err(StoreError::engine("setting up the deletion of old groups"))?;
        }
        let erasure = Erasure::begin(journal.db()).map_err(StoreError::engine(
            "reading how far card numbers are erased",
        ))?;
        Ok(Self {
            journal,
            model,
            group: 0,
            txn: 0,
            erasure,
        })
    }

    /// Deletes journal groups that are projected and older than `before`, a few at most.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a group is damaged: what cannot be read is not deleted.
    pub fn delete_groups(&mut self, before: Timestamp) -> Result<Deleted, StoreError> {
        let groups = self.old_groups(self.group, before, STEP_GROUPS)?;
        let Some(last) = groups.last().map(|group| group.sequence) else {
            // The next pass looks again at what was kept for being open.
            self.group = 0;
            return Ok(Deleted::default());
        };
        let undone = self.undone(&groups)?;
        let mut done = Deleted {
            more: true,
            ..Deleted::default()
        };
        let mut write = |journal: &mut Connection| -> rusqlite::Result<()> {
            // Whoever begins by reading is refused at once when somebody else has written since.
            let step = journal.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for group in &groups {
                delete_group(&step, group, &undone, &mut done)?;
            }
            let named = groups.iter().flat_map(|group| &group.records);
            let last_txn = named.filter_map(Record::txn).map(|txn| txn.0).max();
            let floor = Floor {
                last_txn: last_txn.unwrap_or(0),
                ..Floor::default()
            };
            floor.raise(&step)?;
            step.commit()
        };
        write(self.journal.db_mut()).map_err(StoreError::engine("deleting old groups"))?;
        self.group = last;
        Ok(done)
    }

    /// Deletes rows of transactions that are closed and older than `before`, a few at most.
    ///
    /// # Errors
    /// When the read model cannot be read or written.
    pub fn delete_transactions(&mut self, before: Timestamp) -> Result<Deleted, StoreError> {
        let (from, db) = (self.txn, self.model.db());
        let step = || -> rusqlite::Result<Option<(u64, u64)>> {
            let step = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            let mut end = None;
            {
                let mut old = step.prepare_cached(
                    // Nothing beyond the last part that has something as old: most looks end there.
                    "SELECT id FROM txn WHERE id > ?1 AND at < ?2 \
                     AND id < (SELECT (max(part) + 1) << 14 FROM span WHERE first_at < ?2) \
                     ORDER BY id LIMIT ?3",
                )?;
                let mut rows = old.query(params![to_sql(from), to_sql(before.0), STEP_ROWS])?;
                while let Some(row) = rows.next()? {
                    end = Some(from_sql(row.get(0)?));
                }
            }
            super::batch::delete(&step, to_sql(before.0), STEP_ROWS)?;
            let Some(end) = end else {
                step.commit()?;
                return Ok(None);
            };
            let gone = step
                .prepare_cached(
                    "DELETE FROM txn WHERE id > ?1 AND id <= ?2 AND at < ?3 \
                     AND outcome IS NOT NULL \
                     AND outcome NOT IN ('reversal-owed', 'repeat-owed', 'parked')",
                )?
                .execute(params![to_sql(from), to_sql(end), to_sql(before.0)])?;
            step.prepare_cached(
                "DELETE FROM intervention WHERE txn > ?1 AND txn <= ?2 \
                 AND txn NOT IN (SELECT id FROM txn WHERE id > ?1 AND id <= ?2)",
            )?
            .execute(params![to_sql(from), to_sql(end)])?;
            postings::forget_empty(&step, from, end)?;
            let floor = Floor {
                last_txn: end,
                ..Floor::default()
            };
            floor.raise(&step)?;
            step.commit()?;
            Ok(Some((end, gone as u64)))
        };
        let done = step().map_err(StoreError::engine("deleting old transactions"))?;
        self.txn = done.map_or(0, |(end, _)| end);
        Ok(Deleted {
            transactions: done.map_or(0, |(_, gone)| gone),
            more: done.is_some(),
            ..Deleted::default()
        })
    }

    /// The next groups after one that are projected and of which everything is older.
    pub(super) fn old_groups(
        &mut self,
        after: u64,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        let mark = self.model.mark()?;
        let fail = StoreError::engine;
        let mut next = self
            .journal
            .db()
            .prepare_cached(
                "SELECT sequence, body FROM journal WHERE sequence > ?1 AND sequence <= ?2 \
                 ORDER BY sequence LIMIT ?3",
            )
            .map_err(fail("reading journal.db"))?;
        let mut rows = next
            .query(params![to_sql(after), to_sql(mark), limit])
            .map_err(fail("reading journal.db"))?;
        let (mut groups, mut bytes) = (Vec::new(), 0);
        while bytes < STEP_BYTES
            && let Some(row) = rows.next().map_err(fail("reading journal.db"))?
        {
            let sequence: i64 = row.get(0).map_err(fail("reading journal.db"))?;
            let body = row.get_ref(1).map_err(fail("reading journal.db"))?;
            let (sequence, mut records) = (from_sql(sequence), Vec::new());
            let body = body.as_blob().unwrap_or_default();
            bytes += body.len();
            record::read_group(body, |record| records.push(record))
                .map_err(|problem| StoreError::Damaged { sequence, problem })?;
            // Groups are in the order of time: what follows is not older.
            if records.iter().filter_map(Record::at).any(|at| at >= before) {
                break;
            }
            groups.push(Group { sequence, records });
        }
        Ok(groups)
    }

    /// Transactions of these groups that are open, owed or parked.
    pub(super) fn undone(&self, groups: &[Group]) -> Result<HashSet<u64>, StoreError> {
        let named = || {
            let records = groups.iter().flat_map(|group| &group.records);
            records.filter_map(Record::txn).map(|txn| txn.0)
        };
        let (Some(first), Some(last)) = (named().min(), named().max()) else {
            return Ok(HashSet::new());
        };
        let read = |db: &Connection| -> rusqlite::Result<HashSet<u64>> {
            let mut undone = db.prepare_cached(
                "SELECT id FROM txn WHERE (outcome IS NULL \
                 OR outcome IN ('reversal-owed', 'repeat-owed', 'parked')) \
                 AND id BETWEEN ?1 AND ?2",
            )?;
            let rows = undone.query_map([to_sql(first), to_sql(last)], |row| {
                row.get(0).map(from_sql)
            })?;
            rows.collect()
        };
        read(self.model.db()).map_err(StoreError::engine("reading readmodel.db"))
    }
}

fn delete_group(
    db: &Connection,
    group: &Group,
    undone: &HashSet<u64>,
    done: &mut Deleted,
) -> rusqlite::Result<()> {
    let kept: Vec<_> = group
        .records
        .iter()
        .filter(|record| record.txn().is_some_and(|txn| undone.contains(&txn.0)))
        .collect();
    if kept.len() == group.records.len() {
        return Ok(());
    }
    for record in &group.records {
        still_holds(db, record)?;
    }
    if kept.is_empty() {
        db.prepare_cached("DELETE FROM journal WHERE sequence = ?1")?
            .execute([to_sql(group.sequence)])?;
        SqliteJournal::note_deleted(db, group.sequence, group.sequence, "kept-long-enough")?;
        done.groups += 1;
        return Ok(());
    }
    rewrite(db, group.sequence, &kept)?;
    done.shortened += 1;
    Ok(())
}

/// Writes a group anew under its number.
pub(super) fn rewrite(db: &Connection, sequence: u64, records: &[&Record]) -> rusqlite::Result<()> {
    let mut body = Vec::new();
    record::begin_group(&mut body);
    records.iter().for_each(|record| record.encode(&mut body));
    record::end_group(&mut body);
    db.prepare_cached("UPDATE journal SET records = ?2, body = ?3 WHERE sequence = ?1")?
        .execute(params![
            to_sql(sequence),
            to_sql(records.len() as u64),
            body
        ])
        .map(drop)
}

/// What a record that goes said and still holds.
fn still_holds(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let signed = |key: &crate::binding::TerminalKey, batch: u32, on: bool| {
        db.prepare_cached("INSERT OR REPLACE INTO base_terminal VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key.acquirer.0, key.terminal.as_str(), batch, on])
            .map(drop)
    };
    match record {
        Record::SignedOn { key, batch, at: _ } => signed(key, batch.get(), true),
        Record::SignedOff { key, batch, at: _ } => signed(key, batch.get(), false),
        Record::StanBlock { group, date, end } => db
            .prepare_cached("INSERT OR REPLACE INTO base_stan_block VALUES (?1, ?2, ?3)")?
            .execute(params![group, date, to_sql(*end)])
            .map(drop),
        Record::Batch(record) => match record.next_batch() {
            Some(next) => signed(&record.key, next.get(), false),
            None => Ok(()),
        },
        // A tombstone has done its work when a reversal of its age can no longer meet its original.
        Record::Intent(_)
        | Record::Outcome(_)
        | Record::Intervention(_)
        | Record::Tombstone { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::trial::{DAY, Trial, key, outcome, sale, stan_block};
    use super::super::{StoreFile, check, rebuild};
    use super::*;
    use crate::base::{BatchNumber, Note, PersonName, TxnId};
    use crate::store::{Intervention, OutcomeKind, TransactionReader, Verb};

    /// Deletes everything older, step by step.
    fn delete(trial: &Trial, before: u64) -> Deleted {
        let mut retention = Retention::open(&trial.folder).unwrap();
        let mut all = Deleted::default();
        loop {
            let groups = retention.delete_groups(Timestamp(before)).unwrap();
            let rows = retention.delete_transactions(Timestamp(before)).unwrap();
            all.groups += groups.groups;
            all.shortened += groups.shortened;
            all.transactions += rows.transactions;
            if !groups.more && !rows.more {
                return all;
            }
        }
    }

    #[test]
    fn what_is_old_goes_and_a_read_model_made_again_knows_what_still_holds() {
        let trial = Trial::with_ten_sales();
        let before = trial.shown();
        let done = delete(&trial, 6 * DAY);
        // The sign-on, and intents and outcomes of five sales.
        assert_eq!((done.groups, done.transactions), (11, 5));
        assert_eq!(trial.groups(), (12..=21).collect::<Vec<_>>());
        assert!(check(trial.folder.path()).is_sound());
        fs::remove_file(trial.path(StoreFile::ReadModel)).unwrap();
        trial.start().unwrap();
        trial.project();
        assert_eq!(trial.shown(), before);
        assert_eq!(trial.row(5), None);
        assert!(trial.row(6).is_some());
    }

    #[test]
    fn numbers_are_not_used_again_when_nothing_is_left() {
        let trial = Trial::with_ten_sales();
        let before = trial.shown();
        assert_eq!(delete(&trial, 100 * DAY).groups, 21);
        assert_eq!(trial.groups(), [0; 0]);
        assert_eq!(trial.shown().last_txn, TxnId(10));
        fs::remove_file(trial.path(StoreFile::ReadModel)).unwrap();
        trial.start().unwrap();
        assert_eq!(trial.shown().last_txn, before.last_txn);
        assert_eq!(trial.shown().stan_block, before.stan_block);
        assert_eq!(trial.shown().terminals, before.terminals);
        assert_eq!(trial.append(&[sale(11)]), 22);
        assert!(check(trial.folder.path()).is_sound());
    }

    #[test]
    fn what_is_open_or_owed_stays_whatever_its_age() {
        let trial = Trial::with_ten_sales();
        trial.append(&[sale(11), sale(12), sale(13), stan_block(40_001)]);
        trial.append(&[
            outcome(11, OutcomeKind::Approved),
            outcome(12, OutcomeKind::ReversalOwed),
        ]);
        trial.project();
        let shown = trial.shown();
        let done = delete(&trial, 100 * DAY);
        assert_eq!(
            (done.groups, done.shortened, done.transactions),
            (21, 2, 11)
        );
        assert_eq!(trial.groups(), [22, 23]);
        let kept = |trial: &Trial| {
            let outcome = |txn| trial.row(txn).map(|row| row.outcome.map(|o| o.kind));
            (outcome(11), outcome(12), outcome(13))
        };
        let expected = (None, Some(Some(OutcomeKind::ReversalOwed)), Some(None));
        assert_eq!(kept(&trial), expected);
        // What is left of the groups brings the same again: nothing that is done looks open.
        let held = trial.lock();
        rebuild(&trial.folder, &held, &super::super::trial::stamp("now")).unwrap();
        assert_eq!(kept(&trial), expected);
        assert_eq!(trial.shown(), shown);
        // Once they are done they go too.
        trial.append(&[
            outcome(12, OutcomeKind::Reversed),
            outcome(13, OutcomeKind::Expired),
        ]);
        trial.project();
        assert_eq!(delete(&trial, 100 * DAY).groups, 3);
        assert_eq!(kept(&trial), (None, None, None));
    }

    #[test]
    fn what_is_parked_stays_with_what_people_did_and_goes_with_it() {
        let trial = Trial::with_ten_sales();
        let resent = Intervention {
            txn: TxnId(11),
            at: Timestamp(11),
            verb: Verb::Resend,
            name: PersonName::parse("Li Wei").unwrap(),
            note: Note::parse("ticket 88").unwrap(),
        };
        trial.append(&[sale(11), outcome(11, OutcomeKind::Parked)]);
        trial.append(&[Record::Intervention(resent.clone())]);
        trial.append(&[outcome(11, OutcomeKind::ReversalOwed)]);
        trial.append(&[outcome(11, OutcomeKind::Parked)]);
        trial.project();
        assert_eq!(delete(&trial, 100 * DAY).transactions, 10);
        assert_eq!(trial.groups(), [22, 23, 24, 25]);
        let interventions = |trial: &Trial| {
            let mut reader = trial.folder.reader().unwrap();
            reader.interventions(TxnId(11)).unwrap()
        };
        assert_eq!(interventions(&trial), [resent]);
        trial.append(&[outcome(11, OutcomeKind::Closed)]);
        trial.project();
        assert_eq!(delete(&trial, 100 * DAY).transactions, 1);
        assert_eq!(trial.groups(), [0; 0]);
        assert_eq!(interventions(&trial), []);
    }

    #[test]
    fn what_is_not_projected_stays() {
        let trial = Trial::with_ten_sales();
        trial.append(&[outcome(10, OutcomeKind::ReversalOwed)]);
        delete(&trial, 100 * DAY);
        assert_eq!(trial.groups(), [22]);
    }

    #[test]
    fn the_last_word_on_a_terminal_is_kept() {
        let trial = Trial::with_ten_sales();
        let (batch, at) = (BatchNumber::new(4).unwrap(), Timestamp(2));
        trial.append(&[Record::SignedOff {
            key: key(),
            batch,
            at,
        }]);
        trial.project();
        delete(&trial, 100 * DAY);
        fs::remove_file(trial.path(StoreFile::ReadModel)).unwrap();
        trial.start().unwrap();
        assert_eq!(trial.shown().terminals, [(key(), batch, false)]);
    }

    #[test]
    fn it_is_in_nobodys_way_while_everything_is_written() {
        let trial = Trial::with_ten_sales();
        let last = 60;
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for txn in 11..=last {
                    trial.append(&[sale(txn)]);
                    trial.append(&[outcome(txn, OutcomeKind::Approved)]);
                    trial.project();
                }
            });
            let mut retention = Retention::open(&trial.folder).unwrap();
            let before = Timestamp((last + 1) * DAY);
            while !writing.is_finished() {
                retention.delete_groups(before).unwrap();
                retention.delete_transactions(before).unwrap();
            }
        });
        delete(&trial, (last + 1) * DAY);
        assert_eq!(trial.groups(), [0; 0]);
        assert_eq!(trial.shown().last_txn, TxnId(last));
        assert!(check(trial.folder.path()).is_sound());
    }

    #[test]
    fn a_damaged_group_is_not_deleted() {
        let trial = Trial::with_ten_sales();
        trial.damage(3);
        let mut retention = Retention::open(&trial.folder).unwrap();
        let refused = retention.delete_groups(Timestamp(100 * DAY)).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { sequence: 3, .. }));
        assert_eq!(trial.groups().len(), 21);
    }
}
