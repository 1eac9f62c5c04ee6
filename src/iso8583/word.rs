//! Eight bytes as one number.

/// A byte in every lane.
pub(super) const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of every byte.
pub(super) const HIGH: u64 = every(0x80);
/// All other bits of every byte.
pub(super) const LOW7: u64 = every(0x7F);

/// Fewer than eight bytes with zeros behind them.
#[inline(always)]
pub(super) fn padded(ahead: &[u8]) -> [u8; 8] {
    let mut padded = [0; 8];
    if let (Some(low), Some(high)) = (ahead.first_chunk(), ahead.last_chunk()) {
        // Four to seven bytes, in two halves that overlap: 0 <= gap < 4.
        let gap = u32::try_from(ahead.len().saturating_sub(4)).unwrap_or(0);
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        let high = u64::from(high).wrapping_shl(gap.wrapping_mul(8));
        return (u64::from(low) | high).to_le_bytes();
    }
    for (to, from) in padded.iter_mut().zip(ahead.iter().take(3)) {
        *to = *from;
    }
    padded
}

/// Bits to shift a word by to keep its first `len` bytes: 64, which leaves nothing, for no bytes.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "0 <= len <= 8"
)]
pub(super) const fn rest_bits(len: usize) -> u32 {
    64_u32.wrapping_sub((len as u32).wrapping_mul(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_input_is_padded_with_zeros() {
        let bytes = [1, 2, 3, 4, 5, 6, 7];
        for len in 0..=7 {
            let mut expect = [0; 8];
            expect[..len].copy_from_slice(&bytes[..len]);
            assert_eq!(padded(&bytes[..len]), expect, "{len}");
        }
    }
}
