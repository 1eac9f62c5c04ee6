//! `posgate exception`: list, show, resend, close.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{self, Gateway, Target, Version};
use super::transaction::{plain, print_field};
use super::{inquire, output};
use crate::admin::escaped;
use crate::admin::exceptions::{self, Asked, Present};
use crate::admin::inquiry::Inquiry;
use crate::base::{Clock, SystemClock, TxnId, limits};
use crate::store::Verb as Decision;

/// What is parked until a person decides.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what is parked, the oldest first
    ///
    /// Asks the running gateway, or its store when none runs: how often something was sent only the gateway
    /// knows that sent it.
    List {
        /// Only what is owed to this upstream group
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        /// Go on where the page before ended
        #[arg(long)]
        cursor: Option<String>,
        /// Exceptions of a page, 1 to 1000
        #[arg(long, value_name = "NUMBER")]
        limit: Option<String>,
        /// How to show it
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show one that is parked, or that a person decided about
    Show {
        /// The transaction's number
        transaction: u64,
        /// How to show it
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Send what is owed again, as often as the first time
    Resend {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        target: Target,
    },
    /// End it: nothing more is sent, and settlement counts it as reversed
    ///
    /// Only after it was settled with the acquirer that nothing is booked there: the gateway does not ask.
    Close {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        target: Target,
    },
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// One JSON document, as the API gives it
    Json,
}

/// What is decided about, and who decides.
#[derive(Debug, clap::Args)]
struct Which {
    /// Numbers of transactions
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    transactions: Vec<u64>,
    /// All that is parked towards a group
    #[arg(long, requires = "group")]
    all: bool,
    /// Group that --all means
    #[arg(long, value_name = "NAME", requires = "all")]
    group: Option<String>,
    /// How many --all has to find; otherwise nothing is done
    #[arg(long, value_name = "NUMBER", requires = "all")]
    count: Option<u64>,
    /// Who decides; who runs the command, or whose token it is, otherwise
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Why: one line, without card numbers
    #[arg(long, value_name = "TEXT")]
    note: String,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::block_on(async move {
        match args.verb {
            Verb::List {
                group,
                cursor,
                limit,
                output,
                target,
            } => {
                let asked = Asked {
                    group,
                    cursor,
                    limit,
                };
                list(&asked, output, &target).await
            }
            Verb::Show {
                transaction,
                output,
                target,
            } => show(transaction, output, &target).await,
            Verb::Resend { which, target } => decide(Decision::Resend, &which, &target).await,
            Verb::Close { which, target } => decide(Decision::Close, &which, &target).await,
        }
    })
}

/// The address of a page.
fn address(asked: &Asked) -> String {
    let given = [
        ("group", &asked.group),
        ("cursor", &asked.cursor),
        ("limit", &asked.limit),
    ];
    let pairs: Vec<_> = given
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_deref()?))))
        .collect();
    format!("/v1/exceptions?{}", pairs.join("&"))
}

/// Without a gateway nobody knows how often something was sent.
fn offline() -> Present<'static> {
    Present {
        now: SystemClock::new().wall(),
        attempts: &|_| None,
    }
}

