//! Sets of data elements, laid out as the three bitmaps of a message.

use std::fmt;

/// A set of data elements 1 to 192: the three bitmaps, highest bits first as on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FieldSet([u64; 3]);

/// The first element of a bitmap.
const FIRST: u64 = 1 << 63;

/// Which bitmap an element is in, from 0, and its bit there. No element is in bitmap 3 or above.
#[expect(
    clippy::as_conversions,
    reason = "widening: `usize::from` is not const yet"
)]
#[inline(always)]
const fn place(de: u8) -> (usize, u64) {
    // DE0 comes to 255, which is in bitmap 3.
    let at = de.wrapping_sub(1);
    ((at >> 6) as usize, FIRST >> (at & 63))
}

/// The lowest bit that is set and all above it; nothing of nothing.
#[inline(always)]
const fn from_lowest(bits: u64) -> u64 {
    bits | bits.wrapping_neg()
}

impl FieldSet {
    /// No data elements.
    pub const EMPTY: Self = Self([0; 3]);
    /// The highest data element that there can be.
    pub const LAST: u8 = 192;
    /// All of them.
    pub(super) const ALL: Self = Self([u64::MAX; 3]);
    /// All but DE1 and DE65, which are bitmaps themselves.
    pub(super) const CONTENT: Self = Self([!FIRST, !FIRST, u64::MAX]);

    /// The set of bitmaps as they are read, first bit highest; those that a message lacks are 0.
    #[inline]
    #[must_use]
    pub const fn from_bitmaps(primary: u64, secondary: u64, third: u64) -> Self {
        Self([primary, secondary, third])
    }

    /// The first bitmap, DE1 in its highest bit.
    #[inline]
    #[must_use]
    pub const fn primary(self) -> u64 {
        let [primary, _, _] = self.0;
        primary
    }

    /// The second bitmap, DE65 in its highest bit.
    #[inline]
    #[must_use]
    pub const fn secondary(self) -> u64 {
        let [_, secondary, _] = self.0;
        secondary
    }

    /// The third bitmap, DE129 in its highest bit.
    #[inline]
    #[must_use]
    pub const fn third(self) -> u64 {
        let [_, _, third] = self.0;
        third
    }

    /// The bitmap whose first element is `base + 1`; none stands above 128.
    #[inline(always)]
    pub(super) const fn bitmap(self, base: u8) -> u64 {
        let [primary, secondary, third] = self.0;
        match base {
            0 => primary,
            64 => secondary,
            128 => third,
            _ => 0,
        }
    }

