//! Mends what can be mended without losing money, and says what a torn end gives up.
//!
//! A read model is made again from the journal. A journal is only ever cut at its end, only where nothing
//! sound follows, and only when told to; the groups that go are noted as deleted, so that their numbers
//! are not used again and the projection's mark keeps its meaning. Whatever is replaced is kept aside.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::check::{Finding, Mend, Report, check, open_read_only};
use super::files::{Presence, look};
use super::upkeep::{Anew, Stamp, UpkeepError, begin_anew, copy_aside, put_in_place};
use super::{
    FolderLock, SqliteFolder, SqliteJournal, SqliteReadModel, StoreFile, from_sql, postings, to_sql,
};
use crate::store::projection::project_round;
use crate::store::record;
use crate::store::{JournalStore, Record, StoreError};

/// What a torn end of the journal held, as far as it can still be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Groups that are damaged or missing, as ranges.
    pub groups: Vec<(u64, u64)>,
    /// Records in them that can still be read. Their checksum does not hold, so they are no proof.
    pub records: Vec<Record>,
    /// Groups of which nothing can be read.
    pub unreadable: u64,
    /// Transactions that had records in these groups by what the read model shows, which keeps them.
    pub shown: Vec<ShownStill>,
}

/// A transaction in the read model of which the journal lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownStill {
    /// Its number.
    pub txn: u64,
    /// The terminal.
    pub terminal: String,
    /// The terminal's STAN.
    pub stan: u32,
    /// What it asked for, minor units.
    pub amount: u64,
    /// Of which currency, as DE49.
    pub currency: String,
    /// What became of it; `None` while it was open.
    pub outcome: Option<String>,
}

/// The transactions in a read model that name one of these groups.
pub(super) fn shown_of(
    model: &Connection,
    lost: &[(u64, u64)],
) -> rusqlite::Result<Vec<ShownStill>> {
    let mut all = model.prepare(
        "SELECT groups, id, terminal, stan, amount, currency, outcome FROM txn ORDER BY id",
    )?;
    let mut rows = all.query([])?;
    let mut shown = Vec::new();
    while let Some(row) = rows.next()? {
        let groups = row.get_ref(0)?.as_str().unwrap_or_default();
        let mut named = groups
            .split(' ')
            .filter_map(|group| group.parse::<u64>().ok());
        if named.any(|group| {
            lost.iter()
                .any(|(first, last)| (*first..=*last).contains(&group))
        }) {
            shown.push(ShownStill {
                txn: row.get(1).map(from_sql)?,
                terminal: row.get(2)?,
                stan: row.get(3)?,
                amount: row.get(4).map(from_sql)?,
                currency: row.get(5)?,
                outcome: row.get(6)?,
            });
        }
    }
    Ok(shown)
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was done, in words.
    pub done: Vec<String>,
    /// Where the files as they were are kept.
    pub aside: Option<PathBuf>,
    /// What the journal's torn end held, if it was cut.
    pub given_up: Option<GivenUp>,
    /// How it goes on after that.
    pub anew: Option<Anew>,
    /// What is still wrong.
    pub left: Report,
}

/// What making a read model again brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Groups that were projected.
    pub groups: u64,
    /// Transactions it shows now.
    pub transactions: u64,
    /// Those of them that the journal does not hold any more and the read model before knew.
    pub taken_over: u64,
    /// Why nothing could be taken over although the journal does not reach back to its beginning.
    pub problem: Option<String>,
    /// Where the read model before is kept.
    pub aside: Option<PathBuf>,
}

/// Looks what the torn end of a journal held.
///
/// # Errors
/// When the journal cannot be opened.
pub fn given_up(folder: &Path, report: &Report) -> Result<GivenUp, StoreError> {
    let db = open_read_only(&folder.join(StoreFile::Journal.name()), StoreFile::Journal)?;
    let mut given_up = GivenUp {
        groups: report.bad_groups.clone(),
        ..GivenUp::default()
    };
    for &(first, last) in &report.bad_groups {
        let mut seen = 0;
        let mut read = || -> rusqlite::Result<()> {
            let mut torn =
                db.prepare("SELECT body FROM journal WHERE sequence BETWEEN ?1 AND ?2")?;
            let mut rows = torn.query([to_sql(first), to_sql(last)])?;
            while let Some(row) = rows.next()? {
                let before = given_up.records.len();
                let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                record::read_damaged(body, |record| given_up.records.push(record));
                seen += u64::from(given_up.records.len() > before);
            }
            Ok(())
        };
        // What cannot be read is counted below.
        let _unreadable = read();
        given_up.unreadable += (last - first + 1).saturating_sub(seen);
    }
    let model = folder.join(StoreFile::ReadModel.name());
    // Without a read model nothing is known beyond the records.
    if let Ok(model) = open_read_only(&model, StoreFile::ReadModel) {
        given_up.shown = shown_of(&model, &report.bad_groups).unwrap_or_default();
    }
    Ok(given_up)
}

