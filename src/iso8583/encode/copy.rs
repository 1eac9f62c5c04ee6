//! Fields taken over from a received message.

use super::Writer;
use crate::iso8583::dialect::{Kind, ThirdBitmap};
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::message::Message;

impl Writer<'_> {
    /// Copies a field from a message, length prefix, padding and all; nothing when the message lacks it.
    /// From another dialect the value is taken over, in this dialect's wire form.
    pub fn copy(&mut self, message: &Message<'_>, de: u8) {
        if !message.has(de) || de == 1 || de == 65 {
            return;
        }
        let same = std::ptr::eq(message.dialect(), self.dialect)
            || message.dialect().spec(de) == self.dialect.spec(de);
        match message.element(de) {
            Some(element) if same => self.element(de, element),
            Some(_) => self.translate(message, de),
            None => {}
        }
    }

    /// Copies all fields of the set that the message has.
    pub fn copy_set(&mut self, message: &Message<'_>, fields: FieldSet) {
        let same = std::ptr::eq(message.dialect(), self.dialect);
        for de in message.content_fields().intersection(fields).iter() {
            match message.element(de) {
                Some(element) if same => self.element(de, element),
                Some(_) | None => self.copy(message, de),
            }
        }
    }

    /// Writes a field of a message in another dialect.
    fn translate(&mut self, message: &Message<'_>, de: u8) {
        match message.dialect().spec(de).kind {
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack => self.digits(de, &message.value(de).unwrap_or_default()),
            Kind::Alphanumeric | Kind::Text | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
                self.text(de, &message.value(de).unwrap_or_default());
            }
            Kind::Bytes | Kind::Hex | Kind::EbcdicHex => {
                self.bytes(de, &message.value(de).unwrap_or_default());
            }
            Kind::Undefined => {}
        }
    }

    /// Asks for the further bitmaps that a message has, whether or not a field needs them.
    pub(in crate::iso8583) fn bitmaps_of(&mut self, message: &Message<'_>) {
        let bitmaps = FieldSet::EMPTY.with(1).with(65);
        self.fields = self.fields.union(message.fields().intersection(bitmaps));
    }

    /// Asks for so many bitmaps, whether or not a field needs them. Those that the dialect does not have are
    /// left out.
    pub fn bitmaps(&mut self, count: u8) {
        let third = self.dialect.third_place() != ThirdBitmap::None;
        if count > 1 && self.dialect.bitmap_count() > 1 {
            self.fields.insert(1);
        }
        if count > 2 && third {
            self.fields = self.fields.with(1).with(65);
        }
    }

    /// Appends wire bytes of several fields at once.
    pub(in crate::iso8583) fn run(&mut self, fields: FieldSet, bytes: &[u8]) {
        self.fields = self.fields.union(fields);
        self.put(bytes);
    }
}
