//! `posgate load`: load on a gateway, and what it costs.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rustls_pki_types::ServerName;

use super::host::{dialect, duration};
use super::load_report as report;
use crate::base::{Clock, MerchantId, SystemClock};
use crate::iso8583::Dialect;
use crate::sim::certs::{ClientTls, Trust};
use crate::sim::load::{BaselineSettings, HandshakeSettings, LoadSettings, Pace};
use crate::sim::message::Identity;
use crate::sim::process::Process;
use crate::sim::roll::{IdPattern, read_identities};
use crate::sim::transport::Target;

/// Simulated terminals that load a gateway, and what they measure.
///
/// Each terminal has one connection and one sale outstanding. With --rate messages are due at a rate and latency
/// counts from when a message was due, whatever the gateway does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Gateway (or host) to load
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Dialect to speak
    #[arg(long, value_name = "NAME", default_value = "unionpay-pos", value_parser = dialect)]
    dialect: Arc<Dialect>,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Mode::Trade)]
    mode: Mode,
    /// Terminals, each with a connection of its own
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    terminals: NonZeroUsize,
    /// Messages a second over all terminals (open loop); without it each sends as soon as it is answered
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Trade so long before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    warm_up: Duration,
    /// Measure so long; in idle mode, hold so long
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    duration: Duration,
    /// Longest wait for a connection or an answer
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    handshake: HandshakeArgs,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Process of the gateway: reports its CPU time and memory
    #[arg(long, value_name = "PID")]
    gateway_pid: Option<u32>,
    /// Process of the host behind it: reports its CPU time
    #[arg(long, value_name = "PID")]
    host_pid: Option<u32>,
    /// Do not sign on first
    #[arg(long)]
    no_sign_on: bool,
    /// Where trace numbers and amounts start; differs from run to run unless given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write one JSON object as the last line
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Sales over connections that stay open
    Trade,
    /// Connections made and closed
    Handshake,
    /// Connections held without traffic
    Idle,
}

/// How to reach the gateway.
#[derive(Debug, clap::Args)]
struct TlsArgs {
    /// Use TLS
    #[arg(long)]
    tls: bool,
    /// Authority of the gateway's certificate, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls",
        conflicts_with = "insecure"
    )]
    ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long, requires = "tls")]
    insecure: bool,
    /// Name in the gateway's certificate, if it is not the one in --to
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
}

/// Which terminals to be.
#[derive(Debug, clap::Args)]
struct WhoArgs {
    /// Terminal ids, numbered
    #[arg(long, value_name = "PATTERN", default_value = "T{:07}")]
    terminal_id_format: IdPattern,
    /// First number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first_terminal: u32,
    /// Merchant of all of them
    #[arg(long, value_name = "ID", default_value = "104110041200001", value_parser = MerchantId::parse)]
    merchant_id: MerchantId,
    /// CSV with the columns `terminal_id` and `merchant_id` instead
    #[arg(long, value_name = "FILE")]
    terminals_from: Option<PathBuf>,
}

/// With --mode handshake.
#[derive(Debug, clap::Args)]
struct HandshakeArgs {
    /// Resume TLS sessions
    #[arg(long)]
    resume: bool,
    /// Make one sale on each connection
    #[arg(long)]
    sale: bool,
    /// Connections being made at a time
    #[arg(long, value_name = "NUMBER", default_value = "8")]
    concurrency: NonZeroUsize,
}

/// The built-in comparison.
#[derive(Debug, clap::Args)]
struct BaselineArgs {
    /// Compare with a bare TLS proxy, in turn within one run
    #[arg(long, requires = "host")]
    baseline: bool,
    /// Host that the proxy forwards to
    #[arg(long, value_name = "HOST:PORT")]
    host: Option<String>,
    /// How often each side is measured
    #[arg(long, value_name = "NUMBER", default_value_t = 6)]
    repetitions: u32,
    /// CPU for the gateway and the proxy
    #[arg(long, value_name = "CPU")]
    pin_gateway: Option<u32>,
    /// CPU for this program and the host
    #[arg(long, value_name = "CPU")]
    pin_load: Option<u32>,
}

