//! Log set-up: readable or JSON lines on standard error, and a last-line scrubber.
//!
//! Card data is masked by the types that hold it. The scrubber behind them replaces whatever still looks
//! like a card number in a finished line: 13 to 19 digits that pass the Luhn check.

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::base::card::luhn;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Lines that may wait for whoever reads the log. Beyond, lines are lost: a log that nobody reads must
/// not stop the switch.
const WAITING_LINES_MAX: usize = 8_192;

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct LogGuard(#[expect(dead_code, reason = "its drop writes the rest")] WorkerGuard);

/// Installs the process's log. `level` is a filter such as `info` or `posgate=debug,warn`. Lines are
/// written by a thread of their own.
///
/// # Errors
/// When the filter cannot be read or a log is installed already.
pub fn install(
    format: LogFormat,
    level: &str,
) -> Result<LogGuard, Box<dyn std::error::Error + Send + Sync>> {
    let filter = filter(level)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES_MAX)
        .finish(io::stderr());
    // Colours are for people: a file or a pipe gets plain lines.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(Scrubbed(writer));
    match format {
        LogFormat::Text => builder.with_target(false).try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).try_init()?,
    }
    Ok(LogGuard(guard))
}

/// An error with all its causes on one line, for a log that people and machines read.
#[must_use]
pub fn chain(problem: &dyn std::error::Error) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}

/// Whether a filter can be used.
///
/// # Errors
/// What is wrong with it.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(|_usable| ())
}

/// Reads a filter. Names of modules and levels are ASCII; the reader of filters takes a letter of more bytes apart, and
/// panics.
fn filter(level: &str) -> Result<EnvFilter, String> {
    if let Some(letter) = level.chars().find(|c| !c.is_ascii()) {
        return Err(format!(
            "it has the letter {}, which no level has",
            letter.escape_unicode()
        ));
    }
    EnvFilter::try_new(level).map_err(|problem| problem.to_string())
}

struct Scrubbed(NonBlocking);

impl<'a> MakeWriter<'a> for Scrubbed {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            bytes: Vec::with_capacity(256),
            out: self.0.clone(),
        }
    }
}

/// One event's bytes, scrubbed and handed over in one go when it ends.
struct Line {
    bytes: Vec<u8>,
    out: NonBlocking,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        scrub(&mut self.bytes);
        // A log that cannot be written must not stop the switch.
        drop(self.out.write_all(&self.bytes));
    }
}

/// Replaces all but the first six and last four digits of anything that looks like a card number.
pub fn scrub(line: &mut [u8]) {
    let mut start = 0;
    while start < line.len() {
        let run = line[start..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if (13..=19).contains(&run) && luhn(&line[start..start + run]) {
            for digit in &mut line[start + 6..start + run - 4] {
                *digit = b'*';
            }
        }
        start += run + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        scrub(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn card_numbers_in_a_line_are_masked() {
        assert_eq!(
            scrubbed("pan=4761739001010010 end"),
            "pan=476173******0010 end"
        );
        assert_eq!(scrubbed("4761739001010010"), "476173******0010");
        assert_eq!(
            scrubbed("a4761739001010010b4761739001010010"),
            "a476173******0010b476173******0010"
        );
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "at 1795305600000001",
            "104512541110001",
            "4761739001010011",
            "",
        ] {
            assert_eq!(scrubbed(text), text);
        }
    }
}
