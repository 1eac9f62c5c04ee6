//! The bytes of a message out of whatever form people have it in: hexadecimal digits, a hex dump, base64, raw.

mod dump;
mod literal;
mod run;

use std::fmt;

/// Longest text that is read as one message, in bytes: a frame of the largest size as a wide hex dump.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// How the bytes of a message are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// Hexadecimal digits, also as a hex dump.
    Hex,
    /// The same, an odd number of them: one is missing, or too many.
    OddHex {
        /// Digits found; the last one is left out.
        digits: usize,
    },
    /// Base64 in either alphabet.
    Base64,
    /// The bytes themselves.
    Raw,
}

impl Notation {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hexadecimal",
            Self::OddHex { .. } => "hexadecimal, an odd number of digits",
            Self::Base64 => "base64",
            Self::Raw => "raw",
        }
    }
}

/// Why a text gives no bytes. Never holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// There is nothing.
    #[error("there is no message: the input is empty")]
    Empty,
    /// More than [`INPUT_BYTES_MAX`].
    #[error("the input has more than {INPUT_BYTES_MAX} bytes, which no message needs")]
    TooLong,
    /// A character that is no hexadecimal digit.
    #[error("line {line}, column {column} is no hexadecimal digit")]
    NotHex {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// Half a byte is left over.
    #[error("there are {digits} hexadecimal digits, an odd number: one is missing or too many")]
    OddDigits {
        /// Digits found.
        digits: usize,
    },
    /// A dump says that lines were left out.
    #[error(
        "line {line} is a `*`: the dump leaves out lines that repeat; make it with `hexdump -v`"
    )]
    LeftOut {
        /// From 1.
        line: usize,
    },
    /// A dump's offsets do not count the bytes before them.
    #[error("line {line} of the dump says offset {said:X}, {counted:X} bytes stand before it")]
    Offset {
        /// From 1.
        line: usize,
        /// Offset as written.
        said: usize,
        /// Bytes counted since the first line's offset.
        counted: usize,
    },
    /// Not base64.
    #[error("this is no base64")]
    NotBase64,
}

/// Bytes, and how they were written. `Debug` shows no value: it may be a message with card data.
#[derive(Clone, PartialEq, Eq)]
pub struct Reading {
    /// How they were written.
    pub notation: Notation,
    /// The message with whatever stands around it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Reading({:?}, {} bytes)",
            self.notation,
            self.bytes.len()
        )
    }
}

/// Every way in which an input can be read, likeliest first; at least one.
///
/// What consists of hexadecimal digits only may be an ASCII message too, and most short words are base64:
/// which one it is shows when the bytes are decoded.
///
/// # Errors
/// Nothing was given, or too much, or a hex dump that does not hold together.
pub fn readings(input: &[u8]) -> Result<Vec<Reading>, BytesError> {
    bounded(input)?;
    let raw = |bytes: &[u8]| Reading {
        notation: Notation::Raw,
        bytes: bytes.to_vec(),
    };
    let Some(text) = printable(input) else {
        return Ok(vec![raw(input)]);
    };
    let mut found = Vec::new();
    match hex(text) {
        Ok(bytes) => found.push(Reading {
            notation: Notation::Hex,
            bytes,
        }),
        // Offsets were understood, so it is a dump and nothing else.
        Err(error @ (BytesError::LeftOut { .. } | BytesError::Offset { .. })) => return Err(error),
        Err(BytesError::OddDigits { digits }) => found.extend(short_of_a_digit(text, digits)),
        Err(_) => {}
    }
    if let Ok(bytes) = base64(text) {
        found.push(Reading {
            notation: Notation::Base64,
            bytes,
        });
    }
    let line_end_cut = text.trim_end_matches(['\r', '\n']);
    found.push(raw(line_end_cut.as_bytes()));
    if found
        .iter()
        .all(|reading| reading.notation == Notation::Raw)
    {
        found.extend(run::longest(text));
    }
    Ok(found)
}

/// Digits of which one was lost or is too many, as far as they are whole bytes: in a message that is not there to its
/// end, this is said with it.
fn short_of_a_digit(text: &str, digits: usize) -> Option<Reading> {
    let last = text.rfind(|c: char| c.is_ascii_hexdigit())?;
    let bytes = hex(text.get(..last)?).ok()?;
    (bytes.len() >= MESSAGE_BYTES_MIN).then_some(Reading {
        notation: Notation::OddHex { digits },
        bytes,
    })
}

/// Shorter than any message: an odd number of digits is something else.
const MESSAGE_BYTES_MIN: usize = 8;

