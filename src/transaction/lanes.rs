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

    /// Lanes held: terminals that were heard of since the start, or were signed on before it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no lane.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
