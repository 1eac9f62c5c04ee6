//! What looks like a card number where no field says so: in headers that are none, around a break, behind a message.

use std::cmp::Ordering;

use crate::base::card::luhn;
use crate::iso8583::Message;

use super::bytes::to_hex;
use super::find::begins_as_usual;

/// Fewest bytes that hold a card number.
pub(super) const CARD_BYTES_MIN: usize = 7;
/// Digits of a card number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// A number with fewer different digits is filling rather than a card's.
const DIFFERENT_DIGITS_MIN: usize = 4;
/// The same among digits that may be anything, as those of a header.
const DIFFERENT_ANYWHERE_MIN: usize = 5;

/// Which hexadecimal digits of these bytes may belong to a card number: packed, in ASCII or in EBCDIC.
pub(super) fn card_digits(bytes: &[u8]) -> Vec<bool> {
    let mut hidden = mark(to_hex(bytes).as_bytes());
    let ascii = mark(bytes);
    let ebcdic = from_ebcdic(bytes);
    for (both, card) in hidden.chunks_mut(2).zip(ascii.iter().zip(mark(&ebcdic))) {
        if *card.0 || card.1 {
            both.fill(true);
        }
    }
    hidden
}

/// EBCDIC digits as ASCII; zero bytes for whatever else.
pub(super) fn from_ebcdic(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| match byte {
        0xF0..=0xF9 => byte & 0x0F | b'0',
        _ => 0,
    };
    bytes.iter().map(digit).collect()
}

/// The bytes that a text of hexadecimal digits writes; nothing of any other text.
pub(super) fn from_hex(text: &[u8]) -> Vec<u8> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || !text.iter().all(u8::is_ascii_hexdigit) {
        return Vec::new();
    }
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
    pairs.iter().filter_map(byte).collect()
}

/// Whether a text holds what looks like PIN blocks or keys: 16 hexadecimal digits or more that stand together, in
/// capitals or in small letters, letters and digits among them; or groups of four of them.
pub(super) fn holds_block(text: &[u8]) -> bool {
    holds_block_together(text)
        || in_groups_of_four(text).is_some_and(|all| holds_block_together(&all))
}

/// The digits of a text that has groups of four with a blank or a mark between each two, and nothing else.
fn in_groups_of_four(text: &[u8]) -> Option<Vec<u8>> {
    let groups: Vec<_> = text
        .trim_ascii()
        .split(|byte| matches!(byte, b' ' | b'-' | b':'))
        .collect();
    let whole = groups.iter().all(|group| group.len() == 4);
    (whole && groups.len() > 1).then(|| groups.concat())
}

fn holds_block_together(text: &[u8]) -> bool {
    let blocks = |digit: fn(&u8) -> bool, letter: fn(&u8) -> bool| {
        text.chunk_by(|left, right| digit(left) == digit(right))
            .any(|run| {
                run.len() >= BLOCK_DIGITS_MIN
                    && run.iter().all(digit)
                    && run.iter().any(letter)
                    && run.iter().any(u8::is_ascii_digit)
            })
    };
    blocks(
        |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'),
        u8::is_ascii_uppercase,
    ) || blocks(
        |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        u8::is_ascii_lowercase,
    )
}

/// Digits of a PIN block, and of a short key.
const BLOCK_DIGITS_MIN: usize = 16;

/// Words before the code that is printed on a card, and before a PIN.
const CODES: [&[u8; 3]; 6] = [b"CVV", b"CVC", b"CVN", b"CSC", b"CID", b"PIN"];

/// Whether a text names a card's code or a PIN, as a word of its own, with three digits or more soon behind it.
pub(super) fn holds_code(text: &[u8]) -> bool {
    let is_code = |word: &[u8]| CODES.iter().any(|code| code.eq_ignore_ascii_case(word));
    text.windows(3).enumerate().any(|(at, word)| {
        let (before, behind) = text.split_at_checked(at).unwrap_or_default();
        let behind = behind.get(3..).unwrap_or_default();
        // `CVV2: 739`: the 2 belongs to the word.
        let gap = behind
            .iter()
            .take(CODE_GAP_MAX)
            .take_while(|byte| !byte.is_ascii_alphabetic());
        is_code(word)
            && !before.last().is_some_and(u8::is_ascii_alphabetic)
            && (0..=gap.count()).any(|gap| {
                let digits = behind.iter().skip(gap).take(3);
                digits.filter(|byte| byte.is_ascii_digit()).count() == 3
            })
    })
}

