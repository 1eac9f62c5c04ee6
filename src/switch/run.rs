//! Starting and stopping: store, directory, journal, links, listeners, and the threads and tasks that
//! look after them.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::attendant::{Alerts, Teller, log_head, start_attendant};
use super::effects::{Delivery, Effect, Handoff};
use super::exceptions::Exceptions;
use super::idle::IdleScan;
use super::keeper::{Keeper, Scan, StoreCheck, StoreKeeping};
use super::limits::tell_past;
use super::lookup::{Job, Lookups};
use super::settings::{StoreChoice, SwitchSettings, UpstreamSettings};
use super::shared::SharedRegistry;
use super::stans::Stans;
use super::watch::{Guard, memory_limit, watch, zone_offset};
use super::{ListenerPolicy, Switch, UpstreamGroup};
use crate::base::failpoint::{self, Point};
use crate::base::{AcquirerId, Clock, Counted, Timestamp, TxnId};
use crate::binding::Directory;
use crate::net::listener::Sessions;
use crate::net::{Group, LinkSettings, Listener, ListenerSettings, Pending, Tasks, link};
use crate::security::{DataKeys, KeyError};
use crate::store::journal::Gather;
use crate::store::projection::project_round;
use crate::store::room::Room;
use crate::store::sqlite::{self, FolderLock, Retention, SqliteFolder};
use crate::store::{Journal, JournalStore, ReadModel, Record, Registry, StoreError};
use crate::telemetry::log::chain;
use crate::telemetry::metrics::{GroupMetrics, JournalMetrics, ListenerMetrics, ProcessMetrics};
use crate::transaction::Lanes;

/// Bytes that may wait for one upstream link.
const LINK_OUTBOX_BYTES_MAX: usize = 1 << 20;
/// How often deadlines are looked at. A request is answered at most so much after its deadline.
const TICK: Duration = Duration::from_millis(20);
/// Questions that may wait for the store.
const LOOKUPS_MAX: usize = 10_000;
/// Questions answered from one look at the journal.
const JOBS_MAX: usize = 1_000;
/// How often the read model is brought up to date when nobody asks.
const PROJECT_EVERY: Duration = Duration::from_millis(500);

/// Why a switch does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the store cannot be used; `posgate store check` reads all of it")]
    Store(#[from] StoreError),
    /// The store's folder cannot be made.
    #[error("the store's folder {path} cannot be used")]
    Folder {
        /// Path.
        path: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The data keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The data keys are gone: new ones would open nothing that is sealed.
    #[error(
        "the data key file {path} is not there, although the store has a journal; put it back (a backup does \
         not hold it), or, if it is lost for good, run `posgate store new-keys`"
    )]
    KeysGone {
        /// Path.
        path: String,
    },
    /// An address cannot be bound.
    #[error("listener {listener} cannot listen at {address}")]
    Listen {
        /// Listener.
        listener: String,
        /// Address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A listener names an upstream group that is not there.
    #[error("listener {listener} sends to the unknown upstream group {upstream}")]
    Upstream {
        /// Listener.
        listener: String,
        /// Group.
        upstream: String,
    },
    /// The system gives no thread.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
}

/// A switch at work.
#[derive(Debug)]
pub struct Running {
    /// The switch.
    pub switch: Arc<Switch>,
    /// Addresses of the listeners, in their order, with the ports the system chose.
    pub addresses: Vec<SocketAddr>,
    /// All open sessions.
    pub sessions: Arc<Sessions>,
    /// What operators change.
    pub registry: Arc<SharedRegistry>,
    /// Tasks.
    pub tasks: Tasks,
    /// Set when the store failed for good.
    pub failed: Arc<AtomicBool>,
    /// Where the store lies, for those who read it.
    pub folder: SqliteFolder,
    /// How long what is in it is kept.
    pub keeping: StoreKeeping,
    /// Who tells people and programs of what time brings about.
    pub(super) teller: Teller,
    threads: Vec<JoinHandle<()>>,
    keeper: Keeper,
    scan: Option<Scan>,
    /// What the check after the start found wrong.
    pub(crate) findings: Arc<AtomicU64>,
    _lock: FolderLock,
}

