//! Where messages and dialects come from: arguments, files, standard input, folders.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::base::document::{Document, Problems, nearest};
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

/// Whether somebody meant a file: no message begins with a letter, or a dot or stroke, and ends like a file's name.
fn looks_like_a_path(text: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphabetic() || matches!(first, '.' | '/' | '~');
    let named = Path::new(text).extension().is_some_and(|end| {
        let end = end.as_encoded_bytes();
        end.len() <= 5 && end.iter().all(u8::is_ascii_alphanumeric)
    });
    text.len() < 256 && named && text.starts_with(begins) && !text.contains(char::is_whitespace)
}

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
    /// Folder with further dialects, one folder each, as `protocols` in the configuration names it
    #[arg(long, value_name = "DIR")]
    protocols: Option<PathBuf>,
    /// Configuration whose `protocols` is used
    #[arg(short, long, value_name = "FILE", conflicts_with = "protocols")]
    config: Option<PathBuf>,
}

impl Dialects {
    /// The dialect that was named, or all of them.
    pub(super) fn wanted(&self) -> anyhow::Result<Vec<Arc<Dialect>>> {
        match &self.dialect {
            Some(name) => Ok(vec![self.named(name)?]),
            None => self.all(),
        }
    }

    /// Whether what was named on the command line can be read.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.wanted().map(drop)
    }

    /// The dialect that was named on the command line, else the one that a message names.
    pub(super) fn of_message(&self, said: Option<&str>) -> anyhow::Result<Arc<Dialect>> {
        match self.dialect.as_deref().or(said) {
            Some(name) => self.named(name),
            None => bail!(
                "the message names no dialect; add `\"dialect\": \"…\"` to it, or --dialect NAME"
            ),
        }
    }

    fn named(&self, name: &str) -> anyhow::Result<Arc<Dialect>> {
        let all = self.all()?;
        if let Some(found) = all.iter().find(|dialect| dialect.name() == name) {
            return Ok(Arc::clone(found));
        }
        let known: Vec<_> = all.iter().map(|dialect| dialect.name()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => bail!("no dialect {name}; did you mean {near}?"),
            None => bail!("no dialect {name}; known: {}", known.join(", ")),
        }
    }

    /// Those of the folder, which win, and the shipped ones.
    fn all(&self) -> anyhow::Result<Vec<Arc<Dialect>>> {
        let mut all = match self.folder()? {
            Some(folder) => of_folder(&folder)?,
            None => Vec::new(),
        };
        for name in Dialect::shipped_names() {
            if all.iter().all(|dialect| dialect.name() != *name) {
                all.extend(Dialect::shipped(name));
            }
        }
        Ok(all)
    }

    fn folder(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(file) = &self.config else {
            return Ok(self.protocols.clone());
        };
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
        let problems = Problems::new(file.display().to_string(), &text);
        let document = Document::parse(&problems, &text);
        let root = document.root(&problems);
        let Some(folder) = root.text("protocols") else {
            return Ok(None);
        };
        let beside = file.parent().unwrap_or_else(|| Path::new("."));
        Ok(Some(beside.join(folder.value)))
    }
}

/// All dialects of a folder; one mistake refuses them all, since a dialect that is not tried might be the one.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<Arc<Dialect>>> {
    let listed = fs::read_dir(folder);
    let listed =
        listed.with_context(|| format!("{} cannot be read as a folder", folder.display()))?;
    let mut files: Vec<_> = listed
        .filter_map(|entry| Some(entry.ok()?.path().join("dialect.toml")))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("{name} cannot be read"))?;
        texts.push((name, text));
    }
    let find = |name: &str| {
        let mut texts = texts.iter();
        let named = |(_, text): &&(String, String)| Dialect::name_in(text).as_deref() == Some(name);
        texts.find(named).cloned()
    };
    let mut all = Vec::new();
    for (name, text) in &texts {
        match Dialect::parse_with(name, text, &find) {
            Ok(dialect) => all.push(Arc::new(dialect)),
            Err(problems) => {
                let first = problems
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                bail!("{first}\n`posgate protocol check {name}` lists all mistakes");
            }
        }
    }
    Ok(all)
}
