//! The embedded default: SQLite, bundled, write-ahead logged, synced in full.
//!
//! Three files in one folder, because SQLite has one writer a file: `journal.db` (the money path, one
//! writer thread), `registry.db` (what operators change) and `readmodel.db` (projected, rebuildable, and
//! so synced less). Each carries its schema number and refuses to be opened by an older build; `files` says
//! how they belong together.

mod affairs;
mod audit;
mod backup;
mod batch;
mod check;
mod erasure;
mod files;
mod import;
mod journal;
mod limits;
mod parcels;
mod postings;
mod query;
mod read_model;
mod registry;
mod repair;
mod retention;
mod scan;
mod standing;
mod tokens;
#[cfg(test)]
mod trial;
mod upkeep;
mod writes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;
use crate::base::failpoint::{self, Point};

pub use backup::{Manifest, Restored, backup, restore};
pub use check::{Finding, Mend, Report, check};
pub use erasure::Erased;
pub use files::{StoreFile, advised};
pub use journal::SqliteJournal;
pub use query::SqliteReader;
pub use read_model::SqliteReadModel;
pub use registry::SqliteRegistry;
pub use repair::{GivenUp, Rebuilt, Repaired, ShownStill, given_up, rebuild, repair};
pub use retention::{Deleted, Retention};
pub use scan::{Wait, scan};
pub use upkeep::{Anew, SKIPPED_STANS, Stamp, Unknown, UpkeepError};

/// A folder with the three files.
#[derive(Clone, Debug)]
pub struct SqliteFolder {
    path: PathBuf,
}

impl SqliteFolder {
    /// Uses a folder, creating it (only its owner may enter) when it is not there.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Takes the folder for one process. Two gateways on one store would give out the same numbers.
    ///
    /// # Errors
    /// When another process has it, or the lock file cannot be made.
    pub fn lock(&self) -> std::io::Result<FolderLock> {
        let path = self.path.join("lock");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(std::io::Error::new(
                std::io::ErrorKind::ResourceBusy,
                "another posgate works on it",
            )),
            Err(std::fs::TryLockError::Error(problem)) => Err(problem),
        }
    }

    /// Path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer schema.
    pub fn journal(&self) -> Result<SqliteJournal, StoreError> {
        SqliteJournal::open(&self.file(StoreFile::Journal))
    }

    /// Opens the registry.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer schema.
    pub fn registry(&self) -> Result<SqliteRegistry, StoreError> {
        SqliteRegistry::open(&self.file(StoreFile::Registry))
    }

    /// Opens the read model.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer schema.
    pub fn read_model(&self) -> Result<SqliteReadModel, StoreError> {
        SqliteReadModel::open(&self.file(StoreFile::ReadModel))
    }
}

/// A folder taken by this process, until it is dropped.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "the open file is the lock")] std::fs::File);

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// `synchronous=FULL`: a commit survives a power cut.
    Full,
    /// `synchronous=NORMAL`: it survives a crash of the process; what a power cut takes is projected again.
    Normal,
}

/// Opens a file, creating it with `migrations` or bringing it up to date. Migration `n` (from 1) leads
/// to schema number `n`; each runs in its own transaction.
///
/// A new file gets pages of 8 KiB: a journal group fills one or two, and each costs two writes.
fn open(
    path: &Path,
    file: StoreFile,
    sync: Sync,
    migrations: &[&str],
) -> Result<Connection, StoreError> {
    let fail = |doing| file.refused(path, doing);
    let mut db = Connection::open(path).map_err(fail("opening a store file"))?;
    db.busy_timeout(Duration::from_secs(10))
        .map_err(fail("setting the busy timeout"))?;
    let found: u32 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail("reading the schema number"))?;
    // What it is comes first: another of our files may have a higher number.
    file.check_kind(&db, path, found)?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        let file = path.display().to_string();
        return Err(StoreError::NewerSchema { file, found, known });
    }
    let level = match sync {
        Sync::Full => "FULL",
        Sync::Normal => "NORMAL",
    };
    db.execute_batch(&format!(
        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous={level}; PRAGMA foreign_keys=ON;"
    ))
    .map_err(fail("setting up a store file"))?;
    for (at, migration) in migrations.iter().enumerate().skip(found as usize) {
        let step = db.transaction().map_err(fail("starting a migration"))?;
        step.execute_batch(migration)
            .map_err(fail("running a migration"))?;
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        step.pragma_update(None, "user_version", number)
            .map_err(fail("ending a migration"))?;
        step.pragma_update(None, "application_id", file.application_id())
            .map_err(fail("ending a migration"))?;
        failpoint::pass(Point::MigrationRun);
        step.commit().map_err(fail("committing a migration"))?;
        failpoint::pass(Point::MigrationCommitted);
    }
    Ok(db)
}

/// SQLite's integers are signed; ours are stored by their bits, which keeps order below 2^63.
const fn to_sql(value: u64) -> i64 {
    value.cast_signed()
}

const fn from_sql(value: i64) -> u64 {
    value.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(
            open(
                &path,
                StoreFile::Journal,
                Sync::Full,
                &["CREATE TABLE journal(x)", "CREATE TABLE b(x)"],
            )
            .unwrap(),
        );
        let refused = open(
            &path,
            StoreFile::Journal,
            Sync::Full,
            &["CREATE TABLE journal(x)"],
        )
        .unwrap_err();
        assert!(matches!(
            refused,
            StoreError::NewerSchema {
                found: 2,
                known: 1,
                ..
            }
        ));
    }

    #[test]
    fn a_folder_is_for_one_process_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let folder = SqliteFolder::open(place.path()).unwrap();
        let held = folder.lock().unwrap();
        assert!(folder.lock().is_err());
        drop(held);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn migrations_run_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(
            open(
                &path,
                StoreFile::Journal,
                Sync::Full,
                &["CREATE TABLE journal(x)"],
            )
            .unwrap(),
        );
        let db = open(
            &path,
            StoreFile::Journal,
            Sync::Full,
            &["CREATE TABLE journal(x)", "ALTER TABLE journal ADD y"],
        )
        .unwrap();
        db.execute("INSERT INTO journal(x, y) VALUES (1, 2)", [])
            .unwrap();
    }
}
