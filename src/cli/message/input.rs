//! Where messages and dialects come from: arguments, files, standard input, folders.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::cli::dialects::Known;
use crate::inspect::bytes::{self, INPUT_BYTES_MAX, Notation, Reading};
use crate::iso8583::Dialect;

/// Where a message comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The message itself, or a file that holds it; standard input if left out or `-`
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    /// A file that holds the message
    #[arg(short, long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
}

impl Source {
    /// What was given, as it is.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.message, &self.file) {
            (_, Some(file)) => of_file(file),
            (Some(text), None) => of_argument(text),
            (None, None) => of_stdin(),
        }
    }

    /// What was given, of any length, to be read line by line.
    pub(super) fn lines(&self) -> anyhow::Result<Box<dyn io::BufRead>> {
        let file = match (&self.message, &self.file) {
            (_, Some(file)) => Some(file.clone()),
            (Some(text), None) if text != "-" => Some(PathBuf::from(text)),
            (Some(_), None) | (None, None) => None,
        };
        Ok(match file {
            Some(file) => {
                let opened = fs::File::open(&file);
                let opened =
                    opened.with_context(|| format!("{} cannot be read", file.display()))?;
                Box::new(io::BufReader::new(opened))
            }
            None => Box::new(io::BufReader::new(io::stdin())),
        })
    }
}

/// An argument is a file when there is one of that name, `-` standard input, else the message itself.
pub(super) fn of_argument(text: &str) -> anyhow::Result<Vec<u8>> {
    if text == "-" {
        return of_stdin();
    }
    let path = Path::new(text);
    if text.len() < 4_096 && path.is_file() {
        return of_file(path);
    }
    if text.len() < 4_096 && path.is_dir() {
        bail!("{text} is a folder; name a file in it");
    }
    if looks_like_a_path(text) {
        bail!("there is no file {text}, and it does not look like a message");
    }
    Ok(text.as_bytes().to_vec())
}

/// Whether somebody meant a file: no message begins with a letter, or a dot or stroke, and ends like a file's name; and
/// none is a short word that is not hexadecimal digits.
fn looks_like_a_path(text: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphabetic() || matches!(first, '.' | '/' | '~');
    let named = Path::new(text).extension().is_some_and(|end| {
        let end = end.as_encoded_bytes();
        end.len() <= 5 && end.iter().all(u8::is_ascii_alphanumeric)
    });
    let inside = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_');
    let word = text.len() < MESSAGE_LETTERS_MIN
        && text.chars().all(inside)
        && !text.chars().all(|sign| sign.is_ascii_hexdigit());
    let sized = text.len() < 256 && !text.contains(char::is_whitespace);
    sized && (named || word) && text.starts_with(begins)
}

/// Fewest letters of a message in base64: type and bitmap are ten bytes.
const MESSAGE_LETTERS_MIN: usize = 14;

fn of_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file =
        fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    bounded(file).with_context(|| format!("{} cannot be read", path.display()))
}

fn of_stdin() -> anyhow::Result<Vec<u8>> {
    bounded(io::stdin().lock()).context("standard input cannot be read")
}

/// At most one byte more than may be: enough to see that it is too long.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let most = u64::try_from(INPUT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut all = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut all)?;
    Ok(all)
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Whatever decodes best
    #[default]
    Auto,
    /// Hexadecimal digits, or a hex dump with offsets
    Hex,
    /// Base64
    Base64,
    /// The bytes themselves
    Raw,
}

/// The ways in which an input can be read.
pub(super) fn readings(input: &[u8], form: Form) -> anyhow::Result<Vec<Reading>> {
    let notation = match form {
        Form::Auto => return Ok(bytes::readings(input)?),
        Form::Hex => Notation::Hex,
        Form::Base64 => Notation::Base64,
        Form::Raw => Notation::Raw,
    };
    let bytes = bytes::read(input, notation)?;
    Ok(vec![Reading { notation, bytes }])
}

/// Which dialects are tried.
#[derive(Debug, clap::Args)]
pub(super) struct Dialects {
    /// Dialect of the message; if left out, the one in which it decodes best
    #[arg(short, long, value_name = "NAME")]
    dialect: Option<String>,
    #[command(flatten)]
    known: Known,
}

impl Dialects {
    /// The dialect that was named, or all of them.
    pub(super) fn wanted(&self) -> anyhow::Result<Vec<Arc<Dialect>>> {
        match &self.dialect {
            Some(name) => Ok(vec![self.known.named(name)?]),
            None => self.known.all(),
        }
    }
}
