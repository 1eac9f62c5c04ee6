//! The journal in SQLite: one row a group, one sync a row.

use std::path::Path;

use rusqlite::{Connection, params};

use super::query::open_to_read;
use super::{StoreFile, Sync, from_sql, open, to_sql};
use crate::store::{JournalStore, StoreError};

pub(super) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,  -- counts groups, without gaps
    records  INTEGER NOT NULL,     -- records in the group
    body     BLOB NOT NULL         -- see store::record
);
",
    "
-- Which store the file belongs to.
CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL);
-- Groups that were deleted on purpose. Every other gap is damage.
CREATE TABLE deleted (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL,
    why   TEXT NOT NULL             -- 'kept-long-enough', or 'cut' from a torn end
);
-- What deleted groups said and still holds: a read model made anew begins with it.
CREATE TABLE base_terminal (
    acquirer  INTEGER NOT NULL,
    terminal  TEXT NOT NULL,
    batch     INTEGER NOT NULL,
    signed_on INTEGER NOT NULL,
    PRIMARY KEY (acquirer, terminal)
) WITHOUT ROWID;
CREATE TABLE base_stan_block (
    upstream TEXT PRIMARY KEY,
    date     INTEGER NOT NULL,
    next     INTEGER NOT NULL
) WITHOUT ROWID;
-- Numbers that must not be given out again though no record shows them.
CREATE TABLE floor (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    last_txn  INTEGER NOT NULL,
    stan_date INTEGER NOT NULL,
    stan_next INTEGER NOT NULL
);
INSERT INTO floor VALUES (1, 0, 0, 0);
",
    "
-- Up to this group nothing sealed is left.
CREATE TABLE erased (one INTEGER PRIMARY KEY CHECK (one = 1), upto INTEGER NOT NULL);
INSERT INTO erased VALUES (1, 0);
",
];

/// Pages the write-ahead log may grow to before it is copied into the file. The log is then written over
/// from its start, which spares the sync the work of a growing file.
const LOG_PAGES: u32 = 2_000;

/// See the module.
#[derive(Debug)]
pub struct SqliteJournal {
    db: Connection,
    next: u64,
}

impl SqliteJournal {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let db = open(path, StoreFile::Journal, Sync::Full, MIGRATIONS)?;
        db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
            .map_err(StoreError::engine("setting up journal.db"))?;
        let last = last_of(&db)?;
        Ok(Self { db, next: last + 1 })
    }

    pub(super) const fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) const fn db_mut(&mut self) -> &mut Connection {
        &mut self.db
    }

    /// For reading only: the engine refuses what would write.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let db = open_to_read(path, MIGRATIONS)?;
        Ok(Self { db, next: 0 })
    }
}

impl JournalStore for SqliteJournal {
    fn append(&mut self, group: &[u8], records: u32) -> Result<u64, StoreError> {
        let fail = StoreError::engine;
        let sequence = self.next;
        self.db
            .prepare_cached("INSERT INTO journal(sequence, records, body) VALUES (?1, ?2, ?3)")
            .map_err(fail("preparing journal.db"))?
            .execute(params![to_sql(sequence), records, group])
            .map_err(fail("appending to journal.db"))?;
        self.next += 1;
        Ok(sequence)
    }

    fn last_sequence(&mut self) -> Result<u64, StoreError> {
        last_of(&self.db)
    }

    fn replay(
        &mut self,
        after: u64,
        each: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let fail = StoreError::engine;
        let mut groups = self
            .db
            .prepare_cached(
                "SELECT sequence, body FROM journal WHERE sequence > ?1 ORDER BY sequence",
            )
            .map_err(fail("preparing to read journal.db"))?;
        let mut rows = groups
            .query([to_sql(after)])
            .map_err(fail("reading journal.db"))?;
        let mut expected = after + 1;
        while let Some(row) = rows.next().map_err(fail("reading journal.db"))? {
            let sequence: i64 = row.get(0).map_err(fail("reading journal.db"))?;
            let body = row.get_ref(1).map_err(fail("reading journal.db"))?;
            let body = body.as_blob().map_err(|source| StoreError::Engine {
                doing: "reading journal.db",
                source: Box::new(source),
            })?;
            let sequence = from_sql(sequence);
            if sequence > expected {
                let missing = missing(&self.db, expected, sequence - 1)
                    .map_err(fail("reading journal.db"))?;
                if let Some(&(first, last)) = missing.first() {
                    return Err(StoreError::Gap { first, last });
                }
            }
            expected = sequence + 1;
            if !each(sequence, body) {
                break;
            }
        }
        Ok(())
    }
}

