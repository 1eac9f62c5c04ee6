//! Reads a whole store and says everything that is wrong with it. Writes nothing.
//!
//! It may run beside a gateway: each file is read as of one moment, the read model first, so that the
//! journal is never older than what was projected from it.

mod history;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::files::{Presence, look, store_id};
use super::repair::shown_of;
use super::{StoreFile, from_sql, journal, read_model, registry, to_sql};
use crate::base::{Counted, limits};
use crate::store::record::{self, Record};
use crate::store::{Intent, StoreError};

/// Messages taken from SQLite's own check of one file.
const INTEGRITY_MESSAGES_MAX: u32 = 100;
/// Unreadable groups in a row after which the rest is given up: a damaged page can name any number as the
/// last one.
const UNREADABLE_GROUPS_MAX: u32 = 10_000;

/// What mends a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// `posgate store rebuild`: nothing is lost.
    Rebuild,
    /// `posgate store repair`: nothing is lost.
    Repair,
    /// `posgate store repair --cut`: what the torn end held is given up.
    Cut,
    /// Only a backup, or knowing better.
    Restore,
    /// Another build of the program.
    Newer,
}

impl Mend {
    /// What to do, in words.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Rebuild => "mended by `posgate store rebuild`",
            Self::Repair => "mended by `posgate store repair`",
            Self::Cut => {
                "the end is torn: `posgate store repair --cut` gives it up and says what that is"
            }
            Self::Restore => "not mended here: `posgate restore` a backup",
            Self::Newer => "use the newer posgate, or restore a backup made before the upgrade",
        }
    }
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which file.
    pub file: StoreFile,
    /// What is wrong with it.
    pub what: String,
    /// What mends it.
    pub mend: Mend,
    /// Whether it is of SQLite's pages and not of what is in them.
    is_of_pages: bool,
}

/// What a check found and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything wrong, [`limits::PROBLEMS_MAX`] at most.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
    /// Groups of the journal that were read.
    pub groups: u64,
    /// Their records.
    pub records: u64,
    /// Last group.
    pub last_sequence: u64,
    /// Last group that is projected.
    pub mark: u64,
    /// Transactions in the read model.
    pub transactions: u64,
    /// Bindings in the registry, closed ones among them.
    pub bindings: u64,
    /// Groups that are damaged or missing, as ranges in order.
    pub(super) bad_groups: Vec<(u64, u64)>,
    /// Last group that is sound.
    pub(super) last_sound: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, file: StoreFile, mend: Mend, what: impl Into<String>) {
        if self.findings.len() < limits::PROBLEMS_MAX {
            self.findings.push(Finding {
                file,
                what: what.into(),
                mend,
                is_of_pages: false,
            });
        } else {
            self.more += 1;
        }
    }

    /// Everything that is wrong, counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.more.saturating_add(self.findings.len() as u64)
    }

    /// What to run, in words: what the worst of the findings needs, in this folder.
    #[must_use]
    pub fn remedy(&self, folder: &Path) -> String {
        let folder = folder.display();
        let needs = |mend| self.findings.iter().any(|finding| finding.mend == mend);
        let mend = if needs(Mend::Newer) {
            return Mend::Newer.advice().to_owned();
        } else if needs(Mend::Restore) {
            return format!(
                "see all of it with `posgate store check --store {folder}`; nothing mends it in place: stop \
                 posgate and put a backup back with `posgate restore --overwrite --store {folder} BACKUP`"
            );
        } else if needs(Mend::Cut) {
            "repair --cut"
        } else if needs(Mend::Repair) {
            "repair"
        } else {
            "rebuild"
        };
        format!(
            "inspect it with `posgate store check --store {folder}`, stop posgate and mend it with \
             `posgate store {mend} --store {folder}`"
        )
    }

    /// Whether what is wrong with the journal is only that its end is torn.
    pub(super) fn is_torn_at_end(&self) -> bool {
        self.bad_groups
            .first()
            .is_some_and(|(first, _)| *first > self.last_sound)
    }
}

