//! What `posgate message decode` shows of damaged messages: no digits from the middle of a card number, nothing behind
//! a track's service code, no PIN block. The damage is drawn from a seed, and each bit of the bitmap and each length
//! is wrong once.

use std::fmt::Write as _;

use ::bytes::BytesMut;
use posgate::inspect::{self, Content, Element, Guess, Reveal, guesses};
use posgate::iso8583::{Dialect, FieldType, Index, Mti};

use crate::messages::{reading, samples, shipped};

const PAN: &str = "6217009182736451825";
/// Behind expiry date and service code.
const DISCRETIONARY: &str = "1237594862";
const PIN: &str = "9E3B7AC5D8F16247";
/// Digits in a row that give something away: of a card number the first six and the last four may be seen.
const TELLING: usize = 5;

/// A sale of the dialect with that card, with its length prefix.
fn sale(dialect: &Dialect) -> Vec<u8> {
    sale_with(dialect, PIN)
}

/// The same with this PIN block.
pub(crate) fn sale_with(dialect: &Dialect, pin: &str) -> Vec<u8> {
    let (_, sample) = samples(dialect.name(), true)
        .into_iter()
        .find(|(file, _)| {
            let name = file.file_stem().unwrap().to_str().unwrap();
            ["sale", "sale-pin", "authorisation"].contains(&name)
        })
        .unwrap();
    let mut index = Index::new();
    let message = dialect
        .decode(&sample[dialect.framing().prefix_bytes()..], &mut index)
        .unwrap();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_raw(message.envelope());
    writer.mti(message.mti());
    let roles = dialect.roles();
    for de in 2..=128 {
        let track = format!("{PAN}=3012201{DISCRETIONARY}");
        match de {
            _ if de == roles.pan => writer.text(de, PAN.as_bytes()),
            _ if de == roles.track2 => writer.field(de, &track.as_bytes()[..37]),
            _ if de == roles.pin => {
                let pin = inspect::bytes::hex(pin).unwrap();
                writer.field(de, &pin);
            }
            _ if message.has(de) && message.content_fields().contains(de) => {
                writer.copy(&message, de);
            }
            _ => {}
        }
    }
    writer.finish().unwrap();
    out.to_vec()
}

/// All that is shown of these bytes, window and values, without blanks; hidden characters part what is not.
fn shown(guess: &Guess) -> String {
    let mut out = String::new();
    let fault = inspect::explain(guess, Reveal::Masked)
        .or_else(|| inspect::explain_parts(guess, Reveal::Masked));
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    let mut description = message.map(|message| inspect::describe(&message));
    if let Some(description) = &mut description {
        description.hide_contested(guess);
    }
    if let Some(fault) = &fault {
        if let Some(description) = &mut description {
            description.hide(&fault.doubtful);
        }
        for line in &fault.window {
            let hex = line.get(8..56).unwrap_or_default().replace(' ', "");
            if hex.starts_with(|c: char| c.is_ascii_hexdigit() || c == '*') {
                out.push_str(&hex);
            }
        }
        writeln!(out, "|{}", fault.what).unwrap();
        for cause in &fault.causes {
            writeln!(out, "|{}", cause.text).unwrap();
        }
    }
    if let Some(description) = &description {
        let envelope = description.envelope(Reveal::Masked);
        writeln!(out, "|{}|{}", envelope.tpdu, envelope.header).unwrap();
        // Values one behind the other: a number may be cut by the border of two fields.
        for field in &description.fields {
            value(field, &mut out);
        }
        out.push('|');
        for part in description.fields.iter().flat_map(|field| &field.parts) {
            value(part, &mut out);
        }
    }
    out
}

fn value(element: &Element, out: &mut String) {
    let text = element.text(Reveal::Masked);
    match element.content {
        Content::Bytes(_) | Content::Digits(_) | Content::Text(_) => out.push_str(text.trim()),
    }
}

/// What must not be seen: pieces of the secrets, as digits and as ASCII and EBCDIC digits in hexadecimal.
fn secrets() -> Vec<String> {
    secrets_with(PIN)
}

