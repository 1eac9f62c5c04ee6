//! `posgate demo`: host, gateway and terminals on one machine, with faults, and the books compared at
//! the end.

mod report;
mod world;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use report::{Report, View};
use world::World;

/// Shows the whole gateway at work, without any set-up: a host that drops, duplicates and delays one
/// answer in a hundred each, the gateway with TLS, and a fleet of terminals of which some are unbound,
/// re-pending, suspended, frozen, or use another shop's number.
///
/// Ends by itself. Exit 0: the host's, the terminals' and the gateway's books agree to the cent, no
/// answer went astray, and every terminal was answered as its binding demands. Exit 1: anything else.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Trade so long
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Terminals
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=20_000))]
    terminals: u32,
    /// Requests a second over all terminals
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Where randomness starts
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Most time the terminals get to send their reversals, and the gateway its own.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs the command.
///
/// # Errors
/// When something of the demonstration cannot be started.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(play(args))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    report.print(args.json)?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn play(args: &Args) -> anyhow::Result<Report> {
    let mut world = World::start(args.terminals, args.rate, args.seed).await?;
    let live = !args.json && std::io::stdout().is_terminal();
    let mut view = View::new(live, args.json);
    view.begin(&world)?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    for second in 1..=args.seconds {
        ticks.tick().await;
        view.show(second, &world)?;
    }
    view.say("no new sales; terminals send their reversals")?;
    let settled = world.settle(SETTLE).await;
    view.say("comparing the books")?;
    let books = world.finish().await?;
    Ok(Report::new(args, settled, books))
}