/// Mends what can be mended. With `cut`, a torn end of the journal is given up. Blocks; the store must be
/// nobody else's, hence the lock.
///
/// # Errors
/// When the end is torn and `cut` is not set, when damage is not at the end, or when a file cannot be
/// read or written. Only after the files were copied aside is anything changed.
pub fn repair(
    folder: &SqliteFolder,
    held: &FolderLock,
    cut: bool,
    stamp: &Stamp,
) -> Result<Repaired, UpkeepError> {
    let mut repaired = Repaired::default();
    bring_up_to_date(folder)?;
    let report = check(folder.path());
    if report.is_sound() {
        return Ok(repaired);
    }
    let needs = |mend| report.findings.iter().any(|finding| finding.mend == mend);
    if needs(Mend::Restore) {
        return Err(UpkeepError::Unsound {
            place: folder.path().display().to_string(),
            findings: report.findings,
        });
    }
    if needs(Mend::Cut) && !cut {
        return Err(UpkeepError::refused(
            "the journal's end is torn; with --cut it is given up, after the files were copied aside",
        ));
    }
    repaired.aside = Some(copy_aside(folder.path(), stamp)?);
    let repairs = |file| {
        let mended = |f: &&Finding| f.file == file && f.mend == Mend::Repair;
        report.findings.iter().find(mended).is_some()
    };
    if repairs(StoreFile::Registry) {
        reindex(&folder.file(StoreFile::Registry))?;
        repaired
            .done
            .push("registry.db: its indexes were made again".into());
    }
    if needs(Mend::Cut) {
        repaired.given_up = Some(given_up(folder.path(), &report)?);
        let last = write_again(folder, &report, stamp)?;
        repaired.done.push(format!(
            "journal.db: groups {} to {last} are given up",
            report.last_sound + 1
        ));
    } else if repairs(StoreFile::Journal) {
        write_again(folder, &report, stamp)?;
        repaired
            .done
            .push("journal.db: written again, every group of it".into());
    }
    if needs(Mend::Rebuild) {
        let rebuilt = rebuild(folder, held, stamp)?;
        repaired.done.push(format!(
            "{}: made again from {} groups, {} transactions",
            StoreFile::ReadModel.name(),
            rebuilt.groups,
            rebuilt.transactions
        ));
    }
    if needs(Mend::Cut) {
        repaired.anew = Some(begin_anew(folder, stamp)?);
    }
    repaired.left = check(folder.path());
    Ok(repaired)
}

/// Runs the migrations of files that can be opened; the others are findings of the check.
fn bring_up_to_date(folder: &SqliteFolder) -> Result<(), UpkeepError> {
    for file in StoreFile::ALL {
        if !matches!(look(file, &folder.file(file)), Ok(Presence::There)) {
            continue;
        }
        let opened = match file {
            StoreFile::Journal => folder.journal().map(drop),
            StoreFile::Registry => folder.registry().map(drop),
            StoreFile::ReadModel => folder.read_model().map(drop),
        };
        if let Err(newer @ StoreError::NewerSchema { .. }) = opened {
            return Err(newer.into());
        }
    }
    Ok(())
}

fn reindex(path: &Path) -> Result<(), StoreError> {
    Connection::open(path)
        .and_then(|db| db.execute_batch("REINDEX"))
        .map_err(StoreError::engine("making indexes again"))
}

