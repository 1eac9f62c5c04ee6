//! Copies of a store: taken while a gateway works on it, and put back.
//!
//! All three files are copied as of nearly one moment: the read model's is the earliest, then the
//! journal's, then the registry's, so that the journal has everything that was projected from it and the
//! registry every binding that it names. The data keys are not part of a copy: who has both has the card
//! numbers.
//!
//! What a copy cannot know is what happened after it. Putting it back therefore skips numbers.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use serde::{Deserialize, Serialize};

use super::check::{Report, check, open_read_only};
use super::files::RESTORING;
use super::upkeep::{
    Anew, Stamp, UpkeepError, begin_anew, copy, move_aside, sync_file, sync_folder,
};
use super::{SqliteFolder, StoreFile};
use crate::store::StoreError;

/// Pages copied at a time.
const PAGES_PER_STEP: i32 = 1_024;

/// Name of the file that says what a backup holds.
const MANIFEST: &str = "backup.json";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that made it.
    pub posgate: String,
    /// When, RFC 3339, UTC.
    pub made_at: String,
    /// Last group of the journal.
    pub last_sequence: u64,
    /// Groups of the journal.
    pub groups: u64,
    /// Transactions of the read model.
    pub transactions: u64,
    /// Bindings of the registry.
    pub bindings: u64,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself; `None` for three files without their manifest.
    pub manifest: Option<Manifest>,
    /// What it holds.
    pub report: Report,
    /// How it goes on.
    pub anew: Anew,
    /// Where the files that were there are kept.
    pub aside: Option<PathBuf>,
}

/// Copies the store in `from` to the new folder `to`, which is there complete or not at all. Blocks; a
/// gateway may work on the store.
///
/// # Errors
/// When a file cannot be read or written, `to` is there already, or the copy is not sound.
pub fn backup(from: &Path, to: &Path, made_at: &str) -> Result<Manifest, UpkeepError> {
    if to.exists() {
        return Err(UpkeepError::refused(format!(
            "{} is there already; name a folder that is not",
            to.display()
        )));
    }
    let partial = PathBuf::from(format!("{}.partial", to.display()));
    if partial.exists() {
        return Err(UpkeepError::refused(format!(
            "{} is left over from a backup that was broken off; remove it",
            partial.display()
        )));
    }
    // Each is read as of the moment it was opened at.
    let mut opened = Vec::new();
    for file in StoreFile::ALL {
        opened.push((file, open_read_only(&from.join(file.name()), file)?));
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&partial)
        .map_err(UpkeepError::file(&partial, "made"))?;
    for (file, source) in opened {
        copy_open(&source, &partial.join(file.name()))
            .map_err(StoreError::engine("copying a store file"))?;
        sync_file(&partial.join(file.name()))?;
    }
    let report = check(&partial);
    if !report.is_sound() {
        return Err(UpkeepError::Unsound {
            place: partial.display().to_string(),
            findings: report.findings,
        });
    }
    let manifest = Manifest {
        posgate: env!("CARGO_PKG_VERSION").into(),
        made_at: made_at.into(),
        last_sequence: report.last_sequence,
        groups: report.groups,
        transactions: report.transactions,
        bindings: report.bindings,
    };
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    let path = partial.join(MANIFEST);
    fs::write(&path, text).map_err(UpkeepError::file(&path, "written"))?;
    sync_file(&path)?;
    sync_folder(&partial)?;
    fs::rename(&partial, to).map_err(UpkeepError::file(&partial, "moved"))?;
    if let Some(parent) = to.parent().filter(|parent| parent.is_dir()) {
        sync_folder(parent)?;
    }
    Ok(manifest)
}

/// Copies a database that is being read as of one moment: what others write meanwhile does not begin the
/// copy anew.
fn copy_open(source: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut made = Connection::open(to)?;
    Backup::new(source, &mut made)?.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None)?;
    // One plain file, readable where nothing can be written.
    made.query_row("PRAGMA journal_mode=DELETE", [], |_mode| Ok(()))
}

