//! The order of syncs and sends, on the system calls themselves.
//!
//! A kill does not show a sync that comes too late or never: what the system's cache holds survives the process.
//! So `posgate serve` runs under `strace`, over plain TCP, and the trace is compared with the journal it left:
//! each frame to the host, and each approval to a terminal, must be sent after the end of an `fdatasync` that began
//! after the write that holds its record.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use posgate::base::{Stan, TerminalId};
use posgate::iso8583::{Dialect, Index};
use posgate::store::record::read_group;
use posgate::store::sqlite::SqliteFolder;
use posgate::store::{JournalStore, OutcomeKind, Record};

use super::trace::Event;
use super::traced::{TRANSACTIONS, Traced};

/// Write-ahead log of the journal.
const LOG: &str = "journal.db-wal";

/// A record that something depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The intent of a transaction.
    Intent(u64),
    /// An outcome of it.
    Outcome(u64, u8),
}

impl Step {
    pub(super) fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Intent(intent) => Some(Self::Intent(intent.txn.0)),
            Record::Outcome(outcome) => Some(Self::Outcome(outcome.txn.0, outcome.kind as u8)),
            _ => None,
        }
    }
}

/// What the journal says, and what a frame depends on by it.
pub(super) struct Journal {
    dialect: Arc<Dialect>,
    /// The groups themselves, the first being number 1.
    pub(super) groups: Vec<Vec<u8>>,
    /// Records by their first bytes: kind, length, transaction.
    records: HashMap<[u8; 13], Vec<(Step, Vec<u8>)>>,
    known: HashSet<Step>,
    transactions: HashMap<(TerminalId, Stan), u64>,
}

impl Journal {
    pub(super) fn read(folder: &Path, dialect: &Arc<Dialect>) -> Self {
        let mut journal = Self {
            dialect: Arc::clone(dialect),
            groups: Vec::new(),
            records: HashMap::new(),
            known: HashSet::new(),
            transactions: HashMap::new(),
        };
        let mut store = SqliteFolder::open(folder).unwrap().journal().unwrap();
        store
            .replay(0, &mut |_, group| {
                journal.groups.push(group.to_vec());
                read_group(group, |record| journal.add(&record)).unwrap();
                true
            })
            .unwrap();
        journal
    }

    fn add(&mut self, record: &Record) {
        if let Record::Intent(intent) = record {
            let place = (intent.key.terminal, intent.stan);
            self.transactions.insert(place, intent.txn.0);
        }
        let Some(step) = Step::of(record) else {
            return;
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.known.insert(step);
        let first = *bytes.first_chunk().unwrap();
        self.records.entry(first).or_default().push((step, bytes));
    }

    /// Records that stand whole in what was written.
    fn found_in(&self, written: &[u8]) -> Vec<Step> {
        let mut found = Vec::new();
        for (at, first) in written.windows(13).enumerate() {
            if !matches!(first[0], 2 | 7) {
                continue;
            }
            for (step, bytes) in self.records.get(first).into_iter().flatten() {
                if written[at..].starts_with(bytes) {
                    found.push(*step);
                }
            }
        }
        found
    }

    /// The record that must be durable before a frame may leave, if there is one.
    pub(super) fn needed_by(&self, to_host: bool, frame: &[u8]) -> Option<Step> {
        let mut index = Index::new();
        let message = self.dialect.decode(frame, &mut index).unwrap();
        let place = (message.terminal()?, message.stan()?);
        let transaction = self.transactions.get(&place).copied();
        let owed = |transaction| Step::Outcome(transaction, OutcomeKind::ReversalOwed as u8);
        match message.mti().to_string().as_str() {
            // A request without an intent is a violation by itself: nothing makes that step durable.
            "0200" | "0220" if to_host => Some(Step::Intent(transaction.unwrap_or(u64::MAX))),
            "0400" if to_host => Some(owed(transaction.unwrap_or(u64::MAX))),
            "0210" | "0230" if self.dialect.is_approval(message.response_code()?) => Some(
                Step::Outcome(transaction.unwrap_or(u64::MAX), OutcomeKind::Approved as u8),
            ),
            // A reversal of what was never approved needs nothing.
            "0410" => transaction
                .map(owed)
                .filter(|step| self.known.contains(step)),
            _ => None,
        }
    }
}

/// What a check of a trace found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Checked {
    requests: u64,
    answers: u64,
    /// Places of sends that came before their record was durable.
    violations: Vec<usize>,
}

