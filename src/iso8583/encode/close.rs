//! What is only known at the end of a message: bitmaps and length.

use bytes::BytesMut;

use super::Writer;
use crate::iso8583::dialect::{BitmapEncoding, ThirdBitmap};
use crate::iso8583::ebcdic;
use crate::iso8583::error::EncodeError;
use crate::iso8583::hexadecimal;

impl Writer<'_> {
    /// Completes bitmaps and length prefix. With a mistake, `out` is as it was before the frame.
    ///
    /// # Errors
    /// The first mistake made since [`Dialect::write`](crate::iso8583::Dialect::write).
    pub fn finish(mut self) -> Result<(), EncodeError> {
        if self.bitmap_at == 0 {
            self.fail(EncodeError::NoMti);
        }
        if self.error.is_none() {
            self.close();
        }
        match self.error {
            None => {
                self.out.truncate(self.at);
                Ok(())
            }
            Some(error) => {
                self.out.truncate(self.start);
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        if self.fields.third() != 0 {
            self.fields.insert(65);
        }
        if self.fields.secondary() != 0 {
            self.fields.insert(1);
        }
        let encoding = self.dialect.bitmap_encoding();
        let bytes = usize::from(encoding.bytes());
        let second_at = self.bitmap_at.saturating_add(bytes);
        if self.fields.contains(65) {
            // First what stands behind: the second bitmap then moves the third, if it stands in place.
            let at = match self.dialect.third_place() {
                ThirdBitmap::InPlace if self.upper_at != 0 => self.upper_at,
                ThirdBitmap::InPlace => self.at,
                ThirdBitmap::AfterSecond | ThirdBitmap::None => second_at,
            };
            self.make_room(at, bytes);
            put_bitmap(self.out, at, encoding, self.fields.third());
        }
        if self.fields.contains(1) {
            self.make_room(second_at, bytes);
            put_bitmap(self.out, second_at, encoding, self.fields.secondary());
        }
        put_bitmap(self.out, self.bitmap_at, encoding, self.fields.primary());
        let framing = self.dialect.framing();
        let begin = self.start.saturating_add(framing.prefix_bytes());
        if !framing.trailer.is_empty() {
            self.put(&framing.trailer);
        }
        if let Some(frame) = self.out.get_mut(begin..self.at) {
            framing.tell_length(frame);
        }
        self.announce();
    }

    /// Moves the fields behind a further bitmap. Rare: no shipped request needs DE65 or more but reversals
    /// and network management.
    fn make_room(&mut self, from: usize, bytes: usize) {
        let end = self.at;
        self.slot(bytes);
        self.out.copy_within(from..end, from.saturating_add(bytes));
    }

    /// Writes the length prefix.
    fn announce(&mut self) {
        let framing = self.dialect.framing();
        let bytes = self
            .at
            .saturating_sub(self.start)
            .saturating_sub(framing.prefix_bytes());
        let max = framing.frame_bytes_max();
        if bytes > max {
            self.fail(EncodeError::FrameTooLong { bytes, max });
            return;
        }
        let before = framing.lead.len().saturating_add(framing.before_length());
        let from = self.start.saturating_add(before);
        let end = from.saturating_add(framing.length_bytes);
        if let Some(prefix) = self.out.get_mut(from..end) {
            framing
                .length_encoding
                .write(framing.announced(bytes), prefix);
        }
    }
}

fn put_bitmap(out: &mut BytesMut, at: usize, encoding: BitmapEncoding, bitmap: u64) {
    let end = at.saturating_add(encoding.bytes().into());
    let Some(slots) = out.get_mut(at..end) else {
        return;
    };
    match encoding {
        BitmapEncoding::Binary => slots.copy_from_slice(&bitmap.to_be_bytes()),
        BitmapEncoding::Hex => slots.copy_from_slice(&hexadecimal::sixteen(bitmap)),
        BitmapEncoding::EbcdicHex => {
            slots.copy_from_slice(&hexadecimal::sixteen(bitmap).map(ebcdic::byte));
        }
    }
}
