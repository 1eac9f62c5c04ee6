//! Connections made and closed: what a handshake costs.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::template::{Numbering, latency_micros};
use super::terminal::{Common, OpenError, Terminal};
use super::{HandshakeSettings, LoadError, LoadSettings, stats};
use crate::sim::message::Identity;
use crate::sim::process::Process;
use crate::sim::transport::Target;

/// What making connections showed.
#[derive(Clone, Debug)]
pub struct HandshakeReport {
    /// Connections made, used and closed in the window.
    pub connections: u64,
    /// Of those, resumed.
    pub resumed: u64,
    /// Connections that failed, or whose sale was not answered.
    pub failed: u64,
    /// From connecting to being closed, in microseconds.
    pub latency: Histogram<u64>,
    /// How long was measured.
    pub time: Duration,
    /// CPU time of the gateway meanwhile.
    pub gateway_cpu: Option<Duration>,
}

impl HandshakeReport {
    /// Connections a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        stats::per_second(self.connections, self.time)
    }

    /// CPU microseconds of the gateway for each connection.
    #[must_use]
    pub fn cpu_micros_each(&self) -> Option<f64> {
        stats::seconds_per_million(self.gateway_cpu?, self.connections)
    }
}

/// Counts of the window, kept by all workers in one thread.
#[derive(Debug)]
struct Tally {
    measuring: bool,
    connections: u64,
    resumed: u64,
    failed: u64,
    latency: Histogram<u64>,
}

impl Tally {
    /// Counts a connection: whether it was resumed, `None` when it failed.
    fn add(&mut self, made: Option<bool>, micros: u64) {
        if !self.measuring {
            return;
        }
        let Some(resumed) = made else {
            self.failed += 1;
            return;
        };
        self.connections += 1;
        self.resumed += u64::from(resumed);
        self.latency.saturating_record(micros);
    }
}

pub(super) async fn run(
    settings: &LoadSettings,
    how: HandshakeSettings,
) -> Result<HandshakeReport, LoadError> {
    let tally = Rc::new(RefCell::new(Tally {
        measuring: false,
        connections: 0,
        resumed: 0,
        failed: 0,
        latency: super::board::latency_histogram(),
    }));
    if how.sale {
        sign_on_once(settings, how).await?;
    }
    let mut workers = JoinSet::new();
    for number in 0..how.concurrency.get() {
        let worker = Worker::new(settings, how, number)?;
        workers.spawn_local(worker.work(Rc::clone(&tally)));
    }
    tokio::time::sleep(settings.warm_up).await;
    let cpu = || settings.gateway.map(Process::cpu_time).transpose();
    let before = cpu()?;
    let began = settings.clock.now();
    tally.borrow_mut().measuring = true;
    tokio::time::sleep(settings.duration).await;
    tally.borrow_mut().measuring = false;
    let time = settings.clock.now().since(began);
    let after = cpu()?;
    workers.shutdown().await;
    let tally = tally.borrow();
    Ok(HandshakeReport {
        connections: tally.connections,
        resumed: tally.resumed,
        failed: tally.failed,
        latency: tally.latency.clone(),
        time,
        gateway_cpu: before.zip(after).map(|(b, a)| a.saturating_sub(b)),
    })
}

/// Signs the workers' terminals on beforehand, so that each connection is one sale and nothing else.
async fn sign_on_once(settings: &LoadSettings, how: HandshakeSettings) -> Result<(), LoadError> {
    for number in 0..how.concurrency.get() {
        let common = settings.common(&settings.target)?;
        let who = identity(settings, number)?;
        let terminal = Terminal::open(common, who, number).await?;
        terminal.close().await.map_err(OpenError::from)?;
    }
    Ok(())
}

fn identity(settings: &LoadSettings, number: usize) -> Result<Identity, LoadError> {
    let all = &settings.terminals;
    let at = number
        .checked_rem(all.len())
        .ok_or(LoadError::NoTerminals)?;
    Ok(all[at])
}

/// Makes one connection after another.
struct Worker {
    common: Rc<Common>,
    who: Identity,
    number: usize,
    sale: bool,
}

impl Worker {
    fn new(
        settings: &LoadSettings,
        how: HandshakeSettings,
        number: usize,
    ) -> Result<Self, LoadError> {
        let tls = settings.target.tls.as_ref().map(|tls| {
            if how.resume {
                tls.with_own_sessions()
            } else {
                tls.without_resumption()
            }
        });
        let target = Target {
            tls,
            ..settings.target.clone()
        };
        let mut common = settings.common(&target)?;
        if let Some(common) = Rc::get_mut(&mut common) {
            common.sign_on = false;
        }
        Ok(Self {
            common,
            who: identity(settings, number)?,
            number,
            sale: how.sale,
        })
    }

    #[expect(clippy::infinite_loop, reason = "ends with its task")]
    async fn work(self, tally: Rc<RefCell<Tally>>) -> Infallible {
        let clock = Arc::clone(&self.common.clock);
        // Each connection goes on counting where the one before stopped.
        let mut numbering = None;
        loop {
            let began = clock.now();
            let made = self.connection(&mut numbering).await;
            tally
                .borrow_mut()
                .add(made, latency_micros(began, clock.now()));
            if made.is_none() {
                // A peer that refuses is not to be asked in a tight loop.
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
    }

    /// Connects, sells if told to, and closes. Whether TLS was resumed; `None` when anything failed.
    async fn connection(&self, numbering: &mut Option<Numbering>) -> Option<bool> {
        let common = Rc::clone(&self.common);
        let mut terminal = Terminal::open(common, self.who, self.number).await.ok()?;
        if let Some(numbering) = numbering.take() {
            terminal.continue_numbering(numbering);
        }
        let resumed = terminal.resumed();
        if self.sale {
            terminal.sale().await.ok()?;
        }
        *numbering = Some(terminal.numbering());
        let closed = tokio::time::timeout(self.common.timeout, terminal.close()).await;
        closed.ok()?.ok()?;
        Some(resumed)
    }
}

const FAILED_PAUSE: Duration = Duration::from_millis(20);
