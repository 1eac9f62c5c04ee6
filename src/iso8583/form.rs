//! Between a value as people write it and its content on the wire, for every kind of field.
//!
//! A value is ASCII digits (with `=` in a track), text in ASCII (bytes above 0x7F as they are), or raw bytes.
//! This is the general way, for sub-fields, tools and seldom kinds; the walk over a message and
//! [`Writer`](super::Writer) have their own for what is frequent.

use std::borrow::Cow;

use bytes::BufMut;

use super::dialect::{FieldSpec, Kind, Pad, Prefix};
use super::digits;
use super::ebcdic;

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It holds something that the kind does not allow.
    Character,
    /// It is too long, or too short where nothing can be filled in.
    Length,
}

/// Whether a value of that kind may have this character.
pub(super) const fn allows(kind: Kind, character: u8) -> bool {
    match kind {
        Kind::PackedDigits | Kind::Digits | Kind::EbcdicDigits => character.is_ascii_digit(),
        Kind::PackedTrack | Kind::Track | Kind::EbcdicTrack => {
            character.is_ascii_digit() || character == b'=' || character == b'D'
        }
        Kind::Alphanumeric | Kind::EbcdicAlphanumeric => matches!(character, b' '..=b'~'),
        Kind::Text | Kind::EbcdicText => character >= b' ' && character != 0x7F,
        Kind::Bytes | Kind::Hex | Kind::EbcdicHex => true,
        Kind::Undefined => false,
    }
}

/// The value of `units` digits, characters or bytes of content.
pub(super) fn value<'v>(spec: &FieldSpec, units: u16, content: &'v [u8]) -> Cow<'v, [u8]> {
    match spec.kind {
        Kind::PackedDigits | Kind::PackedTrack => {
            let lead = units % 2 == 1 && spec.pad == Pad::Left;
            let nibbles = nibbles(content).skip(lead.into()).take(units.into());
            nibbles.map(digits::ascii).collect()
        }
        Kind::Hex => content
            .as_chunks()
            .0
            .iter()
            .map(|pair| byte(*pair))
            .collect(),
        Kind::EbcdicHex => {
            let pairs = content.as_chunks().0.iter();
            pairs
                .map(|[high, low]| byte([ebcdic::character(*high), ebcdic::character(*low)]))
                .collect()
        }
        Kind::EbcdicDigits | Kind::EbcdicTrack | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
            content
                .iter()
                .map(|byte| ebcdic::character(*byte))
                .collect()
        }
        Kind::Digits
        | Kind::Track
        | Kind::Alphanumeric
        | Kind::Text
        | Kind::Bytes
        | Kind::Undefined => content.into(),
    }
}

/// The value of a part whose length only its bytes tell. Padding of packed digits, a last nibble F, is left
/// out.
pub(super) fn open_value<'v>(spec: &FieldSpec, content: &'v [u8]) -> Cow<'v, [u8]> {
    let padded = content.last().is_some_and(|last| last & 0x0F == 0x0F);
    let units = u16::try_from(content.len()).unwrap_or(u16::MAX);
    if spec.kind.is_packed() {
        let nibbles = units.saturating_mul(2).saturating_sub(padded.into());
        // The last nibble is left out, never the first.
        let spec = FieldSpec::new(spec.kind, spec.prefix, Pad::Right, spec.max);
        return value(&spec, nibbles, content);
    }
    value(spec, units, content)
}

/// Appends a value of which only the bytes tell the length: nothing is filled in but an odd nibble.
pub(super) fn put_open(
    spec: &FieldSpec,
    value: &[u8],
    out: &mut impl BufMut,
) -> Result<(), Misfit> {
    check(spec.kind, value)?;
    if !spec.kind.is_packed() {
        put_characters(spec.kind, value, out);
    } else if spec.pad == Pad::Left {
        pack(value.len() % 2, value, 0, out);
    } else {
        pack(0, value, 0x0F, out);
    }
    Ok(())
}

