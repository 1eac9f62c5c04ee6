//! A dialect with one thing or another written differently: what is tried on a message that does not decode.

use super::table::{Field, FieldSpec, FieldType, Kind, Pad, Prefix};
use super::{BitmapEncoding, Dialect, MtiEncoding};
use crate::iso8583::ebcdic;
use crate::iso8583::form::put_prefix;
use crate::iso8583::mti::Mti;

/// How something may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Two decimal digits a byte.
    Packed,
    /// A character each, in ASCII.
    Ascii,
    /// A character each, in EBCDIC.
    Ebcdic,
    /// Bytes as they are.
    Binary,
    /// Two hexadecimal digits a byte, in ASCII.
    Hex,
    /// Two hexadecimal digits a byte, in EBCDIC.
    EbcdicHex,
}

/// Of what a [`Variation`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of all fields.
    All,
    /// Of this one.
    Field(u8),
}

impl Scope {
    const fn holds(self, de: u8) -> bool {
        match self {
            Self::All => true,
            Self::Field(only) => only == de,
        }
    }
}

/// One thing that is written otherwise than the dialect says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variation {
    /// The message type.
    Mti(Writing),
    /// The bitmaps.
    Bitmap(Writing),
    /// How many bitmaps there may be.
    Bitmaps(u8),
    /// Digits and tracks.
    Digits(Scope, Writing),
    /// Length prefixes.
    Lengths(Scope, Writing),
    /// Text.
    Text(Scope, Writing),
    /// Binary fields.
    Bytes(Scope, Writing),
    /// An odd nibble is on the other side.
    Pad(Scope),
    /// A field's length prefix has so many digits; none at all with 0.
    LengthDigits(u8, u8),
    /// A fixed field of digits or bytes takes so many bytes more, or fewer.
    Width(u8, i16),
    /// A fixed field of text holds digits, packed two a byte.
    PackedText(u8),
}

impl Dialect {
    /// The dialect with these things written otherwise. `None` when that changes nothing, or cannot be.
    #[must_use]
    pub fn varied(&self, variations: &[Variation]) -> Option<Self> {
        let mut varied = self.clone();
        for variation in variations {
            if !varied.vary(*variation)? {
                return None;
            }
        }
        Some(varied)
    }