/// Writes a journal of the groups that are sound and puts it in place. Returns the last group there was.
fn write_again(folder: &SqliteFolder, report: &Report, stamp: &Stamp) -> Result<u64, UpkeepError> {
    let last = report
        .bad_groups
        .last()
        .map_or(report.last_sequence, |(_, last)| *last)
        .max(report.last_sequence)
        .max(report.mark);
    let from = folder.file(StoreFile::Journal);
    let to = folder.path().join("journal.db.mended");
    remove_left_over(&to)?;
    let mended = SqliteJournal::open(&to)?;
    let copy = |db: &Connection| -> rusqlite::Result<()> {
        db.execute("ATTACH DATABASE ?1 AS old", [from.display().to_string()])?;
        let sound = to_sql(report.last_sound);
        let step = db.unchecked_transaction()?;
        step.execute(
            "INSERT INTO journal SELECT * FROM old.journal WHERE sequence <= ?1 ORDER BY sequence",
            [sound],
        )?;
        step.execute_batch(
            "INSERT INTO store SELECT * FROM old.store; INSERT INTO deleted SELECT * FROM old.deleted; \
             INSERT INTO base_terminal SELECT * FROM old.base_terminal; \
             INSERT INTO base_stan_block SELECT * FROM old.base_stan_block; \
             INSERT OR REPLACE INTO floor SELECT * FROM old.floor; \
             INSERT OR REPLACE INTO erased SELECT * FROM old.erased;",
        )?;
        if !report.bad_groups.is_empty() {
            SqliteJournal::note_deleted(&step, report.last_sound + 1, last, "cut")?;
        }
        step.commit()?;
        db.execute_batch("DETACH DATABASE old; PRAGMA wal_checkpoint(TRUNCATE);")
    };
    copy(mended.db()).map_err(StoreError::engine("writing a journal without its torn end"))?;
    drop(mended);
    put_in_place(&to, folder.path(), StoreFile::Journal, stamp)?;
    Ok(last)
}

/// Makes the read model again from the journal, takes over what only the one before knows, and puts it in
/// place.
///
/// # Errors
/// When the journal cannot be read or the new file not be written; the read model is as it was then.
pub fn rebuild(
    folder: &SqliteFolder,
    _held: &FolderLock,
    stamp: &Stamp,
) -> Result<Rebuilt, UpkeepError> {
    let mut rebuilt = Rebuilt::default();
    let to = folder.path().join("readmodel.db.mended");
    remove_left_over(&to)?;
    let mut journal = folder.journal()?;
    let mut model = SqliteReadModel::open(&to)?;
    journal.seed(&mut model)?;
    loop {
        match project_round(&mut journal, &mut model)? {
            0 => break,
            groups => rebuilt.groups += groups,
        }
    }
    let fail = StoreError::engine;
    let deleted: i64 = journal
        .db()
        .query_row("SELECT count(*) FROM deleted", [], |row| row.get(0))
        .map_err(fail("reading journal.db"))?;
    if deleted > 0 {
        // Groups given up at the end are not projected again.
        let last = journal.last_sequence()?;
        model
            .db()
            .execute("UPDATE mark SET sequence = ?1", [to_sql(last)])
            .map_err(fail("writing readmodel.db"))?;
        match take_over(&folder.file(StoreFile::ReadModel), &model) {
            Ok(taken) => rebuilt.taken_over = taken,
            Err(problem) => rebuilt.problem = Some(crate::telemetry::log::chain(&problem)),
        }
    }
    let finish = |db: &Connection| -> rusqlite::Result<u64> {
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
        db.query_row("SELECT count(*) FROM txn", [], |row| {
            row.get(0).map(from_sql)
        })
    };
    rebuilt.transactions = finish(model.db()).map_err(fail("writing readmodel.db"))?;
    drop(model);
    rebuilt.aside = put_in_place(&to, folder.path(), StoreFile::ReadModel, stamp)?;
    Ok(rebuilt)
}

/// Rows of which the journal's groups are deleted, and outcomes whose groups were given up.
fn take_over(before: &Path, model: &SqliteReadModel) -> Result<u64, StoreError> {
    let fail = StoreError::engine;
    if look(StoreFile::ReadModel, before)? != Presence::There {
        return Err(StoreFile::ReadModel.unsound(before, "is not there"));
    }
    // Of an older schema it is brought up to date first; what cannot be opened gives nothing.
    drop(SqliteReadModel::open(before)?);
    let db = model.db();
    let copy = || -> rusqlite::Result<u64> {
        db.execute("ATTACH DATABASE ?1 AS old", [before.display().to_string()])?;
        let step = db.unchecked_transaction()?;
        let columns: String = step.query_row(
            "SELECT group_concat(name, ', ') FROM pragma_table_info('txn')",
            [],
            |row| row.get(0),
        )?;
        let taken = step.execute(
            &format!("INSERT OR IGNORE INTO txn({columns}) SELECT {columns} FROM old.txn"),
            [],
        )?;
        step.execute_batch(
            "INSERT OR IGNORE INTO tombstone SELECT * FROM old.tombstone; \
             INSERT INTO span(part, first_at, last_at) \
               SELECT part, first_at, last_at FROM old.span WHERE true \
               ON CONFLICT (part) DO UPDATE SET \
               first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at); \
             UPDATE txn SET (outcome, outcome_at, code, booked, rrn, approval_code, answer) = \
               (SELECT outcome, outcome_at, code, booked, rrn, approval_code, answer FROM old.txn o \
                WHERE o.id = txn.id) \
             WHERE EXISTS (SELECT 1 FROM old.txn o WHERE o.id = txn.id AND o.outcome IS NOT NULL \
               AND (txn.outcome IS NULL OR o.outcome_at > txn.outcome_at))",
        )?;
        postings::post_again(&step)?;
        step.commit()?;
        db.execute_batch("DETACH DATABASE old")?;
        Ok(taken as u64)
    };
    copy().map_err(fail("taking over from the read model before"))
}

