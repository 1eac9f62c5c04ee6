//! A field's content as people and other programs write it: digits, text or bytes, whatever the wire form.

use std::fmt;

use super::dialect::{FieldType, Kind, SubField};
use super::digits::Digits;
use super::message::Message;

/// What a field holds. `Debug` shows the kind and the length, never the value.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// ASCII digits without padding, with `=` as a track's separator.
    Digits(Vec<u8>),
    /// Characters, filling included. ASCII, but for bytes above 0x7F, which are as they came.
    Text(Vec<u8>),
    /// Bytes, also where the dialect writes them in hexadecimal.
    Bytes(Vec<u8>),
}

impl Content {
    /// The digits, characters or bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Digits(bytes) | Self::Text(bytes) | Self::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = match self {
            Self::Digits(bytes) => ("Digits", bytes),
            Self::Text(bytes) => ("Text", bytes),
            Self::Bytes(bytes) => ("Bytes", bytes),
        };
        write!(f, "{kind}({} bytes)", bytes.len())
    }
}

impl Message<'_> {
    /// A field's content, copied. `None` for a field that is not there, and for DE1, the second bitmap.
    #[must_use]
    pub fn content(&self, de: u8) -> Option<Content> {
        let field = self.dialect().field(de)?;
        match field.kind {
            FieldType::Numeric | FieldType::Track => self.all_digits(de).map(Content::Digits),
            FieldType::Alphanumeric | FieldType::Text => {
                Some(Content::Text(self.field(de)?.to_vec()))
            }
            FieldType::Binary => self.all_bytes(de).map(Content::Bytes),
        }
    }

    /// The bytes of a binary field, also where it is written in hexadecimal.
    fn all_bytes(&self, de: u8) -> Option<Vec<u8>> {
        let content = self.field(de)?;
        match self.dialect().spec(de).kind {
            Kind::Hex => unhex(content),
            Kind::Digits
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Bytes
            | Kind::Track
            | Kind::Undefined => Some(content.to_vec()),
        }
    }

    /// Digits of whatever number: in pieces that [`Digits`] can hold.
    fn all_digits(&self, de: u8) -> Option<Vec<u8>> {
        let length = u16::try_from(self.length(de)?).ok()?;
        let piece = u16::try_from(Digits::MAX).ok()?;
        let mut all = Vec::with_capacity(length.into());
        let mut from = 0_u16;
        while from < length {
            let count = piece.min(length.saturating_sub(from));
            let digits = self.part(SubField {
                field: de,
                from,
                count,
            })?;
            all.extend_from_slice(&digits);
            from = from.saturating_add(count);
        }
        Some(all)
    }
}

/// The bytes that hexadecimal digits stand for.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| Some((nibble(*high)? << 4) | nibble(*low)?);
    pairs.iter().map(byte).collect()
}
