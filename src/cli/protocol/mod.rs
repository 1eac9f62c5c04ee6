//! `posgate protocol`: dialect files looked at, checked and made.

mod check;
mod import;

use std::process::ExitCode;

use clap::Subcommand;

use super::dialects::Known;
use super::output;

/// Lists, checks and imports dialects: what the gateway knows of each kind of message.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Check(check::Args),
    Import(import::Args),
}

/// Lists the dialects that are part of the program, and those of a folder
///
/// USE is `serves` where the file says enough of requests and answers for a gateway, `decodes` where it serves to look
/// into messages and to write them. A dialect of the folder that has the name of a shipped one stands in its place.
/// Exit 0, or 2 if the folder or a dialect in it cannot be read.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    known: Known,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    output::or_trouble(match &args.command {
        Command::List(args) => list(args),
        Command::Check(args) => check::run(args),
        Command::Import(args) => import::run(args),
    })
}

fn list(args: &List) -> anyhow::Result<ExitCode> {
    let rows: Vec<_> = args
        .known
        .all()?
        .into_iter()
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