impl Running {
    /// Opens the store, loads the directory, binds the listeners, starts the links. Must be called inside
    /// a runtime; blocks while the store is read.
    ///
    /// # Errors
    /// When the store, the keys or an address cannot be used.
    pub fn start(settings: &SwitchSettings, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let StoreChoice::Sqlite(path) = &settings.store;
        Self::begin(settings, path, clock).map_err(|refused| match refused {
            StartError::Store(problem) => StartError::Store(sqlite::advised(path, problem)),
            other => other,
        })
    }

    fn begin(
        settings: &SwitchSettings,
        path: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let folder = SqliteFolder::open(path).map_err(|source| StartError::Folder {
            path: path.display().to_string(),
            source,
        })?;
        let lock = folder.lock().map_err(|source| StartError::Folder {
            path: path.display().to_string(),
            source,
        })?;
        let room = Room::new(path, settings.keeping.reserve_bytes);
        let room = Arc::new(room.map_err(|source| StartError::Folder {
            path: path.display().to_string(),
            source,
        })?);
        folder.prepare(&lock)?;
        if settings.keeping.check == StoreCheck::Start {
            check_all(path)?;
        }
        let key_file = settings
            .data_key_file
            .clone()
            .unwrap_or_else(|| path.join("data.keys"));
        if !key_file.exists() && folder.journal()?.last_sequence()? > 0 {
            let path = key_file.display().to_string();
            return Err(StartError::KeysGone { path });
        }
        let keys = Arc::new(DataKeys::load_or_create(&key_file)?);
        let mut registry: Box<dyn Registry> = Box::new(folder.registry()?);
        registry.keep_to(settings.bindings);
        let directory = Arc::new(Directory::new());
        let mut model: Box<dyn ReadModel> = Box::new(folder.read_model()?);
        let mut reader: Box<dyn JournalStore> = Box::new(folder.journal()?);
        while project_round(reader.as_mut(), model.as_mut())? > 0 {}
        let next_txn = model.last_txn()?.0 + 1;
        let from = (TxnId(next_txn), clock.wall());
        load_directory(&folder, registry.as_mut(), &directory, from)?;

        let (lookups, asked) = Lookups::new(LOOKUPS_MAX);
        let (alerts, heard) = Alerts::new();
        let groups = Arc::from(groups(settings, model.as_mut())?);
        let tasks = Tasks::new();
        let failed = Arc::new(AtomicBool::new(false));
        let (journal, writer) = start_journal(
            &folder,
            settings.journal_gather,
            Arc::clone(&room),
            &groups,
            &lookups,
            clock,
            &tasks,
            &failed,
        )?;
        let lanes = Arc::new(Lanes::new());
        model.terminals(&mut |key, batch, signed_on| {
            lanes.with(key, |lane| lane.restore(batch, signed_on));
        })?;
        let switch = Arc::new(Switch {
            listeners: policies(settings, registry.as_mut())?,
            groups,
            directory: Arc::clone(&directory),
            lanes: Arc::clone(&lanes),
            journal,
            keys,
            clock: Arc::clone(clock),
            next_txn: Arc::new(AtomicU64::new(next_txn)),
            zone_offset: AtomicI32::new(zone_offset(&**clock)),
            in_flight_max: settings.in_flight_max,
            lookups,
            rrn: AtomicUsize::new(0),
            exceptions: Exceptions::default(),
            claims: Mutex::default(),
            alerts,
        });
        switch.recover(reader.as_mut(), model.as_mut())?;
        let process = ProcessMetrics::default();
        let projector = start_projector(&switch, reader, model, asked, process)?;
        let sessions = Arc::new(Sessions::new());
        let full = Arc::new(AtomicBool::new(false));
        let addresses = start_listeners(settings, &switch, &sessions, clock, &full, &tasks)?;
        failpoint::pass(Point::Listening);
        start_links(settings, &switch, clock, &tasks);
        tasks.spawn(tick(Arc::clone(&switch), tasks.clone()));
        let guard = Guard {
            limit: memory_limit(settings.memory_bytes_max),
            full,
            sessions: Arc::clone(&sessions),
        };
        tasks.spawn(watch(Arc::clone(&switch), guard, tasks.clone()));
        let registry = SharedRegistry::new(registry, directory)
            .before_lanes(lanes)
            .counting_with(Arc::clone(&switch.next_txn));
        let registry = Arc::new(registry);
        let teller = Teller::default();
        let idle = IdleScan::new(folder.clone(), settings.bindings.dormant_months);
        let attendant = start_attendant(
            &switch,
            &registry,
            heard,
            teller.clone(),
            idle,
            Arc::clone(clock),
        );
        let attendant = attendant.map_err(StartError::Thread)?;
        let retention = Retention::open(&folder)?;
        let keeper = Keeper::start(room, retention, settings.keeping, Arc::clone(clock))
            .map_err(StartError::Thread)?;
        let findings = Arc::new(AtomicU64::new(0));
        let scan = match settings.keeping.check {
            StoreCheck::Background => {
                let found = Arc::clone(&findings);
                let scan = Scan::start(path.to_owned(), Arc::clone(clock), found);
                Some(scan.map_err(StartError::Thread)?)
            }
            StoreCheck::Start | StoreCheck::Off => None,
        };
        Ok(Self {
            switch,
            addresses,
            sessions,
            registry,
            tasks,
            failed,
            folder,
            teller,
            threads: vec![writer, projector, attendant],
            keeper,
            scan,
            findings,
            keeping: settings.keeping,
            _lock: lock,
        })
    }

