//! Sets of data elements, laid out as the three bitmaps of a message.

use std::fmt;

/// A set of data elements 1 to 192, highest bits first as in the bitmaps on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FieldSet {
    /// DE1, the highest bit, to DE128.
    lower: u128,
    /// DE129 to DE192.
    third: u64,
}

impl FieldSet {
    /// No data elements.
    pub const EMPTY: Self = Self { lower: 0, third: 0 };
    /// The highest data element that there can be.
    pub const LAST: u8 = 192;

    /// The set of bitmaps as they are read, first bit highest; those that a message lacks are 0.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        reason = "widening: `u128::from` is not const yet"
    )]
    pub const fn from_bitmaps(primary: u64, secondary: u64, third: u64) -> Self {
        Self {
            lower: ((primary as u128) << 64) | secondary as u128,
            third,
        }
    }

    /// The first bitmap, DE1 in its highest bit.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "64 of 128 bits are left")]
    pub const fn primary(self) -> u64 {
        (self.lower >> 64) as u64
    }

    /// The second bitmap, DE65 in its highest bit.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the lower half is what is asked for"
    )]
    pub const fn secondary(self) -> u64 {
        self.lower as u64
    }

    /// The third bitmap, DE129 in its highest bit.
    #[inline]
    #[must_use]
    pub const fn third(self) -> u64 {
        self.third
    }

    #[inline]
    const fn bit(de: u8) -> Self {
        match de {
            // 0 <= 128 - de < 128
            1..=128 => Self {
                lower: 1 << 128_u8.wrapping_sub(de),
                third: 0,
            },
            // 0 <= 192 - de < 64
            129..=Self::LAST => Self {
                lower: 0,
                third: 1 << Self::LAST.wrapping_sub(de),
            },
            // What does not exist has no bit at all.
            _ => Self::EMPTY,
        }
    }

    /// Whether the element is in the set. False outside 1 to 192.
    #[inline]
    #[must_use]
    pub const fn contains(self, de: u8) -> bool {
        !self.intersection(Self::bit(de)).is_empty()
    }

    /// The set with the element; unchanged outside 1 to 192.
    #[inline]
    #[must_use]
    pub const fn with(self, de: u8) -> Self {
        self.union(Self::bit(de))
    }

    /// The set without the element.
    #[inline]
    #[must_use]
    pub const fn without(self, de: u8) -> Self {
        self.difference(Self::bit(de))
    }

    /// Adds an element; outside 1 to 192 nothing happens.
    #[inline]
    pub const fn insert(&mut self, de: u8) {
        *self = self.with(de);
    }

    /// What is in either set.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            lower: self.lower | other.lower,
            third: self.third | other.third,
        }
    }

    /// What is in both sets.
    #[inline]
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self {
            lower: self.lower & other.lower,
            third: self.third & other.third,
        }
    }

    /// What is in this set and not in the other.
    #[inline]
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self {
            lower: self.lower & !other.lower,
            third: self.third & !other.third,
        }
    }

    /// The elements below `de`.
    #[inline]
    #[must_use]
    pub const fn below(self, de: u8) -> Self {
        match de {
            0 => Self::EMPTY,
            // In bit order, its own bit and all lower ones are what is not below it.
            1..=128 => {
                let bit = Self::bit(de).lower;
                Self {
                    lower: self.lower & !(bit | bit.wrapping_sub(1)),
                    third: 0,
                }
            }
            129..=Self::LAST => {
                let bit = Self::bit(de).third;
                Self {
                    lower: self.lower,
                    third: self.third & !(bit | bit.wrapping_sub(1)),
                }
            }
            _ => self,
        }
    }

    /// The elements above `de`.
    #[inline]
    #[must_use]
    pub const fn above(self, de: u8) -> Self {
        match de {
            0 => self,
            1..=128 => Self {
                lower: self.lower & Self::bit(de).lower.wrapping_sub(1),
                third: self.third,
            },
            129..=Self::LAST => Self {
                lower: 0,
                third: self.third & Self::bit(de).third.wrapping_sub(1),
            },
            _ => Self::EMPTY,
        }
    }

    /// Whether there is nothing in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.lower == 0 && self.third == 0
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub const fn len(self) -> u32 {
        // At most 192.
        self.lower
            .count_ones()
            .wrapping_add(self.third.count_ones())
    }

    /// The lowest element.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "zeros < 128 here, and < 64 below"
    )]
    #[inline]
    pub const fn first(self) -> Option<u8> {
        if self.lower != 0 {
            return Some((self.lower.leading_zeros() as u8).wrapping_add(1));
        }
        match self.third.leading_zeros() {
            64 => None,
            zeros => Some((zeros as u8).wrapping_add(129)),
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
        let third = set.with(129).with(192);
        assert_eq!(third.third(), (1 << 63) | 1);
        assert_eq!(third.iter().last(), Some(192));
        let again = FieldSet::from_bitmaps(third.primary(), third.secondary(), third.third());
        assert_eq!(again, third);
    }

    #[test]
    fn elements_that_do_not_exist_are_never_in_a_set() {
        let set = FieldSet::EMPTY.with(0).with(193).with(255);
        assert!(set.is_empty());
        assert!(!set.contains(0) && !set.contains(193));
    }

    #[test]
    fn below_and_above_leave_the_element_itself_out() {
        for de in 0..=255 {
            let all: FieldSet = (1..=192).collect();
            let below = (1..=192).filter(|each| *each < de).collect();
            let above = (1..=192).filter(|each| *each > de).collect();
            assert_eq!((all.below(de), all.above(de)), (below, above), "{de}");
        }
        let set: FieldSet = [2, 11, 64, 128].into_iter().collect();
        assert_eq!(set.below(64).iter().collect::<Vec<_>>(), [2, 11]);
        assert_eq!(set.above(64).iter().collect::<Vec<_>>(), [128]);
        assert_eq!(set.below(1), FieldSet::EMPTY);
        assert_eq!(set.above(128), FieldSet::EMPTY);
        assert_eq!(set.above(0), set);
        assert_eq!(set.below(0), FieldSet::EMPTY);
        assert_eq!(set.below(193), set);
        assert_eq!(set.above(193), FieldSet::EMPTY);
    }
}
