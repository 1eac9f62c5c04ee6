//! Value checks, eight bytes at a time. Each test gives a word that is zero when all its bytes are allowed.
//!
//! A field shorter than a word is read together with what follows it, whose marks are then shifted out: no
//! loop over single bytes.

use super::dialect::{FieldSpec, Kind, Pad};

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGH: u64 = every(0x80);
const LOW7: u64 = every(0x7F);

/// Marks bytes that are not `0` to `9`, each in its own high bit.
const fn not_digits(word: u64) -> u64 {
    let t = word ^ every(b'0');
    // 0x7F + 0x76 < 0x100: no byte carries into the next.
    ((t & LOW7).wrapping_add(every(0x76)) | t) & HIGH
}

/// Marks bytes equal to `byte`, each in its own high bit.
const fn equal(word: u64, byte: u8) -> u64 {
    let t = word ^ every(byte);
    !((t & LOW7).wrapping_add(LOW7) | t) & HIGH
}

/// Marks nibbles above 9, each in its own low bit; D is let pass where `separator` has ones.
const fn not_packed(word: u64, separator: u64) -> u64 {
    let above = (word >> 3) & ((word >> 2) | (word >> 1));
    let is_d = (word >> 3) & (word >> 2) & !(word >> 1) & word;
    above & !(is_d & separator) & every(0x11)
}

/// Marks bytes that are neither a digit nor the separator, which is written `=` or `D`.
const fn not_track(word: u64) -> u64 {
    not_digits(word) & !(equal(word, b'=') | equal(word, b'D'))
}

/// A range of ASCII characters, as the sums that carry into the high bit of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Reaches 0x80 from the lowest character upwards.
    from_lowest: u64,
    /// Reaches 0x80 above the highest character.
    above_highest: u64,
    /// The high bits where bytes above 0x7F are not allowed.
    ascii_only: u64,
}

/// The decimal digits.
const DIGITS: Range = Range::new(b'0', b'9', HIGH);

impl Range {
    const fn new(lowest: u8, highest: u8, ascii_only: u64) -> Self {
        Self {
            from_lowest: every(0x80_u8.wrapping_sub(lowest)),
            above_highest: every(0x7F_u8.wrapping_sub(highest)),
            ascii_only,
        }
    }

    /// What a kind of field allows, when that is a range; else a range nobody asks for.
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Digits => DIGITS,
            Kind::Text => Self::new(b' ', b'~', 0),
            Kind::Alphanumeric
            | Kind::Undefined
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Track
            | Kind::Bytes
            | Kind::Hex => Self::new(b' ', b'~', HIGH),
        }
    }

    /// Marks bytes outside, each in its own high bit.
    const fn outside(&self, word: u64) -> u64 {
        let low = word & LOW7;
        // 0x7F + 0x7F < 0x100: no byte carries into the next.
        let outside = !low.wrapping_add(self.from_lowest) | low.wrapping_add(self.above_highest);
        ((outside & !word) | (word & self.ascii_only)) & HIGH
    }
}

/// Marks bytes that are no hexadecimal digits.
const fn not_hex(word: u64) -> u64 {
    // Upper and lower case differ in one bit: set, it makes letters of letters only.
    not_digits(word) & Range::new(b'a', b'f', HIGH).outside(word | every(0x20))
}

/// Bits of the first and of the last byte of a field that are not looked at: its padding nibble.
#[derive(Clone, Copy)]
struct Ignored {
    first: u64,
    last: u64,
}

impl Ignored {
    const NOTHING: Self = Self { first: 0, last: 0 };

    const fn of(spec: &FieldSpec, units: u16) -> Self {
        match spec.pad {
            _ if units.is_multiple_of(2) => Self::NOTHING,
            Pad::Left => Self {
                first: 0xF0,
                last: 0,
            },
            Pad::Right => Self {
                first: 0,
                last: 0x0F << 56,
            },
        }
    }
}

/// Runs `bad`, which marks bytes (or nibbles) each in its own bits, over the first `len` bytes of `ahead`.
#[inline(always)]
fn over(ahead: &[u8], len: usize, ignored: Ignored, bad: impl Fn(u64) -> u64) -> u64 {
    let first = match ahead.first_chunk() {
        Some(first) => *first,
        None => padded(ahead),
    };
    let first = bad(u64::from_le_bytes(first)) & !ignored.first;
    if len <= 8 {
        // The marks of what follows the field fall out at the high end.
        return first.checked_shl(rest_bits(len)).unwrap_or(0) & !ignored.last;
    }
    let Some(last) = ahead.get(..len).and_then(<[u8]>::last_chunk) else {
        return u64::MAX;
    };
    // The first and the last eight overlap when there are fewer than sixteen.
    let ends = first | (bad(u64::from_le_bytes(*last)) & !ignored.last);
    if len > 16 {
        ends | between(ahead, len, bad)
    } else {
        ends
    }
}

