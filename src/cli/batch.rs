//! `posgate batch`: how a terminal's batch stands, and closing one by force.

use std::process::ExitCode;

use hyper::Method;

use super::affairs::{self, Form};
use super::client::{self, Target, Version};
use crate::admin::escaped;

/// Batches of terminals.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show a batch: its totals, how they compared with the terminal's, what was uploaded, who closed it
    Show {
        /// Acquirer; - where the number of a binding follows
        acquirer: String,
        /// Terminal id (DE41), or behind - the number of its open binding
        terminal: String,
        /// An earlier batch instead of the open one
        #[arg(long, value_name = "NUMBER")]
        batch: Option<u32>,
        /// How the answer is shown
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// End a terminal's open batch by force
    ///
    /// For a terminal that cannot settle any more. Its requests in the old batch get 77; its next sign-on gets
    /// the next batch. Reversals are still served.
    Close {
        /// Acquirer; - where the number of a binding follows
        acquirer: String,
        /// Terminal id (DE41), or behind - the number of its open binding
        terminal: String,
        /// Who closes it, kept for good; who runs the command, or whose token it is, otherwise
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Why; kept for good
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// Close it only if this is the open batch
        #[arg(long, value_name = "NUMBER")]
        batch: Option<u32>,
        /// How the answer is shown
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
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
                terminal,
                batch,
                output,
                target,
            } => {
                let query = batch.map_or_else(String::new, |number| format!("?batch={number}"));
                let path = format!("{}{query}", path(&acquirer, &terminal));
                affairs::show(&target.running().await?.get_json(&path).await?, output)?;
                Ok(ExitCode::SUCCESS)
            }
            Verb::Close {
                acquirer,
                terminal,
                by,
                note,
                batch,
                output,
                target,
            } => {
                let gateway = target.running().await?;
                let path = format!("{}/close", path(&acquirer, &terminal));
                let body = serde_json::json!({ "by": by, "note": note, "batch": batch });
                let closed = gateway.change(Method::POST, &path, Version::None, &body);
                affairs::show(&closed.await?, output)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

fn path(acquirer: &str, terminal: &str) -> String {
    format!(
        "/v1/terminals/{}/{}/batch",
        escaped(acquirer),
        escaped(terminal)
    )
}
