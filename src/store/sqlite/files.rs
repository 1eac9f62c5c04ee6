//! The three files of a store's folder: what each has to be, and whether they belong together.
//!
//! A start looks before it opens anything, because SQLite makes an empty database of a file that is not
//! there, and a journal that silently begins anew has lost money.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::{FolderLock, SqliteFolder, from_sql, to_sql};
use crate::store::{JournalStore, StoreError};
use crate::telemetry::log::chain;

/// What every SQLite file begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// Its presence says that a restore was begun and not finished.
pub(super) const RESTORING: &str = "restoring";

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFile {
    /// The money path.
    Journal,
    /// What operators change.
    Registry,
    /// Projected from the journal.
    ReadModel,
}

impl StoreFile {
    /// All of them, in the order in which a copy has to be taken: the journal may be newer than the read
    /// model, and the registry has to know every binding that the journal names.
    pub const ALL: [Self; 3] = [Self::ReadModel, Self::Journal, Self::Registry];

    /// Its name in the folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal.db",
            Self::Registry => "registry.db",
            Self::ReadModel => "readmodel.db",
        }
    }

    /// SQLite's application id, which tells the three apart: "PGJ1", "PGR1", "PGM1".
    pub(super) const fn application_id(self) -> i32 {
        match self {
            Self::Journal => 0x5047_4A31,
            Self::Registry => 0x5047_5231,
            Self::ReadModel => 0x5047_4D31,
        }
    }

    fn of_application_id(id: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|file| file.application_id() == id)
    }

    /// What to do about a damaged one.
    pub(super) fn remedy(self, folder: &Path) -> String {
        let verb = match self {
            Self::Journal | Self::Registry => "repair",
            Self::ReadModel => "rebuild",
        };
        let folder = folder.display();
        format!(
            "inspect it with `posgate store check --store {folder}`, mend it with \
             `posgate store {verb} --store {folder}`"
        )
    }

    /// That this file, at that path, is not what it has to be.
    pub(super) fn unsound(self, path: &Path, problem: impl Into<String>) -> StoreError {
        StoreError::Unsound {
            file: path.display().to_string(),
            problem: problem.into(),
            remedy: self.remedy(path.parent().unwrap_or(path)),
        }
    }

    /// What SQLite's refusal to open or read this file means.
    pub(super) fn refused(
        self,
        path: &Path,
        doing: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> StoreError {
        move |problem| match problem.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                self.unsound(path, "is no SQLite file, or its header is damaged")
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                self.unsound(path, format!("is cut off or damaged ({problem})"))
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                self.unsound(path, format!("cannot be opened for writing ({problem})"))
            }
            _ => StoreError::engine(doing)(problem),
        }
    }

    /// Refuses a database that is another of the three. `schema` is its schema number; files of schema 1
    /// carried no application id yet.
    pub(super) fn check_kind(
        self,
        db: &Connection,
        path: &Path,
        schema: u32,
    ) -> Result<(), StoreError> {
        if schema == 0 {
            let tables: i64 = db
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(self.refused(path, "reading a file's tables"))?;
            return match tables {
                0 => Ok(()),
                _ => Err(self.unsound(path, "is a database of something else")),
            };
        }
        let found: i32 = db
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(self.refused(path, "reading a file's application id"))?;
        if found == self.application_id() || (found == 0 && schema == 1 && self.has_its_table(db)) {
            return Ok(());
        }
        let problem = match Self::of_application_id(found) {
            Some(other) => format!("is a {}, not a {}", other.name(), self.name()),
            None => "is a database of something else".to_owned(),
        };
        Err(self.unsound(path, problem))
    }

    /// Whether the table is there that only this file has.
    fn has_its_table(self, db: &Connection) -> bool {
        let table = match self {
            Self::Journal => "journal",
            Self::Registry => "binding",
            Self::ReadModel => "txn",
        };
        let found = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let found: rusqlite::Result<i64> = db.query_row(found, [table], |row| row.get(0));
        matches!(found, Ok(1))
    }
}

/// What stands at a file's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// Nothing was ever written to it.
    Empty,
    /// Its first page never reached the disk: the power failed while it was made. Nothing was ever in it.
    Unborn,
    There,
}

/// Bytes of the first page, the only one that is written before there is a log: nothing follows before it is synced.
const FIRST_PAGE_BYTES: u64 = 8_192;

/// Bytes that a disk writes whole or not at all, at least.
const SECTOR_BYTES: usize = 512;

