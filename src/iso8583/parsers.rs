//! The small parsers that decoding is made of, with nom: message type, bitmap, length prefix.

use nom::IResult;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u16, be_u64};

use super::dialect::{BitmapEncoding, FieldSpec, MtiEncoding, Prefix};
use super::ebcdic;
use super::hexadecimal;
use super::mti::Mti;

/// What a parser says of a failure; the walk knows the field and the offset.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// The input ends too early.
    Short,
    /// A character that does not belong there.
    Character,
    /// A length above the field's largest.
    TooLong(u16),
}

impl ParseError<&[u8]> for Cut {
    fn from_error_kind(_: &[u8], kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Eof => Self::Short,
            _ => Self::Character,
        }
    }

    fn append(_: &[u8], _: ErrorKind, earlier: Self) -> Self {
        earlier
    }
}

pub(super) type Parsed<'m, T> = IResult<&'m [u8], T, Cut>;

const fn fail<T>(cut: Cut) -> Result<T, nom::Err<Cut>> {
    Err(nom::Err::Error(cut))
}

pub(super) const fn cause(error: &nom::Err<Cut>) -> Cut {
    match error {
        nom::Err::Error(cut) | nom::Err::Failure(cut) => *cut,
        nom::Err::Incomplete(_) => Cut::Short,
    }
}

/// The message type.
#[inline(always)]
pub(super) fn mti(encoding: MtiEncoding, input: &[u8]) -> Parsed<'_, Mti> {
    let (rest, mti) = match encoding {
        MtiEncoding::Packed => {
            let (rest, packed) = be_u16(input)?;
            (rest, Mti::from_packed(packed))
        }
        MtiEncoding::Ascii => {
            let (rest, digits) = take(4_u8)(input)?;
            let ascii = digits.first_chunk().copied();
            (rest, ascii.and_then(Mti::from_ascii))
        }
        MtiEncoding::Ebcdic => {
            let (rest, digits) = take(4_u8)(input)?;
            let ebcdic = digits.first_chunk::<4>();
            let ascii = ebcdic.map(|digits| digits.map(ebcdic::character));
            (rest, ascii.and_then(Mti::from_ascii))
        }
    };
    mti.map_or_else(|| fail(Cut::Character), |mti| Ok((rest, mti)))
}

/// One bitmap, its first bit highest.
#[inline(always)]
pub(super) fn bitmap(encoding: BitmapEncoding, input: &[u8]) -> Parsed<'_, u64> {
    match encoding {
        BitmapEncoding::Binary => be_u64(input),
        BitmapEncoding::Hex => {
            let (rest, digits) = take(16_u8)(input)?;
            let halves = digits.first_chunk().zip(digits.last_chunk());
            let value = halves.and_then(|(high, low)| {
                let (high, low) = (hexadecimal::value(*high)?, hexadecimal::value(*low)?);
                Some((u64::from(high) << 32) | u64::from(low))
            });
            value.map_or_else(|| fail(Cut::Character), |value| Ok((rest, value)))
        }
        BitmapEncoding::EbcdicHex => ebcdic_bitmap(input),
    }
}

#[cold]
#[inline(never)]
fn ebcdic_bitmap(input: &[u8]) -> Parsed<'_, u64> {
    let (rest, digits) = take(16_u8)(input)?;
    let digits = digits
        .first_chunk::<16>()
        .map(|all| all.map(ebcdic::character));
    match digits {
        Some(ascii) => bitmap(BitmapEncoding::Hex, &ascii)
            .map(|(_, value)| (rest, value))
            .map_err(|_digits| nom::Err::Error(Cut::Character)),
        None => fail(Cut::Short),
    }
}

/// Length of a field: units, and the bytes that they take. At most its largest.
#[derive(Clone, Copy)]
pub(super) struct Length {
    pub(super) units: u16,
    pub(super) bytes: u16,
}

