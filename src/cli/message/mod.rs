//! `posgate message`: looking inside messages, making them, comparing them.

mod decode;
mod diff;
mod encode;
mod input;
mod table;

use std::process::ExitCode;

use crate::cli::output;

/// Look inside ISO 8583 messages, make them, compare them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Decode(decode::Args),
    Encode(encode::Args),
    Diff(diff::Args),
}

/// Exit code when a message is broken or does not fit its dialect, and of `diff` when two differ.
const FOUND: u8 = 1;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    #[default]
    Table,
    /// For other programs
    Json,
}

/// Language of names and texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

impl From<Lang> for crate::inspect::Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Self::En,
            Lang::Zh => Self::Zh,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When nothing can be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    output::or_trouble(match &args.verb {
        Verb::Decode(args) => decode::run(args),
        Verb::Encode(args) => encode::run(args),
        Verb::Diff(args) => diff::run(args),
    })
}
