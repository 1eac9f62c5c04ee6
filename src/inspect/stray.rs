//! What looks like a card number where no field says so: in headers that are none, around a break, behind a message.

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

/// Which hexadecimal digits of these bytes may belong to a card number: packed, in ASCII or in EBCDIC.
pub(super) fn card_digits(bytes: &[u8]) -> Vec<bool> {
    let mut hidden = mark(to_hex(bytes).as_bytes());
    let ascii = mark(bytes);
    let ebcdic: Vec<u8> = bytes
        .iter()
        .map(|byte| match byte {
            0xF0..=0xF9 => byte & 0x0F | b'0',
            _ => 0,
        })
        .collect();
    for (both, card) in hidden.chunks_mut(2).zip(ascii.iter().zip(mark(&ebcdic))) {
        if *card.0 || card.1 {
            both.fill(true);
        }
    }
    hidden
}

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
    matches!(digits, [b'2'..=b'6', ..] | [b'8', b'1', ..]) && looks_issued(digits)
}

/// Digits with the right check digit that are no filling.
fn looks_issued(digits: &[u8]) -> bool {
    let different = || (b'0'..=b'9').filter(|digit| digits.contains(digit)).count();
    digits.iter().all(u8::is_ascii_digit) && different() >= DIFFERENT_DIGITS_MIN && luhn(digits)
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
        if !matches!(between, [b' ' | b'-']) {
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
            behind_zeros || stands_behind_its_length(number) || stands_before_zeros(number)
        })
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
    issuer && looks_issued(digits)
}

/// Digits of a card number, a separator, and at least the expiry date.
fn holds_track(text: &[u8]) -> bool {
    let separators = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| matches!(byte, b'=' | b'D'));
    separators.into_iter().any(|(at, _)| {
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, &[]));
        let digits = |run: &mut dyn Iterator<Item = &u8>| {
            run.take_while(|byte| byte.is_ascii_digit()).count()
        };
        let number = digits(&mut before.iter().rev());
        let expiry = digits(&mut behind.iter().skip(1));
        number >= TRACK_DIGITS_MIN && expiry >= EXPIRY_DIGITS
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
    if !length_agrees(message) {
        let (tpdu, _) = framing.parts_of(envelope);
        let from = tpdu.len().saturating_mul(2);
        if let Some(header) = hidden.get_mut(from..) {
            header.fill(true);
        }
    }
    hidden
}

/// Whether the header says how long header and message are, where it says that at all.
pub(super) fn length_agrees(message: &Message<'_>) -> bool {
    let framing = message.dialect().framing();
    let Some(place) = &framing.header_length else {
        return true;
    };
    let (tpdu, header) = framing.parts_of(message.envelope());
    let said = header.get(place.clone()).map(|bytes| {
        bytes
            .iter()
            .fold(0_usize, |said, byte| (said << 8) | usize::from(*byte))
    });
    said == Some(message.frame().len().saturating_sub(tpdu.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_or_track_in_an_open_value_is_seen() {
        for card in [
            "4716908273645185",
            "2223003122003222",
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
            "4716  9082  7364  5185",
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