    /// The elements up to the highest that `others` has as well; none when there is no such.
    #[inline]
    #[must_use]
    pub(super) const fn up_to_last_of(self, others: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, self.intersection(others).0);
        if z != 0 {
            Self([a, b, c & from_lowest(z)])
        } else if y != 0 {
            Self([a, b & from_lowest(y), 0])
        } else {
            Self([a & from_lowest(x), 0, 0])
        }
    }

    /// Whether the element is in the set. False outside 1 to 192.
    #[inline]
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "bitmap < 3")]
    pub const fn contains(self, de: u8) -> bool {
        let (bitmap, bit) = place(de);
        bitmap < 3 && self.0[bitmap] & bit != 0
    }

    /// The set with the element; unchanged outside 1 to 192.
    #[inline]
    #[must_use]
    pub const fn with(mut self, de: u8) -> Self {
        self.insert(de);
        self
    }

    /// The set without the element.
    #[inline]
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "bitmap < 3")]
    pub const fn without(mut self, de: u8) -> Self {
        let (bitmap, bit) = place(de);
        if bitmap < 3 {
            self.0[bitmap] &= !bit;
        }
        self
    }

    /// Adds an element; outside 1 to 192 nothing happens.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "bitmap < 3")]
    pub const fn insert(&mut self, de: u8) {
        let (bitmap, bit) = place(de);
        if bitmap < 3 {
            self.0[bitmap] |= bit;
        }
    }

    /// Adds an element of the first bitmap, which 1 to 64 are.
    #[inline(always)]
    pub(super) const fn insert_primary(&mut self, de: u8) {
        let [primary, _, _] = &mut self.0;
        *primary |= FIRST >> (de.wrapping_sub(1) & 63);
    }

    /// What is in either set.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Self([a | x, b | y, c | z])
    }

    /// What is in both sets.
    #[inline]
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Self([a & x, b & y, c & z])
    }

    /// What is in this set and not in the other.
    #[inline]
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Self([a & !x, b & !y, c & !z])
    }

    /// The elements below `de`.
    #[inline]
    #[must_use]
    pub const fn below(self, de: u8) -> Self {
        let [a, b, c] = self.0;
        let (bitmap, bit) = place(de);
        // In bit order, its own bit and all lower ones are what is not below it.
        let keep = !(bit | bit.wrapping_sub(1));
        match bitmap {
            0 => Self([a & keep, 0, 0]),
            1 => Self([a, b & keep, 0]),
            2 => Self([a, b, c & keep]),
            _ if de == 0 => Self::EMPTY,
            _ => self,
        }
    }

    /// The elements above `de`.
    #[inline]
    #[must_use]
    pub const fn above(self, de: u8) -> Self {
        let [a, b, c] = self.0;
        let (bitmap, bit) = place(de);
        let keep = bit.wrapping_sub(1);
        match bitmap {
            0 => Self([a & keep, b, c]),
            1 => Self([0, b & keep, c]),
            2 => Self([0, 0, c & keep]),
            _ if de == 0 => self,
            _ => Self::EMPTY,
        }
    }

    /// Whether there is nothing in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        let [a, b, c] = self.0;
        a | b | c == 0
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        let [a, b, c] = self.0;
        // At most 192.
        a.count_ones()
            .wrapping_add(b.count_ones())
            .wrapping_add(c.count_ones())
    }

    /// The lowest element.
    #[inline]
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a word has at most 64 leading zeros: at most 129 + 63"
    )]
    pub const fn first(self) -> Option<u8> {
        let [a, b, c] = self.0;
        let (word, from) = if a != 0 {
            (a, 1)
        } else if b != 0 {
            (b, 65)
        } else if c != 0 {
            (c, 129)
        } else {
            return None;
        };
        Some((word.leading_zeros() as u8).wrapping_add(from))
    }

    /// The highest element.
    #[inline]
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a word that is not 0 has at most 63 trailing zeros: at least 1"
    )]
    pub const fn last(self) -> Option<u8> {
        let [a, b, c] = self.0;
        let (word, to) = if c != 0 {
            (c, 192_u8)
        } else if b != 0 {
            (b, 128)
        } else if a != 0 {
            (a, 64)
        } else {
            return None;
        };
        Some(to.wrapping_sub(word.trailing_zeros() as u8))
    }

    /// The elements, ascending.
    #[inline]
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
        assert_eq!((set.first(), set.last()), (Some(1), Some(128)));
        for de in 1..=192 {
            assert_eq!(FieldSet::EMPTY.with(1).with(de).last(), Some(de));
        }
        assert_eq!(
            (FieldSet::EMPTY.first(), FieldSet::EMPTY.last()),
            (None, None)
        );
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
    fn elements_up_to_the_last_that_others_have() {
        let set: FieldSet = [2, 11, 64, 65, 70, 128, 129, 192].into_iter().collect();
        for last in 0..=255 {
            let expect = if set.contains(last) {
                set.below(last.saturating_add(1))
            } else {
                FieldSet::EMPTY
            };
            let others = FieldSet::EMPTY.with(last);
            assert_eq!(set.up_to_last_of(others), expect, "{last}");
        }
        let others = [3, 11, 66, 100].into_iter().collect();
        assert_eq!(set.up_to_last_of(others), set.below(12));
        assert_eq!(set.up_to_last_of(FieldSet::ALL), set);
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
