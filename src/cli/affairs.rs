//! What the commands about terminals, merchants, contacts, bindings, holds and cases have in common: one request to the
//! gateway, and its answer in words and columns for people or as JSON for programs.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use hyper::Method;
use serde_json::Value;

use super::client::{self, Gateway, Target, Version};
use super::shown::plain;
use super::{inquire, output, shown};
use crate::admin::escaped;

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

/// Which page of a list.
#[derive(Debug, clap::Args)]
pub(super) struct Page {
    /// Goes on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// How many, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    limit: u32,
}

impl Page {
    /// The address of this page of a list.
    pub(super) fn of(&self, list: &str) -> String {
        let sign = if list.contains('?') { '&' } else { '?' };
        let mut path = format!("{list}{sign}limit={}", self.limit);
        if let Some(cursor) = &self.cursor {
            path.push_str("&cursor=");
            path.push_str(&escaped(cursor));
        }
        path
    }
}

/// A list, and what it is of.
#[derive(Debug, clap::Args)]
pub(super) struct Listed<T: clap::Args> {
    #[command(flatten)]
    pub(super) of: T,
    #[command(flatten)]
    pub(super) page: Page,
}

/// A list that is of everything.
#[derive(Debug, clap::Args)]
pub(super) struct Everything {}

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
    /// To take a case on, whichever kind it is of: its number, `steps` or `keys-destroyed`, and what is said.
    Case(u64, &'static str, Value),
}

/// Where the steps of a case are taken.
async fn case_path(gateway: &Gateway, case: u64, what: &str) -> anyhow::Result<String> {
    let shown = gateway.get_json(&format!("/v1/cases/{case}")).await?;
    match plain(&shown["kind"]).as_str() {
        "unbinding" => Ok(format!("/v1/unbindings/{case}/{what}")),
        "replacement" => Ok(format!("/v1/replacements/{case}/{what}")),
        "account-change" => bail!(
            "case {case} moves a terminal's money to another account; \
             `posgate binding approve-account` or `cancel-account` takes it on"
        ),
        other => bail!("case {case} is of the kind {other}, which this posgate does not know"),
    }
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
                Ask::Case(case, what, body) => {
                    let path = case_path(&gateway, case, what).await?;
                    (Method::POST, path, version.into(), body)
                }
            };
            let answer = gateway.change(method, &path, version, &body).await?;
            match (output, thing_of(&path, &body)) {
                (Form::Table, Some(thing)) if answer["number"].is_u64() => {
                    tell(&gateway, thing, &answer).await?;
                }
                (Form::Table | Form::Json, _) => show(&answer, output)?,
            }
            // A code that is not taken is no success, although it was judged as it should be.
            let verdict = answer["verdict"].as_str();
            Ok(match verdict {
                None | Some("approved") => ExitCode::SUCCESS,
                Some(_) => ExitCode::FAILURE,
            })
        })
    }
}

/// Shows an answer.
pub(super) fn show(answer: &Value, form: Form) -> anyhow::Result<()> {
    match form {
        Form::Json => inquire::print(answer)?,
        Form::Table => {
            let mut answer = answer.clone();
            let next = answer.as_object_mut().and_then(|all| all.remove("next"));
            shown::table(&answer)?;
            if let Some(Value::String(next)) = next {
                output::error_line(format_args!("there is more: --cursor {next}"))?;
            }
        }
    }
    Ok(())
}

/// What a request makes or changes, by its address; `None` where the answer shows it whole.
fn thing_of(path: &str, body: &Value) -> Option<&'static str> {
    let account_case = matches!(
        body["action"].as_str(),
        Some("request-account" | "request-account-end" | "confirm-account" | "cancel-account")
    );
    let known = |word: &str| match word {
        "acquirers" => Some("acquirer"),
        "merchants" => Some("merchant"),
        "accounts" => Some("account"),
        "devices" => Some("device"),
        "limits" => Some("limit"),
        "contacts" => Some("contact"),
        "challenges" => Some("challenge"),
        "evidence" => Some("evidence"),
        "holds" => Some("hold"),
        "unbindings" | "replacements" => Some("case"),
        "actions" if account_case => Some("case"),
        "actions" | "bindings" => Some("binding"),
        _part_of_a_name => None,
    };
    // Names stand between: of a merchant's contacts the contact is meant, of an account's events the account.
    let mut words = path.trim_start_matches("/v1/").split('/');
    let first = words.next().and_then(known);
    let last = words.next_back().and_then(known);
    last.or(first)
}

