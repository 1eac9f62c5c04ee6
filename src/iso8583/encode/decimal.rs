//! Decimal digits of numbers, eight at a time.

use crate::iso8583::range::put_ends;
use crate::iso8583::word::every;

/// Above all numbers of eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The digits of a number that has at most eight, the first in the lowest byte.
#[derive(Clone, Copy)]
pub(super) struct Eight(u64);

impl Eight {
    /// `None` for a number that has more.
    #[inline(always)]
    pub(super) const fn of(number: u64) -> Option<Self> {
        if number < EIGHT_DIGITS {
            Some(Self(eight_digits(number)))
        } else {
            None
        }
    }

    /// How many zeros stand before the first other digit.
    #[inline(always)]
    const fn zeros(self) -> u32 {
        self.0.trailing_zeros() / 8
    }

    /// Whether so many places are enough.
    #[inline(always)]
    pub(super) fn fits(self, places: usize) -> bool {
        usize::try_from(self.zeros()).is_ok_and(|zeros| zeros.wrapping_add(places) >= 8)
    }

    /// Its ASCII digits.
    const fn ascii(self) -> u64 {
        self.0.wrapping_add(every(b'0'))
    }

    /// Writes the digits at the end of a slot of 4 to 16 places: fewer where it is shorter, behind zeros where it is longer.
    #[inline(always)]
    pub(super) fn put(self, slot: &mut [u8]) {
        let digits = self.ascii();
        if slot.len() >= 8 {
            return put_ends(slot, [b'0'; 8], digits.to_le_bytes());
        }
        let unused = u32::try_from(8_usize.wrapping_sub(slot.len())).unwrap_or(0);
        let used = digits.checked_shr(unused.wrapping_mul(8)).unwrap_or(0);
        let ([a, b, c, d, ..], [.., e, f, g, h]) = (used.to_le_bytes(), digits.to_le_bytes());
        put_ends(slot, [a, b, c, d], [e, f, g, h]);
    }
}

/// The decimal digits of a number with zeros before them, and how many of the zeros it does not need.
pub(super) fn decimal(number: u64) -> ([u8; 24], usize) {
    let (rest, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    let (high, middle) = (rest / EIGHT_DIGITS, rest % EIGHT_DIGITS);
    let all = [high, middle, low].map(|each| Eight(eight_digits(each)));
    let mut digits = [0; 24];
    let (slots, _) = digits.as_chunks_mut::<8>();
    for (slot, each) in slots.iter_mut().zip(all) {
        *slot = each.ascii().to_le_bytes();
    }
    // Zero needs one digit.
    let zeros = match all {
        [Eight(0), Eight(0), low] => 16_u32.saturating_add(low.zeros().min(7)),
        [Eight(0), middle, _] => 8_u32.saturating_add(middle.zeros()),
        [high, _, _] => high.zeros(),
    };
    (digits, usize::try_from(zeros).unwrap_or(0))
}

/// The eight decimal digits of a number below 100,000,000, the first in the lowest byte.
const fn eight_digits(number: u64) -> u64 {
    // In each lane the quotient is a product with a rounded-up reciprocal, exact for what a lane holds; no lane
    // reaches into the next.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = (fours.wrapping_mul(5_243) >> 19) & 0x0000_007F_0000_007F;
    let pairs = hundreds | (fours.wrapping_sub(hundreds.wrapping_mul(100)) << 16);
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000F_000F_000F_000F;
    tens | (pairs.wrapping_sub(tens.wrapping_mul(10)) << 8)
}
