//! Sample messages of a dialect: files that say what must come of them.
//!
//! A file is one frame with its length prefix. `#` begins a comment, `'` a line of ASCII text; everything else
//! is hexadecimal. One comment says what to expect: `# expect: sale` names the request row (`answer` for what is
//! no request, `message` where the dialect has no rows), `# expect: truncated DE35` the error. `# answers: sale`
//! names the sample beside it that this one answers.

use bytes::BytesMut;

use crate::iso8583::{Dialect, Index, Message, Mismatch, again};

use super::{Scan, scan};

/// Longest frame a sample may have.
const FRAME_BYTES_MAX: usize = 65_535;

/// One sample message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What must come of it.
    pub expect: String,
    /// The sample that this one answers, by its file's name without the ending.
    pub answers: Option<String>,
    /// The frame with its length prefix.
    pub bytes: Vec<u8>,
}

/// Why a file is no sample, or a sample not what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A line is neither a comment, nor text, nor hexadecimal.
    #[error("not a comment (#), ASCII text (') or pairs of hexadecimal digits")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// There is no line that says what to expect.
    #[error(
        "no line says what to expect; write `# expect: sale`, or the error of a broken message"
    )]
    NoExpectation,
    /// It comes to something else.
    #[error("expected \"{expected}\", found \"{found}\"")]
    Verdict {
        /// The line that says what to expect, from 1.
        line: usize,
        /// What the file says.
        expected: String,
        /// What the dialect says.
        found: String,
    },
    /// It does not answer the message that it should.
    #[error("is no answer to that message: {0}")]
    NoAnswer(Mismatch),
    /// Written anew from its values it is another message.
    #[error(
        "written anew it differs at byte {offset} of {bytes}; check the padding and filling of the field there"
    )]
    Differs {
        /// First byte that differs, the length prefix counted.
        offset: usize,
        /// Bytes of the sample.
        bytes: usize,
    },
}

impl SampleError {
    /// The line at fault, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        match self {
            Self::Line { line } | Self::Verdict { line, .. } => *line,
            Self::NoExpectation | Self::NoAnswer(_) | Self::Differs { .. } => 1,
        }
    }
}

impl Sample {
    /// Reads a sample file.
    ///
    /// # Errors
    /// The first line that is none of a sample file, or the lack of an expectation.
    pub fn parse(text: &str) -> Result<Self, SampleError> {
        let mut bytes = Vec::new();
        let (mut expect, mut answers) = (None, None);
        for (line, number) in text.lines().zip(1..) {
            if let Some(words) = line.strip_prefix("# expect: ") {
                expect = Some(words.trim().to_owned());
            } else if let Some(name) = line.strip_prefix("# answers: ") {
                answers = Some(name.trim().to_owned());
            } else if let Some(ascii) = line.strip_prefix('\'') {
                bytes.extend_from_slice(ascii.as_bytes());
            } else if !line.starts_with('#') {
                bytes.extend(unhex(line).ok_or(SampleError::Line { line: number })?);
            }
        }
        let expect = expect.ok_or(SampleError::NoExpectation)?;
        Ok(Self {
            expect,
            answers,
            bytes,
        })
    }

