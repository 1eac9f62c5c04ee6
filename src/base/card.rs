//! Card numbers. They cannot be printed: masking is the type's job, not the caller's or the logger's
//! (PCI DSS 3.4.1: at most the first six and the last four digits are shown).

use std::fmt;

use zeroize::Zeroize;

/// A primary account number, 1 to 19 digits, wiped from memory when dropped.
///
/// There is no `Display`; `Debug` shows the masked form. [`Pan::expose`] is the one way to the digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Pan {
    digits: [u8; Self::MAX],
    len: u8,
}

impl Pan {
    /// Most digits of a card number (ISO/IEC 7812-1).
    pub const MAX: usize = 19;
    /// Fewest digits of a whole one.
    pub const MIN: usize = 13;

    /// Takes ASCII digits; `None` when there are none, too many, or another character.
    #[must_use]
    pub fn from_digits(ascii: &[u8]) -> Option<Self> {
        if ascii.is_empty() || ascii.len() > Self::MAX || !ascii.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut digits = [0; Self::MAX];
        digits[..ascii.len()].copy_from_slice(ascii);
        Some(Self {
            digits,
            len: u8::try_from(ascii.len()).ok()?,
        })
    }

    /// The clear digits. Callers hand them to a cipher, a keyed hash or the wire, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.digits[..usize::from(self.len)]
    }

    /// The form that may be stored and shown.
    #[must_use]
    pub fn masked(&self) -> MaskedPan {
        MaskedPan::of(self.expose())
    }
}

impl Drop for Pan {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pan({})", self.masked())
    }
}

/// A card number with at least its middle digits gone: first six and last four of 13 digits or more,
/// the last four only of shorter ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskedPan {
    shown: [u8; Pan::MAX],
    len: u8,
}

impl MaskedPan {
    /// No card number at all (QR payments, management messages).
    pub const NONE: Self = Self {
        shown: [b'*'; Pan::MAX],
        len: 0,
    };

    /// Masks ASCII digits. Anything after the nineteenth is dropped, anything that is no digit is masked.
    #[must_use]
    pub fn of(digits: &[u8]) -> Self {
        let count = digits.len().min(Pan::MAX);
        let lead = if count >= Pan::MIN { 6 } else { 0 };
        let tail = if count > 8 { 4 } else { 0 };
        let mut shown = [b'*'; Pan::MAX];
        for (at, (slot, digit)) in shown.iter_mut().zip(digits.iter().take(count)).enumerate() {
            if digit.is_ascii_digit() && (at < lead || at >= count - tail) {
                *slot = *digit;
            }
        }
        Self {
            shown,
            len: u8::try_from(count).unwrap_or(0),
        }
    }

    /// Takes back a form that was masked before, as a store read it. Masks it again, so that nothing
    /// more than the allowed digits can come out.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self::of(text.as_bytes())
    }

    /// The characters, digits and stars; empty when there was no card number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.shown[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for MaskedPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MaskedPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskedPan({self})")
    }
}

/// Whether ASCII digits end in the check digit of ISO/IEC 7812-1.
#[must_use]
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit.wrapping_sub(b'0'));
            match at % 2 {
                0 => value,
                _ if value > 4 => value * 2 - 9,
                _ => value * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_by_length() {
        assert_eq!(
            MaskedPan::of(b"6217000000000001").as_str(),
            "621700******0001"
        );
        assert_eq!(
            MaskedPan::of(b"6217000000000000001").as_str(),
            "621700*********0001"
        );
        assert_eq!(MaskedPan::of(b"123456789012").as_str(), "********9012");
        assert_eq!(MaskedPan::of(b"12345678").as_str(), "********");
        assert_eq!(MaskedPan::of(b"").as_str(), "");
    }

    #[test]
    fn masking_twice_changes_nothing() {
        let once = MaskedPan::of(b"6217000000000001");
        assert_eq!(MaskedPan::from_stored(once.as_str()), once);
    }

    #[test]
    fn debug_shows_the_masked_form_only() {
        let pan = Pan::from_digits(b"6217001234567890").unwrap();
        assert_eq!(format!("{pan:?}"), "Pan(621700******7890)");
        assert!(Pan::from_digits(b"62170012345678901234").is_none());
        assert!(Pan::from_digits(b"6217=").is_none());
    }
}