/// The bytes of an input that is known to be written in one way.
///
/// # Errors
/// It is not.
pub fn read(input: &[u8], notation: Notation) -> Result<Vec<u8>, BytesError> {
    bounded(input)?;
    let not_hex = |_| BytesError::NotHex { line: 1, column: 1 };
    match notation {
        Notation::Raw => Ok(input.to_vec()),
        Notation::Hex | Notation::OddHex { .. } => hex(str::from_utf8(input).map_err(not_hex)?),
        Notation::Base64 => {
            base64(str::from_utf8(input).map_err(|_not_text| BytesError::NotBase64)?)
        }
    }
}

fn bounded(input: &[u8]) -> Result<(), BytesError> {
    if input.is_empty() {
        return Err(BytesError::Empty);
    }
    if input.len() > INPUT_BYTES_MAX {
        return Err(BytesError::TooLong);
    }
    Ok(())
}

/// The input as text, when it can be meant as one: no control characters but those of layout.
fn printable(input: &[u8]) -> Option<&str> {
    let text = str::from_utf8(input).ok()?;
    let layout = |c: char| matches!(c, '\t' | '\r' | '\n');
    text.chars()
        .all(|c| layout(c) || !c.is_control())
        .then_some(text)
}

/// Hexadecimal digits. Between bytes may stand blanks, `:`, `,`, `-`, `0x` and `\x`; `#` and `//` begin a
/// comment; a line that begins with `'` is ASCII text, as in the sample messages of `protocols/`. Dumps of
/// `xxd`, `hexdump`, `hexdump -C`, `od -t x1`, `tcpdump -X` and Wireshark are read by their offsets; arrays and strings
/// of programs, and what `xxd -i` writes, by their braces or quotes.
///
/// # Errors
/// A character that does not belong there, or half a byte.
pub fn hex(text: &str) -> Result<Vec<u8>, BytesError> {
    if let Some(bytes) = dump::dump(text)? {
        return Ok(bytes);
    }
    if let Some(bytes) = literal::literal(text)? {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    let mut digits = Digits::default();
    for (at, line) in text.lines().enumerate() {
        match line.strip_prefix('\'') {
            Some(ascii) => {
                digits.close()?;
                out.append(&mut digits.bytes);
                out.extend_from_slice(ascii.as_bytes());
            }
            None => digits.line(at.saturating_add(1), line)?,
        }
    }
    digits.close()?;
    out.append(&mut digits.bytes);
    if out.is_empty() {
        return Err(BytesError::Empty);
    }
    Ok(out)
}

/// Hexadecimal digits as they come in.
#[derive(Default)]
struct Digits {
    bytes: Vec<u8>,
    half: Option<u8>,
    count: usize,
}

impl Digits {
    fn line(&mut self, number: usize, line: &str) -> Result<(), BytesError> {
        let mut characters = line.chars().enumerate().peekable();
        while let Some((at, c)) = characters.next() {
            let next = characters.peek().map(|(_, c)| *c);
            match (c, next) {
                ('#', _) | ('/', Some('/')) => return Ok(()),
                ('0' | '\\', Some('x' | 'X')) => {
                    characters.next();
                }
                _ if c.is_whitespace() || matches!(c, ':' | ',' | '-' | '\u{feff}') => {}
                _ => match c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
                    Some(digit) => self.push(digit),
                    None => {
                        return Err(BytesError::NotHex {
                            line: number,
                            column: at.saturating_add(1),
                        });
                    }
                },
            }
        }
        Ok(())
    }

    fn push(&mut self, digit: u8) {
        self.count = self.count.saturating_add(1);
        self.half = match self.half {
            None => Some(digit),
            Some(high) => {
                self.bytes.push((high << 4) | digit);
                None
            }
        };
    }

    const fn close(&self) -> Result<(), BytesError> {
        match self.half {
            None => Ok(()),
            Some(_) => Err(BytesError::OddDigits { digits: self.count }),
        }
    }
}

/// Base64 in the standard or the URL alphabet, with or without padding; blanks and line ends are skipped.
///
/// # Errors
/// Another character, or a length that no bytes have.
pub fn base64(text: &str) -> Result<Vec<u8>, BytesError> {
    let bare = text.trim_end().trim_end_matches('=');
    let mut out = Vec::new();
    let (mut bits, mut held, mut characters) = (0_u32, 0_u8, 0_usize);
    for c in bare.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let value = match c {
            b'A'..=b'Z' => c.wrapping_sub(b'A'),
            b'a'..=b'z' => c.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => c.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Err(BytesError::NotBase64),
        };
        characters = characters.saturating_add(1);
        // At most 7 bits were held: 13 now.
        bits = (bits << 6) | u32::from(value);
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            let [_, _, _, byte] = (bits >> held).to_be_bytes();
            out.push(byte);
            bits &= (1_u32 << held).wrapping_sub(1);
        }
    }
    if out.is_empty() || characters % 4 == 1 || bits != 0 {
        return Err(BytesError::NotBase64);
    }
    Ok(out)
}

