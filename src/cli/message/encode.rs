//! `posgate message encode`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde_json::Value;

use super::FOUND;
use super::decode::next_line;
use super::input::Source;
use crate::base::limits::FRAME_BYTES_MAX;
use crate::cli::dialects::Known;
use crate::cli::output::{self, TROUBLE};
use crate::inspect::bytes::{to_base64, to_hex};
use crate::inspect::{self, json, once};
use crate::iso8583::{Dialect, Index};
use crate::wire::{Scan, scan};

/// Write a message from the JSON that `decode -o json --unmask` shows
///
/// `{"dialect": "unionpay-pos", "mti": "0200", "fields": {"3": "000000", "41": "TERM0001"}}` is enough: TPDU and
/// header are the dialect's own unless `tpdu` and `header` are given. A field that does not divide into the parts that its
/// dialect knows is written as it is, with a warning on standard error. Exit code 1 if it does not fit, 2 if nothing can
/// be read or there is no such dialect.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of a command line, each yes or no by itself"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Dialect of the message; if left out, the one that it names itself
    #[arg(short, long, value_name = "NAME")]
    dialect: Option<String>,
    #[command(flatten)]
    known: Known,
    /// Without the length prefix
    #[arg(long)]
    bare: bool,
    /// Write base64 rather than hexadecimal digits
    #[arg(long, conflicts_with = "raw")]
    base64: bool,
    /// Write the bytes themselves
    #[arg(long, conflicts_with = "lines")]
    raw: bool,
    /// One message on each line, as `decode --lines` writes them
    ///
    /// What does not fit is told on standard error with its line, the rest is still written, and the exit code
    /// is 1.
    #[arg(long)]
    lines: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // A dialect that was named and is not there is no fault of the message.
    match &args.dialect {
        Some(name) => args.known.named(name).map(drop)?,
        None => args.known.all().map(drop)?,
    }
    if args.lines {
        return lines(args);
    }
    let text = args.source.read()?;
    let told = |error: &anyhow::Error, code| {
        let told = output::guarded(&format!("{error:#}"));
        output::error_line(format_args!("posgate: {told}"))?;
        anyhow::Ok(ExitCode::from(code))
    };
    let json = match parsed(&text) {
        Ok(json) => json,
        Err(error) => return told(&error, TROUBLE),
    };
    let named = match named(args, &json) {
        Ok(named) => named,
        Err(error) => return told(&error, FOUND),
    };
    // Which dialects there are is no matter of the message.
    let dialect = match dialect(args, named) {
        Ok(dialect) => dialect,
        Err(error) => return told(&error, TROUBLE),
    };
    let Written { bytes, doubt } = match message(args, &dialect, &json) {
        Ok(written) => written,
        Err(error) => return told(&error, FOUND),
    };
    if let Some(doubt) = doubt {
        output::error_line(format_args!("posgate: warning: {doubt}"))?;
    }
    if args.raw {
        output::bytes(&bytes)?;
    } else {
        output::line(format_args!("{}", in_letters(args, &bytes)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn in_letters(args: &Args, bytes: &[u8]) -> String {
    if args.base64 {
        to_base64(bytes)
    } else {
        to_hex(bytes)
    }
}

/// The JSON of a message: an object.
fn parsed(text: &[u8]) -> anyhow::Result<Value> {
    if !text.trim_ascii_start().starts_with(b"{") {
        bail!(
            "this is no message in JSON, which begins with a brace, and no name of a file that is there"
        );
    }
    once::parse(text).context("this is no message in JSON")
}

/// A message as it goes over the wire.
struct Written {
    bytes: Vec<u8>,
    /// Why a field of it may not be what was meant.
    doubt: Option<String>,
}

/// The dialect that is named for a message, if one is.
fn named<'a>(args: &'a Args, json: &'a Value) -> anyhow::Result<Option<&'a str>> {
    let own = json::dialect_of(json)?;
    Ok(args.dialect.as_deref().or(own))
}

fn dialect(args: &Args, named: Option<&str>) -> anyhow::Result<Arc<Dialect>> {
    match named {
        Some(name) => args.known.named(name),
        None => {
            bail!("the message names no dialect; add `\"dialect\": \"…\"` to it, or --dialect NAME")
        }
    }
}

fn message(args: &Args, dialect: &Dialect, json: &Value) -> anyhow::Result<Written> {
    let mut out = BytesMut::new();
    json::encode(dialect, json, &mut out)?;
    let framing = dialect.framing();
    let prefix = if args.bare { framing.prefix_bytes() } else { 0 };
    let mut index = Index::new();
    let frame = match scan(framing, &out, FRAME_BYTES_MAX) {
        Ok(Scan::Frame { start, end }) => out.get(start..end),
        Ok(Scan::Need(_)) | Err(_) => None,
    };
    let message = frame.and_then(|frame| dialect.decode(frame, &mut index).ok());
    let doubt = message.and_then(|message| inspect::indivisible(&message));
    Ok(Written {
        bytes: out.split_off(prefix).to_vec(),
        doubt: doubt.map(|doubt| format!("{doubt}; it is written as it is")),
    })
}

fn lines(args: &Args) -> anyhow::Result<ExitCode> {
    let mut source = args.source.lines()?;
    let mut out = output::Stream::new();
    let mut refused = false;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if !next_line(&mut *source, &mut line)? {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let written = parsed(&line)
            .and_then(|json| message(args, &*dialect(args, named(args, &json)?)?, &json));
        match written {
            Ok(Written { bytes, doubt }) => {
                if let Some(doubt) = doubt {
                    output::error_line(format_args!("line {number}: warning: {doubt}"))?;
                }
                out.line(&in_letters(args, &bytes))?;
            }
            Err(error) => {
                refused = true;
                let told = output::guarded(&format!("{error:#}"));
                output::error_line(format_args!("line {number}: {told}"))?;
            }
        }
    }
    out.finish()?;
    Ok(if refused {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}
