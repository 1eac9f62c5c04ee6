//! Group commit: one writer thread, one sync for all that waits.
//!
//! Callers append a record together with an *effect*: what may happen once the record is durable (send
//! the request upstream, give the terminal its answer). Appending never blocks on I/O. The writer takes
//! all that has gathered, writes it as one row, syncs, and hands the effects over in the order they
//! came. While it syncs, the next group gathers, so that the group grows with the load by itself.
//!
//! A group costs far more than a record in it. When records come so fast that a short wait makes a much
//! larger group, the writer waits ([`Gather`]); when they do not, it never does.
//!
//! An effect without a record is allowed: it runs after everything appended before it is durable, which
//! is how a repeated request gets the first answer again and not sooner.
//!
//! A failed append or sync is final (invariant 11): no effect of that group runs, nothing is accepted
//! any more, and the failure is handed to whoever stops the process. A full disk is no failure: see
//! [`super::room`].

mod by_hand;
mod gather;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::room::Room;
use super::{JournalStore, StoreError, record};
use crate::base::failpoint::{self, Point};
use crate::base::limits;
use crate::telemetry::metrics::JournalMetrics;

pub(crate) use by_hand::ByHand;
use gather::{GATHER_ENOUGH, GATHER_FAIR, Wait, fair_after, more_to_come};
pub use gather::{Gather, InFlight};

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The writer stopped, on purpose or after a failure.
    #[error("the journal takes no more records")]
    Closed,
    /// More waits than [`limits::JOURNAL_QUEUE_BYTES_MAX`].
    #[error("the journal's queue is full")]
    Full,
    /// The disk has room for what ends something, and for nothing new.
    #[error("the disk is full")]
    NoRoom,
}

impl JournalError {
    /// The reason that a request is declined for, a bounded set of words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "journal-closed",
            Self::Full => "journal-full",
            Self::NoRoom => "disk-full",
        }
    }
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

/// The writer is not woken by effects: it is at work, or has been woken already.
const NOT_WAITING: usize = usize::MAX;

#[derive(Debug)]
struct Queue<E> {
    bytes: Vec<u8>,
    records: u32,
    effects: Vec<E>,
    /// Effects at which the writer wants to be woken.
    wake_at: usize,
    /// Effects with which it goes on when those who append have run out of work ([`Journal::rest`]).
    fair: usize,
    /// Whether it waits for what is known to come, so that it goes on when they have run out of work.
    rest_ends: bool,
    closed: bool,
}

#[derive(Debug)]
struct Shared<E> {
    queue: Mutex<Queue<E>>,
    work: Condvar,
    room: Arc<Room>,
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Queue<E>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a little for room on the disk, while the journal is open; so long after it was closed.
    fn wait_for_room(&self, waits_after_close: &mut u32) -> bool {
        let queue = self.lock();
        if queue.closed {
            *waits_after_close += 1;
        }
        let waited = self.work.wait_timeout(queue, ROOM_WAIT);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        *waits_after_close <= ROOM_WAITS_AFTER_CLOSE_MAX
    }
}

/// Between two attempts to append to a full disk.
const ROOM_WAIT: Duration = Duration::from_millis(100);
/// Attempts on a full disk after the journal was told to end.
const ROOM_WAITS_AFTER_CLOSE_MAX: u32 = 20;

/// Handle to the writer thread. Clones append to the same journal.
pub struct Journal<E> {
    shared: Arc<Shared<E>>,
    in_flight: InFlight,
}

impl<E> std::fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl<E> Clone for Journal<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            in_flight: Arc::clone(&self.in_flight),
        }
    }
}

