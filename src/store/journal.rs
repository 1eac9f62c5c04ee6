//! Group commit: one writer thread, one sync for all that waits.
//!
//! Callers append a record together with an *effect*: what may happen once the record is durable (send
//! the request upstream, give the terminal its answer). Appending never blocks on I/O. The writer takes
//! all that has gathered, writes it as one row, syncs, and hands the effects over in the order they
//! came. While it syncs, the next group gathers, so that the group grows with the load by itself.
//!
//! An effect without a record is allowed: it runs after everything appended before it is durable, which
//! is how a repeated request gets the first answer again and not sooner.
//!
//! A failed append or sync is final (invariant 11): no effect of that group runs, nothing is accepted
//! any more, and the failure is handed to whoever stops the process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{JournalStore, StoreError, record};
use crate::base::failpoint::{self, Point};
use crate::base::limits;
use crate::telemetry::metrics::JournalMetrics;

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The writer stopped, on purpose or after a failure.
    #[error("the journal takes no more records")]
    Closed,
    /// More waits than [`limits::JOURNAL_QUEUE_BYTES_MAX`].
    #[error("the journal's queue is full")]
    Full,
}

/// Something that may happen because its record is durable. Only the journal makes one: what takes a
/// `Durable` cannot be called before the sync.
#[derive(Debug)]
pub struct Durable<E>(E);

impl<E> Durable<E> {
    /// What may happen now, to look at.
    pub fn get(&self) -> &E {
        &self.0
    }

    /// What may happen now, to take parts out.
    pub fn get_mut(&mut self) -> &mut E {
        &mut self.0
    }

    /// What may happen now.
    pub fn into_inner(self) -> E {
        self.0
    }

    /// The same permission for a part of it.
    pub fn map<T>(self, part: impl FnOnce(E) -> T) -> Durable<T> {
        Durable(part(self.0))
    }
}

#[derive(Debug)]
struct Queue<E> {
    bytes: Vec<u8>,
    records: u32,
    effects: Vec<E>,
    writer_waits: bool,
    closed: bool,
}

#[derive(Debug)]
struct Shared<E> {
    queue: Mutex<Queue<E>>,
    work: Condvar,
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Queue<E>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle to the writer thread. Clones append to the same journal.
#[derive(Debug)]
pub struct Journal<E> {
    shared: Arc<Shared<E>>,
}

impl<E> Clone for Journal<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<E: Send + 'static> Journal<E> {
    /// Starts the writer. It waits `gather` for more before it writes a group: longer groups cost less
    /// work each record and more time. `on_durable` gets the effects of each group, in order, and must not block;
    /// `on_failure` is called once, when the store failed for good.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        mut store: Box<dyn JournalStore>,
        gather: Duration,
        metrics: JournalMetrics,
        mut on_durable: impl FnMut(&mut dyn Iterator<Item = Durable<E>>) + Send + 'static,
        on_failure: impl FnOnce(StoreError) + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let mut first = Vec::with_capacity(1 << 16);
        record::begin_group(&mut first);
        let queue = Queue {
            bytes: first,
            records: 0,
            effects: Vec::new(),
            writer_waits: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
        });
        let journal = Self {
            shared: Arc::clone(&shared),
        };
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let mut group = Vec::with_capacity(1 << 16);
                record::begin_group(&mut group);
                let mut effects = Vec::new();
                while let Some(records) = take_group(&shared, gather, &mut group, &mut effects) {
                    if records > 0 {
                        record::end_group(&mut group);
                        failpoint::pass(Point::JournalTaken);
                        if let Err(failure) = store.append(&group, records) {
                            shared.lock().closed = true;
                            on_failure(failure);
                            return;
                        }
                        metrics.group_written(records, group.len());
                        failpoint::pass(Point::JournalSynced);
                    }
                    on_durable(&mut effects.drain(..).map(Durable));
                    failpoint::pass(Point::JournalGiven);
                    group.clear();
                    record::begin_group(&mut group);
                }
            })?;
        Ok((journal, writer))
    }

    /// Like [`Self::append`], for what begins something new: refused while too much waits, so that what
    /// ends something always finds room.
    ///
    /// # Errors
    /// When the journal is closed or its queue is full; nothing was taken then.
    pub fn append_new(
        &self,
        effect: E,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), JournalError> {
        if self.shared.lock().bytes.len() > limits::JOURNAL_QUEUE_BYTES_MAX {
            return Err(JournalError::Full);
        }
        self.append(effect, write)
    }

    /// Takes a record (what `write` puts into the buffer; nothing for an effect without one) and the
    /// effect that may happen once it is durable.
    ///
    /// # Errors
    /// When the journal is closed; nothing was taken then.
    pub fn append(&self, effect: E, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), JournalError> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(JournalError::Closed);
        }
        let before = queue.bytes.len();
        write(&mut queue.bytes);
        queue.records += u32::from(queue.bytes.len() > before);
        queue.effects.push(effect);
        failpoint::pass(Point::JournalQueued);
        if std::mem::take(&mut queue.writer_waits) {
            drop(queue);
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Lets the writer finish what waits and stop.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }

    /// Whether records are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.lock().closed
    }
}

