//! Writing messages: one frame appended to a buffer, fields ascending.

mod close;
mod copy;
mod decimal;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::BytesMut;

use super::check;
use super::dialect::{
    Dialect, EnvelopeAnswer, FieldSpec, Kind, LengthPlace, MtiEncoding, Pad, Prefix,
};
use super::ebcdic;
use super::error::EncodeError;
use super::fieldset::FieldSet;
use super::form::{self, Misfit};
use super::hexadecimal;
use super::mti::Mti;
use super::range::{DIGITS, PRINTABLE, Range, SHORT_MAX, TEXT};
use decimal::{Eight, decimal};

/// Room asked for when a frame is begun: most messages fit, so the buffer grows at most once.
const FRAME_BYTES_USUAL: usize = 1_024;
/// How much more of that room is made ready to write in at a time, at least.
const READY_BYTES: usize = 256;

/// Above all fields: none may be written yet.
const BEFORE_MTI: u8 = u8::MAX;

/// A value for a field, whatever its wire form.
#[derive(Clone, Copy)]
pub enum FieldValue<'a> {
    /// A number; fixed fields are zero filled, variable ones as short as it goes.
    Number(u64),
    /// ASCII digits, with `=` as a track's separator; short fixed fields are zero filled on the left.
    Digits(&'a [u8]),
    /// Characters; short fixed fields are filled with spaces on the right.
    Text(&'a [u8]),
    /// Raw bytes of a binary field, also where the dialect writes it in hexadecimal.
    Bytes(&'a [u8]),
    /// The field as on the wire, with its length prefix; trusted.
    Element(&'a [u8]),
    /// The field as [`Message::kept`](super::Message::kept) gave it; trusted.
    Kept(&'a [u8]),
}

impl fmt::Debug for FieldValue<'_> {
    /// Shows the kind of value and its length, never the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = match self {
            Self::Number(_) => return f.write_str("Number"),
            Self::Digits(bytes) => ("Digits", bytes),
            Self::Text(bytes) => ("Text", bytes),
            Self::Bytes(bytes) => ("Bytes", bytes),
            Self::Element(bytes) => ("Element", bytes),
            Self::Kept(bytes) => ("Kept", bytes),
        };
        write!(f, "{kind}({} bytes)", bytes.len())
    }
}

/// Writes one message. Envelope, then MTI, then fields ascending; [`finish`](Self::finish) closes the frame.
///
/// The first mistake is kept and returned by `finish`, which then takes back what was written.
#[must_use = "a frame is only complete after `finish`"]
pub struct Writer<'o> {
    dialect: &'o Dialect,
    /// What is written, and behind `at` room that is ready to be written in.
    out: &'o mut BytesMut,
    /// Where the frame's length prefix begins in `out`.
    start: usize,
    /// Where the next byte goes: `start <= at <= out.len()`.
    at: usize,
    /// Where the bitmap begins, 0 before the MTI is written.
    bitmap_at: usize,
    fields: FieldSet,
    /// Where the first field above DE64 begins, 0 while there is none: a third bitmap may stand there.
    upper_at: usize,
    /// Highest field written: 1 behind the MTI, [`BEFORE_MTI`] before it.
    last: u8,
    error: Option<EncodeError>,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("dialect", &self.dialect.name())
            .field("fields", &self.fields)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl Dialect {
    /// What [`Message::kept`](super::Message::kept) gives of a field with this value. `None` when the field
    /// cannot hold it.
    #[must_use]
    pub fn kept_of(&self, de: u8, value: &[u8]) -> Option<Vec<u8>> {
        let spec = self.spec(de);
        let mut element = Vec::with_capacity(value.len().saturating_add(4));
        form::put(spec, value, &mut element).ok()?;
        Some(if spec.kind.is_ebcdic() {
            form::translated(spec, &element, ebcdic::character)
        } else {
            element
        })
    }

    /// Begins a frame at the end of `out`, its length prefix included.
    pub fn write<'o>(&'o self, out: &'o mut BytesMut) -> Writer<'o> {
        let start = out.len();
        out.reserve(FRAME_BYTES_USUAL);
        out.resize(start.saturating_add(READY_BYTES), 0);
        let mut writer = Writer {
            dialect: self,
            out,
            start,
            at: start,
            bitmap_at: 0,
            upper_at: 0,
            fields: FieldSet::EMPTY,
            last: BEFORE_MTI,
            error: None,
        };
        if !self.framing().lead.is_empty() {
            writer.put(&self.framing().lead);
        }
        if self.framing().length_place == LengthPlace::First {
            writer.slot(self.framing().length_bytes);
        }
        writer
    }
}

impl<'o> Writer<'o> {
    #[cold]
    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// The next `bytes` to write in. What stands in them is not known.
    #[inline(always)]
    fn slot(&mut self, bytes: usize) -> &mut [u8] {
        let from = self.at;
        // Lengths of what is in memory: their sum does not overflow.
        let end = from.wrapping_add(bytes);
        self.at = end;
        if end > self.out.len() {
            self.grow(end);
        }
        self.out.get_mut(from..end).unwrap_or_default()
    }

    /// Makes room ready up to `end` and some more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) {
        self.out.resize(end.saturating_add(READY_BYTES), 0);
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.slot(bytes.len()).copy_from_slice(bytes);
    }

    /// Writes TPDU and header as given; their length must be the dialect's.
    pub fn envelope_raw(&mut self, bytes: &[u8]) {
        let needed = usize::from(self.dialect.envelope_bytes());
        let begun = self
            .start
            .saturating_add(self.dialect.framing().prefix_bytes());
        if bytes.len() != needed || self.at != begun || self.bitmap_at != 0 {
            self.fail(EncodeError::Envelope {
                needed,
                found: bytes.len(),
            });
            return;
        }
        self.put(bytes);
    }

    /// Writes the envelope of an answer as the dialect says: usually the TPDU's source and destination change
    /// places, the header comes back, and its handling nibble becomes 0.
    pub fn envelope_answering(&mut self, request_envelope: &[u8]) {
        let from = self.at;
        self.envelope_raw(request_envelope);
        let framing = self.dialect.framing();
        let (tpdu_bytes, header_at) = (framing.tpdu.len(), framing.header_at());
        let Some(envelope) = self.out.get_mut(from..self.at) else {
            return;
        };
        let Some((tpdu, header)) = envelope.split_at_mut_checked(header_at) else {
            return;
        };
        // The length may stand behind either.
        let (Some(tpdu), Some(header)) = (
            tpdu.get_mut(..tpdu_bytes),
            header.get_mut(..framing.header.len()),
        ) else {
            return;
        };
        match (framing.tpdu_answer, tpdu) {
            (EnvelopeAnswer::Swap, [_, a, b, c, d]) => {
                std::mem::swap(a, c);
                std::mem::swap(b, d);
            }
            (EnvelopeAnswer::Fixed, tpdu) => tpdu.copy_from_slice(&framing.tpdu),
            (EnvelopeAnswer::Swap | EnvelopeAnswer::Echo, _) => {}
        }
        if framing.header_answer == EnvelopeAnswer::Fixed {
            header.copy_from_slice(&framing.header);
        }
        if let Some([one, other]) = &framing.header_swapped {
            for (here, there) in one.clone().zip(other.clone()) {
                if here.max(there) < header.len() {
                    header.swap(here, there);
                }
            }
        }
        let cleared = framing.header_cleared_nibble;
        let Some(nibble) = cleared.and_then(|nibble| nibble.checked_sub(1)) else {
            return;
        };
        if let Some(byte) = header.get_mut(usize::from(nibble / 2)) {
            *byte &= if nibble % 2 == 0 { 0x0F } else { 0xF0 };
        }
    }

    /// Writes the dialect's own TPDU and header.
    pub fn envelope_default(&mut self) {
        let framing = self.dialect.framing();
        self.put(&framing.tpdu);
        if framing.length_place == LengthPlace::AfterTpdu {
            self.slot(framing.length_bytes);
        }
        self.put(&framing.header);
        if framing.length_place == LengthPlace::AfterHeader {
            self.slot(framing.length_bytes);
        }
    }

    /// Writes the message type and leaves room for the bitmap.
    pub fn mti(&mut self, mti: Mti) {
        if self.bitmap_at != 0 {
            self.fail(EncodeError::SecondMti);
            return;
        }
        let needed = usize::from(self.dialect.envelope_bytes());
        let begun = self
            .start
            .saturating_add(self.dialect.framing().prefix_bytes());
        let found = self.at.saturating_sub(begun);
        if found != needed {
            self.fail(EncodeError::Envelope { needed, found });
        }
        match self.dialect.mti_encoding() {
            MtiEncoding::Packed => self.put(&mti.packed().to_be_bytes()),
            MtiEncoding::Ascii => self.put(&mti.ascii()),
            MtiEncoding::Ebcdic => self.put(&mti.ascii().map(ebcdic::byte)),
        }
        self.last = 1;
        self.bitmap_at = self.at;
        self.slot(self.dialect.bitmap_encoding().bytes().into());
    }

    /// Notes the field as written and gives its wire form; `None` when it may not be written now.
    #[inline(always)]
    fn begin(&mut self, de: u8) -> Option<&'o FieldSpec> {
        let spec = self.dialect.spec(de);
        // Only what the bitmaps reach is ever defined.
        if de <= self.last || spec.kind == Kind::Undefined {
            self.refuse(de, spec);
            return None;
        }
        self.last = de;
        if de <= 64 {
            self.fields.insert_primary(de);
        } else {
            self.insert_upper(de);
        }
        Some(spec)
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, de: u8, spec: &FieldSpec) {
        self.fail(if self.bitmap_at == 0 {
            EncodeError::NoMti
        } else if spec.kind == Kind::Undefined {
            EncodeError::Undefined { field: de }
        } else {
            EncodeError::Order { field: de }
        });
    }

    /// Notes a field of the second or third bitmap.
    #[cold]
    #[inline(never)]
    fn insert_upper(&mut self, de: u8) {
        if self.upper_at == 0 {
            self.upper_at = self.at;
        }
        self.fields.insert(de);
    }

    /// Writes whatever kind of value it is.
    pub fn value(&mut self, de: u8, value: FieldValue<'_>) {
        match value {
            FieldValue::Number(number) => self.number(de, number),
            FieldValue::Digits(ascii) => self.digits(de, ascii),
            FieldValue::Text(text) => self.text(de, text),
            FieldValue::Bytes(bytes) => self.bytes(de, bytes),
            FieldValue::Element(element) => self.element(de, element),
            FieldValue::Kept(kept) => self.kept(de, kept),
        }
    }

    /// Writes a number: fixed fields zero filled, variable ones as short as it goes.
    pub fn number(&mut self, de: u8, number: u64) {
        if !self.usual_number(de, number) {
            self.number_otherwise(de, number);
        }
    }

    /// Like [`usual`](Self::usual), for up to eight digits with zeros in front in a field of 4 to 16.
    #[inline(always)]
    fn usual_number(&mut self, de: u8, number: u64) -> bool {
        let spec = self.dialect.spec(de);
        let width = usize::from(spec.max);
        if spec.kind != Kind::Digits || !matches!(width, 4..=16) {
            return false;
        }
        let Some(digits) = Eight::of(number).filter(|digits| digits.fits(width)) else {
            return false;
        };
        // Digits need no check, and those in front are there already.
        let Some(slot) = self.ready(de, width) else {
            return false;
        };
        digits.put(slot);
        self.note(de, width);
        true
    }

    #[inline(never)]
    fn number_otherwise(&mut self, de: u8, number: u64) {
        let (digits, zeros) = decimal(number);
        self.digits(de, digits.get(zeros..).unwrap_or_default());
    }

    /// Writes ASCII digits, with `=` as the separator of a track. A short value of a fixed field is zero
    /// filled on the left.
    pub fn digits(&mut self, de: u8, ascii: &[u8]) {
        let usual = self.dialect.spec(de).kind == Kind::Digits && self.usual(de, &DIGITS, ascii);
        if !usual {
            self.digits_otherwise(de, ascii);
        }
    }

    #[inline(never)]
    fn digits_otherwise(&mut self, de: u8, ascii: &[u8]) {
        let Some(spec) = self.begin(de) else { return };
        let allowed = match spec.kind {
            Kind::PackedDigits => DIGITS.allows(ascii, ascii.len()),
            Kind::Track | Kind::PackedTrack => check::allows_track(ascii),
            Kind::Digits => return self.checked(de, spec, &DIGITS, ascii, zeros_in_front),
            Kind::Alphanumeric => {
                return self.checked(de, spec, &PRINTABLE, ascii, zeros_in_front);
            }
            Kind::Text => return self.checked(de, spec, &TEXT, ascii, zeros_in_front),
            Kind::Bytes
            | Kind::Hex
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::EbcdicHex
            | Kind::Undefined => false,
        };
        if !allowed {
            return self.seldom(de, spec, ascii);
        }
        let Some(zeros) = self.open(de, spec, ascii.len()) else {
            return;
        };
        if spec.kind.is_packed() {
            self.pack(spec, zeros, ascii);
        } else {
            if zeros > 0 {
                self.slot(zeros).fill(b'0');
            }
            self.put(ascii);
        }
    }

    /// Writes characters. A short value of a fixed field is filled with spaces on the right, of a numeric
    /// one with zeros on the left.
    pub fn text(&mut self, de: u8, text: &[u8]) {
        let usual = match self.dialect.spec(de).kind {
            Kind::Text => self.usual(de, &TEXT, text),
            Kind::Alphanumeric => self.usual(de, &PRINTABLE, text),
            _ => false,
        };
        if !usual {
            self.text_otherwise(de, text);
        }
    }

    #[inline(never)]
    fn text_otherwise(&mut self, de: u8, text: &[u8]) {
        match self.dialect.spec(de).kind {
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack => self.digits(de, text),
            Kind::Alphanumeric => {
                if let Some(spec) = self.begin(de) {
                    self.checked(de, spec, &PRINTABLE, text, spaces_behind);
                }
            }
            Kind::Text => {
                if let Some(spec) = self.begin(de) {
                    self.checked(de, spec, &TEXT, text, spaces_behind);
                }
            }
            Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
                if let Some(spec) = self.begin(de) {
                    self.seldom(de, spec, text);
                }
            }
            Kind::Bytes | Kind::Hex | Kind::EbcdicHex => self.bytes(de, text),
            Kind::Undefined => self.fail(EncodeError::Undefined { field: de }),
        }
    }

    /// Writes what most fields hold: as many characters as a field of fixed length has. `false`, with nothing done, for
    /// anything else and where something is wrong.
    #[inline(always)]
    fn usual(&mut self, de: u8, range: &Range, value: &[u8]) -> bool {
        let whole = usize::from(self.dialect.spec(de).max) == value.len();
        if !whole || value.len() > SHORT_MAX {
            return false;
        }
        let taken = match self.ready(de, value.len()) {
            Some(slot) => range.take_short(value, slot),
            None => false,
        };
        if taken {
            self.note(de, value.len());
        }
        taken
    }

    /// Room that is ready for a field of fixed length of the first bitmap, where it may be written now.
    #[inline(always)]
    fn ready(&mut self, de: u8, bytes: usize) -> Option<&mut [u8]> {
        if self.dialect.spec(de).prefix != Prefix::Fixed || de <= self.last || de > 64 {
            return None;
        }
        self.out.get_mut(self.at..)?.get_mut(..bytes)
    }

    /// Notes what was written in such room.
    #[inline(always)]
    fn note(&mut self, de: u8, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
        self.last = de;
        self.fields.insert_primary(de);
    }

    /// Writes a value whose characters are of a range, as they are.
    #[inline(always)]
    fn checked(
        &mut self,
        de: u8,
        spec: &FieldSpec,
        range: &Range,
        value: &[u8],
        fill: impl Fn(&mut [u8], usize) -> &mut [u8],
    ) {
        let len = value.len();
        let Some(missing) = usize::from(spec.max).checked_sub(len) else {
            return self.too_long(de, spec, range, value);
        };
        let slot = match (spec.prefix, missing) {
            (Prefix::Fixed, 0) => self.slot(len),
            (Prefix::Fixed, _) => fill(self.slot(spec.max.into()), missing),
            (prefix, _) => {
                self.prefix(prefix, len);
                self.slot(len)
            }
        };
        if !range.take(value, slot) {
            self.fail(EncodeError::Character { field: de });
        }
    }

    /// The character is the mistake where both are wrong.
    #[cold]
    #[inline(never)]
    fn too_long(&mut self, de: u8, spec: &FieldSpec, range: &Range, value: &[u8]) {
        let found = value.len();
        let (field, max) = (de, spec.max);
        self.fail(if range.allows(value, found) {
            EncodeError::Length { field, found, max }
        } else {
            EncodeError::Character { field }
        });
    }

    /// Writes the bytes of a binary field; a fixed one must be given whole.
    pub fn bytes(&mut self, de: u8, bytes: &[u8]) {
        let Some(spec) = self.begin(de) else { return };
        if spec.kind == Kind::EbcdicHex {
            return self.seldom(de, spec, bytes);
        }
        let units = if spec.kind == Kind::Hex {
            bytes.len().saturating_mul(2)
        } else {
            bytes.len()
        };
        match (spec.kind, self.open(de, spec, units)) {
            (_, None) => {}
            (Kind::Bytes, Some(0)) => self.put(bytes),
            (Kind::Hex, Some(0)) => {
                let (eights, rest) = bytes.as_chunks::<8>();
                for eight in eights {
                    self.put(&hexadecimal::sixteen(u64::from_be_bytes(*eight)));
                }
                for byte in rest {
                    let [.., high, low] = hexadecimal::digits((*byte).into());
                    self.put(&[high, low]);
                }
            }
            (Kind::Bytes | Kind::Hex, Some(_)) => self.fail(EncodeError::Length {
                field: de,
                found: units,
                max: spec.max,
            }),
            (
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
                | Kind::EbcdicHex
                | Kind::Undefined,
                Some(_),
            ) => self.fail(EncodeError::Character { field: de }),
        }
    }

    /// Writes a value as [`Message::value`](super::Message::value) gives it.
    pub fn field(&mut self, de: u8, value: &[u8]) {
        self.text(de, value);
    }

    /// Writes what few networks have; a value that nobody allows is a mistake.
    #[cold]
    #[inline(never)]
    fn seldom(&mut self, de: u8, spec: &FieldSpec, value: &[u8]) {
        if !spec.kind.is_ebcdic() {
            return self.fail(EncodeError::Character { field: de });
        }
        let found = value.len();
        self.out.truncate(self.at);
        let put = form::put(spec, value, self.out);
        self.at = self.out.len();
        match put {
            Ok(()) => {}
            Err(Misfit::Character) => self.fail(EncodeError::Character { field: de }),
            Err(Misfit::Length) => {
                let max = spec.max;
                self.fail(EncodeError::Length {
                    field: de,
                    found,
                    max,
                });
            }
        }
    }

    /// Writes a field as it lies on the wire, length prefix included. Trusted: not checked again.
    #[inline]
    pub fn element(&mut self, de: u8, element: &[u8]) {
        if self.begin(de).is_some() {
            self.put(element);
        }
    }

    /// Writes a field as [`Message::kept`](super::Message::kept) gave it. Trusted: not checked again.
    pub fn kept(&mut self, de: u8, kept: &[u8]) {
        let spec = self.dialect.spec(de);
        if spec.kind.is_ebcdic() {
            self.element(de, &form::translated(spec, kept, ebcdic::byte));
        } else {
            self.element(de, kept);
        }
    }

    /// Writes the length prefix and gives how many units of filling a fixed field still needs.
    #[inline(always)]
    fn open(&mut self, de: u8, spec: &FieldSpec, units: usize) -> Option<usize> {
        let found = u16::try_from(units).ok().filter(|units| *units <= spec.max);
        let Some(units) = found else {
            self.fail(EncodeError::Length {
                field: de,
                found: units,
                max: spec.max,
            });
            return None;
        };
        if spec.prefix == Prefix::Fixed {
            return Some(spec.max.saturating_sub(units).into());
        }
        self.prefix(spec.prefix, units.into());
        Some(0)
    }

    /// Writes a length prefix. The length is at most the field's largest.
    #[inline(always)]
    fn prefix(&mut self, prefix: Prefix, units: usize) {
        let units = u16::try_from(units).unwrap_or(u16::MAX);
        let mut slot = self.slot(prefix.bytes().into());
        form::put_prefix(prefix, units, &mut slot);
    }

    /// Packs `zeros` zeros and the digits two a byte.
    fn pack(&mut self, spec: &FieldSpec, zeros: usize, ascii: &[u8]) {
        let odd = zeros.saturating_add(ascii.len()) % 2 == 1;
        let lead = zeros.saturating_add((odd && spec.pad == Pad::Left).into());
        self.slot(lead / 2).fill(0);
        let mut rest = ascii;
        if lead % 2 == 1 {
            let first = rest.split_off_first();
            self.put(&[first.map_or(0, |first| form::nibble(*first))]);
        }
        let slots = self.slot(rest.len().div_ceil(2));
        for (slot, pair) in slots.iter_mut().zip(rest.chunks(2)) {
            *slot = match pair {
                [high, low] => (form::nibble(*high) << 4) | form::nibble(*low),
                [high] => form::nibble(*high) << 4,
                _ => 0,
            };
        }
    }
}

/// Fills the beginning of a slot with zeros; gives the rest.
#[cold]
fn zeros_in_front(slot: &mut [u8], missing: usize) -> &mut [u8] {
    let (filling, rest) = slot.split_at_mut_checked(missing).unwrap_or_default();
    filling.fill(b'0');
    rest
}

/// Fills the end of a slot with spaces; gives the rest.
#[cold]
fn spaces_behind(slot: &mut [u8], missing: usize) -> &mut [u8] {
    let begin = slot.len().saturating_sub(missing);
    let (rest, filling) = slot.split_at_mut_checked(begin).unwrap_or_default();
    filling.fill(b' ');
    rest
}