/// Says what became of something, and where a case stands.
async fn tell(gateway: &Gateway, thing: &str, answer: &Value) -> anyhow::Result<()> {
    let number = plain(&answer["number"]);
    output::line(format_args!("{}", told(thing, answer)))?;
    if thing == "case" {
        let case = gateway.get_json(&format!("/v1/cases/{number}")).await?;
        output::line(format_args!("stage: {}", plain(&case["stage"])))?;
        for step in case["waits_for"].as_array().into_iter().flatten() {
            output::line(format_args!("waits for: {}", plain(step)))?;
        }
    }
    Ok(())
}

fn told(thing: &str, answer: &Value) -> String {
    let (number, version) = (plain(&answer["number"]), plain(&answer["version"]));
    let left = &answer["tries_left"];
    match (thing, answer["verdict"].as_str()) {
        (_, Some("approved")) => format!("{thing} {number}: the code is right"),
        (_, Some(verdict)) if left.is_u64() => {
            format!("{thing} {number}: the code is {verdict}, {left} tries left")
        }
        (_, Some(verdict)) => format!("{thing} {number}: the code is {verdict}"),
        ("evidence", None) => {
            format!("evidence {number} is filed; another person may act on it within a week")
        }
        // These have names.
        ("acquirer" | "merchant" | "account" | "device" | "limit", None) => {
            format!("the {thing} has version {version} now")
        }
        (_, None) => format!("{thing} {number} has version {version} now"),
    }
}

/// Reads check values, as `tmk=A1B2C3`.
pub(super) fn check_values(pairs: &[String]) -> anyhow::Result<Value> {
    let mut values = serde_json::Map::new();
    for text in pairs {
        let (name, value) = pair(text)?;
        if values.insert(name.to_owned(), value.into()).is_some() {
            bail!("{name} is named twice");
        }
    }
    Ok(Value::Object(values))
}

/// Reads `NAME=VALUE`.
pub(super) fn pair(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('=')
        .with_context(|| format!("{text} is no NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_request_changes_is_named_by_its_address() {
        let thing = |path: &str| thing_of(path, &Value::Null);
        assert_eq!(thing("/v1/merchants/acme/1"), Some("merchant"));
        assert_eq!(thing("/v1/acquirers/acme"), Some("acquirer"));
        assert_eq!(thing("/v1/merchants/acme/1/contacts"), Some("contact"));
        assert_eq!(thing("/v1/contacts/3/events"), Some("contact"));
        assert_eq!(thing("/v1/accounts/acme/A-1/events"), Some("account"));
        assert_eq!(thing("/v1/terminals/acme/T1/holds"), Some("hold"));
        assert_eq!(thing("/v1/replacements/4/steps"), Some("case"));
        assert_eq!(thing("/v1/evidence"), Some("evidence"));
        assert_eq!(thing("/v1/terminals/acme/T1/state"), None);
        let path = "/v1/terminals/acme/T1/actions";
        assert_eq!(thing(path), Some("binding"));
        for action in ["request-account", "request-account-end", "confirm-account"] {
            let asked = json!({ "action": action });
            assert_eq!(thing_of(path, &asked), Some("case"), "{action}");
        }
    }

    #[test]
    fn a_wrong_code_is_told_with_the_tries_that_are_left() {
        let answer = json!({ "number": 3, "version": 1, "verdict": "wrong", "tries_left": 4 });
        assert_eq!(
            told("challenge", &answer),
            "challenge 3: the code is wrong, 4 tries left"
        );
        let answer = json!({ "number": 3, "version": 2 });
        assert_eq!(told("contact", &answer), "contact 3 has version 2 now");
        assert_eq!(told("device", &answer), "the device has version 2 now");
    }
}
