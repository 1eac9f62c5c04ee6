//! From a frame to an index of offsets: MTI, bitmap, and the walk over the fields.

use nom::IResult;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u16, be_u64};

use super::check;
use super::dialect::{BitmapEncoding, Dialect, FieldSpec, Kind, MtiEncoding, Prefix};
use super::error::DecodeError;
use super::fieldset::FieldSet;
use super::index::{Index, Span};
use super::message::Message;
use super::mti::Mti;

/// What the small parsers below say of a failure; the walk knows the field and the offset.
#[derive(Clone, Copy)]
enum Cut {
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

type Parsed<'m, T> = IResult<&'m [u8], T, Cut>;

const fn fail<T>(cut: Cut) -> Result<T, nom::Err<Cut>> {
    Err(nom::Err::Error(cut))
}

const fn cause(error: &nom::Err<Cut>) -> Cut {
    match error {
        nom::Err::Error(cut) | nom::Err::Failure(cut) => *cut,
        nom::Err::Incomplete(_) => Cut::Short,
    }
}

fn mti(encoding: MtiEncoding, input: &[u8]) -> Parsed<'_, Mti> {
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

fn bitmap(encoding: BitmapEncoding, input: &[u8]) -> Parsed<'_, u64> {
    match encoding {
        BitmapEncoding::Binary => be_u64(input),
        BitmapEncoding::Hex => {
            let (rest, digits) = take(16_u8)(input)?;
            let halves = digits.first_chunk().zip(digits.last_chunk());
            let value = halves.and_then(|(high, low)| {
                let (high, low) = (check::hex_value(*high)?, check::hex_value(*low)?);
                Some((u64::from(high) << 32) | u64::from(low))
            });
            value.map_or_else(|| fail(Cut::Character), |value| Ok((rest, value)))
        }
    }
}

/// Value of a packed byte; above 99 when a nibble is no digit.
const fn two_digits(byte: u8) -> u16 {
    let (high, low) = (byte >> 4, byte & 0x0F);
    if high > 9 || low > 9 {
        return 10_000;
    }
    // At most 99: both factors are at most 9.
    (high as u16).wrapping_mul(10).wrapping_add(low as u16)
}

/// Value of an ASCII digit; 10000 when it is none.
const fn one_digit(byte: u8) -> u16 {
    if byte.is_ascii_digit() {
        (byte & 0x0F) as u16
    } else {
        10_000
    }
}

/// Units that a field's prefix announces.
#[inline]
fn length(spec: FieldSpec, input: &[u8]) -> Parsed<'_, u16> {
    // Values above 9999 come from characters that are no digits; sums stay below 2^16 except through
    // those, and wrapping keeps them out of the way of a panic: each is tested before it is scaled.
    let (rest, units) = match spec.prefix {
        Prefix::Fixed => return Ok((input, spec.max)),
        Prefix::PackedTwo => {
            let (rest, prefix) = take(1_u8)(input)?;
            let [only] = *prefix else {
                return fail(Cut::Short);
            };
            (rest, two_digits(only))
        }
        Prefix::PackedThree => {
            let (rest, prefix) = take(2_u8)(input)?;
            let [high, low] = *prefix else {
                return fail(Cut::Short);
            };
            (rest, join(two_digits(high), 100, two_digits(low)))
        }
        Prefix::TextTwo => {
            let (rest, prefix) = take(2_u8)(input)?;
            let [high, low] = *prefix else {
                return fail(Cut::Short);
            };
            (rest, join(one_digit(high), 10, one_digit(low)))
        }
        Prefix::TextThree => {
            let (rest, prefix) = take(3_u8)(input)?;
            let [high, middle, low] = *prefix else {
                return fail(Cut::Short);
            };
            let lower = join(one_digit(middle), 10, one_digit(low));
            (rest, join(one_digit(high), 100, lower))
        }
    };
    if units >= 10_000 {
        return fail(Cut::Character);
    }
    Ok((rest, units))
}

/// `high * scale + low`, or 10000 when either is no number.
const fn join(high: u16, scale: u16, low: u16) -> u16 {
    if high >= 10_000 || low >= 10_000 {
        return 10_000;
    }
    // 99 * 100 + 99 and 9 * 100 + 99 both fit.
    high.wrapping_mul(scale).wrapping_add(low)
}

/// What happens to a field whose value is not allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnBadValue {
    /// The message is refused.
    Stop,
    /// The field is left out and the walk goes on.
    LeaveOut,
}

