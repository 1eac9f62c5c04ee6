//! All lanes, looked up by terminal. A lane is worked on inside a closure, so that no guard leaves.

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::Lane;
use crate::binding::TerminalKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Lanes(DashMap<TerminalKey, Lane, RandomState>);

impl Lanes {
    /// No lanes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Works on a terminal's lane, making an empty one when there is none. `work` must be short: other
    /// terminals of the same shard wait.
    pub fn with<R>(&self, key: TerminalKey, work: impl FnOnce(&mut Lane) -> R) -> R {
        work(self.0.entry(key).or_default().value_mut())
    }

    /// Returns when whatever is being done in any lane now has ended. What begins after it sees what was
    /// there before it.
    pub fn pass(&self) {
        for shard in self.0.shards() {
            drop(shard.write());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::base::{AcquirerId, TerminalId};

    #[test]
    fn passing_waits_for_what_is_done_in_a_lane() {
        let key = TerminalKey {
            acquirer: AcquirerId(0),
            terminal: TerminalId::parse("T0000001").unwrap(),
        };
        let lanes = Lanes::new();
        let (begun, has_begun) = channel();
        let (end, may_end) = channel::<()>();
        let (passed, has_passed) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                lanes.with(key, move |_lane| {
                    begun.send(()).unwrap();
                    may_end.recv().unwrap();
                });
            });
            has_begun.recv().unwrap();
            scope.spawn(|| {
                lanes.pass();
                passed.send(()).unwrap();
            });
            assert!(has_passed.recv_timeout(Duration::from_millis(50)).is_err());
            end.send(()).unwrap();
            has_passed.recv().unwrap();
        });
    }
}
