//! The trial's course: what is done to the gateway, and when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::books::JournalBooks;
use super::gateway::{Gateway, UPSTREAM_TIMEOUT};
use super::operator::{Changes, Operator, owed_by};
use super::report::Report;
use crate::base::failpoint::Point;
use crate::base::{AcquirerId, Clock, MerchantId, Moment, SystemClock, TerminalId};
use crate::binding::{AccountStatus, BindingState, ReasonSet};
use crate::iso8583::Dialect;
use crate::sim::certs::{ClientTls, MadeCerts, Trust};
use crate::sim::chance::{Chance, Wait};
use crate::sim::fleet::{Fleet, FleetSettings, Member, Mix, Role, RunningFleet};
use crate::sim::host::{Host, HostSettings, RunningHost};
use crate::sim::load::latency_histogram;
use crate::sim::message::Identity;
use crate::sim::rules::{Faults, Rules};
use crate::sim::transport::Target;
use crate::store::ImportLine;
use crate::store::registry::Actor;

/// How long a terminal waits: longer than the gateway waits for the host, as in the field.
const TERMINAL_TIMEOUT: Duration = Duration::from_secs(3);
/// When a kill falls, counted from the start before it.
const LATE_KILL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The same for every fourth kill: while the gateway opens its store, recovers, and takes its first terminals.
const EARLY_KILL: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(150));
/// Longest from a start to the first approval, and to the end at a fail point that is reached.
const START_MAX: Duration = Duration::from_secs(20);
/// How long the gateway trades between two fail points.
const TRADE: Duration = Duration::from_millis(300);
/// How long a fail point is waited for.
const POINT_WAIT: Duration = Duration::from_secs(4);
/// Passages of each fail point at which the process ends.
const HITS: u32 = 3;
/// Most time that the terminals get to clear up at the end.
const SETTLE: Duration = Duration::from_secs(120);
/// Bound terminals that do not trade, for the operator.
const WATCHED: u32 = 8;
/// Time between two looks at what the gateway owes.
const LOOK_OWED: Duration = Duration::from_millis(100);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// What is done to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Kill,
    Stop,
    Drain,
    Fail(Point, u32),
}

/// What was done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) kills: u64,
    /// Of those, before the first approval after a start.
    pub(super) early: u64,
    pub(super) stops: u64,
    pub(super) drains: u64,
    /// Drains that did not end with exit code 0.
    pub(super) drains_failed: u64,
    /// Ends by itself, where that is allowed.
    pub(super) ended: u64,
    /// Ends at a fail point.
    pub(super) points: u64,
    /// Fail points at which the process did not end, with the passage that did not come.
    pub(super) points_missed: Vec<(Point, u32)>,
    /// From a start to the first approval, in microseconds.
    pub(super) recovery: Histogram<u64>,
}

/// Everything around the gateway, and the gateway.
pub(super) struct World {
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    host: RunningHost,
    fleet: RunningFleet,
    gateway: Gateway,
    started: Moment,
    approved_before: u64,
    seen_approval: bool,
    may_end: bool,
    done: Done,
}