/// Whether a file was being made when the power failed: no more than its first page is there, the sector of its header
/// is not, and it has no log yet.
fn is_unborn(opened: &mut fs::File, bytes: u64, path: &Path) -> io::Result<bool> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let logged = match fs::metadata(log) {
        Ok(meta) => meta.len() > 0,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => false,
        Err(problem) => return Err(problem),
    };
    if bytes > FIRST_PAGE_BYTES || logged {
        return Ok(false);
    }
    opened.rewind()?;
    let mut sector = Vec::new();
    let most = u64::try_from(SECTOR_BYTES).unwrap_or(u64::MAX);
    opened.take(most).read_to_end(&mut sector)?;
    Ok(sector.iter().all(|byte| *byte == 0))
}

/// Looks at a file without opening it as a database.
pub(super) fn look(file: StoreFile, path: &Path) -> Result<Presence, StoreError> {
    let unreadable = |problem: io::Error| file.unsound(path, format!("cannot be read ({problem})"));
    match fs::symlink_metadata(path) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(Presence::Absent),
        Err(problem) => return Err(unreadable(problem)),
        Ok(_) => {}
    }
    let meta = fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        return Err(file.unsound(path, "is no file"));
    }
    if meta.len() == 0 {
        return Ok(Presence::Empty);
    }
    let mut start = [0; HEADER.len()];
    let mut opened = fs::File::open(path).map_err(unreadable)?;
    match opened.read_exact(&mut start) {
        Ok(()) if start == *HEADER => Ok(Presence::There),
        Ok(()) if is_unborn(&mut opened, meta.len(), path).map_err(unreadable)? => {
            Ok(Presence::Unborn)
        }
        Ok(()) => Err(file.unsound(path, "is no SQLite file, or its header is damaged")),
        Err(_cut) => Err(file.unsound(path, "is cut off within its header")),
    }
}

/// Whether a file is there. What is left of one that was never made is taken away.
fn begin_anew(file: StoreFile, path: &Path) -> Result<bool, StoreError> {
    let presence = look(file, path)?;
    if presence == Presence::Unborn {
        tracing::warn!(file = %path.display(), "the power failed while this file was made; it is made anew");
        let emptied = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|opened| {
                opened.set_len(0)?;
                opened.sync_all()
            });
        emptied
            .map_err(|problem| file.unsound(path, format!("cannot be made anew ({problem})")))?;
    }
    Ok(presence == Presence::There)
}

impl SqliteFolder {
    /// Path of one of the files.
    #[must_use]
    pub fn file(&self, file: StoreFile) -> PathBuf {
        self.path().join(file.name())
    }

    /// Looks whether the three files are what they have to be and belong together, and makes what a first
    /// start makes. Reads no more than their beginnings and ends; `posgate store check` reads everything.
    ///
    /// A read model that is not there is begun anew with what the journal's deleted groups said. It must be
    /// held by nobody else, hence the lock.
    ///
    /// # Errors
    /// [`StoreError::Unsound`] with the file, what is wrong and what mends it.
    pub fn prepare(&self, _held: &FolderLock) -> Result<(), StoreError> {
        self.refuse_unfinished_restore()?;
        let journal_file = self.file(StoreFile::Journal);
        let registry_file = self.file(StoreFile::Registry);
        let model_file = self.file(StoreFile::ReadModel);
        let journal_there = begin_anew(StoreFile::Journal, &journal_file)?;
        let registry_there = begin_anew(StoreFile::Registry, &registry_file)?;
        let model_there = begin_anew(StoreFile::ReadModel, &model_file)?;
        if journal_there && !registry_there {
            return Err(StoreFile::Registry.unsound(
                &registry_file,
                "is missing or empty although there is a journal: no terminal would be known",
            ));
        }
        let registry = self.registry()?;
        let begun = journal_begun(registry.db())?;
        // A read model is made from a journal, also where nothing says that there was one.
        if (begun || model_there) && !journal_there {
            return Err(StoreFile::Journal.unsound(
                &journal_file,
                "is missing or empty although this store has had one: what is in flight and what is owed \
                 would be forgotten",
            ));
        }
        let id = store_id(registry.db())?.unwrap_or_default();
        let mut journal = self.journal()?;
        belongs(StoreFile::Journal, journal.db(), &journal_file, &id)?;
        set_journal_begun(registry.db())?;
        let mut model = self.read_model()?;
        belongs(StoreFile::ReadModel, model.db(), &model_file, &id)?;
        if !model_there && journal.last_sequence()? > 0 {
            tracing::warn!(
                file = %model_file.display(),
                "the read model is not there; it is projected from the journal again"
            );
        }
        journal.seed(&mut model)?;
        self.check_ends(&mut journal, &mut model, registry.db())
    }