/// What an earlier attempt left behind.
fn remove_left_over(path: &Path) -> Result<(), UpkeepError> {
    for end in ["", "-wal", "-shm"] {
        let left = PathBuf::from(format!("{}{end}", path.display()));
        if left.exists() {
            std::fs::remove_file(&left).map_err(UpkeepError::file(&left, "removed"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::trial::{Trial, outcome, sale, stamp};
    use super::*;
    use crate::store::OutcomeKind;

    fn repaired(trial: &Trial, cut: bool) -> Result<Repaired, UpkeepError> {
        repair(&trial.folder, &trial.lock(), cut, &stamp("now"))
    }

    #[test]
    fn a_torn_end_is_cut_when_told_to_and_what_it_held_is_named() {
        let trial = Trial::with_ten_sales();
        trial.append(&[outcome(10, OutcomeKind::ReversalOwed), sale(11)]);
        trial.append(&[sale(12)]);
        trial.damage(22);
        trial.damage(23);
        let before = trial.bytes();
        let refused = repaired(&trial, false).unwrap_err().to_string();
        assert!(refused.contains("--cut"), "{refused}");
        assert_eq!(trial.bytes(), before, "nothing is changed without --cut");

        let done = repaired(&trial, true).unwrap();
        let lost = done.given_up.unwrap();
        assert_eq!(lost.groups, [(22, 22), (23, 23)]);
        assert_eq!(
            lost.records,
            [outcome(10, OutcomeKind::ReversalOwed), sale(11), sale(12)]
        );
        assert!(done.left.is_sound(), "{:?}", done.left);
        let aside = done.aside.unwrap();
        assert!(aside.join("journal.db").exists());

        trial.start().unwrap();
        assert_eq!(trial.groups().last(), Some(&21));
        // Numbers of what is given up are not used again.
        assert_eq!(trial.append(&[sale(12)]), 24);
        let shown = trial.shown();
        assert!(shown.last_txn.0 > 10_000_000_000, "{shown:?}");
        assert_eq!(shown.stan_block, Some((20_261_122, 520_001)));
        trial.project();
        assert_eq!(trial.shown().mark, 24);
    }

    #[test]
    fn an_end_that_is_gone_is_cut_and_the_read_model_keeps_what_it_showed() {
        let trial = Trial::with_ten_sales();
        trial.sql(
            StoreFile::Journal,
            "DELETE FROM journal WHERE sequence > 19",
        );
        let found = check(trial.folder.path()).findings;
        let named = |f: &Finding| f.what.contains("1 transaction that the read model shows");
        assert!(found.iter().any(named), "{found:?}");
        let done = repaired(&trial, true).unwrap();
        let lost = done.given_up.unwrap();
        assert_eq!(lost.unreadable, 2);
        let [shown] = &lost.shown[..] else {
            panic!("{lost:?}");
        };
        assert_eq!((shown.txn, shown.amount), (10, 1_050));
        assert_eq!(shown.outcome.as_deref(), Some("approved"));
        trial.start().unwrap();
        let row = trial.row(10).unwrap();
        assert_eq!(row.outcome.unwrap().kind, OutcomeKind::Approved);
        assert_eq!(trial.append(&[sale(12)]), 22);
        // Made again it takes over what the journal does not have any more.
        let rebuilt = rebuild(&trial.folder, &trial.lock(), &stamp("later")).unwrap();
        assert_eq!((rebuilt.taken_over, rebuilt.transactions), (1, 11));
        let row = trial.row(10).unwrap();
        assert_eq!(row.outcome.unwrap().kind, OutcomeKind::Approved);
    }

    #[test]
    fn an_outcome_that_was_cut_off_is_not_forgotten_by_a_rebuild() {
        let trial = Trial::with_ten_sales();
        trial.sql(
            StoreFile::Journal,
            "DELETE FROM journal WHERE sequence = 21",
        );
        repaired(&trial, true).unwrap();
        rebuild(&trial.folder, &trial.lock(), &stamp("later")).unwrap();
        // Open again it would be reversed, and it was approved.
        let row = trial.row(10).unwrap();
        assert_eq!(row.outcome.unwrap().kind, OutcomeKind::Approved);
    }

    #[test]
    fn damage_that_something_sound_follows_is_never_dropped() {
        for cut in [false, true] {
            let trial = Trial::with_ten_sales();
            trial.damage(7);
            trial.damage(21);
            let before = trial.bytes();
            let refused = repaired(&trial, cut).unwrap_err();
            assert!(matches!(refused, UpkeepError::Unsound { .. }), "{refused}");
            assert_eq!(trial.bytes(), before);
        }
    }

    /// Every group and its bytes, as far as the journal can be read.
    fn bodies(trial: &Trial) -> Option<Vec<(u64, Vec<u8>)>> {
        let mut seen = Vec::new();
        let each = &mut |sequence, body: &[u8]| {
            seen.push((sequence, body.to_vec()));
            true
        };
        let mut journal = trial.folder.journal().ok()?;
        journal.replay(0, each).ok()?;
        Some(seen)
    }

    #[test]
    fn whatever_byte_is_changed_no_group_is_changed_or_lost_in_silence() {
        let trial = Trial::with_ten_sales();
        trial.settle();
        let whole = bodies(&trial).unwrap();
        trial.settle();
        let all = trial.bytes();
        let path = trial.path(StoreFile::Journal);
        let sound = fs::read(&path).unwrap();
        let (mut seen, mut cut, mut refused) = (0, 0, 0);
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = sound.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..bytes.len());
                bytes[at] ^= random.u8(1..=255);
            }
            if seed % 10 == 0 {
                bytes.truncate(random.usize(0..bytes.len()));
            }
            // Nothing of the round before: a repair replaces files and keeps others.
            fs::remove_dir_all(trial.folder.path()).unwrap();
            fs::create_dir(trial.folder.path()).unwrap();
            for (file, sound) in StoreFile::ALL.into_iter().zip(&all) {
                fs::write(trial.path(file), sound).unwrap();
            }
            fs::write(&path, &bytes).unwrap();
            if check(trial.folder.path()).is_sound() {
                assert_eq!(bodies(&trial).as_ref(), Some(&whole), "seed {seed}");
                continue;
            }
            seen += 1;
            match repaired(&trial, true) {
                Err(_) => refused += 1,
                Ok(done) if !done.left.is_sound() => refused += 1,
                Ok(_) => {
                    cut += 1;
                    // A beginning of what there was, and nothing else.
                    let left = bodies(&trial).unwrap();
                    let kept = left.iter().filter(|(sequence, _)| *sequence <= 21).count();
                    assert_eq!(left[..kept], whole[..kept], "seed {seed}");
                }
            }
        }
        assert!(
            seen > 50 && refused > 20 && cut > 0,
            "{seen} {refused} {cut}"
        );
    }

    #[test]
    fn a_damaged_read_model_is_made_again() {
        let trial = Trial::with_ten_sales();
        trial.settle();
        let before = trial.shown();
        fs::write(trial.path(StoreFile::ReadModel), "nonsense").unwrap();
        let done = repaired(&trial, false).unwrap();
        assert!(done.left.is_sound(), "{:?}", done.left);
        trial.start().unwrap();
        assert_eq!(trial.shown(), before);
        let kept = done.aside.unwrap().join("readmodel.db");
        assert_eq!(fs::read_to_string(kept).unwrap(), "nonsense");
    }

    #[test]
    fn an_index_of_the_registry_is_made_again() {
        let trial = Trial::with_ten_sales();
        // What the index holds is not what its definition says now.
        trial.sql(
            StoreFile::Registry,
            "PRAGMA writable_schema=ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'binding(terminal)', 'binding(state)') \
               WHERE name = 'binding_terminal'; \
             PRAGMA writable_schema=OFF;",
        );
        assert!(!check(trial.folder.path()).is_sound());
        let done = repaired(&trial, false).unwrap();
        assert!(done.left.is_sound(), "{:?}", done.left);
    }

    #[test]
    fn a_repair_is_refused_while_somebody_has_the_store() {
        let trial = Trial::new();
        let held = trial.lock();
        assert!(trial.folder.lock().is_err());
        drop(held);
        let nothing = repaired(&trial, false).unwrap();
        assert_eq!(nothing, Repaired::default());
    }
}
