//! `posgate settlement`: the settlement file of a date.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use super::client::{self, Target};
use super::{inquire, output};
use crate::admin::escaped;
use crate::admin::inquiry::Inquiry;
use crate::admin::settlement::{self, Asked};
use crate::admin::transactions::Format;
use crate::admin::when;

/// Writes the settlement file of a date: for each account its sales, voids and refunds, what is held or in
/// suspense, and what is to be paid out.
///
/// Everything is as of one group of the journal, which the file names. What is in suspense that day is not
/// settled yet: take the file again when it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Local date of acceptance, as 2026-11-22
    #[arg(long, value_name = "DATE", value_parser = checked_date)]
    date: String,
    /// Only this account, by the acquirer's reference
    #[arg(long, value_name = "REFERENCE")]
    account: Option<String>,
    /// Acquirer of the account, where several have one of that name
    #[arg(long)]
    acquirer: Option<String>,
    /// Only what changed after this group of the journal, as an earlier file names it
    #[arg(long, value_name = "GROUP")]
    since: Option<u64>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t = Form::Csv)]
    output: Form,
    /// Write a file for each account into this folder instead of everything to standard output
    #[arg(short = 'O', long, value_name = "FOLDER")]
    output_folder: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines with commas
    Csv,
    /// One JSON document
    Json,
}

fn checked_date(text: &str) -> Result<String, String> {
    when::date(text).map(|_date| text.to_owned())
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    client::block_on(async {
        match &args.output_folder {
            None => {
                let asked = args.asked();
                write(args, &asked, &mut inquire::standard_output()).await?;
            }
            Some(folder) => each_account(args, folder).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl Args {
    fn asked(&self) -> Asked {
        Asked {
            acquirer: self.acquirer.clone(),
            account: self.account.clone(),
            format: Some(self.output.name().into()),
            lines: None,
            since: self.since.map(|group| group.to_string()),
        }
    }
}

async fn write(args: &Args, asked: &Asked, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = format!("/v1/settlements/{}?{}", args.date, asked.address());
    let direct = |inquiry: &mut Inquiry, out: &mut dyn Write| {
        let format = asked.format()?.unwrap_or(Format::Csv);
        let up_to = inquiry.last_group()?;
        settlement::write(inquiry, &args.date, asked, format, up_to, out)
    };
    inquire::pour(&args.target, &path, out, direct).await
}

/// A file for each account that has something to show for that date.
async fn each_account(args: &Args, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let sums = Asked {
        format: Some("json".into()),
        lines: Some("none".into()),
        ..args.asked()
    };
    let mut text = Vec::new();
    write(args, &sums, &mut text).await?;
    let sums: serde_json::Value = serde_json::from_slice(&text)?;
    let accounts = sums["accounts"].as_array().map(Vec::as_slice);
    let accounts = accounts.unwrap_or_default();
    for account in accounts {
        let name = |key: &str| account[key].as_str().unwrap_or_default().to_owned();
        let (acquirer, reference) = (name("acquirer"), name("account_id"));
        let asked = Asked {
            acquirer: Some(acquirer.clone()).filter(|name| !name.is_empty()),
            account: Some(reference.clone()),
            ..args.asked()
        };
        let file = folder.join(format!(
            "{}-{}-{}.{}",
            args.date,
            escaped(&acquirer),
            escaped(&reference),
            args.output.name()
        ));
        let mut made = inquire::begin_file(&file)?;
        write(args, &asked, &mut BufWriter::new(made.as_file_mut())).await?;
        inquire::finish_file(made, &file)?;
        output::line(format_args!("{}", file.display()))?;
    }
    if accounts.is_empty() {
        let then = if args.since.is_some() {
            ", or nothing changed since"
        } else {
            ""
        };
        output::error_line(format_args!(
            "no account moved money on {}{then}",
            args.date
        ))?;
    }
    Ok(())
}