    /// Takes no new connections, finishes what is in flight within `at_most`, gives what is owed the time of one
    /// sending to be answered, then stops. Returns whether all that was taken is answered and the store is
    /// sound; what is still owed is durable. Does not wait when the store has failed.
    pub async fn drain(self, at_most: Duration) -> bool {
        let Self {
            switch,
            sessions,
            tasks,
            failed,
            mut threads,
            keeper,
            scan,
            registry,
            _lock: lock,
            ..
        } = self;
        tasks.drain();
        sessions.drain();
        let busy = || !sessions.is_empty() || switch.in_flight() > 0;
        let settled = async {
            let mut idle_since = switch.clock.now();
            // Without a journal nothing is ever finished, and the next process cannot begin before this one ends.
            while !failed.load(Ordering::Acquire) {
                let now = switch.clock.now();
                if busy() {
                    idle_since = now;
                } else if now.since(idle_since) >= switch.owed_answers_due() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(at_most, settled).await.is_ok();
        let owed = switch.owed();
        // What is owed is durable: the next start goes on with it.
        let finished = in_time || !busy();
        if finished && owed > 0 {
            tracing::warn!(
                owed,
                "reversals and repeats are owed still; they are durable, and the next start goes on with them"
            );
        }
        if !finished {
            tracing::warn!(
                sessions = sessions.len(),
                in_flight = switch.in_flight(),
                owed = switch.owed(),
                "not everything was finished in time"
            );
        }
        tasks.stop();
        let ended = tasks.ended(Duration::from_secs(5)).await;
        switch.journal.close();
        drop(switch);
        threads.push(keeper.stop());
        threads.extend(scan.map(Scan::stop));
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        let joined = joined.await.unwrap_or(false);
        let told = tokio::task::spawn_blocking(move || log_head(&registry)).await;
        if told.is_err() {
            tracing::error!("the end of the audit trail cannot be told");
        }
        drop(lock);
        finished && ended && joined && !failed.load(Ordering::Acquire)
    }
}

/// Reads all of the store before anything is taken.
fn check_all(folder: &Path) -> Result<(), StartError> {
    let report = sqlite::check(folder);
    let Some(first) = report.findings.first() else {
        tracing::info!(
            groups = report.groups,
            "the whole store was read and is sound"
        );
        return Ok(());
    };
    let findings = report.count();
    Err(StartError::Store(StoreError::Unsound {
        file: folder.join(first.file.name()).display().to_string(),
        problem: format!("{} ({})", first.what, Counted(findings, "finding")),
        remedy: report.remedy(folder),
    }))
}

/// Loads what the gate decides on. Limits, and what was taken of them, are read beside the bindings: with a million of
/// each both take as long.
fn load_directory(
    folder: &SqliteFolder,
    registry: &mut dyn Registry,
    directory: &Directory,
    from: (TxnId, Timestamp),
) -> Result<(), StartError> {
    std::thread::scope(|scope| -> Result<(), StartError> {
        let counting = std::thread::Builder::new()
            .name("limits".into())
            .spawn_scoped(scope, || load_limits(folder, directory, from))
            .map_err(StartError::Thread)?;
        load_bindings(registry, directory)?;
        match counting.join() {
            Ok(counted) => Ok(counted?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    directory.mark_limited();
    directory.set_trusted(true);
    Ok(())
}

fn load_bindings(registry: &mut dyn Registry, directory: &Directory) -> Result<(), StoreError> {
    directory.make_room(registry.binding_count()?);
    registry.load(
        &mut |account, status| directory.set_account(account, status),
        &mut |key, admission| directory.load(key, admission),
    )?;
    for (key, predecessor) in registry.successors()? {
        directory.succeed(key, predecessor);
    }
    Ok(())
}

/// All limits, counting from that transaction on, and what was taken before: the read model shows everything. What was
/// in flight when the process ended is not taken up yet: none of it is counted unless it is repeated.
fn load_limits(
    folder: &SqliteFolder,
    directory: &Directory,
    (next, now): (TxnId, Timestamp),
) -> Result<(), StoreError> {
    let mut registry: Box<dyn Registry> = Box::new(folder.registry_reader()?);
    directory.counters().make_room(registry.limit_count()?);
    registry.each_limit(&mut |set| directory.limit(&set, next))?;
    if directory.counters().is_empty() {
        return Ok(());
    }
    tell_past(directory.counters(), now, &mut folder.reader()?)
}

fn groups(
    settings: &SwitchSettings,
    model: &mut dyn ReadModel,
) -> Result<Vec<UpstreamGroup>, StoreError> {
    let mut groups = Vec::new();
    for upstream in &settings.upstreams {
        let stans = Stans::new(upstream.stan);
        if let Some((date, end)) = model.stan_block(&upstream.name)? {
            stans.resume(date, end);
        }
        let tpdu = if upstream.tpdu.is_empty() {
            upstream.dialect.framing().tpdu.clone()
        } else {
            upstream.tpdu.clone()
        };
        groups.push(UpstreamGroup {
            name: upstream.name.clone(),
            dialect: Arc::clone(&upstream.dialect),
            links: Group::new(upstream.addresses.len(), LINK_OUTBOX_BYTES_MAX),
            pending: Pending::new(),
            owed: super::OwedBook::default(),
            stans,
            timeout: upstream.timeout,
            attempts_max: upstream.attempts_max,
            tpdu,
            metrics: Arc::new(GroupMetrics::new(&upstream.name)),
        });
    }
    Ok(groups)
}

fn policies(
    settings: &SwitchSettings,
    registry: &mut dyn Registry,
) -> Result<Vec<ListenerPolicy>, StartError> {
    let mut acquirers: HashMap<String, AcquirerId> = HashMap::new();
    let mut policies = Vec::new();
    for listener in &settings.listeners {
        let acquirer = match acquirers.get(&listener.acquirer) {
            Some(known) => *known,
            None => registry.acquirer(&listener.acquirer)?,
        };
        acquirers.insert(listener.acquirer.clone(), acquirer);
        let upstream = |u: &UpstreamSettings| u.name == listener.upstream;
        let Some(group) = settings.upstreams.iter().position(upstream) else {
            return Err(StartError::Upstream {
                listener: listener.name.clone(),
                upstream: listener.upstream.clone(),
            });
        };
        policies.push(ListenerPolicy {
            name: listener.name.clone(),
            acquirer,
            dialect: Arc::clone(&listener.dialect),
            sign_on_required: listener.sign_on_required,
            authentic: listener.authentic,
            code_entry: listener.code_entry,
            serials: listener.serials,
            group,
            metrics: Arc::new(ListenerMetrics::new(&listener.name)),
        });
    }
    Ok(policies)
}

fn start_journal(
    folder: &SqliteFolder,
    gather: Duration,
    room: Arc<Room>,
    groups: &Arc<[UpstreamGroup]>,
    lookups: &Lookups,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    failed: &Arc<AtomicBool>,
) -> Result<(Journal<Effect>, JoinHandle<()>), StartError> {
    let handoff = Arc::new(Handoff::default());
    let delivery = Delivery {
        groups: Arc::clone(groups),
        lookups: lookups.clone(),
        clock: Arc::clone(clock),
    };
    tasks.spawn(delivery.run(Arc::clone(&handoff), tasks.clone()));
    let (failed, tasks) = (Arc::clone(failed), tasks.clone());
    let groups = Arc::clone(groups);
    let in_flight = Arc::new(move || groups.iter().map(|group| group.pending.len()).sum());
    Journal::start(
        Box::new(folder.journal()?),
        Gather::new(gather, Arc::clone(clock), in_flight),
        room,
        JournalMetrics::default(),
        move |effects| handoff.give(effects),
        move |problem| {
            // A sync that failed may have lost what it was given: nothing can be promised any more.
            tracing::error!(
                problem = chain(&problem),
                "the journal cannot be written; nothing more is taken or answered"
            );
            failed.store(true, Ordering::Release);
            tasks.stop();
        },
    )
    .map_err(StartError::Thread)
}

/// Niceness of the projection.
#[cfg(target_os = "linux")]
const PROJECTOR_NICE: i32 = 5;

/// One thread brings the read model up to date and answers questions from it.
fn start_projector(
    switch: &Arc<Switch>,
    mut journal: Box<dyn JournalStore>,
    mut model: Box<dyn ReadModel>,
    asked: Receiver<Job>,
    metrics: ProcessMetrics,
) -> Result<JoinHandle<()>, StartError> {
    // Weak, because the switch holds the other end of the channel: when it goes, the thread ends.
    let switch: Weak<Switch> = Arc::downgrade(switch);
    // Whether the read model shows everything that was durable when it began. What comes meanwhile waits
    // for the next time: under load something always does.
    let mut failing = false;
    let mut project = move |journal: &mut dyn JournalStore, model: &mut dyn ReadModel| {
        let mut up_to_date = || {
            let last = journal.last_sequence()?;
            loop {
                let lag = last.saturating_sub(model.mark()?);
                let lag = u32::try_from(lag).unwrap_or(u32::MAX);
                metrics.projection_lag.set(f64::from(lag));
                if lag == 0 || project_round(journal, model)? == 0 {
                    return Ok::<_, StoreError>(());
                }
            }
        };
        match up_to_date() {
            Ok(()) => {
                failing = false;
                true
            }
            Err(problem) => {
                // Said once: it is tried again twice a second.
                if !std::mem::replace(&mut failing, true) {
                    let problem = chain(&problem);
                    tracing::error!(problem, "the read model cannot be brought up to date");
                }
                false
            }
        }
    };
    std::thread::Builder::new()
        .name("projector".into())
        .spawn(move || {
            yield_to_trade();
            let mut jobs = Vec::new();
            loop {
                match asked.recv_timeout(PROJECT_EVERY) {
                    // Those that came together are answered from one look at the journal.
                    Ok(job) => jobs.extend(iter::once(job).chain(asked.try_iter().take(JOBS_MAX))),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        // Whoever reads the store next finds all of it shown.
                        project(journal.as_mut(), model.as_mut());
                        return;
                    }
                }
                let up_to_date = project(journal.as_mut(), model.as_mut());
                let Some(switch) = switch.upgrade() else {
                    return;
                };
                for job in jobs.drain(..) {
                    if up_to_date {
                        switch.looked_up(&job, model.as_mut(), journal.as_mut());
                    } else {
                        switch.cannot_look_up(&job);
                    }
                }
            }
        })
        .map_err(StartError::Thread)
}

/// Lets the calling thread step back where the threads that trade want the same CPU. A third of theirs is its
/// share then, and more than it needs: the read model still keeps up.
fn yield_to_trade() {
    // Elsewhere a priority is the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(problem) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), PROJECTOR_NICE)
    {
        tracing::debug!(%problem, "the projection runs at the same priority as trade");
    }
}

fn start_listeners(
    settings: &SwitchSettings,
    switch: &Arc<Switch>,
    sessions: &Arc<Sessions>,
    clock: &Arc<dyn Clock>,
    full: &Arc<AtomicBool>,
    tasks: &Tasks,
) -> Result<Vec<SocketAddr>, StartError> {
    let mut bound = Vec::new();
    for (index, listen) in settings.listeners.iter().enumerate() {
        let fail = |source| StartError::Listen {
            listener: listen.name.clone(),
            address: listen.address,
            source,
        };
        let listener = Listener::bind(
            ListenerSettings {
                name: listen.name.clone(),
                index,
                address: listen.address,
                tls: listen.tls.clone(),
                dialect: Arc::clone(&listen.dialect),
                handshake_timeout: listen.handshake_timeout,
                handshakes_max: listen.handshakes_max,
                handshakes_per_address_max: listen.handshakes_per_address_max,
                connections_per_second: listen.connections_per_second,
                sessions_max: listen.sessions_max,
                session: listen.session,
            },
            Arc::clone(switch),
            Arc::clone(sessions),
            Arc::clone(&switch.listeners[index].metrics),
            Arc::clone(clock),
            Arc::clone(full),
        )
        .map_err(fail)?;
        bound.push((listener.address().map_err(fail)?, listener));
    }
    // Every address is bound before the first terminal is taken.
    let addresses = bound.iter().map(|(address, _)| *address).collect();
    for (address, listener) in bound {
        tracing::info!(%address, "listening for terminals");
        tasks.spawn(listener.run(tasks.clone()));
    }
    Ok(addresses)
}

fn start_links(
    settings: &SwitchSettings,
    switch: &Arc<Switch>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) {
    for (group, upstream) in settings.upstreams.iter().enumerate() {
        for (at, address) in upstream.addresses.iter().enumerate() {
            let Some(state) = switch.groups[group].links.link(at) else {
                continue;
            };
            let told = LinkSettings {
                group_name: upstream.name.clone(),
                group,
                link: at,
                address: address.address.clone(),
                tls: address.tls.clone(),
                dialect: Arc::clone(&upstream.dialect),
                sign_on: upstream.sign_on,
                terminal: upstream.terminal,
                merchant: upstream.merchant,
                connect_timeout: upstream.connect_timeout,
                answer_timeout: upstream.answer_timeout,
                echo_interval: upstream.echo_interval,
                reconnect_min: upstream.reconnect_min,
                reconnect_max: upstream.reconnect_max,
                frame_bytes_max: upstream.frame_bytes_max,
            };
            let metrics = Arc::clone(&switch.groups[group].metrics);
            let (switch, clock) = (Arc::clone(switch), Arc::clone(clock));
            tasks.spawn(link::run(
                told,
                state,
                switch,
                metrics,
                clock,
                tasks.clone(),
            ));
        }
    }
}

/// Deadlines, reversals, and reserving STANs.
async fn tick(switch: Arc<Switch>, tasks: Tasks) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            _ = ticks.tick() => {}
        }
        let now = switch.clock.now();
        switch.expire(now);
        switch.send_owed(now);
        switch.reserve_stans();
    }
}

impl Switch {
    /// Reserves STANs for groups that count by themselves and are about to run out.
    pub(super) fn reserve_stans(&self) {
        if !self.groups.iter().any(|group| group.stans.is_own()) {
            return;
        }
        let today = self.local_time();
        let date = u32::try_from(today.year).unwrap_or(0) * 10_000
            + u32::from(today.month) * 100
            + u32::from(today.day);
        for (at, group) in self.groups.iter().enumerate() {
            let Some(block) = group.stans.wants_block(date) else {
                continue;
            };
            let (first, end) = (block.first, block.end());
            let most = u64::from(crate::base::Stan::MAX);
            if (first - 1) / most != (end - 1) / most {
                group.metrics.stan_wraps.increment(1);
                tracing::warn!(group = %group.name, "a group's STANs start again within one date");
            }
            let record = Record::StanBlock {
                group: group.name.as_str().into(),
                date: block.date,
                end,
            };
            let effect = Effect::StanBlock { group: at, block };
            // A closed journal means that the process is ending.
            if self
                .journal
                .append(effect, |out| record.encode(out))
                .is_err()
            {
                return;
            }
        }
    }
}