    /// Whether something changed; `None` when it cannot be so.
    fn vary(&mut self, variation: Variation) -> Option<bool> {
        match variation {
            Variation::Mti(writing) => {
                let mti = mti_encoding(writing)?;
                Some(std::mem::replace(&mut self.mti, mti) != mti)
            }
            Variation::Bitmap(writing) => {
                let bitmap = bitmap_encoding(writing)?;
                Some(std::mem::replace(&mut self.bitmap, bitmap) != bitmap)
            }
            Variation::Bitmaps(count) => Some(std::mem::replace(&mut self.bitmaps, count) != count),
            Variation::Digits(scope, writing)
            | Variation::Text(scope, writing)
            | Variation::Bytes(scope, writing) => {
                let of = |field: &Field| match field.kind {
                    FieldType::Numeric | FieldType::Track => {
                        matches!(variation, Variation::Digits(..))
                    }
                    FieldType::Alphanumeric | FieldType::Text => {
                        matches!(variation, Variation::Text(..))
                    }
                    FieldType::Binary => matches!(variation, Variation::Bytes(..)),
                };
                self.respecify(|field, spec| {
                    if !scope.holds(field.number) || !of(field) {
                        return Some(*spec);
                    }
                    let kind = kind(field.kind, writing)?;
                    let units = if kind.is_hex() { 2 } else { 1 };
                    let max = field.max.checked_mul(units)?;
                    Some(FieldSpec::new(kind, spec.prefix, spec.pad, max))
                })
            }
            Variation::Lengths(scope, writing) => self.respecify(|field, spec| {
                if !scope.holds(field.number) || spec.prefix == Prefix::Fixed {
                    return Some(*spec);
                }
                let prefix = prefix(writing, digits(spec.prefix))?;
                Some(FieldSpec::new(spec.kind, prefix, spec.pad, spec.max))
            }),
            Variation::Pad(scope) => self.respecify(|field, spec| {
                if !scope.holds(field.number) || !spec.kind.is_packed() {
                    return Some(*spec);
                }
                let pad = match spec.pad {
                    Pad::Left => Pad::Right,
                    Pad::Right => Pad::Left,
                };
                Some(FieldSpec::new(spec.kind, spec.prefix, pad, spec.max))
            }),
            Variation::LengthDigits(de, count) => {
                let usual = self.usual_lengths();
                self.respecify(|field, spec| {
                    if field.number != de {
                        return Some(*spec);
                    }
                    let writing = match spec.prefix {
                        Prefix::Fixed => usual,
                        prefix => writing(prefix),
                    };
                    let prefix = prefix(writing, count)?;
                    Some(FieldSpec::new(spec.kind, prefix, spec.pad, spec.max))
                })
            }
            Variation::Width(de, more) => self.respecify(|field, spec| {
                let sized = matches!(field.kind, FieldType::Numeric | FieldType::Binary);
                if field.number != de || !sized || spec.prefix != Prefix::Fixed {
                    return Some(*spec);
                }
                let units = if spec.kind.is_packed() { 2 } else { 1 };
                let max = spec.max.checked_add_signed(more.checked_mul(units)?)?;
                (max > 0).then(|| FieldSpec::new(spec.kind, spec.prefix, spec.pad, max))
            }),
            Variation::PackedText(de) => self.respecify(|field, spec| {
                let text = matches!(field.kind, FieldType::Alphanumeric | FieldType::Text);
                if field.number != de || !text || spec.prefix != Prefix::Fixed {
                    return Some(*spec);
                }
                let (kind, pad) = (Kind::PackedDigits, Pad::Left);
                Some(FieldSpec::new(kind, spec.prefix, pad, spec.max))
            }),
        }
    }

    /// The length prefix of a field that is so long, in digits or bytes as the field counts. `None` for a fixed
    /// field, and for more than the dialect allows.
    #[must_use]
    pub fn length_prefix(&self, de: u8, units: u16) -> Option<Vec<u8>> {
        let spec = self.spec(de);
        if spec.prefix == Prefix::Fixed || units > spec.max {
            return None;
        }
        let mut prefix = Vec::new();
        put_prefix(spec.prefix, units, &mut prefix);
        Some(prefix)
    }

    /// The byte that fills up a text field that is given short; `None` of a field that is no text.
    #[must_use]
    pub fn blank(&self, de: u8) -> Option<u8> {
        match self.table.spec(de).kind {
            Kind::Alphanumeric | Kind::Text => Some(b' '),
            Kind::EbcdicAlphanumeric | Kind::EbcdicText => Some(ebcdic::byte(b' ')),
            _ => None,
        }
    }

    /// Bytes of a fixed field on the wire; `None` for a variable one and one that the dialect does not have.
    #[must_use]
    pub fn fixed_bytes(&self, de: u8) -> Option<usize> {
        let bytes = self.table.spec(de).fixed_content();
        (bytes > 0).then_some(bytes)
    }

    /// Where the bitmap begins in a frame, the bytes that one takes, and whether it is binary. `None` where it is
    /// written in EBCDIC.
    #[must_use]
    pub fn bitmap_place(&self) -> Option<(usize, usize, bool)> {
        let at = usize::from(self.envelope_bytes).checked_add(self.mti.bytes())?;
        let binary = match self.bitmap {
            BitmapEncoding::Binary => true,
            BitmapEncoding::Hex => false,
            BitmapEncoding::EbcdicHex => return None,
        };
        Some((at, self.bitmap.bytes().into(), binary))
    }