/// Most characters between the word and the code.
const CODE_GAP_MAX: usize = 4;

/// Which characters of a text belong to a run of digits that may be a card number.
fn mark(text: &[u8]) -> Vec<bool> {
    let mut marked = vec![false; text.len()];
    for length in CARD_DIGITS {
        for (at, digits) in text.windows(length).enumerate() {
            if is_card(digits) {
                let end = at.saturating_add(length);
                if let Some(run) = marked.get_mut(at..end) {
                    run.fill(true);
                }
            }
        }
    }
    marked
}

fn is_card(digits: &[u8]) -> bool {
    // Industries that issue cards.
    matches!(digits, [b'2'..=b'6', ..] | [b'8', b'1', ..])
        && looks_issued(digits, DIFFERENT_ANYWHERE_MIN)
}

/// Digits with the right check digit that are no filling.
fn looks_issued(digits: &[u8], least: usize) -> bool {
    let different = || (b'0'..=b'9').filter(|digit| digits.contains(digit)).count();
    digits.iter().all(u8::is_ascii_digit) && different() >= least && luhn(digits)
}

/// Whether a value that anybody may see is or holds a card number or a track: a run of digits that is one, also in
/// groups, or digits before a track's separator.
pub(super) fn holds_card(text: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    // Groups of digits, and what stands before each of them.
    let mut groups: Vec<&[u8]> = Vec::new();
    let mut between: &[u8] = &[];
    for run in text.chunk_by(|left, right| digit(left) == digit(right)) {
        if !run.first().is_some_and(digit) {
            between = run;
            continue;
        }
        if !is_gap(between) {
            groups.clear();
        }
        groups.push(run);
        if ends_in_card(&groups) {
            return true;
        }
    }
    holds_track(text)
}

/// Whether the last of the groups, or some whole ones together that end with it, are a card number.
fn ends_in_card(groups: &[&[u8]]) -> bool {
    let mut number: Vec<u8> = Vec::new();
    for (before, group) in groups.iter().rev().enumerate() {
        if number.len().saturating_add(group.len()) > *CARD_DIGITS.end() {
            return false;
        }
        // A group of a card number has some digits; a single one is something else.
        if before > 0 && group.len() < GROUP_DIGITS_MIN {
            return false;
        }
        number = [group, number.as_slice()].concat();
        if CARD_DIGITS.contains(&number.len()) && is_issued(&number) {
            return true;
        }
    }
    false
}

/// Whether these characters may stand between the groups of a card number.
fn is_gap(between: &[u8]) -> bool {
    let mark = |byte: &u8| *byte == b' ' || byte.is_ascii_punctuation();
    matches!(between.len(), 1..=3) && between.iter().all(mark)
}

/// Fewest digits of a group of a card number that is written in groups.
const GROUP_DIGITS_MIN: usize = 3;

/// Whether a value holds a card number that is filled up to its field with zeros, or stands behind its length.
pub(super) fn holds_filled_card(text: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    text.chunk_by(|left, right| digit(left) == digit(right))
        .any(|run| {
            let zeros = run.iter().take_while(|digit| **digit == b'0').count();
            let number = run.get(zeros..).unwrap_or_default();
            let behind_zeros =
                zeros > 0 && CARD_DIGITS.contains(&number.len()) && is_issued(number);
            behind_zeros
                || stands_behind_its_length(number)
                || stands_before_zeros(number)
                || stands_before_its_expiry(number)
        })
}

/// Whether a value holds a card number behind its length of two or three digits.
pub(super) fn holds_card_behind_its_length(text: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    text.chunk_by(|left, right| digit(left) == digit(right))
        .any(|run| {
            let zeros = run.iter().take_while(|digit| **digit == b'0').count();
            stands_behind_its_length(run.get(zeros..).unwrap_or_default())
        })
}

