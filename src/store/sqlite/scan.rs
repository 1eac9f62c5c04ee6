//! Reads a whole store beside trade, a little at a time, and says what is wrong with it.
//!
//! A start reads what it needs and no more: it takes less than two seconds, and damage in the middle of the
//! journal would be met on the day when somebody asks for that transaction. This looks at SQLite's pages in
//! each of the three files, and at the checksum of every group of the journal. What the files say of each
//! other only [`check`](super::check()) compares. Writes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::check::{Mend, Report, mend_of, open_read_only, problem_of};
use super::{StoreFile, from_sql, journal, to_sql};
use crate::base::clock::{Clock, Moment};
use crate::store::record;

/// Groups that are read between two rests.
const GROUPS_A_STEP: u32 = 256;
/// Operations of SQLite's virtual machine between two looks at the clock.
const OPERATIONS_A_STEP: i32 = 1_000;
/// Longest work without a rest.
const WORK_MAX: Duration = Duration::from_millis(5);
/// Messages taken from SQLite's own check of one file.
const MESSAGES_MAX: u32 = 20;

/// Waits for as long as it is told; returns whether to go on.
pub type Wait = Arc<dyn Fn(Duration) -> bool + Send + Sync>;

/// When to rest, and for how long.
#[derive(Clone)]
struct Pace {
    clock: Arc<dyn Clock>,
    /// Rest after work, as a multiple of the work's own time.
    rest: u32,
    wait: Wait,
    began: Moment,
}

impl Pace {
    /// Rests when enough was done; returns whether to go on.
    fn goes_on(&mut self) -> bool {
        let worked = self.clock.now().since(self.began);
        if worked < WORK_MAX {
            return true;
        }
        let goes_on = (self.wait)(worked * self.rest);
        self.began = self.clock.now();
        goes_on
    }
}

/// Reads the pages of all files and every group of the journal, resting `rest` times as long as it works.
/// `None` when `wait` said to stop. Blocks the calling thread for as long as it takes.
#[must_use]
pub fn scan(folder: &Path, clock: &Arc<dyn Clock>, rest: u32, wait: &Wait) -> Option<Report> {
    let mut pace = Pace {
        clock: Arc::clone(clock),
        rest,
        wait: Arc::clone(wait),
        began: clock.now(),
    };
    let mut report = Report::default();
    for file in StoreFile::ALL {
        let mut db = match open_read_only(&folder.join(file.name()), file) {
            Ok(db) => db,
            Err(problem) => {
                report.add(file, mend_of(file), problem_of(problem));
                continue;
            }
        };
        // Each part reads as of its own moment: a long one would keep the write-ahead log from beginning anew.
        let mut read = db.execute_batch("COMMIT");
        read = read.and_then(|()| pages(&mut db, file, &pace, &mut report));
        if file == StoreFile::Journal {
            read = read.and_then(|()| groups(&db, &mut pace, &mut report));
        }
        match read {
            Ok(()) => {}
            Err(problem)
                if problem.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                return None;
            }
            Err(problem) => {
                let what = format!("cannot be read further: {problem}");
                report.add(file, mend_of(file), what);
            }
        }
    }
    Some(report)
}

fn interrupted() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
    rusqlite::Error::SqliteFailure(code, None)
}

/// SQLite's own check of the pages. It is one statement: it rests while it runs.
fn pages(
    db: &mut Connection,
    file: StoreFile,
    pace: &Pace,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let mut paced = pace.clone();
    db.progress_handler(OPERATIONS_A_STEP, Some(move || !paced.goes_on()))?;
    let mut check = db.prepare(&format!("PRAGMA quick_check({MESSAGES_MAX})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            report.add(file, mend_of(file), format!("SQLite says: {}", said.trim()));
        }
    }
    drop(rows);
    drop(check);
    db.progress_handler(0, None::<fn() -> bool>)
}