/// Fewer than eight bytes with zeros behind them.
#[cold]
#[inline(never)]
fn padded(ahead: &[u8]) -> [u8; 8] {
    let mut padded = [0; 8];
    if let (Some(low), Some(high)) = (ahead.first_chunk(), ahead.last_chunk()) {
        // Four to seven bytes, in two halves that overlap: 0 <= gap < 4.
        let gap = u32::try_from(ahead.len().saturating_sub(4)).unwrap_or(0);
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        let high = u64::from(high).wrapping_shl(gap.wrapping_mul(8));
        return (u64::from(low) | high).to_le_bytes();
    }
    for (to, from) in padded.iter_mut().zip(ahead) {
        *to = *from;
    }
    padded
}

/// Bits to shift a word by to keep its first `len` bytes: 64, which leaves nothing, for no bytes.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "0 <= len <= 8 here"
)]
const fn rest_bits(len: usize) -> u32 {
    64_u32.wrapping_sub((len as u32).wrapping_mul(8))
}

/// What the first and the last eight bytes leave out. The last byte, which may be padded, is not touched.
#[cold]
#[inline(never)]
fn between(ahead: &[u8], len: usize, bad: impl Fn(u64) -> u64) -> u64 {
    let mut inner = ahead.get(8..len.saturating_sub(1)).unwrap_or_default();
    let mut found = 0;
    while let Some((word, rest)) = inner.split_first_chunk() {
        found |= bad(u64::from_le_bytes(*word));
        inner = rest;
    }
    found
}

/// Marks whatever the type of a field does not allow; 0 is a sound one. The field is the first `len` bytes
/// of `ahead`, the rest of the frame, and `units` long.
#[inline(always)]
pub(super) fn marks(spec: &FieldSpec, units: u16, ahead: &[u8], len: usize) -> u64 {
    if spec.kind.is_range() {
        let range = &spec.range;
        return over(ahead, len, Ignored::NOTHING, |word| range.outside(word));
    }
    if spec.kind == Kind::Bytes {
        return 0;
    }
    if spec.kind.is_packed() {
        return packed(spec, units, ahead, len);
    }
    seldom(spec.kind, ahead, len)
}

/// Whether a value that is to be written, in ASCII, is allowed in the field. Asked before it is written: a
/// word read right behind the bytes that make it up would have to wait for them.
#[inline(always)]
pub(super) fn allows(spec: &FieldSpec, ascii: &[u8]) -> bool {
    let range = match spec.kind {
        Kind::PackedDigits => &DIGITS,
        Kind::PackedTrack | Kind::Track => {
            return ascii.is_empty() || seldom(Kind::Track, ascii, ascii.len()) == 0;
        }
        Kind::Digits | Kind::Alphanumeric | Kind::Text => &spec.range,
        Kind::Bytes | Kind::Hex | Kind::Undefined => return false,
    };
    over(ascii, ascii.len(), Ignored::NOTHING, |word| {
        range.outside(word)
    }) == 0
}

/// Out of line like the next, so that the walk itself stays in registers.
#[cold]
#[inline(never)]
fn packed(spec: &FieldSpec, units: u16, ahead: &[u8], len: usize) -> u64 {
    let separator = if spec.kind == Kind::PackedTrack {
        u64::MAX
    } else {
        0
    };
    let bad = |word| not_packed(word, separator);
    over(ahead, len, Ignored::of(spec, units), bad)
}

/// What a message has once or twice: out of the way of the rest.
#[cold]
#[inline(never)]
fn seldom(kind: Kind, ahead: &[u8], len: usize) -> u64 {
    match kind {
        Kind::Track => over(ahead, len, Ignored::NOTHING, not_track),
        Kind::Hex if len.is_multiple_of(2) => over(ahead, len, Ignored::NOTHING, not_hex),
        Kind::Hex
        | Kind::Digits
        | Kind::Alphanumeric
        | Kind::Text
        | Kind::PackedDigits
        | Kind::PackedTrack
        | Kind::Bytes
        | Kind::Undefined => u64::MAX,
    }
}

