//! `posgate account`: show a settlement account, set its status.

use std::process::ExitCode;

use hyper::Method;
use serde_json::json;

use super::affairs::{Ask, With};
use super::client::{self, Target};
use super::inquire;
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
    Show {
        /// Acquirer
        acquirer: String,
        /// The acquirer's reference of the account
        account: String,
        #[command(flatten)]
        target: Target,
    },
    /// Enter a settlement account, unverified
    Add(With<Add>),
    /// Say what happened to an account: verify, invalidate, freeze, unfreeze or close
    Event(With<Event>),
    /// Say which account gets what a closed one cannot be paid
    Release(With<Release>),
    /// Set an account's status, for every terminal that settles into it, at once
    SetStatus {
        /// Acquirer
        acquirer: String,
        /// The acquirer's reference of the account
        account: String,
        /// unverified, verified, invalid, frozen or closed
        status: String,
        /// Only if the account still has this version
        #[arg(long, value_name = "NUMBER")]
        version: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
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
    /// Acquirer
    acquirer: String,
    /// The acquirer's reference of the account
    account: String,
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
    /// Acquirer
    acquirer: String,
    /// Reference of the closed account
    account: String,
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
    let verb = match args.verb {
        Verb::Add(with) => {
            return with.run(|add| {
                let body = json!({
                    "reference": add.account, "merchant_id": add.merchant, "kind": add.kind,
                });
                let path = format!("/v1/accounts/{}", escaped(&add.acquirer));
                Ok(Ask::Make(path, body))
            });
        }
        Verb::Event(with) => {
            return with.run(|asked| {
                let body = json!({
                    "event": asked.event, "note": asked.note, "evidence": asked.evidence,
                });
                let path = format!("{}/events", path(&asked.acquirer, &asked.account));
                Ok(Ask::Do(path, body))
            });
        }
        Verb::Release(with) => {
            return with.run(|asked| {
                let body = json!({ "to": asked.to, "evidence": asked.evidence });
                let path = format!("{}/release", path(&asked.acquirer, &asked.account));
                Ok(Ask::Do(path, body))
            });
        }
        other @ (Verb::Show { .. } | Verb::SetStatus { .. }) => other,
    };
    client::block_on(async move {
        match verb {
            Verb::Add(_) | Verb::Event(_) | Verb::Release(_) => {}
            Verb::Show {
                acquirer,
                account,
                target,
            } => {
                let gateway = target.running().await?;
                inquire::print(&gateway.get_json(&path(&acquirer, &account)).await?)?;
            }
            Verb::SetStatus {
                acquirer,
                account,
                status,
                version,
                target,
            } => {
                let path = format!("{}/status", path(&acquirer, &account));
                let body = json!({ "status": status });
                let gateway = target.running().await?;
                let changed = gateway.change(Method::PUT, &path, version.into(), &body);
                inquire::print(&changed.await?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn path(acquirer: &str, account: &str) -> String {
    format!("/v1/accounts/{}/{}", escaped(acquirer), escaped(account))
}
