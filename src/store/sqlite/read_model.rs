//! The read model in SQLite.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::batch;
use super::files::Floor;
use super::{StoreFile, Sync, from_sql, open, postings, query, to_sql};
use crate::base::failpoint::{self, Point};
use crate::base::{
    AcquirerId, BatchNumber, BindingId, Fate, MaskedPan, Stan, TerminalId, Timestamp,
};
use crate::binding::TerminalKey;
use crate::store::read_model::{
    Changes, Query, ReadModel, RowOutcome, TerminalTotal, TransactionRow,
};
use crate::store::{OutcomeKind, StoreError, TxnId};
use crate::transaction::originals::FollowUps;

pub(super) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE txn (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,   -- microseconds since 1970, as all times
    acquirer      INTEGER NOT NULL,
    terminal      TEXT NOT NULL,
    merchant      TEXT NOT NULL,
    binding       INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    account       INTEGER NOT NULL,
    held          INTEGER NOT NULL,
    request       TEXT NOT NULL,
    sign          INTEGER NOT NULL,
    batch         INTEGER NOT NULL,
    stan          INTEGER NOT NULL,
    upstream      TEXT NOT NULL,
    upstream_stan INTEGER NOT NULL,
    amount        INTEGER NOT NULL,
    currency      TEXT NOT NULL,
    pan           TEXT NOT NULL,      -- masked
    outcome       TEXT,               -- NULL while open
    outcome_at    INTEGER,
    code          TEXT,
    booked        INTEGER,
    rrn           TEXT,
    approval_code TEXT
);
CREATE INDEX txn_binding ON txn(binding, batch, stan);
CREATE TABLE terminal (
    acquirer  INTEGER NOT NULL,
    terminal  TEXT NOT NULL,
    batch     INTEGER NOT NULL,
    signed_on INTEGER NOT NULL,
    PRIMARY KEY (acquirer, terminal)
) WITHOUT ROWID;
CREATE TABLE stan_block (
    upstream TEXT PRIMARY KEY,
    date     INTEGER NOT NULL,
    next     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL);
INSERT INTO mark VALUES (1, 0);
",
    "
-- Which store the file belongs to.
CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL);
-- Numbers that must not be given out again though no row shows them; the journal has the same table.
CREATE TABLE floor (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    last_txn  INTEGER NOT NULL,
    stan_date INTEGER NOT NULL,
    stan_next INTEGER NOT NULL
);
INSERT INTO floor VALUES (1, 0, 0, 0);
",
    "
-- Older rows lack what follows: everything is projected again.
DELETE FROM txn;
DELETE FROM terminal;
DELETE FROM stan_block;
UPDATE mark SET sequence = 0;
ALTER TABLE txn ADD COLUMN fate TEXT NOT NULL DEFAULT 'reverse';
ALTER TABLE txn ADD COLUMN content INTEGER NOT NULL DEFAULT 0;        -- keyed hash
ALTER TABLE txn ADD COLUMN answer BLOB;                               -- see store::projection
CREATE INDEX txn_unfinished ON txn(id)
    WHERE outcome IS NULL OR outcome IN ('reversal-owed', 'repeat-owed');
CREATE TABLE tombstone (
    binding INTEGER NOT NULL,
    batch   INTEGER NOT NULL,
    stan    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (binding, batch, stan)
) WITHOUT ROWID;
",
    query::MIGRATION,
    "
-- Older rows lack what follows: everything is projected again.
DELETE FROM txn;
UPDATE mark SET sequence = 0;
ALTER TABLE txn ADD COLUMN original INTEGER NOT NULL DEFAULT 0;
CREATE INDEX txn_original ON txn(original) WHERE original > 0;
",
    "
CREATE INDEX txn_parked ON txn(id) WHERE outcome = 'parked';
-- What people did with what was parked.
CREATE TABLE intervention (
    txn  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    verb TEXT NOT NULL,
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (txn, at)
) WITHOUT ROWID;
",
    batch::MIGRATION,
    postings::MIGRATION,
];