/// Year and month in one run with the number, as in `47169082736451853012`.
fn stands_before_its_expiry(number: &[u8]) -> bool {
    let Some((digits, [_, _, tens, ones])) = number.split_last_chunk::<4>() else {
        return false;
    };
    let month = matches!((tens, ones), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'));
    month && CARD_DIGITS.contains(&digits.len()) && is_issued(digits)
}

fn stands_behind_its_length(number: &[u8]) -> bool {
    CARD_DIGITS.into_iter().any(|length| {
        let digits = number.strip_prefix(length.to_string().as_bytes());
        let digits = digits.and_then(|digits| digits.get(..length));
        digits.is_some_and(is_issued)
    })
}

fn stands_before_zeros(number: &[u8]) -> bool {
    number.len() > *CARD_DIGITS.end()
        && CARD_DIGITS.into_iter().any(|length| {
            let (digits, filling) = number.split_at_checked(length).unwrap_or_default();
            filling.iter().all(|digit| *digit == b'0') && is_issued(digits)
        })
}

/// Whether a number of card length begins as those of card issuers do: 3 to 6, Mastercard's 2221 to 2720, UnionPay's 81.
fn is_issued(digits: &[u8]) -> bool {
    let issuer = match digits {
        [b'3'..=b'6', ..] => true,
        [b'2', ..] => {
            digits.len() == 16
                && (b"2221"..=b"2720").contains(&digits.first_chunk().unwrap_or(&[0; 4]))
        }
        [b'8', b'1', ..] => digits.len() >= 16,
        _ => false,
    };
    issuer && looks_issued(digits, DIFFERENT_DIGITS_MIN)
}

/// Digits of a card number, a separator, and at least the expiry date.
fn holds_track(text: &[u8]) -> bool {
    let separators = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| matches!(byte, b'=' | b'D' | b'^'));
    separators.into_iter().any(|(at, byte)| {
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, &[]));
        let digits = |run: &mut dyn Iterator<Item = &u8>| {
            run.take_while(|byte| byte.is_ascii_digit()).count()
        };
        let number = digits(&mut before.iter().rev());
        let expiry = digits(&mut behind.iter().skip(1));
        // Behind the number of track 1 stands the name.
        number >= TRACK_DIGITS_MIN && (*byte == b'^' || expiry >= EXPIRY_DIGITS)
    })
}

/// Fewest digits of a card number in a track.
const TRACK_DIGITS_MIN: usize = 12;
/// Digits of its expiry date.
const EXPIRY_DIGITS: usize = 4;

/// The last field that says by itself that it stands where it should: a card number with its check digit, or a track
/// with one. `None` when a field that should be one is not, or none is there.
pub(super) fn anchor(message: &Message<'_>) -> Option<u8> {
    let roles = message.dialect().roles();
    let mut last = None;
    if let Some(pan) = message.value(roles.pan) {
        if !(CARD_DIGITS.contains(&pan.len()) && luhn(&pan)) {
            return None;
        }
        last = Some(roles.pan);
    }
    if let Some(track) = message.value(roles.track2) {
        let separator = track.iter().position(|byte| matches!(byte, b'=' | b'D'));
        let number = separator.and_then(|at| track.get(..at))?;
        if !(CARD_DIGITS.contains(&number.len()) && luhn(number)) {
            return None;
        }
        last = last.max(Some(roles.track2));
    }
    last
}

/// Which hexadecimal digits of TPDU and header nobody may see: what looks like a card number where they do not begin as
/// the dialect's do, and all of a header that says another length than the message has.
///
/// Of so many digits that stand together some look like a card number most times.
pub(super) fn envelope_digits(message: &Message<'_>) -> Vec<bool> {
    let framing = message.dialect().framing();
    let envelope = message.envelope();
    let mut hidden = if begins_as_usual(message) {
        vec![false; envelope.len().saturating_mul(2)]
    } else {
        card_digits(envelope)
    };
    if told_length(message) != ToldLength::Right {
        let (tpdu, _) = framing.parts_of(envelope);
        let from = tpdu.len().saturating_mul(2);
        if let Some(header) = hidden.get_mut(from..) {
            header.fill(true);
        }
    }
    hidden
}

/// What a header says of how long header and message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldLength {
    /// That, or nothing at all.
    Right,
    /// Fewer bytes than there are.
    Less,
    /// More than there are: it may be cut off.
    More,
}

