//! `posgate trial`: kills the real gateway under load, again and again, and compares the books.

mod books;
mod gateway;
mod operator;
mod report;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::host::duration;
use crate::base::failpoint;
use world::World;

/// Puts the gateway on trial: starts `posgate serve` with TLS and a store on disk between a simulated host and a
/// fleet of terminals, and kills it with SIGKILL at random moments, also while it starts and recovers. Starts it
/// again at once each time. In between it is stopped for a while (SIGSTOP) and drained (SIGTERM), and an operator
/// changes bindings all the while.
///
/// At the end the host heals, everything comes to its end, and the books of terminals, host and journal are
/// compared row by row. Exit 0: nothing was lost, doubled or left open. Exit 1: something was; the store and the
/// gateway's log are kept.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Args {
    /// Kills
    #[arg(long, value_name = "NUMBER", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    kills: u32,
    /// Drains with SIGTERM in between
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    drains: u32,
    /// Times that the process is stopped with SIGSTOP in between
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    stops: u32,
    /// How long it is stopped each time
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    stop: Duration,
    /// Terminals
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    terminals: u32,
    /// Requests a second over all terminals
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The gateway gives the host STANs of its own; books are then compared by terminal and not by row
    #[arg(long)]
    own_stans: bool,
    /// End the process at each fail point in turn, the first three times it is passed, instead of killing it at
    /// random moments. Needs a build with the feature `failpoints`
    #[arg(long)]
    points: bool,
    /// A variable of the gateway's environment, for libraries that are loaded into it (libfaketime, libfiu); may be
    /// repeated. Its last life is without
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The gateway may end by itself, as it must when its disk fails: it is started again, and that is counted
    #[arg(long)]
    may_end: bool,
    /// An older posgate that has the first half of the lives; this one takes its store over from a kill. Books are
    /// compared over both
    #[arg(long, value_name = "PROGRAM", conflicts_with = "points")]
    upgrade_from: Option<PathBuf>,
    /// Where randomness starts. Moments are not repeated exactly: it is a real process
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Empty folder for configuration, store and log, which are kept; a temporary one if not given
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// One JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
}

fn variable(text: &str) -> anyhow::Result<(String, String)> {
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = named.context("a variable is written as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// When something of the trial cannot be started, or the gateway ends by itself.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.points && !failpoint::BUILT_IN {
        bail!("this build has no fail points; build it with `cargo build --features failpoints`");
    }
    let temporary = tempfile::Builder::new()
        .prefix("posgate-trial-")
        .tempdir()?;
    let folder = match &args.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            if std::fs::read_dir(folder)?.next().is_some() {
                bail!("{} is not empty", folder.display());
            }
            folder.clone()
        }
        None => temporary.path().to_owned(),
    };
    if let Some(older) = &args.upgrade_from
        && !older.is_file()
    {
        bail!("{} is no program", older.display());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let tried = runtime.block_on(World::play(args, &folder));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let good = match &tried {
        Ok(report) => {
            report.print(args.json)?;
            report.is_good()
        }
        Err(_) => false,
    };
    if !good && args.folder.is_none() {
        let kept = temporary.keep();
        super::output::error_line(format_args!(
            "store and log of the gateway are kept in {}",
            kept.display()
        ))?;
    }
    tried?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
