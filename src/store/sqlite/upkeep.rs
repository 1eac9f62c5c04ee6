//! What repairing, backing up and restoring have in common: files that are kept aside and never deleted,
//! and numbers that must not be given out a second time.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::check::Finding;
use super::files::Floor;
use super::{SqliteFolder, StoreFile, from_sql, to_sql};
use crate::base::Timestamp;
use crate::store::projection::project_round;
use crate::store::record;
use crate::store::{JournalStore, Outcome, OutcomeKind, ReadModel, StoreError, TxnId};

/// Transaction numbers skipped after a loss. More than are given out between two backups: ten thousand a
/// second for eleven days.
const SKIPPED_TXNS: u64 = 10_000_000_000;

/// Own STANs of each group skipped on the day of a loss: half of what a day has.
pub const SKIPPED_STANS: u64 = 500_000;

/// Why a store could not be tended. Nothing was changed unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read, written or moved.
    #[error("{path} cannot be {doing}")]
    File {
        /// Which.
        path: String,
        /// "copied", "moved", "made".
        doing: &'static str,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Something is wrong that this does not mend.
    #[error("{what}")]
    Refused {
        /// What, and the way out.
        what: String,
    },
    /// The store, or the backup, is not sound.
    #[error("{} is not sound: {}", .place, crate::base::Counted(.findings.len() as u64, "finding"))]
    Unsound {
        /// Which folder.
        place: String,
        /// What is wrong.
        findings: Vec<Finding>,
    },
}

impl UpkeepError {
    pub(super) fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File {
            path,
            doing,
            source,
        }
    }

    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }
}

/// When something is done: names the folder that old files go to, and the day whose STANs are skipped.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Good in a file name, and never used twice.
    pub name: String,
    /// Now.
    pub at: Timestamp,
    /// Business date as year * 10000 + month * 100 + day.
    pub date: u32,
}

/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

fn paths_of(folder: &Path, file: StoreFile) -> impl Iterator<Item = PathBuf> {
    COMPANIONS
        .map(|end| folder.join(format!("{}{end}", file.name())))
        .into_iter()
}

/// A new folder inside the store's for files that are being replaced.
fn aside(folder: &Path, stamp: &Stamp) -> Result<PathBuf, UpkeepError> {
    let aside = folder.join(format!("replaced-{}", stamp.name));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&aside)
        .map_err(UpkeepError::file(&aside, "made"))?;
    Ok(aside)
}

/// Copies all files of the store aside.
pub(super) fn copy_aside(folder: &Path, stamp: &Stamp) -> Result<PathBuf, UpkeepError> {
    let aside = aside(folder, stamp)?;
    for file in StoreFile::ALL {
        for path in paths_of(folder, file).filter(|path| path.exists()) {
            copy(&path, &aside.join(path.file_name().unwrap_or_default()))?;
        }
    }
    sync_folder(&aside)?;
    Ok(aside)
}

/// Moves one file of the store aside, with what SQLite keeps beside it.
pub(super) fn move_aside(
    folder: &Path,
    file: StoreFile,
    stamp: &Stamp,
) -> Result<Option<PathBuf>, UpkeepError> {
    if !folder.join(file.name()).exists() {
        return Ok(None);
    }
    let aside = aside(folder, stamp)?;
    for path in paths_of(folder, file).filter(|path| path.exists()) {
        let to = aside.join(path.file_name().unwrap_or_default());
        fs::rename(&path, &to).map_err(UpkeepError::file(&path, "moved"))?;
    }
    sync_folder(folder)?;
    Ok(Some(aside))
}

/// Copies a file; it is on the disk when this returns.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), UpkeepError> {
    fs::copy(from, to).map_err(UpkeepError::file(from, "copied"))?;
    sync_file(to)
}

pub(super) fn sync_file(path: &Path) -> Result<(), UpkeepError> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(UpkeepError::file(path, "synced"))
}

/// Names in a folder are on the disk when this returns.
pub(super) fn sync_folder(path: &Path) -> Result<(), UpkeepError> {
    sync_file(path)
}

/// Puts a finished database in place of one of the store's files.
pub(super) fn put_in_place(
    made: &Path,
    folder: &Path,
    file: StoreFile,
    stamp: &Stamp,
) -> Result<Option<PathBuf>, UpkeepError> {
    sync_file(made)?;
    let aside = move_aside(folder, file, stamp)?;
    let place = folder.join(file.name());
    fs::rename(made, &place).map_err(UpkeepError::file(made, "moved"))?;
    sync_folder(folder)?;
    Ok(aside)
}

/// A transaction whose end lies behind what is left of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Transaction.
    pub txn: u64,
    /// DE41.
    pub terminal: String,
    /// The terminal's STAN.
    pub stan: u32,
    /// Name of the request in its dialect.
    pub request: String,
    /// DE4.
    pub amount: u64,
    /// DE49.
    pub currency: String,
    /// Upstream group.
    pub group: String,
}

/// What going on after a loss came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anew {
    /// Last transaction number that will not be used.
    pub last_txn: u64,
    /// Transactions that were open where the journal ends now.
    pub unknown: Vec<Unknown>,
}

/// DE39 of transactions whose end is not known. No host sends it.
const UNKNOWN_CODE: [u8; 2] = *b"??";

