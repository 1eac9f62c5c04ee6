//! The conductor: feeds what sockets bring to the pure rooms and carries out what they decide.
//!
//! The way of a sale through this room: `requests` decodes and gates it, `forward` accepts it into
//! the terminal's lane, registers who waits for the answer and hands the intent to the journal;
//! `effects` sends it when the intent is durable; `answers` matches the upstream's answer, journals
//! the outcome, and `effects` gives it to the terminal when that is durable. `reversals` owes, sends
//! and repeats what must be undone, `remake` writes it, `owed` keeps the book, and `recovery` takes up
//! what was open when the process last ended; `exceptions` is what of it waits for a person.
//!
//! Nothing here waits: every step runs to its end in the task or thread that brought the event.

mod answers;
mod attendant;
mod batches;
mod codes;
mod dispatch;
pub(crate) mod driven;
mod effects;
mod entry;
mod exceptions;
mod forward;
mod idle;
mod keeper;
mod kept;
mod limits;
mod local;
mod lookup;
mod originals;
mod owed;
mod payee;
mod recovery;
mod remake;
mod requests;
mod reversals;
mod run;
mod settings;
mod shared;
pub(crate) mod staff;
mod stans;
mod telling;
mod watch;

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;

use crate::base::calendar::Civil;
use crate::base::clock::Moment;
use crate::base::{AcquirerId, Amount, Clock, MerchantId, Stan, TerminalId, TxnId};
use crate::binding::counters::Tally;
use crate::binding::{Directory, SerialRule, TerminalKey};
use crate::iso8583::{Dialect, FieldSet};
use crate::net::mux::Waiting as WaitingNumber;
use crate::net::{Group, LinkChoice, Pending, Session};
use crate::security::DataKeys;
use crate::store::Journal;
use crate::telemetry::metrics::{GroupMetrics, ListenerMetrics};
use crate::transaction::Lanes;
use crate::transaction::originals::Claims;

use effects::Effect;
use exceptions::Exceptions;
use owed::OwedBook;
use stans::Stans;

pub use batches::{BatchClosed, CloseRefused};
pub use codes::{Matter, challenge_of, draw, hash};
pub use dispatch::{Dispatcher, NotQueued, NotifySettings, Ways};
pub use exceptions::ExceptionError;
pub use keeper::{StoreCheck, StoreKeeping};
pub use limits::day_of;
pub use run::{Running, StartError};
pub use settings::{
    ListenSettings, StoreChoice, SwitchSettings, UpstreamAddress, UpstreamSettings,
};
pub use shared::{SharedRegistry, Shut};
pub use stans::StanPolicy;
pub use telling::CONTACT as SEALED_FOR_CONTACT;

/// What a listener's requests are judged by.
#[derive(Debug)]
pub(crate) struct ListenerPolicy {
    pub(crate) name: String,
    pub(crate) acquirer: AcquirerId,
    pub(crate) dialect: Arc<Dialect>,
    /// Whether financial requests need a sign-on first (77 otherwise).
    pub(crate) sign_on_required: bool,
    /// Whether MACs of requests were verified before they get here: nothing else may change a binding.
    pub(crate) authentic: bool,
    /// Whether codes may be entered at terminals.
    pub(crate) code_entry: bool,
    /// What is made of the device that a message names.
    pub(crate) serials: SerialRule,
    /// Position of the group its requests go to.
    pub(crate) group: usize,
    pub(crate) metrics: Arc<ListenerMetrics>,
}

/// An upstream group with all that waits for it.
#[derive(Debug)]
pub(crate) struct UpstreamGroup {
    pub(crate) name: String,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) links: Group,
    pub(crate) pending: Pending<Waiting>,
    pub(crate) owed: OwedBook,
    pub(crate) stans: Stans,
    /// From acceptance to the upstream's answer.
    pub(crate) timeout: Duration,
    /// Times a reversal or a repeat is sent before a person has to decide.
    pub(crate) attempts_max: u32,
    /// TPDU of requests towards it.
    pub(crate) tpdu: Vec<u8>,
    pub(crate) metrics: Arc<GroupMetrics>,
}

/// What an answer needs to know of its request.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) txn: TxnId,
    pub(crate) key: TerminalKey,
    pub(crate) session: Arc<Session>,
    pub(crate) envelope: EnvelopeBytes,
    pub(crate) terminal: TerminalId,
    pub(crate) merchant: Option<MerchantId>,
    pub(crate) stan: Stan,
    pub(crate) amount: Option<Amount>,
    pub(crate) choice: LinkChoice,
    pub(crate) received: Moment,
    /// What it does to the counters of limits.
    pub(crate) tally: Option<Tally>,
    /// The field that names its original as the terminal wrote it, where the group's STAN replaced it.
    pub(crate) reference: Option<Box<[u8]>>,
    /// The request as it went upstream, to make its reversal from.
    pub(crate) sent: bytes::Bytes,
    pub(crate) request: RequestName,
}

