//! `posgate store`, `posgate backup`, `posgate restore`: the files of the store themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::output;
use crate::base::calendar::Civil;
use crate::base::{Clock, Counted, SystemClock};
use crate::config::{self, ConfigError};
use crate::security::DataKeys;
use crate::store::batch::BatchStep;
use crate::store::sqlite::{
    self, Anew, Finding, FolderLock, GivenUp, Report, SKIPPED_STANS, SqliteFolder, Stamp,
    UpkeepError,
};
use crate::store::{Intent, Outcome, Record};
use crate::switch::StoreChoice;
use crate::telemetry::log::chain;

/// Exit code for a store that is not sound.
const UNSOUND: u8 = 2;

/// The files of the store: check, repair, make the read model again, make new keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Read everything in the store and print what is wrong
    ///
    /// SQLite's own check of each file, checksum and sequence of every journal group, and what the files
    /// say of each other. Writes nothing and may run beside a gateway. Exit 0: sound. Exit 2: not sound.
    /// Exit 1: it could not be checked.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Mend what can be mended without losing money; the gateway must not run
    ///
    /// Files are copied aside first. The read model is made again from the journal. A journal whose end is
    /// torn is cut there only with --cut; damage that anything sound follows is not mended here.
    /// Exit 0: sound now. Exit 2: not sound. Exit 1: it could not be tried.
    Repair {
        #[command(flatten)]
        place: Place,
        /// Give up the torn end of the journal; what it held is printed
        #[arg(long)]
        cut: bool,
    },
    /// Make the read model again from the journal; the gateway must not run
    Rebuild {
        #[command(flatten)]
        place: Place,
    },
    /// Make a data key file in place of one that is lost for good
    ///
    /// Card numbers that were sealed with the lost one cannot be opened by anybody any more: reversals that
    /// need one cannot be made. A file that is there is never replaced.
    NewKeys {
        /// Configuration of the gateway, which says where the file is
        #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
        config: PathBuf,
    },
}

/// Which store.
#[derive(Debug, clap::Args)]
struct Place {
    /// Configuration of the gateway
    #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
    config: PathBuf,
    /// The store's folder, instead of the configured one
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Where a store and its keys are.
struct Found {
    folder: PathBuf,
    /// Known from a configuration only.
    keys: Option<PathBuf>,
}

impl Place {
    fn find(&self) -> anyhow::Result<Found> {
        if let Some(folder) = &self.store {
            return Ok(Found {
                folder: folder.clone(),
                keys: None,
            });
        }
        let config = match config::load(&self.config) {
            Ok(config) => config,
            Err(ConfigError::Problems(problems)) => {
                super::check::report(&problems)?;
                bail!(
                    "{} has mistakes; mend them first, or name the folder with --store",
                    self.config.display()
                );
            }
            Err(other) => {
                return Err(anyhow::Error::from(other).context("name the folder with --store, or"));
            }
        };
        let StoreChoice::Sqlite(folder) = config.switch.store;
        let keys = config
            .switch
            .data_key_file
            .unwrap_or_else(|| folder.join("data.keys"));
        Ok(Found {
            folder,
            keys: Some(keys),
        })
    }
}

/// Copies the store into a new folder, while the gateway works on it or not.
///
/// The copy is checked before the folder gets its name. The data keys are not in it: without them the card
/// numbers in it cannot be opened, so keep a copy of the key file elsewhere.
/// Exit 0: the backup is there and sound. Exit 2: the copy is not sound.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    place: Place,
    /// Folder to make
    #[arg(value_name = "TO_DIR")]
    to: PathBuf,
}

/// Puts a backup in place of the store; the gateway must not run.
///
/// The backup is checked first. Numbers that may have been given out after it are skipped. What happened
/// after it is not known here: compare with the host before terminals trade again.
/// Exit 0: the store is that of the backup. Exit 2: the backup is not sound, nothing was changed.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    place: Place,
    /// Move files that are there aside
    #[arg(long)]
    overwrite: bool,
    /// Folder of the backup
    #[arg(value_name = "FROM_DIR")]
    from: PathBuf,
}

