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
pub(super) fn length<'m>(spec: &FieldSpec, input: &'m [u8]) -> Parsed<'m, Length> {
    if spec.prefix == Prefix::Fixed {
        let (units, bytes) = (spec.max, spec.fixed_bytes);
        return Ok((input, Length { units, bytes }));
    }
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

/// The length that a prefix at the beginning of `input` tells; `None` when a digit is none or missing. What
/// stands behind the prefix is not looked at.
#[inline(always)]
pub(super) fn announced(prefix: Prefix, input: &[u8]) -> Option<u16> {
    match prefix {
        Prefix::TextTwo => {
            let [tens, ones] = *input.first_chunk()?;
            number([b'0', tens, ones])
        }
        Prefix::TextThree => number(*input.first_chunk()?),
        Prefix::PackedTwo => {
            let [low] = *input.first_chunk()?;
            number([b'0', b'0' | (low >> 4), b'0' | (low & 0x0F)])
        }
        Prefix::PackedThree => {
            let [high, low] = *input.first_chunk()?;
            // Lengths end at 999: the first nibble is 0, and what is not makes no digit.
            number([high | b'0', b'0' | (low >> 4), b'0' | (low & 0x0F)]).filter(|_| high <= 9)
        }
        Prefix::BinaryOne => input.first().copied().map(u16::from),
        Prefix::BinaryTwo => Some(u16::from_be_bytes(*input.first_chunk()?)),
        Prefix::Fixed
        | Prefix::PackedFour
        | Prefix::TextOne
        | Prefix::TextFour
        | Prefix::EbcdicOne
        | Prefix::EbcdicTwo
        | Prefix::EbcdicThree
        | Prefix::EbcdicFour => seldom(prefix, input),
    }
}

/// Prefixes that few networks have.
#[inline(never)]
fn seldom(prefix: Prefix, input: &[u8]) -> Option<u16> {
    let bytes = input.get(..prefix.bytes().into())?;
    // EBCDIC digits are 0xF0 to 0xF9.
    let zone = if matches!(prefix, Prefix::TextOne | Prefix::TextFour) {
        b'0'
    } else {
        0xF0
    };
    let digit = |byte: &u8| Some(byte ^ zone).filter(|digit| *digit <= 9);
    let join = |sum: u16, digit: u8| sum.wrapping_mul(10).wrapping_add(digit.into());
    if prefix == Prefix::PackedFour {
        return bytes.iter().try_fold(0, |sum, byte| {
            let (high, low) = (byte >> 4, byte & 0x0F);
            (high <= 9 && low <= 9).then(|| join(join(sum, high), low))
        });
    }
    // At most four digits.
    bytes
        .iter()
        .try_fold(0, |sum, byte| Some(join(sum, digit(byte)?)))
}

/// The number that three ASCII digits make.
#[inline(always)]
fn number(digits: [u8; 3]) -> Option<u16> {
    let [a, b, c] = digits.map(|digit| u16::from(digit ^ b'0'));
    // At most 255 each: no sum wraps but of what is no digit.
    let number = a
        .wrapping_mul(100)
        .wrapping_add(b.wrapping_mul(10))
        .wrapping_add(c);
    (a <= 9 && b <= 9 && c <= 9).then_some(number)
}
