//! `posgate message decode`.

use std::io::{self, BufRead, Read};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::input::{self, Dialects, Form, Source};
use super::table::{self, Look};
use super::{FOUND, Lang, Output};
use crate::cli::output;
use crate::inspect::bytes::{INPUT_BYTES_MAX, Reading};
use crate::inspect::json::{self, MessageJson};
use crate::inspect::{
    self, Cause, Contested, Description, Doubt, Fault, Guess, NEAR, Reveal, guesses,
};
use crate::iso8583::{Dialect, Index};

/// Show what is in a message
///
/// The message is given as hexadecimal digits (blanks, line ends, `0x` and the offsets of a hex dump are
/// understood), as base64 or as it is; as an argument, in a file, or on standard input. If no dialect is named,
/// all are tried, with and without length prefix, TPDU and headers. Card numbers, tracks, PINs and the like are
/// hidden. Exit code 0 if the message and what is within its fields is sound, 1 if not, 2 if nothing can be read.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of a command line, each yes or no by itself"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    dialects: Dialects,
    /// How the message is written
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    input: Form,
    /// The message has its length prefix
    #[arg(long, conflicts_with = "bare")]
    framed: bool,
    /// The message has no length prefix
    #[arg(long)]
    bare: bool,
    /// One message on each line; one JSON object on each line comes out
    ///
    /// Empty lines and lines that begin with `#` are skipped. What cannot be decoded becomes an object with
    /// `error`, the rest is still read, and the exit code is 1.
    #[arg(long)]
    lines: bool,
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

impl Args {
    fn look(&self) -> Look {
        Look {
            reveal: if self.unmask {
                Reveal::Everything
            } else {
                Reveal::Masked
            },
            language: self.lang.into(),
        }
    }

    fn framing(&self) -> Option<bool> {
        match (self.framed, self.bare) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dialects = args.dialects.wanted()?;
    if args.lines {
        return lines(args, &dialects);
    }
    let readings = input::readings(&args.source.read()?, args.input)?;
    let taken = Taken::of(&readings, &dialects, args, Search::Causes)?;
    match args.output {
        Output::Json => output::line(format_args!(
            "{}",
            serde_json::to_string_pretty(&taken.json(args))?
        ))?,
        Output::Table => show(&taken, args)?,
    }
    Ok(taken.exit())
}

/// What was made of the bytes.
struct Taken {
    best: Guess,
    /// The next best, when it is hardly worse.
    runner_up: Option<String>,
    description: Option<Description>,
    wire: Vec<(u8, Vec<u8>)>,
    /// Fields that may be meant otherwise.
    doubts: Vec<Doubt>,
    /// What is wrong, in one line.
    wrong: Option<String>,
    /// The same with its place and causes, when they were looked for.
    fault: Option<Fault>,
}

/// Whether causes are looked for: that tries a thousand ways, which is not for each line of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    Causes,
    Nothing,
}

impl Taken {
    fn of(
        readings: &[Reading],
        dialects: &[Arc<Dialect>],
        args: &Args,
        search: Search,
    ) -> anyhow::Result<Self> {
        let mut all = guesses(readings, dialects, args.framing());
        if search == Search::Causes {
            inspect::reconsider(&mut all);
        }
        let mut all = all.into_iter();
        let best = all.next().context("there is no dialect to try")?;
        // Another way to take the same dialect is no other answer.
        let next = all.find(|guess| guess.dialect.name() != best.dialect.name());
        let near = next.filter(|guess| guess.is_sound() == best.is_sound());
        let near = near.filter(|guess| (0..=NEAR).contains(&(best.score - guess.score)));
        let reveal = args.look().reveal;
        let fault = match search {
            Search::Causes => {
                inspect::explain(&best, reveal).or_else(|| inspect::explain_parts(&best, reveal))
            }
            Search::Nothing => None,
        };
        let wrong = match (&fault, search) {
            (Some(fault), _) => Some(fault.what.clone()),
            (None, Search::Nothing) if !best.is_sound() => Some(inspect::what(&best)),
            (None, Search::Nothing) => inspect::what_parts(&best),
            (None, Search::Causes) => None,
        };
        let mut index = Index::new();
        let (message, _) = best.dialect.decode_partial(&best.frame, &mut index);
        let mut description = message.map(|message| inspect::describe(&message));
        let doubts = message.filter(|_| best.is_sound());
        let mut doubts = doubts.map_or_else(Vec::new, |message| inspect::doubts(&message));
        doubts.extend(best.contested.iter().map(Contested::doubt));
        doubts.sort_by_key(|doubt| doubt.field);
        let wire = match message {
            Some(message) if args.unmask && best.is_sound() => json::wire(&message),
            Some(_) | None => Vec::new(),
        };
        if let Some(description) = &mut description
            && reveal == Reveal::Masked
        {
            description.hide_contested(&best);
        }
        match (&fault, search) {
            (Some(fault), _) => {
                if let Some(description) = &mut description
                    && reveal == Reveal::Masked
                {
                    description.hide(&fault.doubtful);
                }
            }
            // What stands where is not known then, nor what may be shown.
            (None, Search::Nothing) if !best.is_sound() => description = None,
            (None, Search::Nothing | Search::Causes) => {}
        }
        Ok(Self {
            runner_up: near.map(|guess| guess.dialect.name().to_owned()),
            description,
            wire,
            doubts,
            wrong,
            fault,
            best,
        })
    }