    fn refuse_unfinished_restore(&self) -> Result<(), StoreError> {
        let marker = self.path().join(RESTORING);
        if !marker.exists() {
            return Ok(());
        }
        Err(StoreError::Unsound {
            file: marker.display().to_string(),
            problem: "says that a restore was not finished".into(),
            remedy: format!(
                "run `posgate restore --overwrite --store {} BACKUP` again",
                self.path().display()
            ),
        })
    }

    /// The journal reaches as far as the read model shows it, and the registry knows what both name.
    fn check_ends(
        &self,
        journal: &mut super::SqliteJournal,
        model: &mut super::SqliteReadModel,
        registry: &Connection,
    ) -> Result<(), StoreError> {
        use crate::store::ReadModel;
        let (last, mark) = (journal.last_sequence()?, model.mark()?);
        if mark > last {
            return Err(StoreFile::Journal.unsound(
                &self.file(StoreFile::Journal),
                format!("ends with group {last}, but groups up to {mark} were projected from it"),
            ));
        }
        let known = largest(registry, "binding", "id")?;
        let named = largest(model.db(), "txn", "binding")?;
        if named > known {
            return Err(StoreFile::Registry.unsound(
                &self.file(StoreFile::Registry),
                format!(
                    "is older than the journal: it knows bindings up to {known}, and transactions name {named}"
                ),
            ));
        }
        Ok(())
    }
}

/// A refusal to start, with what really mends the store: reads all of it for that, which a start does not.
#[must_use]
pub fn advised(folder: &Path, refused: StoreError) -> StoreError {
    let (file, problem) = match &refused {
        StoreError::Unsound { file, problem, .. }
            if StoreFile::ALL
                .iter()
                .any(|each| *file == folder.join(each.name()).display().to_string()) =>
        {
            (file.clone(), problem.clone())
        }
        StoreError::Damaged { sequence, problem } => (
            folder.join(StoreFile::Journal.name()).display().to_string(),
            format!("is damaged: group {sequence}: {problem}"),
        ),
        StoreError::Gap { first, last } => (
            folder.join(StoreFile::Journal.name()).display().to_string(),
            format!("lacks the groups {first} to {last}"),
        ),
        StoreError::Engine { .. } => (folder.display().to_string(), chain(&refused)),
        StoreError::Full { .. }
        | StoreError::NewerSchema { .. }
        | StoreError::OlderSchema { .. }
        | StoreError::Unsound { .. } => return refused,
    };
    let report = super::check(folder);
    if report.is_sound() {
        return refused;
    }
    StoreError::Unsound {
        file,
        problem,
        remedy: report.remedy(folder),
    }
}

/// Largest value of an indexed column.
fn largest(db: &Connection, table: &str, column: &str) -> Result<u64, StoreError> {
    db.query_row(
        &format!("SELECT coalesce(max({column}), 0) FROM {table}"),
        [],
        |row| row.get(0).map(from_sql),
    )
    .map_err(StoreError::engine("comparing the store's files"))
}

/// The number of the store that a file belongs to, if it has one yet.
pub(super) fn store_id(db: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    db.query_row("SELECT id FROM store", [], |row| row.get(0))
        .optional()
        .map_err(StoreError::engine("reading which store a file belongs to"))
}

/// Gives a file without a number the store's; refuses one of another store.
fn belongs(file: StoreFile, db: &Connection, path: &Path, id: &[u8]) -> Result<(), StoreError> {
    match store_id(db)? {
        Some(found) if found == id => Ok(()),
        Some(_) => Err(file.unsound(
            path,
            "belongs to another store than registry.db: files of two stores are mixed here",
        )),
        None => db
            .execute("INSERT INTO store(one, id) VALUES (1, ?1)", [id])
            .map(|_one| ())
            .map_err(StoreError::engine("noting which store a file belongs to")),
    }
}

fn journal_begun(registry: &Connection) -> Result<bool, StoreError> {
    registry
        .query_row("SELECT journal_begun FROM store", [], |row| row.get(0))
        .map_err(StoreError::engine("reading registry.db"))
}

fn set_journal_begun(registry: &Connection) -> Result<(), StoreError> {
    registry
        .execute(
            "UPDATE store SET journal_begun = 1 WHERE journal_begun = 0",
            [],
        )
        .map(|_changed| ())
        .map_err(StoreError::engine("writing registry.db"))
}