    /// The frame with that message type in the place of its own; `None` when it ends before.
    #[must_use]
    pub fn retyped(&self, frame: &[u8], mti: Mti) -> Option<Vec<u8>> {
        let digits = match self.mti {
            MtiEncoding::Packed => mti.packed().to_be_bytes().to_vec(),
            MtiEncoding::Ascii => mti.ascii().to_vec(),
            MtiEncoding::Ebcdic => mti.ascii().map(ebcdic::byte).to_vec(),
        };
        let at = usize::from(self.envelope_bytes);
        let mut frame = frame.to_vec();
        let slots = frame.get_mut(at..at.checked_add(digits.len())?)?;
        slots.copy_from_slice(&digits);
        Some(frame)
    }

    /// How most length prefixes are written.
    fn usual_lengths(&self) -> Writing {
        let prefixes = self
            .fields()
            .iter()
            .map(|field| self.spec(field.number).prefix);
        let mut variable = prefixes.filter(|prefix| *prefix != Prefix::Fixed);
        variable.next().map_or(Writing::Ascii, writing)
    }

    /// Puts another row for each field, all or none. Gives whether one is different.
    fn respecify(&mut self, row: impl Fn(&Field, &FieldSpec) -> Option<FieldSpec>) -> Option<bool> {
        let mut table = self.table.clone();
        let mut changed = false;
        for field in self.table.fields() {
            let spec = self.table.spec(field.number);
            let other = row(field, spec)?;
            if other != *spec {
                changed = true;
                table.respecify(field.number, other);
            }
        }
        self.table = table;
        Some(changed)
    }
}

const fn mti_encoding(writing: Writing) -> Option<MtiEncoding> {
    match writing {
        Writing::Packed | Writing::Binary => Some(MtiEncoding::Packed),
        Writing::Ascii => Some(MtiEncoding::Ascii),
        Writing::Ebcdic => Some(MtiEncoding::Ebcdic),
        Writing::Hex | Writing::EbcdicHex => None,
    }
}

const fn bitmap_encoding(writing: Writing) -> Option<BitmapEncoding> {
    match writing {
        Writing::Binary => Some(BitmapEncoding::Binary),
        Writing::Hex => Some(BitmapEncoding::Hex),
        Writing::EbcdicHex => Some(BitmapEncoding::EbcdicHex),
        Writing::Packed | Writing::Ascii | Writing::Ebcdic => None,
    }
}

const fn kind(kind: FieldType, writing: Writing) -> Option<Kind> {
    match (kind, writing) {
        (FieldType::Numeric, Writing::Packed) => Some(Kind::PackedDigits),
        (FieldType::Numeric, Writing::Ascii) => Some(Kind::Digits),
        (FieldType::Numeric, Writing::Ebcdic) => Some(Kind::EbcdicDigits),
        (FieldType::Track, Writing::Packed) => Some(Kind::PackedTrack),
        (FieldType::Track, Writing::Ascii) => Some(Kind::Track),
        (FieldType::Track, Writing::Ebcdic) => Some(Kind::EbcdicTrack),
        (FieldType::Alphanumeric, Writing::Ascii) => Some(Kind::Alphanumeric),
        (FieldType::Alphanumeric, Writing::Ebcdic) => Some(Kind::EbcdicAlphanumeric),
        (FieldType::Text, Writing::Ascii) => Some(Kind::Text),
        (FieldType::Text, Writing::Ebcdic) => Some(Kind::EbcdicText),
        (FieldType::Binary, Writing::Binary) => Some(Kind::Bytes),
        (FieldType::Binary, Writing::Hex) => Some(Kind::Hex),
        (FieldType::Binary, Writing::EbcdicHex) => Some(Kind::EbcdicHex),
        (
            FieldType::Numeric
            | FieldType::Track
            | FieldType::Alphanumeric
            | FieldType::Text
            | FieldType::Binary,
            _,
        ) => None,
    }
}

