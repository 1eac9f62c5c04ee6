//! The tasks of a process: tracked, so that a drain can wait for them, with the two signals that end
//! them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clones belong together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    drain: CancellationToken,
    stop: CancellationToken,
    /// Set before `stop` is given, and quicker to ask.
    stopped: Arc<AtomicBool>,
}

impl Tasks {
    /// Nothing runs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task and keeps count of it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Tells everybody to take no new work and finish what is in flight.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Tells everybody to stop now. Implies [`Self::drain`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Completes when a drain began. Cancel safe.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Completes when everything must stop. Cancel safe.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Runs a future to its end, or until everything must stop: `None` then. For futures that are polled
    /// often: unlike a `select!` over [`Self::stopping`], it registers for the signal once and looks at a
    /// flag ever after.
    pub async fn until_stopped<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        let mut run = pin!(run);
        let mut stopping = pin!(self.stop.cancelled());
        let mut registered = false;
        // A task keeps its waker for life, so the one that was registered stays the right one.
        poll_fn(|cx| {
            if !registered {
                registered = true;
                if stopping.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
            } else if self.stopped.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            run.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Whether a drain began.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until all tasks ended, at most that long. `false` when some are still running. Cancel safe.
    pub async fn ended(&self, at_most: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(at_most, self.tracker.wait())
            .await
            .is_ok()
    }

    /// Tasks running now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}
