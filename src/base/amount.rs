//! Amounts of money in minor units, with their currency. Only checked arithmetic.

use std::fmt;

/// A currency as DE49 carries it: three characters, usually ISO 4217 digits ("156" for the yuan).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Chinese yuan.
    pub const CNY: Self = Self(*b"156");
    /// No currency: what a message without DE49 has.
    pub const NONE: Self = Self(*b"000");

    /// Takes the three characters of DE49; `None` when they are not letters or digits.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let three: [u8; 3] = bytes.try_into().ok()?;
        three
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(three))
    }

    /// The three characters.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 3] {
        &self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

/// Money in minor units (cents, fen). DE4 holds twelve digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Minor units, 0 to [`Amount::MAX_MINOR`].
    pub minor: u64,
    /// Currency of the minor units.
    pub currency: Currency,
}

impl Amount {
    /// Most that the twelve digits of DE4 hold.
    pub const MAX_MINOR: u64 = 999_999_999_999;

    /// `None` when the sum does not fit DE4 or the currencies differ.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let minor = self.minor.checked_add(other.minor)?;
        (self.currency == other.currency && minor <= Self::MAX_MINOR).then_some(Self {
            minor,
            currency: self.currency,
        })
    }

    /// `None` when `other` is larger or of another currency.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Some(Self {
            minor: self.minor.checked_sub(other.minor)?,
            currency: self.currency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_inside_the_element() {
        let most = Amount {
            minor: Amount::MAX_MINOR,
            currency: Currency::CNY,
        };
        let one = Amount {
            minor: 1,
            currency: Currency::CNY,
        };
        assert_eq!(most.checked_add(one), None);
        assert_eq!(one.checked_sub(most), None);
        assert_eq!(most.checked_sub(one).unwrap().minor, Amount::MAX_MINOR - 1);
    }

    #[test]
    fn currencies_do_not_mix() {
        let yuan = Amount {
            minor: 1,
            currency: Currency::CNY,
        };
        let dollar = Amount {
            minor: 1,
            currency: Currency::from_slice(b"840").unwrap(),
        };
        assert_eq!(yuan.checked_add(dollar), None);
        assert_eq!(Currency::from_slice(b"1 6"), None);
    }
}