/// Appends a value with its length prefix, filled where its length is fixed: digits with zeros in front,
/// text with spaces behind.
pub(super) fn put(spec: &FieldSpec, value: &[u8], out: &mut impl BufMut) -> Result<(), Misfit> {
    check(spec.kind, value)?;
    let factor = if spec.kind.is_hex() { 2 } else { 1 };
    let units =
        u16::try_from(value.len().saturating_mul(factor)).map_err(|_wide| Misfit::Length)?;
    let missing = spec.max.checked_sub(units).ok_or(Misfit::Length)?;
    let fill = if spec.prefix == Prefix::Fixed {
        usize::from(missing)
    } else {
        0
    };
    put_prefix(spec.prefix, units, out);
    match spec.kind {
        Kind::PackedDigits | Kind::PackedTrack => {
            let odd = fill.saturating_add(value.len()) % 2 == 1;
            let lead = usize::from(odd && spec.pad == Pad::Left);
            pack(fill.saturating_add(lead), value, 0, out);
        }
        Kind::Digits | Kind::Track => {
            out.put_bytes(b'0', fill);
            out.put_slice(value);
        }
        Kind::EbcdicDigits | Kind::EbcdicTrack => {
            out.put_bytes(ebcdic::byte(b'0'), fill);
            put_characters(spec.kind, value, out);
        }
        Kind::Alphanumeric | Kind::Text => {
            out.put_slice(value);
            out.put_bytes(b' ', fill);
        }
        Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
            put_characters(spec.kind, value, out);
            out.put_bytes(ebcdic::byte(b' '), fill);
        }
        Kind::Bytes | Kind::Hex | Kind::EbcdicHex if fill == 0 => {
            put_characters(spec.kind, value, out);
        }
        Kind::Bytes | Kind::Hex | Kind::EbcdicHex | Kind::Undefined => return Err(Misfit::Length),
    }
    Ok(())
}

fn check(kind: Kind, value: &[u8]) -> Result<(), Misfit> {
    if value.iter().all(|character| allows(kind, *character)) {
        Ok(())
    } else {
        Err(Misfit::Character)
    }
}

/// Appends what is not packed as it is written on the wire.
fn put_characters(kind: Kind, value: &[u8], out: &mut impl BufMut) {
    for each in value {
        let [high, low] = [hex(each >> 4), hex(each & 0x0F)];
        match kind {
            Kind::Hex => out.put_slice(&[high, low]),
            Kind::EbcdicHex => out.put_slice(&[ebcdic::byte(high), ebcdic::byte(low)]),
            Kind::EbcdicDigits | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
                out.put_u8(ebcdic::byte(*each));
            }
            Kind::EbcdicTrack => out.put_u8(ebcdic::byte(if *each == b'D' { b'=' } else { *each })),
            Kind::Digits
            | Kind::Track
            | Kind::Alphanumeric
            | Kind::Text
            | Kind::Bytes
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Undefined => out.put_u8(*each),
        }
    }
}

/// Appends `zeros` zero nibbles and the digits two a byte; `pad` fills the last byte.
fn pack(zeros: usize, value: &[u8], pad: u8, out: &mut impl BufMut) {
    let mut nibbles = std::iter::repeat_n(0, zeros).chain(value.iter().map(|each| nibble(*each)));
    while let Some(high) = nibbles.next() {
        out.put_u8((high << 4) | nibbles.next().unwrap_or(pad));
    }
}

/// The nibble of a digit or separator. Nothing else is asked for: the value was checked.
pub(super) const fn nibble(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character & 0x0F,
        b'=' | b'D' => 0x0D,
        _ => 0x0F,
    }
}

fn nibbles(content: &[u8]) -> impl Iterator<Item = u8> {
    content.iter().flat_map(|byte| [byte >> 4, byte & 0x0F])
}

