//! A time limit that costs next to nothing while it is not reached.
//!
//! A timer of its own for each message would be the dearest thing the tool does in user space. One timer for
//! each terminal is enough: when it goes off, it looks how long the current message has really waited, and
//! goes to sleep again for the rest.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Sleep;

use crate::base::{Clock, Moment};

/// One terminal's time limit.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    limit: Duration,
}

/// The limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed;

impl Alarm {
    /// A limit of `limit` for each use.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(limit)),
            limit,
        }
    }

    /// Waits for `work`, which began at `began`. It must be cancel safe.
    pub(super) async fn guard<T>(
        &mut self,
        clock: &dyn Clock,
        began: Moment,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = &mut self.sleep => {
                    let left = self.limit.saturating_sub(clock.now().since(began));
                    // At least a moment, so that a limit that is reached ends the next turn.
                    let due = self.sleep.deadline() + left.max(Duration::from_millis(1));
                    self.sleep.as_mut().reset(due);
                    if left.is_zero() {
                        return Err(Elapsed);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;

    #[tokio::test(start_paused = true)]
    async fn limit_counts_from_when_the_work_began() {
        let clock = ManualClock::default();
        let limit = Duration::from_secs(1);
        let mut alarm = Alarm::new(limit);
        let forever = std::future::pending::<()>;

        // Its timer has run for longer than the work: the work still gets its whole second.
        clock.advance(Duration::from_millis(900));
        let began = clock.now();
        let work = alarm.guard(&clock, began, async {
            tokio::time::sleep(Duration::from_millis(1_050)).await;
        });
        assert_eq!(work.await, Ok(()));

        clock.advance(limit);
        assert_eq!(alarm.guard(&clock, began, forever()).await, Err(Elapsed));
    }
}
