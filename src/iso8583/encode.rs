//! Writing messages: one frame appended to a buffer, fields ascending.

mod close;
mod copy;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::check;
use super::dialect::{Dialect, EnvelopeAnswer, FieldSpec, Kind, MtiEncoding, Pad, Prefix};
use super::ebcdic;
use super::error::EncodeError;
use super::fieldset::FieldSet;
use super::form::{self, Misfit};
use super::hexadecimal;
use super::mti::Mti;

/// Room asked for when a frame is begun: most messages fit, so the buffer grows at most once.
const FRAME_BYTES_USUAL: usize = 1_024;

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
    out: &'o mut BytesMut,
    /// Where the frame's length prefix begins in `out`.
    start: usize,
    /// Where the bitmap begins, 0 before the MTI is written.
    bitmap_at: usize,
    fields: FieldSet,
    /// Where the first field above DE64 begins, 0 while there is none: a third bitmap may stand there.
    upper_at: usize,
    /// Highest field written.
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
    /// Begins a frame at the end of `out`, its length prefix included.
    pub fn write<'o>(&'o self, out: &'o mut BytesMut) -> Writer<'o> {
        let start = out.len();
        out.reserve(FRAME_BYTES_USUAL);
        if !self.framing().lead.is_empty() {
            out.put_slice(&self.framing().lead);
        }
        out.put_bytes(0, self.framing().length_bytes);
        Writer {
            dialect: self,
            out,
            start,
            bitmap_at: 0,
            upper_at: 0,
            fields: FieldSet::EMPTY,
            last: 1,
            error: None,
        }
    }
}

impl<'o> Writer<'o> {
    #[cold]
    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// Writes TPDU and header as given; their length must be the dialect's.
    pub fn envelope_raw(&mut self, bytes: &[u8]) {
        let needed = usize::from(self.dialect.envelope_bytes());
        let begun = self
            .start
            .saturating_add(self.dialect.framing().prefix_bytes());
        if bytes.len() != needed || self.out.len() != begun || self.bitmap_at != 0 {
            self.fail(EncodeError::Envelope {
                needed,
                found: bytes.len(),
            });
            return;
        }
        self.out.put_slice(bytes);
    }

    /// Writes the envelope of an answer as the dialect says: usually the TPDU's source and destination change
    /// places, the header comes back, and its handling nibble becomes 0.
    pub fn envelope_answering(&mut self, request_envelope: &[u8]) {
        let from = self.out.len();
        self.envelope_raw(request_envelope);
        let framing = self.dialect.framing();
        let tpdu_bytes = framing.tpdu.len();
        let Some(envelope) = self.out.get_mut(from..) else {
            return;
        };
        let Some((tpdu, header)) = envelope.split_at_mut_checked(tpdu_bytes) else {
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
        self.out.put_slice(&framing.tpdu);
        self.out.put_slice(&framing.header);
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
        let found = self.out.len().saturating_sub(begun);
        if found != needed {
            self.fail(EncodeError::Envelope { needed, found });
        }
        match self.dialect.mti_encoding() {
            MtiEncoding::Packed => self.out.put_u16(mti.packed()),
            MtiEncoding::Ascii => self.out.put_slice(&mti.ascii()),
            MtiEncoding::Ebcdic => self.out.put_slice(&mti.ascii().map(ebcdic::byte)),
        }
        self.bitmap_at = self.out.len();
        self.out
            .put_bytes(0, self.dialect.bitmap_encoding().bytes().into());
    }

    /// Notes the field as written and gives its wire form; `None` when it may not be written now.
    #[inline(always)]
    fn begin(&mut self, de: u8) -> Option<&'o FieldSpec> {
        if self.bitmap_at == 0 {
            self.fail(EncodeError::NoMti);
            return None;
        }
        let spec = self.dialect.spec(de);
        // Only what the bitmaps reach is ever defined.
        if spec.kind == Kind::Undefined {
            self.fail(EncodeError::Undefined { field: de });
            return None;
        }
        if de <= self.last {
            self.fail(EncodeError::Order { field: de });
            return None;
        }
        if de > 64 && self.last <= 64 {
            self.upper_at = self.out.len();
        }
        self.last = de;
        self.fields.insert(de);
        Some(spec)
    }

