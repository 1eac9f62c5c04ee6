//! `posgate protocol check`: every mistake of dialect files, and their sample messages tried.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::super::{check::report, output};
use crate::base::Counted;
use crate::base::document::{Problem, Severity};
use crate::base::limits;
use crate::iso8583::Dialect;
use crate::wire::Sample;

/// Checks dialects: every mistake with file, line and column, and the way out.
///
/// A folder that holds a dialect.toml is one dialect, with the sample messages in its folder `messages`: sound ones
/// must decode and come out the same when written anew, those named broken- fail as they say. Any other folder
/// is searched for such folders. Exit 0: sound (warnings may be printed). Exit 2: mistakes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Dialect files or folders; the shipped dialects are known by `extends`
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Treat warnings as mistakes
    #[arg(long)]
    deny_warnings: bool,
}

/// Runs the command.
///
/// # Errors
/// When a path cannot be read, a folder has no dialect in it, or nothing can be printed.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    for path in &args.paths {
        match dialect_files(path) {
            Ok(files) => {
                problems.extend(named_alike(&files));
                for file in files {
                    problems.extend(check(&file)?);
                }
            }
            Err(error) => problems.push(wrong(path, 1, format!("{error:#}"))),
        }
    }
    report(&problems)?;
    let mistaken = |problem: &Problem| problem.severity == Severity::Error || args.deny_warnings;
    Ok(if problems.iter().any(mistaken) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

/// Dialects of one folder that have the same name: settings and `extends` could mean either.
fn named_alike(files: &[PathBuf]) -> Vec<Problem> {
    let mut seen: Vec<(String, &Path)> = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let Ok(text) = read(
            file,
            limits::DOCUMENT_BYTES_MAX.try_into().unwrap_or(u64::MAX),
        ) else {
            continue;
        };
        let Some(name) = Dialect::name_in(&text) else {
            continue;
        };
        match seen.iter().find(|(known, _)| *known == name) {
            Some((_, other)) => problems.push(wrong(
                file,
                line_of_name(&text),
                format!(
                    "{} is called \"{name}\" too; settings know a dialect by its name, write another",
                    other.display()
                ),
            )),
            None => seen.push((name, file)),
        }
    }
    problems
}

/// The line in which a dialect file names itself.
fn line_of_name(text: &str) -> usize {
    let of_name = |line: &str| line.trim_start().starts_with("name");
    text.lines().position(of_name).map_or(1, |at| at + 1)
}

/// The dialect files that a path stands for, sorted.
fn dialect_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let own = path.join("dialect.toml");
    if own.is_file() {
        return Ok(vec![own]);
    }
    let mut files: Vec<_> = folder(path)?
        .into_iter()
        .map(|entry| entry.join("dialect.toml"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        bail!(
            "{} has no dialect.toml, and no folder in it has one",
            path.display()
        );
    }
    Ok(files)
}

fn folder(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("{} cannot be read", path.display());
    let entries = fs::read_dir(path).with_context(unreadable)?;
    let paths = entries.map(|entry| Ok(entry.with_context(unreadable)?.path()));
    paths.collect()
}

/// What is wrong with one dialect and its samples; says what is sound.
fn check(file: &Path) -> anyhow::Result<Vec<Problem>> {
    let text = match read(file, limits::DOCUMENT_BYTES_MAX.try_into()?) {
        Ok(text) => text,
        Err(problem) => return Ok(vec![problem]),
    };
    let find = |name: &str| parent(file, name);
    let dialect = match Dialect::parse_with(&file.display().to_string(), &text, &find) {
        Ok(dialect) => dialect,
        Err(problems) => return Ok(problems),
    };
    let mut problems = dialect.warnings().to_vec();
    problems.extend(other_folder(file, dialect.name(), &text));
    let mut tried = 0;
    for sample in samples(file)? {
        problems.extend(try_sample(&dialect, &sample));
        tried += 1;
    }
    if problems
        .iter()
        .all(|problem| problem.severity == Severity::Warning)
    {
        let serves = if dialect.serves() {
            "serves"
        } else {
            "decodes only: it has no [[request]], so `serve` refuses it"
        };
        let (name, fields) = (dialect.name(), dialect.fields().len());
        let file = file.display();
        output::line(format_args!(
            "{file}: {name} is sound, {}, {}, {serves}",
            Counted(fields, "field"),
            Counted(tried, "sample message")
        ))?;
    }
    Ok(problems)
}