/// Appends a length prefix. A length that it cannot tell was refused before.
#[inline(always)]
pub(super) fn put_prefix(prefix: Prefix, units: u16, out: &mut impl BufMut) {
    let digit = |divisor: u16| low_byte(units.checked_div(divisor).unwrap_or(0) % 10);
    match prefix {
        Prefix::TextTwo => out.put_slice(&[b'0' | digit(10), b'0' | digit(1)]),
        Prefix::TextThree => {
            out.put_slice(&[b'0' | digit(100), b'0' | digit(10), b'0' | digit(1)]);
        }
        Prefix::PackedTwo => out.put_u8((digit(10) << 4) | digit(1)),
        Prefix::PackedThree => out.put_slice(&[digit(100), (digit(10) << 4) | digit(1)]),
        Prefix::Fixed => {}
        Prefix::TextOne
        | Prefix::TextFour
        | Prefix::PackedFour
        | Prefix::EbcdicOne
        | Prefix::EbcdicTwo
        | Prefix::EbcdicThree
        | Prefix::EbcdicFour
        | Prefix::BinaryOne
        | Prefix::BinaryTwo => put_seldom_prefix(prefix, units, out),
    }
}

/// Prefixes that few networks have.
#[cold]
#[inline(never)]
fn put_seldom_prefix(prefix: Prefix, units: u16, out: &mut impl BufMut) {
    let [high, low] = units.to_be_bytes();
    let digit = |divisor: u16| low_byte(units.checked_div(divisor).unwrap_or(0) % 10);
    let digits = [digit(1_000), digit(100), digit(10), digit(1)];
    let [a, b, c, d] = digits;
    let zone = if matches!(prefix, Prefix::TextOne | Prefix::TextFour) {
        b'0'
    } else {
        0xF0
    };
    let characters = digits.map(|digit| zone | digit);
    match prefix {
        Prefix::PackedFour => out.put_slice(&[(a << 4) | b, (c << 4) | d]),
        Prefix::BinaryOne => out.put_u8(low),
        Prefix::BinaryTwo => out.put_slice(&[high, low]),
        Prefix::TextOne
        | Prefix::TextFour
        | Prefix::EbcdicOne
        | Prefix::EbcdicTwo
        | Prefix::EbcdicThree
        | Prefix::EbcdicFour => {
            let from = characters.len().saturating_sub(prefix.bytes().into());
            out.put_slice(characters.get(from..).unwrap_or_default());
        }
        Prefix::Fixed
        | Prefix::TextTwo
        | Prefix::TextThree
        | Prefix::PackedTwo
        | Prefix::PackedThree => {}
    }
}

const fn low_byte(value: u16) -> u8 {
    let [_, low] = value.to_be_bytes();
    low
}

/// The byte that two hexadecimal digits make; other characters count as zeros.
pub(super) const fn byte([high, low]: [u8; 2]) -> u8 {
    (unhex(high) << 4) | unhex(low)
}

const fn unhex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit & 0x0F,
        // A letter's low bits count from 1: at most 6 + 9.
        b'A'..=b'F' | b'a'..=b'f' => (digit & 0x0F).wrapping_add(9),
        _ => 0,
    }
}

/// The upper-case hexadecimal digit of a nibble.
pub(super) const fn hex(nibble: u8) -> u8 {
    match nibble & 0x0F {
        digit @ 0..=9 => b'0' | digit,
        // At most 15 - 10 + 'A'.
        letter => letter.wrapping_sub(10).wrapping_add(b'A'),
    }
}