impl<E: Send + 'static> Journal<E> {
    /// Starts the writer. `gather` says how long it waits for more before it writes a group. `on_durable`
    /// gets the effects of each group, in order, and must not block; `on_failure` is called once, when the
    /// store failed for good.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        mut store: Box<dyn JournalStore>,
        mut gather: Gather,
        room: Arc<Room>,
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
            wake_at: NOT_WAITING,
            fair: GATHER_FAIR,
            rest_ends: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            room,
        });
        let journal = Self {
            shared: Arc::clone(&shared),
            in_flight: Arc::clone(&gather.in_flight),
        };
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let mut group = Vec::with_capacity(1 << 16);
                record::begin_group(&mut group);
                let mut effects = Vec::new();
                while let Some(records) = take_group(&shared, &mut gather, &mut group, &mut effects)
                {
                    if records > 0 {
                        record::end_group(&mut group);
                        failpoint::pass(Point::JournalTaken);
                        let mut waits = 0;
                        let wait = || shared.wait_for_room(&mut waits);
                        let began = gather.now();
                        let appended = shared.room.append(store.as_mut(), &group, records, wait);
                        if let Err(failure) = appended {
                            shared.lock().closed = true;
                            on_failure(failure);
                            return;
                        }
                        metrics.group_written(records, group.len(), gather.now().since(began));
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
    /// When the journal is closed, its queue is full or the disk is; nothing was taken then.
    pub fn append_new(
        &self,
        effect: E,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), JournalError> {
        if self.shared.room.is_short() {
            return Err(JournalError::NoRoom);
        }
        self.add(limits::JOURNAL_QUEUE_BYTES_MAX, effect, write)
    }

    /// Takes a record (what `write` puts into the buffer; nothing for an effect without one) and the
    /// effect that may happen once it is durable.
    ///
    /// # Errors
    /// When the journal is closed; nothing was taken then.
    pub fn append(&self, effect: E, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), JournalError> {
        self.add(usize::MAX, effect, write)
    }

    fn add(
        &self,
        bytes_max: usize,
        effect: E,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), JournalError> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(JournalError::Closed);
        }
        let before = queue.bytes.len();
        if before > bytes_max {
            return Err(JournalError::Full);
        }
        write(&mut queue.bytes);
        queue.records += u32::from(queue.bytes.len() > before);
        queue.effects.push(effect);
        failpoint::pass(Point::JournalQueued);
        if queue.effects.len() >= queue.wake_at {
            queue.wake_at = NOT_WAITING;
            drop(queue);
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Tells that whoever appends has nothing more to do until something comes from outside. A writer that
    /// waits for more takes what it has, if that is a fair group and little can still join it.
    pub fn rest(&self) {
        let mut queue = self.shared.lock();
        let gathered = queue.effects.len();
        if queue.rest_ends
            && queue.wake_at == GATHER_ENOUGH
            && gathered >= queue.fair
            && !more_to_come((self.in_flight)(), gathered)
        {
            queue.wake_at = NOT_WAITING;
            drop(queue);
            self.shared.work.notify_one();
        }
    }

    /// Lets the writer finish what waits and stop.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }

    /// Room for it on the disk.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.shared.room
    }

    /// Whether records are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.lock().closed
    }
}