fn check(events: &[Event], journal: &Journal, host: u16) -> Checked {
    let mut written: HashSet<Step> = HashSet::new();
    let mut syncing: HashMap<u32, Vec<Step>> = HashMap::new();
    let mut durable: HashSet<Step> = HashSet::new();
    let mut checked = Checked::default();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Written { file, bytes, .. } if file == LOG => {
                written.extend(journal.found_in(bytes));
            }
            Event::SyncBegins { thread, file } if file == LOG => {
                syncing.insert(*thread, written.drain().collect());
            }
            Event::Synced { thread } => {
                durable.extend(syncing.remove(thread).unwrap_or_default());
            }
            Event::Sent { ends, frame } => {
                let to_host = ends.1 == host;
                let Some(step) = journal.needed_by(to_host, frame) else {
                    continue;
                };
                checked.requests += u64::from(to_host);
                checked.answers += u64::from(!to_host);
                if !durable.contains(&step) {
                    checked.violations.push(at);
                }
            }
            _ => {}
        }
    }
    checked
}

/// The same trace with one send moved before the end of the sync that it waited for.
fn with_send_before_its_sync(events: &[Event], journal: &Journal, send: usize) -> Vec<Event> {
    let mut moved = events.to_vec();
    let Event::Sent { ends: _, frame } = &events[send] else {
        panic!("no send");
    };
    let step = [true, false]
        .into_iter()
        .find_map(|to_host| journal.needed_by(to_host, frame))
        .unwrap();
    let holds = |event: &Event| match event {
        Event::Written { file, bytes, .. } if file == LOG => {
            journal.found_in(bytes).contains(&step)
        }
        _ => false,
    };
    let written = events.iter().position(holds).unwrap();
    let thread = events[written..].iter().find_map(|event| match event {
        Event::SyncBegins { thread, file } if file == LOG => Some(*thread),
        _ => None,
    });
    let ends = |event: &Event| matches!(event, Event::Synced { thread: t } if Some(*t) == thread);
    let synced = written + events[written..].iter().position(ends).unwrap();
    assert!(synced < send);
    let event = moved.remove(send);
    moved.insert(synced, event);
    moved
}

#[test]
fn each_request_and_each_approval_leaves_after_the_sync_of_its_record() {
    let Some(traced) = Traced::once() else {
        return;
    };
    let (events, journal, host) = (&traced.events, &traced.journal, traced.host);
    let checked = check(events, journal, host);
    println!("{} requests, {} answers", checked.requests, checked.answers);
    assert!(
        checked.violations.is_empty(),
        "sends before their sync: {:?}",
        checked.violations
    );
    assert!(checked.requests >= TRANSACTIONS && checked.answers >= TRANSACTIONS);
    let reversals = |event: &Event| match event {
        Event::Sent { ends, frame } if ends.1 == host => {
            let step = journal.needed_by(true, frame);
            matches!(step, Some(Step::Outcome(..)))
        }
        _ => false,
    };
    assert!(events.iter().any(reversals), "none was reversed");

    // The checker sees what it is there for: one send before its sync, to either side.
    for to_host in [true, false] {
        let checkable = |event: &Event| match event {
            Event::Sent { ends, frame } => {
                (ends.1 == host) == to_host && journal.needed_by(to_host, frame).is_some()
            }
            _ => false,
        };
        let send = events.iter().position(checkable).unwrap();
        let moved = with_send_before_its_sync(events, journal, send);
        assert_eq!(check(&moved, journal, host).violations.len(), 1);
    }
    // And a sync that is never made.
    let unsynced: Vec<_> = events
        .iter()
        .filter(|event| !matches!(event, Event::SyncBegins { .. } | Event::Synced { .. }))
        .cloned()
        .collect();
    let unsynced = check(&unsynced, journal, host);
    let sends = usize::try_from(checked.requests + checked.answers).unwrap();
    assert_eq!(unsynced.violations.len(), sends);
}