/// More than the statements that are kept prepared.
const STATEMENTS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct SqliteReadModel {
    db: Connection,
}

impl SqliteReadModel {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let db = open(path, StoreFile::ReadModel, Sync::Normal, MIGRATIONS)?;
        // A round touches index pages of many bindings: with room for them they are written once a round
        // and not again and again. The log is copied into the file in larger pieces for the same reason.
        db.execute_batch("PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=4000;")
            .map_err(StoreError::engine("setting up the read model"))?;
        // All of them: one that drops out of the cache is parsed again in every round.
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { db })
    }

    pub(super) const fn db(&self) -> &Connection {
        &self.db
    }

    fn floor(&self) -> Result<Floor, StoreError> {
        Floor::read(&self.db).map_err(StoreError::engine("reading readmodel.db"))
    }
}

/// Ignoring what is there, which only a journal that repeats itself could bring, needs no statement journal
/// as replacing would: that alone was a third of the projection.
const INSERT: &str = "INSERT OR IGNORE INTO txn VALUES \
    (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30)";

const UPDATE: &str = "UPDATE txn SET outcome = ?2, outcome_at = ?3, code = ?4, booked = ?5, \
    rrn = coalesce(?6, rrn), approval_code = coalesce(?7, approval_code), \
    answer = coalesce(?8, answer), groups = groups || ' ' || ?9 WHERE id = ?1";

impl ReadModel for SqliteReadModel {
    fn mark(&mut self) -> Result<u64, StoreError> {
        self.db
            .query_row("SELECT sequence FROM mark", [], |row| {
                row.get(0).map(from_sql)
            })
            .map_err(StoreError::engine("reading the projection's mark"))
    }

    fn apply(&mut self, changes: &Changes, mark: u64) -> Result<(), StoreError> {
        self.apply_sql(changes, mark)
            .map_err(StoreError::engine("writing readmodel.db"))
    }

    fn last_txn(&mut self) -> Result<TxnId, StoreError> {
        let floor = self.floor()?.last_txn;
        self.db
            .query_row("SELECT coalesce(max(id), 0) FROM txn", [], |row| {
                row.get(0).map(from_sql)
            })
            .map(|shown: u64| TxnId(shown.max(floor)))
            .map_err(StoreError::engine("reading the last transaction"))
    }

    fn terminals(
        &mut self,
        each: &mut dyn FnMut(TerminalKey, BatchNumber, bool),
    ) -> Result<(), StoreError> {
        let fail = StoreError::engine;
        let mut all = self
            .db
            .prepare("SELECT acquirer, terminal, batch, signed_on FROM terminal")
            .map_err(fail("reading the terminals' batches"))?;
        let rows = all
            .query_map([], |row| {
                let batch = BatchNumber::new(row.get(2)?).unwrap_or_default();
                Ok((key_of(row, 0)?, batch, row.get::<_, bool>(3)?))
            })
            .map_err(fail("reading the terminals' batches"))?;
        for row in rows {
            let (key, batch, signed_on) = row.map_err(fail("reading the terminals' batches"))?;
            each(key, batch, signed_on);
        }
        Ok(())
    }