/// Reads everything in a store's folder. Blocks for as long as that takes; writes nothing.
#[must_use]
pub fn check(folder: &Path) -> Report {
    let mut report = Report::default();
    let model = open_sound(folder, StoreFile::ReadModel, &mut report);
    let journal = open_sound(folder, StoreFile::Journal, &mut report);
    let registry = open_sound(folder, StoreFile::Registry, &mut report);
    if let Some(model) = &model {
        note(&mut report, StoreFile::ReadModel, |report| {
            report.mark = one(model, "SELECT sequence FROM mark")?;
            report.transactions = one(model, "SELECT count(*) FROM txn")?;
            Ok(())
        });
    }
    if let Some(registry) = &registry {
        note(&mut report, StoreFile::Registry, |report| {
            report.bindings = one(registry, "SELECT count(*) FROM binding")?;
            foreign_keys(registry, report)?;
            history::compare(registry, report)
        });
    }
    if let Some(journal) = &journal {
        let against = Against {
            model: model.as_ref(),
            registry: registry.as_ref(),
        };
        note(&mut report, StoreFile::Journal, |report| {
            groups(journal, &against, report)
        });
    }
    if let (Some(model), false) = (&model, report.bad_groups.is_empty()) {
        note(&mut report, StoreFile::ReadModel, |report| {
            let shown = shown_of(model, &report.bad_groups)?;
            if let Some(first) = shown.first() {
                let what = format!(
                    "{} that the read model shows had records in what is damaged or missing, the first being \
                     transaction {} of terminal {}",
                    Counted(shown.len(), "transaction"),
                    first.txn,
                    first.terminal
                );
                report.add(StoreFile::Journal, Mend::Restore, what);
            }
            Ok(())
        });
    }
    if let (Some(model), Some(registry)) = (&model, &registry) {
        note(&mut report, StoreFile::ReadModel, |report| {
            rows_against_registry(model, registry, report)
        });
    }
    same_store(
        [
            (StoreFile::ReadModel, model.as_ref()),
            (StoreFile::Journal, journal.as_ref()),
        ],
        registry.as_ref(),
        &mut report,
    );
    let (end_is_torn, all_read) = (report.is_torn_at_end(), report.bad_groups.is_empty());
    for finding in &mut report.findings {
        if finding.file == StoreFile::Journal && end_is_torn {
            finding.mend = Mend::Cut;
        } else if finding.file == StoreFile::Journal && all_read && finding.is_of_pages {
            finding.mend = Mend::Repair;
        }
    }
    report
}

/// Runs a part of the check; what SQLite cannot read is a finding too.
fn note(
    report: &mut Report,
    file: StoreFile,
    part: impl FnOnce(&mut Report) -> rusqlite::Result<()>,
) {
    if let Err(problem) = part(report) {
        let mend = mend_of(file);
        report.add(file, mend, format!("cannot be read further: {problem}"));
    }
}

pub(super) const fn mend_of(file: StoreFile) -> Mend {
    match file {
        StoreFile::Journal | StoreFile::Registry => Mend::Restore,
        StoreFile::ReadModel => Mend::Rebuild,
    }
}

fn one(db: &Connection, query: &str) -> rusqlite::Result<u64> {
    db.query_row(query, [], |row| row.get(0).map(from_sql))
}

/// Opens a file for reading as of now, if there is something to read, and has SQLite check it.
fn open_sound(folder: &Path, file: StoreFile, report: &mut Report) -> Option<Connection> {
    let path = folder.join(file.name());
    let mend = mend_of(file);
    match look(file, &path) {
        Ok(Presence::There) => {}
        Ok(Presence::Absent) => {
            report.add(file, mend, "is missing");
            return None;
        }
        Ok(Presence::Empty | Presence::Unborn) => {
            report.add(file, mend, "is empty");
            return None;
        }
        Err(problem) => {
            report.add(file, mend, problem_of(problem));
            return None;
        }
    }
    let db = match open_read_only(&path, file) {
        Ok(db) => db,
        Err(StoreError::OlderSchema { found, known, .. }) => {
            let what = format!("has schema {found}; a start brings it to {known}");
            report.add(file, Mend::Repair, what);
            return None;
        }
        Err(StoreError::NewerSchema { found, known, .. }) => {
            let what = format!("has schema {found}, this build knows up to {known}");
            report.add(file, Mend::Newer, what);
            return None;
        }
        Err(problem) => {
            report.add(file, mend, problem_of(problem));
            return None;
        }
    };
    note(report, file, |report| integrity(&db, file, report));
    Some(db)
}

