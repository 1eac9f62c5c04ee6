//! Looks after the store beside the money path, on a thread of its own: room on the disk once a second,
//! and the deletion of what has been kept long enough, card numbers before all. Another one reads all of the store once after the
//! start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::{Clock, Timestamp};
use crate::store::StoreError;
use crate::store::room::Room;
use crate::store::sqlite::{Deleted, Report, Retention, Wait, scan};
use crate::telemetry::log::chain;
use crate::telemetry::metrics::KeeperMetrics;

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a pass of deletion rests when there was nothing more to do.
const DELETE_EVERY: Duration = Duration::from_secs(60);
/// Rest after each step of deletion, as a multiple of the step's own time: the journal's writer and the
/// projection have the files most of the time.
const REST: u32 = 9;
/// Shortest rest after a step.
const REST_MIN: Duration = Duration::from_millis(20);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreKeeping {
    /// Bytes set aside for outcomes and reversals when the disk is full.
    pub reserve_bytes: u64,
    /// Journal groups.
    pub journal: Duration,
    /// Rows of the read model.
    pub transactions: Duration,
    /// Sealed card numbers of transactions that are closed.
    pub card_numbers: Duration,
    /// When all of the store is read.
    pub check: StoreCheck,
}

/// When a gateway reads all of its store, to find damage that nobody has met yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreCheck {
    /// After the start, beside trade: damage is told, and trade goes on.
    #[default]
    Background,
    /// Before the start, which damage prevents.
    Start,
    /// Never: only what is needed is read.
    Off,
}

impl StoreCheck {
    /// Names of all of them, as settings have them.
    pub const NAMES: [(&str, Self); 3] = [
        ("background", Self::Background),
        ("start", Self::Start),
        ("off", Self::Off),
    ];
}

impl Default for StoreKeeping {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            reserve_bytes: 64 << 20,
            journal: days(180),
            transactions: days(400),
            card_numbers: days(8),
            check: StoreCheck::default(),
        }
    }
}

/// The thread, until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        room: Arc<Room>,
        retention: Retention,
        keeping: StoreKeeping,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let mut work = Work {
            room,
            retention,
            keeping,
            clock,
            metrics: KeeperMetrics::default(),
            rest: Duration::ZERO,
            since_look: LOOK_EVERY,
            cannot: false,
            cannot_erase: false,
            blind: false,
        };
        let thread = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || work.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Lets it end after its step; the thread is there to be waited for.
    pub(super) fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.thread
    }
}

struct Work {
    room: Arc<Room>,
    retention: Retention,
    keeping: StoreKeeping,
    clock: Arc<dyn Clock>,
    metrics: KeeperMetrics,
    /// Until the next step of deletion.
    rest: Duration,
    since_look: Duration,
    /// Whether deletion failed last time: said once.
    cannot: bool,
    /// The same of erasing card numbers.
    cannot_erase: bool,
    /// Whether the disk could not be looked at last time.
    blind: bool,
}