/// The part of a frame still to be read.
struct Walk<'m> {
    frame: &'m [u8],
    rest: &'m [u8],
}

impl Walk<'_> {
    const fn offset(&self) -> usize {
        self.frame.len().saturating_sub(self.rest.len())
    }
}

impl Dialect {
    /// Reads `frame`, everything after the length prefix, and checks every field's length and characters.
    ///
    /// Padding nibbles are not looked at. Nothing is copied or allocated; the message borrows the frame
    /// and the index.
    ///
    /// # Errors
    /// The first thing that breaks the dialect, with its data element and offset.
    #[inline]
    pub fn decode<'m>(
        &'m self,
        frame: &'m [u8],
        index: &'m mut Index,
    ) -> Result<Message<'m>, DecodeError> {
        self.walk(frame, index, OnBadValue::Stop)?;
        Ok(Message::new(self, frame, index))
    }

    /// Like [`decode`](Self::decode), but gives what can be trusted of a broken message beside the first
    /// error, so that a format error can be answered with the request's own STAN and terminal id. Fields
    /// with forbidden characters are left out; those behind a broken length are unknown. `None` when not
    /// even the MTI was read.
    pub fn decode_partial<'m>(
        &'m self,
        frame: &'m [u8],
        index: &'m mut Index,
    ) -> (Option<Message<'m>>, Option<DecodeError>) {
        let Err(first) = self.walk(frame, index, OnBadValue::Stop) else {
            return (Some(Message::new(self, frame, index)), None);
        };
        // The second walk can only end in another error; the first is the one to report.
        let readable = match self.walk(frame, index, OnBadValue::LeaveOut) {
            Ok(()) => true,
            Err(error) => match error {
                DecodeError::FrameTooLong { .. }
                | DecodeError::NoMti { .. }
                | DecodeError::Mti { .. } => false,
                DecodeError::Bitmap { .. }
                | DecodeError::Undefined { .. }
                | DecodeError::Prefix { .. }
                | DecodeError::TooLong { .. }
                | DecodeError::Truncated { .. }
                | DecodeError::Character { .. }
                | DecodeError::LeftOver { .. } => true,
            },
        };
        (
            readable.then(|| Message::new(self, frame, index)),
            Some(first),
        )
    }

    #[inline]
    fn walk(
        &self,
        frame: &[u8],
        index: &mut Index,
        on_bad_value: OnBadValue,
    ) -> Result<(), DecodeError> {
        index.fields = FieldSet::EMPTY;
        let mut walk = self.head(frame, index)?;
        let present = self.bitmaps(&mut walk, index)?;
        index.fields = present;
        self.half(&mut walk, index, present.primary(), 0, on_bad_value)?;
        if present.secondary() != 0 {
            self.half(&mut walk, index, present.secondary(), 64, on_bad_value)?;
        }
        if walk.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::LeftOver {
                offset: walk.offset(),
                bytes: walk.rest.len(),
            })
        }
    }

    /// Envelope and MTI.
    #[inline]
    fn head<'m>(&self, frame: &'m [u8], index: &mut Index) -> Result<Walk<'m>, DecodeError> {
        if frame.len() > usize::from(u16::MAX) {
            return Err(DecodeError::FrameTooLong { bytes: frame.len() });
        }
        let envelope = self.envelope_bytes();
        let short = || DecodeError::NoMti {
            needed: usize::from(envelope).saturating_add(self.mti_encoding().bytes()),
            found: frame.len(),
        };
        let (message, _) = take::<_, _, Cut>(envelope)(frame).map_err(|_| short())?;
        let (rest, mti) = mti(self.mti_encoding(), message).map_err(|e| match cause(&e) {
            Cut::Short => short(),
            Cut::Character => DecodeError::Mti {
                offset: envelope.into(),
            },
        })?;
        index.mti = mti;
        index.mti_at = envelope;
        Ok(Walk { frame, rest })
    }

    /// One or two bitmaps. DE1 says that there is a second; the second has no DE65, a third bitmap.
    #[inline]
    fn bitmaps(&self, walk: &mut Walk<'_>, index: &mut Index) -> Result<FieldSet, DecodeError> {
        let encoding = self.bitmap_encoding();
        let offset = walk.offset();
        let unusable = DecodeError::Bitmap { offset };
        let (rest, primary) = bitmap(encoding, walk.rest).map_err(|_| unusable)?;
        walk.rest = rest;
        if primary >> 63 == 0 {
            return Ok(FieldSet::from_bitmaps(primary, 0));
        }
        if !self.has_secondary_bitmap() {
            return Err(unusable);
        }
        let start = narrow(walk.offset());
        let (rest, secondary) = bitmap(encoding, walk.rest).map_err(|_| DecodeError::Bitmap {
            offset: start.into(),
        })?;
        walk.rest = rest;
        let units = encoding.bytes();
        index.place(1, Span { start, units });
        Ok(FieldSet::from_bitmaps(primary, secondary))
    }

    /// The fields of one bitmap; its first bit is DE `base + 1`.
    #[inline]
    fn half(
        &self,
        walk: &mut Walk<'_>,
        index: &mut Index,
        bitmap: u64,
        base: u8,
        on_bad_value: OnBadValue,
    ) -> Result<(), DecodeError> {
        // DE1 of the first half is the second bitmap, already read.
        let mut bits = if base == 0 {
            bitmap & (u64::MAX >> 1)
        } else {
            bitmap
        };
        while bits != 0 {
            let zeros = leading_zeros(bits);
            // zeros <= 63 and base <= 64: at most DE128.
            let de = base.wrapping_add(zeros).wrapping_add(1);
            bits &= !(1_u64 << 63).wrapping_shr(zeros.into());
            match self.field_at(walk, de) {
                Ok(span) => index.place(de, span),
                Err(DecodeError::Character { .. }) if on_bad_value == OnBadValue::LeaveOut => {
                    index.fields = index.fields.without(de);
                }
                Err(error) => {
                    index.fields = index.fields.below(de);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// One field. When its value is not allowed, the walk stands behind it all the same.
    #[inline]
    fn field_at(&self, walk: &mut Walk<'_>, de: u8) -> Result<Span, DecodeError> {
        let spec = self.spec(de);
        if spec.kind == Kind::Undefined {
            return Err(undefined(walk, de));
        }
        let (content, units) =
            length(spec, walk.rest).map_err(|e| prefix_error(walk, de, spec, &e))?;
        if units > spec.max {
            return Err(too_long(walk, de, spec, units));
        }
        let bytes = spec.content_bytes(units);
        let Ok((rest, _)) = take::<_, _, Cut>(bytes)(content) else {
            return Err(truncated(walk, content, de, bytes));
        };
        walk.rest = rest;
        let end = walk.offset();
        let start = end.wrapping_sub(bytes.into());
        let (upto, _) = walk.frame.split_at_checked(end).unwrap_or_default();
        if check::content(spec, units, upto, bytes) {
            Ok(Span {
                start: narrow(start),
                units,
            })
        } else {
            Err(bad_value(upto, start, de, spec, units))
        }
    }
}

/// Offsets were proved to fit when the frame's length was checked against 65535.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "offset <= frame.len() <= 65535, checked in `head`"
)]
#[inline]
const fn narrow(offset: usize) -> u16 {
    offset as u16
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a u64 has at most 64 leading zeros"
)]
#[inline]
const fn leading_zeros(bits: u64) -> u8 {
    bits.leading_zeros() as u8
}

