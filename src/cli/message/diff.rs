//! `posgate message diff`.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::input::{self, Dialects, Form};
use super::table::padded;
use super::{FOUND, Lang, Output};
use crate::cli::output;
use crate::inspect::{self, Description, Difference, Reveal, differences, guesses};
use crate::iso8583::Index;

/// Show in what two messages differ, field by field
///
/// Each message is given like that of `decode`. Values that are hidden are compared, and shown masked: two that
/// differ may look the same. A value that is the same and stands there in other bytes, since something else fills it up,
/// is told as written otherwise. Exit code 0 if there is no difference, 1 if there is one, 2 if a message is broken.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The message itself, or a file that holds it; `-` is standard input
    #[arg(value_name = "A")]
    left: String,
    /// The other message
    #[arg(value_name = "B")]
    right: String,
    #[command(flatten)]
    dialects: Dialects,
    /// How the messages are written
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    input: Form,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Language of names and texts
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// Show card numbers, tracks, PINs and whatever else is hidden
    #[arg(long)]
    unmask: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.left == "-" && args.right == "-" {
        bail!("both messages are standard input, which is read once; name a file for one of them");
    }
    let found = differences(&read(args, &args.left)?, &read(args, &args.right)?);
    match args.output {
        Output::Json => {
            let list: Vec<_> = found
                .iter()
                .map(|difference| json(args, difference))
                .collect();
            output::line(format_args!("{}", serde_json::to_string_pretty(&list)?))?;
        }
        Output::Table => show(args, &found)?,
    }
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

fn read(args: &Args, text: &str) -> anyhow::Result<Description> {
    let dialects = args.dialects.wanted()?;
    let readings = input::readings(&input::of_argument(text)?, args.input)?;
    let best = guesses(&readings, &dialects, None).into_iter().next();
    let best = best.context("there is no dialect to try")?;
    let mut index = Index::new();
    match best.dialect.decode(&best.frame, &mut index) {
        Ok(message) => {
            let mut description = inspect::describe(&message);
            if !args.unmask {
                description.hide_contested(&best);
            }
            Ok(description)
        }
        Err(error) => bail!(
            "{} is no sound message of {}: {error}; `posgate message decode` shows where it breaks",
            if text == args.left {
                "the first"
            } else {
                "the second"
            },
            best.dialect.name()
        ),
    }
}

const fn reveal(args: &Args) -> Reveal {
    if args.unmask {
        Reveal::Everything
    } else {
        Reveal::Masked
    }
}

fn json(args: &Args, difference: &Difference) -> serde_json::Value {
    let (left, right) = (
        difference.left(reveal(args)),
        difference.right(reveal(args)),
    );
    let mut shown = serde_json::json!({
        "path": difference.path,
        "name": difference.name(args.lang.into()),
        "a": left,
        "b": right,
    });
    if difference.written {
        shown["written"] = "otherwise".into();
    } else if left.is_some() && left == right {
        shown["hidden"] = true.into();
    }
    shown
}

fn show(args: &Args, found: &[Difference]) -> anyhow::Result<()> {
    let mut out = Vec::new();
    let columns = found
        .iter()
        .map(|difference| difference.path.len())
        .max()
        .unwrap_or(0);
    for difference in found {
        let head = padded(&difference.path, columns);
        let below = " ".repeat(columns);
        out.push(
            format!("{head}  {}", difference.name(args.lang.into()))
                .trim_end()
                .to_owned(),
        );
        let (left, right) = (
            difference.left(reveal(args)),
            difference.right(reveal(args)),
        );
        if difference.written {
            out.push(format!(
                "{below}  = the same value, written otherwise (what fills it up, or its length)"
            ));
            continue;
        }
        let hidden = if left.is_some() && left == right {
            "  (differs where it is hidden)"
        } else {
            ""
        };
        let value = |value: Option<String>| value.unwrap_or_else(|| "(not there)".to_owned());
        out.push(format!("{below}  - {}", value(left)));
        out.push(format!("{below}  + {}{hidden}", value(right)));
    }
    if found.is_empty() {
        out.push("no difference".to_owned());
    }
    output::lines(&out)?;
    Ok(())
}
