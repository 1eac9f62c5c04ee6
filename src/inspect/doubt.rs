//! What reads as sound and hardly can be meant so.

use std::collections::BTreeSet;

use crate::iso8583::{Exposure, FieldType, Message, Mti};

use super::bytes::to_hex;
use super::stray::{ToldLength, told_length};

/// A field whose value is well formed and probably another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Data element; 0 for the header, 1 for the message type (DE1 is the bitmap, which is never doubted).
    pub field: u8,
    /// Why, and what the dialect file would say for the other reading.
    pub text: String,
}

impl Doubt {
    /// What is doubtful, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match self.field {
            0 => "header".to_owned(),
            MESSAGE_TYPE => "MTI".to_owned(),
            de => format!("DE{de}"),
        }
    }

    /// The same for programs: the number of a field, `header` or `mti`.
    #[must_use]
    pub fn key(&self) -> String {
        match self.field {
            0 => "header".to_owned(),
            MESSAGE_TYPE => "mti".to_owned(),
            de => de.to_string(),
        }
    }
}

/// Stands for the message type among the fields.
const MESSAGE_TYPE: u8 = 1;

/// What is doubtful in a message: the header, its type, then fields, ascending.
#[must_use]
pub fn doubts(message: &Message<'_>) -> Vec<Doubt> {
    let header = other_length(message).into_iter().chain(other_type(message));
    let fields = message.content_fields().iter();
    let doubt = |de| {
        odd_nibble(message, de)
            .or_else(|| no_time(message, de))
            .or_else(|| other_characters(message, de))
    };
    header.chain(fields.filter_map(doubt)).collect()
}

/// A type of another version of the standard than all that the dialect's requests have, or of none.
fn other_type(message: &Message<'_>) -> Option<Doubt> {
    let types = || {
        message
            .dialect()
            .requests()
            .iter()
            .flat_map(|row| &row.mtis)
    };
    let mti = message.mti();
    let [version, class, function, _] = mti.ascii();
    let known = |known: &Mti| *known == mti || known.answer() == mti || known.repeat() == mti;
    if types().next().is_none() || types().any(known) {
        return None;
    }
    let versions: BTreeSet<u8> = types().map(|known| known.ascii()[0]).collect();
    let text = if !versions.contains(&version) {
        let known: Vec<_> = versions
            .iter()
            .map(|digit| char::from(*digit).to_string())
            .collect();
        format!(
            "{mti} is of another version of the standard: what {} takes begins with {}",
            message.dialect().name(),
            known.join(" or ")
        )
    } else if matches!(class, b'0' | b'9') || function > b'7' {
        format!("{mti} is no message type of the standard")
    } else {
        return None;
    };
    Some(Doubt {
        field: MESSAGE_TYPE,
        text,
    })
}

/// A header that says another length than there is.
fn other_length(message: &Message<'_>) -> Option<Doubt> {
    if told_length(message) == ToldLength::Right {
        return None;
    }
    let framing = message.dialect().framing();
    let place = framing.header_length.as_ref()?;
    let bytes = framing.header_counts(message.frame().len());
    // What stands there instead may be anything.
    let text = format!(
        "what begins with its byte {} is not the length of header and message, {bytes} bytes: perhaps it is no header, and \
         is shown with `--unmask` only",
        place.start.saturating_add(1)
    );
    Some(Doubt { field: 0, text })
}

/// A time, date or expiry date that is none: perhaps another field stands there.
fn no_time(message: &Message<'_>, de: u8) -> Option<Doubt> {
    let roles = message.dialect().roles();
    // Some networks have all of it in one field.
    if roles.time == roles.date || message.dialect().field(de)?.kind != FieldType::Numeric {
        return None;
    }
    let number = message.number(de)?;
    let (high, low) = (number / 100 % 100, number % 100);
    let (what, right) = if de == roles.time {
        let hours = number / 10_000;
        (
            "no time of day, hhmmss",
            hours < 24 && high < 60 && low < 60,
        )
    } else if de == roles.date {
        (
            "no date, MMDD",
            (1..=12).contains(&high) && (1..=31).contains(&low),
        )
    } else if de == EXPIRY && message.dialect().field(de)?.max == 4 {
        ("no expiry date, YYMM", (1..=12).contains(&low))
    } else {
        return None;
    };
    let text = format!(
        "{what}: perhaps another field stands there, and the bitmap announces one too many or too few"
    );
    (!right && number != 0).then_some(Doubt { field: de, text })
}

/// DE14 in all versions of the standard.
const EXPIRY: u8 = 14;

/// Text in EBCDIC that reads as ASCII and not as what the dialect says, or the other way round.
fn other_characters(message: &Message<'_>, de: u8) -> Option<Doubt> {
    let field = message.dialect().field(de)?;
    let (wire, value) = (message.field(de)?, message.value(de)?);
    let printable = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let letters = matches!(field.kind, FieldType::Alphanumeric | FieldType::Text);
    if !letters || wire.is_empty() {
        return None;
    }
    // Capitals, digits and blanks of EBCDIC; as GBK those are rare signs, which an id is not made of.
    let ebcdic =
        |byte: &u8| matches!(byte, 0x40 | 0xC1..=0xC9 | 0xD1..=0xD9 | 0xE2..=0xE9 | 0xF0..=0xF9);
    let digits = wire
        .iter()
        .filter(|byte| matches!(byte, 0xF0..=0xF9))
        .count();
    let text = if printable(wire) && !printable(&value) {
        "its characters are ASCII, not EBCDIC (text = \"ascii\")"
    } else if *value == *wire && wire.iter().all(ebcdic) && digits > 0 {
        "its characters are EBCDIC, not ASCII (text = \"ebcdic\")"
    } else {
        return None;
    };
    Some(Doubt {
        field: de,
        text: text.to_owned(),
    })
}

/// An odd number of packed digits is filled up with 0 or F as a rule. A digit there, and a 0 at the other end,
/// say that it was filled at the other end.
fn odd_nibble(message: &Message<'_>, de: u8) -> Option<Doubt> {
    let left = message.filled_on_the_left(de)?;
    let nibbles = to_hex(message.field(de)?);
    let (first, last) = (nibbles.chars().next()?, nibbles.chars().last()?);
    let (filler, opposite) = if left { (first, last) } else { (last, first) };
    if !matches!(filler, '1'..='9') || opposite != '0' {
        return None;
    }
    let open = message.dialect().field(de)?.exposure == Exposure::Open;
    let (own, other) = if left {
        ("left", "right")
    } else {
        ("right", "left")
    };
    let text = if open {
        let read = if left {
            nibbles.get(..nibbles.len().checked_sub(1)?)?
        } else {
            nibbles.get(1..)?
        };
        format!(
            "filled up with {filler} on the {own} where 0 or F is usual; filled on the {other} it reads {read} (pad = \"{other}\")"
        )
    } else {
        format!(
            "filled up with a digit on the {own} where 0 or F is usual; it may be filled on the {other} (pad = \"{other}\")"
        )
    };
    Some(Doubt { field: de, text })
}