/// Measures, and writes what was found. The exit code says whether every answer was its request's own.
///
/// # Errors
/// When the peer cannot be reached, or a file or a process cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    pin(args, &settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let right = runtime
        .block_on(measure(args, &settings))
        .with_context(|| format!("cannot measure {}", args.to))?;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn measure(args: &Args, settings: &LoadSettings) -> anyhow::Result<bool> {
    let pace = args
        .rate
        .map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    if args.baseline.baseline {
        if args.mode != Mode::Trade {
            bail!("--baseline compares trading; it goes with no other --mode");
        }
        let with = baseline(args)?;
        let each = |r: &_| report::repetition(args.json, r);
        let found = settings.run_baseline(pace, &with, each).await?;
        report::baseline(args.json, &found)?;
        return Ok(found.repetitions.iter().all(|r| r.gateway.errors == 0));
    }
    match args.mode {
        Mode::Trade => {
            let found = settings.run(pace).await?;
            report::trade(args.json, args.terminals.get(), &found)?;
            Ok(found.window.errors() == 0)
        }
        Mode::Handshake => {
            let how = HandshakeSettings {
                resume: args.handshake.resume,
                sale: args.handshake.sale,
                concurrency: args.handshake.concurrency,
            };
            let found = settings.run_handshakes(how).await?;
            report::handshakes(args.json, &found)?;
            Ok(found.failed == 0)
        }
        Mode::Idle => {
            let found = settings.run_idle().await?;
            report::idle(args.json, &found)?;
            Ok(found.alive == found.opened)
        }
    }
}

fn settings(args: &Args) -> anyhow::Result<LoadSettings> {
    let clock = Arc::new(SystemClock::new());
    let seed = args.seed.unwrap_or_else(|| clock.wall().0);
    Ok(LoadSettings {
        target: target(args)?,
        dialect: Arc::clone(&args.dialect),
        terminals: identities(&args.who, args.terminals.get())?,
        // Making and holding connections is measured without messages, unless a sale is wanted.
        sign_on: args.mode == Mode::Trade && !args.no_sign_on
            || args.mode == Mode::Handshake && args.handshake.sale && !args.no_sign_on,
        timeout: args.timeout,
        warm_up: args.warm_up,
        duration: args.duration,
        gateway: args.gateway_pid.map(Process),
        host: args.host_pid.map(Process),
        seed,
        clock,
    })
}

fn target(args: &Args) -> anyhow::Result<Target> {
    let addr = resolve(&args.to)?;
    if !args.tls.tls {
        return Ok(Target::plain(addr));
    }
    let trust = match (&args.tls.ca, args.tls.insecure) {
        (Some(path), _) => {
            let pem = fs::read_to_string(path);
            Trust::CaPem(pem.with_context(|| format!("cannot read {}", path.display()))?)
        }
        (None, true) => Trust::AnyCertificateWithoutChecking,
        (None, false) => bail!("--tls needs --ca FILE, or --insecure to accept any certificate"),
    };
    let in_address = args
        .to
        .rsplit_once(':')
        .map_or(args.to.as_str(), |(host, _)| host);
    let name = args.tls.server_name.as_deref().unwrap_or(in_address);
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
        .with_context(|| format!("{name} is no server name"))?;
    Ok(Target {
        addr,
        tls: Some(ClientTls::new(&trust, name)?),
    })
}

fn resolve(text: &str) -> anyhow::Result<SocketAddr> {
    text.to_socket_addrs()
        .with_context(|| format!("{text} is no HOST:PORT"))?
        .next()
        .with_context(|| format!("{text} has no address"))
}

fn identities(who: &WhoArgs, count: usize) -> anyhow::Result<Vec<Identity>> {
    let Some(path) = &who.terminals_from else {
        let pattern = &who.terminal_id_format;
        return Ok(pattern.identities(who.merchant_id, who.first_terminal, count)?);
    };
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    read_identities(file, count).with_context(|| format!("{name} cannot be used"))
}

fn baseline(args: &Args) -> anyhow::Result<BaselineSettings> {
    let host = args.baseline.host.as_deref().unwrap_or_default();
    Ok(BaselineSettings {
        program: std::env::current_exe().context("cannot find this program")?,
        host: resolve(host)?,
        repetitions: args.baseline.repetitions,
        pin_gateway: args.baseline.pin_gateway,
        pin_load: args.baseline.pin_load,
    })
}

/// Pins also without a baseline, so that single runs can be compared with one.
fn pin(args: &Args, settings: &LoadSettings) -> anyhow::Result<()> {
    if let (Some(cpu), Some(gateway)) = (args.baseline.pin_gateway, settings.gateway) {
        gateway.pin(cpu)?;
    }
    if let Some(cpu) = args.baseline.pin_load {
        for process in settings.host.into_iter().chain([Process::own()]) {
            process.pin(cpu)?;
        }
    }
    Ok(())
}
