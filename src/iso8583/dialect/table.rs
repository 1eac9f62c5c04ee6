//! The field table: what decoding needs packed small, what people need beside it.

use crate::iso8583::fieldset::FieldSet;

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

/// What is looked at together: fields of one class that touch each other are a run, checked in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Any bytes: nothing to look at.
    Free,
    /// ASCII digits.
    Digits,
    /// Characters, printable ASCII as a rule.
    Text,
    /// Packed digits, nibbles that pad them zero as a rule.
    Packed,
    /// Whatever is looked at field by field.
    Alone,
}

impl Class {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Bytes => Self::Free,
            Kind::Digits => Self::Digits,
            Kind::Alphanumeric | Kind::Text => Self::Text,
            Kind::PackedDigits => Self::Packed,
            Kind::PackedTrack
            | Kind::Hex
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::EbcdicHex
            | Kind::Undefined => Self::Alone,
        }
    }

    /// Whether a field with that length prefix carries on a run: the prefix is of the class as well.
    const fn carries_on(self, prefix: Prefix) -> bool {
        match (self, prefix) {
            (Self::Free | Self::Alone, _) => false,
            (_, Prefix::Fixed)
            | (
                Self::Digits | Self::Text,
                Prefix::TextOne | Prefix::TextTwo | Prefix::TextThree | Prefix::TextFour,
            )
            | (Self::Packed, Prefix::PackedTwo | Prefix::PackedThree | Prefix::PackedFour) => true,
            (_, _) => false,
        }
    }
}

/// The fields of one bitmap by their class, the first field lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    digits: u64,
    text: u64,
    packed: u64,
    /// Those that carry on no run.
    anew: u64,
}

impl Runs {
    const fn set(&mut self, bit: u64, spec: &FieldSpec) {
        self.digits &= !bit;
        self.text &= !bit;
        self.packed &= !bit;
        self.anew &= !bit;
        match spec.class {
            Class::Digits => self.digits |= bit,
            Class::Text => self.text |= bit,
            Class::Packed => self.packed |= bit,
            Class::Free | Class::Alone => {}
        }
        if !spec.class.carries_on(spec.prefix) {
            self.anew |= bit;
        }
    }

    /// Those of the present fields that begin a run: the one before is of another class.
    #[inline(always)]
    pub(crate) const fn begun(&self, present: u64) -> u64 {
        let first = present & present.wrapping_neg();
        first
            | (present & self.anew)
            | Self::behind_others(present, self.digits)
            | Self::behind_others(present, self.text)
            | Self::behind_others(present, self.packed)
    }

    /// Those of the class that stand behind one that is not: a carry goes from each other field through what is not
    /// present to the next that is.
    #[inline(always)]
    const fn behind_others(present: u64, class: u64) -> u64 {
        let others = present & !class;
        (others << 1).wrapping_add(!present) & present & class
    }
}

/// One row of the table that decoding walks: eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) kind: Kind,
    pub(crate) prefix: Prefix,
    pub(crate) pad: Pad,
    /// What it is looked at together with.
    pub(crate) class: Class,
    /// Bytes of a fixed field's content.
    pub(crate) fixed_bytes: u16,
    /// Most units (digits, else bytes); of a fixed field the exact number. At most 999.
    pub(crate) max: u16,
}

impl FieldSpec {
    pub(crate) const UNDEFINED: Self = Self::new(Kind::Undefined, Prefix::Fixed, Pad::Right, 0);

    pub(crate) const fn new(kind: Kind, prefix: Prefix, pad: Pad, max: u16) -> Self {
        Self {
            kind,
            prefix,
            pad,
            class: Class::of(kind),
            fixed_bytes: bytes(kind, max),
            max,
        }
    }

    /// Bytes of the content that are there whatever it is: all of a fixed one.
    pub(crate) fn fixed_content(&self) -> usize {
        if self.prefix == Prefix::Fixed {
            self.fixed_bytes.into()
        } else {
            0
        }
    }

    /// Bytes that `units` take on the wire, without a prefix.
    #[inline(always)]
    pub(crate) const fn content_bytes(&self, units: u16) -> u16 {
        bytes(self.kind, units)
    }
}