/// Puts a backup in place of the store in `folder`, checked first; files that are there are kept aside,
/// and only with `overwrite`. Numbers that may have been given out after the backup are skipped. Blocks.
///
/// # Errors
/// When the backup is not sound, a gateway works on the store, files are there and `overwrite` is not
/// set, or a file cannot be written. A restore that was begun and not finished keeps the store from being
/// used until it is done again.
pub fn restore(
    from: &Path,
    folder: &Path,
    overwrite: bool,
    stamp: &Stamp,
) -> Result<Restored, UpkeepError> {
    let report = check(from);
    if !report.is_sound() {
        return Err(UpkeepError::Unsound {
            place: from.display().to_string(),
            findings: report.findings,
        });
    }
    let manifest = fs::read_to_string(from.join(MANIFEST))
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    let place = SqliteFolder::open(folder).map_err(UpkeepError::file(folder, "made"))?;
    let _held = place
        .lock()
        .map_err(UpkeepError::file(folder, "taken for a restore"))?;
    let there: Vec<_> = StoreFile::ALL
        .into_iter()
        .filter(|file| place.file(*file).exists())
        .map(StoreFile::name)
        .collect();
    if !there.is_empty() && !overwrite {
        return Err(UpkeepError::refused(format!(
            "{} holds {} already; with --overwrite they are moved aside",
            folder.display(),
            there.join(", ")
        )));
    }
    let marker = folder.join(RESTORING);
    fs::write(&marker, &stamp.name).map_err(UpkeepError::file(&marker, "written"))?;
    sync_file(&marker)?;
    sync_folder(folder)?;
    let mut aside = None;
    for file in StoreFile::ALL {
        aside = move_aside(folder, file, stamp)?.or(aside);
        copy(&from.join(file.name()), &place.file(file))?;
    }
    sync_folder(folder)?;
    let anew = begin_anew(&place, stamp)?;
    fs::remove_file(&marker).map_err(UpkeepError::file(&marker, "removed"))?;
    sync_folder(folder)?;
    Ok(Restored {
        manifest,
        report,
        anew,
        aside,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::trial::{Trial, outcome, sale, stamp};
    use super::*;
    use crate::store::OutcomeKind;

    const MADE_AT: &str = "2026-11-22T08:00:00Z";

    #[test]
    fn what_is_put_back_is_what_was_there_and_numbers_after_it_are_skipped() {
        let trial = Trial::with_ten_sales();
        let (to, other) = (trial.beside("backup"), trial.beside("other"));
        let manifest = backup(trial.folder.path(), &to, MADE_AT).unwrap();
        assert_eq!((manifest.groups, manifest.transactions), (21, 10));
        // What comes after it is lost.
        trial.append(&[sale(11)]);
        let restored = restore(&to, &other, false, &stamp("now")).unwrap();
        assert_eq!(restored.manifest, Some(manifest));
        assert_eq!(restored.anew.last_txn, 20_000_000_000);
        let place = SqliteFolder::open(&other).unwrap();
        place.prepare(&place.lock().unwrap()).unwrap();
        assert!(check(&other).is_sound());
        use crate::store::ReadModel;
        let mut model = place.read_model().unwrap();
        assert_eq!(model.last_txn().unwrap().0, 20_000_000_000);
        // Of a group with numbers in the backup, and of one that began to count after it.
        assert_eq!(
            model.stan_block("bank").unwrap(),
            Some((20_261_122, 520_001))
        );
        assert_eq!(
            model.stan_block("else").unwrap(),
            Some((20_261_122, 520_001))
        );
    }

    #[test]
    fn what_was_in_flight_at_the_backup_is_parked_until_somebody_knows() {
        let trial = Trial::with_ten_sales();
        trial.append(&[sale(11), sale(12)]);
        trial.append(&[outcome(12, OutcomeKind::ReversalOwed)]);
        let (to, place) = (trial.beside("backup"), trial.folder.path().to_owned());
        backup(&place, &to, MADE_AT).unwrap();
        trial.append(&[outcome(11, OutcomeKind::Approved)]);
        trial.project();
        let restored = restore(&to, &place, true, &stamp("now")).unwrap();
        let unknown: Vec<_> = restored.anew.unknown.iter().map(|u| u.txn).collect();
        assert_eq!(unknown, [11]);
        // Open it would be reversed by a recovery; parked it is undone by its terminal or a person only.
        let ended = |txn| trial.row(txn).unwrap().outcome.unwrap();
        assert_eq!(ended(11).kind, OutcomeKind::Parked);
        assert_eq!((&*ended(11).code, ended(11).booked), ("??", 0));
        // What was owed is owed.
        assert_eq!(ended(12).kind, OutcomeKind::ReversalOwed);
        assert!(check(&place).is_sound());
    }

    #[test]
    fn a_backup_of_a_backup_skips_as_much_again() {
        let trial = Trial::with_ten_sales();
        let mut from = trial.folder.path().to_owned();
        for (round, last_txn) in [(1, 20_000_000_000), (2, 30_000_000_000)] {
            let to = trial.beside(&format!("backup-{round}"));
            let place = trial.beside(&format!("place-{round}"));
            backup(&from, &to, MADE_AT).unwrap();
            let restored = restore(&to, &place, false, &stamp("now")).unwrap();
            assert_eq!(restored.anew.last_txn, last_txn);
            from = place;
        }
    }

    #[test]
    fn the_three_copies_agree_while_everything_is_written() {
        let trial = Trial::with_ten_sales();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for txn in 11.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    trial.append(&[sale(txn)]);
                    trial.append(&[outcome(txn, OutcomeKind::Approved)]);
                    trial.project();
                }
            });
            for round in 0..4 {
                let to = trial.beside(&format!("backup-{round}"));
                backup(trial.folder.path(), &to, MADE_AT).unwrap();
                assert!(check(&to).is_sound());
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert!(trial.shown().last_txn.0 > 12, "it was written meanwhile");
    }

    #[test]
    fn a_backup_is_never_written_over_and_half_a_one_is_none() {
        let trial = Trial::with_ten_sales();
        let to = trial.beside("backup");
        backup(trial.folder.path(), &to, MADE_AT).unwrap();
        let again = backup(trial.folder.path(), &to, MADE_AT).unwrap_err();
        assert!(again.to_string().contains("is there already"), "{again}");
        trial.damage(7);
        let other = trial.beside("of-damaged");
        let refused = backup(trial.folder.path(), &other, MADE_AT).unwrap_err();
        assert!(matches!(refused, UpkeepError::Unsound { .. }), "{refused}");
        assert!(!other.exists());
    }

    #[test]
    fn a_restore_refuses_damage_files_that_are_there_and_a_store_in_use() {
        let trial = Trial::with_ten_sales();
        let to = trial.beside("backup");
        backup(trial.folder.path(), &to, MADE_AT).unwrap();
        trial.append(&[sale(11)]);
        let before = trial.groups();
        let attempt = |overwrite| restore(&to, trial.folder.path(), overwrite, &stamp("now"));
        let refused = attempt(false).unwrap_err().to_string();
        assert!(refused.contains("--overwrite"), "{refused}");
        let held = trial.lock();
        let refused = attempt(true).unwrap_err();
        assert!(matches!(refused, UpkeepError::File { .. }), "{refused}");
        drop(held);
        assert_eq!(trial.groups(), before);
        let damaged = trial.beside("damaged");
        fs::create_dir(&damaged).unwrap();
        for file in StoreFile::ALL {
            fs::copy(to.join(file.name()), damaged.join(file.name())).unwrap();
        }
        let cut = fs::read(damaged.join("journal.db")).unwrap();
        fs::write(damaged.join("journal.db"), &cut[..cut.len() / 2]).unwrap();
        let refused = restore(&damaged, trial.folder.path(), true, &stamp("now")).unwrap_err();
        assert!(matches!(refused, UpkeepError::Unsound { .. }), "{refused}");
        assert_eq!(trial.groups(), before);

        let restored = attempt(true).unwrap();
        assert_eq!(trial.groups(), before[..before.len() - 1]);
        let kept = restored.aside.unwrap();
        for file in StoreFile::ALL {
            assert!(kept.join(file.name()).exists());
        }
    }

    #[test]
    fn a_restore_that_was_not_finished_keeps_the_store_from_being_used() {
        let trial = Trial::with_ten_sales();
        let to = trial.beside("backup");
        backup(trial.folder.path(), &to, MADE_AT).unwrap();
        fs::write(trial.folder.path().join(RESTORING), "earlier").unwrap();
        let refused = trial.start().unwrap_err().to_string();
        assert!(refused.contains("posgate restore --overwrite"), "{refused}");
        restore(&to, trial.folder.path(), true, &stamp("again")).unwrap();
        trial.start().unwrap();
    }
}
