//! `posgate check`: every mistake of a configuration, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output;
use crate::base::Counted;
use crate::base::document::{Problem, Severity};
use crate::config::{self, ConfigError};

/// Checks a configuration file and everything it names, without starting anything.
///
/// Prints every mistake with file, line and column. Exit 0: sound (warnings may be printed). Exit 2: mistakes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "posgate.toml")]
    config: PathBuf,
    /// Treat warnings as mistakes
    #[arg(long)]
    deny_warnings: bool,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (problems, mut sound) = match config::load(&args.config) {
        Ok(config) => (config.warnings, true),
        Err(ConfigError::Problems(problems)) => (problems, false),
        Err(ConfigError::Read { path, source }) => {
            output::error_line(format_args!("{path} cannot be read: {source}"))?;
            return Ok(ExitCode::from(2));
        }
    };
    report(&problems)?;
    sound &= !args.deny_warnings || problems.is_empty();
    if sound {
        output::line(format_args!("{}: sound", args.config.display()))?;
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

/// Prints problems, and how many there are.
pub(super) fn report(problems: &[Problem]) -> std::io::Result<()> {
    for problem in problems {
        output::error_line(format_args!("{problem}"))?;
    }
    let mistakes = problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .count();
    let warnings = problems.len() - mistakes;
    if !problems.is_empty() {
        output::error_line(format_args!(
            "{}, {}",
            Counted(mistakes, "mistake"),
            Counted(warnings, "warning")
        ))?;
    }
    Ok(())
}
