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

    /// Decimals between the minor unit and the one people count in (ISO 4217): two for most.
    #[must_use]
    pub fn decimals(&self) -> usize {
        let listed = |codes: &[&[u8; 3]]| codes.contains(&&self.0);
        if listed(&WITHOUT_DECIMALS) {
            0
        } else if listed(&WITH_THREE_DECIMALS) {
            3
        } else if listed(&WITH_FOUR_DECIMALS) {
            4
        } else {
            2
        }
    }

    /// Minor units as people write them, with the currency's decimals and a sign where it is negative:
    /// `-10.50`.
    #[must_use]
    pub fn written(&self, minor: i128) -> String {
        let decimals = self.decimals();
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", minor.unsigned_abs(), width = decimals + 1);
        match digits.split_at_checked(digits.len() - decimals) {
            Some((whole, part)) if !part.is_empty() => format!("{sign}{whole}.{part}"),
            _ => format!("{sign}{digits}"),
        }
    }
}

/// ISO 4217 numbers of currencies without a minor unit.
const WITHOUT_DECIMALS: [&[u8; 3]; 17] = [
    b"108", b"152", b"174", b"262", b"324", b"352", b"392", b"410", b"548", b"600", b"646", b"704",
    b"800", b"940", b"950", b"952", b"953",
];
/// Those whose minor unit is a thousandth: the dinars of Bahrain, Iraq, Jordan, Kuwait, Libya and Tunisia,
/// the rial of Oman.
const WITH_THREE_DECIMALS: [&[u8; 3]; 7] = [b"048", b"368", b"400", b"414", b"434", b"512", b"788"];
/// Units of account of Chile and Uruguay.
const WITH_FOUR_DECIMALS: [&[u8; 3]; 2] = [b"927", b"990"];

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
    fn minor_units_are_written_with_the_decimals_of_their_currency() {
        let check = |currency: &[u8; 3], minor, expect: &str| {
            let currency = Currency::from_slice(currency).unwrap();
            assert_eq!(currency.written(minor), expect);
        };
        check(b"156", 1_050, "10.50");
        check(b"156", -5, "-0.05");
        check(b"156", 0, "0.00");
        check(b"392", 1_050, "1050");
        check(b"392", -1, "-1");
        check(b"414", 1_050, "1.050");
        check(b"990", 1, "0.0001");
        check(b"156", i128::from(u64::MAX), "184467440737095516.15");
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
