//! `posgate token`: who may do what over the admin API.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{self, Gateway, Target, Version};
use super::transaction::plain;
use super::{inquire, output};
use crate::admin::escaped;
use crate::admin::when::written;
use crate::base::Timestamp;

/// Tokens for the admin API.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Give out a token; it is shown once
    Create {
        /// Who carries it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// Days until it ends, 1 to 366
        #[arg(long, value_name = "NUMBER", default_value_t = 90)]
        days: u64,
        /// Write the token into this new file, mode 600, instead of showing it
        #[arg(short = 'O', long, value_name = "FILE")]
        output_file: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
    /// List tokens, without their secrets
    List {
        /// How to show them
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Take a token back, at once and for good
    Revoke {
        /// Its number, as `posgate token list` shows it
        token: u64,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Looks
    Viewer,
    /// Runs the day: terminals, batches, exceptions
    Operator,
    /// Approves what another person prepared
    Checker,
    /// Holds and freezes
    Risk,
    /// Looks after keys
    KeyCustodian,
    /// Gives rights, imports, and reads the audit trail
    Admin,
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// One JSON document, as the API gives it
    Json,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::block_on(async move {
        match args.verb {
            Verb::Create {
                name,
                role,
                days,
                output_file,
                target,
            } => create(&name, role, days, output_file.as_deref(), &target).await?,
            Verb::List { output, target } => list(output, &target).await?,
            Verb::Revoke { token, target } => {
                let gateway = target.running().await?;
                let path = format!("/v1/tokens/{}", escaped(&token.to_string()));
                let revoked = gateway.change(Method::DELETE, &path, Version::None, &Value::Null);
                let revoked = revoked.await?;
                let name = plain(&revoked["name"]);
                output::line(format_args!("token {token} of {name} is revoked"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(
    name: &str,
    role: Role,
    days: u64,
    file: Option<&Path>,
    target: &Target,
) -> anyhow::Result<()> {
    let role = role.to_possible_value();
    let role = role.as_ref().map_or("", |role| role.get_name());
    let gateway = target.running().await?;
    // Before there is a token: one that cannot be written anywhere would be lost.
    let made = file.map(new_private_file).transpose()?;
    let body = json!({ "name": name, "role": role, "days": days });
    let created = gateway.change(Method::POST, "/v1/tokens", Version::None, &body);
    let created = created.await?;
    let number = plain(&created["id"]);
    let token = created["token"].as_str().with_context(|| {
        format!(
            "the answer broke off and the token is not shown twice: revoke it with \
             `posgate token revoke {number}` and create another"
        )
    })?;
    let until = time(&created["expires_at_us"]);
    output::error_line(format_args!(
        "token {number} for {name}, {role}, until {until}; it is not shown again"
    ))?;
    match made {
        Some(mut made) => {
            writeln!(made, "{token}")?;
            made.sync_all()?;
        }
        None => output::line(format_args!("{token}"))?,
    }
    Ok(())
}

fn new_private_file(path: &Path) -> anyhow::Result<std::fs::File> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.with_context(|| format!("{} cannot be made", path.display()))
}

async fn list(form: Form, target: &Target) -> anyhow::Result<()> {
    let gateway = target.running().await?;
    let tokens = all(&gateway).await?;
    if form == Form::Json {
        inquire::print(&json!({ "tokens": tokens }))?;
        return Ok(());
    }
    let rows: Vec<_> = tokens.iter().map(row_of).collect();
    output::table(&HEADER, &rows)?;
    Ok(())
}

async fn all(gateway: &Gateway) -> anyhow::Result<Vec<Value>> {
    let mut tokens = Vec::new();
    let mut path = "/v1/tokens?limit=1000".to_owned();
    loop {
        let page = gateway.get_json(&path).await?;
        tokens.extend(page["tokens"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else {
            return Ok(tokens);
        };
        path = format!("/v1/tokens?limit=1000&cursor={}", escaped(next));
    }
}

const HEADER: [&str; 7] = ["NUMBER", "NAME", "ROLE", "STATUS", "UNTIL", "CREATED", "BY"];

fn row_of(token: &Value) -> Vec<String> {
    vec![
        plain(&token["id"]),
        plain(&token["name"]),
        plain(&token["role"]),
        plain(&token["status"]),
        time(&token["expires_at_us"]),
        time(&token["created_at_us"]),
        plain(&token["created_by"]),
    ]
}

/// Local time to the second.
pub(super) fn time(micros: &Value) -> String {
    let at = Timestamp(micros.as_u64().unwrap_or_default());
    let written = written(at, &jiff::tz::TimeZone::system());
    written.chars().take(19).collect()
}
