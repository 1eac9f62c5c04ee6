//! `posgate protocol`: dialect files looked at, checked and made.

mod check;
mod import;

use std::process::ExitCode;

use clap::Subcommand;

use super::output;
use crate::iso8583::Dialect;

/// Lists, checks and imports dialects: what the gateway knows of each kind of message.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List,
    Check(check::Args),
    Import(import::Args),
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, or nothing can be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List => list(),
        Command::Check(args) => check::run(args),
        Command::Import(args) => import::run(args),
    }
}

/// Lists the dialects that are part of the program.
fn list() -> anyhow::Result<ExitCode> {
    let rows: Vec<_> = Dialect::shipped_names()
        .iter()
        .filter_map(|name| Dialect::shipped(name))
        .map(|dialect| {
            vec![
                dialect.name().to_owned(),
                if dialect.serves() {
                    "serves"
                } else {
                    "decodes"
                }
                .to_owned(),
                dialect.fields().len().to_string(),
                dialect.title().to_owned(),
            ]
        })
        .collect();
    output::table(&["NAME", "USE", "FIELDS", "TITLE"], &rows)?;
    Ok(ExitCode::SUCCESS)
}
