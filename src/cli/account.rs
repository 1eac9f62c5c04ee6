//! `posgate account`: show a settlement account, set its status.

use std::process::ExitCode;

use serde_json::json;

use super::affairs::{Ask, With};
use crate::admin::escaped;

/// Settlement accounts.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show an account
    Show(With<Named>),
    /// Enter a settlement account, unverified
    Add(With<Add>),
    /// Say what happened to an account: verify, invalidate, freeze, unfreeze or close
    Event(With<Event>),
    /// Say which account gets what a closed one cannot be paid
    Release(With<Release>),
    /// Set an account's status, for every terminal that settles into it, at once
    ///
    /// By hand; `posgate account event` asks for evidence and a second person where money is to flow. A role that may
    /// stop accounts only stops them here.
    SetStatus(With<Status>),
}

/// An account by its names.
#[derive(Debug, clap::Args)]
struct Named {
    /// Acquirer
    acquirer: String,
    /// The acquirer's reference of the account
    account: String,
}

impl Named {
    fn path(&self) -> String {
        let (acquirer, account) = (escaped(&self.acquirer), escaped(&self.account));
        format!("/v1/accounts/{acquirer}/{account}")
    }
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    account: Named,
    /// unverified, verified, invalid, frozen or closed
    status: String,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Acquirer
    acquirer: String,
    /// The acquirer's own reference; never a card number
    account: String,
    /// Merchant id (DE42)
    merchant: String,
    /// bank-card, wechat or alipay
    kind: String,
}

#[derive(Debug, clap::Args)]
struct Event {
    #[command(flatten)]
    account: Named,
    /// verify, invalidate, freeze, unfreeze or close
    event: String,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Number of the evidence that another person filed; needed to verify and to unfreeze
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Release {
    /// The closed account
    #[command(flatten)]
    account: Named,
    /// Reference of a verified account of the same merchant
    to: String,
    /// Number of the evidence (release-suspense) that another person filed
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Show(with) => with.run(|named| Ok(Ask::See(named.path()))),
        Verb::Add(with) => with.run(|add| {
            let body = json!({
                "reference": add.account, "merchant_id": add.merchant, "kind": add.kind,
            });
            let path = format!("/v1/accounts/{}", escaped(&add.acquirer));
            Ok(Ask::Make(path, body))
        }),
        Verb::Event(with) => with.run(|asked| {
            let body = json!({
                "event": asked.event, "note": asked.note, "evidence": asked.evidence,
            });
            Ok(Ask::Do(format!("{}/events", asked.account.path()), body))
        }),
        Verb::Release(with) => with.run(|asked| {
            let body = json!({ "to": asked.to, "evidence": asked.evidence });
            Ok(Ask::Do(format!("{}/release", asked.account.path()), body))
        }),
        Verb::SetStatus(with) => with.run(|set| {
            let body = json!({ "status": set.status });
            Ok(Ask::Put(format!("{}/status", set.account.path()), body))
        }),
    }
}