/// Numbers that must not be given out again though no row and no record shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    /// Transactions have numbers above it.
    pub(super) last_txn: u64,
    /// On this business date, year * 10000 + month * 100 + day, ...
    pub(super) stan_date: u32,
    /// ... own STANs of every group begin with this running number.
    pub(super) stan_next: u64,
}

impl Floor {
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        db.prepare_cached("SELECT last_txn, stan_date, stan_next FROM floor")?
            .query_row([], |row| {
                Ok(Self {
                    last_txn: from_sql(row.get(0)?),
                    stan_date: row.get(1)?,
                    stan_next: from_sql(row.get(2)?),
                })
            })
    }

    /// Raises what is written; nothing is ever lowered.
    pub(super) fn raise(self, db: &Connection) -> rusqlite::Result<()> {
        let before = Self::read(db)?;
        let (stan_date, stan_next) =
            (before.stan_date, before.stan_next).max((self.stan_date, self.stan_next));
        let after = Self {
            last_txn: before.last_txn.max(self.last_txn),
            stan_date,
            stan_next,
        };
        // A start on a full disk writes nothing that is not new.
        if after == before {
            return Ok(());
        }
        db.prepare_cached("UPDATE floor SET last_txn = ?1, stan_date = ?2, stan_next = ?3")?
            .execute((
                to_sql(after.last_txn),
                after.stan_date,
                to_sql(after.stan_next),
            ))
            .map(|_one| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, outcome, sale};
    use super::*;
    use crate::store::OutcomeKind;

    /// Breaks a sound store; a start must name the file, what is wrong and the command that helps.
    fn refused(file: StoreFile, break_it: impl FnOnce(&Trial, &Path), problem: &str) {
        let trial = Trial::with_ten_sales();
        trial.settle();
        break_it(&trial, &trial.path(file));
        let told = match trial.start() {
            Ok(()) => panic!("{} {problem}: the store is used", file.name()),
            Err(told) => told.to_string(),
        };
        assert!(
            told.starts_with(&trial.path(file).display().to_string()),
            "{told}"
        );
        assert!(told.contains(problem), "{told}");
        let verb = match file {
            StoreFile::ReadModel => "rebuild",
            StoreFile::Journal | StoreFile::Registry => "repair",
        };
        let folder = trial.folder.path().display();
        for command in ["check", verb] {
            let command = format!("`posgate store {command} --store {folder}`");
            assert!(told.contains(&command), "{command} not in {told}");
        }
    }

    #[test]
    fn a_file_that_was_being_made_when_the_power_failed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let start = || {
            let store = SqliteFolder::open(folder.path()).unwrap();
            let lock = store.lock().unwrap();
            store.prepare(&lock).map_err(|refused| refused.to_string())
        };
        let journal = folder.path().join(StoreFile::Journal.name());
        for (bytes, is_made) in [
            (vec![0; 8_192], true),
            (vec![0; 512], true),
            ([vec![0; 512], vec![7; 7_680]].concat(), true),
            ([vec![0; 16], vec![7; 496]].concat(), false),
            (vec![0; 16_384], false),
        ] {
            for file in StoreFile::ALL {
                let path = folder.path().join(file.name());
                for ending in ["", "-wal", "-shm"] {
                    let path = path.display().to_string() + ending;
                    drop(fs::remove_file(path));
                }
            }
            fs::write(&journal, &bytes).unwrap();
            let started = start();
            assert_eq!(started.is_ok(), is_made, "{}: {started:?}", bytes.len());
        }
        // An empty log has nothing in it; with another one something was.
        fs::write(folder.path().join("journal.db-wal"), []).unwrap();
        fs::write(&journal, vec![0; 8_192]).unwrap();
        assert_eq!(start(), Ok(()));
        fs::write(&journal, vec![0; 8_192]).unwrap();
        fs::write(folder.path().join("journal.db-wal"), vec![0; 32]).unwrap();
        assert!(start().unwrap_err().contains("its header is damaged"));
    }

    #[test]
    fn a_start_refuses_every_file_that_is_not_what_it_has_to_be() {
        for file in StoreFile::ALL {
            refused(
                file,
                |_, path| fs::write(path, "this is no database at all, not at all").unwrap(),
                "is no SQLite file",
            );
            refused(
                file,
                |_, path| fs::write(path, "SQLite").unwrap(),
                "is cut off within its header",
            );
            let cut = |_: &Trial, path: &Path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            };
            refused(file, cut, "is cut off or damaged");
            let folder = |_: &Trial, path: &Path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            };
            refused(file, folder, "is no file");
            let other = |_: &Trial, path: &Path| {
                fs::remove_file(path).unwrap();
                let db = Connection::open(path).unwrap();
                db.execute_batch("CREATE TABLE photos(x)").unwrap();
            };
            refused(file, other, "is a database of something else");
        }
    }

    #[test]
    fn a_start_refuses_a_file_in_the_place_of_another() {
        for (file, other) in [
            (StoreFile::Journal, StoreFile::Registry),
            (StoreFile::Registry, StoreFile::ReadModel),
            (StoreFile::ReadModel, StoreFile::Journal),
        ] {
            let copy = |trial: &Trial, path: &Path| {
                fs::copy(trial.path(other), path).unwrap();
            };
            let problem = format!("is a {}, not a {}", other.name(), file.name());
            refused(file, copy, &problem);
        }
    }

    #[test]
    fn a_start_refuses_to_begin_a_journal_or_a_registry_anew() {
        for file in [StoreFile::Journal, StoreFile::Registry] {
            refused(
                file,
                |_, path| fs::remove_file(path).unwrap(),
                "is missing or empty",
            );
            refused(
                file,
                |_, path| fs::write(path, "").unwrap(),
                "is missing or empty",
            );
        }
    }

    #[test]
    fn a_start_refuses_files_of_two_stores() {
        for file in [StoreFile::Journal, StoreFile::ReadModel] {
            let mixed = |_: &Trial, path: &Path| {
                let other = Trial::with_ten_sales();
                other.settle();
                fs::copy(other.path(file), path).unwrap();
            };
            refused(file, mixed, "belongs to another store");
        }
    }

    #[test]
    fn a_start_refuses_a_journal_or_a_registry_older_than_what_was_made_from_it() {
        let lost = |trial: &Trial, _: &Path| {
            trial.sql(
                StoreFile::Journal,
                "DELETE FROM journal WHERE sequence > 15",
            );
        };
        refused(
            StoreFile::Journal,
            lost,
            "ends with group 15, but groups up to 21 were projected from it",
        );
        let lost = |trial: &Trial, _: &Path| {
            trial.sql(
                StoreFile::Registry,
                "DROP TRIGGER binding_kept; DELETE FROM binding",
            );
        };
        refused(StoreFile::Registry, lost, "is older than the journal");
    }

    #[test]
    fn a_read_model_that_was_deleted_is_projected_again_with_all_a_start_needs() {
        let trial = Trial::with_ten_sales();
        trial.append(&[sale(11)]);
        trial.append(&[outcome(11, OutcomeKind::ReversalOwed)]);
        trial.project();
        let before = (trial.shown(), trial.row(7), trial.row(11));
        fs::remove_file(trial.path(StoreFile::ReadModel)).unwrap();
        trial.start().unwrap();
        trial.project();
        assert_eq!((trial.shown(), trial.row(7), trial.row(11)), before);
        assert_eq!(before.0.last_txn.0, 11);
        assert_eq!(before.0.stan_block, Some((20_261_122, 20_001)));
        assert_eq!(before.0.terminals.len(), 1);
    }

    #[test]
    fn a_first_start_finds_nothing_and_an_interrupted_one_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let folder = SqliteFolder::open(place.path()).unwrap();
        // What SQLite leaves when it ends between opening a file and writing to it.
        for file in StoreFile::ALL {
            fs::write(folder.file(file), "").unwrap();
        }
        folder.prepare(&folder.lock().unwrap()).unwrap();
        folder.prepare(&folder.lock().unwrap()).unwrap();
    }

    #[test]
    fn floors_only_rise() {
        let trial = Trial::new();
        let journal = trial.folder.journal().unwrap();
        let raise = |last_txn, stan_date, stan_next| {
            let floor = Floor {
                last_txn,
                stan_date,
                stan_next,
            };
            floor.raise(journal.db()).unwrap();
            let now = Floor::read(journal.db()).unwrap();
            (now.last_txn, now.stan_date, now.stan_next)
        };
        assert_eq!(raise(5, 20_261_122, 9), (5, 20_261_122, 9));
        assert_eq!(raise(4, 20_261_122, 8), (5, 20_261_122, 9));
        assert_eq!(raise(4, 20_261_123, 1), (5, 20_261_123, 1));
        assert_eq!(raise(6, 0, 0), (6, 20_261_123, 1));
    }
}
