//! When the journal's writer waits for more before it writes a group.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Moment};

/// Records that must be due within the longest wait for the writer to wait at all.
const GATHER_FROM: u64 = 8;

/// Effects after which the writer waits no longer: a larger group would cost hardly less for each record.
pub(super) const GATHER_ENOUGH: usize = 256;

/// What counts as a fair group before the first was written.
pub(super) const GATHER_FAIR: usize = 16;

/// How many requests are in flight: each appends an outcome sooner or later.
pub type InFlight = Arc<dyn Fn() -> usize + Send + Sync>;

/// When the writer waits for more: while records come fast and more are known to be on their way, so that a
/// short wait makes a much larger group. How fast they come is told from the last groups.
pub struct Gather {
    at_most: Duration,
    clock: Arc<dyn Clock>,
    pub(super) in_flight: InFlight,
    taken_at: Moment,
    /// Mean time between records in nanoseconds, never more than `at_most`.
    interval: u64,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather")
            .field("at_most", &self.at_most)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Gather {
    /// Waits up to so long; zero for never.
    #[must_use]
    pub fn new(at_most: Duration, clock: Arc<dyn Clock>, in_flight: InFlight) -> Self {
        Self {
            at_most,
            taken_at: clock.now(),
            clock,
            in_flight,
            interval: nanos(at_most),
        }
    }

    /// How long to wait now that so many effects are there. One terminal alone is never kept waiting.
    pub(super) fn wait(&self, effects: usize) -> Duration {
        let fast = self.interval.saturating_mul(GATHER_FROM) <= nanos(self.at_most);
        if fast && effects < GATHER_ENOUGH && more_to_come((self.in_flight)(), effects) {
            self.at_most
        } else {
            Duration::ZERO
        }
    }

    /// The clock that it tells by.
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// So many effects were taken just now.
    pub(super) fn taken(&mut self, effects: usize) {
        let now = self.clock.now();
        let since = nanos(now.since(self.taken_at));
        self.taken_at = now;
        let each = since / u64::try_from(effects).unwrap_or(u64::MAX).max(1);
        self.interval = (self.interval * 7 + each.min(nanos(self.at_most))) / 8;
    }
}

/// What counts as a fair group after one of `taken` effects: as large as the largest of late. Where a round of
/// all terminals fits into the wait, that is the whole round, and the writer goes on when it is complete.
pub(super) fn fair_after(fair: usize, taken: usize) -> usize {
    taken.max(fair - fair.div_ceil(8))
}

/// Whether the outcomes on their way are many beside what has gathered: a request whose own intent waits in the
/// queue brings nothing before it is written.
pub(super) const fn more_to_come(in_flight: usize, gathered: usize) -> bool {
    in_flight.saturating_sub(gathered) > gathered / 4
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::clock::ManualClock;

    pub(in super::super) fn gather(
        at_most: Duration,
        in_flight: usize,
    ) -> (Gather, Arc<ManualClock>, Arc<AtomicUsize>) {
        let clock = Arc::new(ManualClock::default());
        let count = Arc::new(AtomicUsize::new(in_flight));
        let asked = Arc::clone(&count);
        let in_flight = Arc::new(move || asked.load(Ordering::Acquire));
        let gather = Gather::new(at_most, Arc::clone(&clock) as _, in_flight);
        (gather, clock, count)
    }

    #[test]
    fn only_records_that_come_fast_are_waited_for() {
        let at_most = Duration::from_millis(1);
        let (mut gather, clock, in_flight) = gather(at_most, 100);
        let mut groups = |count: usize, each: usize, every: Duration| {
            for _ in 0..count {
                clock.advance(every);
                gather.taken(each);
            }
            gather.wait(1)
        };
        assert_eq!(groups(0, 0, Duration::ZERO), Duration::ZERO);
        assert_eq!(groups(100, 1, Duration::from_micros(150)), Duration::ZERO);
        // Eight thousand sales a second: from the first groups on, and again after a pause.
        assert_eq!(groups(30, 4, Duration::from_micros(250)), at_most);
        assert_eq!(groups(1, 1, Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(groups(30, 4, Duration::from_micros(250)), at_most);
        // However fast one terminal is: nothing is on its way but what is there.
        in_flight.store(1, Ordering::Release);
        assert_eq!(gather.wait(1), Duration::ZERO);
        in_flight.store(100, Ordering::Release);
        assert_eq!(gather.wait(1), at_most);
        assert_eq!(gather.wait(GATHER_ENOUGH), Duration::ZERO);
    }

    #[test]
    fn a_fair_group_grows_at_once_and_shrinks_slowly() {
        assert_eq!(fair_after(16, 64), 64);
        assert_eq!(fair_after(64, 8), 56);
        let one_at_a_time = (0..64).fold(64, |fair, _| fair_after(fair, 1));
        assert_eq!(one_at_a_time, 1);
        assert_eq!(fair_after(0, 0), 0);
    }
}