/// A writer without a thread: whoever holds it says when a group is taken, written, and its effects given
/// out. For simulations, where a crash may fall between any two of these.
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
            writer_waits: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
        });
        record::begin_group(&mut shared.lock().bytes);
        let journal = Self {
            shared: Arc::clone(&shared),
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

/// Waits for work and swaps it out. `None` when the journal is closed and empty.
fn take_group<E>(
    shared: &Shared<E>,
    gather: Duration,
    group: &mut Vec<u8>,
    effects: &mut Vec<E>,
) -> Option<u32> {
    let mut queue = shared.lock();
    while queue.effects.is_empty() {
        if queue.closed {
            return None;
        }
        queue.writer_waits = true;
        queue = shared
            .work
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner);
    }
    queue.writer_waits = false;
    if !gather.is_zero() && !queue.closed {
        // Nobody notifies a writer that does not say it waits: this is a plain wait with the queue open.
        let (after, _elapsed) = shared
            .work
            .wait_timeout(queue, gather)
            .unwrap_or_else(PoisonError::into_inner);
        queue = after;
    }
    std::mem::swap(&mut queue.bytes, group);
    std::mem::swap(&mut queue.effects, effects);
    Some(std::mem::take(&mut queue.records))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::base::Timestamp;
    use crate::store::memory::MemoryJournal;
    use crate::store::record::tests::intent;
    use crate::store::{Outcome, OutcomeKind, Record, TxnId};

    fn started(
        store: MemoryJournal,
    ) -> (
        Journal<u64>,
        JoinHandle<()>,
        mpsc::Receiver<Result<u64, String>>,
    ) {
        let (tell, told) = mpsc::channel();
        let failed = tell.clone();
        let (journal, writer) = Journal::start(
            Box::new(store),
            Duration::ZERO,
            JournalMetrics::default(),
            move |effects| effects.for_each(|e| tell.send(Ok(e.into_inner())).unwrap()),
            move |failure| failed.send(Err(failure.to_string())).unwrap(),
        )
        .unwrap();
        (journal, writer, told)
    }

    #[test]
    fn effects_come_in_order_and_after_their_group() {
        let store = MemoryJournal::default();
        let (journal, writer, told) = started(store.clone());
        for n in 0..1_000 {
            journal.append(n, |out| intent(n).encode(out)).unwrap();
        }
        journal.append(1_000, |_nothing| {}).unwrap();
        journal.close();
        writer.join().unwrap();
        let effects: Vec<_> = told.iter().map(Result::unwrap).collect();
        assert_eq!(effects, (0..=1_000).collect::<Vec<_>>());
        assert_eq!(store.records().len(), 1_000);
        assert_eq!(journal.append(0, |_| {}), Err(JournalError::Closed));
    }

    #[test]
    fn a_failed_sync_lets_no_effect_out_and_closes() {
        let store = MemoryJournal::default();
        store.fail_from_group(1);
        let (journal, writer, told) = started(store);
        journal.append(0, |out| intent(0).encode(out)).unwrap();
        assert_eq!(told.recv().unwrap(), Ok(0));
        let outcome = Outcome {
            txn: TxnId(0),
            at: Timestamp(1),
            kind: OutcomeKind::Approved,
            code: *b"00",
            booked: 1,
            answer: Box::default(),
        };
        journal
            .append(1, |out| Record::Outcome(outcome).encode(out))
            .unwrap();
        assert_eq!(
            told.recv().unwrap(),
            Err("appending to the journal".to_owned())
        );
        writer.join().unwrap();
        assert!(told.recv().is_err());
        assert!(!journal.is_open());
    }
}
