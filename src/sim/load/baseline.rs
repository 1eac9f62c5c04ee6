//! The built-in comparison: the gateway and a bare TLS proxy, measured in turn within one run.
//!
//! Machines drift by more than gateways differ, so only the ratio within one repetition says anything:
//! gateway, proxy, gateway, proxy, with all connections of both open throughout.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustls_pki_types::ServerName;

use super::station::Station;
use super::stats::{Latency, Spread, ratio};
use super::{BaselineSettings, LoadError, LoadSettings, Pace, Window};
use crate::sim::certs::{ClientTls, Trust};
use crate::sim::process::Process;
use crate::sim::transport::Target;

/// One side of one repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    /// Answers a second.
    pub per_second: f64,
    /// Latency.
    pub latency: Latency,
    /// CPU seconds per million; `None` when the process was not named.
    pub cpu_per_million: Option<f64>,
    /// The load tool's own, likewise.
    pub load_cpu_per_million: Option<f64>,
    /// The host's, likewise.
    pub host_cpu_per_million: Option<f64>,
    /// Requests without their own usable answer.
    pub errors: u64,
    /// Of those, answers that belong to another request.
    pub mismatched: u64,
    /// Answers that were no approval.
    pub declined: u64,
}

/// Gateway and proxy, one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repetition {
    /// The gateway.
    pub gateway: Side,
    /// The bare proxy.
    pub proxy: Side,
}

impl Repetition {
    /// CPU time per message of the gateway as a multiple of the proxy's.
    #[must_use]
    pub fn cpu_ratio(&self) -> Option<f64> {
        ratio(self.gateway.cpu_per_million?, self.proxy.cpu_per_million?)
    }

    /// Messages a second of the gateway as a multiple of the proxy's.
    #[must_use]
    pub fn rate_ratio(&self) -> Option<f64> {
        ratio(self.gateway.per_second, self.proxy.per_second)
    }
}

/// All repetitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaselineReport {
    /// In the order in which they were run.
    pub repetitions: Vec<Repetition>,
}

impl BaselineReport {
    /// Median and range of something over the repetitions.
    #[must_use]
    pub fn spread(&self, of: impl Fn(&Repetition) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.repetitions.iter().filter_map(of))
    }
}

pub(super) async fn run(
    settings: &LoadSettings,
    pace: Pace,
    with: &BaselineSettings,
    mut each: impl FnMut(&Repetition),
) -> Result<BaselineReport, LoadError> {
    let child = ProxyChild::start(with, settings.target.tls.is_some()).map_err(LoadError::Proxy)?;
    pin(settings, with, child.process())?;
    let through_proxy = Target {
        addr: child.addr,
        tls: settings
            .target
            .tls
            .as_ref()
            .map(|_| proxy_tls())
            .transpose()?,
    };
    let gateway = Station::open(&settings.common(&settings.target)?, &settings.terminals).await?;
    let proxy = Station::open(&settings.common(&through_proxy)?, &settings.terminals).await?;
    let mut report = BaselineReport::default();
    for _ in 0..with.repetitions {
        let side = async |station: &Station, process: Option<Process>| {
            let watched = settings.watched(process);
            let (warm_up, duration) = (settings.warm_up, settings.duration);
            let window = station.window(pace, warm_up, duration, &watched).await?;
            Ok::<_, LoadError>(Side::of(
                &window,
                process.is_some(),
                settings.host.is_some(),
            ))
        };
        let repetition = Repetition {
            gateway: side(&gateway, settings.gateway).await?,
            proxy: side(&proxy, Some(child.process())).await?,
        };
        each(&repetition);
        report.repetitions.push(repetition);
    }
    gateway.close().await;
    proxy.close().await;
    Ok(report)
}

fn pin(settings: &LoadSettings, with: &BaselineSettings, proxy: Process) -> Result<(), LoadError> {
    if let Some(cpu) = with.pin_gateway {
        for process in settings.gateway.into_iter().chain([proxy]) {
            process.pin(cpu)?;
        }
    }
    if let Some(cpu) = with.pin_load {
        for process in settings.host.into_iter().chain([Process::own()]) {
            process.pin(cpu)?;
        }
    }
    Ok(())
}

/// The proxy makes its certificate itself and is on this machine: there is nothing to check.
fn proxy_tls() -> Result<ClientTls, LoadError> {
    let localhost = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    ClientTls::new(&Trust::AnyCertificateWithoutChecking, localhost)
        .map_err(|e| LoadError::Proxy(io::Error::other(e)))
}

impl Side {
    /// Watched processes stand in the order of [`LoadSettings::watched`]: this one, the peer, the host.
    fn of(window: &Window, peer: bool, host: bool) -> Self {
        let host_at = if peer { 2 } else { 1 };
        let declined = window.codes.iter().filter(|(code, _)| *code != "00");
        Self {
            per_second: window.per_second(),
            latency: Latency::of(&window.latency),
            cpu_per_million: window.cpu_per_million(1).filter(|_| peer),
            load_cpu_per_million: window.cpu_per_million(0),
            host_cpu_per_million: window.cpu_per_million(host_at).filter(|_| host),
            errors: window.errors(),
            mismatched: window.mismatched,
            declined: declined.map(|(_, count)| count).sum(),
        }
    }
}

/// The proxy's process. It ends when this is dropped, also when this process dies: then its standard input
/// closes.
#[derive(Debug)]
struct ProxyChild {
    child: Child,
    addr: SocketAddr,
}

impl ProxyChild {
    fn start(with: &BaselineSettings, tls: bool) -> io::Result<Self> {
        let mut child = Command::new(&with.program)
            .args(["bare-proxy", "--until-input-closes"])
            .args(tls.then_some("--tls"))
            .args(["--listen", "127.0.0.1:0"])
            .args(["--to", &with.host.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let addr = read_addr(&mut child);
        let mut started = Self {
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        started.addr = addr?;
        Ok(started)
    }

    fn process(&self) -> Process {
        Process(self.child.id())
    }
}

/// The first line that the proxy prints ends with its address.
fn read_addr(child: &mut Child) -> io::Result<SocketAddr> {
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    line.split_ascii_whitespace()
        .next_back()
        .and_then(|addr| addr.parse().ok())
        .ok_or_else(|| io::Error::other("it did not say where it listens"))
}

impl Drop for ProxyChild {
    fn drop(&mut self) {
        // Gone already is as good.
        let gone = self.child.kill().and_then(|()| self.child.wait());
        gone.map(drop).unwrap_or_default();
    }
}