    fn find(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<TransactionRow>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT * FROM txn WHERE binding = ?1 AND batch = ?2 AND stan = ?3 \
                 ORDER BY id DESC LIMIT 1",
            )
            .and_then(|mut one| {
                one.query_row(params![to_sql(binding.0), batch.get(), stan.get()], row_of)
                    .optional()
            })
            .map_err(StoreError::engine("looking up a transaction"))
    }

    fn latest(&mut self, query: &Query, most: usize) -> Result<Vec<TransactionRow>, StoreError> {
        query::read_page(&self.db, query, None, most)
            .map_err(StoreError::engine("looking up transactions"))
    }

    fn transaction(&mut self, txn: TxnId) -> Result<Option<TransactionRow>, StoreError> {
        self.db
            .prepare_cached("SELECT * FROM txn WHERE id = ?1")
            .and_then(|mut one| one.query_row([to_sql(txn.0)], row_of).optional())
            .map_err(StoreError::engine("looking up a transaction"))
    }

    fn unfinished(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError> {
        let fail = StoreError::engine;
        let mut open = self
            .db
            .prepare(
                "SELECT * FROM txn \
                 WHERE outcome IS NULL OR outcome IN ('reversal-owed', 'repeat-owed') ORDER BY id",
            )
            .map_err(fail("reading what is unfinished"))?;
        let rows = open
            .query_map([], row_of)
            .map_err(fail("reading what is unfinished"))?;
        for row in rows {
            each(row.map_err(fail("reading what is unfinished"))?);
        }
        Ok(())
    }

    fn parked(&mut self, each: &mut dyn FnMut(TransactionRow)) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut parked = self.db.prepare(
                "SELECT * FROM txn INDEXED BY txn_parked WHERE outcome = 'parked' ORDER BY id",
            )?;
            for row in parked.query_map([], row_of)? {
                each(row?);
            }
            Ok(())
        };
        read().map_err(StoreError::engine("reading what is parked"))
    }

    fn tombstone(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
        stan: Stan,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT at FROM tombstone WHERE binding = ?1 AND batch = ?2 AND stan = ?3",
            )
            .and_then(|mut one| {
                one.query_row(params![to_sql(binding.0), batch.get(), stan.get()], |row| {
                    row.get(0).map(from_sql).map(Timestamp)
                })
                .optional()
            })
            .map_err(StoreError::engine("looking up a tombstone"))
    }

    fn highest_stan(
        &mut self,
        binding: BindingId,
        batch: BatchNumber,
    ) -> Result<Option<(Stan, Timestamp)>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT stan, at FROM ( \
                     SELECT stan, at FROM txn WHERE binding = ?1 AND batch = ?2 \
                     ORDER BY stan DESC, id DESC LIMIT 1) \
                 UNION ALL SELECT stan, at FROM ( \
                     SELECT stan, at FROM tombstone WHERE binding = ?1 AND batch = ?2 \
                     ORDER BY stan DESC LIMIT 1) \
                 ORDER BY stan DESC LIMIT 1",
            )
            .and_then(|mut one| {
                one.query_row(params![to_sql(binding.0), batch.get()], |row| {
                    let stan = Stan::new(row.get(0)?).unwrap_or(Stan::FIRST);
                    Ok((stan, Timestamp(from_sql(row.get(1)?))))
                })
                .optional()
            })
            .map_err(StoreError::engine("looking up a batch"))
    }

    fn follow_ups(&mut self, original: TxnId) -> Result<FollowUps, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<FollowUps> {
            let mut follow_ups = FollowUps::default();
            let mut rows =
                db.prepare_cached("SELECT * FROM txn WHERE original = ?1 AND original > 0")?;
            for row in rows.query_map([to_sql(original.0)], row_of)? {
                row?.count_in(&mut follow_ups);
            }
            Ok(follow_ups)
        };
        read(&self.db).map_err(StoreError::engine("looking up what follows a transaction"))
    }

    fn stan_block(&mut self, group: &str) -> Result<Option<(u32, u64)>, StoreError> {
        let floor = self.floor()?;
        let floor = (floor.stan_date > 0).then_some((floor.stan_date, floor.stan_next));
        self.db
            .query_row(
                "SELECT date, next FROM stan_block WHERE upstream = ?1",
                [group],
                |row| Ok((row.get(0)?, from_sql(row.get(1)?))),
            )
            .optional()
            .map(|shown| shown.max(floor))
            .map_err(StoreError::engine("reading reserved STANs"))
    }

    fn totals(&mut self) -> Result<Vec<TerminalTotal>, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<TerminalTotal>> {
            let mut sums = db.prepare(
                "SELECT acquirer, terminal, sum(sign * booked), count(*) FROM txn \
                 WHERE outcome = 'approved' AND sign <> 0 GROUP BY acquirer, terminal",
            )?;
            let rows = sums.query_map([], |row| {
                let count: i64 = row.get(3)?;
                Ok(TerminalTotal {
                    key: key_of(row, 0)?,
                    net: row.get(2)?,
                    count: from_sql(count),
                })
            })?;
            rows.collect()
        };
        read(&self.db).map_err(StoreError::engine("adding up terminals"))
    }
}