/// A warning when a dialect lies in a folder of another name: people look for it by the folder, settings by the name.
fn other_folder(file: &Path, name: &str, text: &str) -> Option<Problem> {
    let file_name = file.file_name()?;
    let path = fs::canonicalize(file).ok()?;
    let folder = path.parent()?.file_name()?.to_str()?;
    if file_name != "dialect.toml" || folder == name {
        return None;
    }
    let line = line_of_name(text);
    let message = format!(
        "name is \"{name}\" and the folder is {folder}; settings know the dialect by its name"
    );
    Some(Problem {
        severity: Severity::Warning,
        ..wrong(file, line, message)
    })
}

/// A dialect that the file may build on: the one of that name in a folder beside its own.
fn parent(file: &Path, name: &str) -> Option<(String, String)> {
    let beside = folder(file.parent()?.parent()?).ok()?;
    let files = beside.into_iter().map(|folder| folder.join("dialect.toml"));
    files.filter(|file| file.is_file()).find_map(|file| {
        let text = read(&file, limits::DOCUMENT_BYTES_MAX.try_into().ok()?).ok()?;
        let found = Dialect::name_in(&text).as_deref() == Some(name);
        found.then(|| (file.display().to_string(), text))
    })
}

/// The sample messages beside a dialect file, sorted.
fn samples(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let messages = file.with_file_name("messages");
    if !messages.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = folder(&messages)?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "hex"));
    files.sort();
    Ok(files)
}

/// What is wrong with a sample.
fn try_sample(dialect: &Dialect, file: &Path) -> Option<Problem> {
    let wrong = |line, message| wrong(file, line, message);
    let text = match read(file, limits::SAMPLE_BYTES_MAX) {
        Ok(text) => text,
        Err(problem) => return Some(problem),
    };
    let checked = Sample::parse(&text).and_then(|sample| {
        sample.check(dialect, &text)?;
        Ok(sample)
    });
    let sample = match checked {
        Ok(sample) => sample,
        Err(error) => return Some(wrong(error.line(), error.to_string())),
    };
    let name = sample.answers.as_ref()?;
    let line = Sample::line_of_answers(&text);
    let request = match request(file, name) {
        Ok(request) => request,
        Err(message) => return Some(wrong(line, message)),
    };
    let answers = sample.check_answer(&request, dialect);
    answers.err().map(|error| wrong(line, error.to_string()))
}

/// The sample beside the file that it answers.
fn request(file: &Path, name: &str) -> Result<Sample, String> {
    let path = file.with_file_name(format!("{name}.hex"));
    if !path.is_file() {
        return Err(format!(
            "there is no sample \"{name}\" that it could answer; write the name of a file beside it without .hex"
        ));
    }
    let text = read(&path, limits::SAMPLE_BYTES_MAX).map_err(|problem| problem.message)?;
    Sample::parse(&text).map_err(|error| {
        format!(
            "what it answers, \"{name}\", is no sample: line {}: {error}",
            error.line()
        )
    })
}

/// A mistake at the beginning of a line.
fn wrong(file: &Path, line: usize, message: String) -> Problem {
    Problem {
        file: file.display().to_string(),
        line,
        column: 1,
        severity: Severity::Error,
        message,
    }
}

/// A file's text, when it is not longer than it may be.
fn read(file: &Path, bytes_max: u64) -> Result<String, Problem> {
    let unreadable = |error| wrong(file, 1, format!("cannot be read: {error}"));
    let opened = fs::File::open(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    opened
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).map_or(true, |read| read > bytes_max) {
        return Err(wrong(file, 1, format!("is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let line = sound
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .count();
        let message = "holds bytes that are no UTF-8; save the file in UTF-8";
        wrong(file, line, message.to_owned())
    })
}