/// The length prefix of a field, or nothing when its length is fixed.
#[inline(always)]
pub(super) fn length<'m>(spec: &FieldSpec, input: &'m [u8]) -> Parsed<'m, Length> {
    if spec.prefix == Prefix::Fixed {
        let (units, bytes) = (spec.max, spec.fixed_bytes);
        Ok((input, Length { units, bytes }))
    } else {
        prefixed(spec, input)
    }
}

/// Out of line: three fields of four have no prefix.
#[cold]
#[inline(never)]
fn prefixed<'m>(spec: &FieldSpec, input: &'m [u8]) -> Parsed<'m, Length> {
    let (rest, prefix) = take(spec.prefix.bytes())(input)?;
    match announced(spec.prefix, prefix) {
        None => fail(Cut::Character),
        Some(units) if units > spec.max => fail(Cut::TooLong(units)),
        Some(units) => {
            let bytes = spec.content_bytes(units);
            Ok((rest, Length { units, bytes }))
        }
    }
}

/// The length that a prefix tells, `None` when one of its digits is none.
#[inline(always)]
fn announced(prefix: Prefix, bytes: &[u8]) -> Option<u16> {
    match (prefix, bytes) {
        (Prefix::TextTwo, [tens, ones]) => number([b'0', b'0', *tens, *ones]),
        (Prefix::TextThree, [hundreds, tens, ones]) => number([b'0', *hundreds, *tens, *ones]),
        (Prefix::PackedTwo, [low]) => number([b'0', b'0', b'0' | (low >> 4), b'0' | (low & 0x0F)]),
        // Lengths end at 999: the first nibble is 0.
        (Prefix::PackedThree, [high, low]) if *high <= 0x0F => {
            number([b'0', b'0' | high, b'0' | (low >> 4), b'0' | (low & 0x0F)])
        }
        (Prefix::PackedThree, _) => None,
        (_, bytes) => seldom(prefix, bytes),
    }
}

/// Prefixes that few networks have.
fn seldom(prefix: Prefix, bytes: &[u8]) -> Option<u16> {
    let zeros = [b'0'; 4];
    let ebcdic = |byte: u8| byte ^ 0xC0;
    match (prefix, bytes) {
        (Prefix::PackedFour, [high, low]) => {
            let [a, b] = [*high, *low].map(|byte| [b'0' | (byte >> 4), b'0' | (byte & 0x0F)]);
            number([a, b].as_flattened().try_into().ok()?)
        }
        (Prefix::TextOne, [ones]) => number([b'0', b'0', b'0', *ones]),
        (Prefix::TextFour, bytes) => number(bytes.try_into().ok()?),
        (
            Prefix::EbcdicOne | Prefix::EbcdicTwo | Prefix::EbcdicThree | Prefix::EbcdicFour,
            bytes,
        ) => {
            let mut digits = zeros;
            for (digit, byte) in digits.iter_mut().rev().zip(bytes.iter().rev()) {
                // The digits are 0xF0 to 0xF9: one bit pattern away from ASCII.
                *digit = ebcdic(*byte);
            }
            number(digits)
        }
        (Prefix::BinaryOne, [low]) => Some((*low).into()),
        (Prefix::BinaryTwo, [high, low]) => Some(u16::from_be_bytes([*high, *low])),
        (
            Prefix::Fixed
            | Prefix::PackedTwo
            | Prefix::PackedThree
            | Prefix::TextOne
            | Prefix::TextTwo
            | Prefix::TextThree
            | Prefix::PackedFour
            | Prefix::BinaryOne
            | Prefix::BinaryTwo,
            _,
        ) => None,
    }
}

/// The number that four ASCII digits make.
#[inline(always)]
fn number(digits: [u8; 4]) -> Option<u16> {
    let digits = digits.map(|digit| u16::from(digit.wrapping_sub(b'0')));
    let sound = digits.iter().all(|digit| *digit <= 9);
    // At most 9999 when sound.
    let number = digits.iter().fold(0_u16, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(*digit)
    });
    sound.then_some(number)
}
