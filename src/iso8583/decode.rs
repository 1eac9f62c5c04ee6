//! From a frame to an index of offsets: MTI, bitmap, and the walk over the fields.

mod skim;

use nom::bytes::complete::take;

use super::check;
use super::dialect::{Dialect, FieldSpec, Kind, ThirdBitmap};
use super::error::DecodeError;
use super::fieldset::FieldSet;
use super::index::{Index, Span};
use super::message::Message;
use super::parsers::{Cut, Length, bitmap, cause, length, mti};
use skim::{Named, Structure, Values};

/// What happens to a field whose value is not allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnBadValue {
    /// The message is refused.
    Stop,
    /// The field is left out and the walk goes on.
    LeaveOut,
}

/// What of a frame is read.
#[derive(Clone, Copy)]
struct Scope {
    /// Fields whose values are looked at.
    checked: FieldSet,
    /// Whether the frame must end with its last field; else it is read up to the last of `checked`.
    whole: bool,
}

impl Scope {
    /// Every field and every value.
    const VALUES: Self = Self {
        checked: FieldSet::ALL,
        whole: true,
    };
    /// Every field and no value.
    const STRUCTURE: Self = Self {
        checked: FieldSet::EMPTY,
        whole: true,
    };

    const fn reach(&self, present: FieldSet) -> FieldSet {
        if self.whole {
            present
        } else {
            reach(present, self.checked)
        }
    }
}

/// The fields to walk over for those that are wanted: none behind the last of them. What a third bitmap will
/// bring is not known before it is reached: all are walked over then.
#[inline(always)]
const fn reach(present: FieldSet, wanted: FieldSet) -> FieldSet {
    if present.secondary() & FURTHER != 0 {
        return present;
    }
    present.up_to_last_of(wanted)
}

/// The fields of one bitmap, ascending.
struct Fields {
    /// First field lowest.
    bits: u64,
    /// 0 for the first bitmap, 64 for the second, 128 for the third.
    base: u8,
}

impl Fields {
    const fn of(bitmap: u64, base: u8) -> Self {
        let bits = bitmap.reverse_bits();
        Self { bits, base }
    }

    /// Of a bitmap whose first field is lowest already.
    const fn lowest_first(bits: u64, base: u8) -> Self {
        Self { bits, base }
    }

    #[inline(always)]
    const fn next(&mut self) -> Option<u8> {
        if self.bits == 0 {
            return None;
        }
        // At most 63, and base at most 128: at most DE192.
        let de = self
            .base
            .wrapping_add(trailing_zeros(self.bits))
            .wrapping_add(1);
        self.bits &= self.bits.wrapping_sub(1);
        Some(de)
    }
}

/// The bit of a bitmap that announces the next one.
const FURTHER: u64 = 1 << 63;

/// The part of a frame still to be read.
struct Walk<'m> {
    /// Without its trailer.
    frame: &'m [u8],
    rest: &'m [u8],
}

