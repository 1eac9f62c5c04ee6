//! Identifiers. Each is its own type, so that a terminal id can never stand where a merchant id is meant.

use std::fmt;

/// Why a text is no identifier of the kind asked for. Never carries the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Longer than the data element, or empty.
    #[error("{what} has {found} characters, {min} to {max} are allowed")]
    Length {
        /// Name of the identifier.
        what: &'static str,
        /// Characters found.
        found: usize,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A character outside the data element's set.
    #[error("{what} holds a character that is not allowed at position {position}")]
    Character {
        /// Name of the identifier.
        what: &'static str,
        /// Position of the first bad character, from 1.
        position: usize,
    },
}

macro_rules! fixed_text_id {
    ($(#[$doc:meta])* $name:ident, $width:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $width]);

        impl $name {
            /// Width of the data element in characters.
            pub const WIDTH: usize = $width;

            /// Takes the characters of the data element as received, padded with spaces on the right.
            #[must_use]
            pub const fn from_padded(bytes: [u8; $width]) -> Self {
                Self(bytes)
            }

            /// Takes the data element as received; `None` when its length is not the element's width.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Reads an identifier that a person wrote: letters, digits and `-_./`, without padding.
            ///
            /// # Errors
            /// When it is empty, too long for the data element, or holds another character.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
                if let Some(at) = text.chars().position(|c| !allowed(c)) {
                    return Err(IdError::Character { what: $what, position: at + 1 });
                }
                // ASCII from here on: a byte each.
                let bytes = text.as_bytes();
                if bytes.is_empty() || bytes.len() > $width {
                    let found = bytes.len();
                    return Err(IdError::Length { what: $what, found, min: 1, max: $width });
                }
                let mut padded = [b' '; $width];
                padded[..bytes.len()].copy_from_slice(bytes);
                Ok(Self(padded))
            }

            /// The padded characters, as they stand in the data element.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $width] {
                &self.0
            }

            /// The characters without padding. Bytes that are not UTF-8 come out as an empty text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(' ')
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.trim_ascii_end().escape_ascii())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

fixed_text_id!(
    /// Terminal id, DE41, 8 characters: names a payment point at one acquirer, not a piece of hardware.
    TerminalId, 8, "terminal id"
);
fixed_text_id!(
    /// Merchant id, DE42, 15 characters. Not the merchant category code.
    MerchantId, 15, "merchant id"
);

/// The acquirer whose terminals a listener serves: a small index into the configured names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AcquirerId(pub u16);

/// Number of a settlement account in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// Number of one binding (a pairing instance). Never used again, also after the binding is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingId(pub u64);

/// Number of a transaction, unique in one store for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxnId(pub u64);

/// System trace audit number, DE11: 0 to 999999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stan(u32);

impl Stan {
    /// Largest value that six digits hold.
    pub const MAX: u32 = 999_999;
    /// Where terminals start counting.
    pub const FIRST: Self = Self(1);

    /// `None` above six digits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The next number; 999999 is followed by 1, as terminals count.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= Self::MAX {
            Self(1)
        } else {
            Self(self.0 + 1)
        }
    }

    /// The trace number of a refund that staff make, by the number of the request for it, from 1. It counts down from
    /// 999999: terminals count up, and a host that has no word for a batch tells a terminal's requests apart by this
    /// number alone. It begins anew after 999,999 refunds.
    #[must_use]
    pub fn of_staff(refund: u64) -> Self {
        let before = refund.saturating_sub(1) % u64::from(Self::MAX);
        Self(u32::try_from(before).map_or(Self::MAX, |before| Self::MAX - before))
    }

    /// The number of the request for a refund of staff's, among the first 999,999.
    #[must_use]
    pub fn staff_refund(self) -> u64 {
        u64::from(Self::MAX - self.0) + 1
    }
}

impl fmt::Display for Stan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// Batch number, DE60.2 where the dialect has one: 1 to 999999, 0 where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchNumber(u32);

impl BatchNumber {
    /// The batch a terminal is given at its first sign-on.
    pub const FIRST: Self = Self(1);

    /// The batch of what staff do for a terminal. No terminal is given it, and none may use it, so that what staff do
    /// is in no totals of a terminal's and has trace numbers of its own.
    pub const STAFF: Self = Self(Stan::MAX);

    /// `None` above six digits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Stan::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The batch after this one; 999998 is followed by 1.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 + 1 >= Self::STAFF.0 {
            Self(1)
        } else {
            Self(self.0 + 1)
        }
    }
}

impl fmt::Display for BatchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staff_counts_down_while_terminals_count_up() {
        let numbers = |refund| Stan::of_staff(refund).get();
        assert_eq!(
            [1, 2, 999_998, 999_999].map(numbers),
            [999_999, 999_998, 2, 1]
        );
        assert_eq!(numbers(1_000_000), 999_999);
        for refund in [1, 2, 4711, 999_999] {
            assert_eq!(Stan::of_staff(refund).staff_refund(), refund);
        }
    }

    #[test]
    fn parsed_ids_are_padded_and_print_without_padding() {
        let id = TerminalId::parse("T1").unwrap();
        assert_eq!(id.as_bytes(), b"T1      ");
        assert_eq!(id.as_str(), "T1");
        assert_eq!(id.to_string(), "T1");
    }

    #[test]
    fn ids_refuse_what_the_element_cannot_hold() {
        assert!(matches!(
            TerminalId::parse("123456789"),
            Err(IdError::Length { found: 9, .. })
        ));
        assert!(matches!(
            TerminalId::parse(""),
            Err(IdError::Length { found: 0, .. })
        ));
        assert!(matches!(
            TerminalId::parse("A B"),
            Err(IdError::Character { position: 2, .. })
        ));
    }

    #[test]
    fn stan_wraps_to_one() {
        assert_eq!(Stan::new(999_999).unwrap().next(), Stan::new(1).unwrap());
        assert_eq!(Stan::new(1_000_000), None);
    }

    #[test]
    fn hostile_bytes_in_an_id_print_escaped() {
        let id = TerminalId::from_slice(b"\x1b[2Jabcd").unwrap();
        assert_eq!(id.to_string(), "\\x1b[2Jabcd");
    }
}