    /// Writes whatever kind of value it is.
    pub fn value(&mut self, de: u8, value: FieldValue<'_>) {
        match value {
            FieldValue::Number(number) => self.number(de, number),
            FieldValue::Digits(ascii) => self.digits(de, ascii),
            FieldValue::Text(text) => self.text(de, text),
            FieldValue::Bytes(bytes) => self.bytes(de, bytes),
            FieldValue::Element(element) => self.element(de, element),
        }
    }

    /// Writes a number: fixed fields zero filled, variable ones as short as it goes.
    pub fn number(&mut self, de: u8, number: u64) {
        // 20 digits hold every u64.
        let mut digits = [b'0'; 20];
        let mut zeros = digits.len();
        let mut left = number;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' | u8::try_from(left % 10).unwrap_or_default();
            zeros = zeros.saturating_sub(1);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.digits(de, digits.get(zeros..).unwrap_or_default());
    }

    /// Writes ASCII digits, with `=` as the separator of a track. A short value of a fixed field is zero
    /// filled on the left.
    pub fn digits(&mut self, de: u8, ascii: &[u8]) {
        let Some(spec) = self.begin(de) else { return };
        if !check::allows(spec, ascii) {
            self.seldom(de, spec, ascii);
            return;
        }
        let Some(zeros) = self.open(de, spec, ascii.len()) else {
            return;
        };
        if spec.kind.is_packed() {
            self.pack(spec, zeros, ascii);
        } else {
            self.fill(b'0', zeros);
            self.out.put_slice(ascii);
        }
    }

    /// Writes characters. A short value of a fixed field is filled with spaces on the right, of a numeric
    /// one with zeros on the left.
    pub fn text(&mut self, de: u8, text: &[u8]) {
        match self.dialect.spec(de).kind {
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack => self.digits(de, text),
            Kind::Alphanumeric | Kind::Text | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
                self.characters(de, text);
            }
            Kind::Bytes | Kind::Hex | Kind::EbcdicHex => self.bytes(de, text),
            Kind::Undefined => self.fail(EncodeError::Undefined { field: de }),
        }
    }

    fn characters(&mut self, de: u8, text: &[u8]) {
        let Some(spec) = self.begin(de) else { return };
        if !check::allows(spec, text) {
            self.seldom(de, spec, text);
            return;
        }
        let Some(spaces) = self.open(de, spec, text.len()) else {
            return;
        };
        self.out.put_slice(text);
        self.fill(b' ', spaces);
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
            (Kind::Bytes, Some(0)) => self.out.put_slice(bytes),
            (Kind::Hex, Some(0)) => {
                let (eights, rest) = bytes.as_chunks::<8>();
                for eight in eights {
                    self.out
                        .put_slice(&hexadecimal::sixteen(u64::from_be_bytes(*eight)));
                }
                for byte in rest {
                    let [.., high, low] = hexadecimal::digits((*byte).into());
                    self.out.put_slice(&[high, low]);
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
        match form::put(spec, value, self.out) {
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
            self.out.put_slice(element);
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
        form::put_prefix(spec.prefix, units, self.out);
        Some(0)
    }

    /// Appends filling; mostly there is none to append.
    #[inline(always)]
    fn fill(&mut self, byte: u8, count: usize) {
        if count > 0 {
            self.out.put_bytes(byte, count);
        }
    }

    /// Packs `zeros` zeros and the digits two a byte.
    fn pack(&mut self, spec: &FieldSpec, zeros: usize, ascii: &[u8]) {
        let odd = zeros.saturating_add(ascii.len()) % 2 == 1;
        let lead = zeros.saturating_add((odd && spec.pad == Pad::Left).into());
        self.fill(0, lead / 2);
        let mut rest = ascii;
        if lead % 2 == 1 {
            if let Some((first, tail)) = rest.split_first() {
                self.out.put_u8(form::nibble(*first));
                rest = tail;
            } else {
                self.out.put_u8(0);
            }
        }
        let (pairs, last) = rest.as_chunks::<2>();
        for [high, low] in pairs {
            self.out
                .put_u8((form::nibble(*high) << 4) | form::nibble(*low));
        }
        if let [high] = last {
            self.out.put_u8(form::nibble(*high) << 4);
        }
    }
}