/// The problem alone: a finding names its file and its remedy by itself.
pub(super) fn problem_of(problem: StoreError) -> String {
    match problem {
        StoreError::Unsound { problem, .. } => problem,
        other => crate::telemetry::log::chain(&other),
    }
}

/// Opens a file of a known schema for reading, as of now.
pub(super) fn open_read_only(path: &Path, file: StoreFile) -> Result<Connection, StoreError> {
    let fail = |doing| file.refused(path, doing);
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(fail("opening a store file"))?;
    db.busy_timeout(Duration::from_secs(10))
        .map_err(fail("setting the busy timeout"))?;
    let found: u32 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail("reading the schema number"))?;
    let known = match file {
        StoreFile::Journal => journal::MIGRATIONS,
        StoreFile::Registry => registry::MIGRATIONS,
        StoreFile::ReadModel => read_model::MIGRATIONS,
    };
    let known = u32::try_from(known.len()).unwrap_or(u32::MAX);
    if found > known {
        let file = path.display().to_string();
        return Err(StoreError::NewerSchema { file, found, known });
    }
    file.check_kind(&db, path, found)?;
    if found < known {
        let file = path.display().to_string();
        return Err(StoreError::OlderSchema { file, found, known });
    }
    db.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
        .map_err(fail("beginning to read"))?;
    Ok(db)
}

/// SQLite's own check of pages, rows and indexes.
fn integrity(db: &Connection, file: StoreFile, report: &mut Report) -> rusqlite::Result<()> {
    let mut check = db.prepare(&format!("PRAGMA integrity_check({INTEGRITY_MESSAGES_MAX})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said == "ok" {
            continue;
        }
        // An index can be made again from its table; a table cannot.
        let of_index = said.contains("missing from index") || said.contains("entries in index");
        let mend = match file {
            StoreFile::Registry if of_index => Mend::Repair,
            StoreFile::Registry | StoreFile::Journal | StoreFile::ReadModel => mend_of(file),
        };
        report.add(file, mend, format!("SQLite says: {}", said.trim()));
        if let Some(added) = report.findings.last_mut() {
            added.is_of_pages = true;
        }
    }
    Ok(())
}

fn foreign_keys(registry: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut check = registry.prepare("PRAGMA foreign_key_check")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let (table, id, parent): (String, Option<i64>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let id = id.unwrap_or_default();
        let what = format!("row {id} of {table} names a {parent} that is not there");
        report.add(StoreFile::Registry, Mend::Restore, what);
    }
    Ok(())
}

/// Every transaction was admitted by a binding that the registry has.
fn rows_against_registry(
    model: &Connection,
    registry: &Connection,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let mut named = model.prepare("SELECT DISTINCT binding FROM txn")?;
    let mut known = registry.prepare("SELECT 1 FROM binding WHERE id = ?1")?;
    let mut rows = named.query([])?;
    while let Some(row) = rows.next()? {
        let binding: i64 = row.get(0)?;
        if !known.exists([binding])? {
            let what =
                format!("transactions name binding {binding}, which registry.db does not have");
            report.add(StoreFile::ReadModel, Mend::Restore, what);
        }
    }
    Ok(())
}

fn same_store(
    files: [(StoreFile, Option<&Connection>); 2],
    registry: Option<&Connection>,
    report: &mut Report,
) {
    let Some(Ok(Some(id))) = registry.map(store_id) else {
        return;
    };
    for (file, db) in files {
        if let Some(Ok(Some(found))) = db.map(store_id)
            && found != id
        {
            let what = "belongs to another store than registry.db";
            report.add(file, mend_of(file), what);
        }
    }
}

/// What journal records are compared with, as far as it can be read.
struct Against<'c> {
    model: Option<&'c Connection>,
    registry: Option<&'c Connection>,
}

