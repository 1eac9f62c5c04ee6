//! A writer without a thread: whoever holds it says when a group is taken, written, and its effects given
//! out. For simulations, where a crash may fall between any two of these.

use std::sync::{Arc, Condvar, Mutex};

use super::{Durable, Journal, NOT_WAITING, Queue, Shared};
use crate::store::room::Room;
use crate::store::{JournalStore, StoreError, record};

/// See the module.
pub(crate) struct ByHand<E> {
    shared: Arc<Shared<E>>,
    store: Box<dyn JournalStore>,
    group: Vec<u8>,
    records: u32,
    effects: Vec<E>,
}

impl<E> std::fmt::Debug for ByHand<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByHand")
            .field("records", &self.records)
            .field("effects", &self.effects.len())
            .finish_non_exhaustive()
    }
}

impl<E> Journal<E> {
    /// A journal that is written by hand.
    pub(crate) fn by_hand(store: Box<dyn JournalStore>) -> (Self, ByHand<E>) {
        let queue = Queue {
            bytes: Vec::new(),
            records: 0,
            effects: Vec::new(),
            wake_at: NOT_WAITING,
            fair: 0,
            rest_ends: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            room: Arc::new(Room::unlimited()),
        });
        record::begin_group(&mut shared.lock().bytes);
        let journal = Self {
            shared: Arc::clone(&shared),
            in_flight: Arc::new(|| 0),
        };
        let writer = ByHand {
            shared,
            store,
            group: Vec::new(),
            records: 0,
            effects: Vec::new(),
        };
        (journal, writer)
    }
}

impl<E> ByHand<E> {
    /// Whether something waits to be taken.
    pub(crate) fn has_work(&self) -> bool {
        !self.shared.lock().effects.is_empty()
    }

    /// Takes what waits. The group before must have been given out.
    pub(crate) fn take(&mut self) {
        self.group.clear();
        record::begin_group(&mut self.group);
        let mut queue = self.shared.lock();
        std::mem::swap(&mut queue.bytes, &mut self.group);
        std::mem::swap(&mut queue.effects, &mut self.effects);
        self.records = std::mem::take(&mut queue.records);
    }

    /// Writes what was taken.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        if self.records == 0 {
            return Ok(());
        }
        record::end_group(&mut self.group);
        self.store.append(&self.group, self.records).map(drop)
    }

    /// Gives out the effects of what was written.
    pub(crate) fn effects(&mut self) -> impl Iterator<Item = Durable<E>> {
        self.effects.drain(..).map(Durable)
    }
}
