//! `posgate terminal`: import, export, show, set the state.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::affairs::{Ask, With};
use super::client::{self, Found, Gateway, Target};
use super::output;
use crate::admin::{ImportEvent, Pieces, escaped, import_lines, write_export};
use crate::base::{Clock, Counted, SystemClock};
use crate::binding::Directory;
use crate::store::registry::{Actor, Registry};
use crate::store::sqlite::SqliteFolder;
use crate::switch::{SharedRegistry, StoreChoice};

/// Terminals and their bindings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Import terminals, merchants, accounts and bindings from a CSV file: all lines or none
    ///
    /// Columns: `terminal_id`, `merchant_id`, `account_id`; and, if wanted: `acquirer`, `merchant_name`,
    /// `mcc`, `account_kind` (bank-card, wechat, alipay), `account_status`, `serial`, `state`, `reasons`,
    /// `other_accounts` (of other kinds, as `wechat=W-1+alipay=A-1`), `placement` (where the device stands).
    /// Talks to the running gateway, or to its store when none runs.
    Import {
        /// CSV file, or - for standard input
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Write all terminals as CSV to standard output, as an import reads them
    Export {
        #[command(flatten)]
        target: Target,
    },
    /// Show a terminal's binding
    Show(With<Named>),
    /// Set the state of a terminal's binding; the gate knows it when the command returns
    ///
    /// By hand, and for all that people do with bindings `posgate binding` and `posgate case` are there: they ask for
    /// evidence and a second person. A role that may stop terminals only stops them here.
    SetState(With<State>),
}

/// A terminal by its names.
#[derive(Debug, clap::Args)]
struct Named {
    /// Acquirer; - where the number of a binding follows
    acquirer: String,
    /// Terminal id (DE41), or behind - the number of its open binding
    terminal: String,
}

impl Named {
    fn path(&self) -> String {
        let (acquirer, terminal) = (escaped(&self.acquirer), escaped(&self.terminal));
        format!("/v1/terminals/{acquirer}/{terminal}")
    }
}

#[derive(Debug, clap::Args)]
struct State {
    #[command(flatten)]
    terminal: Named,
    /// pending, activating, active, re-pending, suspended, unbinding or unbound (for good)
    state: String,
    /// Why it is re-pending: phone, account, device, location, dormant, identity, reconfirm
    #[arg(long, value_delimiter = ',')]
    reason: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Import { file, target } => client::block_on(import(&file, &target)),
        Verb::Export { target } => client::block_on(export(&target)),
        Verb::Show(with) => with.run(|named| Ok(Ask::See(named.path()))),
        Verb::SetState(with) => with.run(|set| {
            let body = json!({ "state": set.state, "reasons": set.reason });
            Ok(Ask::Put(format!("{}/state", set.terminal.path()), body))
        }),
    }
}

