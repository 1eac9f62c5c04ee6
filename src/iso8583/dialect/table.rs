//! The field table: what decoding needs packed small, what people need beside it.

use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::range::Range;

/// What a field may hold (ISO 8583:1987 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Decimal digits.
    Numeric,
    /// Track data: digits and the separator `=` (nibble D when packed).
    Track,
    /// Letters, digits and space; here every printable ASCII character.
    Alphanumeric,
    /// Printable text, bytes above 0x7F included (GBK).
    Text,
    /// Bytes.
    Binary,
}

/// Who may see a field's content outside the message itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Anyone who may see the message.
    #[default]
    Open,
    /// First six and last four digits only (card numbers).
    Masked,
    /// All but the BER-TLV elements that hold card number, track or name (57, 5A, 5F20 and the like).
    Chip,
    /// Nobody: never stored, never shown (tracks, PIN blocks, keys, whatever hides a card number).
    Secret,
}

/// How content lies on the wire and what is checked in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Digits,
    Alphanumeric,
    Text,
    PackedDigits,
    PackedTrack,
    Bytes,
    /// Bytes written as two hexadecimal digits each; lengths count the digits.
    Hex,
    Track,
    EbcdicDigits,
    EbcdicTrack,
    /// Printable characters.
    EbcdicAlphanumeric,
    /// Everything but control characters.
    EbcdicText,
    /// Bytes written as two hexadecimal digits each, in EBCDIC.
    EbcdicHex,
    Undefined,
}

impl Kind {
    /// Two units share a byte.
    pub(crate) const fn is_packed(self) -> bool {
        match self {
            Self::PackedDigits | Self::PackedTrack => true,
            Self::Undefined
            | Self::Digits
            | Self::Track
            | Self::Alphanumeric
            | Self::Text
            | Self::Bytes
            | Self::Hex
            | Self::EbcdicDigits
            | Self::EbcdicTrack
            | Self::EbcdicAlphanumeric
            | Self::EbcdicText
            | Self::EbcdicHex => false,
        }
    }

    /// Units are hexadecimal digits, two for a byte of the value.
    pub(crate) const fn is_hex(self) -> bool {
        match self {
            Self::Hex | Self::EbcdicHex => true,
            Self::Undefined
            | Self::Digits
            | Self::Track
            | Self::Alphanumeric
            | Self::Text
            | Self::Bytes
            | Self::PackedDigits
            | Self::PackedTrack
            | Self::EbcdicDigits
            | Self::EbcdicTrack
            | Self::EbcdicAlphanumeric
            | Self::EbcdicText => false,
        }
    }

    /// Characters are written in EBCDIC.
    pub(crate) const fn is_ebcdic(self) -> bool {
        match self {
            Self::EbcdicDigits
            | Self::EbcdicTrack
            | Self::EbcdicAlphanumeric
            | Self::EbcdicText
            | Self::EbcdicHex => true,
            Self::Undefined
            | Self::Digits
            | Self::Track
            | Self::Alphanumeric
            | Self::Text
            | Self::Bytes
            | Self::PackedDigits
            | Self::PackedTrack
            | Self::Hex => false,
        }
    }
}

/// How a field's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Not at all: always the largest length.
    Fixed,
    /// Two packed digits in one byte.
    PackedTwo,
    /// Three packed digits in two bytes.
    PackedThree,
    /// Four packed digits in two bytes.
    PackedFour,
    TextOne,
    TextTwo,
    TextThree,
    TextFour,
    EbcdicOne,
    EbcdicTwo,
    EbcdicThree,
    EbcdicFour,
    /// One byte.
    BinaryOne,
    /// Two bytes, the higher first.
    BinaryTwo,
}

impl Prefix {
    /// Bytes on the wire.
    pub(crate) const fn bytes(self) -> u8 {
        match self {
            Self::Fixed => 0,
            Self::PackedTwo | Self::TextOne | Self::EbcdicOne | Self::BinaryOne => 1,
            Self::PackedThree
            | Self::PackedFour
            | Self::TextTwo
            | Self::EbcdicTwo
            | Self::BinaryTwo => 2,
            Self::TextThree | Self::EbcdicThree => 3,
            Self::TextFour | Self::EbcdicFour => 4,
        }
    }