/// See [`ToldLength`].
pub(super) fn told_length(message: &Message<'_>) -> ToldLength {
    let framing = message.dialect().framing();
    let Some(told) = framing.header_told(message.envelope()) else {
        return ToldLength::Right;
    };
    match told.cmp(&framing.header_counts(message.frame().len())) {
        Ordering::Equal => ToldLength::Right,
        Ordering::Less => ToldLength::Less,
        Ordering::Greater => ToldLength::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_or_track_in_an_open_value_is_seen() {
        for card in [
            "4716908273645185",
            "2223003122003222",
            "4716  9082  7364  5185",
            "4716.9082/7364_5185",
            "4716 - 9082 - 7364 - 5185",
            "%B4716908273645186^WANG/LI^30122011237594862?",
            "8171999900000018",
            "4716 9082 7364 5185",
            "card 4716-9082-7364-5185 12",
            "card 4716908273645185.",
            ";4716908273645185=30122011237594862?",
            "123456789012D3012",
        ] {
            assert!(holds_card(card.as_bytes()), "{card}");
        }
        for other in [
            "4716908273645186",
            "8613800138000",
            "4716    9082    7364    5185",
            "4716 a 9082 b 7364 c 5185",
            "10:15:00.4716 908",
            "2026-11-22 10 15 00",
            "2600000000000000",
            "000000000000000000",
            "20261122101500",
            "0200000123112210150000000000000000000000000",
            "ABCD1234",
        ] {
            assert!(!holds_card(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn other_writings_of_a_card_number_are_read() {
        let ebcdic = b"4716908273645185".map(|digit| digit | 0xF0);
        assert!(holds_card(&from_ebcdic(&ebcdic)));
        assert!(holds_card(&from_hex(b"34373136393038323733363435313835")));
        assert!(from_hex(b"343").is_empty() && from_hex(b"34 5").is_empty());
    }

    #[test]
    fn pin_blocks_and_printed_codes_in_a_text_are_seen() {
        for block in [
            "CUP9E3B7AC5D8F16247",
            "9e3b7ac5d8f162479e3b7ac5d8f16247",
            // A key and its check value.
            "9E3B7AC5D8F162479E3B7AC5D8F16247ABCDEF",
            "9E3B 7AC5 D8F1 6247",
        ] {
            assert!(holds_block(block.as_bytes()), "{block}");
        }
        for other in [
            "9E3B7AC5D8F1624",
            "9E3B 7AC5 D8F1",
            "ABCDEFABCDEFABCD",
            "1234567890123456",
        ] {
            assert!(!holds_block(other.as_bytes()), "{other}");
        }
        for code in [
            "CVV 739",
            "x cvv2=739;",
            "007CVC 739",
            "PIN: 1234",
            "CVN2739",
        ] {
            assert!(holds_code(code.as_bytes()), "{code}");
        }
        for other in [
            "CVV",
            "CVV2 7",
            "PINE STREET 12",
            "SHIPPING TO 123456",
            "SPIN OF 2026-1",
        ] {
            assert!(!holds_code(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_card_number_that_fills_no_field_is_seen() {
        for card in [
            "00004716908273645185",
            "00164716908273645185000000012345",
            "164716908273645185",
            "47169082736451850000000000",
        ] {
            assert!(holds_filled_card(card.as_bytes()), "{card}");
        }
        for other in [
            "0000000000000000000",
            "00004716908273645186",
            "00164716908273645186000000012345",
            "47169082736451850000000001",
            "",
        ] {
            assert!(!holds_filled_card(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_card_number_is_found_in_each_form_and_filling_is_none() {
        let hides = |bytes: &[u8]| card_digits(bytes).iter().filter(|hidden| **hidden).count();
        let packed = [0x62, 0x28, 0x48, 0x04, 0x02, 0x56, 0x48, 0x90, 0x01, 0x8F];
        assert!(hides(&packed) >= 19);
        // Between two bytes too.
        let shifted = [0x06, 0x22, 0x84, 0x80, 0x40, 0x25, 0x64, 0x89, 0x00, 0x18];
        assert!(hides(&shifted) >= 19);
        assert!(hides(b"x6228480402564890018x") >= 38);
        let ebcdic = b"6228480402564890018".map(|digit| digit | 0xF0);
        assert!(hides(&ebcdic) >= 38);
        assert_eq!(hides(&[0; 30]), 0);
        assert_eq!(
            hides(&[
                0x60, 0x00, 0x03, 0x00, 0x00, 0x60, 0x31, 0x00, 0x31, 0x00, 0x00
            ]),
            0
        );
    }
}