impl Walk<'_> {
    const fn offset(&self) -> usize {
        // `rest` is a tail of `frame`.
        self.frame.len().wrapping_sub(self.rest.len())
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
        let body = self.body(frame);
        if !body.is_some_and(|body| self.skim(body, index, Values)) {
            self.walk(frame, index, OnBadValue::Stop, Scope::VALUES)?;
        }
        Ok(Message::new(self, frame, index))
    }

    /// Like [`decode`](Self::decode), but no value is looked at: for frames whose values were checked before or
    /// are this program's own, since it was this program that wrote or kept them.
    ///
    /// Message type, bitmaps, length prefixes, the place of every field and the trailer are sound then. Not proved
    /// is that digits are digits and text is text: a digit that is none reads as `?`, and a number that has one as
    /// nothing or as any number. Nothing panics.
    ///
    /// # Errors
    /// The first thing that breaks the dialect's structure, with its data element and offset.
    #[inline]
    pub fn decode_structure<'m>(
        &'m self,
        frame: &'m [u8],
        index: &'m mut Index,
    ) -> Result<Message<'m>, DecodeError> {
        let body = self.body(frame);
        if !body.is_some_and(|body| self.skim(body, index, Structure)) {
            self.walk(frame, index, OnBadValue::Stop, Scope::STRUCTURE)?;
        }
        Ok(Message::new(self, frame, index))
    }

    /// Reads the wanted fields and nothing behind the last of them; the message has no others.
    #[inline]
    pub(super) fn decode_named<'m>(
        &'m self,
        frame: &'m [u8],
        index: &'m mut Index,
        wanted: FieldSet,
    ) -> Result<Message<'m>, DecodeError> {
        let body = self.body(frame);
        if !body.is_some_and(|body| self.skim(body, index, Named(wanted))) {
            let (checked, whole) = (wanted, false);
            self.walk(frame, index, OnBadValue::Stop, Scope { checked, whole })?;
        }
        index.fields = index.fields.intersection(wanted);
        Ok(Message::in_part(self, frame, index))
    }

    /// A frame without its trailer; `None` when it does not end with one.
    #[inline(always)]
    fn body<'m>(&self, frame: &'m [u8]) -> Option<&'m [u8]> {
        let trailer = &self.framing().trailer;
        if trailer.is_empty() {
            return Some(frame);
        }
        frame.strip_suffix(trailer.as_slice())
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
        let Err(first) = self.walk(frame, index, OnBadValue::Stop, Scope::VALUES) else {
            return (Some(Message::new(self, frame, index)), None);
        };
        // The second walk can only end in another error; the first is the one to report.
        let readable = match self.walk(frame, index, OnBadValue::LeaveOut, Scope::VALUES) {
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
                | DecodeError::Trailer { .. }
                | DecodeError::LeftOver { .. } => true,
            },
        };
        (
            readable.then(|| Message::in_part(self, frame, index)),
            Some(first),
        )
    }

    #[inline(never)]
    fn walk(
        &self,
        frame: &[u8],
        index: &mut Index,
        on_bad_value: OnBadValue,
        scope: Scope,
    ) -> Result<(), DecodeError> {
        index.fields = FieldSet::EMPTY;
        // A frame too short for its trailer is too short for the rest as well.
        let end = frame.len().saturating_sub(self.framing().trailer.len());
        let body = frame.get(..end).unwrap_or_default();
        let mut walk = self.head(body, index)?;
        let present = self.bitmaps(&mut walk, index)?;
        index.fields = present;
        let how = (on_bad_value, scope.checked);
        let reached = scope.reach(present);
        self.half(&mut walk, index, reached.primary() & !FURTHER, 0, how)?;
        if reached.secondary() != 0 {
            let third = match self.third_bitmap(&mut walk, index) {
                Ok(third) => third,
                Err(error) => {
                    index.fields = index.fields.below(65);
                    return Err(error);
                }
            };
            let reached = scope.reach(index.fields);
            self.half(&mut walk, index, reached.secondary() & !third, 64, how)?;
            self.half(&mut walk, index, reached.third(), 128, how)?;
        }
        if !scope.whole {
            return Ok(());
        }
        if !walk.rest.is_empty() {
            return Err(DecodeError::LeftOver {
                offset: walk.offset(),
                bytes: walk.rest.len(),
            });
        }
        self.trailer(frame, walk.frame.len())
    }

    /// The trailer must be the dialect's own.
    fn trailer(&self, frame: &[u8], offset: usize) -> Result<(), DecodeError> {
        let trailer = &self.framing().trailer;
        if frame.get(offset..) == Some(trailer) {
            Ok(())
        } else {
            let needed = trailer.len();
            Err(DecodeError::Trailer { offset, needed })
        }
    }

    /// Envelope and MTI of a frame without its trailer.
    #[inline(always)]
    fn head<'m>(&self, frame: &'m [u8], index: &mut Index) -> Result<Walk<'m>, DecodeError> {
        if frame.len() > usize::from(u16::MAX) {
            return Err(DecodeError::FrameTooLong { bytes: frame.len() });
        }
        let envelope = self.envelope_bytes();
        let short = || DecodeError::NoMti {
            needed: usize::from(envelope).saturating_add(self.mti_encoding().bytes()),
            found: frame.len(),
        };
        let (message, _) = take::<_, _, Cut>(envelope)(frame).map_err(|_short| short())?;
        let (rest, mti) = mti(self.mti_encoding(), message).map_err(|e| match cause(&e) {
            Cut::Short => short(),
            Cut::Character | Cut::TooLong(_) => DecodeError::Mti {
                offset: envelope.into(),
            },
        })?;
        index.mti = mti;
        index.mti_at = envelope;
        index.end = narrow(frame.len());
        Ok(Walk { frame, rest })
    }

    /// The first and, when DE1 says so, the second bitmap, with the third where that comes next.
    #[inline(always)]
    fn bitmaps(&self, walk: &mut Walk<'_>, index: &mut Index) -> Result<FieldSet, DecodeError> {
        let encoding = self.bitmap_encoding();
        let offset = walk.offset();
        let unusable = DecodeError::Bitmap { offset };
        let (rest, primary) = bitmap(encoding, walk.rest).map_err(|_cut| unusable)?;
        walk.rest = rest;
        if primary & FURTHER == 0 {
            return Ok(FieldSet::from_bitmaps(primary, 0, 0));
        }
        if self.bitmap_count() < 2 {
            return Err(unusable);
        }
        let secondary = self.further_bitmap(walk, index, 1)?;
        let third = if self.third_place() == ThirdBitmap::AfterSecond && secondary & FURTHER != 0 {
            self.further_bitmap(walk, index, 65)?
        } else {
            0
        };
        Ok(FieldSet::from_bitmaps(primary, secondary, third))
    }

    /// The third bitmap where it stands in the place of DE65; gives the bit that announces one, wherever it
    /// stands.
    #[inline(always)]
    fn third_bitmap(&self, walk: &mut Walk<'_>, index: &mut Index) -> Result<u64, DecodeError> {
        let place = self.third_place();
        if place == ThirdBitmap::None || index.fields.secondary() & FURTHER == 0 {
            return Ok(0);
        }
        if place == ThirdBitmap::InPlace {
            let third = self.further_bitmap(walk, index, 65)?;
            let fields = index.fields;
            index.fields = FieldSet::from_bitmaps(fields.primary(), fields.secondary(), third);
        }
        Ok(FURTHER)
    }

    /// Reads a further bitmap, which is field `de`.
    #[inline(always)]
    fn further_bitmap(
        &self,
        walk: &mut Walk<'_>,
        index: &mut Index,
        de: u8,
    ) -> Result<u64, DecodeError> {
        let encoding = self.bitmap_encoding();
        let start = narrow(walk.offset());
        let unusable = DecodeError::Bitmap {
            offset: start.into(),
        };
        let (rest, bits) = bitmap(encoding, walk.rest).map_err(|_cut| unusable)?;
        walk.rest = rest;
        let units = encoding.bytes();
        index.place(de, Span { start, units });
        Ok(bits)
    }

    /// The fields of one bitmap; its first bit is DE `base + 1`.
    fn half(
        &self,
        walk: &mut Walk<'_>,
        index: &mut Index,
        bitmap: u64,
        base: u8,
        (on_bad_value, checked): (OnBadValue, FieldSet),
    ) -> Result<(), DecodeError> {
        let mut fields = Fields::of(bitmap, base);
        while let Some(de) = fields.next() {
            let spec = self.spec(de);
            let begin = walk.rest;
            let (content, Length { units, bytes }) = match length(spec, begin) {
                Ok(parsed) => parsed,
                Err(error) => return stop(index, prefix_error(walk, de, spec, cause(&error))),
            };
            let Ok((rest, field)) = take::<_, _, Cut>(bytes)(content) else {
                let offset = walk.frame.len().wrapping_sub(content.len());
                return stop(index, truncated(de, offset, bytes.into(), content.len()));
            };
            walk.rest = rest;
            // `content` is a tail of the frame.
            let start = walk.frame.len().wrapping_sub(content.len());
            let looked_at = spec.kind == Kind::Undefined || checked.contains(de);
            if !looked_at || check::allows(spec, units, content, field.len()) {
                let start = narrow(start);
                index.place(de, Span { start, units });
                continue;
            }
            let error = bad_value(field, start, de, spec, units);
            match (on_bad_value, error) {
                (OnBadValue::LeaveOut, DecodeError::Character { .. }) => {
                    index.fields = index.fields.without(de);
                }
                (OnBadValue::Stop | OnBadValue::LeaveOut, error) => return stop(index, error),
            }
        }
        Ok(())
    }
}