/// The same with this PIN block.
pub(crate) fn secrets_with(pin: &str) -> Vec<String> {
    let middle = &PAN.as_bytes()[6..PAN.len() - 4];
    let mut pieces = Vec::new();
    for secret in [middle, DISCRETIONARY.as_bytes()] {
        for piece in secret.windows(TELLING) {
            let spread = |high: char| {
                piece
                    .iter()
                    .flat_map(move |digit| [high, char::from(*digit)])
            };
            pieces.push(String::from_utf8(piece.to_vec()).unwrap());
            pieces.push(spread('3').collect());
            pieces.push(spread('F').collect());
        }
    }
    for piece in pin.as_bytes().windows(6).step_by(2) {
        pieces.push(String::from_utf8(piece.to_vec()).unwrap());
        pieces.push(inspect::bytes::to_hex(piece));
    }
    pieces
}

pub(crate) fn check(
    bytes: &[u8],
    dialects: &[std::sync::Arc<Dialect>],
    what: &str,
    secrets: &[String],
) {
    let mut all = guesses(&[reading(bytes)], dialects, None);
    inspect::reconsider(&mut all);
    let guess = &all[0];
    let shown = shown(guess);
    for secret in secrets {
        let hex = inspect::bytes::to_hex(bytes);
        assert!(
            !shown.contains(secret),
            "{what}: {secret} of {hex} as {guess:?} in\n{shown}"
        );
    }
}

#[test]
fn a_message_that_is_wrong_in_one_place_shows_no_secret() {
    let secrets = secrets();
    for dialect in shipped() {
        let sale = sale(&dialect);
        let one = std::slice::from_ref(&dialect);
        check(&sale, one, "sound", &secrets);
        // Who writes it in EBCDIC has the tests of chance.
        let Some((at, width, binary)) = dialect.bitmap_place() else {
            continue;
        };
        let at = at + dialect.framing().prefix_bytes();
        for bit in 0..width * if binary { 8 } else { 4 } {
            let mut damaged = sale.clone();
            let (byte, mask) = if binary {
                (bit / 8, 0x80 >> (bit % 8))
            } else {
                (bit / 4, 8 >> (bit % 4))
            };
            if binary {
                damaged[at + byte] ^= mask;
            } else {
                let digit = char::from(damaged[at + byte]).to_digit(16).unwrap() ^ u32::from(mask);
                damaged[at + byte] =
                    char::from_digit(digit, 16).unwrap().to_ascii_uppercase() as u8;
            }
            check(&damaged, one, &format!("bit {bit}"), &secrets);
        }
    }
}

#[test]
fn a_window_hides_what_a_field_for_everybody_holds() {
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0200").unwrap());
    // DE59 is open, and its A3 is a customer's code: the length of A3 is one too many.
    writer.text(59, b"A3019284712345678901234");
    writer.finish().unwrap();
    let guess = guesses(&[reading(&out)], std::slice::from_ref(&dialect), None).remove(0);
    let fault = inspect::explain_parts(&guess, Reveal::Masked).unwrap();
    let window = fault.window.join("\n");
    for piece in ["34 37 31 32 33 34", "471234567890"] {
        assert!(!window.contains(piece), "{window}");
    }
    assert!(!shown(&guess).contains("284712"), "{}", shown(&guess));
}