async fn list(asked: &Asked, form: Form, target: &Target) -> anyhow::Result<ExitCode> {
    let direct = |inquiry: &mut Inquiry| exceptions::page(inquiry, asked, &offline());
    let page = inquire::ask(target, &address(asked), direct).await?;
    if form == Form::Json {
        inquire::print(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = page["exceptions"].as_array().map(Vec::as_slice);
    let rows: Vec<_> = rows.unwrap_or_default().iter().map(row_of).collect();
    output::table(&HEADER, &rows)?;
    if let Some(next) = page["next"].as_str() {
        let count = &page["count"];
        output::error_line(format_args!(
            "{count} in all, there is more: --cursor {next}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 13] = [
    "NUMBER", "OWED", "GROUP", "PARKED", "AGE", "ATTEMPTS", "CODE", "TERMINAL", "MERCHANT",
    "ACCOUNT", "REQUEST", "AMOUNT", "CUR",
];

fn row_of(shown: &Value) -> Vec<String> {
    let text = |name: &str| plain(&shown[name]);
    vec![
        text("transaction"),
        text("owed"),
        text("group"),
        text("parked_at").chars().take(19).collect(),
        shown["age_seconds"].as_u64().map_or_else(String::new, age),
        text("attempts"),
        text("last_code"),
        text("terminal_id"),
        text("merchant_id"),
        text("account_id"),
        text("request"),
        plain(&shown["amount"]["text"]),
        plain(&shown["amount"]["currency"]),
    ]
}

/// Seconds in the two largest units that say something.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days}d {}h", hours % 24),
        (0, 1.., _) => format!("{hours}h {}m", minutes % 60),
        (0, 0, 1..) => format!("{minutes}m"),
        (0, 0, 0) => format!("{seconds}s"),
    }
}

async fn show(number: u64, form: Form, target: &Target) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/exceptions/{number}");
    let direct = |inquiry: &mut Inquiry| exceptions::one(inquiry, TxnId(number), &offline());
    let shown = inquire::ask(target, &path, direct).await?;
    if form == Form::Json {
        inquire::print(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let fields = shown.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !name.ends_with("_us")) {
        print_field(name, value)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Decides about each, one after the other, and says of each what came of it.
async fn decide(verb: Decision, which: &Which, target: &Target) -> anyhow::Result<ExitCode> {
    // A gateway has to run: what is resent goes over its links, and what is closed it must no longer take a
    // terminal's reversal for.
    let gateway = target.running().await;
    let gateway = gateway.context("only a running gateway resends and closes")?;
    let numbers = match &which.group {
        Some(group) => all_of(group, which.count, &gateway).await?,
        None => which.transactions.clone(),
    };
    let body = json!({ "name": which.name, "note": which.note });
    let mut refused = 0;
    for number in numbers {
        match decide_one(verb, number, &body, &gateway).await {
            Ok(told) => output::line(format_args!("{number} {told}"))?,
            Err(problem) => {
                refused += 1;
                output::error_line(format_args!("{number} not done: {problem:#}"))?;
            }
        }
    }
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn decide_one(
    verb: Decision,
    number: u64,
    body: &Value,
    gateway: &Gateway,
) -> anyhow::Result<String> {
    let path = format!("/v1/exceptions/{number}/{}", verb.name());
    let told = gateway
        .change(Method::POST, &path, Version::None, body)
        .await?;
    let done = match verb {
        Decision::Resend => "resent",
        Decision::Close => "closed",
    };
    let before = &told["intervention"];
    Ok(if before.is_null() {
        done.to_owned()
    } else {
        let [at, name] = ["at", "name"].map(|key| plain(&before[key]));
        format!(
            "was {done} already, at {at} by {name}; it is {}",
            plain(&told["state"])
        )
    })
}

/// The numbers of all that is parked towards a group, if they are as many as was said.
async fn all_of(group: &str, count: Option<u64>, gateway: &Gateway) -> anyhow::Result<Vec<u64>> {
    let mut asked = Asked {
        group: Some(group.to_owned()),
        limit: Some(limits::EXCEPTIONS_PAGE_MAX.to_string()),
        cursor: None,
    };
    let mut numbers = Vec::new();
    loop {
        let page = gateway.get_json(&address(&asked)).await?;
        let rows = page["exceptions"].as_array().map(Vec::as_slice);
        let rows = rows.unwrap_or_default();
        numbers.extend(rows.iter().filter_map(|row| row["transaction"].as_u64()));
        asked.cursor = page["next"].as_str().map(str::to_owned);
        if asked.cursor.is_none() {
            break;
        }
    }
    let found = numbers.len() as u64;
    match count {
        Some(count) if count == found => Ok(numbers),
        Some(count) => bail!(
            "{found} are parked towards {group}, not {count}; nothing is done: look at `posgate exception list --group {group}`"
        ),
        None => bail!(
            "{found} are parked towards {group}; to decide about all of them say --count {found}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_what_people_count_in() {
        let told = [0, 59, 60, 3_599, 3_600, 90_061, 864_000].map(age);
        assert_eq!(told, ["0s", "59s", "1m", "59m", "1h 0m", "1d 1h", "10d 0h"]);
    }
}
