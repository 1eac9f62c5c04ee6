//! The small parsers that decoding is made of, with nom: message type, bitmap, length prefix.

use nom::IResult;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u16, be_u64};

use super::dialect::{BitmapEncoding, FieldSpec, MtiEncoding, Prefix};
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
    let units = match (spec.prefix.is_text(), prefix) {
        (true, [tens, ones]) => number([b'0', *tens, *ones]),
        (true, [hundreds, tens, ones]) => number([*hundreds, *tens, *ones]),
        (false, [low]) => number([b'0', b'0' | (low >> 4), b'0' | (low & 0x0F)]),
        // Lengths end at 999: the first nibble is 0.
        (false, [high, low]) if *high <= 0x0F => {
            number([b'0' | high, b'0' | (low >> 4), b'0' | (low & 0x0F)])
        }
        (_, _) => None,
    };
    match units {
        None => fail(Cut::Character),
        Some(units) if units > spec.max => fail(Cut::TooLong(units)),
        Some(units) => {
            let bytes = spec.content_bytes(units);
            Ok((rest, Length { units, bytes }))
        }
    }
}

/// The number that three ASCII digits make.
#[inline(always)]
fn number(digits: [u8; 3]) -> Option<u16> {
    let [hundreds, tens, ones] = digits.map(|digit| u16::from(digit.wrapping_sub(b'0')));
    let sound = hundreds <= 9 && tens <= 9 && ones <= 9;
    // At most 999 when sound.
    let tens = hundreds.wrapping_mul(10).wrapping_add(tens);
    sound.then_some(tens.wrapping_mul(10).wrapping_add(ones))
}
