//! `posgate protocol import`: a dialect file made of another program's.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::super::{check::report, output};
use crate::base::Counted;
use crate::base::limits;
use crate::iso8583::Dialect;
use crate::iso8583::import::{Source, import};

/// Makes a dialect of a jPOS packager (XML) or a moov-io iso8583 specification (JSON)
///
/// Which of them a file is, it says itself. What cannot be carried over is told with its place. What comes out
/// decodes and encodes; framing, requests and response codes are not in such files and are yours to add.
/// Exit 0: made (warnings may be printed). Exit 2: nothing was made, since the file cannot be read as one of them, or
/// dialect.toml is there or cannot be written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File of the other program
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder to make, with dialect.toml in it; its last part is the dialect's name
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Write over a dialect.toml that is there
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let text = read(&args.file)?;
    let Some(source) = Source::of(&text) else {
        output::error_line(format_args!(
            "posgate: {file} is neither XML of jPOS nor JSON of moov-io: it begins with neither < nor {{"
        ))?;
        return Ok(ExitCode::from(2));
    };
    let name = dialect_name(&args.output)?;
    let made = args.output.join("dialect.toml");
    if made.exists() && !args.force {
        bail!(
            "{} is there already; --force writes over it",
            made.display()
        );
    }
    let imported = match import(source, &file, &text, &name) {
        Ok(imported) => imported,
        Err(problems) => {
            report(&problems)?;
            return Ok(ExitCode::from(2));
        }
    };
    report(&imported.warnings)?;
    // What was written must hold what is promised of it.
    if let Err(problems) = Dialect::parse(&made.display().to_string(), &imported.text) {
        report(&problems)?;
        bail!("{file} gives a dialect that cannot be: change the fields above");
    }
    fs::create_dir_all(&args.output)
        .and_then(|()| fs::write(&made, &imported.text))
        .with_context(|| format!("{} cannot be written", made.display()))?;
    output::line(format_args!(
        "{}: {} of {}; `posgate protocol check {}` checks it",
        made.display(),
        Counted(imported.fields, "field"),
        source.name(),
        args.output.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The name that a dialect has by its folder: lower-case letters, digits and `-`.
fn dialect_name(folder: &Path) -> anyhow::Result<String> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        bail!(
            "a dialect is named by its folder, in lower-case letters, digits and -; write for example -o protocols/my-network"
        );
    }
    Ok(name.to_owned())
}

/// A file's text, when it is not longer than a dialect file may be.
fn read(file: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("{} cannot be read", file.display());
    let most = u64::try_from(limits::DOCUMENT_BYTES_MAX)?;
    let opened = fs::File::open(file).with_context(unreadable)?;
    let mut bytes = Vec::new();
    let read = opened.take(most.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.with_context(unreadable)?;
    if u64::try_from(read)? > most {
        bail!("{} is longer than {most} bytes", file.display());
    }
    // Old files are in Latin-1; only names of fields suffer.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