    /// Largest length it can tell.
    pub(crate) const fn max(self) -> u16 {
        match self {
            Self::Fixed | Self::BinaryTwo => u16::MAX,
            Self::TextOne | Self::EbcdicOne => 9,
            Self::PackedTwo | Self::TextTwo | Self::EbcdicTwo => 99,
            Self::PackedThree | Self::TextThree | Self::EbcdicThree => 999,
            Self::PackedFour | Self::TextFour | Self::EbcdicFour => 9_999,
            Self::BinaryOne => 255,
        }
    }
}

/// On which side an odd number of packed digits gets its padding nibble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pad {
    Left,
    Right,
}

/// One row of the table that decoding walks: sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) kind: Kind,
    pub(crate) prefix: Prefix,
    pub(crate) pad: Pad,
    /// 1 when two units share a byte, else 0.
    packed: u8,
    /// What the content may consist of, where that is a range of characters.
    pub(crate) range: Option<&'static Range>,
    /// Bytes of a fixed field's content.
    pub(crate) fixed_bytes: u16,
    /// Most units (digits, else bytes); of a fixed field the exact number. At most 999.
    pub(crate) max: u16,
}

impl FieldSpec {
    pub(crate) const UNDEFINED: Self = Self::new(Kind::Undefined, Prefix::Fixed, Pad::Right, 0);

    pub(crate) const fn new(kind: Kind, prefix: Prefix, pad: Pad, max: u16) -> Self {
        let packed = if kind.is_packed() { 1 } else { 0 };
        Self {
            kind,
            prefix,
            pad,
            packed,
            fixed_bytes: bytes(packed, max),
            range: Range::of(kind),
            max,
        }
    }

    /// Bytes that `units` take on the wire, without a prefix.
    #[inline(always)]
    pub(crate) const fn content_bytes(&self, units: u16) -> u16 {
        bytes(self.packed, units)
    }
}

/// Bytes of `units`, two of which share a byte when `packed` is 1. At most 999 units.
#[inline(always)]
#[expect(
    clippy::as_conversions,
    reason = "widening: `u16::from` is not const yet"
)]
const fn bytes(packed: u8, units: u16) -> u16 {
    units.wrapping_add(packed as u16) >> packed
}

/// A field as people know it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Data element.
    pub number: u8,
    /// English name.
    pub en: String,
    /// Chinese name.
    pub zh: String,
    /// What it may hold.
    pub kind: FieldType,
    /// Most digits (numeric, track) or bytes; of a fixed field the exact number.
    pub max: u16,
    /// Whether a length prefix precedes it.
    pub variable: bool,
    /// Who may see it.
    pub exposure: Exposure,
    /// Positional sub-fields, in order.
    pub parts: Vec<SubField>,
    /// Names of the sub-fields, in the same order.
    pub part_names: Vec<String>,
}

/// A positional sub-field, or a whole field: digits (or characters) `from .. from + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubField {
    /// Data element.
    pub field: u8,
    /// First digit or character, from 0.
    pub from: u16,
    /// Digits or characters; [`SubField::WHOLE`] for all there are.
    pub count: u16,
}

impl SubField {
    /// Count that stands for the whole field.
    pub const WHOLE: u16 = u16::MAX;

    /// The whole of a field.
    #[must_use]
    pub const fn whole(field: u8) -> Self {
        Self {
            field,
            from: 0,
            count: Self::WHOLE,
        }
    }
}

/// All fields of a dialect: the packed rows, and the rows for people.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// By data element; what the dialect does not define is undefined here, DE0, DE1 and DE65 always.
    specs: [FieldSpec; 256],
    fields: Vec<Field>,
    /// Fields that everybody may see.
    open: FieldSet,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self {
            specs: [FieldSpec::UNDEFINED; 256],
            fields: Vec::new(),
            open: FieldSet::EMPTY,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(crate) fn define(&mut self, field: Field, spec: FieldSpec) {
        self.specs[usize::from(field.number)] = spec;
        self.open = match field.exposure {
            Exposure::Open => self.open.with(field.number),
            Exposure::Masked | Exposure::Chip | Exposure::Secret => self.open.without(field.number),
        };
        self.fields.push(field);
        self.fields.sort_by_key(|known| known.number);
    }

    /// Puts another row in the place of a field's.
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(crate) fn respecify(&mut self, de: u8, spec: FieldSpec) {
        self.specs[usize::from(de)] = spec;
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    #[inline(always)]
    pub(crate) fn spec(&self, de: u8) -> &FieldSpec {
        &self.specs[usize::from(de)]
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(crate) const fn open(&self) -> FieldSet {
        self.open
    }

    pub(crate) fn field(&self, de: u8) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by_key(&de, |known| known.number)
            .ok()?;
        self.fields.get(at)
    }
}