/// Ends the walk: what stands behind the field at fault is not known.
#[cold]
fn stop(index: &mut Index, error: DecodeError) -> Result<(), DecodeError> {
    if let Some(de) = error.field() {
        index.fields = index.fields.below(de);
    }
    Err(error)
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
    reason = "a u64 has at most 64 trailing zeros"
)]
#[inline]
const fn trailing_zeros(bits: u64) -> u8 {
    bits.trailing_zeros() as u8
}

#[cold]
fn prefix_error(walk: &Walk<'_>, field: u8, spec: &FieldSpec, cut: Cut) -> DecodeError {
    let offset = walk.offset();
    match cut {
        Cut::Short => truncated(field, offset, spec.prefix.bytes().into(), walk.rest.len()),
        Cut::Character => DecodeError::Prefix { field, offset },
        // A length above the field's largest is the mistake, even when so many bytes follow.
        Cut::TooLong(declared) => DecodeError::TooLong {
            field,
            offset,
            declared,
            max: spec.max,
        },
    }
}

#[cold]
const fn truncated(field: u8, offset: usize, declared: usize, remain: usize) -> DecodeError {
    DecodeError::Truncated {
        field,
        offset,
        declared,
        remain,
    }
}

/// A field that is not defined has no bytes, and none are allowed in it.
#[cold]
fn bad_value(field: &[u8], start: usize, de: u8, spec: &FieldSpec, units: u16) -> DecodeError {
    if spec.kind == Kind::Undefined {
        return DecodeError::Undefined {
            field: de,
            offset: start,
        };
    }
    DecodeError::Character {
        field: de,
        offset: start.saturating_add(check::first_bad(spec, units, field)),
    }
}