impl SqliteReadModel {
    fn apply_sql(&mut self, changes: &Changes, mark: u64) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        {
            let mut insert = step.prepare_cached(INSERT)?;
            for row in &changes.inserted {
                let done = row.outcome.as_ref();
                insert.execute(params![
                    to_sql(row.txn.0),
                    to_sql(row.at.0),
                    row.key.acquirer.0,
                    row.key.terminal.as_str(),
                    row.merchant,
                    to_sql(row.binding.0),
                    row.version,
                    row.account,
                    row.held,
                    row.request,
                    row.sign,
                    row.batch.get(),
                    row.stan.get(),
                    row.group,
                    row.upstream_stan.get(),
                    to_sql(row.amount),
                    row.currency,
                    row.pan.as_str(),
                    done.map(|o| o.kind.name()),
                    done.map(|o| to_sql(o.at.0)),
                    done.map(|o| o.code.as_str()),
                    done.map(|o| to_sql(o.booked)),
                    done.and_then(|o| o.rrn.as_deref()),
                    done.and_then(|o| o.approval_code.as_deref()),
                    row.fate.name(),
                    to_sql(row.content),
                    done.and_then(kept_answer),
                    row.kind.name(),
                    query::groups_text(&row.groups),
                    to_sql(row.original.0),
                ])?;
            }
            let mut update = step.prepare_cached(UPDATE)?;
            for (txn, outcome, group) in &changes.updated {
                let Some(outcome) = outcome else {
                    step.prepare_cached(
                        "UPDATE txn SET groups = groups || ' ' || ?2 WHERE id = ?1",
                    )?
                    .execute([to_sql(txn.0), to_sql(*group)])?;
                    continue;
                };
                update.execute(params![
                    to_sql(txn.0),
                    outcome.kind.name(),
                    to_sql(outcome.at.0),
                    outcome.code,
                    to_sql(outcome.booked),
                    outcome.rrn,
                    outcome.approval_code,
                    kept_answer(outcome),
                    to_sql(*group),
                ])?;
            }
            for done in &changes.interventions {
                step.prepare_cached("INSERT OR REPLACE INTO intervention VALUES (?1,?2,?3,?4,?5)")?
                    .execute(params![
                        to_sql(done.txn.0),
                        to_sql(done.at.0),
                        done.verb.name(),
                        done.name.as_str(),
                        done.note.as_str()
                    ])?;
            }
            let mut terminal =
                step.prepare_cached("INSERT OR REPLACE INTO terminal VALUES (?1,?2,?3,?4)")?;
            for (key, batch, signed_on) in &changes.terminals {
                terminal.execute(params![
                    key.acquirer.0,
                    key.terminal.as_str(),
                    batch.get(),
                    signed_on
                ])?;
            }
            let mut blocks =
                step.prepare_cached("INSERT OR REPLACE INTO stan_block VALUES (?1,?2,?3)")?;
            for (group, date, next) in &changes.stan_blocks {
                blocks.execute(params![group, date, to_sql(*next)])?;
            }
            let mut tombstones =
                step.prepare_cached("INSERT OR REPLACE INTO tombstone VALUES (?1,?2,?3,?4)")?;
            for tomb in &changes.tombstones {
                tombstones.execute(params![
                    to_sql(tomb.binding.0),
                    tomb.batch.get(),
                    tomb.stan.get(),
                    to_sql(tomb.at.0)
                ])?;
            }
            batch::apply(&step, &changes.batches)?;
            postings::keep_up(&step, changes)?;
            step.prepare_cached("UPDATE mark SET sequence = ?1")?
                .execute([to_sql(mark)])?;
        }
        failpoint::pass(Point::ProjectionWritten);
        step.commit()
    }
}

