//! The switch without threads, tasks and sockets: whoever holds it says when a group is synced, when time
//! passes, what arrives and when what was sent is taken away. For simulations; everything between is the
//! switch that `serve` runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::effects::{Delivery, Effect};
use super::exceptions::{ExceptionError, Exceptions};
use super::lookup::{Job, Lookups};
use super::owed::OwedBook;
use super::stans::{StanPolicy, Stans};
use super::{ListenerPolicy, Switch, UpstreamGroup};
use crate::base::{AcquirerId, Clock};
use crate::binding::Directory;
use crate::binding::SerialRule;
use crate::iso8583::{Dialect, Index};
use crate::net::session::SessionLimits;
use crate::net::{Group, Handled, Pending, Session, Terminals, Upstream};
use crate::security::DataKeys;
use crate::store::journal::ByHand;
use crate::store::projection::project_round;
use crate::store::{
    Intervention, Journal, JournalStore, ReadModel, StoreError, TransactionRow, Verb,
};
use crate::telemetry::metrics::{GroupMetrics, ListenerMetrics};
use crate::transaction::Lanes;

/// Questions that may wait for the store; a world has few terminals.
const LOOKUPS_MAX: usize = 64;
/// Name of the only upstream group.
const GROUP: &str = "bank";

/// What a driven switch is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) stan: StanPolicy,
    /// From acceptance to the upstream's answer.
    pub(crate) timeout: Duration,
    pub(crate) attempts_max: u32,
    pub(crate) links: usize,
    pub(crate) directory: Arc<Directory>,
    pub(crate) keys: Arc<DataKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) listener_metrics: Arc<ListenerMetrics>,
    pub(crate) group_metrics: Arc<GroupMetrics>,
}

/// Where it keeps what must survive it.
pub(crate) struct Stores {
    pub(crate) writer: Box<dyn JournalStore>,
    pub(crate) reader: Box<dyn JournalStore>,
    pub(crate) model: Box<dyn ReadModel>,
}

/// See the module.
pub(crate) struct Driven {
    switch: Arc<Switch>,
    writer: ByHand<Effect>,
    delivery: Delivery,
    reader: Box<dyn JournalStore>,
    model: Box<dyn ReadModel>,
    asked: Receiver<Job>,
    /// Questions that are being looked up.
    looking: Vec<Job>,
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driven")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

impl Driven {
    /// Starts on what an earlier one left, as `serve` does, links down.
    ///
    /// # Errors
    /// When the stores cannot be read.
    pub(crate) fn start(plan: &Plan, stores: Stores) -> Result<Self, StoreError> {
        let Stores {
            writer,
            mut reader,
            mut model,
        } = stores;
        while project_round(reader.as_mut(), model.as_mut())? > 0 {}
        let stans = Stans::new(plan.stan);
        if let Some((date, end)) = model.stan_block(GROUP)? {
            stans.resume(date, end);
        }
        let group = UpstreamGroup {
            name: GROUP.into(),
            dialect: Arc::clone(&plan.dialect),
            links: Group::new(plan.links, 1 << 20),
            pending: Pending::new(),
            owed: OwedBook::default(),
            stans,
            timeout: plan.timeout,
            attempts_max: plan.attempts_max,
            tpdu: plan.dialect.framing().tpdu.clone(),
            metrics: Arc::clone(&plan.group_metrics),
        };
        let listener = ListenerPolicy {
            name: "shops".into(),
            acquirer: AcquirerId(0),
            dialect: Arc::clone(&plan.dialect),
            sign_on_required: false,
            authentic: false,
            code_entry: false,
            serials: SerialRule::Watch,
            group: 0,
            metrics: Arc::clone(&plan.listener_metrics),
        };
        let (journal, writer) = Journal::by_hand(writer);
        let (lookups, asked) = Lookups::new(LOOKUPS_MAX);
        let groups: Arc<[UpstreamGroup]> = Arc::from([group]);
        let switch = Arc::new(Switch {
            listeners: vec![listener],
            groups: Arc::clone(&groups),
            directory: Arc::clone(&plan.directory),
            lanes: Arc::new(Lanes::new()),
            alerts: super::attendant::Alerts::new().0,
            journal,
            keys: Arc::clone(&plan.keys),
            clock: Arc::clone(&plan.clock),
            next_txn: Arc::new(AtomicU64::new(model.last_txn()?.0 + 1)),
            zone_offset: AtomicI32::new(0),
            in_flight_max: 10_000,
            lookups: lookups.clone(),
            rrn: AtomicUsize::new(0),
            exceptions: Exceptions::default(),
        });
        model.terminals(&mut |key, batch, signed_on| {
            switch
                .lanes
                .with(key, |lane| lane.restore(batch, signed_on));
        })?;
        switch.recover(reader.as_mut(), model.as_mut())?;
        Ok(Self {
            switch,
            writer,
            delivery: Delivery {
                groups,
                lookups,
                clock: Arc::clone(&plan.clock),
            },
            reader,
            model,
            asked,
            looking: Vec::new(),
        })
    }

