//! The fleet's overall rate: terminals take turns.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::Moment;

/// Deals out moments at an even rate.
#[derive(Debug)]
pub(super) struct Slots {
    interval: Duration,
    next: Mutex<Moment>,
}

impl Slots {
    /// `per_second` of zero deals out any number at once.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second);
        Self {
            interval: interval.unwrap_or_default(),
            next: Mutex::new(Moment::default()),
        }
    }

    /// The next moment at which somebody may send; now at the earliest. What was not used is lost, so that a
    /// fleet that hung does not come back with a burst.
    pub(super) fn take(&self, now: Moment) -> Moment {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next).max(now);
        *next = slot.after(self.interval);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_even_and_do_not_pile_up() {
        let slots = Slots::new(1_000);
        assert_eq!(slots.take(Moment(5_000)), Moment(5_000));
        assert_eq!(slots.take(Moment(5_000)), Moment(6_000));
        assert_eq!(slots.take(Moment(90_000)), Moment(90_000));
        assert_eq!(slots.take(Moment(90_000)), Moment(91_000));
    }

    #[test]
    fn no_rate_means_no_waiting() {
        let slots = Slots::new(0);
        assert_eq!(slots.take(Moment(7)), Moment(7));
        assert_eq!(slots.take(Moment(7)), Moment(7));
    }
}
