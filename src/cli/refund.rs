//! `posgate refund`: give back what a terminal took that cannot refund it itself.

use std::process::ExitCode;

use serde_json::json;

use super::affairs::{Ask, Everything, Listed, With};

/// Refunds without the terminal, by two persons.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List refunds that staff asked for, newest first
    List(With<Listed<Everything>>),
    /// Show one, and what became of it
    Show(With<Which>),
    /// Ask for a refund; another person approves it within a week
    Ask(With<New>),
    /// Approve what another person asked for, and send it
    ///
    /// Where it was approved and could not be sent, it is sent by approving it once more: it is taken once.
    Approve(With<Decided>),
    /// Refuse it, or take it back
    Refuse(With<Decided>),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Number of the refund
    refund: u64,
}

#[derive(Debug, clap::Args)]
struct New {
    /// Number of the transaction that is given back
    transaction: u64,
    /// How much, in the currency's smallest unit
    #[arg(long)]
    amount: u64,
    /// Why
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Decided {
    /// Number of the refund
    refund: u64,
    /// What is said of it; whoever refuses has to say why
    #[arg(long, default_value = "")]
    note: String,
}

/// Runs the command.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let decide = |said: &Decided, verb: &str| {
        let path = format!("/v1/refunds/{}/{verb}", said.refund);
        Ok(Ask::Do(path, json!({ "note": said.note })))
    };
    match args.verb {
        Verb::List(with) => with.run(|list| Ok(Ask::See(list.page.of("/v1/refunds")))),
        Verb::Show(with) => with.run(|which| Ok(Ask::See(format!("/v1/refunds/{}", which.refund)))),
        Verb::Ask(with) => with.run(|new| {
            let body = json!({
                "transaction": new.transaction, "amount": new.amount, "note": new.note,
            });
            Ok(Ask::Make("/v1/refunds".into(), body))
        }),
        Verb::Approve(with) => with.run(|said| decide(&said, "approve")),
        Verb::Refuse(with) => with.run(|said| decide(&said, "refuse")),
    }
}
