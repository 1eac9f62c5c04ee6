//! Load on a gateway, or on anything that speaks a shipped dialect, and what it costs.
//!
//! Closed loop: each terminal has one request outstanding. Open loop: messages are due at a rate, whatever
//! the peer does, and latency counts from when a message was due. Everything runs in one thread, on a
//! `current_thread` runtime, so that the tool takes as little of the machine as it can: a prepared message
//! is patched in place, sent with one call, and counted without locks.

mod alarm;
mod baseline;
mod board;
mod handshake;
mod idle;
mod pacer;
mod station;
pub mod stats;
mod template;
mod terminal;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::LocalSet;

pub use baseline::{BaselineReport, Repetition, Side};
pub use board::Pace;
pub(crate) use board::latency_histogram;
pub use handshake::HandshakeReport;
pub use idle::IdleReport;
pub use template::TemplateError;
pub use terminal::OpenError;

use super::message::{Identity, Phrases};
use super::process::{Process, ProcessError};
use super::transport::Target;
use crate::base::{Clock, Moment};
use crate::iso8583::Dialect;
use station::Station;
use terminal::Common;

/// Who is loaded by whom.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// The peer.
    pub target: Target,
    /// What it speaks.
    pub dialect: Arc<Dialect>,
    /// The terminals; each has one connection.
    pub terminals: Vec<Identity>,
    /// Whether each signs on first, and takes its batch from the answer.
    pub sign_on: bool,
    /// Longest wait for a connection or an answer.
    pub timeout: Duration,
    /// Traded before anything is counted.
    pub warm_up: Duration,
    /// How long is counted.
    pub duration: Duration,
    /// Process whose CPU time and memory are reported, usually the gateway.
    pub gateway: Option<Process>,
    /// Process of the host behind it, likewise.
    pub host: Option<Process>,
    /// Where trace numbers and amounts start. Two runs against one gateway should differ in it.
    pub seed: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The yardstick of [`LoadSettings::run_baseline`].
#[derive(Clone, Debug)]
pub struct BaselineSettings {
    /// The program to run as `PROGRAM bare-proxy ...`: usually this one.
    pub program: PathBuf,
    /// Host that the proxy forwards to.
    pub host: SocketAddr,
    /// How often each side is measured.
    pub repetitions: u32,
    /// CPU for the gateway and the proxy.
    pub pin_gateway: Option<u32>,
    /// CPU for this program and the host.
    pub pin_load: Option<u32>,
}

/// How connections are made in [`LoadSettings::run_handshakes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeSettings {
    /// Whether TLS sessions are resumed.
    pub resume: bool,
    /// Whether one sale is made on each connection.
    pub sale: bool,
    /// Connections being made at a time.
    pub concurrency: NonZeroUsize,
}

/// Why a load run ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There are no terminals.
    #[error("there are no terminals")]
    NoTerminals,
    /// A terminal could not be made ready.
    #[error("a terminal could not be made ready")]
    Open(#[from] OpenError),
    /// The kernel's timer failed.
    #[error("the timer failed")]
    Timer(#[source] io::Error),
    /// A watched process could not be looked at or pinned.
    #[error("a process could not be measured")]
    Process(#[from] ProcessError),
    /// The bare proxy did not start.
    #[error("the bare proxy did not start")]
    Proxy(#[source] io::Error),
}

/// What was measured in one window.
#[derive(Clone, Debug)]
pub struct Window {
    /// Requests answered by their own answer, whatever its code.
    pub answered: u64,
    /// Of those, by response code.
    pub codes: BTreeMap<String, u64>,
    /// Answers that belong to another request. Must be 0.
    pub mismatched: u64,
    /// Answers to a terminal's request before: late, or given twice. They are passed over.
    pub stale: u64,
    /// Answers that cannot be decoded.
    pub unusable: u64,
    /// Requests without answer in time.
    pub unanswered: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Connections that the peer closed while nothing was asked of it. No failures.
    pub left: u64,
    /// Open loop: messages due in the window and not answered in it.
    pub unsent: u64,
    /// Latencies in microseconds.
    pub latency: Histogram<u64>,
    /// When the window began.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
    /// CPU time of each watched process within the window, in the order given.
    pub cpu: Vec<Duration>,
}

impl Window {
    /// How long it was.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.ended.since(self.began)
    }

    /// Answers a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        stats::per_second(self.answered, self.time())
    }

    /// Requests that did not get their own usable answer.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.mismatched + self.unusable + self.unanswered + self.broken
    }

    const fn attempts(&self) -> u64 {
        self.answered + self.errors()
    }

    /// CPU seconds per million answers of the n-th watched process.
    #[must_use]
    pub fn cpu_per_million(&self, watched: usize) -> Option<f64> {
        stats::seconds_per_million(*self.cpu.get(watched)?, self.answered)
    }
}