    /// A terminal's connection.
    pub(crate) fn session(id: u64) -> Arc<Session> {
        let minute = Duration::from_mins(1);
        let limits = SessionLimits {
            frame_timeout: minute,
            idle_timeout: minute,
            write_timeout: minute,
            frame_bytes_max: 4_096,
            pending_max: 4,
            write_bytes_max: 32 << 10,
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Arc::new(Session::new(id, peer, 0, &limits))
    }

    /// A frame, without its length prefix, arrives from a terminal.
    pub(crate) fn on_frame(&self, session: &Arc<Session>, frame: &[u8]) -> Handled {
        self.switch.on_frame(session, frame)
    }

    /// A frame, without its length prefix, arrives on a link.
    pub(crate) fn on_link_frame(&self, link: usize, frame: &[u8], index: &mut Index) {
        match self.switch.groups[0].dialect.decode(frame, index) {
            Ok(message) => self.switch.on_message(0, link, &message),
            Err(problem) => Upstream::on_undecodable(&*self.switch, 0, link, &problem),
        }
    }

    /// A link is connected and signed on.
    pub(crate) fn link_up(&self, link: usize) {
        if let Some(state) = self.switch.groups[0].links.link(link) {
            state.set_up();
            self.switch.on_up(0, link);
        }
    }

    /// A link fell; what it had not sent is lost.
    pub(crate) fn link_down(&self, link: usize) {
        if let Some(state) = self.switch.groups[0].links.link(link)
            && state.set_down()
        {
            self.switch.on_down(0, link);
        }
    }

    /// What a link has to send, in exchange for an empty buffer.
    pub(crate) fn take_from_link(&self, link: usize, empty: &mut Vec<u8>) {
        if let Some(state) = self.switch.groups[0].links.link(link) {
            state.take_output(empty);
        }
    }

    /// Whether something waits for the journal.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.writer.has_work()
    }

    /// The journal takes what waits, to sync it.
    pub(crate) fn begin_sync(&mut self) {
        self.writer.take();
    }

    /// The journal writes and syncs what it took.
    ///
    /// # Errors
    /// The store's. The switch must not be used any more then.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.writer.write()
    }

    /// What became durable takes effect.
    pub(crate) fn take_effect(&mut self) {
        let Self {
            writer, delivery, ..
        } = self;
        let now = delivery.clock.now();
        writer
            .effects()
            .for_each(|effect| delivery.one(effect, now));
    }

    /// Deadlines are looked at.
    pub(crate) fn tick(&self) {
        let now = self.switch.clock.now();
        self.switch.expire(now);
        self.switch.send_owed(now);
        self.switch.reserve_stans();
    }

    /// The questions that wait are taken, to look them up. Returns whether there are any.
    pub(crate) fn begin_look_up(&mut self) -> bool {
        self.looking.extend(self.asked.try_iter());
        !self.looking.is_empty()
    }

    /// The read model is brought up to date and the questions taken are answered from it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn look_up(&mut self) -> Result<(), StoreError> {
        for job in self.looking.drain(..) {
            while project_round(self.reader.as_mut(), self.model.as_mut())? > 0 {}
            self.switch.looked_up(&job, self.model.as_mut());
        }
        Ok(())
    }

    /// What is parked, from the read model brought up to date.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn exceptions(&mut self) -> Result<Vec<TransactionRow>, StoreError> {
        while project_round(self.reader.as_mut(), self.model.as_mut())? > 0 {}
        let mut parked = Vec::new();
        self.model.parked(&mut |row| parked.push(row))?;
        Ok(parked)
    }

    /// A person decides about something parked. Nobody waits until that is durable.
    ///
    /// # Errors
    /// As [`Switch::resend`] and [`Switch::close_exception`].
    pub(crate) fn decide(
        &mut self,
        row: &TransactionRow,
        done: &Intervention,
    ) -> Result<(), ExceptionError> {
        let told = match done.verb {
            Verb::Resend => self.switch.resend(row, self.reader.as_mut(), done)?,
            Verb::Close => self.switch.close_exception(row, done)?,
        };
        drop(told);
        Ok(())
    }

    /// What waits for a person.
    pub(crate) fn parked(&self) -> usize {
        self.switch.exceptions.len()
    }

    /// What is owed to the upstream.
    pub(crate) fn owed(&self) -> usize {
        self.switch.owed()
    }

    /// What waits for the upstream.
    pub(crate) fn in_flight(&self) -> usize {
        self.switch.in_flight()
    }
}