/// Decimal digits of a prefix; a binary one counts as the decimal ones that it replaces.
const fn digits(prefix: Prefix) -> u8 {
    match prefix {
        Prefix::Fixed => 0,
        Prefix::TextOne | Prefix::EbcdicOne => 1,
        Prefix::PackedTwo | Prefix::TextTwo | Prefix::EbcdicTwo | Prefix::BinaryOne => 2,
        Prefix::PackedThree | Prefix::TextThree | Prefix::EbcdicThree | Prefix::BinaryTwo => 3,
        Prefix::PackedFour | Prefix::TextFour | Prefix::EbcdicFour => 4,
    }
}

const fn writing(prefix: Prefix) -> Writing {
    match prefix {
        Prefix::PackedTwo | Prefix::PackedThree | Prefix::PackedFour => Writing::Packed,
        Prefix::Fixed
        | Prefix::TextOne
        | Prefix::TextTwo
        | Prefix::TextThree
        | Prefix::TextFour => Writing::Ascii,
        Prefix::EbcdicOne | Prefix::EbcdicTwo | Prefix::EbcdicThree | Prefix::EbcdicFour => {
            Writing::Ebcdic
        }
        Prefix::BinaryOne | Prefix::BinaryTwo => Writing::Binary,
    }
}

const fn prefix(writing: Writing, digits: u8) -> Option<Prefix> {
    match (writing, digits) {
        (_, 0) => Some(Prefix::Fixed),
        (Writing::Packed, 1 | 2) => Some(Prefix::PackedTwo),
        (Writing::Packed, 3) => Some(Prefix::PackedThree),
        (Writing::Packed, 4) => Some(Prefix::PackedFour),
        (Writing::Ascii, 1) => Some(Prefix::TextOne),
        (Writing::Ascii, 2) => Some(Prefix::TextTwo),
        (Writing::Ascii, 3) => Some(Prefix::TextThree),
        (Writing::Ascii, 4) => Some(Prefix::TextFour),
        (Writing::Ebcdic, 1) => Some(Prefix::EbcdicOne),
        (Writing::Ebcdic, 2) => Some(Prefix::EbcdicTwo),
        (Writing::Ebcdic, 3) => Some(Prefix::EbcdicThree),
        (Writing::Ebcdic, 4) => Some(Prefix::EbcdicFour),
        (Writing::Binary, 1 | 2) => Some(Prefix::BinaryOne),
        (Writing::Binary, 3 | 4) => Some(Prefix::BinaryTwo),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_written_otherwise_and_the_rest_stays() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let varied = dialect.varied(&[Variation::Lengths(Scope::Field(2), Writing::Ascii)]);
        let varied = varied.unwrap();
        assert_eq!(varied.spec(2).prefix, Prefix::TextTwo);
        assert_eq!(varied.spec(35), dialect.spec(35));
        let varied = dialect.varied(&[
            Variation::Mti(Writing::Ascii),
            Variation::Digits(Scope::All, Writing::Ascii),
            Variation::Bytes(Scope::All, Writing::Hex),
        ]);
        let varied = varied.unwrap();
        assert_eq!(varied.mti, MtiEncoding::Ascii);
        assert_eq!(varied.spec(35).kind, Kind::Track);
        assert_eq!((varied.spec(52).kind, varied.spec(52).max), (Kind::Hex, 16));
        assert_eq!(varied.spec(41), dialect.spec(41));
        let varied = dialect.varied(&[Variation::LengthDigits(42, 2)]).unwrap();
        assert_eq!(varied.spec(42).prefix, Prefix::PackedTwo);
    }

    #[test]
    fn what_changes_nothing_or_cannot_be_is_none() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        for variation in [
            Variation::Mti(Writing::Packed),
            Variation::Mti(Writing::Hex),
            Variation::Bitmap(Writing::Ascii),
            Variation::Digits(Scope::All, Writing::Hex),
            Variation::Digits(Scope::Field(52), Writing::Ascii),
            Variation::Pad(Scope::Field(41)),
            Variation::Lengths(Scope::Field(3), Writing::Ascii),
        ] {
            assert!(dialect.varied(&[variation]).is_none(), "{variation:?}");
        }
    }
}
