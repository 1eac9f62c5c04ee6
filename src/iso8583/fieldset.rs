//! Sets of data elements, laid out as the two bitmaps of a message.

use std::fmt;

/// A set of data elements 1 to 128. Bit 127 is DE1, as in the bitmaps on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FieldSet(u128);

impl FieldSet {
    /// No data elements.
    pub const EMPTY: Self = Self(0);
    /// DE65 to DE128: what needs a secondary bitmap.
    pub const SECONDARY: Self = Self(u128::MAX >> 64);

    /// The set of two bitmaps as they are read, first bit highest.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        reason = "widening: `u128::from` is not const yet"
    )]
    pub const fn from_bitmaps(primary: u64, secondary: u64) -> Self {
        Self(((primary as u128) << 64) | secondary as u128)
    }

    /// The primary bitmap, DE1 in its highest bit.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "64 of 128 bits are left")]
    pub const fn primary(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The secondary bitmap, DE65 in its highest bit.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the lower half is what is asked for"
    )]
    pub const fn secondary(self) -> u64 {
        self.0 as u64
    }

    const fn bit(de: u8) -> u128 {
        // DE0 and DE129 upwards do not exist: no bit at all.
        if de == 0 || de > 128 {
            0
        } else {
            // 0 <= 128 - de < 128
            1 << 128_u8.wrapping_sub(de)
        }
    }

    /// Whether the element is in the set. False outside 1 to 128.
    #[must_use]
    pub const fn contains(self, de: u8) -> bool {
        self.0 & Self::bit(de) != 0
    }

    /// The set with the element; unchanged outside 1 to 128.
    #[must_use]
    pub const fn with(self, de: u8) -> Self {
        Self(self.0 | Self::bit(de))
    }

    /// The set without the element.
    #[must_use]
    pub const fn without(self, de: u8) -> Self {
        Self(self.0 & !Self::bit(de))
    }

    /// Adds an element; outside 1 to 128 nothing happens.
    pub const fn insert(&mut self, de: u8) {
        self.0 |= Self::bit(de);
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The elements below `de`.
    #[must_use]
    pub const fn below(self, de: u8) -> Self {
        match Self::bit(de) {
            0 if de == 0 => Self::EMPTY,
            0 => self,
            // In bit order, its own bit and all lower ones are what is not below it.
            bit => Self(self.0 & !(bit | bit.wrapping_sub(1))),
        }
    }

    /// The elements above `de`.
    #[must_use]
    pub const fn above(self, de: u8) -> Self {
        match Self::bit(de) {
            0 if de == 0 => self,
            0 => Self::EMPTY,
            bit => Self(self.0 & bit.wrapping_sub(1)),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The lowest element.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "zeros < 128 here"
    )]
    pub const fn first(self) -> Option<u8> {
        match self.0.leading_zeros() {
            128 => None,
            zeros => Some((zeros as u8).wrapping_add(1)),
        }
    }

    /// The elements, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut left = self;
        std::iter::from_fn(move || {
            let de = left.first()?;
            left = left.without(de);
            Some(de)
        })
    }
}

impl FromIterator<u8> for FieldSet {
    fn from_iter<I: IntoIterator<Item = u8>>(elements: I) -> Self {
        elements.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_list_their_elements_ascending() {
        let set: FieldSet = [64, 2, 128, 65, 1].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 2, 64, 65, 128]);
        assert_eq!(set.len(), 5);
        assert_eq!(set.primary(), (1 << 63) | (1 << 62) | 1);
        assert_eq!(set.secondary(), (1 << 63) | 1);
        assert_eq!(FieldSet::from_bitmaps(set.primary(), set.secondary()), set);
    }

    #[test]
    fn elements_that_do_not_exist_are_never_in_a_set() {
        let set = FieldSet::EMPTY.with(0).with(129).with(255);
        assert!(set.is_empty());
        assert!(!FieldSet::SECONDARY.contains(129));
        assert!(!FieldSet::SECONDARY.contains(64));
        assert!(FieldSet::SECONDARY.contains(65));
    }

    #[test]
    fn below_and_above_leave_the_element_itself_out() {
        let set: FieldSet = [2, 11, 64, 128].into_iter().collect();
        assert_eq!(set.below(64).iter().collect::<Vec<_>>(), [2, 11]);
        assert_eq!(set.above(64).iter().collect::<Vec<_>>(), [128]);
        assert_eq!(set.below(1), FieldSet::EMPTY);
        assert_eq!(set.above(128), FieldSet::EMPTY);
        assert_eq!(set.above(0), set);
        assert_eq!(set.below(0), FieldSet::EMPTY);
        assert_eq!(set.below(129), set);
        assert_eq!(set.above(129), FieldSet::EMPTY);
    }
}