/// A field's bytes with each character behind its length prefix translated.
pub(super) fn translated(spec: &FieldSpec, element: &[u8], to: fn(u8) -> u8) -> Vec<u8> {
    let prefix = usize::from(spec.prefix.bytes());
    let bytes = element.iter().copied().enumerate();
    bytes
        .map(|(at, byte)| if at < prefix { byte } else { to(byte) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, prefix: Prefix, pad: Pad, max: u16, value_: &[u8], wire: &[u8]) {
        let spec = FieldSpec::new(kind, prefix, pad, max);
        let mut out = Vec::new();
        put(&spec, value_, &mut out).unwrap();
        assert_eq!(out, wire, "{kind:?} {prefix:?} {pad:?}");
        let content = &wire[usize::from(prefix.bytes())..];
        let factor = if kind.is_hex() { 2 } else { 1 };
        let units = u16::try_from(value_.len().saturating_mul(factor)).unwrap();
        assert_eq!(&*value(&spec, units, content), value_, "{kind:?}");
    }

    #[test]
    fn values_are_written_in_every_form_and_read_back() {
        use {Kind as K, Pad as P, Prefix as L};
        check(
            K::PackedDigits,
            L::PackedTwo,
            P::Right,
            19,
            b"123",
            &[0x03, 0x12, 0x30],
        );
        check(
            K::PackedDigits,
            L::PackedThree,
            P::Left,
            19,
            b"123",
            &[0, 0x03, 0x01, 0x23],
        );
        check(
            K::PackedTrack,
            L::BinaryOne,
            P::Right,
            37,
            b"12=3",
            &[4, 0x12, 0xD3],
        );
        check(
            K::EbcdicDigits,
            L::EbcdicTwo,
            P::Right,
            9,
            b"19",
            &[0xF0, 0xF2, 0xF1, 0xF9],
        );
        check(
            K::EbcdicText,
            L::EbcdicThree,
            P::Right,
            99,
            b"A ",
            &[0xF0, 0xF0, 0xF2, 0xC1, 0x40],
        );
        check(
            K::EbcdicHex,
            L::TextOne,
            P::Right,
            8,
            &[0xAF],
            &[b'2', 0xC1, 0xC6],
        );
        check(
            K::Hex,
            L::PackedFour,
            P::Right,
            9_998,
            &[0x1F],
            &[0, 0x02, b'1', b'F'],
        );
        check(
            K::Bytes,
            L::BinaryTwo,
            P::Right,
            999,
            &[1, 2],
            &[0, 2, 1, 2],
        );
        check(K::Text, L::TextFour, P::Right, 999, b"x", b"0001x");
        check(
            K::EbcdicTrack,
            L::EbcdicOne,
            P::Right,
            9,
            b"1=2",
            &[0xF3, 0xF1, 0x7E, 0xF2],
        );
        check(
            K::Alphanumeric,
            L::EbcdicFour,
            P::Right,
            9,
            b"x",
            &[0xF0, 0xF0, 0xF0, 0xF1, b'x'],
        );
    }

    #[test]
    fn short_values_are_filled_where_the_length_is_fixed() {
        let written = |kind, pad, max, value: &[u8]| {
            let mut out = Vec::new();
            put(
                &FieldSpec::new(kind, Prefix::Fixed, pad, max),
                value,
                &mut out,
            )
            .map(|()| out)
        };
        assert_eq!(
            written(Kind::PackedDigits, Pad::Left, 5, b"7").unwrap(),
            [0, 0, 7]
        );
        assert_eq!(
            written(Kind::PackedDigits, Pad::Right, 5, b"7").unwrap(),
            [0, 0, 0x70]
        );
        assert_eq!(
            written(Kind::EbcdicDigits, Pad::Right, 3, b"7").unwrap(),
            [0xF0, 0xF0, 0xF7]
        );
        assert_eq!(
            written(Kind::EbcdicText, Pad::Right, 3, b"A").unwrap(),
            [0xC1, 0x40, 0x40]
        );
        assert_eq!(
            written(Kind::Bytes, Pad::Right, 3, b"A"),
            Err(Misfit::Length)
        );
        assert_eq!(
            written(Kind::Digits, Pad::Right, 3, b"1234"),
            Err(Misfit::Length)
        );
        assert_eq!(
            written(Kind::Digits, Pad::Right, 3, b"x"),
            Err(Misfit::Character)
        );
    }

    #[test]
    fn parts_without_a_length_of_their_own_lose_their_padding() {
        let spec = |pad| FieldSpec::new(Kind::PackedDigits, Prefix::Fixed, pad, 0);
        let written = |pad, value: &[u8]| {
            let mut out = Vec::new();
            put_open(&spec(pad), value, &mut out).unwrap();
            out
        };
        assert_eq!(written(Pad::Right, b"123"), [0x12, 0x3F]);
        assert_eq!(written(Pad::Left, b"123"), [0x01, 0x23]);
        assert_eq!(&*open_value(&spec(Pad::Right), &[0x12, 0x3F]), b"123");
        assert_eq!(&*open_value(&spec(Pad::Left), &[0x01, 0x23]), b"0123");
    }
}