/// SQL's way of saying that an outcome has nothing of an answer.
fn kept_answer(outcome: &RowOutcome) -> Option<&[u8]> {
    (!outcome.answer.is_empty()).then_some(&*outcome.answer)
}

pub(super) fn key_of(row: &Row<'_>, at: usize) -> rusqlite::Result<TerminalKey> {
    let terminal = row.get_ref(at + 1)?.as_str()?;
    let terminal = TerminalId::parse(terminal).unwrap_or(TerminalId::from_padded([b' '; 8]));
    Ok(TerminalKey {
        acquirer: AcquirerId(row.get(at)?),
        terminal,
    })
}

pub(super) fn row_of(row: &Row<'_>) -> rusqlite::Result<TransactionRow> {
    let kind: Option<String> = row.get(18)?;
    let kind = kind.and_then(|name| OutcomeKind::from_name(&name));
    let outcome = match kind {
        None => None,
        Some(kind) => Some(RowOutcome {
            at: Timestamp(from_sql(row.get(19)?)),
            kind,
            code: row.get(20)?,
            booked: from_sql(row.get(21)?),
            rrn: row.get(22)?,
            approval_code: row.get(23)?,
            answer: row
                .get::<_, Option<Vec<u8>>>(26)?
                .unwrap_or_default()
                .into(),
        }),
    };
    let pan: String = row.get(17)?;
    let fate: String = row.get(24)?;
    Ok(TransactionRow {
        txn: TxnId(from_sql(row.get(0)?)),
        at: Timestamp(from_sql(row.get(1)?)),
        key: key_of(row, 2)?,
        merchant: row.get(4)?,
        binding: BindingId(from_sql(row.get(5)?)),
        version: row.get(6)?,
        account: row.get(7)?,
        held: row.get(8)?,
        // A word this build does not know is treated as what is always safe.
        fate: Fate::from_name(&fate).unwrap_or(Fate::Reverse),
        request: row.get(9)?,
        sign: row.get(10)?,
        batch: BatchNumber::new(row.get(11)?).unwrap_or_default(),
        stan: Stan::new(row.get(12)?).unwrap_or(Stan::FIRST),
        group: row.get(13)?,
        upstream_stan: Stan::new(row.get(14)?).unwrap_or(Stan::FIRST),
        amount: from_sql(row.get(15)?),
        currency: row.get(16)?,
        pan: MaskedPan::from_stored(&pan),
        content: from_sql(row.get(25)?),
        original: TxnId(from_sql(row.get(29)?)),
        outcome,
        kind: query::kind_of(row.get_ref(27)?.as_str()?)?,
        groups: query::groups_of(row.get_ref(28)?.as_str()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BatchNumber;
    use crate::store::memory::MemoryJournal;
    use crate::store::projection::project_round;
    use crate::store::record::{self, Record, tests::intent};
    use crate::store::{JournalStore, Outcome};

    fn outcome(txn: u64, kind: OutcomeKind, booked: u64) -> Record {
        let (at, code) = (Timestamp(txn), *b"00");
        Record::Outcome(Outcome {
            txn: TxnId(txn),
            at,
            kind,
            code,
            booked,
            answer: Box::default(),
        })
    }

    fn group(records: &[Record]) -> Vec<u8> {
        let mut group = Vec::new();
        record::begin_group(&mut group);
        records.iter().for_each(|r| r.encode(&mut group));
        record::end_group(&mut group);
        group
    }

    fn projected(groups: &[&[Record]]) -> (tempfile::TempDir, SqliteReadModel) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = SqliteReadModel::open(&folder.path().join("readmodel.db")).unwrap();
        let mut journal = MemoryJournal::default();
        for records in groups {
            journal.append(&group(records), 1).unwrap();
            project_round(&mut journal, &mut model).unwrap();
        }
        (folder, model)
    }

    #[test]
    fn an_outcome_of_a_later_round_completes_the_row() {
        let sale = || Record::Intent(Box::new(intent(5)));
        let (_folder, mut model) =
            projected(&[&[sale()], &[outcome(5, OutcomeKind::Approved, 1_050)]]);
        let stan = Stan::new(5).unwrap();
        let row = model
            .find(BindingId(1), BatchNumber::FIRST, stan)
            .unwrap()
            .unwrap();
        assert_eq!(row.outcome.unwrap().kind, OutcomeKind::Approved);
        assert_eq!(row.pan.as_str(), "621700******0001");
        assert_eq!(model.mark().unwrap(), 2);
        assert_eq!(model.last_txn().unwrap(), TxnId(5));
    }

    #[test]
    fn only_standing_approvals_count() {
        let sales: Vec<_> = (1..=4)
            .map(|n| Record::Intent(Box::new(intent(n))))
            .collect();
        let (_folder, mut model) = projected(&[
            &sales,
            &[
                outcome(1, OutcomeKind::Approved, 1_050),
                outcome(2, OutcomeKind::Declined, 0),
                outcome(3, OutcomeKind::Approved, 1_050),
                outcome(4, OutcomeKind::Approved, 500),
            ],
            &[outcome(3, OutcomeKind::ReversalOwed, 0)],
        ]);
        let totals = model.totals().unwrap();
        assert_eq!(totals.len(), 1);
        assert_eq!((totals[0].net, totals[0].count), (1_550, 2));
    }

    #[test]
    fn the_highest_number_of_a_batch_may_be_a_tombstones_in_both_models() {
        let tombstone = |n| Record::Tombstone {
            key: intent(1).key,
            binding: BindingId(1),
            batch: BatchNumber::FIRST,
            stan: Stan::new(n).unwrap(),
            at: Timestamp(n.into()),
        };
        let sale = || Record::Intent(Box::new(intent(5)));
        for (records, expect) in [
            (vec![], None),
            (vec![sale()], Some(5)),
            (vec![tombstone(7)], Some(7)),
            (vec![tombstone(7), sale()], Some(7)),
            (vec![tombstone(3), sale()], Some(5)),
        ] {
            let (_folder, mut model) = projected(&[&records]);
            let mut journal = MemoryJournal::default();
            journal.append(&group(&records), 1).unwrap();
            let mut in_memory = crate::store::memory::MemoryReadModel::default();
            project_round(&mut journal, &mut in_memory).unwrap();
            let models: [&mut dyn ReadModel; 2] = [&mut model, &mut in_memory];
            for model in models {
                let highest = model.highest_stan(BindingId(1), BatchNumber::FIRST);
                let highest = highest.unwrap().map(|(stan, _)| stan.get());
                assert_eq!(highest, expect, "{records:?}");
                let next = model.highest_stan(BindingId(1), BatchNumber::FIRST.next());
                assert_eq!(next.unwrap(), None);
            }
        }
    }

    #[test]
    fn the_last_batch_of_a_terminal_counts() {
        let key = intent(1).key;
        let at = Timestamp(1);
        let (first, second) = (BatchNumber::FIRST, BatchNumber::FIRST.next());
        let (_folder, mut model) = projected(&[&[
            Record::SignedOn {
                key,
                batch: first,
                at,
            },
            Record::SignedOff {
                key,
                batch: second,
                at,
            },
        ]]);
        let mut seen = Vec::new();
        model
            .terminals(&mut |key, batch, on| seen.push((key, batch, on)))
            .unwrap();
        assert_eq!(seen, [(key, second, false)]);
    }

    #[test]
    fn a_damaged_group_stops_the_projection_and_is_named() {
        let mut journal = MemoryJournal::default();
        let mut bytes = group(&[outcome(1, OutcomeKind::Declined, 0)]);
        bytes[5] ^= 1;
        journal.append(&bytes, 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut model = SqliteReadModel::open(&folder.path().join("readmodel.db")).unwrap();
        let refused = project_round(&mut journal, &mut model).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { sequence: 1, .. }));
        assert_eq!(model.mark().unwrap(), 0);
    }
}
