//! `posgate simulate`: the switch in simulated worlds, each drawn from a seed.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::output;
use crate::base::{Counted, Moment};
use crate::sim::process::Process;
use crate::sim::world::{self, Finding, Summary};

/// Runs the switch in simulated worlds: virtual time, lines that break, a host and terminals that misbehave, syncs
/// that fail, a process that is killed. Looks for money lost or doubled and for broken promises.
///
/// Each seed is a world of 10 terminals and 200 requests with rates of its own; first everything goes wrong, then all
/// heals and must come to its end. The same seed gives the same world. Exit 0: nothing was found. Exit 1: something
/// was; the seeds are named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Worlds to run
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    seeds: u64,
    /// First seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    from: u64,
    /// Run this one world and tell all that happens in it
    #[arg(long, value_name = "SEED", env = "SIM_SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Stop at the first finding
    #[arg(long)]
    first: bool,
    /// Threads; one for each CPU if not given
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// Seeds with a finding that are told; the others are counted.
const TOLD_MAX: usize = 20;

/// What many worlds came to.
#[derive(Debug, Default)]
struct Total {
    worlds: u64,
    summary: Summary,
    found: Vec<(u64, Moment, Finding)>,
    found_count: u64,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(seed) = args.seed {
        return replay(seed);
    }
    let threads = args.threads.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    });
    let next = AtomicU64::new(args.from);
    let end = args.from.saturating_add(args.seeds);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut own = Total::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    own.add(seed, world::run(seed));
                    if args.first && own.found_count > 0 {
                        next.store(end, Ordering::Relaxed);
                    }
                }
                total
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .merge(own);
            });
        }
    });
    let mut total = total
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    total.found.sort_by_key(|(seed, ..)| *seed);
    report(args, &total)?;
    Ok(if total.found_count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn replay(seed: u64) -> anyhow::Result<ExitCode> {
    let mut told = Ok(());
    let ended = world::run_traced(seed, &mut |at, what| {
        if told.is_ok() {
            let (seconds, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
            told = output::line(format_args!("{seconds:>5}.{micros:06} {what}"));
        }
    });
    told?;
    match ended {
        Ok(summary) => {
            output::line(format_args!("seed {seed}: nothing found; {summary:?}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err((at, finding)) => {
            output::line(format_args!("seed {seed}: {finding} after {} us", at.0))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn report(args: &Args, total: &Total) -> anyhow::Result<()> {
    let Summary {
        requests,
        approved,
        reversed,
        repeats,
        crashes,
        links_lost,
        changes,
        decisions,
        seconds,
    } = total.summary;
    for (seed, at, finding) in &total.found {
        output::error_line(format_args!(
            "seed {seed}: {finding} after {} us; `posgate simulate --seed {seed}` tells how",
            at.0
        ))?;
    }
    let cpu = Process::own().cpu_time().unwrap_or_default().as_micros();
    let each = cpu / u128::from(total.worlds.max(1));
    if args.json {
        return Ok(output::line(format_args!(
            "{}",
            json!({
                "worlds": total.worlds,
                "found": total.found_count,
                "seeds_with_findings": total.found.iter().map(|(seed, ..)| seed).collect::<Vec<_>>(),
                "requests": requests,
                "approved": approved,
                "reversed": reversed,
                "repeats": repeats,
                "crashes": crashes,
                "links_lost": links_lost,
                "changes": changes,
                "decisions": decisions,
                "virtual_seconds": seconds,
                "cpu_micros_each": u64::try_from(each).unwrap_or(u64::MAX),
            })
        ))?);
    }
    output::line(format_args!(
        "{}, {} with a finding: {}, {approved} approved, {reversed} reversed, {}, \
         {crashes} crashes, {} lost, {} by the operator, {} about exceptions, {seconds} s of virtual time; {each} us of CPU each",
        Counted(total.worlds, "world"),
        total.found_count,
        Counted(requests, "request"),
        Counted(repeats, "repeat"),
        Counted(links_lost, "link"),
        Counted(changes, "change"),
        Counted(decisions, "decision")
    ))?;
    Ok(())
}

impl Total {
    fn add(&mut self, seed: u64, ended: Result<Summary, (Moment, Finding)>) {
        self.worlds += 1;
        match ended {
            Ok(summary) => self.summary.add(&summary),
            Err((at, finding)) => {
                self.found_count += 1;
                if self.found.len() < TOLD_MAX {
                    self.found.push((seed, at, finding));
                }
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.summary.add(&other.summary);
        self.found_count += other.found_count;
        self.found.extend(other.found);
        self.found.truncate(TOLD_MAX);
    }
}