async fn import(file: &Path, target: &Target) -> anyhow::Result<ExitCode> {
    let size = std::fs::metadata(file).map_or(0, |meta| meta.len());
    let bar = progress_bar(size);
    let last = match target.find().await? {
        Found::Running(gateway) => import_running(&gateway, file, &bar).await?,
        Found::Stopped { store, acquirers } => {
            let file = file.to_owned();
            let bar = bar.clone();
            tokio::task::spawn_blocking(move || import_stopped(&store, &acquirers, &file, &bar))
                .await??
        }
    };
    bar.finish_and_clear();
    match last {
        ImportEvent::Report(report) => {
            output::line(format_args!(
                "{}: {} bound, {} changed, {} unchanged; {} and {} added",
                Counted(report.lines, "line"),
                report.bound,
                report.changed,
                report.unchanged,
                Counted(report.merchants, "merchant"),
                Counted(report.accounts, "account")
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        ImportEvent::Problems(problems) => {
            let shown = file.display();
            for problem in &problems {
                output::error_line(format_args!("{shown}:{}: {}", problem.line, problem.reason))?;
            }
            output::error_line(format_args!(
                "{} wrong; nothing was imported",
                Counted(problems.len(), "line").that("is", "are")
            ))?;
            Ok(ExitCode::FAILURE)
        }
        ImportEvent::Failed(reason) => bail!("nothing was imported: {reason}"),
        ImportEvent::Progress(_) => bail!("the gateway broke off; nothing was imported"),
    }
}

/// Sends the file and reads the events while it does.
async fn import_running(
    gateway: &Gateway,
    file: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<ImportEvent> {
    let (give, taken) = tokio::sync::mpsc::channel(4);
    let mut input: Box<dyn tokio::io::AsyncRead + Send + Unpin> = if file == Path::new("-") {
        let opened = tokio::fs::File::open("/dev/stdin").await;
        Box::new(opened.context("standard input cannot be read")?)
    } else {
        let opened = tokio::fs::File::open(file).await;
        Box::new(opened.with_context(|| format!("{} cannot be read", file.display()))?)
    };
    let sent = bar.clone();
    let sending = async move {
        loop {
            let mut piece = vec![0; 1 << 16];
            let count = input.read(&mut piece).await?;
            piece.truncate(count);
            if count == 0 || give.send(Bytes::from(piece)).await.is_err() {
                return anyhow::Ok(());
            }
            sent.inc(count as u64);
        }
    };
    let receiving = async {
        let response = gateway.upload("/v1/import", Pieces(taken)).await?;
        let mut body = response.into_body();
        let mut text = Vec::new();
        let mut last = ImportEvent::Failed("the gateway said nothing".into());
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(frame?.data_ref().unwrap_or(&Bytes::new()));
            while let Some(end) = text.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                last = serde_json::from_slice(&line)?;
                if let ImportEvent::Progress(lines) = &last {
                    bar.set_message(Counted(lines, "line").to_string());
                }
            }
        }
        anyhow::Ok(last)
    };
    let (sent, last) = tokio::join!(sending, receiving);
    sent?;
    last
}

/// Imports into the store of a gateway that does not run.
fn import_stopped(
    store: &StoreChoice,
    acquirers: &[String],
    file: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<ImportEvent> {
    let registry = open_registry(store, acquirers)?;
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = File::open(file);
        Box::new(opened.with_context(|| format!("{} cannot be read", file.display()))?)
    };
    let actor = Actor::program("posgate terminal import", SystemClock::new().wall());
    let mut say = |event: &ImportEvent| {
        if let ImportEvent::Progress(lines) = event {
            bar.set_message(Counted(lines, "line").to_string());
        }
    };
    Ok(import_lines(
        &registry,
        bar.wrap_read(input),
        &actor,
        None,
        &mut say,
    ))
}

async fn export(target: &Target) -> anyhow::Result<ExitCode> {
    use std::io::Write;
    match target.find().await? {
        Found::Running(gateway) => {
            let mut body = gateway.get("/v1/terminals").await?.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    output::Standard::lock().write_all(&data)?;
                }
            }
        }
        Found::Stopped { store, acquirers } => {
            let registry = open_registry(&store, &acquirers)?;
            let mut given = Ok(());
            let mut give = |bytes: Bytes| {
                given = output::Standard::lock().write_all(&bytes);
                given.is_ok()
            };
            let written = write_export(&registry, &mut give);
            given?;
            written.map_err(anyhow::Error::msg)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open_registry(store: &StoreChoice, acquirers: &[String]) -> anyhow::Result<SharedRegistry> {
    let StoreChoice::Sqlite(path) = store;
    let folder = SqliteFolder::open(path)
        .with_context(|| format!("the store's folder {} cannot be made", path.display()))?;
    let mut registry = folder.registry()?;
    for acquirer in acquirers {
        registry.acquirer(acquirer)?;
    }
    Ok(SharedRegistry::new(
        Box::new(registry),
        Arc::new(Directory::new()),
    ))
}

/// A bar for files large enough to wait for, on a terminal.
fn progress_bar(size: u64) -> ProgressBar {
    if size < 1 << 20 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {binary_bytes}/{binary_total_bytes} {msg} {elapsed}",
    );
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
