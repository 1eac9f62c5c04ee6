//! `posgate audit`: who changed what, and whether the trail is as it was written.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use super::client::{self, Target};
use super::token::time;
use super::transaction::plain;
use super::{inquire, output};
use crate::admin::audit::{self, Asked};
use crate::admin::inquiry::Inquiry;
use crate::base::Counted;
use crate::store::audit::Head;

/// The audit trail: who changed what, when, from where, from what to what.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List events, newest first
    ///
    /// Asks the running gateway, or its store when none runs.
    List {
        #[command(flatten)]
        filters: Filters,
        /// How to show them
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show the end of the trail as NUMBER:HASH; keep it elsewhere
    Head {
        #[command(flatten)]
        target: Target,
    },
    /// Read the whole trail and say whether it is as it was written; exit code 0 when it is, 1 when it is not
    ///
    /// Finds events that were changed, removed, put in or moved, and an end that was cut off. Who may write the
    /// store's files may also make a whole new trail: only a head that was kept elsewhere finds that.
    Verify {
        /// A head that was kept elsewhere, as `posgate audit head` showed it; it has to be on the trail
        #[arg(long, value_name = "NUMBER:HASH", value_parser = kept)]
        head: Option<Head>,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, clap::Args)]
struct Filters {
    /// Only about this, kind and name: "terminal acme/T0000001"
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Only what this person or program did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only events whose name begins so, as binding. or token.created
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Events of a page, 1 to 1000
    #[arg(long, value_name = "NUMBER")]
    limit: Option<String>,
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// One JSON document, as the API gives it
    Json,
}

fn kept(text: &str) -> Result<Head, String> {
    Head::parse(text).ok_or_else(|| "it is NUMBER:HASH, the hash with 64 digits".to_owned())
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
            } => {
                let asked = Asked {
                    subject: filters.subject,
                    actor: filters.actor,
                    event: filters.event,
                    cursor: filters.cursor,
                    limit: filters.limit,
                };
                list(&asked, output, &target).await
            }
            Verb::Head { target } => {
                let head = inquire::ask(&target, "/v1/audit/head", audit::head_of).await?;
                output::line(format_args!("{}", plain(&head["head"])))?;
                Ok(ExitCode::SUCCESS)
            }
            Verb::Verify { head, target } => verify(head, &target).await,
        }
    })
}

async fn list(asked: &Asked, form: Form, target: &Target) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/audit?{}", asked.address());
    let direct = |inquiry: &mut Inquiry| audit::page(inquiry, asked);
    let page = inquire::ask(target, &path, direct).await?;
    if form == Form::Json {
        inquire::print(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let events = page["events"].as_array().map(Vec::as_slice);
    let rows: Vec<_> = events.unwrap_or_default().iter().map(row_of).collect();
    output::table(&HEADER, &rows)?;
    if let Some(next) = page["next"].as_str() {
        output::error_line(format_args!("there is more: --cursor {next}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 7] = ["NUMBER", "AT", "BY", "RIGHTS", "EVENT", "SUBJECT", "CHANGE"];

fn row_of(event: &Value) -> Vec<String> {
    vec![
        plain(&event["number"]),
        time(&event["at_us"]),
        plain(&event["actor"]["name"]),
        plain(&event["actor"]["rights"]),
        plain(&event["event"]),
        plain(&event["subject"]),
        change_of(event),
    ]
}

/// What is different after it, as `state active → suspended`.
fn change_of(event: &Value) -> String {
    let (before, after) = (&event["before"], &event["after"]);
    let fields = after.as_object().or_else(|| before.as_object());
    let names = fields.into_iter().flatten().map(|(name, _)| name);
    let changed = names.filter(|name| before[name.as_str()] != after[name.as_str()]);
    let told = changed.filter_map(|name| {
        let [from, to] = [before, after].map(|side| plain(&side[name.as_str()]));
        match (from.is_empty(), to.is_empty()) {
            // It was not said, and nothing is known of it.
            (true, true) => None,
            (true, false) => Some(format!("{name} {to}")),
            (false, true) => Some(format!("{name} {from} → nothing")),
            (false, false) => Some(format!("{name} {from} → {to}")),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

async fn verify(head: Option<Head>, target: &Target) -> anyhow::Result<ExitCode> {
    let query = head.map_or_else(String::new, |head| format!("?head={head}"));
    let path = format!("/v1/audit/verdict{query}");
    let direct = |inquiry: &mut Inquiry| audit::verified(inquiry, head.as_ref());
    let verdict = inquire::ask(target, &path, direct).await?;
    let (sound, head) = (plain(&verdict["sound"]), plain(&verdict["head"]));
    let sound = Counted(sound, "event");
    if verdict["is_sound"] == true {
        output::line(format_args!(
            "{}; the trail ends with {head}",
            sound.that("is as it was written", "are as they were written")
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::error_line(format_args!("{}", plain(&verdict["problem"])))?;
    output::error_line(format_args!(
        "{}, up to {head}; restore a backup to compare",
        sound.that(
            "before that is as it was written",
            "before that are as they were written"
        )
    ))?;
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_by_what_is_different() {
        let told =
            |before: Value, after: Value| change_of(&json!({ "before": before, "after": after }));
        assert_eq!(
            told(
                json!({"state": "active", "binding": 1}),
                json!({"state": "suspended", "binding": 1})
            ),
            "state active → suspended"
        );
        assert_eq!(told(Value::Null, json!({"role": "admin"})), "role admin");
        let named = json!({"mcc": "5812", "name": "", "custody": null});
        assert_eq!(told(Value::Null, named), "mcc 5812");
        assert_eq!(
            told(json!({"role": "admin"}), Value::Null),
            "role admin → nothing"
        );
        assert_eq!(told(Value::Null, Value::Null), "");
    }
}
