//! Once a second: memory, and where the local zone stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Switch;
use crate::base::Clock;
use crate::net::Tasks;
use crate::net::listener::Sessions;
use crate::telemetry::metrics::ProcessMetrics;

/// What keeps the process within its memory.
pub(super) struct Guard {
    pub(super) limit: Option<u64>,
    pub(super) full: Arc<AtomicBool>,
    pub(super) sessions: Arc<Sessions>,
}

/// Memory and the local zone, once a second.
pub(super) async fn watch(switch: Arc<Switch>, guard: Guard, tasks: Tasks) {
    let metrics = ProcessMetrics::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            _ = ticks.tick() => {}
        }
        switch
            .zone_offset
            .store(zone_offset(&*switch.clock), Ordering::Relaxed);
        metrics.terminals.set(f64::from(
            u32::try_from(switch.directory.len()).unwrap_or(u32::MAX),
        ));
        let limits = switch.directory.counters().len();
        metrics
            .limits
            .set(f64::from(u32::try_from(limits).unwrap_or(u32::MAX)));
        let Some(resident) = resident_bytes() else {
            continue;
        };
        metrics.resident_bytes.set(bytes_as_gauge(resident));
        let Some(limit) = guard.limit else { continue };
        let full = resident > limit / 5 * 4;
        if full != guard.full.swap(full, Ordering::Relaxed) {
            tracing::warn!(
                resident,
                limit,
                full,
                "memory: no new connections while full"
            );
        }
        if resident > limit / 10 * 9 {
            let closed = guard.sessions.close_oldest_idle(1_000);
            tracing::warn!(closed, "memory: the oldest idle sessions are closed");
        }
    }
}

/// A gauge is a float: exact in units of 4 KiB, which is what the system counts in.
#[expect(clippy::float_arithmetic, reason = "gauges are floats")]
fn bytes_as_gauge(bytes: u64) -> f64 {
    u32::try_from(bytes >> 12).map_or(f64::MAX, f64::from) * 4_096.0
}

/// Memory of this process.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

/// The configured limit, or the control group's.
pub(super) fn memory_limit(configured: u64) -> Option<u64> {
    if configured > 0 {
        return Some(configured);
    }
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Seconds the local zone is ahead of UTC.
pub(super) fn zone_offset(clock: &dyn Clock) -> i32 {
    let micros = i64::try_from(clock.wall().0).unwrap_or(0);
    jiff::Timestamp::from_microsecond(micros).map_or(0, |now| {
        jiff::tz::TimeZone::system().to_offset(now).seconds()
    })
}
