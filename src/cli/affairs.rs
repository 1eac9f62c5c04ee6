//! What the commands about merchants, contacts, bindings, holds and cases have in common: one request to the
//! gateway, and its answer as columns for people or as JSON for programs.

use std::process::ExitCode;

use clap::ValueEnum;
use hyper::Method;
use serde_json::Value;

use super::client::{self, Target, Version};
use super::{inquire, output};

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Columns for people
    Table,
    /// One JSON document, as the API gives it
    Json,
}

/// What a verb takes, where the gateway is, and how the answer is shown.
#[derive(Debug, clap::Args)]
pub(super) struct With<T: clap::Args> {
    #[command(flatten)]
    what: T,
    /// Only if it still has this version
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// How the answer is shown
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    target: Target,
}

/// A request to be made.
#[derive(Debug)]
pub(super) enum Ask {
    /// To see something.
    See(String),
    /// To change something that has a version.
    Put(String, Value),
    /// To do something with a thing that has a version.
    Do(String, Value),
    /// To make something new, or to do something with what has none.
    Make(String, Value),
}

impl<T: clap::Args> With<T> {
    /// Makes the request and shows its answer.
    pub(super) fn run(
        self,
        ask: impl FnOnce(T) -> anyhow::Result<Ask>,
    ) -> anyhow::Result<ExitCode> {
        let Self {
            what,
            version,
            output,
            target,
        } = self;
        let ask = ask(what)?;
        client::block_on(async move {
            let gateway = target.running().await?;
            let (method, path, version, body) = match ask {
                Ask::See(path) => {
                    show(&gateway.get_json(&path).await?, output)?;
                    return Ok(ExitCode::SUCCESS);
                }
                Ask::Put(path, body) => (Method::PUT, path, version.into(), body),
                Ask::Do(path, body) => (Method::POST, path, version.into(), body),
                Ask::Make(path, body) => (Method::POST, path, Version::None, body),
            };
            let answer = gateway.change(method, &path, version, &body).await?;
            show(&answer, output)?;
            // A code that is not taken is no success, although it was judged as it should be.
            let verdict = answer["verdict"].as_str();
            Ok(match verdict {
                None | Some("approved") => ExitCode::SUCCESS,
                Some(_) => ExitCode::FAILURE,
            })
        })
    }
}

fn show(answer: &Value, form: Form) -> anyhow::Result<()> {
    match form {
        Form::Json => inquire::print(answer)?,
        Form::Table => table(answer)?,
    }
    Ok(())
}

/// One list as a table, anything else as names and values.
fn table(answer: &Value) -> anyhow::Result<()> {
    let members = answer.as_object().cloned().unwrap_or_default();
    let list = members
        .values()
        .find_map(Value::as_array)
        .filter(|_| members.len() == 1);
    if let Some(list) = list {
        let first = list
            .first()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let names: Vec<&str> = first
            .iter()
            .filter(|(_, value)| !value.is_object())
            .map(|(name, _)| name.as_str())
            .collect();
        let rows: Vec<Vec<String>> = list
            .iter()
            .map(|row| names.iter().map(|name| plain(&row[*name])).collect())
            .collect();
        output::table(&names, &rows)?;
        return Ok(());
    }
    let mut rows = Vec::new();
    flat("", answer, &mut rows);
    output::table(&["", ""], &rows)?;
    Ok(())
}

/// Members within members by their way, as `impact.outstanding.owed`.
fn flat(way: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let way = if way.is_empty() {
                    name.clone()
                } else {
                    format!("{way}.{name}")
                };
                flat(&way, value, rows);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (at, value) in list.iter().enumerate() {
                flat(&format!("{way}.{}", at + 1), value, rows);
            }
        }
        Value::Null => {}
        other => rows.push(vec![way.to_owned(), plain(other)]),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}
