//! `posgate account`: show a settlement account, set its status.

use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Method;

use super::client::{self, Target};
use super::output;
use super::terminal::json_body;

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
            } => get(&target, &format!("/v1/accounts/{acquirer}/{account}")).await,
            Verb::SetStatus {
                acquirer,
                account,
                status,
                target,
            } => {
                let path = format!("/v1/accounts/{acquirer}/{account}/status");
                put(&target, &path, &serde_json::json!({ "status": status })).await
            }
        }
    })
}

/// Reads something from the running gateway and prints it.
pub(super) async fn get(target: &Target, path: &str) -> anyhow::Result<ExitCode> {
    let stream = target.running().await?;
    let response = client::call(stream, Method::GET, path, Empty::<Bytes>::new()).await?;
    print(&client::text_of(response).await?)
}

/// Changes something in the running gateway and prints what came of it.
pub(super) async fn put(
    target: &Target,
    path: &str,
    body: &serde_json::Value,
) -> anyhow::Result<ExitCode> {
    let stream = target.running().await?;
    let response = client::call(stream, Method::PUT, path, json_body(body)).await?;
    print(&client::text_of(response).await?)
}

pub(super) fn print(text: &str) -> anyhow::Result<ExitCode> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    output::line(format_args!("{value:#}"))?;
    Ok(ExitCode::SUCCESS)
}