/// Waits for work, and for more of it when that pays, and swaps it out. `None` when the journal is closed
/// and empty.
fn take_group<E>(
    shared: &Shared<E>,
    gather: &mut Gather,
    group: &mut Vec<u8>,
    effects: &mut Vec<E>,
) -> Option<u32> {
    let mut queue = shared.lock();
    while queue.effects.is_empty() {
        if queue.closed {
            return None;
        }
        queue.wake_at = 1;
        queue = shared
            .work
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner);
    }
    let wait = match gather.wait(queue.effects.len()) {
        _ if queue.closed => None,
        Wait::Not => None,
        Wait::ForKnown(time) => Some((time, true)),
        Wait::InHope(time) => Some((time, false)),
    };
    if let Some((wait, rest_ends)) = wait {
        queue.wake_at = GATHER_ENOUGH;
        queue.rest_ends = rest_ends;
        // Woken for nothing it would write a smaller group, which does no harm.
        let (after, _elapsed) = shared
            .work
            .wait_timeout(queue, wait)
            .unwrap_or_else(PoisonError::into_inner);
        queue = after;
        queue.rest_ends = false;
    }
    queue.wake_at = NOT_WAITING;
    std::mem::swap(&mut queue.bytes, group);
    std::mem::swap(&mut queue.effects, effects);
    let records = std::mem::take(&mut queue.records);
    queue.fair = fair_after(queue.fair, effects.len());
    drop(queue);
    gather.taken(effects.len());
    Some(records)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;

    use super::gather::GATHER_FAIR;
    use super::gather::tests::gather;
    use super::*;
    use crate::base::Timestamp;
    use crate::store::memory::MemoryJournal;
    use crate::store::record::tests::intent;
    use crate::store::{Outcome, OutcomeKind, Record, TxnId};

    fn started(
        store: MemoryJournal,
        gather: Gather,
    ) -> (
        Journal<u64>,
        JoinHandle<()>,
        mpsc::Receiver<Result<u64, String>>,
    ) {
        let (tell, told) = mpsc::channel();
        let failed = tell.clone();
        let (journal, writer) = Journal::start(
            Box::new(store),
            gather,
            Arc::new(Room::unlimited()),
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
        let (journal, writer, told) = started(store.clone(), gather(Duration::ZERO, 0).0);
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
    fn a_full_disk_holds_everything_back_and_refuses_only_what_is_new() {
        let store = MemoryJournal::default();
        store.set_full(true);
        let (journal, writer, told) = started(store.clone(), gather(Duration::ZERO, 0).0);
        journal.append(0, |out| intent(0).encode(out)).unwrap();
        // The reserve, of which there is none here, is given up before the writer waits for room.
        while !journal.room().is_short() {
            std::thread::yield_now();
        }
        assert_eq!(
            journal.append_new(1, |out| intent(1).encode(out)),
            Err(JournalError::NoRoom)
        );
        journal.append(2, |out| intent(2).encode(out)).unwrap();
        assert!(told.try_recv().is_err(), "nothing is durable");
        assert!(journal.is_open());
        store.set_full(false);
        assert_eq!(told.recv().unwrap(), Ok(0));
        assert_eq!(told.recv().unwrap(), Ok(2));
        journal.close();
        writer.join().unwrap();
        assert_eq!(store.records().len(), 2);
    }

    #[test]
    fn a_journal_that_is_closed_on_a_full_disk_gives_up_in_the_end() {
        let store = MemoryJournal::default();
        store.set_full(true);
        let (journal, writer, told) = started(store, gather(Duration::ZERO, 0).0);
        journal.append(0, |out| intent(0).encode(out)).unwrap();
        journal.close();
        writer.join().unwrap();
        let told: Vec<_> = told.iter().collect();
        assert_eq!(
            told,
            [Err("appending to the journal: the disk is full".to_owned())]
        );
    }

    #[test]
    fn a_writer_that_waits_goes_on_when_little_can_still_come() {
        let (gather, _clock, in_flight) = gather(Duration::from_secs(3_600), 0);
        let (journal, _writer, told) = started(MemoryJournal::default(), gather);
        // The clock stands: after so many groups records seem to come all at once.
        for n in 0..32 {
            journal.append(n, |out| intent(n).encode(out)).unwrap();
            assert_eq!(told.recv().unwrap(), Ok(n));
        }
        in_flight.store(2 * GATHER_FAIR, Ordering::Release);
        let group = u64::try_from(GATHER_FAIR).unwrap();
        for n in 0..group {
            journal.append(n, |out| intent(n).encode(out)).unwrap();
        }
        let soon = Duration::from_millis(10);
        journal.rest();
        assert!(told.recv_timeout(soon).is_err());
        in_flight.store(GATHER_FAIR, Ordering::Release);
        let first = (0..1_000).find_map(|_| {
            journal.rest();
            told.recv_timeout(soon).ok()
        });
        assert_eq!(first, Some(Ok(0)));
        assert!((1..group).all(|n| told.recv().unwrap() == Ok(n)));
    }

    #[test]
    fn a_failed_sync_lets_no_effect_out_and_closes() {
        let store = MemoryJournal::default();
        store.fail_from_group(1);
        let (journal, writer, told) = started(store, gather(Duration::ZERO, 0).0);
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