#[test]
fn damage_of_any_kind_shows_no_secret() {
    let (secrets, dialects) = (secrets(), shipped());
    let sales: Vec<_> = dialects.iter().map(|dialect| sale(dialect)).collect();
    let cases = std::env::var("POSGATE_DAMAGES").map_or(50, |count| count.parse().unwrap());
    for seed in 0..cases {
        let mut random = fastrand::Rng::with_seed(seed);
        let which = random.usize(..dialects.len());
        let mut bytes = sales[which].clone();
        for _ in 0..random.usize(1..=2) {
            let at = random.usize(..bytes.len());
            match random.u8(..8) {
                0 => bytes[at] ^= 1 << random.u8(..8),
                1 => drop(bytes.drain(at..(at + random.usize(1..5)).min(bytes.len()))),
                2 => bytes.insert(at, random.u8(..)),
                3 => bytes.truncate(at.max(20)),
                4 => bytes[at] = random.u8(..),
                5 => drop(bytes.drain(..random.usize(1..15).min(bytes.len() - 1))),
                6 => bytes[at.min(40)] = b"0123456789 =D"[random.usize(..13)],
                _ => bytes.extend((0..random.usize(1..7)).map(|_| random.u8(..))),
            }
            if bytes.len() < 8 {
                break;
            }
        }
        let known = if random.bool() {
            &dialects[which..=which]
        } else {
            &dialects[..]
        };
        check(
            &bytes,
            known,
            &format!("{} damaged by seed {seed}", dialects[which].name()),
            &secrets,
        );
    }
}

/// A message of the dialect with these fields, with its length prefix.
fn with_fields(name: &str, mti: &str, fields: &[(u8, &str)]) -> Vec<u8> {
    let dialect = Dialect::shipped(name).unwrap();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse(mti).unwrap());
    for (de, value) in fields {
        match dialect.field(*de).unwrap().kind {
            FieldType::Binary => writer.field(*de, &inspect::bytes::hex(value).unwrap()),
            _ => writer.field(*de, value.as_bytes()),
        }
    }
    writer.finish().unwrap();
    out.to_vec()
}

/// A reversal in another dialect with bytes in front, which reads as a whole sign-on of the Visa style with something
/// behind it: the card number lies across fields that are for everybody.
#[test]
fn a_card_number_across_fields_of_a_message_that_has_none_is_not_shown() {
    let strange = "2DBEE6999027EBF963E3FBB100A40420F23E049108C20800000400400000000116476134000000001900300000000001\
                   234511220715300001251815001122301211230051004400000050065600013633323630373030303132335445524D30\
                   3030314D45524348414E5430303030303031002554434330303230374643523030314E50434130303432303030000000\
                   00000000010200000123112207150000000560001000000000000102030400000000";
    let bytes = inspect::bytes::hex(strange).unwrap();
    let guess = &guesses(&[reading(&bytes)], &shipped(), None)[0];
    assert_eq!(guess.dialect.name(), "visa-base-i-style");
    let shown = shown(guess);
    for piece in ["1647", "476134", "61340", "1900"] {
        assert!(!shown.contains(piece), "{piece}: {shown}");
    }
}

/// What is shown of bytes that are known to be in a dialect.
fn shown_in(name: &str, bytes: &[u8]) -> String {
    let dialect = Dialect::shipped(name).unwrap();
    let found = guesses(&[reading(bytes)], &[dialect], None);
    shown(&found[0])
}

#[test]
fn parts_of_what_is_secret_stay_secret_when_they_are_unknown_or_broken() {
    let card = [
        (2, "5412751234567890"),
        (3, "000000"),
        (4, "000000000100"),
        (7, "1122101500"),
        (11, "000001"),
        (32, "123456"),
        (41, "TERM0001"),
    ];
    // A sub-element that is known to be a card verification code, one that is not known, and one whose length is wrong.
    for (de48, secrets) in [
        ("R9203777", &["9203777"][..]),
        (
            "R33240101C02165412751234567890030430129203777",
            &["41275123", "3777"],
        ),
        (
            "R33240101C021654127512345678900304301292031239903777",
            &["41275123", "9903777"],
        ),
    ] {
        let fields: Vec<_> = card.into_iter().chain([(48, de48)]).collect();
        let text = shown_in(
            "mastercard-style",
            &with_fields("mastercard-style", "0100", &fields),
        );
        assert!(text.contains("541275"), "{text}");
        for secret in secrets {
            let hex = inspect::bytes::to_hex(secret.as_bytes());
            assert!(
                !text.contains(secret) && !text.contains(&hex),
                "{secret} of {de48}:\n{text}"
            );
        }
    }
}