    fn exit(&self) -> ExitCode {
        match self.wrong {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(FOUND),
        }
    }

    const fn json<'a>(&'a self, args: &'a Args) -> TakenJson<'a> {
        TakenJson {
            taken: self,
            args,
            line: None,
        }
    }
}

struct TakenJson<'a> {
    taken: &'a Taken,
    args: &'a Args,
    line: Option<usize>,
}

impl Serialize for TakenJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Taken {
            best,
            runner_up,
            description,
            wire,
            doubts,
            wrong,
            fault,
        } = self.taken;
        let look = self.args.look();
        let mut map = serializer.serialize_map(None)?;
        if let Some(line) = self.line {
            map.serialize_entry("line", &line)?;
        }
        match description {
            Some(description) => MessageJson {
                description,
                wire,
                reveal: look.reveal,
                language: look.language,
            }
            .entries(&mut map)?,
            None => map.serialize_entry("dialect", best.dialect.name())?,
        }
        let found = serde_json::json!({
            "layout": best.layout.name(),
            "notation": best.notation.name(),
            "bytes": best.input.len(),
            "runner_up": runner_up,
        });
        map.serialize_entry("found", &found)?;
        if !doubts.is_empty() {
            map.serialize_entry("doubts", &doubtful(doubts))?;
        }
        if !best.is_sound() {
            map.serialize_entry("broken", &true)?;
        }
        if let Some(wrong) = wrong {
            map.serialize_entry("error", wrong)?;
        }
        if let Some(fault) = fault {
            map.serialize_entry("at", &fault.at)?;
            map.serialize_entry("causes", &causes(fault))?;
        }
        map.end()
    }
}

fn doubtful(doubts: &[Doubt]) -> Vec<serde_json::Value> {
    let one = |doubt: &Doubt| serde_json::json!({ "field": doubt.key(), "text": doubt.text });
    doubts.iter().map(one).collect()
}

fn causes(fault: &Fault) -> Vec<serde_json::Value> {
    let one = |cause: &Cause| serde_json::json!({ "text": cause.text, "remedy": cause.remedy, "decodes": cause.sound });
    fault.causes.iter().map(one).collect()
}

fn show(taken: &Taken, args: &Args) -> anyhow::Result<()> {
    let mut out = vec![table::taken_as(&taken.best)];
    if let Some(runner_up) = &taken.runner_up {
        out.push(format!(
            "{runner_up} fits nearly as well; --dialect {runner_up} takes it as that"
        ));
    }
    if let Some(description) = &taken.description {
        out.extend(table::lines(description, taken.best.layout, args.look()));
    }
    out.extend(table::doubts(&taken.doubts));
    if let Some(fault) = &taken.fault {
        out.extend(table::fault(fault));
    }
    output::lines(&out)?;
    Ok(())
}

/// One message a line.
fn lines(args: &Args, dialects: &[Arc<Dialect>]) -> anyhow::Result<ExitCode> {
    let mut source = args.source.lines()?;
    let mut out = output::Stream::new();
    let mut broken = false;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if !next_line(&mut source, &mut line)? {
            break;
        }
        let text = line.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let taken = input::readings(text, args.input)
            .and_then(|readings| Taken::of(&readings, dialects, args, Search::Nothing));
        match taken {
            Ok(taken) => {
                broken |= taken.wrong.is_some();
                let mut json = taken.json(args);
                json.line = Some(number);
                out.line(&serde_json::to_string(&json)?)?;
            }
            Err(error) => {
                broken = true;
                let json = serde_json::json!({ "line": number, "broken": true, "error": format!("{error:#}") });
                out.line(&json.to_string())?;
            }
        }
    }
    out.finish()?;
    Ok(if broken {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads a line without its end. One that is longer than any message is cut, which is then told.
pub(super) fn next_line(source: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let most = u64::try_from(INPUT_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    let mut bounded = Read::take(&mut *source, most);
    if bounded.read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && bounded.limit() == 0 {
        source.skip_until(b'\n')?;
    }
    Ok(true)
}