impl World {
    /// The whole trial.
    pub(super) async fn play(args: &Args, folder: &Path) -> anyhow::Result<Report> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let began = clock.now();
        let random = fastrand::Rng::with_seed(args.seed);
        let dialect = Dialect::shipped("unionpay-pos").context("the dialect is shipped")?;
        let host = Host::start(HostSettings {
            rules: Rules {
                faults: faults(),
                rules: Vec::new(),
            },
            seed: args.seed,
            ..HostSettings::new(Arc::clone(&dialect), Arc::clone(&clock))
        })
        .await
        .context("the host cannot be started")?;
        let certs = MadeCerts::for_localhost()?;
        let mut done = Done::new();
        if args.points {
            first_starts(folder, &host, &certs, &mut done).await?;
        }
        let mut gateway = Gateway::prepare(folder, host.addr(), args.own_stans, &certs)?;
        let actor = Actor::program("trial", clock.wall());
        let lines = (0..args.terminals + WATCHED).map(import_line);
        match &args.upgrade_from {
            None => gateway.bind(&actor, lines.flatten()).map(drop)?,
            Some(older) => {
                // By its full path: it is run in another folder.
                gateway.set_program(Some(&older.canonicalize()?));
                gateway.bind_by_program(lines.flatten())?;
            }
        }
        let tls = ClientTls::new(
            &Trust::CaPem(certs.ca_pem),
            ServerName::try_from("localhost")?,
        )?;
        let target = Target {
            addr: gateway.address(),
            tls: Some(tls),
        };
        let members = (0..args.terminals).filter_map(identity).map(member);
        let fleet = Fleet::start(FleetSettings {
            per_second: args.rate,
            mix: Mix {
                balance: Chance::percent(3),
                void: Chance::percent(5),
                refund: Chance::percent(3),
            },
            answer_timeout: TERMINAL_TIMEOUT,
            connect_timeout: TERMINAL_TIMEOUT,
            reversal_tries: u32::MAX,
            seed: args.seed,
            ..FleetSettings::new(target, dialect, members.collect(), Arc::clone(&clock))
        });
        let watched = (args.terminals..args.terminals + WATCHED)
            .filter_map(identity)
            .map(|who| who.terminal);
        let operator = Operator::new(gateway.admin_socket(), watched);
        let stop_operator = CancellationToken::new();
        let mut operators = tokio::task::JoinSet::new();
        operators.spawn(operator.run(stop_operator.clone()));
        let mut world = Self {
            clock: Arc::clone(&clock),
            random,
            host,
            fleet,
            gateway,
            started: Moment::default(),
            approved_before: 0,
            seen_approval: false,
            may_end: args.may_end,
            done,
        };
        world.gateway.set_environment(&args.env);
        world.start(None)?;
        let course = world.course(args);
        let half = course.len() / 2;
        for (number, deed) in course.into_iter().enumerate() {
            if number == half {
                world.gateway.set_program(None);
            }
            world.perform(deed, args.stop).await?;
        }
        world.watch_until_approval().await?;
        if !args.env.is_empty() {
            world.gateway.kill()?;
            world.gateway.set_environment(&[]);
            world.may_end = false;
            world.start(None)?;
            world.watch_until_approval().await?;
        }
        world.host.heal();
        let settled = world.settle().await?;
        stop_operator.cancel();
        let changes = operators.join_next().await.transpose()?;
        let seconds = clock.now().since(began).as_secs();
        world
            .finish(args, seconds, settled, changes.unwrap_or_default())
            .await
    }

    /// What will be done, in which order.
    fn course(&mut self, args: &Args) -> Vec<Deed> {
        if args.points {
            // Passed-on STANs are not reserved.
            let reached = |point: &&Point| {
                !is_of_first_start(**point) && (args.own_stans || **point != Point::StansNext)
            };
            let running = Point::ALL.iter().filter(reached);
            return running
                .flat_map(|point| (1..=hits_of(*point)).map(|hit| Deed::Fail(*point, hit)))
                .collect();
        }
        let repeat = |deed, times: u32| std::iter::repeat_n(deed, times as usize);
        let mut course: Vec<_> = repeat(Deed::Kill, args.kills)
            .chain(repeat(Deed::Stop, args.stops))
            .chain(repeat(Deed::Drain, args.drains))
            .collect();
        self.random.shuffle(&mut course);
        course
    }

    async fn perform(&mut self, deed: Deed, stop: Duration) -> anyhow::Result<()> {
        match deed {
            Deed::Kill => {
                let range = if self.random.u8(0..4) == 0 {
                    EARLY_KILL
                } else {
                    LATE_KILL
                };
                let wait = Wait {
                    min: range.0,
                    max: range.1,
                };
                let until = self.started.after(wait.draw(&mut self.random));
                self.watch_until(until).await?;
                self.done.early += u64::from(!self.seen_approval);
                self.gateway.kill()?;
                self.done.kills += 1;
                self.start(None)
            }
            Deed::Stop => {
                self.watch_until_approval().await?;
                self.gateway.signal(Signal::STOP)?;
                tokio::time::sleep(stop).await;
                self.gateway.signal(Signal::CONT)?;
                self.done.stops += 1;
                // The kill after it falls as if the process had been started now.
                self.started = self.clock.now();
                Ok(())
            }
            Deed::Drain => {
                self.watch_until_approval().await?;
                let code = self.gateway.drain().await?;
                self.done.drains += 1;
                self.done.drains_failed += u64::from(code != Some(0));
                self.start(None)
            }
            Deed::Fail(point, hit) => self.fail_at(point, hit).await,
        }
    }

    /// Kills the gateway in full trade, so that there is something to recover, and lets the next one end at a point.
    async fn fail_at(&mut self, point: Point, hit: u32) -> anyhow::Result<()> {
        self.watch_until_approval().await?;
        self.watch_until(self.clock.now().after(TRADE)).await?;
        self.gateway.kill()?;
        self.start(Some((point, hit)))?;
        if ends_within(&mut self.gateway, POINT_WAIT).await? {
            self.done.points += 1;
        } else {
            self.done.points_missed.push((point, hit));
            self.gateway.kill()?;
        }
        self.start(None)
    }

    fn start(&mut self, ending: Option<(Point, u32)>) -> anyhow::Result<()> {
        self.gateway.start(ending)?;
        self.started = self.clock.now();
        self.approved_before = self.fleet.approved();
        self.seen_approval = false;
        Ok(())
    }

    /// Looks until then for the first approval, and whether the gateway is still there.
    async fn watch_until(&mut self, until: Moment) -> anyhow::Result<()> {
        while self.clock.now() < until {
            tokio::time::sleep(LOOK).await;
            self.look()?;
        }
        Ok(())
    }

    async fn watch_until_approval(&mut self) -> anyhow::Result<()> {
        let until = self.clock.now().after(START_MAX);
        while !self.seen_approval {
            if self.clock.now() >= until {
                bail!(
                    "no terminal got an approval within {} s of a start; see {}",
                    START_MAX.as_secs(),
                    self.gateway.log().display()
                );
            }
            tokio::time::sleep(LOOK).await;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.gateway.ended()? {
            // 2 when it cannot read its configuration, or what that names.
            if self.may_end && matches!(status.code(), Some(1 | 2)) {
                self.done.ended += 1;
                return self.start(None);
            }
            bail!(
                "the gateway ended by itself ({status}); see {}",
                self.gateway.log().display()
            );
        }
        if !self.seen_approval && self.fleet.approved() > self.approved_before {
            self.seen_approval = true;
            let micros = self.clock.now().since(self.started).as_micros();
            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
            self.done.recovery.saturating_record(micros);
        }
        Ok(())
    }

    /// Lets the terminals come to their end, and the gateway clear what it owes. False when that took too long.
    async fn settle(&mut self) -> anyhow::Result<bool> {
        let mut settled = self.fleet.stop_and_settle(SETTLE).await;
        // A drain waits for one sending only, and what was sent before the host healed may be lost.
        let until = self.clock.now().after(SETTLE);
        while settled && owed_by(self.gateway.admin_socket()).await != Some(0) {
            settled = self.clock.now() < until;
            tokio::time::sleep(LOOK_OWED).await;
        }
        if let Some(status) = self.gateway.ended()? {
            bail!("the gateway ended by itself ({status})");
        }
        Ok(settled)
    }

    /// Drains the gateway and reads all books.
    async fn finish(
        mut self,
        args: &Args,
        seconds: u64,
        settled: bool,
        changes: Changes,
    ) -> anyhow::Result<Report> {
        let drained = self.gateway.drain().await? == Some(0);
        let fleet = self.fleet.snapshot();
        let terminals = self.fleet.ledger();
        let (host, host_did) = self.host.shutdown().await;
        let store = self.gateway.store()?;
        let journal = tokio::task::spawn_blocking(move || JournalBooks::read(&store)).await??;
        let by_host = if args.own_stans {
            terminals.diff_totals(&host)
        } else {
            terminals.diff(&host)
        };
        let by_journal = terminals.diff(&journal.ledger);
        Ok(Report {
            seconds,
            settled,
            drained,
            done: self.done,
            changes,
            fleet,
            terminals: terminals.totals(),
            host: host.totals(),
            host_did,
            journal,
            by_host,
            by_journal,
        })
    }
}