impl Work {
    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            if self.since_look >= LOOK_EVERY {
                self.look();
                self.since_look = Duration::ZERO;
            }
            if self.rest.is_zero() {
                self.rest = self.delete();
            }
            let wait = self
                .rest
                .min(LOOK_EVERY.saturating_sub(self.since_look))
                .max(REST_MIN);
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.rest = self.rest.saturating_sub(wait);
            self.since_look += wait;
        }
    }

    fn look(&mut self) {
        match self.room.look() {
            Ok(free) => {
                self.blind = false;
                self.metrics.room(free, self.room.is_short());
            }
            Err(problem) => {
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::warn!(%problem, "the free room on the store's disk is not known");
                }
            }
        }
    }

    /// One step; how long to rest after it.
    fn delete(&mut self) -> Duration {
        let began = self.clock.now();
        let done = self.step(self.clock.wall());
        match done {
            Ok(done) => {
                self.cannot = false;
                self.metrics
                    .deleted(done.groups, done.shortened, done.transactions);
                if done.more {
                    let took = self.clock.now().since(began);
                    return (took * REST).max(REST_MIN);
                }
            }
            Err(problem) => {
                if !self.cannot {
                    let problem = chain(&problem);
                    tracing::warn!(problem, "old groups and transactions cannot be deleted");
                }
                self.cannot = true;
            }
        }
        DELETE_EVERY
    }

    /// One step of erasing card numbers; whether there is more. What cannot be erased keeps nothing from being deleted.
    fn erase(&mut self, now: Timestamp) -> bool {
        let kept = before(now, self.keeping.card_numbers);
        match self.retention.erase_card_numbers(kept) {
            Ok(erased) => {
                self.cannot_erase = false;
                self.metrics.erased(erased.transactions);
                erased.more
            }
            Err(problem) => {
                if !std::mem::replace(&mut self.cannot_erase, true) {
                    let problem = chain(&problem);
                    tracing::warn!(problem, "old card numbers cannot be erased");
                }
                false
            }
        }
    }

    fn step(&mut self, now: Timestamp) -> Result<Deleted, StoreError> {
        if self.erase(now) {
            return Ok(Deleted {
                more: true,
                ..Deleted::default()
            });
        }
        let groups = self
            .retention
            .delete_groups(before(now, self.keeping.journal))?;
        if groups.more {
            return Ok(groups);
        }
        // Last: what the journal still has would come back when the read model is made again.
        self.retention
            .delete_transactions(before(now, self.keeping.transactions))
    }
}

fn before(now: Timestamp, kept: Duration) -> Timestamp {
    let micros = u64::try_from(kept.as_micros()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

/// Rest of the check after the start, as a multiple of its work: a fifth of one CPU, at the lowest priority.
const SCAN_REST: u32 = 4;

/// Niceness of the check after the start: whoever wants the CPU has it.
#[cfg(target_os = "linux")]
const SCAN_NICE: i32 = 19;

/// Reads all of the store once, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Scan {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Scan {
    /// Starts it. What it finds is counted in `findings`, told in the log, and shown as a metric.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        folder: PathBuf,
        clock: Arc<dyn Clock>,
        findings: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let stopped = Mutex::new(stopped);
        let wait: Wait = Arc::new(move |time| {
            let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout))
        });
        let thread = std::thread::Builder::new()
            .name("store-check".into())
            .spawn(move || {
                step_back();
                let began = clock.now();
                let Some(report) = scan(&folder, &clock, SCAN_REST, &wait) else {
                    return;
                };
                let seconds = clock.now().since(began).as_secs();
                told(&folder, &report, seconds, &findings);
            })?;
        Ok(Self { stop, thread })
    }

    /// Lets it end; the thread is there to be waited for.
    pub(super) fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.thread
    }
}

fn told(folder: &Path, report: &Report, seconds: u64, findings: &AtomicU64) {
    let count = report.count();
    KeeperMetrics::default().findings(count);
    findings.store(count, Ordering::Relaxed);
    let Some(first) = report.findings.first() else {
        tracing::info!(
            groups = report.groups,
            seconds,
            "the whole store was read and is sound"
        );
        return;
    };
    tracing::error!(
        findings = count,
        file = first.file.name(),
        problem = first.what,
        remedy = report.remedy(folder),
        "the store is damaged; what is new is sound, and trade goes on"
    );
}

/// Gives way to every thread that trades.
fn step_back() {
    // Elsewhere a priority is the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(problem) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), SCAN_NICE)
    {
        tracing::debug!(%problem, "the store is checked at the same priority as trade");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_old_when_the_clock_is_wrong() {
        let day = Duration::from_secs(24 * 3_600);
        assert_eq!(before(Timestamp(5), day), Timestamp(0));
        let micros = 24 * 3_600 * 1_000_000;
        assert_eq!(before(Timestamp(micros + 7), day), Timestamp(7));
    }
}
