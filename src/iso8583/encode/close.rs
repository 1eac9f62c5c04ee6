//! What is only known at the end of a message: bitmaps and length.

use bytes::{BufMut, BytesMut};

use super::Writer;
use crate::iso8583::dialect::BitmapEncoding;
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
            None => Ok(()),
            Some(error) => {
                self.out.truncate(self.start);
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        if self.fields.secondary() != 0 {
            self.fields.insert(1);
        }
        if self.fields.contains(1) {
            self.make_room_for_secondary();
        }
        let encoding = self.dialect.bitmap_encoding();
        let at = self.bitmap_at;
        put_bitmap(self.out, at, encoding, self.fields.primary());
        if self.fields.contains(1) {
            let at = at.saturating_add(encoding.bytes().into());
            put_bitmap(self.out, at, encoding, self.fields.secondary());
        }
        self.announce();
    }

    /// Moves the fields behind a second bitmap. Rare: no shipped request needs DE65 or more but reversals
    /// and network management.
    fn make_room_for_secondary(&mut self) {
        let bytes = usize::from(self.dialect.bitmap_encoding().bytes());
        let from = self.bitmap_at.saturating_add(bytes);
        let end = self.out.len();
        self.out.put_bytes(0, bytes);
        self.out.copy_within(from..end, from.saturating_add(bytes));
    }

    /// Writes the length prefix.
    fn announce(&mut self) {
        let framing = self.dialect.framing();
        let width = framing.length_bytes;
        let bytes = self
            .out
            .len()
            .saturating_sub(self.start)
            .saturating_sub(width);
        let max = framing.frame_bytes_max();
        if bytes > max {
            self.fail(EncodeError::FrameTooLong { bytes, max });
            return;
        }
        let own = if framing.length_counts_itself {
            width
        } else {
            0
        };
        let end = self.start.saturating_add(width);
        let Some(prefix) = self.out.get_mut(self.start..end) else {
            return;
        };
        framing
            .length_encoding
            .write(bytes.saturating_add(own), prefix);
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
