//! Value checks, eight bytes at a time. Each test gives a word that is zero when all its bytes are allowed.
//!
//! A field shorter than a word is read together with what stands beside it, whose marks are left out: no loop over
//! single bytes.

use super::dialect::{Class, FieldSpec, Kind, Pad};
use super::ebcdic;
use super::form;
use super::range::{DIGITS, PRINTABLE, Range, words};
use super::word::{HIGH, LOW7, every, padded, rest_bits};

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

/// Marks nibbles above 9, each in its own low bit; D is let pass where `separator` has ones.
const fn not_packed(word: u64, separator: u64) -> u64 {
    let is_d = (word >> 3) & (word >> 2) & !(word >> 1) & word;
    not_packed_digits(word) & !(is_d & separator)
}

/// Marks bytes that are neither a digit nor the separator, which is written `=` or `D`.
#[inline(always)]
const fn not_track(word: u64) -> u64 {
    let other = not_digits(word);
    // One word of a track has the separator.
    if other == 0 {
        return 0;
    }
    other & !(equal(word, b'=') | equal(word, b'D'))
}

/// Marks bytes that are no hexadecimal digits.
const fn not_hex(word: u64) -> u64 {
    // Upper and lower case differ in one bit: set, it makes letters of letters only.
    let t = (word | every(0x20)) ^ every(0x60);
    let low = t & LOW7;
    // 1 to 6 are letters. 0x7F + 0x7F < 0x100: no byte carries into the next.
    let letters = low.wrapping_add(every(0x7F)) & !low.wrapping_add(every(0x79)) & !t;
    not_digits(word) & !letters
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

/// Whether a run of that class, the last `len` bytes of `upto`, is as such runs are as a rule. The fields of one that
/// is not may be sound all the same: each must be looked at for itself.
#[inline(always)]
pub(super) fn plain(class: Class, upto: &[u8], len: usize) -> bool {
    match class {
        Class::Free => true,
        Class::Alone => false,
        Class::Digits => DIGITS.holds(upto, len),
        Class::Text => PRINTABLE.holds(upto, len),
        Class::Packed => words(upto, len, 0, not_packed_digits) == 0,
    }
}

/// Whether a field's value is what its type allows: the first `len` bytes of `ahead`, which may have more, and
/// `units` long.
pub(super) fn allows(spec: &FieldSpec, units: u16, ahead: &[u8], len: usize) -> bool {
    match (Range::of(spec.kind), spec.kind) {
        (Some(range), _) => ahead.get(..len).is_some_and(|text| range.allows(text, len)),
        (None, Kind::Bytes) => true,
        (None, _) => alone(spec, units, ahead, len),
    }
}

fn alone(spec: &FieldSpec, units: u16, ahead: &[u8], len: usize) -> bool {
    if spec.kind.is_packed() {
        packed(spec, units, ahead, len) == 0
    } else {
        seldom(spec.kind, ahead.get(..len).unwrap_or_default())
    }
}

/// Whether a track that is to be written, in ASCII, holds digits and separators only.
pub(super) fn allows_track(ascii: &[u8]) -> bool {
    seldom(Kind::Track, ascii)
}

#[inline(always)]
fn packed(spec: &FieldSpec, units: u16, ahead: &[u8], len: usize) -> u64 {
    let separator = if spec.kind == Kind::PackedTrack {
        u64::MAX
    } else {
        0
    };
    let bad = |word| not_packed(word, separator);
    over(ahead, len, Ignored::of(spec, units), bad)
}

#[inline(always)]
fn seldom(kind: Kind, field: &[u8]) -> bool {
    let len = field.len();
    match kind {
        Kind::Track => words(field, len, every(b'0'), not_track) == 0,
        Kind::Hex if len.is_multiple_of(2) => words(field, len, every(b'0'), not_hex) == 0,
        Kind::EbcdicDigits | Kind::EbcdicTrack | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
            let allowed = |byte: &u8| form::allows(kind, ebcdic::character(*byte));
            field.iter().all(allowed)
        }
        Kind::EbcdicHex if len.is_multiple_of(2) => {
            let allowed = |byte: &u8| ebcdic::character(*byte).is_ascii_hexdigit();
            field.iter().all(allowed)
        }
        Kind::Hex
        | Kind::EbcdicHex
        | Kind::Digits
        | Kind::Alphanumeric
        | Kind::Text
        | Kind::PackedDigits
        | Kind::PackedTrack
        | Kind::Bytes
        | Kind::Undefined => false,
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
            Kind::EbcdicHex => !ebcdic::character(*byte).is_ascii_hexdigit(),
            // One byte is two units.
            Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::Digits
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Bytes
            | Kind::Track
            | Kind::Undefined => !allows(spec, if padded { 1 } else { 2 }, &[*byte], 1),
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
            Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText => form::allows(kind, ebcdic::character(byte)),
            Kind::EbcdicHex => ebcdic::character(byte).is_ascii_hexdigit(),
            Kind::Bytes | Kind::Undefined => true,
        }
    }

    const KINDS: [(Kind, u8); 12] = [
        (Kind::PackedDigits, 0x12),
        (Kind::PackedTrack, 0x12),
        (Kind::Digits, b'7'),
        (Kind::Track, b'7'),
        (Kind::Alphanumeric, b'x'),
        (Kind::Text, 0xC4),
        (Kind::Hex, b'f'),
        (Kind::EbcdicDigits, 0xF7),
        (Kind::EbcdicTrack, 0x7E),
        (Kind::EbcdicAlphanumeric, 0x81),
        (Kind::EbcdicText, 0xFE),
        (Kind::EbcdicHex, 0xC1),
    ];

    fn spec(kind: Kind) -> FieldSpec {
        FieldSpec::new(kind, Prefix::Fixed, Pad::Right, 999)
    }

    #[test]
    fn word_tests_agree_with_the_definition_at_every_place_and_length() {
        for (kind, good) in KINDS {
            let spec = spec(kind);
            for len in (1..=26).filter(|len| !kind.is_hex() || len % 2 == 0) {
                for (at, tail) in (0..len).flat_map(|at| [(at, 0), (at, 9)]) {
                    for byte in (0..=255).step_by(if len > 17 { 7 } else { 1 }) {
                        let mut ahead = vec![good; len];
                        ahead[at] = byte;
                        ahead.extend(vec![0xFF; tail]);
                        let got = allows(&spec, 2, &ahead, len);
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
            assert!(allows(&right, odd, &field, len), "{len}");
            assert!(!allows(&right, odd + 1, &field, len), "{len}");
            field[len - 1] = 0x12;
            field[0] = 0xF2;
            assert!(allows(&left, odd, &field, len), "{len}");
            assert!(!allows(&left, odd + 1, &field, len), "{len}");
        }
        assert_eq!(first_bad(&right, 5, &[0xF1, 0x23, 0x4F]), 0);
        assert_eq!(first_bad(&left, 5, &[0xF1, 0x23, 0x4F]), 2);
    }

    #[test]
    fn empty_content_is_allowed() {
        for (kind, _) in KINDS {
            assert!(allows(&spec(kind), 0, &[0xFF; 8], 0), "{kind:?}");
            assert!(allows(&spec(kind), 0, &[], 0), "{kind:?}");
        }
    }
}
