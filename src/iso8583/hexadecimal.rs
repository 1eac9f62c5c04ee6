//! Hexadecimal digits to bytes and back, eight digits at a time.

use super::word::every;

/// The value of eight hexadecimal digits; `None` when a character is none.
#[inline(always)]
pub(super) const fn value(characters: [u8; 8]) -> Option<u32> {
    let word = u64::from_be_bytes(characters);
    let letter = (word >> 6) & every(0x01);
    // 15 + 9 per byte: no carries, here and below.
    let nibble = (word & every(0x0F)).wrapping_add(letter.wrapping_mul(9));
    let upper = word & !(letter << 5);
    let rebuilt = every(b'0')
        .wrapping_add(nibble)
        .wrapping_add(letter.wrapping_mul(7));
    let above_nine = (nibble.wrapping_add(every(0x06)) >> 4) & every(0x01);
    if rebuilt != upper || above_nine != letter || nibble & every(0x10) != 0 {
        return None;
    }
    let pairs = (nibble | (nibble >> 4)) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | (pairs >> 8)) & 0x0000_FFFF_0000_FFFF;
    let [_, _, _, _, a, b, c, d] = (quads | (quads >> 16)).to_be_bytes();
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// The eight upper-case hexadecimal digits of a value.
pub(super) fn digits(value: u32) -> [u8; 8] {
    let quads = u64::from(value);
    let quads = (quads | (quads << 16)) & 0x0000_FFFF_0000_FFFF;
    let pairs = (quads | (quads << 8)) & 0x00FF_00FF_00FF_00FF;
    let nibble = (pairs | (pairs << 4)) & every(0x0F);
    // 15 + 6 and '9' + 7 per byte: no carries.
    let letter = (nibble.wrapping_add(every(0x06)) >> 4) & every(0x01);
    let digits = nibble
        .wrapping_add(every(b'0'))
        .wrapping_add(letter.wrapping_mul(7));
    digits.to_be_bytes()
}

/// Sixteen upper-case hexadecimal digits.
pub(super) fn sixteen(value: u64) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    let mut sixteen = [0; 16];
    let (halves, _) = sixteen.as_chunks_mut::<8>();
    for (half, bytes) in halves.iter_mut().zip([[a, b, c, d], [e, f, g, h]]) {
        *half = digits(u32::from_be_bytes(bytes));
    }
    sixteen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_have_values_in_either_case() {
        assert_eq!(value(*b"0123aBcD"), Some(0x0123_ABCD));
        assert_eq!(value(*b"FFFFffff"), Some(u32::MAX));
        assert_eq!(value(*b"0123456G"), None);
        assert_eq!(value(*b"0123456@"), None);
        assert_eq!(value(*b"0123456:"), None);
        assert_eq!(digits(0x0123_ABCD), *b"0123ABCD");
        assert_eq!(digits(0x89EF_4567), *b"89EF4567");
    }
}