/// Upper-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0F)]);
    digits.map(|digit| digit.to_ascii_uppercase()).collect()
}

/// Base64 with padding.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let character = |value: u32| {
        let at = usize::try_from(value & 63).unwrap_or_default();
        ALPHABET.get(at).copied().map_or('=', char::from)
    };
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
        let group = (a << 16) | (b << 8) | c;
        out.push(character(group >> 18));
        out.push(character(group >> 12));
        out.push(if three.len() > 1 {
            character(group >> 6)
        } else {
            '='
        });
        out.push(if three.len() > 2 {
            character(group)
        } else {
            '='
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const MESSAGE: [u8; 20] = [
        0x00, 0x12, 0x60, 0x00, 0x01, 0x00, 0x00, 0x08, 0x00, 0x20, 0x20, 0x00, 0x00, 0x00, 0x80,
        0x00, 0x00, 0x31, 0x32, 0x33,
    ];

    pub(super) fn check(text: &str) {
        assert_eq!(hex(text), Ok(MESSAGE.to_vec()), "{text}");
    }

    #[test]
    fn digits_are_read_however_they_are_set() {
        check("0012600001000008002020000000800000313233");
        check("0x0012 6000010000\r\n0800 2020000000800000\n 31 32,33\n");
        check("00:12:60:00:01:00:00:08:00:20:20:00:00:00:80:00:00:31:32:33");
        check(r"\x00\x12\x60\x00\x01\x00\x00\x08\x00\x20\x20\x00\x00\x00\x80\x00\x00\x31\x32\x33");
        check("# an echo\n0012 6000010000 // TPDU\n0800 2020000000800000\n'123\n");
        check(
            "0x00, 0x12, 0x60, 0x00, 0x01, 0x00, 0x00, 0x08, 0x00, 0x20, 0x20, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x31, 0x32, 0x33",
        );
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let place = |text, line, column| {
            assert_eq!(hex(text), Err(BytesError::NotHex { line, column }));
        };
        place("00 1G", 1, 5);
        place("0012\n60 x0", 2, 4);
        assert_eq!(hex("001"), Err(BytesError::OddDigits { digits: 3 }));
        assert_eq!(hex("00 1\n'A\n"), Err(BytesError::OddDigits { digits: 3 }));
        assert_eq!(hex(" \n"), Err(BytesError::Empty));
        let gap = "00000000: 0012 6000 0100 0008 0020 2000 0000 8000\n00000020: 0031\n";
        let said = BytesError::Offset {
            line: 2,
            said: 0x20,
            counted: 0x10,
        };
        assert_eq!(readings(gap.as_bytes()), Err(said));
        let star = "00000000  00 00\n*\n00000020  00\n";
        assert_eq!(hex(star), Err(BytesError::LeftOut { line: 2 }));
    }

    #[test]
    fn base64_comes_back_at_every_length() {
        for len in 1..=MESSAGE.len() {
            let bytes = &MESSAGE[..len];
            assert_eq!(base64(&to_base64(bytes)), Ok(bytes.to_vec()));
        }
        assert_eq!(base64("ABJg\nAAE=\n"), Ok(MESSAGE[..5].to_vec()));
        assert_eq!(base64("-_8"), Ok(vec![0xFB, 0xFF]));
        for wrong in ["", "A", "AB*=", "AAAAA", "AB"] {
            assert_eq!(base64(wrong), Err(BytesError::NotBase64), "{wrong}");
        }
    }

    #[test]
    fn a_doubtful_input_has_several_readings() {
        let notations = |input: &[u8]| -> Vec<_> {
            let found = readings(input).unwrap();
            found.iter().map(|reading| reading.notation).collect()
        };
        use Notation::{Base64, Hex, Raw};
        assert_eq!(notations(b"08002020"), [Hex, Base64, Raw]);
        assert_eq!(notations(b"0800 2020 TERM"), [Base64, Raw]);
        assert_eq!(notations(b"0800 2020 TERM1"), [Raw]);
        assert_eq!(notations(b"\x00\x120800"), [Raw]);
        assert_eq!(readings(b"TERM=1\n").unwrap()[0].bytes, b"TERM=1");
        assert_eq!(readings(b""), Err(BytesError::Empty));
        assert_eq!(
            readings(&vec![b'0'; INPUT_BYTES_MAX + 1]),
            Err(BytesError::TooLong)
        );
        assert_eq!(
            format!("{:?}", readings(b"\x00").unwrap()),
            "[Reading(Raw, 1 bytes)]"
        );
    }
}
