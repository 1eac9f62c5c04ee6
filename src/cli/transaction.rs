//! `posgate transaction`: list, show, evidence.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use super::client::{self, Target};
use super::{inquire, output};
use crate::admin::inquiry::{Inquiry, InquiryError};
use crate::admin::transactions::{self, Asked};
use crate::admin::{escaped, evidence};
use crate::base::TxnId;

/// What happened to money.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List transactions that fit everything that is asked for, newest first
    ///
    /// Asks the running gateway, or its store when none runs. What was accepted in the last half second may
    /// be missing.
    List {
        #[command(flatten)]
        filters: Box<Filters>,
        /// table and json show one page; csv writes everything that fits, unless --limit is given
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show one transaction
    Show {
        /// Its number
        transaction: u64,
        /// How to show it; csv is for lists
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Write everything the store knows of one transaction as a JSON document with a SHA-256 over its content
    Evidence {
        /// Its number
        transaction: u64,
        /// Write here instead of to standard output: the whole file or none
        #[arg(short = 'O', long, value_name = "FILE")]
        output_file: Option<PathBuf>,
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
    /// Lines with commas
    Csv,
}

#[derive(Debug, clap::Args)]
struct Filters {
    /// Acquirer
    #[arg(long)]
    acquirer: Option<String>,
    /// Terminal id (DE41)
    #[arg(long, value_name = "ID")]
    terminal: Option<String>,
    /// Merchant id (DE42)
    #[arg(long, value_name = "ID")]
    merchant: Option<String>,
    /// The acquirer's reference of the settlement account
    #[arg(long, value_name = "REFERENCE")]
    account: Option<String>,
    /// Number of the binding that admitted it, open or closed; `posgate terminal show` has it
    #[arg(long, value_name = "NUMBER")]
    binding: Option<String>,
    /// Retrieval reference number (DE37)
    #[arg(long, value_name = "NUMBER")]
    rrn: Option<String>,
    /// The terminal's STAN (DE11)
    #[arg(long, value_name = "NUMBER")]
    stan: Option<String>,
    /// Batch
    #[arg(long, value_name = "NUMBER")]
    batch: Option<String>,
    /// open, approved, declined, reversal-owed, reversed, repeat-owed, expired, parked or closed
    #[arg(long)]
    state: Option<String>,
    /// Name of the request in its dialect, as sale or refund
    #[arg(long, value_name = "NAME")]
    request: Option<String>,
    /// Least amount in minor units: 1050 is 10.50 of a currency with two decimals
    #[arg(long, value_name = "MINOR")]
    amount_min: Option<String>,
    /// Most amount in minor units
    #[arg(long, value_name = "MINOR")]
    amount_max: Option<String>,
    /// Accepted then or later: 2026-11-22, 2026-11-22T10:00 (both local) or 2026-11-22T10:00:00+08:00
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Accepted before then; a date means its end
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Transactions of a page, 1 to 1000
    #[arg(long, value_name = "NUMBER")]
    limit: Option<String>,
}

impl From<Filters> for Asked {
    fn from(filters: Filters) -> Self {
        Self {
            acquirer: filters.acquirer,
            terminal: filters.terminal,
            merchant: filters.merchant,
            account: filters.account,
            binding: filters.binding,
            rrn: filters.rrn,
            stan: filters.stan,
            batch: filters.batch,
            state: filters.state,
            request: filters.request,
            amount_min: filters.amount_min,
            amount_max: filters.amount_max,
            from: filters.from,
            to: filters.to,
            cursor: filters.cursor,
            limit: filters.limit,
            format: None,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::block_on(async move {
        match args.verb {
            Verb::List {
                filters,
                output,
                target,
            } => list((*filters).into(), output, &target).await,
            Verb::Show {
                transaction,
                output,
                target,
            } => show(transaction, output, &target).await,
            Verb::Evidence {
                transaction,
                output_file,
                target,
            } => write_evidence(transaction, output_file, &target).await,
        }
    })
}

async fn list(mut asked: Asked, form: Form, target: &Target) -> anyhow::Result<ExitCode> {
    if form == Form::Csv {
        asked.format = Some("csv".into());
        let path = format!("/v1/transactions?{}", asked.address());
        let direct = |inquiry: &mut Inquiry, out: &mut dyn Write| {
            let mut failed = None;
            let mut give = |bytes: bytes::Bytes| {
                failed = out.write_all(&bytes).err();
                failed.is_none()
            };
            transactions::write_csv(inquiry, &asked, &mut give)?;
            failed.map_or(Ok(()), |problem| Err(InquiryError::Write(problem)))
        };
        inquire::pour(target, &path, &mut inquire::standard_output(), direct).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/v1/transactions?{}", asked.address());
    let page = |inquiry: &mut Inquiry| transactions::page(inquiry, &asked);
    let page = inquire::ask(target, &path, page).await?;
    if form == Form::Json {
        inquire::print(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = page["transactions"].as_array().map(Vec::as_slice);
    let rows: Vec<_> = rows.unwrap_or_default().iter().map(row_of).collect();
    output::table(&HEADER, &rows)?;
    if let Some(next) = page["next"].as_str() {
        output::error_line(format_args!("there is more: --cursor {next}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 13] = [
    "NUMBER", "ACCEPTED", "STATE", "CODE", "ACQUIRER", "TERMINAL", "MERCHANT", "ACCOUNT",
    "REQUEST", "AMOUNT", "CUR", "STAN", "RRN",
];

fn row_of(shown: &Value) -> Vec<String> {
    let text = |name: &str| plain(&shown[name]);
    // To the second: a table is for looking, CSV and JSON have the rest.
    let accepted: String = text("accepted_at").chars().take(19).collect();
    vec![
        text("transaction"),
        accepted,
        text("state"),
        text("response_code"),
        text("acquirer"),
        text("terminal_id"),
        text("merchant_id"),
        text("account_id"),
        text("request"),
        plain(&shown["amount"]["text"]),
        plain(&shown["amount"]["currency"]),
        text("stan"),
        text("rrn"),
    ]
}

/// A value without quotes; nothing for null.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn show(number: u64, form: Form, target: &Target) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/transactions/{number}");
    let one = |inquiry: &mut Inquiry| transactions::one(inquiry, TxnId(number));
    match form {
        Form::Csv => anyhow::bail!("one transaction is shown as table or json"),
        Form::Json => inquire::print(&inquire::ask(target, &path, one).await?)?,
        Form::Table => {
            let shown = inquire::ask(target, &path, one).await?;
            let fields = shown.as_object().into_iter().flatten();
            for (name, value) in fields.filter(|(name, _)| !name.ends_with("_us")) {
                print_field(name, value)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A field of something that is shown by itself, on a line; what people did with it, each on one.
pub(super) fn print_field(name: &str, value: &Value) -> std::io::Result<()> {
    if let Value::Array(done) = value {
        return done.iter().try_for_each(|done| {
            let [at, verb, name, note] =
                ["at", "verb", "name", "note"].map(|key| plain(&done[key]));
            output::line(format_args!("{verb:16} {at} by {name}: {note}"))
        });
    }
    let value = match value.get("text") {
        Some(text) => format!("{} {}", plain(text), plain(&value["currency"])),
        None => plain(value),
    };
    output::line(format_args!("{name:16} {value}"))
}

async fn write_evidence(
    number: u64,
    file: Option<PathBuf>,
    target: &Target,
) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/transactions/{}/evidence", escaped(&number.to_string()));
    let bundle = |inquiry: &mut Inquiry| evidence::bundle(inquiry, TxnId(number));
    let document = inquire::ask(target, &path, bundle).await?;
    match file {
        None => inquire::print(&document)?,
        Some(file) => {
            let mut made = inquire::begin_file(&file)?;
            writeln!(made, "{document:#}")?;
            inquire::finish_file(made, &file)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
