//! `posgate limit`: how much a terminal, an account or a merchant may take on a day and in a month.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

use super::affairs::{Ask, With};
use crate::admin::escaped;

/// How much a terminal, an account or a merchant may take on a day and in a month.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show a limit, and what was taken of it today and this month
    Show(With<Of>),
    /// Set a limit: what is not named is not limited. To let more through needs evidence (raise-limit) that somebody
    /// else filed
    Set(With<Set>),
}

/// What a limit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// One terminal, and whatever device takes its place
    Terminal,
    /// A settlement account, with all terminals that settle into it
    Account,
    /// A merchant, with all others that showed the same identity document
    Merchant,
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Account => "account",
            Self::Merchant => "merchant",
        }
    }
}

#[derive(Debug, clap::Args)]
struct Of {
    /// What it is of
    scope: Scope,
    /// Acquirer; - where the number of a binding follows
    acquirer: String,
    /// Terminal id (DE41) or behind - the number of its open binding, reference of the account, or merchant id (DE42)
    name: String,
}

impl Of {
    fn path(&self) -> String {
        let (acquirer, name) = (escaped(&self.acquirer), escaped(&self.name));
        format!("/v1/limits/{}/{acquirer}/{name}", self.scope.name())
    }
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    of: Of,
    /// Currency of the amounts, as in DE49: 156 for the yuan
    #[arg(long, default_value = "")]
    currency: String,
    /// Most on a day, in the currency's smallest unit
    #[arg(long, value_name = "AMOUNT")]
    day_amount: Option<u64>,
    /// Most transactions on a day
    #[arg(long, value_name = "NUMBER")]
    day_count: Option<u64>,
    /// Most in a month, in the currency's smallest unit
    #[arg(long, value_name = "AMOUNT")]
    month_amount: Option<u64>,
    /// Most transactions in a month
    #[arg(long, value_name = "NUMBER")]
    month_count: Option<u64>,
    /// Why; not needed with evidence, which says it
    #[arg(long, default_value = "")]
    note: String,
    /// Number of the evidence (raise-limit), where more may be taken than before
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Show(with) => with.run(|of| Ok(Ask::See(of.path()))),
        Verb::Set(with) => with.run(|set| {
            let body = json!({
                "currency": set.currency,
                "day_amount": set.day_amount, "day_count": set.day_count,
                "month_amount": set.month_amount, "month_count": set.month_count,
                "note": set.note, "evidence": set.evidence,
            });
            Ok(Ask::Put(set.of.path(), body))
        }),
    }
}