/// Position of a request in its dialect's table.
pub(crate) type RequestName = usize;

impl WaitingNumber for Waiting {
    fn number(&self) -> u64 {
        self.txn.0
    }
}

/// TPDU and header as received, kept without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvelopeBytes {
    bytes: [u8; 32],
    len: u8,
}

impl EnvelopeBytes {
    /// Keeps up to 32 bytes; no dialect has a longer envelope.
    pub(crate) fn new(envelope: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = envelope.len().min(bytes.len());
        bytes[..len].copy_from_slice(&envelope[..len]);
        Self {
            bytes,
            len: u8::try_from(len).unwrap_or(0),
        }
    }

    /// Replaces the first bytes (the TPDU), as far as the envelope reaches.
    pub(crate) fn set_start(&mut self, start: &[u8]) {
        let len = usize::from(self.len).min(start.len());
        self.bytes[..len].copy_from_slice(&start[..len]);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Fields that never leave a MAC domain: the terminal's MAC is void upstream and the other way round.
pub(crate) const MAC_FIELDS: FieldSet = FieldSet::EMPTY.with(64).with(128);

/// The switch while it runs. Everything it holds may be used from any task.
#[derive(Debug)]
pub struct Switch {
    pub(crate) listeners: Vec<ListenerPolicy>,
    pub(crate) groups: Arc<[UpstreamGroup]>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) journal: Journal<Effect>,
    pub(crate) keys: Arc<DataKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) next_txn: Arc<AtomicU64>,
    /// Seconds the local zone is ahead of UTC, looked after by the ticker.
    pub(crate) zone_offset: AtomicI32,
    /// Requests in flight, all groups together, beyond which new ones are declined.
    pub(crate) in_flight_max: usize,
    pub(crate) lookups: lookup::Lookups,
    pub(crate) exceptions: Exceptions,
    /// Where codes and messages of terminals that are no longer bound are handed over.
    pub(crate) alerts: attendant::Alerts,
    pub(crate) rrn: AtomicUsize,
    /// Follow-ups that were accepted and that the read model may not show yet.
    pub(crate) claims: Mutex<Claims>,
}

impl Switch {
    pub(crate) fn new_txn(&self) -> TxnId {
        TxnId(self.next_txn.fetch_add(1, Ordering::Relaxed))
    }

    /// Local date and time.
    pub(crate) fn local_time(&self) -> Civil {
        Civil::local(self.clock.wall(), self.zone_offset.load(Ordering::Relaxed))
    }

    /// Only the thread that looks things up takes more than one look at a time.
    pub(crate) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn policy(&self, session: &Session) -> &ListenerPolicy {
        &self.listeners[session.listener]
    }

    pub(crate) fn group_of(&self, policy: &ListenerPolicy) -> &UpstreamGroup {
        &self.groups[policy.group]
    }

    /// Requests in flight in all groups.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.groups.iter().map(|group| group.pending.len()).sum()
    }

    /// Reversals that upstreams have not acknowledged and repeats that they have not answered yet.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.groups.iter().map(|group| group.owed.len()).sum()
    }

    /// How long the answer to what is owed may ordinarily take: the time of one sending; none where nothing is
    /// owed, or no link is up to send it.
    pub(crate) fn owed_answers_due(&self) -> Duration {
        let waiting = |group: &&UpstreamGroup| group.owed.len() > 0 && group.links.up() > 0;
        let longest = self
            .groups
            .iter()
            .filter(waiting)
            .map(|group| group.timeout);
        longest.max().unwrap_or_default()
    }

    /// How long the answer to a request may take at most.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let longest = self.groups.iter().map(|group| group.timeout).max();
        longest.unwrap_or_default()
    }

    /// Groups that have a link up, and all groups.
    #[must_use]
    pub fn groups_up(&self) -> (usize, usize) {
        let up = self
            .groups
            .iter()
            .filter(|group| group.links.up() > 0)
            .count();
        (up, self.groups.len())
    }

    /// Whether the journal takes records.
    #[must_use]
    pub fn is_journal_open(&self) -> bool {
        self.journal.is_open()
    }

    /// Whether new money is declined because the store's disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.journal.room().is_short()
    }

    /// To be called when the runtime has run out of work, before it sleeps: the journal need not wait for
    /// more of it then.
    pub fn rest(&self) {
        self.journal.rest();
    }

    /// The directory of bindings.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }
}

/// A frame built in a buffer that many frames share: one allocation for some hundred of them.
pub(crate) fn with_buffer<R>(build: impl FnOnce(&mut BytesMut) -> R) -> (R, bytes::Bytes) {
    const BLOCK: usize = 32 * 1_024;
    thread_local! {
        static BUFFER: std::cell::RefCell<BytesMut> = std::cell::RefCell::new(BytesMut::new());
    }
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.capacity() < 4_096 {
            buffer.reserve(BLOCK);
        }
        let result = build(buffer);
        (result, buffer.split().freeze())
    })
}
