//! The small parsers that decoding is made of, with nom: message type, bitmap, length prefix.

use nom::IResult;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u16, be_u64};

use super::dialect::{BitmapEncoding, FieldSpec, MtiEncoding};
use super::hexadecimal;
use super::mti::Mti;

/// What a parser says of a failure; the walk knows the field and the offset.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// The input ends too early.
    Short,
    /// A character that does not belong there.
    Character,
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
#[inline]
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
#[inline]
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

/// Units that a field's prefix announces.
#[inline(always)]
pub(super) fn length<'m>(spec: &FieldSpec, input: &'m [u8]) -> Parsed<'m, u16> {
    if spec.prefix_bytes == 0 {
        Ok((input, spec.max))
    } else {
        prefixed(spec, input)
    }
}

/// Out of line: three fields of four have no prefix.
#[inline(never)]
fn prefixed<'m>(spec: &FieldSpec, input: &'m [u8]) -> Parsed<'m, u16> {
    let (rest, prefix) = take(spec.prefix_bytes)(input)?;
    let mut units = 0_u16;
    let mut sound = true;
    let text = spec.prefix.is_text();
    // At most three digits or two packed bytes: no more than 9999 while they are sound.
    for byte in prefix {
        let (high, low) = (byte >> 4, byte & 0x0F);
        let (scale, value) = if text {
            sound &= high == 3;
            (10, u16::from(low))
        } else {
            sound &= high <= 9;
            (
                100,
                u16::from(high).wrapping_mul(10).wrapping_add(low.into()),
            )
        };
        sound &= low <= 9;
        units = units.wrapping_mul(scale).wrapping_add(value);
    }
    if sound {
        Ok((rest, units))
    } else {
        fail(Cut::Character)
    }
}