/// Every group's checksum, and that none is missing.
fn groups(db: &Connection, pace: &mut Pace, report: &mut Report) -> rusqlite::Result<()> {
    let last: u64 = db.query_row(journal::LAST, [], |row| row.get(0).map(from_sql))?;
    let first: Option<u64> = db.query_row("SELECT min(sequence) FROM journal", [], |row| {
        row.get::<_, Option<i64>>(0)
            .map(|least| least.map(from_sql))
    })?;
    // What was deleted before the first is not walked over one by one.
    let mut expected = 1;
    if let Some(first) = first {
        gap(db, expected, first, report)?;
        expected = first;
    }
    let mut step = db.prepare(
        "SELECT sequence, body FROM journal WHERE sequence >= ?1 AND sequence <= ?2 \
         ORDER BY sequence LIMIT ?3",
    )?;
    loop {
        let before = expected;
        let mut rows = step.query((to_sql(expected), to_sql(last), GROUPS_A_STEP))?;
        while let Some(row) = rows.next()? {
            let sequence = from_sql(row.get(0)?);
            gap(db, expected, sequence, report)?;
            let body = row.get_ref(1)?.as_blob().unwrap_or_default();
            if let Err(problem) = record::read_group(body, |_record| {}) {
                let what = format!("group {sequence} is damaged: {problem}");
                report.add(StoreFile::Journal, Mend::Restore, what);
            } else {
                report.groups += 1;
            }
            expected = sequence + 1;
        }
        drop(rows);
        if !pace.goes_on() {
            return Err(interrupted());
        }
        if expected == before {
            return gap(db, expected, last + 1, report);
        }
    }
}

/// Groups from `expected` to below `found` that are not there. Deletion goes on meanwhile: what is gone since
/// is noted as deleted, and asked for after it was missed.
fn gap(db: &Connection, expected: u64, found: u64, report: &mut Report) -> rusqlite::Result<()> {
    if found <= expected {
        return Ok(());
    }
    for (first, last) in journal::missing(db, expected, found - 1)? {
        let what = format!("groups {first} to {last} are missing");
        report.add(StoreFile::Journal, Mend::Restore, what);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::trial::Trial;
    use super::*;
    use crate::base::SystemClock;

    fn scanned(trial: &Trial) -> Report {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let wait: Wait = Arc::new(|_time| true);
        scan(trial.folder.path(), &clock, 1, &wait).unwrap()
    }

    #[test]
    fn a_sound_store_has_no_findings_and_stays_as_it_is() {
        let trial = Trial::with_ten_sales();
        trial.settle();
        let before = trial.bytes();
        let report = scanned(&trial);
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.groups, 21);
        trial.settle();
        assert_eq!(trial.bytes(), before);
    }

    #[test]
    fn what_is_deleted_on_purpose_is_no_damage() {
        let trial = Trial::with_ten_sales();
        trial.sql(
            StoreFile::Journal,
            "DELETE FROM journal WHERE sequence IN (1, 2, 7); \
             INSERT INTO deleted VALUES (1, 2, 'x'), (7, 7, 'x')",
        );
        assert!(scanned(&trial).is_sound());
    }

    #[test]
    fn damage_in_the_middle_is_found() {
        let trial = Trial::with_ten_sales();
        trial.damage(7);
        let gone = "DELETE FROM journal WHERE sequence IN (11, 12)";
        trial.sql(StoreFile::Journal, gone);
        let found: Vec<_> = scanned(&trial)
            .findings
            .into_iter()
            .map(|f| f.what)
            .collect();
        assert_eq!(
            found,
            [
                "group 7 is damaged: the checksum differs",
                "groups 11 to 12 are missing"
            ]
        );
    }

    #[test]
    fn damaged_pages_are_found_in_every_file() {
        for file in StoreFile::ALL {
            let trial = Trial::with_ten_sales();
            trial.settle();
            let path = trial.path(file);
            let mut bytes = fs::read(&path).unwrap();
            let page = bytes.len() / 8_192 / 2 * 8_192;
            bytes[page..page + 512].fill(0xA5);
            fs::write(&path, bytes).unwrap();
            let found = scanned(&trial).findings;
            assert!(found.iter().any(|f| f.file == file), "{file:?}: {found:?}");
        }
    }

    #[test]
    fn it_rests_as_it_works_and_stops_when_told() {
        let trial = Trial::with_ten_sales();
        let clock: Arc<dyn Clock> = Arc::new(Slow(AtomicU32::new(0)));
        let rests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&rests);
        let wait: Wait = Arc::new(move |time| {
            assert!(time >= WORK_MAX * 3, "{time:?}");
            counted.fetch_add(1, Ordering::Relaxed) < 1
        });
        assert_eq!(scan(trial.folder.path(), &clock, 3, &wait), None);
        assert_eq!(rests.load(Ordering::Relaxed), 2);
    }

    /// Each look at it takes six milliseconds.
    #[derive(Debug)]
    struct Slow(AtomicU32);

    impl Clock for Slow {
        fn now(&self) -> Moment {
            let looks = self.0.fetch_add(1, Ordering::Relaxed);
            Moment::default().after(Duration::from_millis(6) * looks)
        }

        fn wall(&self) -> crate::base::Timestamp {
            crate::base::Timestamp(1)
        }
    }
}