/// Bytes of `units`, of which there are at most 9999.
#[inline(always)]
const fn bytes(kind: Kind, units: u16) -> u16 {
    if kind.is_packed() {
        units.wrapping_add(1) >> 1
    } else {
        units
    }
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
    pub part_names: Vec<PartName>,
}

/// What a positional part is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartName {
    /// In English; rules refer to it by this one.
    pub en: String,
    /// In Chinese; empty where the file has none.
    pub zh: String,
}

impl PartName {
    /// Reads a name and how many digits or nibbles the part has: `"batch:6"`, `"batch:6:批次号"`.
    pub(super) fn read(text: &str, most: u16) -> Option<(Self, u16)> {
        let (en, rest) = text.split_once(':')?;
        let (count, zh) = rest.split_once(':').unwrap_or((rest, ""));
        let count = count.trim().parse().ok()?;
        let name = Self {
            en: en.trim().to_owned(),
            zh: zh.trim().to_owned(),
        };
        let named = !name.en.is_empty() && rest.split(':').skip(1).all(|zh| !zh.trim().is_empty());
        (named && (1..=most).contains(&count)).then_some((name, count))
    }
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
    /// Fields that there are.
    defined: FieldSet,
    /// Of each bitmap.
    runs: [Runs; 3],
    /// Fields that everybody may see.
    open: FieldSet,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self {
            specs: [FieldSpec::UNDEFINED; 256],
            fields: Vec::new(),
            defined: FieldSet::EMPTY,
            runs: [Runs {
                digits: 0,
                text: 0,
                packed: 0,
                anew: 0,
            }; 3],
            open: FieldSet::EMPTY,
        }
    }

    pub(crate) fn define(&mut self, field: Field, spec: FieldSpec) {
        self.respecify(field.number, spec);
        self.defined.insert(field.number);
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
        let at = de.wrapping_sub(1);
        if let Some(runs) = self.runs.get_mut(usize::from(at >> 6)) {
            runs.set(1 << (at & 63), &spec);
        }
    }

    /// The runs of the bitmap whose first field is DE `base + 1`.
    #[inline(always)]
    pub(crate) const fn runs(&self, base: u8) -> &Runs {
        let [first, second, third] = &self.runs;
        match base {
            0 => first,
            64 => second,
            _ => third,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    #[inline(always)]
    pub(crate) fn spec(&self, de: u8) -> &FieldSpec {
        &self.specs[usize::from(de)]
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(crate) const fn defined(&self) -> FieldSet {
        self.defined
    }

    pub(crate) const fn open(&self) -> FieldSet {
        self.open
    }

    /// Whether nothing of the field may be kept.
    pub(crate) fn is_secret(&self, de: u8) -> bool {
        self.field(de)
            .is_some_and(|field| field.exposure == Exposure::Secret)
    }

    pub(crate) fn field(&self, de: u8) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by_key(&de, |known| known.number)
            .ok()?;
        self.fields.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_where_the_field_before_is_of_another_class() {
        use {Kind as K, Prefix as L};
        let kinds = [
            (K::Digits, L::Fixed),
            (K::Digits, L::TextTwo),
            (K::Digits, L::BinaryOne),
            (K::Text, L::Fixed),
            (K::Alphanumeric, L::TextThree),
            (K::PackedDigits, L::PackedTwo),
            (K::PackedDigits, L::TextTwo),
            (K::Bytes, L::Fixed),
            (K::Hex, L::Fixed),
        ];
        let mut random = fastrand::Rng::with_seed(8_583);
        for _ in 0..2_000 {
            let mut runs = Runs::default();
            let rows: Vec<_> = (0..64)
                .map(|at| {
                    let (kind, prefix) = random.choice(kinds).unwrap();
                    let spec = FieldSpec::new(kind, prefix, Pad::Left, 4);
                    runs.set(1 << at, &spec);
                    spec
                })
                .collect();
            let present = random.u64(..) & random.u64(..);
            let mut before = None;
            let mut expect = 0;
            for (at, spec) in rows.iter().enumerate() {
                if present >> at & 1 == 1 {
                    let joins = spec.class.carries_on(spec.prefix);
                    if !joins || before != Some(spec.class) {
                        expect |= 1 << at;
                    }
                    before = Some(spec.class);
                }
            }
            assert_eq!(runs.begun(present), expect, "{present:064b}");
        }
    }
}