/// Last group that is there or was deleted: sequence numbers are never used again.
pub(super) const LAST: &str = "SELECT max((SELECT coalesce(max(sequence), 0) FROM journal), \
    (SELECT coalesce(max(last), 0) FROM deleted))";

fn last_of(db: &Connection) -> Result<u64, StoreError> {
    db.query_row(LAST, [], |row| row.get(0))
        .map(from_sql)
        .map_err(StoreError::engine("reading the end of journal.db"))
}

/// Which of these groups, none of which is there, were not deleted on purpose, as ranges.
pub(super) fn missing(db: &Connection, first: u64, last: u64) -> rusqlite::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut from = first;
    let mut ranges = db.prepare_cached(
        "SELECT first, last FROM deleted WHERE first <= ?2 AND last >= ?1 ORDER BY first",
    )?;
    let mut rows = ranges.query([to_sql(first), to_sql(last)])?;
    while let Some(row) = rows.next()? {
        let (begin, end) = (from_sql(row.get(0)?), from_sql(row.get(1)?));
        if begin > from {
            found.push((from, begin - 1));
        }
        from = from.max(end + 1);
    }
    if from <= last {
        found.push((from, last));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_survive_reopening_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        {
            let mut journal = SqliteJournal::open(&path).unwrap();
            assert_eq!(journal.append(b"one", 1).unwrap(), 1);
            assert_eq!(journal.append(b"two", 2).unwrap(), 2);
        }
        let mut journal = SqliteJournal::open(&path).unwrap();
        assert_eq!(journal.append(b"three", 1).unwrap(), 3);
        let mut seen = Vec::new();
        journal
            .replay(1, &mut |sequence, group| {
                seen.push((sequence, group.to_vec()));
                true
            })
            .unwrap();
        assert_eq!(seen, [(2, b"two".to_vec()), (3, b"three".to_vec())]);
    }

    #[test]
    fn a_gap_is_damage_unless_it_was_made_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
        for _ in 0..6 {
            journal.append(b"group", 1).unwrap();
        }
        let gone = "DELETE FROM journal WHERE sequence BETWEEN 2 AND 4";
        journal.db.execute(gone, []).unwrap();
        let refused = journal.replay(0, &mut |_, _| true).unwrap_err();
        assert!(matches!(refused, StoreError::Gap { first: 2, last: 4 }));
        let noted = "INSERT INTO deleted VALUES (2, 2, 'x'), (3, 4, 'x')";
        journal.db.execute(noted, []).unwrap();
        let mut seen = Vec::new();
        let each = &mut |sequence, _: &[u8]| {
            seen.push(sequence);
            true
        };
        journal.replay(0, each).unwrap();
        assert_eq!(seen, [1, 5, 6]);
    }

    #[test]
    fn a_full_disk_takes_nothing_and_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
        journal.append(b"one", 1).unwrap();
        let pages: u32 = journal
            .db
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let limit = |journal: &SqliteJournal, pages: u32| {
            let set = format!("PRAGMA max_page_count={pages}");
            journal.db.query_row(&set, [], |_now| Ok(())).unwrap();
        };
        limit(&journal, pages);
        let large = vec![7; 100_000];
        let refused = journal.append(&large, 1).unwrap_err();
        assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
        assert_eq!(journal.last_sequence().unwrap(), 1);
        limit(&journal, pages + 100);
        assert_eq!(journal.append(&large, 1).unwrap(), 2);
    }

    #[test]
    fn sequence_numbers_are_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let mut journal = SqliteJournal::open(&path).unwrap();
        journal.append(b"group", 1).unwrap();
        let cut = "DELETE FROM journal; INSERT INTO deleted VALUES (1, 7, 'cut')";
        journal.db.execute_batch(cut).unwrap();
        let mut journal = SqliteJournal::open(&path).unwrap();
        assert_eq!(journal.append(b"group", 1).unwrap(), 8);
    }
}