impl Done {
    fn new() -> Self {
        Self {
            kills: 0,
            early: 0,
            stops: 0,
            drains: 0,
            drains_failed: 0,
            ended: 0,
            points: 0,
            points_missed: Vec::new(),
            recovery: latency_histogram(),
        }
    }
}

/// Whether a process ends by itself in that time.
async fn ends_within(gateway: &mut Gateway, limit: Duration) -> anyhow::Result<bool> {
    let ended = tokio::time::timeout(limit, async {
        while gateway.ended()?.is_none() {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    });
    match ended.await {
        Ok(ended) => ended.map(|()| true),
        Err(_elapsed) => Ok(false),
    }
}

/// Points that only a store's first process passes.
fn is_of_first_start(point: Point) -> bool {
    matches!(
        point,
        Point::KeysWritten | Point::KeysInPlace | Point::MigrationRun | Point::MigrationCommitted
    )
}

/// Passages of a point that a process has for certain within the time that is waited for them.
fn hits_of(point: Point) -> u32 {
    match point {
        Point::KeysWritten
        | Point::KeysInPlace
        | Point::RecoveryRead
        | Point::RecoveryQueued
        | Point::Listening
        | Point::StansNext => 1,
        // The registry's file is there already in some trials.
        Point::MigrationRun | Point::MigrationCommitted => 2,
        Point::RecoveryNext
        | Point::JournalQueued
        | Point::JournalTaken
        | Point::JournalSynced
        | Point::JournalGiven
        | Point::ForwardNext
        | Point::ForwardDone
        | Point::AnswerNext
        | Point::AnswerDone
        | Point::OweNext
        | Point::ProjectionRead
        | Point::ProjectionWritten
        | Point::ProjectionCommitted
        | Point::RegistryWritten
        | Point::RegistryCommitted
        | Point::RegistryInGate => HITS,
    }
}

/// The first process on an empty folder ends at its points; the second must serve and drain.
async fn first_starts(
    folder: &Path,
    host: &RunningHost,
    certs: &MadeCerts,
    done: &mut Done,
) -> anyhow::Result<()> {
    for point in Point::ALL.iter().filter(|point| is_of_first_start(**point)) {
        for hit in 1..=hits_of(*point) {
            let own = folder.join(format!("first-{}-{hit}", point.name()));
            std::fs::create_dir(&own)?;
            let mut gateway = Gateway::prepare(&own, host.addr(), true, certs)?;
            gateway.start(Some((*point, hit)))?;
            if ends_within(&mut gateway, POINT_WAIT).await? {
                done.points += 1;
            } else {
                gateway.kill()?;
                done.points_missed.push((*point, hit));
            }
            gateway.start(None)?;
            let socket = gateway.admin_socket();
            let up = async {
                while tokio::net::UnixStream::connect(&socket).await.is_err() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let up = tokio::time::timeout(START_MAX, up).await;
            let code = match up {
                Ok(()) => gateway.drain().await?,
                Err(_elapsed) => None,
            };
            if code != Some(0) {
                bail!(
                    "a first start that ended at {}:{hit} leaves a store that the next one cannot use; see {}",
                    point.name(),
                    gateway.log().display()
                );
            }
        }
    }
    Ok(())
}

/// Of every hundred answers two never come, one comes after everybody gave up, one comes twice, one comes under
/// another number every other time; and now and then the line is closed, reset in the middle of an answer, full
/// of random bytes, dripping, or hangs.
fn faults() -> Faults {
    let rare = |percent| Chance::parse(percent).unwrap_or_default();
    Faults {
        drop: Chance::percent(2),
        late: Chance::percent(1),
        late_by: UPSTREAM_TIMEOUT + Duration::from_millis(500),
        close: rare("0.1%"),
        duplicate: Chance::percent(1),
        misnumber: rare("0.5%"),
        garbage: rare("0.05%"),
        reset: rare("0.05%"),
        drip: rare("0.05%"),
        hang: rare("0.05%"),
        hang_for: UPSTREAM_TIMEOUT * 2,
        delay: Wait {
            min: Duration::ZERO,
            max: Duration::from_millis(40),
        },
        ..Faults::NONE
    }
}

/// Terminal `number`, four to a shop.
fn identity(number: u32) -> Option<Identity> {
    Some(Identity {
        terminal: TerminalId::parse(&format!("K{number:07}")).ok()?,
        merchant: MerchantId::parse(&format!("10411006{:07}", number / 4)).ok()?,
    })
}

fn member(identity: Identity) -> Member {
    Member {
        identity,
        role: Role("trading"),
        declined_with: None,
    }
}

fn import_line(number: u32) -> Option<ImportLine> {
    let who = identity(number)?;
    Some(ImportLine {
        line: u64::from(number) + 2,
        acquirer: AcquirerId(0),
        terminal: who.terminal,
        merchant: who.merchant,
        merchant_name: "Shop on trial".into(),
        mcc: "5411".into(),
        account: format!("account-{}", who.merchant).into(),
        account_kind: "bank-card".into(),
        account_status: AccountStatus::Verified,
        serial: "".into(),
        state: Some(BindingState::Active),
        reasons: ReasonSet::EMPTY,
        limits: None,
        others: Vec::new(),
        placement: "".into(),
    })
}
