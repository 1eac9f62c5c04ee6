//! Message type identifiers: version, class, function and origin, one digit each (ISO 8583:1987 section 4.1).

use std::fmt;

/// A message type as four packed digits: `0x0200` is 0200.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mti(u16);

impl Mti {
    /// 0200, a request that moves money.
    pub const FINANCIAL_REQUEST: Self = Self(0x0200);
    /// 0400, a request that undoes another.
    pub const REVERSAL: Self = Self(0x0400);

    /// The widest nibble test: a digit above 9 has bit 3 and one of bits 2 and 1.
    const fn all_digits(packed: u16) -> bool {
        (packed >> 3) & ((packed >> 2) | (packed >> 1)) & 0x1111 == 0
    }

    /// `None` when a nibble is no decimal digit.
    #[must_use]
    pub const fn from_packed(packed: u16) -> Option<Self> {
        if Self::all_digits(packed) {
            Some(Self(packed))
        } else {
            None
        }
    }

    /// The four digits as nibbles.
    #[must_use]
    pub const fn packed(self) -> u16 {
        self.0
    }

    /// Reads four ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_ascii(*text.as_bytes().first_chunk().filter(|_| text.len() == 4)?)
    }

    /// Reads four ASCII digits as they stand in a message.
    #[must_use]
    pub const fn from_ascii(ascii: [u8; 4]) -> Option<Self> {
        let digits = u32::from_be_bytes(ascii) ^ 0x3030_3030;
        // A byte above 9 has a high bit, or gets one from 6 more; a carry only comes out of such a byte.
        if (digits | digits.wrapping_add(0x0606_0606)) & 0xF0F0_F0F0 != 0 {
            return None;
        }
        let pairs = (digits | (digits >> 4)) & 0x00FF_00FF;
        let [_, _, high, low] = (pairs | (pairs >> 8)).to_be_bytes();
        Some(Self(u16::from_be_bytes([high, low])))
    }

    /// The four digits as ASCII.
    #[must_use]
    pub const fn ascii(self) -> [u8; 4] {
        let [high, low] = self.0.to_be_bytes();
        [
            0x30 | (high >> 4),
            0x30 | (high & 0x0F),
            0x30 | (low >> 4),
            0x30 | (low & 0x0F),
        ]
    }

    /// The type of the answer: 0200 gives 0210, 0420 gives 0430. A repeat is answered like its original
    /// (0401 gives 0410), and an answer is its own answer.
    #[must_use]
    pub const fn answer(self) -> Self {
        if self.is_request() {
            Self((self.0 | 0x0010) & !0x0001)
        } else {
            self
        }
    }

    /// The type of a repeat: 0400 gives 0401, 0420 gives 0421.
    #[must_use]
    pub const fn repeat(self) -> Self {
        Self(self.0 | 0x0001)
    }

    /// Whether the function digit is even: request, advice or notification rather than an answer to one.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.0 & 0x0010 == 0
    }

    /// The type of the request that it answers; a request's own.
    #[must_use]
    pub const fn asked(self) -> Self {
        Self(self.0 & !0x0010)
    }

    /// Version and class with the function left out, so that request, repeat and answer agree:
    /// 0200, 0201, 0210 and 0220 give `0x02`.
    #[must_use]
    pub const fn class_key(self) -> u8 {
        let [key, _] = self.0.to_be_bytes();
        key
    }
}

impl fmt::Display for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mti({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_add_ten_and_forget_the_repeat() {
        let check = |request: &str, answer: &str| {
            assert_eq!(Mti::parse(request).unwrap().answer().to_string(), answer);
        };
        check("0200", "0210");
        check("0220", "0230");
        check("0401", "0410");
        check("0421", "0430");
        check("0210", "0210");
    }

    #[test]
    fn request_and_answer_share_a_class() {
        for text in ["0400", "0401", "0410", "0420", "0430"] {
            assert_eq!(Mti::parse(text).unwrap().class_key(), 0x04);
        }
        assert_eq!(Mti::parse("0400").unwrap().repeat(), Mti(0x0401));
    }

    #[test]
    fn only_digits_are_types() {
        assert_eq!(Mti::from_packed(0x0A00), None);
        assert_eq!(Mti::from_packed(0x9999).unwrap().ascii(), *b"9999");
        assert_eq!(Mti::parse("020"), None);
        assert_eq!(Mti::parse("02000"), None);
        assert_eq!(Mti::parse("02=0"), None);
        for (at, byte) in (0..4).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut ascii = *b"0219";
            ascii[at] = byte;
            let mti = Mti::from_ascii(ascii);
            assert_eq!(mti.is_some(), byte.is_ascii_digit(), "{at} {byte:02X}");
            assert!(mti.is_none_or(|mti| mti.ascii() == ascii));
        }
    }
}