/// Runs `posgate store`.
///
/// # Errors
/// When the store cannot be found, read or written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Check { place } => check(&place.find()?.folder),
        Verb::Repair { place, cut } => repair(&place.find()?.folder, *cut),
        Verb::Rebuild { place } => rebuild(&place.find()?.folder),
        Verb::NewKeys { config } => {
            let place = Place {
                config: config.clone(),
                store: None,
            };
            new_keys(&place.find()?)
        }
    }
}

/// Runs `posgate backup`.
///
/// # Errors
/// When the store cannot be found or read, or the copy not be written.
pub fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let found = args.place.find()?;
    must_be_there(&found.folder)?;
    let made_at = Civil::utc(SystemClock::new().wall());
    let made_at = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        made_at.year, made_at.month, made_at.day, made_at.hour, made_at.minute, made_at.second
    );
    let manifest = match sqlite::backup(&found.folder, &args.to, &made_at) {
        Ok(manifest) => manifest,
        Err(problem) => return failed(problem),
    };
    output::line(format_args!(
        "{}: {} up to {}, {}, {}; checked",
        args.to.display(),
        Counted(manifest.groups, "group"),
        manifest.last_sequence,
        Counted(manifest.transactions, "transaction"),
        Counted(manifest.bindings, "binding")
    ))?;
    let keys = found.keys.map_or_else(
        || "the data key file".into(),
        |keys| keys.display().to_string(),
    );
    output::line(format_args!(
        "without {keys}, which is not in it: keep a copy elsewhere, apart from the data"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `posgate restore`.
///
/// # Errors
/// When the store cannot be found or written.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let found = args.place.find()?;
    must_be_there(&args.from)?;
    let stamp = stamp();
    let restored = match sqlite::restore(&args.from, &found.folder, args.overwrite, &stamp) {
        Ok(restored) => restored,
        Err(problem) => return failed(problem),
    };
    let made_at = restored
        .manifest
        .map_or_else(|| "an unknown time".into(), |manifest| manifest.made_at);
    output::line(format_args!(
        "{}: as it was at {made_at}: {} up to {}, {}, {}",
        found.folder.display(),
        Counted(restored.report.groups, "group"),
        restored.report.last_sequence,
        Counted(restored.report.transactions, "transaction"),
        Counted(restored.report.bindings, "binding")
    ))?;
    if let Some(aside) = restored.aside {
        output::line(format_args!("what was there is in {}", aside.display()))?;
    }
    print_anew(&restored.anew, stamp.date)?;
    match found.keys {
        Some(keys) if !keys.exists() => output::line(format_args!(
            "{} is not there: put it back, the gateway does not start without it",
            keys.display()
        ))?,
        Some(_) | None => {}
    }
    output::line(format_args!(
        "not known here: approvals, reversals and batches after the backup. Compare with the host first"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path) -> anyhow::Result<ExitCode> {
    must_be_there(folder)?;
    let report = sqlite::check(folder);
    print_findings(folder, &report.findings, report.more)?;
    if !report.is_sound() {
        return Ok(ExitCode::from(UNSOUND));
    }
    print_sound(folder, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn repair(folder: &Path, cut: bool) -> anyhow::Result<ExitCode> {
    let (place, held) = take(folder)?;
    if !cut {
        // What would be given up is seen before anybody decides.
        let report = sqlite::check(folder);
        let torn = report.findings.iter().any(|f| f.mend == sqlite::Mend::Cut);
        if torn && let Ok(lost) = sqlite::given_up(folder, &report) {
            print_given_up(&lost, "would be given up")?;
        }
    }
    let stamp = stamp();
    let repaired = match sqlite::repair(&place, &held, cut, &stamp) {
        Ok(repaired) => repaired,
        Err(problem) => return failed(problem),
    };
    for done in &repaired.done {
        output::line(format_args!("{done}"))?;
    }
    if let Some(lost) = &repaired.given_up {
        print_given_up(lost, "are given up")?;
    }
    if let Some(anew) = &repaired.anew {
        print_anew(anew, stamp.date)?;
    }
    if let Some(aside) = &repaired.aside {
        output::line(format_args!(
            "the files as they were are in {}",
            aside.display()
        ))?;
    }
    let report = sqlite::check(folder);
    print_findings(folder, &report.findings, report.more)?;
    if !report.is_sound() {
        return Ok(ExitCode::from(UNSOUND));
    }
    print_sound(folder, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn rebuild(folder: &Path) -> anyhow::Result<ExitCode> {
    let (place, held) = take(folder)?;
    let rebuilt = match sqlite::rebuild(&place, &held, &stamp()) {
        Ok(rebuilt) => rebuilt,
        Err(problem) => return failed(problem),
    };
    output::line(format_args!(
        "readmodel.db: {} from {}",
        Counted(rebuilt.transactions, "transaction"),
        Counted(rebuilt.groups, "group")
    ))?;
    if rebuilt.taken_over > 0 {
        output::line(format_args!(
            "of them from the read model before, older than the journal: {}",
            rebuilt.taken_over
        ))?;
    }
    if let Some(problem) = rebuilt.problem {
        output::line(format_args!(
            "transactions older than the journal are not in it: {problem}"
        ))?;
    }
    if let Some(aside) = rebuilt.aside {
        output::line(format_args!("the one before is in {}", aside.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn new_keys(found: &Found) -> anyhow::Result<ExitCode> {
    let Some(keys) = &found.keys else {
        bail!("only a configuration says where the data key file is");
    };
    if keys.exists() {
        bail!("{} is there already", keys.display());
    }
    let (_place, _held) = take(&found.folder)?;
    drop(DataKeys::load_or_create(keys)?);
    output::line(format_args!(
        "{} is made; what the lost one sealed cannot be opened",
        keys.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn must_be_there(folder: &Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    bail!("{} is no folder", folder.display())
}

fn take(folder: &Path) -> anyhow::Result<(SqliteFolder, FolderLock)> {
    must_be_there(folder)?;
    let place = SqliteFolder::open(folder)
        .with_context(|| format!("{} cannot be used", folder.display()))?;
    let held = place
        .lock()
        .with_context(|| format!("{} cannot be taken", folder.display()))?;
    Ok((place, held))
}

/// Now, and the business date in the local zone.
fn stamp() -> Stamp {
    let at = SystemClock::new().wall();
    let micros = i64::try_from(at.0).unwrap_or(0);
    let offset = jiff::Timestamp::from_microsecond(micros).map_or(0, |now| {
        jiff::tz::TimeZone::system().to_offset(now).seconds()
    });
    let local = Civil::local(at, offset);
    let date = u32::try_from(local.year).unwrap_or(0) * 10_000
        + u32::from(local.month) * 100
        + u32::from(local.day);
    Stamp {
        name: format!("{date}-{}", at.0),
        at,
        date,
    }
}

fn failed(problem: UpkeepError) -> anyhow::Result<ExitCode> {
    match problem {
        UpkeepError::Unsound { place, findings } => {
            print_findings(Path::new(&place), &findings, 0)?;
            Ok(ExitCode::from(UNSOUND))
        }
        other => bail!("{}", chain(&other)),
    }
}

fn print_findings(folder: &Path, findings: &[Finding], more: u64) -> std::io::Result<()> {
    for finding in findings {
        output::error_line(format_args!(
            "{}: {}; {}",
            folder.join(finding.file.name()).display(),
            finding.what,
            finding.mend.advice()
        ))?;
    }
    if !findings.is_empty() {
        let all = findings.len() as u64 + more;
        output::error_line(format_args!("{}", Counted(all, "finding")))?;
    }
    Ok(())
}

fn print_sound(folder: &Path, report: &Report) -> std::io::Result<()> {
    output::line(format_args!(
        "{}: sound: {} up to {}, {}, projected up to {}; {}, {}",
        folder.display(),
        Counted(report.groups, "group"),
        report.last_sequence,
        Counted(report.records, "record"),
        report.mark,
        Counted(report.transactions, "transaction"),
        Counted(report.bindings, "binding")
    ))
}

/// Group by group, what a torn end held.
fn print_given_up(lost: &GivenUp, verb: &str) -> std::io::Result<()> {
    for (first, last) in &lost.groups {
        output::line(format_args!("journal groups {first} to {last} {verb}"))?;
    }
    for record in &lost.records {
        match record {
            Record::Intent(intent) => print_intent(intent)?,
            Record::Outcome(outcome) => print_outcome(outcome)?,
            Record::Intervention(done) => output::line(format_args!(
                "  transaction {}: {} by {}: {}",
                done.txn.0,
                done.verb.name(),
                done.name.as_str(),
                done.note.as_str()
            ))?,
            Record::Tombstone { key, stan, .. } => output::line(format_args!(
                "  a reversal of an unknown original: terminal {}, STAN {stan}",
                key.terminal
            ))?,
            Record::SignedOn { key, batch, .. } | Record::SignedOff { key, batch, .. } => {
                output::line(format_args!(
                    "  terminal {}: batch {}",
                    key.terminal,
                    batch.get()
                ))?;
            }
            Record::Batch(record) => output::line(format_args!(
                "  terminal {}: batch {} was {}",
                record.key.terminal,
                record.batch.get(),
                match record.step {
                    BatchStep::Settled(_) => "compared",
                    BatchStep::Uploaded(_) => "uploaded in part",
                    BatchStep::Closed(_) => "closed",
                }
            ))?,
            Record::StanBlock { group, end, .. } => {
                output::line(format_args!("  group {group}: STANs up to {end}"))?;
            }
        }
    }
    for shown in &lost.shown {
        output::line(format_args!(
            "  the read model shows and keeps transaction {}: {} {} at terminal {}, STAN {:06}, {}",
            shown.txn,
            shown.amount,
            shown.currency,
            shown.terminal,
            shown.stan,
            shown.outcome.as_deref().unwrap_or("open")
        ))?;
    }
    if lost.unreadable > 0 {
        output::line(format_args!(
            "  nothing can be read of {} of these groups",
            lost.unreadable
        ))?;
    }
    Ok(())
}

/// How a store goes on after a loss.
fn print_anew(anew: &Anew, date: u32) -> std::io::Result<()> {
    output::line(format_args!(
        "transactions are numbered from {} on, and own STANs of {date} begin {SKIPPED_STANS} later",
        anew.last_txn + 1
    ))?;
    for one in &anew.unknown {
        output::line(format_args!(
            "  not known how it ended: transaction {}, {} of {} {} at terminal {}, STAN {:06}, towards {}",
            one.txn, one.request, one.amount, one.currency, one.terminal, one.stan, one.group
        ))?;
    }
    if !anew.unknown.is_empty() {
        output::line(format_args!(
            "in flight there: {}, not reversed, and parked with code ?? and nothing booked. Ask the host",
            Counted(anew.unknown.len(), "transaction")
        ))?;
    }
    Ok(())
}

fn print_intent(intent: &Intent<'_>) -> std::io::Result<()> {
    output::line(format_args!(
        "  transaction {}: {} of {} {} at terminal {}, STAN {}, towards {}",
        intent.txn.0,
        intent.request,
        intent.amount.minor,
        intent.amount.currency,
        intent.key.terminal,
        intent.stan,
        intent.group
    ))
}

fn print_outcome(outcome: &Outcome) -> std::io::Result<()> {
    output::line(format_args!(
        "  transaction {}: {}, booked {}",
        outcome.txn.0,
        outcome.kind.name(),
        outcome.booked
    ))
}