/// Projects everything, then makes the store one that goes on after a loss.
///
/// Numbers that were given out behind the end of this journal must not be given out again. And what is
/// open at its end was most likely approved since, so that no recovery may reverse it by itself (invariant
/// 4): it is parked, until its terminal or a person says otherwise.
pub(super) fn begin_anew(folder: &SqliteFolder, stamp: &Stamp) -> Result<Anew, UpkeepError> {
    let (mut journal, mut model) = (folder.journal()?, folder.read_model()?);
    journal.seed(&mut model)?;
    while project_round(&mut journal, &mut model)? > 0 {}
    let unknown =
        open_transactions(model.db()).map_err(StoreError::engine("reading open transactions"))?;
    if !unknown.is_empty() {
        let mut group = Vec::new();
        record::begin_group(&mut group);
        for one in &unknown {
            let parked = Outcome {
                txn: TxnId(one.txn),
                at: stamp.at,
                kind: OutcomeKind::Parked,
                code: UNKNOWN_CODE,
                booked: 0,
                answer: Box::default(),
            };
            parked.encode(&mut group);
        }
        record::end_group(&mut group);
        let records = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        journal.append(&group, records)?;
        while project_round(&mut journal, &mut model)? > 0 {}
    }
    let last = model.last_txn()?.0;
    let reserved = model
        .db()
        .query_row(
            "SELECT coalesce(max(next), 1) FROM stan_block WHERE date = ?1",
            [stamp.date],
            |row| row.get(0).map(from_sql),
        )
        .map_err(StoreError::engine("reading reserved STANs"))?;
    let floor = Floor {
        last_txn: (last + SKIPPED_TXNS).div_ceil(SKIPPED_TXNS) * SKIPPED_TXNS,
        stan_date: stamp.date,
        stan_next: reserved + SKIPPED_STANS,
    };
    let fail = StoreError::engine;
    floor
        .raise(journal.db())
        .map_err(fail("skipping numbers"))?;
    floor.raise(model.db()).map_err(fail("skipping numbers"))?;
    let last_txn = floor.last_txn;
    Ok(Anew { last_txn, unknown })
}

fn open_transactions(db: &rusqlite::Connection) -> rusqlite::Result<Vec<Unknown>> {
    let mut open = db.prepare(
        "SELECT id, terminal, stan, request, amount, currency, upstream FROM txn \
         WHERE outcome IS NULL ORDER BY id",
    )?;
    let rows = open.query_map([], |row| {
        Ok(Unknown {
            txn: from_sql(row.get(0)?),
            terminal: row.get(1)?,
            stan: row.get(2)?,
            request: row.get(3)?,
            amount: from_sql(row.get(4)?),
            currency: row.get(5)?,
            group: row.get(6)?,
        })
    })?;
    rows.collect()
}

impl super::SqliteJournal {
    /// Gives a read model what the records of deleted groups said, and the numbers not to be used again.
    pub(super) fn seed(&self, model: &mut super::SqliteReadModel) -> Result<(), StoreError> {
        let fail = StoreError::engine;
        let floor = Floor::read(self.db()).map_err(fail("reading journal.db"))?;
        floor
            .raise(model.db())
            .map_err(fail("writing readmodel.db"))?;
        if model.mark()? > 0 {
            return Ok(());
        }
        let copy = |db: &rusqlite::Connection| -> rusqlite::Result<()> {
            let into = model.db().unchecked_transaction()?;
            let mut terminals =
                db.prepare("SELECT acquirer, terminal, batch, signed_on FROM base_terminal")?;
            let mut rows = terminals.query([])?;
            while let Some(row) = rows.next()? {
                let (acquirer, terminal): (u16, String) = (row.get(0)?, row.get(1)?);
                let (batch, signed_on): (u32, bool) = (row.get(2)?, row.get(3)?);
                into.prepare_cached("INSERT OR REPLACE INTO terminal VALUES (?1,?2,?3,?4)")?
                    .execute((acquirer, terminal, batch, signed_on))?;
            }
            let mut blocks = db.prepare("SELECT upstream, date, next FROM base_stan_block")?;
            let mut rows = blocks.query([])?;
            while let Some(row) = rows.next()? {
                let (upstream, date, next): (String, u32, i64) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                into.prepare_cached("INSERT OR REPLACE INTO stan_block VALUES (?1,?2,?3)")?
                    .execute((upstream, date, next))?;
            }
            into.commit()
        };
        copy(self.db()).map_err(fail("beginning the read model"))
    }

    /// Notes that groups were deleted on purpose. Ranges that touch become one.
    pub(super) fn note_deleted(
        db: &rusqlite::Connection,
        first: u64,
        last: u64,
        why: &str,
    ) -> rusqlite::Result<()> {
        use rusqlite::OptionalExtension;
        let before: Option<i64> = db
            .prepare_cached("SELECT first FROM deleted WHERE last = ?1 AND why = ?2")?
            .query_row((to_sql(first.saturating_sub(1)), why), |row| row.get(0))
            .optional()?;
        let after: Option<i64> = db
            .prepare_cached("SELECT last FROM deleted WHERE first = ?1 AND why = ?2")?
            .query_row((to_sql(last + 1), why), |row| row.get(0))
            .optional()?;
        let (from, to) = (
            before.unwrap_or_else(|| to_sql(first)),
            after.unwrap_or_else(|| to_sql(last)),
        );
        db.prepare_cached("DELETE FROM deleted WHERE first IN (?1, ?2)")?
            .execute((from, to_sql(last + 1)))?;
        db.prepare_cached("INSERT INTO deleted VALUES (?1, ?2, ?3)")?
            .execute((from, to, why))?;
        Ok(())
    }
}
