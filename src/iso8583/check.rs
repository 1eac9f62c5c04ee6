//! Value checks, eight bytes at a time. Each test gives a word that is zero when all its bytes are allowed.
//!
//! Bytes of a field that do not fill a word are read together with the bytes before the field, which are
//! always there (MTI and bitmap), and shifted out: no loop over single bytes.

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

/// Marks nibbles above 9, each in its own low bit.
const fn not_packed_digits(word: u64) -> u64 {
    (word >> 3) & ((word >> 2) | (word >> 1)) & every(0x11)
}

/// Marks nibbles that are neither a digit nor the separator D.
const fn not_packed_track(word: u64) -> u64 {
    let separator = (word >> 3) & (word >> 2) & !(word >> 1) & word;
    not_packed_digits(word) & !separator
}

/// Marks bytes that are neither a digit nor the separator, which is written `=` or `D`.
const fn not_track(word: u64) -> u64 {
    not_digits(word) & !(equal(word, b'=') | equal(word, b'D'))
}

/// Marks control characters (below 0x20, and 0x7F).
const fn controls(word: u64) -> u64 {
    let low = word & LOW7;
    let printable = low.wrapping_add(every(0x60)) & !low.wrapping_add(every(0x01));
    !printable & !word & HIGH
}

/// Marks what is not printable ASCII.
const fn not_ascii(word: u64) -> u64 {
    controls(word) | (word & HIGH)
}