/// Every group: checksum, records, sequence, and what they refer to.
fn groups(db: &Connection, against: &Against<'_>, report: &mut Report) -> rusqlite::Result<()> {
    report.last_sequence = one(db, journal::LAST)?;
    let mut walk = Walk {
        db,
        against,
        bindings: HashSet::new(),
        expected: 1,
    };
    if let Err(problem) = walk.all(report) {
        // A page that cannot be read ends the walk; the groups behind it are asked for one by one.
        let what = format!("cannot be read from group {} on: {problem}", walk.expected);
        report.add(StoreFile::Journal, Mend::Restore, what);
        walk.one_by_one(report);
    }
    if report.mark > report.last_sequence {
        let (first, last) = (report.last_sequence + 1, report.mark);
        report.bad_groups.push((first, last));
        let what = format!(
            "ends with group {}, but groups up to {last} were projected from it",
            report.last_sequence
        );
        report.add(StoreFile::Journal, Mend::Restore, what);
    }
    Ok(())
}

struct Walk<'c> {
    db: &'c Connection,
    against: &'c Against<'c>,
    /// Bindings that were looked for already.
    bindings: HashSet<u64>,
    expected: u64,
}

impl Walk<'_> {
    fn all(&mut self, report: &mut Report) -> rusqlite::Result<()> {
        let db = self.db;
        let mut every =
            db.prepare("SELECT sequence, records, body FROM journal ORDER BY sequence")?;
        let mut rows = every.query([])?;
        while let Some(row) = rows.next()? {
            let sequence = from_sql(row.get(0)?);
            let body = row.get_ref(2)?;
            self.gap_before(sequence, report)?;
            let records: u64 = from_sql(row.get(1)?);
            self.group(
                sequence,
                records,
                body.as_blob().unwrap_or_default(),
                report,
            )?;
            self.expected = sequence + 1;
        }
        self.gap_before(report.last_sequence + 1, report)
    }

    /// Behind a page that cannot be read: what can be found by its number.
    fn one_by_one(&mut self, report: &mut Report) {
        let mut unreadable = 0;
        for sequence in self.expected..=report.last_sequence {
            let read = self
                .db
                .prepare_cached("SELECT records, body FROM journal WHERE sequence = ?1")
                .and_then(|mut one| {
                    one.query_row([to_sql(sequence)], |row| {
                        Ok((from_sql(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
                    })
                    .optional()
                });
            let absent_on_purpose = |db| {
                journal::missing(db, sequence, sequence).is_ok_and(|missing| missing.is_empty())
            };
            let read = match read {
                Ok(Some((records, body))) => self.group(sequence, records, &body, report).is_ok(),
                Ok(None) => absent_on_purpose(self.db),
                Err(_unreadable) => false,
            };
            if read {
                unreadable = 0;
                continue;
            }
            unreadable += 1;
            if unreadable > UNREADABLE_GROUPS_MAX {
                report.bad_groups.push((sequence, report.last_sequence));
                return;
            }
            report.bad_groups.push((sequence, sequence));
            let what = format!("group {sequence} cannot be read");
            report.add(StoreFile::Journal, Mend::Restore, what);
        }
    }

    /// Groups that are not there, and nobody deleted them.
    fn gap_before(&self, sequence: u64, report: &mut Report) -> rusqlite::Result<()> {
        if sequence <= self.expected {
            return Ok(());
        }
        for (first, last) in journal::missing(self.db, self.expected, sequence - 1)? {
            let what = format!("groups {first} to {last} are missing");
            report.add(StoreFile::Journal, Mend::Restore, what);
            report.bad_groups.push((first, last));
        }
        Ok(())
    }

    fn group(
        &mut self,
        sequence: u64,
        records: u64,
        body: &[u8],
        report: &mut Report,
    ) -> rusqlite::Result<()> {
        let mut found = Vec::new();
        let read = record::read_group(body, |record| found.push(record));
        let problem = match read {
            Err(problem) => Some(problem.to_string()),
            Ok(()) if found.len() as u64 != records => Some(format!(
                "it should hold {records} records and holds {}",
                found.len()
            )),
            Ok(()) => None,
        };
        if let Some(problem) = problem {
            report.bad_groups.push((sequence, sequence));
            let what = format!("group {sequence} is damaged: {problem}");
            report.add(StoreFile::Journal, Mend::Restore, what);
            return Ok(());
        }
        report.groups += 1;
        report.records += records;
        report.last_sound = sequence;
        for record in &found {
            match record {
                Record::Intent(intent) => self.intent(sequence, intent, report)?,
                Record::Outcome(_)
                | Record::Intervention(_)
                | Record::Tombstone { .. }
                | Record::SignedOn { .. }
                | Record::SignedOff { .. }
                | Record::Batch(_)
                | Record::StanBlock { .. } => {}
            }
        }
        Ok(())
    }

    /// The binding is there, and what was projected is in the read model.
    fn intent(
        &mut self,
        sequence: u64,
        intent: &Intent<'_>,
        report: &mut Report,
    ) -> rusqlite::Result<()> {
        let (txn, binding) = (intent.txn.0, intent.binding.0);
        if let Some(registry) = self.against.registry
            && self.bindings.insert(binding)
            && !registry
                .prepare_cached("SELECT 1 FROM binding WHERE id = ?1")?
                .exists([to_sql(binding)])?
        {
            let what = format!(
                "transaction {txn} names binding {binding}, which registry.db does not have"
            );
            report.add(StoreFile::Journal, Mend::Restore, what);
        }
        let Some(model) = self.against.model.filter(|_| sequence <= report.mark) else {
            return Ok(());
        };
        let shown: Option<i64> = model
            .prepare_cached("SELECT amount FROM txn WHERE id = ?1")?
            .query_row(params![to_sql(txn)], |row| row.get(0))
            .optional()?;
        match shown.map(from_sql) {
            Some(amount) if amount == intent.amount.minor => {}
            Some(amount) => {
                let what = format!(
                    "shows {amount} for transaction {txn}, the journal has {}",
                    intent.amount.minor
                );
                report.add(StoreFile::ReadModel, Mend::Rebuild, what);
            }
            None => {
                let what = format!("lacks transaction {txn} of journal group {sequence}");
                report.add(StoreFile::ReadModel, Mend::Rebuild, what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::trial::Trial;
    use super::*;

    /// What a check says of a store that was broken so, a finding a line.
    fn found(break_it: impl FnOnce(&Trial)) -> Vec<String> {
        let trial = Trial::with_ten_sales();
        trial.settle();
        break_it(&trial);
        let before = trial.bytes();
        let report = check(trial.folder.path());
        trial.settle();
        assert_eq!(trial.bytes(), before, "a check writes nothing");
        let line = |f: &Finding| format!("{}: {}: {:?}", f.file.name(), f.what, f.mend);
        report.findings.iter().map(line).collect()
    }

    /// The finding about one transaction that the read model shows and the journal lacks in part.
    fn shown_still(txn: u64, mend: &str) -> String {
        format!(
            "journal.db: 1 transaction that the read model shows had records in what is damaged or missing, the \
             first being transaction {txn} of terminal T0000001: {mend}"
        )
    }

    #[test]
    fn a_sound_store_is_counted() {
        let trial = Trial::with_ten_sales();
        let report = check(trial.folder.path());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.groups, report.records), (21, 22));
        assert_eq!((report.last_sequence, report.mark), (21, 21));
        assert_eq!((report.transactions, report.bindings), (10, 1));
    }

    #[test]
    fn a_damaged_group_is_in_the_middle_or_at_the_end() {
        assert_eq!(
            found(|trial| trial.damage(7)),
            [
                "journal.db: group 7 is damaged: the checksum differs: Restore".to_owned(),
                shown_still(3, "Restore")
            ]
        );
        assert_eq!(
            found(|trial| trial.damage(21)),
            [
                "journal.db: group 21 is damaged: the checksum differs: Cut".to_owned(),
                shown_still(10, "Cut")
            ]
        );
    }

    #[test]
    fn gaps_wrong_counts_and_a_lost_end_are_found() {
        let journal = |text: &'static str| move |t: &Trial| t.sql(StoreFile::Journal, text);
        assert_eq!(
            found(journal("DELETE FROM journal WHERE sequence IN (4, 5)")),
            [
                "journal.db: groups 4 to 5 are missing: Restore".to_owned(),
                shown_still(2, "Restore")
            ]
        );
        assert_eq!(
            found(journal(
                "DELETE FROM journal WHERE sequence = 4; \
                 INSERT INTO deleted VALUES (4, 4, 'x')"
            )),
            [""; 0]
        );
        assert_eq!(
            found(journal("UPDATE journal SET records = 3 WHERE sequence = 1")),
            ["journal.db: group 1 is damaged: it should hold 3 records and holds 2: Restore"]
        );
        assert_eq!(
            found(journal("DELETE FROM journal WHERE sequence > 19")),
            [
                "journal.db: ends with group 19, but groups up to 21 were projected from it: Cut"
                    .to_owned(),
                shown_still(10, "Cut")
            ]
        );
    }

    #[test]
    fn what_the_files_say_of_each_other_is_compared() {
        let findings = found(|trial| {
            let change = "UPDATE txn SET amount = 7 WHERE id = 3; DELETE FROM txn WHERE id = 4";
            trial.sql(StoreFile::ReadModel, change);
        });
        assert_eq!(
            findings,
            [
                "readmodel.db: shows 7 for transaction 3, the journal has 1050: Rebuild",
                "readmodel.db: lacks transaction 4 of journal group 8: Rebuild",
            ]
        );
        let findings = found(|trial| {
            trial.sql(
                StoreFile::Registry,
                "DROP TRIGGER binding_kept; DELETE FROM binding",
            );
        });
        assert_eq!(
            findings,
            [
                "journal.db: transaction 1 names binding 1, which registry.db does not have: Restore",
                "readmodel.db: transactions name binding 1, which registry.db does not have: Restore",
            ]
        );
    }

    #[test]
    fn a_registry_that_was_edited_past_the_program_is_found() {
        let edited = |text: &'static str| found(|trial| trial.sql(StoreFile::Registry, text));
        let of_binding = |column: &str| {
            format!(
                "registry.db: the {column} of binding 1 of terminal T0000001 is not what its history says: Restore"
            )
        };
        let changed = "INSERT INTO binding_change(binding, version, at, actor, state, reasons, account) \
            SELECT id, 2, 1, 'maker', 're-pending', 2, account FROM binding WHERE id = 1; \
            UPDATE binding SET version = 2, state = 're-pending', reasons = 2, pended_at = 1 WHERE id = 1;";
        assert_eq!(edited(changed), [""; 0]);
        for (edit, column) in [
            (
                "UPDATE binding SET state = 'active', pended_at = NULL WHERE id = 1",
                "state",
            ),
            ("UPDATE binding SET reasons = 4 WHERE id = 1", "reasons"),
            ("UPDATE binding SET version = 3 WHERE id = 1", "version"),
            (
                "INSERT INTO account(acquirer, reference, merchant, kind, status) \
                 SELECT acquirer, 'another', merchant, kind, status FROM account LIMIT 1; \
                 UPDATE binding SET account = last_insert_rowid() WHERE id = 1",
                "account",
            ),
        ] {
            let findings = found(|trial| {
                trial.sql(StoreFile::Registry, changed);
                trial.sql(StoreFile::Registry, edit);
            });
            assert_eq!(findings, [of_binding(column)]);
        }
        let findings = edited(
            "INSERT INTO account_change(account, at, actor, status) SELECT id, 1, 'maker', 'frozen' FROM account",
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].ends_with("and frozen by its history: Restore"));
    }

    #[test]
    fn pages_that_are_damaged_are_found_in_every_file() {
        for file in StoreFile::ALL {
            let findings = found(|trial| {
                let path = trial.path(file);
                let mut bytes = fs::read(&path).unwrap();
                // Where a table begins: the schema itself lies on any page but these.
                let db = Connection::open(&path).unwrap();
                let sql =
                    "SELECT (max(rootpage) - 1) * page_size FROM sqlite_schema, pragma_page_size";
                let page: u32 = db.query_row(sql, [], |row| row.get(0)).unwrap();
                drop(db);
                let page = page as usize;
                bytes[page..page + 512].fill(0xA5);
                fs::write(&path, bytes).unwrap();
            });
            assert!(
                findings.iter().any(|line| line.starts_with(file.name())),
                "{file:?}: {findings:?}"
            );
        }
    }

    #[test]
    fn files_that_are_missing_are_findings() {
        let findings = found(|trial| {
            for file in StoreFile::ALL {
                fs::write(trial.path(file), "").unwrap();
            }
        });
        assert_eq!(
            findings,
            [
                "readmodel.db: is empty: Rebuild",
                "journal.db: is empty: Restore",
                "registry.db: is empty: Restore",
            ]
        );
    }
}
