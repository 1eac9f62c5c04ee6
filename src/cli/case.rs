//! `posgate case`: unbinding and replacing terminals, step by step.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::affairs::{Ask, With};

/// Cases of unbinding and of replacement.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List open cases
    List(With<Nothing>),
    /// Show a case with everything in it
    Show(With<Case>),
    /// What unbinding means for the merchant now, with the hash to acknowledge it by
    Impact(With<Case>),
    /// Open a case of unbinding; it touches nothing before its drain begins
    Unbind(With<Unbind>),
    /// Take a step of a case of unbinding
    Step(With<Step>),
    /// Say that the host's keys of an unbound device are destroyed, by their check values
    KeysDestroyed(With<KeysDestroyed>),
    /// Open a replacement; the old device trades until the cut-over
    Replace(With<Replace>),
    /// Take a step of a replacement
    ReplaceStep(With<Step>),
}

#[derive(Debug, clap::Args)]
struct Nothing {}

#[derive(Debug, clap::Args)]
struct Case {
    /// Number of the case
    case: u64,
}

#[derive(Debug, clap::Args)]
struct Unbind {
    /// Acquirer
    acquirer: String,
    /// Terminal id (DE41)
    terminal: String,
    /// online, hotline or counter
    #[arg(long)]
    channel: String,
    /// not-needed, switch-method, security, upgrade, fault, reorganisation, closure, lost, dormant or regulatory
    #[arg(long)]
    reason: String,
    /// Why, in words
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Replace {
    /// Acquirer
    acquirer: String,
    /// Terminal id that is replaced
    terminal: String,
    /// Terminal id that takes over
    new_terminal: String,
    /// Serial number of a device in stock
    serial: String,
    /// Why
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct KeysDestroyed {
    /// Number of the case
    case: u64,
    /// Name and check value of every key on record for the device, as `tmk=A1B2C3`; `posgate device show` has them
    #[arg(required = true, value_name = "NAME=VALUE")]
    check_values: Vec<String>,
    /// Names of those that are kept to verify reversals, after a drain that was forced
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    kept: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Step {
    /// Number of the case
    case: u64,
    /// Unbinding: confirm, prove, add-document, review, acknowledge, exported, submit, approve, reject, start, close,
    /// force, wiped, reported, cancel. Replacement: tested, cut-over, roll-back, close, cancel
    step: String,
    /// What the step says, as `note=shop closes`; docs/bindings.md has the names
    #[arg(value_name = "NAME=VALUE")]
    said: Vec<String>,
}

impl Step {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({ "step": self.step });
        for pair in &self.said {
            let Some((name, value)) = pair.split_once('=') else {
                anyhow::bail!("{pair} is no NAME=VALUE");
            };
            // Names whose values are numbers or truths; everything else is a text, also one of digits.
            body[name] = match (name, value) {
                ("approved" | "passed", "true" | "yes") => true.into(),
                ("approved" | "passed", "false" | "no") => false.into(),
                ("challenge" | "evidence", number) => match number.parse::<u64>() {
                    Ok(number) => number.into(),
                    Err(_no_number) => anyhow::bail!("{name} is a number, not {number}"),
                },
                (_, text) => text.into(),
            };
        }
        Ok(body)
    }
}

/// Runs the command.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::List(with) => with.run(|_nothing| Ok(Ask::See("/v1/cases".into()))),
        Verb::Show(with) => with.run(|asked| Ok(Ask::See(format!("/v1/cases/{}", asked.case)))),
        Verb::Impact(with) => {
            with.run(|asked| Ok(Ask::See(format!("/v1/cases/{}/impact", asked.case))))
        }
        Verb::Unbind(with) => with.run(|asked| {
            let body = json!({
                "acquirer": asked.acquirer, "terminal_id": asked.terminal, "channel": asked.channel,
                "reason": asked.reason, "note": asked.note,
            });
            Ok(Ask::Make("/v1/unbindings".into(), body))
        }),
        Verb::Step(with) => with.run(|asked| {
            let path = format!("/v1/unbindings/{}/steps", asked.case);
            Ok(Ask::Do(path, asked.body()?))
        }),
        Verb::KeysDestroyed(with) => with.run(|asked| {
            let mut values = serde_json::Map::new();
            for pair in &asked.check_values {
                let Some((name, value)) = pair.split_once('=') else {
                    anyhow::bail!("{pair} is no NAME=VALUE");
                };
                values.insert(name.to_owned(), value.into());
            }
            let body = json!({ "check_values": values, "kept": asked.kept });
            Ok(Ask::Do(
                format!("/v1/unbindings/{}/keys-destroyed", asked.case),
                body,
            ))
        }),
        Verb::Replace(with) => with.run(|asked| {
            let body = json!({
                "acquirer": asked.acquirer, "terminal_id": asked.terminal,
                "new_terminal_id": asked.new_terminal, "serial": asked.serial, "note": asked.note,
            });
            Ok(Ask::Make("/v1/replacements".into(), body))
        }),
        Verb::ReplaceStep(with) => with.run(|asked| {
            let path = format!("/v1/replacements/{}/steps", asked.case);
            Ok(Ask::Do(path, asked.body()?))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_says_is_a_text_a_number_or_a_truth() {
        let step = |said: &[&str]| Step {
            case: 1,
            step: "confirm".into(),
            said: said.iter().map(|text| (*text).to_owned()).collect(),
        };
        let body = step(&["phone_tail=8000", "challenge=7", "approved=no"]).body();
        let want =
            json!({ "step": "confirm", "phone_tail": "8000", "challenge": 7, "approved": false });
        assert_eq!(body.unwrap(), want);
        assert!(step(&["phone_tail"]).body().is_err());
        assert!(step(&["evidence=x"]).body().is_err());
    }
}
