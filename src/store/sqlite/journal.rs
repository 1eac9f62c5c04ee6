//! The journal in SQLite: one row a group, one sync a row.

use std::path::Path;

use rusqlite::{Connection, params};

use super::query::open_to_read;
use super::{Sync, from_sql, open, to_sql};
use crate::store::{JournalStore, StoreError};

const MIGRATIONS: &[&str] = &["
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,  -- counts groups, without gaps
    records  INTEGER NOT NULL,     -- records in the group
    body     BLOB NOT NULL         -- see store::record
);
"];

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
        let db = open(path, Sync::Full, MIGRATIONS)?;
        db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
            .map_err(StoreError::engine("setting up the journal"))?;
        let last = last_of(&db)?;
        Ok(Self { db, next: last + 1 })
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
            .map_err(fail("preparing the journal"))?
            .execute(params![to_sql(sequence), records, group])
            .map_err(fail("appending to the journal"))?;
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
            .map_err(fail("preparing to read the journal"))?;
        let mut rows = groups
            .query([to_sql(after)])
            .map_err(fail("reading the journal"))?;
        while let Some(row) = rows.next().map_err(fail("reading the journal"))? {
            let sequence: i64 = row.get(0).map_err(fail("reading the journal"))?;
            let body = row.get_ref(1).map_err(fail("reading the journal"))?;
            let body = body.as_blob().map_err(|source| StoreError::Engine {
                doing: "reading the journal",
                source: Box::new(source),
            })?;
            if !each(from_sql(sequence), body) {
                break;
            }
        }
        Ok(())
    }
}

fn last_of(db: &Connection) -> Result<u64, StoreError> {
    db.query_row(
        "SELECT coalesce(max(sequence), 0) FROM journal",
        [],
        |row| row.get(0),
    )
    .map(from_sql)
    .map_err(StoreError::engine("reading the end of the journal"))
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
}