#[cold]
fn undefined(walk: &Walk<'_>, field: u8) -> DecodeError {
    DecodeError::Undefined {
        field,
        offset: walk.offset(),
    }
}

#[cold]
fn prefix_error(walk: &Walk<'_>, field: u8, spec: FieldSpec, error: &nom::Err<Cut>) -> DecodeError {
    match cause(error) {
        Cut::Short => truncated(walk, walk.rest, field, spec.prefix.bytes()),
        Cut::Character => DecodeError::Prefix {
            field,
            offset: walk.offset(),
        },
    }
}

#[cold]
fn too_long(walk: &Walk<'_>, field: u8, spec: FieldSpec, declared: u16) -> DecodeError {
    DecodeError::TooLong {
        field,
        offset: walk.offset(),
        declared,
        max: spec.max,
    }
}

#[cold]
fn truncated(walk: &Walk<'_>, rest: &[u8], field: u8, declared: u16) -> DecodeError {
    DecodeError::Truncated {
        field,
        offset: walk.frame.len().saturating_sub(rest.len()),
        declared: declared.into(),
        remain: rest.len(),
    }
}

#[cold]
fn bad_value(upto: &[u8], start: usize, field: u8, spec: FieldSpec, units: u16) -> DecodeError {
    let content = upto.get(start..).unwrap_or_default();
    DecodeError::Character {
        field,
        offset: start.saturating_add(check::first_bad(spec, units, content)),
    }
}