/// What a trading run measured.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// The measured window.
    pub window: Window,
    /// Where the watched processes stand in the window: gateway, host.
    watched: [Option<usize>; 2],
    /// The gateway's memory at the end of the window.
    pub gateway_resident_bytes: Option<u64>,
}

impl LoadReport {
    /// CPU seconds per million of this program.
    #[must_use]
    pub fn load_cpu_per_million(&self) -> Option<f64> {
        self.window.cpu_per_million(0)
    }

    /// CPU seconds per million of the gateway, when it was named.
    #[must_use]
    pub fn gateway_cpu_per_million(&self) -> Option<f64> {
        self.window.cpu_per_million(self.watched[0]?)
    }

    /// CPU seconds per million of the host, when it was named.
    #[must_use]
    pub fn host_cpu_per_million(&self) -> Option<f64> {
        self.window.cpu_per_million(self.watched[1]?)
    }
}

impl LoadSettings {
    /// Trades and measures once.
    ///
    /// # Errors
    /// When a terminal cannot be made ready, or a watched process is gone.
    pub async fn run(&self, pace: Pace) -> Result<LoadReport, LoadError> {
        LocalSet::new().run_until(self.run_local(pace)).await
    }

    async fn run_local(&self, pace: Pace) -> Result<LoadReport, LoadError> {
        let station = Station::open(&self.common(&self.target)?, &self.terminals).await?;
        let watched = self.watched(self.gateway);
        let (warm_up, duration) = (self.warm_up, self.duration);
        let window = station.window(pace, warm_up, duration, &watched).await?;
        let gateway_resident_bytes = self.gateway.map(Process::resident_bytes).transpose()?;
        station.close().await;
        let (gateway, host) = (self.gateway.is_some(), self.host.is_some());
        Ok(LoadReport {
            window,
            watched: [
                gateway.then_some(1),
                host.then_some(1 + usize::from(gateway)),
            ],
            gateway_resident_bytes,
        })
    }

    /// Alternates windows against the peer and against a bare TLS proxy that it starts.
    ///
    /// # Errors
    /// As [`Self::run`], and when the proxy does not start.
    pub async fn run_baseline(
        &self,
        pace: Pace,
        with: &BaselineSettings,
        each: impl FnMut(&Repetition),
    ) -> Result<BaselineReport, LoadError> {
        let run = baseline::run(self, pace, with, each);
        LocalSet::new().run_until(run).await
    }

    /// Opens and closes connections as fast as the peer takes them.
    ///
    /// # Errors
    /// When the peer cannot be reached at all, or a watched process is gone.
    pub async fn run_handshakes(
        &self,
        how: HandshakeSettings,
    ) -> Result<HandshakeReport, LoadError> {
        let run = handshake::run(self, how);
        LocalSet::new().run_until(run).await
    }

    /// Opens a connection for each terminal and holds them without traffic.
    ///
    /// # Errors
    /// When a connection cannot be opened, or a watched process is gone.
    pub async fn run_idle(&self) -> Result<IdleReport, LoadError> {
        LocalSet::new().run_until(idle::run(self)).await
    }

    fn common(&self, target: &Target) -> Result<Rc<Common>, LoadError> {
        if self.terminals.is_empty() {
            return Err(LoadError::NoTerminals);
        }
        Ok(Rc::new(Common {
            target: target.clone(),
            phrases: Phrases::new(Arc::clone(&self.dialect)),
            clock: Arc::clone(&self.clock),
            timeout: self.timeout,
            sign_on: self.sign_on,
            seed: self.seed,
        }))
    }

    /// Processes to watch: this one, the peer, the host.
    fn watched(&self, peer: Option<Process>) -> Vec<Process> {
        let named = [Some(Process::own()), peer, self.host];
        named.into_iter().flatten().collect()
    }
}