/// The sixteen hexadecimal digits' value of eight characters; `None` when one is none.
pub(super) const fn hex_value(characters: [u8; 8]) -> Option<u32> {
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

/// Marks anything but hexadecimal digits.
const fn not_hex(word: u64) -> u64 {
    if hex_value(word.to_be_bytes()).is_some() {
        0
    } else {
        HIGH
    }
}

/// Bits of the first and of the last byte of a field that are not looked at: its padding nibble.
#[derive(Clone, Copy)]
struct Ignored {
    first: u64,
    last: u64,
}

impl Ignored {
    const NOTHING: Self = Self { first: 0, last: 0 };

    const fn of(spec: FieldSpec, units: u16) -> Self {
        match spec.pad {
            _ if units % 2 == 0 => Self::NOTHING,
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

/// Runs `bad` over the last `len` bytes of `upto`. Bytes outside are replaced by `fill`, which is allowed.
#[inline]
fn clean(
    mut upto: &[u8],
    mut len: u16,
    fill: u8,
    ignored: Ignored,
    bad: impl Fn(u64) -> u64,
) -> bool {
    let mut found = 0;
    let mut keep = !ignored.last;
    while len > 8 {
        let Some((head, word)) = upto.split_last_chunk::<8>() else {
            return false;
        };
        found |= bad(u64::from_le_bytes(*word) & keep);
        keep = u64::MAX;
        upto = head;
        len = len.saturating_sub(8);
    }
    let Some(word) = upto.last_chunk::<8>() else {
        return false;
    };
    // 0 <= len <= 8 here. Nothing at all is a shift by 64, which leaves nothing.
    let outside = 64_u32.wrapping_sub(u32::from(len).wrapping_mul(8));
    let fill = every(fill);
    let word = (u64::from_le_bytes(*word) & keep) ^ fill;
    let inside = word.checked_shr(outside).unwrap_or(0) ^ fill;
    found |= bad(inside & !ignored.first);
    found == 0
}

/// Whether the field that ends `upto` and has `len` bytes, `units` long, holds only what its type allows.
/// `upto` begins at the frame's first byte and holds at least eight.
#[inline]
pub(super) fn content(spec: FieldSpec, units: u16, upto: &[u8], len: u16) -> bool {
    match spec.kind {
        Kind::PackedDigits => clean(upto, len, 0, Ignored::of(spec, units), not_packed_digits),
        Kind::PackedTrack => clean(upto, len, 0, Ignored::of(spec, units), not_packed_track),
        Kind::Digits => clean(upto, len, b'0', Ignored::NOTHING, not_digits),
        Kind::Track => clean(upto, len, b'0', Ignored::NOTHING, not_track),
        Kind::Alphanumeric => clean(upto, len, b' ', Ignored::NOTHING, not_ascii),
        Kind::Text => clean(upto, len, b' ', Ignored::NOTHING, controls),
        Kind::Hex => len.is_multiple_of(2) && clean(upto, len, b'0', Ignored::NOTHING, not_hex),
        Kind::Bytes | Kind::Undefined => true,
    }
}

/// Offset within `content` of the first byte that its type does not allow. Only asked after a failed check.
#[cold]
pub(super) fn first_bad(spec: FieldSpec, units: u16, content_bytes: &[u8]) -> usize {
    let mut upto = [0_u8; 9];
    content_bytes
        .iter()
        .enumerate()
        .position(|(at, byte)| {
            let first = at == 0;
            let last = at.saturating_add(1) == content_bytes.len();
            let padded = units % 2 == 1
                && spec.kind.is_packed()
                && match spec.pad {
                    Pad::Left => first,
                    Pad::Right => last,
                };
            // One byte is two units; an odd pair of hexadecimal digits has no single bad byte.
            let (units, spec) = match spec.kind {
                Kind::Hex => (
                    1,
                    FieldSpec {
                        kind: Kind::Digits,
                        ..spec
                    },
                ),
                _ if padded => (1, spec),
                _ => (2, spec),
            };
            let [.., end] = &mut upto;
            *end = if spec.kind == Kind::Digits && byte.is_ascii_hexdigit() && units == 1 {
                b'0'
            } else {
                *byte
            };
            !content(spec, units, &upto, 1)
        })
        .unwrap_or(0)
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
        FieldSpec {
            kind,
            prefix: Prefix::Fixed,
            pad: Pad::Right,
            max: 999,
        }
    }

    #[test]
    fn word_tests_agree_with_the_definition_at_every_place_and_length() {
        for (kind, good) in KINDS {
            for len in (1..=20).filter(|len| kind != Kind::Hex || len % 2 == 0) {
                for at in 0..len {
                    for byte in 0..=255 {
                        let mut frame = vec![0xFF; 10];
                        frame.extend(vec![good; len]);
                        frame[10 + at] = byte;
                        let got = content(spec(kind), 2, &frame, len.try_into().unwrap());
                        assert_eq!(got, allowed(kind, byte), "{kind:?} {len} {at} {byte:02X}");
                        if !got {
                            assert_eq!(first_bad(spec(kind), 2, &frame[10..]), at);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn padding_nibbles_are_not_looked_at() {
        let frame = [0, 0, 0, 0, 0, 0, 0, 0xF1, 0x23, 0x4F];
        let right = spec(Kind::PackedDigits);
        let left = FieldSpec {
            pad: Pad::Left,
            ..right
        };
        assert!(content(right, 3, &frame, 2));
        assert!(!content(right, 4, &frame, 2));
        assert!(content(left, 3, &frame[..9], 2));
        assert!(!content(left, 4, &frame[..9], 2));
        assert_eq!(first_bad(right, 5, &[0xF1, 0x23, 0x4F]), 0);
        assert_eq!(first_bad(left, 5, &[0xF1, 0x23, 0x4F]), 2);
    }

    #[test]
    fn hexadecimal_digits_have_values_in_either_case() {
        assert_eq!(hex_value(*b"0123aBcD"), Some(0x0123_ABCD));
        assert_eq!(hex_value(*b"FFFFffff"), Some(u32::MAX));
        assert_eq!(hex_value(*b"0123456G"), None);
        assert_eq!(hex_value(*b"0123456@"), None);
        assert_eq!(hex_value(*b"0123456:"), None);
    }

    #[test]
    fn empty_content_is_allowed() {
        for (kind, _) in KINDS {
            assert!(content(spec(kind), 0, &[0xFF; 8], 0), "{kind:?}");
        }
    }
}
