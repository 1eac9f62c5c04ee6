//! A decoded message: a view over the received bytes.

use std::borrow::Cow;
use std::fmt;

use super::dialect::{Dialect, FieldSpec, Kind, Pad, SubField};
use super::digits::{self, Digits};
use super::ebcdic;
use super::fieldset::FieldSet;
use super::form;
use super::hexadecimal;
use super::index::{Index, Span};
use super::mti::Mti;
use super::request;

/// A message that its dialect accepts, or what was readable of one that it does not.
///
/// Borrows the frame and the index it was decoded into; copying it copies three pointers and a flag. `Debug` names
/// type and fields, never a value.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    dialect: &'m Dialect,
    frame: &'m [u8],
    index: &'m Index,
    /// Whether the fields are all that stands behind the bitmaps, so that neighbours touch.
    whole: bool,
}

impl<'m> Message<'m> {
    pub(super) const fn new(dialect: &'m Dialect, frame: &'m [u8], index: &'m Index) -> Self {
        Self {
            dialect,
            frame,
            index,
            whole: true,
        }
    }

    /// One of which fields were left out that it has.
    pub(super) const fn in_part(dialect: &'m Dialect, frame: &'m [u8], index: &'m Index) -> Self {
        Self {
            dialect,
            frame,
            index,
            whole: false,
        }
    }