/// Offset within `field` of the first byte that its type does not allow. Only asked after a failed check.
#[cold]
pub(super) fn first_bad(spec: &FieldSpec, units: u16, field: &[u8]) -> usize {
    let ends = field.len().saturating_sub(1);
    let bad = |(at, byte): (usize, &u8)| {
        let padded = units % 2 == 1
            && match spec.pad {
                Pad::Left => at == 0,
                Pad::Right => at == ends,
            };
        match spec.kind {
            // An odd number of hexadecimal digits has no single bad byte.
            Kind::Hex => not_hex(every(*byte)) != 0,
            // One byte is two units.
            Kind::Digits
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Bytes
            | Kind::Track
            | Kind::Undefined => marks(spec, if padded { 1 } else { 2 }, &[*byte], 1) != 0,
        }
    };
    field.iter().enumerate().position(bad).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::dialect::Prefix;

    /// The plain definition, byte by byte, that the word tests must agree with.
    fn allowed(kind: Kind, byte: u8) -> bool {
        let digit = |n: u8| n <= 9;
        let track = |n: u8| n <= 9 || n == 0x0D;
        match kind {
            Kind::PackedDigits => digit(byte >> 4) && digit(byte & 15),
            Kind::PackedTrack => track(byte >> 4) && track(byte & 15),
            Kind::Digits => byte.is_ascii_digit(),
            Kind::Track => byte.is_ascii_digit() || byte == b'=' || byte == b'D',
            Kind::Alphanumeric => (0x20..0x7F).contains(&byte),
            Kind::Text => byte >= 0x20 && byte != 0x7F,
            Kind::Hex => byte.is_ascii_hexdigit(),
            Kind::Bytes | Kind::Undefined => true,
        }
    }

    const KINDS: [(Kind, u8); 7] = [
        (Kind::PackedDigits, 0x12),
        (Kind::PackedTrack, 0x12),
        (Kind::Digits, b'7'),
        (Kind::Track, b'7'),
        (Kind::Alphanumeric, b'x'),
        (Kind::Text, 0xC4),
        (Kind::Hex, b'f'),
    ];

    fn spec(kind: Kind) -> FieldSpec {
        FieldSpec::new(kind, Prefix::Fixed, Pad::Right, 999)
    }

    #[test]
    fn word_tests_agree_with_the_definition_at_every_place_and_length() {
        for (kind, good) in KINDS {
            let spec = spec(kind);
            for len in (1..=26).filter(|len| kind != Kind::Hex || len % 2 == 0) {
                for (at, tail) in (0..len).flat_map(|at| [(at, 0), (at, 9)]) {
                    for byte in (0..=255).step_by(if len > 17 { 7 } else { 1 }) {
                        let mut ahead = vec![good; len];
                        ahead[at] = byte;
                        ahead.extend(vec![0xFF; tail]);
                        let got = marks(&spec, 2, &ahead, len) == 0;
                        assert_eq!(got, allowed(kind, byte), "{kind:?} {len} {at} {byte:02X}");
                        if !got {
                            assert_eq!(first_bad(&spec, 2, &ahead[..len]), at);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn padding_nibbles_are_not_looked_at() {
        let right = spec(Kind::PackedDigits);
        let left = FieldSpec::new(Kind::PackedDigits, Prefix::Fixed, Pad::Left, 999);
        for len in 1..=20 {
            let odd = u16::try_from(len * 2 - 1).unwrap();
            let mut field = vec![0x12; len];
            field[len - 1] = 0x1F;
            assert_eq!(marks(&right, odd, &field, len), 0, "{len}");
            assert_ne!(marks(&right, odd + 1, &field, len), 0, "{len}");
            field[len - 1] = 0x12;
            field[0] = 0xF2;
            assert_eq!(marks(&left, odd, &field, len), 0, "{len}");
            assert_ne!(marks(&left, odd + 1, &field, len), 0, "{len}");
        }
        assert_eq!(first_bad(&right, 5, &[0xF1, 0x23, 0x4F]), 0);
        assert_eq!(first_bad(&left, 5, &[0xF1, 0x23, 0x4F]), 2);
    }

    #[test]
    fn empty_content_is_allowed() {
        for (kind, _) in KINDS {
            assert_eq!(marks(&spec(kind), 0, &[0xFF; 8], 0), 0, "{kind:?}");
            assert_eq!(marks(&spec(kind), 0, &[], 0), 0, "{kind:?}");
        }
    }
}
