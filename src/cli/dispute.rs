//! `posgate dispute`: what cards' holders and issuers contest.

use std::process::ExitCode;

use serde_json::json;

use super::affairs::{Ask, Listed, With};

/// Transactions that are contested.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List open disputes, newest first
    List(With<Listed<Which>>),
    /// Record that a transaction is contested
    Open(With<New>),
    /// Record how a dispute ended
    Close(With<Ended>),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Those that are over too
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct New {
    /// Number of the transaction
    transaction: u64,
    /// The network's or the issuer's reference of it
    reference: String,
    /// What is contested
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Ended {
    /// Number of the dispute
    dispute: u64,
    /// won (the merchant keeps the money), lost (it went back) or withdrawn
    end: String,
    /// How it ended
    #[arg(long)]
    note: String,
}

/// Runs the command.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::List(with) => with.run(|list| {
            let all = if list.of.all { "?all=true" } else { "" };
            Ok(Ask::See(list.page.of(&format!("/v1/disputes{all}"))))
        }),
        Verb::Open(with) => with.run(|new| {
            let body = json!({
                "transaction": new.transaction, "reference": new.reference, "note": new.note,
            });
            Ok(Ask::Make("/v1/disputes".into(), body))
        }),
        Verb::Close(with) => with.run(|ended| {
            let path = format!("/v1/disputes/{}/close", ended.dispute);
            Ok(Ask::Do(
                path,
                json!({ "end": ended.end, "note": ended.note }),
            ))
        }),
    }
}