    /// Reads the message in the dialect, compares what comes of it with what its file (`text`) says, and writes
    /// a sound one anew.
    ///
    /// # Errors
    /// What is otherwise than the file says.
    pub fn check(&self, dialect: &Dialect, text: &str) -> Result<(), SampleError> {
        let mut index = Index::new();
        let (found, rewritten) = self.verdict(dialect, &mut index);
        if found != self.expect {
            let mut lines = text.lines().zip(1..);
            let line = lines.find(|(line, _)| line.starts_with("# expect: "));
            return Err(SampleError::Verdict {
                line: line.map_or(1, |(_, number)| number),
                expected: self.expect.clone(),
                found,
            });
        }
        match rewritten {
            Some(out) if out != self.bytes => {
                let same = out.iter().zip(&self.bytes).take_while(|(a, b)| a == b);
                Err(SampleError::Differs {
                    offset: same.count(),
                    bytes: self.bytes.len(),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The line of a sample's text that says what it answers, from 1.
    #[must_use]
    pub fn line_of_answers(text: &str) -> usize {
        let mut lines = text.lines().zip(1..);
        let line = lines.find(|(line, _)| line.starts_with("# answers: "));
        line.map_or(1, |(_, number)| number)
    }

    /// Whether it answers the other message, by what the dialect matches.
    ///
    /// # Errors
    /// The field that tells them apart.
    pub fn check_answer(&self, request: &Self, dialect: &Dialect) -> Result<(), SampleError> {
        let (mut index, mut other) = (Index::new(), Index::new());
        let told_apart = match (self.frame(dialect), request.frame(dialect)) {
            (Ok(answer), Ok(request)) => {
                match (
                    dialect.decode(answer, &mut index),
                    dialect.decode(request, &mut other),
                ) {
                    (Ok(answer), Ok(request)) => answer.answers(&request),
                    (_, _) => Err(Mismatch::Mti),
                }
            }
            (_, _) => Err(Mismatch::Mti),
        };
        told_apart.map_err(SampleError::NoAnswer)
    }

    /// The frame without its length prefix; what the framing says when it is none.
    fn frame(&self, dialect: &Dialect) -> Result<&[u8], String> {
        match scan(dialect.framing(), &self.bytes, FRAME_BYTES_MAX) {
            Ok(Scan::Frame { start, end }) if end == self.bytes.len() => {
                Ok(self.bytes.get(start..end).unwrap_or_default())
            }
            Ok(Scan::Frame { .. }) => Err("bytes behind the frame".to_owned()),
            Ok(Scan::Need(_)) => Err("incomplete frame".to_owned()),
            Err(error) => Err(error.label().to_owned()),
        }
    }

    /// What the dialect says of the message, in the words of sample files, and a sound one written anew.
    fn verdict(&self, dialect: &Dialect, index: &mut Index) -> (String, Option<BytesMut>) {
        let frame = match self.frame(dialect) {
            Ok(frame) => frame,
            Err(label) => return (label, None),
        };
        match dialect.decode(frame, index) {
            Err(error) => match error.field() {
                Some(de) => (format!("{} DE{de}", error.label()), None),
                None => (error.label().to_owned(), None),
            },
            Ok(message) => match message.broken_part() {
                Some((de, error)) => (format!("{} DE{de}", error.label()), None),
                None => {
                    let mut out = BytesMut::new();
                    let written = again(&message, &mut out).map(|()| out);
                    (row(&message), Some(written.unwrap_or_default()))
                }
            },
        }
    }
}

/// What a sound message is.
fn row(message: &Message<'_>) -> String {
    let dialect = message.dialect();
    let name = match dialect.classify(message) {
        Some(row) => &row.name,
        None if !message.mti().is_request() => "answer",
        None if dialect.serves() => "unknown request",
        None => "message",
    };
    match message.misshapen() {
        None => name.to_owned(),
        Some(wrong) => format!("{name} {wrong}"),
    }
}

/// The bytes of a line of hexadecimal digits, with spaces wherever.
fn unhex(line: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = line
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, odd) = digits.as_chunks::<2>();
    // At most 15 * 16 + 15.
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high.wrapping_mul(16).wrapping_add(*low)).ok();
    pairs
        .iter()
        .map(byte)
        .collect::<Option<_>>()
        .filter(|_| odd.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &str = "# expect: echo\n0036\n'0800\n'82200000000000000400000000000000\n'1122101500\n'000001\n'301\n";

    fn found(text: &str) -> Result<(), SampleError> {
        let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
        Sample::parse(text)?.check(&dialect, text)
    }

    #[test]
    fn a_sample_says_what_must_come_of_it() {
        let text = ECHO.replace("0036", "0037");
        assert_eq!(found(&text), Ok(()));
        let other = found(&text.replace("expect: echo", "expect: sale"));
        let Err(SampleError::Verdict {
            line, found: seen, ..
        }) = other
        else {
            panic!("{other:?}");
        };
        assert_eq!((line, seen.as_str()), (1, "echo"));
    }

    #[test]
    fn what_is_no_sample_has_its_line() {
        assert_eq!(found("'0800"), Err(SampleError::NoExpectation));
        assert_eq!(
            found("# expect: echo\n0x"),
            Err(SampleError::Line { line: 2 })
        );
        assert_eq!(
            found("# expect: echo\n000"),
            Err(SampleError::Line { line: 2 })
        );
    }
}
