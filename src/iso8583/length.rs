//! How a length is written in so many bytes: before a frame, and before parts of a field.

/// How the digits of a length are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthEncoding {
    /// Big-endian binary.
    Binary,
    /// Packed decimal digits, two a byte.
    Packed,
    /// ASCII decimal digits, one a byte.
    Ascii,
    /// ASCII hexadecimal digits, one a byte.
    Hex,
    /// EBCDIC decimal digits, one a byte.
    Ebcdic,
}

impl LengthEncoding {
    /// The words of dialect files.
    pub(super) const WORDS: [(&str, Self); 5] = [
        ("binary", Self::Binary),
        ("packed", Self::Packed),
        ("ascii", Self::Ascii),
        ("hex", Self::Hex),
        ("ebcdic", Self::Ebcdic),
    ];

    /// How many values a byte has.
    const fn base(self) -> usize {
        match self {
            Self::Binary => 256,
            Self::Packed => 100,
            Self::Ascii | Self::Ebcdic => 10,
            Self::Hex => 16,
        }
    }

    /// The largest length that so many bytes can tell.
    #[must_use]
    pub fn max(self, bytes: usize) -> usize {
        let power = (0..bytes).fold(1_usize, |power, _| power.saturating_mul(self.base()));
        power.saturating_sub(1)
    }

    /// The length that the bytes tell; `None` when one of them is no digit.
    #[inline]
    #[must_use]
    pub fn read(self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().try_fold(0_usize, |sum, byte| {
            let value = match self {
                Self::Binary => *byte,
                Self::Packed => packed(*byte)?,
                Self::Ascii => Some(byte ^ b'0').filter(|digit| *digit <= 9)?,
                Self::Ebcdic => Some(byte ^ 0xF0).filter(|digit| *digit <= 9)?,
                Self::Hex => u8::try_from(char::from(*byte).to_digit(16)?).ok()?,
            };
            Some(sum.saturating_mul(self.base()).saturating_add(value.into()))
        })
    }

    /// Writes the length over all of `slots`. A length above [`max`](Self::max) loses its high digits: ask before.
    pub fn write(self, length: usize, slots: &mut [u8]) {
        let mut left = length;
        for slot in slots.iter_mut().rev() {
            // The base is a constant in each arm: no division at all where it is a power of two.
            (*slot, left) = match self {
                Self::Binary => (low(left % 256), left / 256),
                Self::Packed => ((low(left / 10 % 10) << 4) | low(left % 10), left / 100),
                Self::Ascii => (b'0' | low(left % 10), left / 10),
                Self::Ebcdic => (0xF0 | low(left % 10), left / 10),
                Self::Hex => (super::form::hex(low(left % 16)), left / 16),
            };
        }
    }
}

/// The lowest byte.
const fn low(value: usize) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

fn packed(byte: u8) -> Option<u8> {
    let (high, low) = (byte >> 4, byte & 0x0F);
    // At most 99.
    (high <= 9 && low <= 9).then(|| high.wrapping_mul(10).wrapping_add(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_were_written() {
        let check = |encoding: LengthEncoding, length: usize, wire: &[u8]| {
            let mut slots = vec![0; wire.len()];
            encoding.write(length, &mut slots);
            assert_eq!(slots, wire, "{encoding:?}");
            assert_eq!(encoding.read(wire), Some(length));
            let most = encoding.max(wire.len());
            encoding.write(most, &mut slots);
            assert_eq!(encoding.read(&slots), Some(most), "{encoding:?}");
        };
        check(LengthEncoding::Binary, 258, &[0, 1, 2]);
        check(LengthEncoding::Packed, 1_290, &[0x12, 0x90]);
        check(LengthEncoding::Ascii, 290, b"0290");
        check(LengthEncoding::Hex, 0x2AF, b"02AF");
        check(LengthEncoding::Ebcdic, 29, &[0xF0, 0xF2, 0xF9]);
    }

    #[test]
    fn what_is_no_digit_is_no_length() {
        assert_eq!(LengthEncoding::Packed.read(&[0x1A]), None);
        assert_eq!(LengthEncoding::Ascii.read(b"0 2"), None);
        assert_eq!(LengthEncoding::Hex.read(b"0G"), None);
        assert_eq!(LengthEncoding::Ebcdic.read(b"12"), None);
    }
}
