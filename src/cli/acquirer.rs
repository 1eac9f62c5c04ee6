//! `posgate acquirer`: who the acquirers are.

use std::process::ExitCode;

use serde_json::json;

use super::affairs::{Ask, Everything, With};
use crate::admin::escaped;

/// Acquirers and their licences.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the acquirers that listeners name or named
    List(With<Everything>),
    /// Show an acquirer
    Show(With<Named>),
    /// Say who an acquirer is, or what is known of it by now; what is not given stays
    Set(With<Set>),
}

/// An acquirer by the name that listeners call it by.
#[derive(Debug, clap::Args)]
struct Named {
    /// Acquirer
    acquirer: String,
}

impl Named {
    fn path(&self) -> String {
        format!("/v1/acquirers/{}", escaped(&self.acquirer))
    }
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    acquirer: Named,
    /// Name as its licence has it
    #[arg(long, default_value = "")]
    legal_name: String,
    /// Its number in the network, at most 11 digits (DE32)
    #[arg(long, value_name = "DIGITS", default_value = "")]
    institution: String,
    /// Number of its licence
    #[arg(long, value_name = "NUMBER", default_value = "")]
    licence: String,
    /// Last day of its licence, as 2030-12-31
    #[arg(long, value_name = "DATE", default_value = "")]
    licence_until: String,
}

/// Runs `posgate acquirer`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::List(with) => with.run(|_everything| Ok(Ask::See("/v1/acquirers".into()))),
        Verb::Show(with) => with.run(|named| Ok(Ask::See(named.path()))),
        Verb::Set(with) => with.run(|set| {
            let body = json!({
                "legal_name": set.legal_name, "institution": set.institution,
                "licence": set.licence, "licence_until": set.licence_until,
            });
            Ok(Ask::Put(set.acquirer.path(), body))
        }),
    }
}
