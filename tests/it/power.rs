//! What a power failure leaves.
//!
//! A disk may drop, reorder or tear what was written and not synced. The writes and syncs of a gateway's whole life,
//! from its first start to its end, are replayed onto such a disk, which fails at a random moment; on what it then
//! holds the store is opened as a start opens it. The journal must be a prefix of what it was, with everything in it
//! that a frame sent by then had promised, and the store sound.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use posgate::store::projection::project_round;
use posgate::store::record::read_group;
use posgate::store::sqlite::{SqliteFolder, check};
use posgate::store::{JournalStore, Record};
use posgate::telemetry::log::chain;

use super::order::Step;
use super::trace::Event;
use super::traced::Traced;

/// Failures that are tried, unless `POSGATE_POWER_FAILURES` says another number.
const FAILURES: usize = 300;
/// Events in which a first start makes its files.
const FIRST_EVENTS: usize = 60;
/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// A change of a file that is not synced yet.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
    Remove,
}

/// A file on a disk that keeps what was synced, and of the rest what it likes.
#[derive(Clone, Debug, Default)]
struct DiskFile {
    /// What is there for certain; `None` for no file.
    synced: Option<Vec<u8>>,
    /// In the order in which they were made.
    pending: Vec<Change>,
    /// Changes that were synced so far: the number of the first pending one.
    done: usize,
}

impl DiskFile {
    fn sync(&mut self, upto: usize) {
        // Another thread's sync may have had them already.
        let count = upto.saturating_sub(self.done);
        for change in self.pending.drain(..count) {
            change.apply(&mut self.synced, |_| true);
        }
        self.done += count;
    }

    /// What is there after the failure.
    fn after_failure(&self, random: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let mut content = self.synced.clone();
        let count = self.pending.len();
        let (first, kept, torn) = match random.u8(..5) {
            0 => (0, 0.0, 0.0),
            1 => (count, 0.0, 0.0),
            // Written in order, up to some point in the midst of a write.
            2 => (random.usize(..=count), 0.0, 0.0),
            3 => (0, 0.5, 0.0),
            _ => (0, random.f64(), random.f64()),
        };
        for (number, change) in self.pending.iter().enumerate() {
            if number < first {
                change.apply(&mut content, |_| true);
            } else if number == first && first > 0 {
                let from = random.usize(..16);
                change.apply(&mut content, |sector| sector < from);
            } else if random.f64() < torn {
                change.apply(&mut content, |_| random.bool());
            } else if random.f64() < kept {
                change.apply(&mut content, |_| true);
            }
        }
        content
    }
}

