//! `posgate case`: unbinding and replacing terminals, step by step.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http_body_util::BodyExt;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::affairs::{self, Ask, Listed, With};
use super::client::{self, Target};
use super::{inquire, output};
use crate::admin::when::Bound;
use crate::base::Timestamp;
use crate::binding::drain::hex_of;

/// Cases of unbinding and of replacement.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List open cases, each with what it waits for
    List(With<Listed<Which>>),
    /// Show a case with everything in it
    Show(With<Case>),
    /// What unbinding means for the merchant now, with the hash to acknowledge it by
    Impact(With<Case>),
    /// Write the terminal's transactions for the merchant to keep, and show their checksum
    Export(Export),
    /// Open a case of unbinding; it touches nothing before its drain begins
    Unbind(With<Unbind>),
    /// Open a replacement; the old device trades until the cut-over
    Replace(With<Replace>),
    /// Take a step of a case
    ///
    /// `posgate case show` says which steps it waits for; docs/bindings.md has what each step says.
    #[command(alias = "replace-step")]
    Step(With<Step>),
    /// Say that the host's keys of the device that leaves are destroyed, by their check values
    KeysDestroyed(With<KeysDestroyed>),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Those that are over too
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Number of the case
    case: u64,
    /// The file to be written, which only its owner may read
    #[arg(short = 'O', long, value_name = "FILE")]
    output_file: PathBuf,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct Case {
    /// Number of the case
    case: u64,
}

#[derive(Debug, clap::Args)]
struct Unbind {
    /// Acquirer; - where the number of a binding follows
    acquirer: String,
    /// Terminal id (DE41), or behind - the number of its open binding
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
    /// When it is to begin at the earliest, as 2026-11-30T20:00 (local) or 2026-11-30T20:00:00+08:00; at once if not said
    #[arg(long, value_name = "TIME", value_parser = begins)]
    at: Option<Timestamp>,
}

pub(super) fn begins(text: &str) -> Result<Timestamp, String> {
    Bound::From.parse(text, &TimeZone::system())
}

#[derive(Debug, clap::Args)]
struct Replace {
    /// Acquirer; - where the number of a binding follows
    acquirer: String,
    /// Terminal id that is replaced, or behind - the number of its open binding
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
    /// force, wiped, reported, cancel. Replacement: tested, cut-over, roll-back, close, force, wiped, cancel
    step: String,
    /// What the step says, as `note=shop closes`; docs/bindings.md has the names. `file=PATH` says the SHA-256 of a file
    #[arg(value_name = "NAME=VALUE")]
    said: Vec<String>,
}

impl Step {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({ "step": self.step });
        for pair in &self.said {
            let (name, value) = affairs::pair(pair)?;
            if name == "file" {
                let read =
                    std::fs::read(value).with_context(|| format!("{value} cannot be read"))?;
                body["sha256"] = hex_of(&read).into();
                continue;
            }
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
        Verb::List(with) => with.run(|asked| {
            let all = if asked.of.all { "?all=true" } else { "" };
            Ok(Ask::See(asked.page.of(&format!("/v1/cases{all}"))))
        }),
        Verb::Show(with) => with.run(|asked| Ok(Ask::See(format!("/v1/cases/{}", asked.case)))),
        Verb::Impact(with) => {
            with.run(|asked| Ok(Ask::See(format!("/v1/cases/{}/impact", asked.case))))
        }
        Verb::Export(asked) => client::block_on(export(asked)),
        Verb::Unbind(with) => with.run(|asked| {
            let body = json!({
                "acquirer": asked.acquirer, "terminal_id": asked.terminal, "channel": asked.channel,
                "reason": asked.reason, "note": asked.note, "effective_at_us": asked.at.map(|at| at.0),
            });
            Ok(Ask::Make("/v1/unbindings".into(), body))
        }),
        Verb::Replace(with) => with.run(|asked| {
            let body = json!({
                "acquirer": asked.acquirer, "terminal_id": asked.terminal,
                "new_terminal_id": asked.new_terminal, "serial": asked.serial, "note": asked.note,
            });
            Ok(Ask::Make("/v1/replacements".into(), body))
        }),
        Verb::Step(with) => with.run(|asked| Ok(Ask::Case(asked.case, "steps", asked.body()?))),
        Verb::KeysDestroyed(with) => with.run(|asked| {
            let values = affairs::check_values(&asked.check_values)?;
            let body = json!({ "check_values": values, "kept": asked.kept });
            Ok(Ask::Case(asked.case, "keys-destroyed", body))
        }),
    }
}

/// Writes the export as a whole or not at all.
async fn export(asked: Export) -> anyhow::Result<ExitCode> {
    let gateway = asked.target.running().await?;
    let path = format!("/v1/cases/{}/export", asked.case);
    let answer = gateway.get(&path).await?;
    let told = answer.headers().get("x-checksum-sha256").cloned();
    let body = answer.into_body().collect().await;
    let body = body.context("the gateway broke off; nothing is written")?;
    let content = body.to_bytes();
    let sum = hex_of(&content);
    if told.is_none_or(|told| told.as_bytes() != sum.as_bytes()) {
        bail!(
            "what came is not what the gateway's checksum says; nothing is written, take it once more"
        );
    }
    let mut made = inquire::begin_file(&asked.output_file)?;
    let shown = asked.output_file.display();
    made.write_all(&content)
        .with_context(|| format!("{shown} cannot be written"))?;
    inquire::finish_file(made, &asked.output_file)?;
    output::line(format_args!("{sum}"))?;
    output::error_line(format_args!(
        "written to {shown}; when the merchant has it: posgate case step {} exported sha256={sum}",
        asked.case
    ))?;
    Ok(ExitCode::SUCCESS)
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
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let said = format!("file={}", file.path().display());
        assert_eq!(
            step(&[&said]).body().unwrap()["sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(step(&["file=/nowhere/at/all"]).body().is_err());
    }
}
