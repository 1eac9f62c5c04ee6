//! A message format as other programs describe it, before it becomes a dialect file.

use std::collections::BTreeMap;
use std::ops::Range;

/// The code that characters are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    Ebcdic,
}

/// On which side the odd nibble of packed digits is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// How content lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// A character for each digit or letter.
    Characters(Charset),
    /// Two digits a byte.
    Packed(Side),
    /// Bytes as they are.
    Raw,
    /// Bytes as two hexadecimal digits each.
    Hex(Charset),
}

/// What content consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Digits,
    /// Digits with a sign letter in front.
    Amount,
    Track,
    Text,
    Binary,
}

/// How a length prefix is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthCoding {
    Ascii,
    Ebcdic,
    /// Two decimal digits a byte.
    Packed,
    /// A number, most significant byte first.
    Binary,
    /// Hexadecimal digits in ASCII.
    Hex,
}

/// A length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) coding: LengthCoding,
    /// Decimal or hexadecimal digits; of a binary one its bytes.
    pub(super) digits: u8,
    /// Whether it counts bytes on the wire where content has another unit: packed bytes rather than digits,
    /// hexadecimal digits rather than bytes.
    pub(super) counts_wire: bool,
}

/// How one field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) class: Class,
    pub(super) coding: Coding,
    /// `None`: always of its largest length.
    pub(super) length: Option<Length>,
    /// Most digits, characters or bytes.
    pub(super) max: u16,
}

/// A field or sub-field.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) inside: Inside,
    /// Whether it takes what is left of the field that it is the last part of.
    pub(super) rest: bool,
    /// Whether the source calls it track data.
    pub(super) track: bool,
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
}

impl Item {
    /// One that does not divide.
    pub(super) const fn new(name: String, form: Form, span: Range<usize>) -> Self {
        Self {
            name,
            form,
            inside: Inside::Nothing,
            rest: false,
            track: false,
            span,
        }
    }

    /// Whether a length counts something else of it than what a dialect counts: bytes where hexadecimal digits stand,
    /// or bytes where digits are packed.
    pub(super) fn miscounted(&self) -> Option<&'static str> {
        let length = self.form.length?;
        match (self.form.coding, length.counts_wire) {
            (Coding::Hex(_), false) => {
                Some("its length counts bytes, here it would count hexadecimal digits")
            }
            (Coding::Packed(_), true) => {
                Some("its length counts packed bytes, here it would count digits")
            }
            (Coding::Characters(_) | Coding::Raw, _)
            | (Coding::Hex(_), true)
            | (Coding::Packed(_), false) => None,
        }
    }

    /// Whether the length that stands behind a tag counts what it is written in.
    pub(super) fn counts_bytes(&self) -> bool {
        match self.form.coding {
            Coding::Characters(_) | Coding::Raw => true,
            Coding::Hex(_) | Coding::Packed(_) => {
                self.form.length.is_some_and(|length| length.counts_wire)
            }
        }
    }

    /// Whether its parts are more than characters in ASCII: then it is bytes, whatever the source calls it.
    pub(super) fn carries_bytes(&self) -> bool {
        let bytes = |part: &Self| part.is_bytes() || part.carries_bytes();
        match &self.inside {
            Inside::Nothing => false,
            Inside::BerTlv(_) => true,
            Inside::Mapped { hex, parts, .. } => !hex || parts.values().any(bytes),
            Inside::Positional(parts) => parts.values().any(bytes),
            Inside::Tagged { length, items, .. } => {
                length.coding != LengthCoding::Ascii || items.values().any(bytes)
            }
        }
    }

    /// Whether what lies on the wire is no text in ASCII.
    fn is_bytes(&self) -> bool {
        let plain =
            |length: Length| matches!(length.coding, LengthCoding::Ascii | LengthCoding::Hex);
        !matches!(
            self.form.coding,
            Coding::Characters(Charset::Ascii) | Coding::Hex(Charset::Ascii)
        ) || !self.form.length.is_none_or(plain)
    }

    /// Whether its content can divide as it lies there: bytes, or characters in ASCII.
    pub(super) const fn divides(&self) -> bool {
        matches!(
            self.form.coding,
            Coding::Characters(Charset::Ascii) | Coding::Raw
        )
    }
}

/// What a field is made of.
#[derive(Clone, Debug)]
pub(super) enum Inside {
    Nothing,
    /// One part after the other, by ascending number.
    Positional(BTreeMap<u16, Item>),
    /// A bitmap of so many bytes says which parts follow.
    Mapped {
        bytes: u16,
        hex: bool,
        parts: BTreeMap<u16, Item>,
    },
    /// BER-TLV elements; the names of those the source knows, by tag in upper-case hexadecimal digits.
    BerTlv(BTreeMap<String, Item>),
    /// Elements with a tag of `tag` characters and a length of `length` characters.
    Tagged {
        tag: u8,
        length: Length,
        /// Whether the length stands before the tag, and counts it.
        length_first: bool,
        items: BTreeMap<String, Item>,
    },
}

/// A whole message format.
#[derive(Debug)]
pub(super) struct Format {
    /// What the source calls it, if anything.
    pub(super) title: Option<String>,
    /// How the message type is written, and whether in two bytes.
    pub(super) mti: Coding,
    pub(super) bitmap: Coding,
    /// Bits that the bitmaps have together: 64, 128 or 192.
    pub(super) bits: u16,
    /// By data element, 2 upwards.
    pub(super) fields: BTreeMap<u16, Item>,
    /// Whether the source describes the message type (field 0) and the bitmap (field 1).
    pub(super) described: [bool; 2],
}

impl Format {
    pub(super) const fn new() -> Self {
        Self {
            title: None,
            mti: Coding::Characters(Charset::Ascii),
            bitmap: Coding::Raw,
            bits: 128,
            fields: BTreeMap::new(),
            described: [false; 2],
        }
    }

    /// What is taken of message type and bitmap where the source describes neither, or only one.
    pub(super) fn taken(&self) -> impl Iterator<Item = &'static str> {
        let usual = [
            "there is no field 0: the message type is taken for four digits in ASCII",
            "there is no field 1: the bitmap is taken for binary, a second one where a bit says so",
        ];
        let pairs = usual.into_iter().zip(self.described);
        pairs
            .filter(|(_, described)| !described)
            .map(|(told, _)| told)
    }
}