#[test]
fn an_explanation_that_takes_a_pin_block_for_another_size_shows_nothing_in_front_of_it() {
    let mut sale = with_fields(
        "iso8583-2003-ascii",
        "2200",
        &[
            (2, "4716908273645185"),
            (3, "000000"),
            (4, "1562000000012345"),
            (11, "000000000123"),
            (12, "20261122181500"),
            (24, "200"),
            (41, "TERM0001        "),
            (42, "MERCHANT0000001"),
            (52, PIN),
        ],
    );
    let length = sale.windows(3).position(|at| at == b"15M").unwrap();
    sale[length..length + 2].copy_from_slice(b"23");
    let text = shown_in("iso8583-2003-ascii", &sale);
    assert!(text.contains("471690"), "{text}");
    let (first, second) = PIN.split_at(8);
    for shown in [first, second] {
        assert!(!text.contains(shown), "{shown}: {text}");
        let hex = inspect::bytes::to_hex(shown.as_bytes());
        assert!(!text.contains(&hex), "{shown}: {text}");
    }
}

#[test]
fn an_envelope_as_usual_is_shown_whatever_its_digits_look_like() {
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    for (tpdu, header) in [
        ("6000070000", "603100311108"),
        ("6000060012", "603100310000"),
        ("6001230000", "603100310000"),
    ] {
        let mut sale = sale(&dialect);
        let envelope = inspect::bytes::hex(&format!("{tpdu}{header}")).unwrap();
        sale[2..13].copy_from_slice(&envelope);
        let found = guesses(&[reading(&sale)], std::slice::from_ref(&dialect), None);
        let mut index = Index::new();
        let message = found[0]
            .dialect
            .decode(&found[0].frame, &mut index)
            .unwrap();
        let shown = inspect::describe(&message).envelope(Reveal::Masked);
        assert_eq!((shown.tpdu.as_str(), shown.header.as_str()), (tpdu, header));
    }
    // A header without a TPDU, digits of which look like a card number.
    let dialect = Dialect::shipped("visa-base-i-style").unwrap();
    let (_, cut_off) = samples(dialect.name(), false)
        .into_iter()
        .find(|(file, _)| file.ends_with("broken-cut-off.hex"))
        .unwrap();
    let mut index = Index::new();
    let (message, _) = dialect.decode_partial(&cut_off[2..], &mut index);
    let shown = inspect::describe(&message.unwrap()).envelope(Reveal::Masked);
    assert_eq!(shown.header, "16010201280000000000000000000000000000000000");
}

#[test]
fn what_is_hidden_as_a_whole_is_not_spelled_out_by_its_parts() {
    const SALE: [(u8, &str); 5] = [
        (2, "4716908273645185"),
        (3, "000000"),
        (11, "000123"),
        (22, "022"),
        (41, "T0000001"),
    ];
    let chip = |value: &str| inspect::bytes::to_hex(&inspect::bytes::hex(value).unwrap());
    let short = chip("5A0647169082736451859F36020001");
    let pin = format!("CUP{PIN}{PIN}");
    // The last six digits of the card as DE59 has them; a card number in the place of an original; a length that makes
    // middle digits the last of a card number; a PIN block and a printed code where anybody may look.
    let cases: [(u8, &str, &[&str]); 5] = [
        (59, "A201503006645185", &["645185"]),
        (61, "4716908273645185", &["827364"]),
        (55, &short, &["7364"]),
        (63, &pin, &[PIN]),
        (63, "CUPCVV2: 739", &["739"]),
    ];
    for (de, value, secrets) in cases {
        let mut fields: Vec<_> = SALE.into_iter().chain([(de, value)]).collect();
        fields.sort_by_key(|(de, _)| *de);
        let text = shown_in(
            "unionpay-pos",
            &with_fields("unionpay-pos", "0200", &fields),
        );
        assert!(text.contains("471690"), "{text}");
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} of DE{de}:\n{text}");
        }
    }
}
