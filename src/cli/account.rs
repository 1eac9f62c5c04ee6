//! `posgate account`: show a settlement account, set its status.

use std::process::ExitCode;

use hyper::Method;
use serde_json::json;

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

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::block_on(async move {
        match args.verb {
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
