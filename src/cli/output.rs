//! Where commands write their results.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

/// As a shell tells of a program that SIGPIPE ended: 128 and the signal's number.
const UNREAD: u8 = 128 + 13;

/// Standard output is a pipe that nobody reads any more, as behind `| head`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
struct Unread;

/// What to end with when `problem` is that nobody reads on, which is nothing to complain of; else the problem.
pub(super) fn unless_unread(problem: anyhow::Error) -> anyhow::Result<ExitCode> {
    let unread = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        inner.is_some_and(|inner| inner.is::<Unread>())
    };
    if problem.chain().any(unread) {
        return Ok(ExitCode::from(UNREAD));
    }
    Err(problem)
}

/// Exit code of commands on files when there is nothing to look at: a file that cannot be read, a dialect that nobody
/// knows.
pub(super) const TROUBLE: u8 = 2;

/// What a command on files ends with: a problem is told on standard error, and is [`TROUBLE`].
///
/// # Errors
/// When nothing can be written.
pub(super) fn or_trouble(ended: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    ended.or_else(|error| match unless_unread(error) {
        Ok(ended) => Ok(ended),
        Err(error) => {
            let told = guarded(&format!("{error:#}"));
            error_line(format_args!("posgate: {told}"))?;
            Ok(ExitCode::from(TROUBLE))
        }
    })
}

/// Standard output. That nobody reads it is told from every other closed connection.
#[derive(Debug)]
pub(super) struct Standard(io::StdoutLock<'static>);

impl Standard {
    pub(super) fn lock() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(unread)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unread)
    }
}

fn unread(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Unread),
        _ => error,
    }
}

/// Writes a line to standard output. A closed pipe is an error like any other: nobody reads on.
pub(super) fn line(text: Arguments<'_>) -> io::Result<()> {
    let mut out = Standard::lock();
    out.write_fmt(text)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a table to standard output: columns as wide as they need, the header first.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let all: Vec<_> = std::iter::once(&header).chain(rows).collect();
    padded(&all)
}

/// Writes names and values to standard output, below each other.
pub(super) fn columns(rows: &[Vec<String>]) -> io::Result<()> {
    padded(&rows.iter().collect::<Vec<_>>())
}

/// Writes rows whose columns are as wide as they need.
fn padded(rows: &[&Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(*row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = io::BufWriter::new(Standard::lock());
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    out.flush()
}

/// Writes a line to standard error.
pub(super) fn error_line(text: Arguments<'_>) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_fmt(text)?;
    err.write_all(b"\n")
}

/// An error without what may be a message, a card number or a key that somebody gave where something else belongs: of
/// that many hexadecimal digits in a row the first four are told, and how many there are.
pub(super) fn guarded(text: &str) -> String {
    let digit = |byte: &u8| byte.is_ascii_hexdigit();
    let mut out = String::new();
    let runs = text
        .as_bytes()
        .chunk_by(|left, right| digit(left) == digit(right));
    let mut at = 0_usize;
    for run in runs {
        let end = at.saturating_add(run.len());
        let piece = text.get(at..end).unwrap_or_default();
        at = end;
        if run.len() < GIVEN_DIGITS_MIN || !run.first().is_some_and(digit) {
            out.push_str(piece);
            continue;
        }
        out.push_str(piece.get(..4).unwrap_or_default());
        out.push_str(&format!("\u{2026} ({} characters)", run.len()));
    }
    out
}

/// Digits of the shortest card number.
const GIVEN_DIGITS_MIN: usize = 12;

/// Writes lines to standard output.
pub(super) fn lines(all: &[String]) -> io::Result<()> {
    let mut out = Stream::new();
    for line in all {
        out.line(line)?;
    }
    out.finish()
}

/// Writes bytes to standard output as they are.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = Standard::lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Standard output for many lines; they are there when it is finished.
#[derive(Debug)]
pub(super) struct Stream(io::BufWriter<Standard>);

impl Stream {
    pub(super) fn new() -> Self {
        Self(io::BufWriter::new(Standard::lock()))
    }

    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.write_all(b"\n")
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_in_the_wrong_place_is_not_told_again() {
        let told = guarded("no dialect 4716908273645185; did you mean 1987?");
        assert_eq!(
            told,
            "no dialect 4716\u{2026} (16 characters); did you mean 1987?"
        );
        for same in [
            "no dialect nosuch",
            "line 12345678901",
            "\u{7ec8}\u{7aef} 0200",
            "",
        ] {
            assert_eq!(guarded(same), same);
        }
    }
}