impl Change {
    /// Makes the change, of a write only the sectors that are kept.
    fn apply(&self, content: &mut Option<Vec<u8>>, mut keeps: impl FnMut(usize) -> bool) {
        match self {
            Self::Remove => *content = None,
            Self::Resize(length) => content.get_or_insert_default().resize(*length, 0),
            Self::Write { at, bytes } => {
                let content = content.get_or_insert_default();
                let end = at + bytes.len();
                let mut from = *at;
                while from < end {
                    let to = end.min((from / SECTOR + 1) * SECTOR);
                    if keeps((from - at) / SECTOR) {
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
        }
    }
}

/// All files.
#[derive(Clone, Debug)]
struct Disk {
    files: HashMap<String, DiskFile>,
    /// Syncs that have begun, by thread: the file and the changes they cover.
    syncing: HashMap<u32, (String, usize)>,
    /// Whether a sync does what it says.
    is_honest: bool,
}

impl Disk {
    fn new(before: &HashMap<String, Vec<u8>>, is_honest: bool) -> Self {
        let file = |(name, content): (&String, &Vec<u8>)| {
            let file = DiskFile {
                synced: Some(content.clone()),
                ..DiskFile::default()
            };
            (name.clone(), file)
        };
        Self {
            files: before.iter().map(file).collect(),
            syncing: HashMap::new(),
            is_honest,
        }
    }

    fn take(&mut self, event: &Event) {
        let (file, change) = match event {
            Event::Written { file, at, bytes } => {
                let bytes = bytes.clone();
                (file, Change::Write { at: *at, bytes })
            }
            Event::Resized { file, length } => (file, Change::Resize(*length)),
            Event::Removed { file } => (file, Change::Remove),
            Event::SyncBegins { thread, file } => {
                let state = self.files.entry(file.clone()).or_default();
                let upto = state.done + state.pending.len();
                self.syncing.insert(*thread, (file.clone(), upto));
                return;
            }
            Event::Synced { thread } => {
                let (file, upto) = self.syncing.remove(thread).unwrap();
                if self.is_honest {
                    self.files.get_mut(&file).unwrap().sync(upto);
                }
                return;
            }
            Event::Sent { .. } => return,
        };
        let state = self.files.entry(file.clone()).or_default();
        state.pending.push(change);
    }

    /// Writes what a failure leaves into a folder.
    fn fail(&self, random: &mut fastrand::Rng, folder: &Path) {
        // In one order, so that a seed says all.
        let mut names: Vec<_> = self.files.keys().collect();
        names.sort();
        for name in names {
            if let Some(content) = self.files[name].after_failure(random) {
                std::fs::write(folder.join(name), content).unwrap();
            }
        }
    }
}

/// Opens what is left as a start does. What is wrong with it, if anything is.
fn survey(folder: &Path, groups: &[Vec<u8>], promised: &HashSet<Step>) -> Result<usize, String> {
    let failed = |problem: &dyn std::error::Error| chain(problem);
    let store = SqliteFolder::open(folder).unwrap();
    let lock = store.lock().unwrap();
    store.prepare(&lock).map_err(|e| failed(&e))?;
    let mut journal = store.journal().map_err(|e| failed(&e))?;
    let mut model = store.read_model().map_err(|e| failed(&e))?;
    while project_round(&mut journal, &mut model).map_err(|e| failed(&e))? > 0 {}
    let mut found = HashSet::new();
    let mut count = 0;
    let mut wrong = None;
    let mut each = |sequence: u64, group: &[u8]| {
        count += 1;
        let is_next = usize::try_from(sequence).unwrap() == count;
        if !is_next || groups.get(count - 1).is_none_or(|g| g != group) {
            wrong = Some(format!("group {sequence} is not what it was"));
            return false;
        }
        let add = |record: Record| found.extend(Step::of(&record));
        read_group(group, add).unwrap();
        true
    };
    journal.replay(0, &mut each).map_err(|e| failed(&e))?;
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let report = check(folder);
    if let Some(finding) = report.findings.first() {
        return Err(format!("{:?}: {}", finding.file, finding.what));
    }
    match promised.difference(&found).next() {
        Some(lost) => Err(format!("{lost:?} was promised and is lost")),
        None => Ok(count),
    }
}

/// What became of all failures.
#[derive(Debug, Default)]
struct Tally {
    /// Journal groups that were found, over all.
    groups: usize,
    /// What was wrong, with the event at which the disk failed and the seed of what it kept.
    wrong: Vec<(usize, u64, String)>,
}

fn try_failures(traced: &Traced, count: usize, is_honest: bool) -> Tally {
    let events = &traced.events;
    // Half of them while a log is being copied into its file, which is seldom.
    let in_file = |(_, event): &(usize, &Event)| match event {
        Event::Written { file, .. } | Event::SyncBegins { file, .. } => file.ends_with(".db"),
        Event::Resized { .. } | Event::Removed { .. } => true,
        Event::Synced { .. } | Event::Sent { .. } => false,
    };
    let copied: Vec<_> = events.iter().enumerate().filter(in_file).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut failures: Vec<(usize, u64)> = (0..count as u64)
        .map(|seed| {
            let at = match random.choice(&copied) {
                // While the files are made, which is over at once.
                _ if random.u8(..16) == 0 => random.usize(..=FIRST_EVENTS),
                Some((at, _)) if random.bool() => at + random.usize(..8),
                _ => random.usize(..=events.len()),
            };
            (at.min(events.len()), seed)
        })
        .collect();
    failures.sort_unstable();
    let mut disk = Disk::new(&traced.before, is_honest);
    let mut promised = HashSet::new();
    let mut tally = Tally::default();
    let mut passed = 0;
    for (at, seed) in failures {
        for event in &events[passed..at] {
            disk.take(event);
            if let Event::Sent { ends, frame } = event {
                promised.extend(traced.journal.needed_by(ends.1 == traced.host, frame));
            }
        }
        passed = at;
        let folder = tempfile::tempdir().unwrap();
        disk.fail(&mut fastrand::Rng::with_seed(seed), folder.path());
        match survey(folder.path(), &traced.journal.groups, &promised) {
            Ok(groups) => tally.groups += groups,
            Err(wrong) => tally.wrong.push((at, seed, wrong)),
        }
    }
    tally
}

#[test]
fn after_a_power_failure_the_store_is_sound_and_keeps_what_was_promised() {
    let Some(traced) = Traced::once() else {
        return;
    };
    let failures =
        std::env::var("POSGATE_POWER_FAILURES").map_or(FAILURES, |count| count.parse().unwrap());
    let tally = try_failures(traced, failures, true);
    let pages = |of: &str| {
        let is = |event: &&Event| matches!(event, Event::Written { file, .. } if file == of);
        traced.events.iter().filter(is).count()
    };
    println!(
        "{failures} power failures among {} events, {} writes of journal.db; {} groups on average, {} wrong",
        traced.events.len(),
        pages("journal.db"),
        tally.groups / failures,
        tally.wrong.len()
    );
    assert!(tally.wrong.is_empty(), "{:?}", tally.wrong.first());
    assert!(tally.groups > 0);
    // Also a log that is written over from its start once it has been copied into its file.
    let begins = |event: &&Event| match event {
        Event::Written { file, at, .. } => file == "journal.db-wal" && *at == 0,
        _ => false,
    };
    let begun = traced.events.iter().filter(begins).count();
    assert!(begun >= 2, "the journal's log was never begun anew");
    // A disk whose syncs do nothing is found out.
    let tries = failures.min(FAILURES) / 4;
    let lying = try_failures(traced, tries, false);
    assert!(lying.wrong.len() > tries / 2, "{lying:?}");
}
