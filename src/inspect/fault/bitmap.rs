//! The bitmaps of a frame, to be changed.

use crate::iso8583::Dialect;

use crate::inspect::find::Guess;

/// The bitmaps of a frame, to be changed.
pub(in crate::inspect) struct Bitmap<'f> {
    frame: &'f [u8],
    at: usize,
    /// Bytes as they are rather than hexadecimal digits.
    binary: bool,
    bytes: usize,
}

impl<'f> Bitmap<'f> {
    pub(in crate::inspect) fn of(guess: &'f Guess) -> Option<Self> {
        Self::read(&guess.dialect, &guess.frame)
    }

    pub(super) fn read(dialect: &Dialect, frame: &'f [u8]) -> Option<Self> {
        let (at, width, binary) = dialect.bitmap_place()?;
        let first = *frame.get(at)?;
        let second = if binary {
            first & 0x80 != 0
        } else {
            char::from(first).to_digit(16)? >= 8
        };
        let bytes = if second { width.checked_mul(2)? } else { width };
        frame.get(at..at.checked_add(bytes)?)?;
        Some(Self {
            frame,
            at,
            binary,
            bytes,
        })
    }

    pub(super) fn bits(&self) -> u8 {
        let width = if self.binary { 8 } else { 4 };
        u8::try_from(self.bytes.saturating_mul(width)).unwrap_or(128)
    }

    /// The fields it announces; the second bitmap is none.
    pub(in crate::inspect) fn announced(&self) -> Vec<u8> {
        let fields = (2..=self.bits()).filter(|de| *de != 65);
        fields.filter(|de| self.announces(*de)).collect()
    }

    /// Byte in the frame, and the bit in it, of a data element.
    fn place(&self, de: u8) -> Option<(usize, u32)> {
        let bit = usize::from(de.checked_sub(1)?);
        let width = if self.binary { 8 } else { 4 };
        let byte = self.at.checked_add(bit / width)?;
        let shift = u32::try_from(width.checked_sub(1)?.checked_sub(bit % width)?).ok()?;
        Some((byte, shift))
    }

    fn value(&self, byte: usize) -> Option<u32> {
        let byte = *self.frame.get(byte)?;
        if self.binary {
            Some(byte.into())
        } else {
            char::from(byte).to_digit(16)
        }
    }

    pub(super) fn announces(&self, de: u8) -> bool {
        let bit = self
            .place(de)
            .and_then(|(byte, shift)| Some(self.value(byte)? >> shift & 1));
        bit == Some(1)
    }

    pub(super) fn flipped(&self, de: u8) -> Option<Vec<u8>> {
        let (byte, shift) = self.place(de)?;
        let value = self.value(byte)? ^ (1 << shift);
        let mut frame = self.frame.to_vec();
        *frame.get_mut(byte)? = if self.binary {
            u8::try_from(value).ok()?
        } else {
            let digit = char::from_digit(value, 16)?.to_ascii_uppercase();
            u8::try_from(digit).ok()?
        };
        Some(frame)
    }
}
