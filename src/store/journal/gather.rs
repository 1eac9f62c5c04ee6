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

/// Effects that must join during a wait in hope for the next one to be worth it.
const HOPE_FULFILLED: usize = 4;

/// So many groups are written without a wait before hope is tried again.
const HOPE_TRIED_EVERY: u32 = 64;

/// How long the writer waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all.
    Not,
    /// For outcomes that are known to be on their way. It ends when they are there.
    ForKnown(Duration),
    /// For requests that nobody knows of yet. It ends with its time, or when enough is there.
    InHope(Duration),
}

/// How many requests are in flight: each appends an outcome sooner or later.
pub type InFlight = Arc<dyn Fn() -> usize + Send + Sync>;

/// When the writer waits for more: while records come fast, so that a short wait makes a much larger group. How
/// fast they come is told from the last groups.
///
/// That more will come it knows from the requests in flight. Where most terminals are idle and any of them may
/// send next, little is in flight and more comes all the same; where every terminal waits for this very group,
/// nothing does. Only trying tells the two apart: one wait in [`HOPE_TRIED_EVERY`] groups, and then all of them
/// for as long as they bring something.
pub struct Gather {
    at_most: Duration,
    clock: Arc<dyn Clock>,
    pub(super) in_flight: InFlight,
    taken_at: Moment,
    /// Mean time between records in nanoseconds, never more than `at_most`.
    interval: u64,
    /// Effects that were there when a wait in hope began.
    hoped_from: Option<usize>,
    /// Groups until the next wait in hope.
    hope_in: u32,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather")
            .field("at_most", &self.at_most)
            .field("interval", &self.interval)
            .field("hope_in", &self.hope_in)
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
            hoped_from: None,
            hope_in: 0,
        }
    }

    /// How long to wait now that so many effects are there. One terminal alone is never kept waiting.
    pub(super) fn wait(&mut self, effects: usize) -> Wait {
        self.hoped_from = None;
        let fast = self.interval.saturating_mul(GATHER_FROM) <= nanos(self.at_most);
        if self.at_most.is_zero() || !fast || effects >= GATHER_ENOUGH {
            return Wait::Not;
        }
        let in_flight = (self.in_flight)();
        if more_to_come(in_flight, effects) {
            return Wait::ForKnown(self.at_most);
        }
        if effects.max(in_flight) <= 1 {
            return Wait::Not;
        }
        if self.hope_in > 0 {
            self.hope_in -= 1;
            return Wait::Not;
        }
        self.hoped_from = Some(effects);
        Wait::InHope(self.at_most)
    }

    /// The clock that it tells by.
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// So many effects were taken just now.
    pub(super) fn taken(&mut self, effects: usize) {
        if let Some(before) = self.hoped_from.take()
            && effects < before + HOPE_FULFILLED
        {
            self.hope_in = HOPE_TRIED_EVERY;
        }
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
        let known = Wait::ForKnown(at_most);
        assert_eq!(groups(0, 0, Duration::ZERO), Wait::Not);
        assert_eq!(groups(100, 1, Duration::from_micros(150)), Wait::Not);
        // Eight thousand sales a second: from the first groups on, and again after a pause.
        assert_eq!(groups(30, 4, Duration::from_micros(250)), known);
        assert_eq!(groups(1, 1, Duration::from_secs(60)), Wait::Not);
        assert_eq!(groups(30, 4, Duration::from_micros(250)), known);
        // However fast one terminal is: nothing is on its way but what is there.
        in_flight.store(1, Ordering::Release);
        assert_eq!(gather.wait(1), Wait::Not);
        in_flight.store(100, Ordering::Release);
        assert_eq!(gather.wait(1), known);
        assert_eq!(gather.wait(GATHER_ENOUGH), Wait::Not);
    }

    #[test]
    fn it_hopes_for_more_while_hope_is_fulfilled() {
        let at_most = Duration::from_millis(1);
        let (mut hopeful, clock, _in_flight) = gather(at_most, 8);
        let mut group = |before: usize, after: usize| {
            let wait = hopeful.wait(before);
            clock.advance(Duration::from_micros(30) * u32::try_from(after).unwrap());
            hopeful.taken(after);
            wait
        };
        // They come fast. All eight terminals wait for this group, so that nothing joined it: not again soon.
        while group(8, 8) == Wait::Not {}
        for _ in 0..HOPE_TRIED_EVERY {
            assert_eq!(group(8, 8), Wait::Not);
        }
        // Others begin to send: now every group is waited for, until they fall silent.
        for _ in 0..1_000 {
            assert_eq!(group(8, 12), Wait::InHope(at_most));
        }
        assert_eq!(group(8, 11), Wait::InHope(at_most));
        assert_eq!(group(8, 12), Wait::Not);
        // What is known to come is waited for all the while.
        assert_eq!(group(2, 8), Wait::ForKnown(at_most));
        // No group at all waits when that is the setting.
        let (mut never, _clock, _in_flight) = gather(Duration::ZERO, 8);
        assert!((0..1_000).all(|n| never.wait(n) == Wait::Not));
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
