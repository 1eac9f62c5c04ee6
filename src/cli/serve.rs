//! `posgate serve`: runs the gateway until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::check;
use crate::admin::Admin;
use crate::base::{Clock, SystemClock};
use crate::config::{self, AdminHttps, Config, ConfigError};
use crate::switch::{Dispatcher, Running, Switch, Ways};
use crate::telemetry::{log, metrics};

/// Runs the gateway: takes terminals, forwards to upstreams, keeps the journal.
///
/// SIGTERM and SIGINT drain it: no new connections, what is in flight or owed is finished (30 s at most),
/// exit 0.
/// Exit 1: something could not be finished or the store failed. Exit 2: the configuration has mistakes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the gateway cannot start.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(ConfigError::Problems(problems)) => {
            check::report(&problems)?;
            return Ok(ExitCode::from(2));
        }
        Err(other) => return Err(other.into()),
    };
    let _log = log::install(config.log_format, &config.log_level)
        .map_err(|problem| anyhow::anyhow!("log.level cannot be used: {problem}"))?;
    for warning in &config.warnings {
        tracing::warn!(file = %warning.file, line = warning.line, "{}", warning.message);
    }
    let workers = match config.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        configured => configured,
    };
    // With one CPU there is nobody to share work with: the simpler scheduler wakes tasks for less.
    let mut runtime = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        runtime.worker_threads(workers);
    }
    let switch: Arc<OnceLock<Weak<Switch>>> = Arc::default();
    let resting = Arc::clone(&switch);
    let runtime = runtime
        .enable_all()
        .on_thread_park(move || {
            if let Some(switch) = resting.get().and_then(Weak::upgrade) {
                switch.rest();
            }
        })
        .build()
        .context("the runtime cannot be started")?;
    let clean = runtime.block_on(serve(config, &args.config, &switch))?;
    // Blocking work that is still under way (an export nobody reads) must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn serve(
    config: Config,
    file: &Path,
    started: &OnceLock<Weak<Switch>>,
) -> anyhow::Result<bool> {
    let prometheus = metrics::install().context("metrics cannot be set up")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = Running::start(&config.switch, &clock)?;
    started.get_or_init(|| Arc::downgrade(&running.switch));
    let outbox = running.folder.path().join("outbox");
    let ways = Ways::new(&config.notify, &outbox, &clock)?;
    let dispatcher = Dispatcher::new(&running, ways, &clock);
    let delivering = Arc::clone(&dispatcher).run(running.tasks.clone());
    running.tasks.spawn(delivering);
    let admin = Admin::new(&running, clock, Some(prometheus.clone()), dispatcher)?;
    admin.serve_socket(&config.admin_socket).with_context(|| {
        format!(
            "the admin socket {} cannot be served",
            config.admin_socket.display()
        )
    })?;
    if let Some(AdminHttps { address, tls }) = config.admin_https {
        let bound = admin.serve_https(address, tls).await;
        let bound =
            bound.with_context(|| format!("the admin address {address} cannot be served"))?;
        tracing::info!(address = %bound, "serving the admin API over TLS");
    }
    if let Some(address) = config.monitor_address {
        let bound = admin
            .serve_monitor(address)
            .await
            .with_context(|| format!("the monitor address {address} cannot be served"))?;
        tracing::info!(address = %bound, "serving /metrics, /healthz and /readyz");
    }
    // Without upkeep the exporter keeps every sample of its histograms.
    let tasks = running.tasks.clone();
    running.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                () = tasks.stopping() => return,
                _ = ticks.tick() => prometheus.run_upkeep(),
            }
        }
    });
    tracing::info!(
        config = %file.display(), terminals = running.switch.directory().len(), "posgate is serving"
    );
    let stopped = running.tasks.clone();
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        () = stopped.stopping() => tracing::error!("stopping because of a failure"),
    }
    // The admin's own hold on the switch would keep its threads from ending.
    drop(admin);
    let clean = running.drain(config.drain_timeout).await;
    tracing::info!(clean, "posgate has stopped");
    Ok(clean)
}
