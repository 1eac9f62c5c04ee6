//! Digits taken out of a field, whatever its wire form.

use std::fmt;
use std::ops::Deref;

use super::ebcdic;

/// Up to 104 ASCII digits (the length of track 3), with `=` where a track has its separator, or the
/// characters of a sub-field of a text field. `Debug` shows the length only: tracks pass through here.
#[derive(Clone, Copy)]
pub struct Digits {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Digits {
    /// Most digits held.
    pub const MAX: usize = 104;

    /// Copies ASCII characters; `None` when there are too many.
    #[must_use]
    pub fn from_ascii(ascii: &[u8]) -> Option<Self> {
        let mut digits = Self {
            bytes: [0; Self::MAX],
            len: u8::try_from(ascii.len()).ok()?,
        };
        digits.bytes.get_mut(..ascii.len())?.copy_from_slice(ascii);
        Some(digits)
    }

    /// Copies EBCDIC characters as ASCII ones; `None` when there are too many.
    pub(super) fn from_ebcdic(characters: &[u8]) -> Option<Self> {
        let mut digits = Self::from_ascii(characters)?;
        for byte in digits.bytes.get_mut(..characters.len())? {
            *byte = ebcdic::character(*byte);
        }
        Some(digits)
    }

    /// Unpacks `count` nibbles of `packed`, beginning at nibble `from`. Nibble D is the separator `=`.
    /// `None` when there are too many or `packed` is too short.
    pub(super) fn unpack(packed: &[u8], from: usize, count: usize) -> Option<Self> {
        let mut digits = Self {
            bytes: [0; Self::MAX],
            len: u8::try_from(count).ok()?,
        };
        let slots = digits.bytes.get_mut(..count)?;
        let mut bytes = packed.get(from / 2..)?.iter();
        let mut slots = slots.iter_mut();
        if from % 2 == 1 && count > 0 {
            *slots.next()? = ascii(bytes.next()? & 0x0F);
        }
        while let Some(high) = slots.next() {
            let byte = bytes.next()?;
            *high = ascii(byte >> 4);
            if let Some(low) = slots.next() {
                *low = ascii(byte & 0x0F);
            }
        }
        Some(digits)
    }

    /// The characters as a text: all of them are ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self).unwrap_or_default()
    }

    /// The number they make; `None` when one is no digit, or there are more than 18.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        number(self)
    }
}

/// `=` for the track separator, `?` for what no checked field holds.
pub(super) const fn ascii(nibble: u8) -> u8 {
    match nibble {
        0..=9 => 0x30 | nibble,
        0x0D => b'=',
        _ => b'?',
    }
}

/// The number that up to 18 ASCII digits make.
pub(super) fn number(ascii: &[u8]) -> Option<u64> {
    if ascii.is_empty() || ascii.len() > 18 {
        return None;
    }
    ascii.iter().try_fold(0_u64, |sum, byte| {
        // 18 digits stay below 2^60.
        byte.is_ascii_digit()
            .then(|| sum.wrapping_mul(10).wrapping_add(u64::from(byte & 0x0F)))
    })
}

impl Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl PartialEq for Digits {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Digits {}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({} characters)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_unpack_from_any_place() {
        let check = |from, count, expect: &[u8]| {
            assert_eq!(
                Digits::unpack(&[0x12, 0x3D, 0x45], from, count).map(|d| d.to_vec()),
                Some(expect.to_vec())
            );
        };
        check(0, 6, b"123=45");
        check(1, 3, b"23=");
        check(2, 1, b"3");
        check(5, 1, b"5");
        check(3, 0, b"");
        assert_eq!(Digits::unpack(&[0x12], 0, 3), None);
        assert_eq!(Digits::unpack(&[0; 60], 0, 105), None);
    }

    #[test]
    fn numbers_have_at_most_eighteen_digits() {
        assert_eq!(number(b"000000000012"), Some(12));
        assert_eq!(number(&[b'9'; 18]), Some(999_999_999_999_999_999));
        assert_eq!(number(&[b'9'; 19]), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"1="), None);
    }

    #[test]
    fn debug_never_shows_the_digits() {
        let digits = Digits::from_ascii(b"6217000000000001=2512").unwrap();
        assert_eq!(format!("{digits:?}"), "Digits(21 characters)");
    }
}