    /// Whether the fields are all that stands behind the bitmaps.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The dialect it was read in.
    #[must_use]
    pub const fn dialect(&self) -> &'m Dialect {
        self.dialect
    }

    /// All its bytes, without a length prefix.
    #[must_use]
    pub const fn frame(&self) -> &'m [u8] {
        self.frame
    }

    /// Message type.
    #[must_use]
    pub const fn mti(&self) -> Mti {
        self.index.mti
    }

    /// The fields it has; DE1, the second bitmap, is among them when there is one.
    #[must_use]
    pub const fn fields(&self) -> FieldSet {
        self.index.fields
    }

    /// The fields it has without its further bitmaps.
    #[must_use]
    pub const fn content_fields(&self) -> FieldSet {
        self.index.fields.intersection(FieldSet::CONTENT)
    }

    /// Whether it has the field.
    #[must_use]
    pub const fn has(&self, de: u8) -> bool {
        self.index.fields.contains(de)
    }

    /// TPDU and header: the bytes before the MTI. May be empty.
    #[must_use]
    pub fn envelope(&self) -> &'m [u8] {
        self.frame
            .get(..self.index.mti_at.into())
            .unwrap_or_default()
    }

    /// The bytes that a MAC covers: from the MTI to the end of the last field before the MAC.
    #[must_use]
    pub fn mac_input(&self) -> &'m [u8] {
        let from = usize::from(self.index.mti_at);
        let to = match self.index.span(self.dialect.roles().mac) {
            Some(span) => span.start.into(),
            None => self.end(),
        };
        self.frame.get(from..to).unwrap_or_default()
    }

    /// Where the last field ends.
    pub(super) fn end(&self) -> usize {
        self.index.end.into()
    }

    fn place(&self, de: u8) -> Option<(FieldSpec, Span, &'m [u8])> {
        let span = self.index.span(de)?;
        let spec = self.dialect.wire_spec(de);
        let start = usize::from(span.start);
        let end = start.checked_add(spec.content_bytes(span.units).into())?;
        Some((spec, span, self.frame.get(start..end)?))
    }

    /// A field's content as on the wire, without its length prefix. Packed digits stay packed, padding
    /// and all.
    #[must_use]
    pub fn field(&self, de: u8) -> Option<&'m [u8]> {
        self.place(de).map(|(_, _, content)| content)
    }

    /// A field's bytes with its length prefix: what [`Writer::element`](super::Writer::element) takes.
    #[must_use]
    pub fn element(&self, de: u8) -> Option<&'m [u8]> {
        let (spec, span, content) = self.place(de)?;
        let start = usize::from(span.start);
        let from = start.checked_sub(spec.prefix.bytes().into())?;
        self.frame.get(from..start.checked_add(content.len())?)
    }

    /// A field's bytes with its length prefix, its characters in ASCII also where the dialect writes EBCDIC, so
    /// that who finds them stored can read them: what [`Writer::kept`](super::Writer::kept) takes.
    #[must_use]
    pub fn kept(&self, de: u8) -> Option<Cow<'m, [u8]>> {
        let element = self.element(de)?;
        let spec = self.dialect.wire_spec(de);
        Some(if spec.kind.is_ebcdic() {
            Cow::Owned(form::translated(&spec, element, ebcdic::character))
        } else {
            Cow::Borrowed(element)
        })
    }

    /// Where a field's bytes begin in the frame, its length prefix included.
    pub(super) fn element_start(&self, de: u8) -> Option<usize> {
        let span = self.index.span(de)?;
        usize::from(span.start).checked_sub(self.dialect.wire_spec(de).prefix.bytes().into())
    }

    /// Where a field's bytes end in the frame.
    pub(super) fn element_end(&self, de: u8) -> Option<usize> {
        let span = self.index.span(de)?;
        let content = self.dialect.wire_spec(de).content_bytes(span.units);
        usize::from(span.start).checked_add(content.into())
    }

    /// The bytes from the first of these fields to the last; what the message has between them stands there too,
    /// a third bitmap included. Empty where it lacks either.
    pub(super) fn stretch(&self, fields: FieldSet) -> &'m [u8] {
        let from = fields.first().and_then(|first| self.element_start(first));
        let to = fields.last().and_then(|last| self.element_end(last));
        match (from, to) {
            (Some(from), Some(to)) => self.frame.get(from..to).unwrap_or_default(),
            (Some(_) | None, Some(_) | None) => &[],
        }
    }

    /// Length of a field as its prefix counts it: digits of numeric and track fields, else bytes.
    #[must_use]
    pub fn length(&self, de: u8) -> Option<usize> {
        self.index.span(de).map(|span| span.units.into())
    }

    /// A numeric or track field as ASCII digits without padding, whatever its wire form; the separator of
    /// a track is `=`. `None` for other types and above 104 digits (see [`slice`](Self::slice)).
    #[must_use]
    pub fn digits(&self, de: u8) -> Option<Digits> {
        let (spec, span, _) = self.place(de)?;
        match spec.kind {
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack => self.slice(de, 0, span.units.into()),
            Kind::Alphanumeric
            | Kind::Text
            | Kind::Bytes
            | Kind::Hex
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::EbcdicHex
            | Kind::Undefined => None,
        }
    }

    /// Digits `from .. from + count` of a numeric or track field, characters of any other; at most 104.
    /// `None` when the field is shorter.
    #[must_use]
    pub fn slice(&self, de: u8, from: usize, count: usize) -> Option<Digits> {
        let (spec, span, content) = self.place(de)?;
        let units = usize::from(span.units);
        if from.checked_add(count)? > units {
            return None;
        }
        match spec.kind {
            Kind::PackedDigits | Kind::PackedTrack => {
                let padded_left = spec.pad == Pad::Left && units % 2 == 1;
                Digits::unpack(content, from.checked_add(padded_left.into())?, count)
            }
            Kind::Digits
            | Kind::Track
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::Bytes
            | Kind::Hex => Digits::from_ascii(content.get(from..from.checked_add(count)?)?),
            Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::EbcdicHex => Digits::from_ebcdic(content.get(from..from.checked_add(count)?)?),
            Kind::Undefined => None,
        }
    }

    /// A numeric field of up to 18 digits.
    #[must_use]
    pub fn number(&self, de: u8) -> Option<u64> {
        let (spec, span, content) = self.place(de)?;
        match spec.kind {
            Kind::Digits => digits::number(content),
            Kind::PackedDigits => packed_number(spec, span.units, content),
            Kind::EbcdicDigits => self.slice(de, 0, span.units.into())?.number(),
            Kind::Track
            | Kind::PackedTrack
            | Kind::EbcdicTrack
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::Bytes
            | Kind::Hex
            | Kind::EbcdicHex
            | Kind::Undefined => None,
        }
    }

    /// A field's value: digits in ASCII without padding and with `=` in a track, text in ASCII, or raw
    /// bytes, whatever its wire form. What [`Writer::field`](super::Writer::field) takes, and what a
    /// [`Layout`](super::Layout) divides.
    #[must_use]
    pub fn value(&self, de: u8) -> Option<Cow<'m, [u8]>> {
        let (spec, span, content) = self.place(de)?;
        Some(form::value(&spec, span.units, content))
    }

    /// The side on which an odd number of packed digits is filled up with a nibble: whether it is the left. `None`
    /// where nothing is filled.
    #[must_use]
    pub fn filled_on_the_left(&self, de: u8) -> Option<bool> {
        let (spec, span, _) = self.place(de)?;
        let odd = spec.kind.is_packed() && span.units % 2 == 1;
        odd.then_some(spec.pad == Pad::Left)
    }

    /// A binary field of eight bytes (PIN block, MAC), also where the dialect writes it in hexadecimal.
    #[must_use]
    pub fn block(&self, de: u8) -> Option<[u8; 8]> {
        let (spec, _, content) = self.place(de)?;
        match spec.kind {
            Kind::Bytes => content.try_into().ok(),
            Kind::Hex => {
                let (high, low) = content.split_first_chunk::<8>()?;
                let high = hexadecimal::value(*high)?.to_be_bytes();
                let low = hexadecimal::value(low.try_into().ok()?)?.to_be_bytes();
                let ([a, b, c, d], [e, f, g, h]) = (high, low);
                Some([a, b, c, d, e, f, g, h])
            }
            Kind::EbcdicHex => self.value(de)?.as_ref().try_into().ok(),
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::Undefined => None,
        }
    }

    /// Sub-field `part` of a field, counted from 1 as in the standards: 60.2 is `sub(60, 2)`. `None` when
    /// the field ends before or inside it.
    #[must_use]
    pub fn sub(&self, de: u8, part: usize) -> Option<Digits> {
        let field = self.dialect.field(de)?;
        self.part(*field.parts.get(part.checked_sub(1)?)?)
    }

    /// A sub-field by its handle, as [`Dialect::sub_field`] and [`Roles`](super::Roles) give it.
    #[must_use]
    pub fn part(&self, part: SubField) -> Option<Digits> {
        if part.count == SubField::WHOLE {
            return self.slice(part.field, 0, self.length(part.field)?);
        }
        self.slice(part.field, part.from.into(), part.count.into())
    }

    /// What conditions of the request table compare: see [`request::fingerprint`].
    pub(super) fn fingerprint(&self, part: SubField) -> Option<u64> {
        let (spec, span, content) = self.place(part.field)?;
        let units = usize::from(span.units);
        let (from, count): (usize, usize) = match part.count {
            SubField::WHOLE => (0, units),
            count => (part.from.into(), count.into()),
        };
        let end = from.checked_add(count)?;
        if count > 7 || end > units {
            return None;
        }
        if spec.kind.is_ebcdic() {
            return request::fingerprint(&self.slice(part.field, from, count)?);
        }
        if !spec.kind.is_packed() {
            return request::fingerprint(content.get(from..end)?);
        }
        let lead = usize::from(spec.pad == Pad::Left && units % 2 == 1);
        (from..end).try_fold(request::FINGERPRINT, |print, at| {
            let at = at.checked_add(lead)?;
            let byte = content.get(at / 2)?;
            let nibble = if at % 2 == 0 { byte >> 4 } else { byte & 0x0F };
            Some(request::append(print, digits::ascii(nibble)))
        })
    }
}

/// The number that up to 18 packed digits make.
fn packed_number(spec: FieldSpec, units: u16, content: &[u8]) -> Option<u64> {
    if units == 0 || units > 18 {
        return None;
    }
    let odd = units % 2 == 1;
    // Two digits a byte; 20 digits with a padding nibble on the left stay below 2^64.
    let sum = content.iter().enumerate().fold(0_u64, |sum, (at, byte)| {
        let high = if odd && spec.pad == Pad::Left && at == 0 {
            0
        } else {
            byte >> 4
        };
        let pair = u64::from(high)
            .wrapping_mul(10)
            .wrapping_add((byte & 0x0F).into());
        sum.wrapping_mul(100).wrapping_add(pair)
    });
    // A padding nibble on the right counts as one digit more, of any value up to 15.
    match (odd, spec.pad) {
        (true, Pad::Right) => {
            let pad = u64::from(content.last()? & 0x0F);
            sum.checked_sub(pad)?.checked_div(10)
        }
        (true, Pad::Left) | (false, _) => Some(sum),
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("dialect", &self.dialect.name())
            .field("mti", &self.mti())
            .field("fields", &self.fields())
            .finish_non_exhaustive()
    }
}
