//! `posgate message` and what is behind it: messages found, described, written, compared and explained.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use ::bytes::BytesMut;
use posgate::inspect::bytes::{self, Notation, Reading};
use posgate::inspect::json::{self, MessageJson};
use posgate::inspect::{self, Guess, Language, NEAR, Reveal, guesses};
use posgate::iso8583::{Dialect, Exposure, FieldValue, Index, Mti};
use proptest::prelude::*;
use serde_json::Value;

use crate::codec::sound_message;

pub(crate) fn shipped() -> Vec<Arc<Dialect>> {
    let names = Dialect::shipped_names().iter();
    names.map(|name| Dialect::shipped(name).unwrap()).collect()
}

/// Sample messages of a dialect, by whether they are sound.
pub(crate) fn samples(dialect: &str, sound: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("protocols")
        .join(dialect)
        .join("messages");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let broken = |file: &Path| {
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("broken-")
    };
    files.retain(|file| broken(file) != sound);
    let read = |file: PathBuf| {
        let bytes = bytes::hex(&fs::read_to_string(&file).unwrap()).unwrap();
        (file, bytes)
    };
    files.into_iter().map(read).collect()
}

pub(crate) fn reading(bytes: &[u8]) -> Reading {
    Reading {
        notation: Notation::Hex,
        bytes: bytes.to_vec(),
    }
}

fn best(bytes: &[u8], dialects: &[Arc<Dialect>], framed: Option<bool>) -> Guess {
    guesses(&[reading(bytes)], dialects, framed).remove(0)
}

/// A frame (without length prefix) as JSON with its clear values.
fn as_json(dialect: &Dialect, frame: &[u8], reveal: Reveal) -> String {
    let mut index = Index::new();
    let message = dialect.decode(frame, &mut index).unwrap();
    let description = inspect::describe(&message);
    let wire = json::wire(&message);
    let json = MessageJson {
        description: &description,
        wire: if reveal == Reveal::Everything {
            &wire
        } else {
            &[]
        },
        reveal,
        language: Language::En,
    };
    serde_json::to_string(&json).unwrap()
}

fn encoded(dialect: &Dialect, json: &str) -> Vec<u8> {
    let json: Value = serde_json::from_str(json).unwrap();
    let mut out = BytesMut::new();
    json::encode(dialect, &json, &mut out).unwrap();
    out.to_vec()
}

#[test]
fn every_sound_sample_comes_back_from_its_json() {
    let mut tried = 0;
    for dialect in shipped() {
        for (file, bytes) in samples(dialect.name(), true) {
            let prefix = dialect.framing().prefix_bytes();
            let json = as_json(&dialect, &bytes[prefix..], Reveal::Everything);
            assert_eq!(
                encoded(&dialect, &json),
                bytes,
                "{}\n{json}",
                file.display()
            );
            tried += 1;
        }
    }
    assert!(tried >= 35, "{tried} samples");
}

#[test]
fn every_sound_sample_is_found_in_its_dialect() {
    let all = shipped();
    let (mut first, mut tried) = (0, 0);
    for dialect in &all {
        for (file, bytes) in samples(dialect.name(), true) {
            let found = guesses(&[reading(&bytes)], &all, None);
            let own = found
                .iter()
                .find(|guess| guess.dialect.name() == dialect.name());
            let own = own.unwrap();
            let file = file.display();
            assert!(own.is_sound(), "{file}: {own:?}");
            assert!(
                found[0].score - own.score <= NEAR,
                "{file}: {:?} rather than {own:?}",
                found[0]
            );
            tried += 1;
            first += i32::from(found[0].dialect.name() == dialect.name());
            // Without its length prefix and without any headers too.
            let prefix = dialect.framing().prefix_bytes();
            let envelope = dialect.framing().envelope_bytes();
            for cut in [prefix, prefix + envelope] {
                let bare = best(&bytes[cut..], std::slice::from_ref(dialect), Some(false));
                assert!(bare.is_sound(), "{file} without {cut} bytes: {bare:?}");
            }
        }
    }
    assert!(
        first * 10 >= tried * 9,
        "{first} of {tried} are taken as their own dialect"
    );
}

/// Pieces of what must not be seen, as hexadecimal digits of the bytes on the wire: enough bytes that they do
/// not come about by chance.
fn secrets(dialect: &Dialect, frame: &[u8]) -> Vec<String> {
    let mut index = Index::new();
    let message = dialect.decode(frame, &mut index).unwrap();
    let hidden = message.content_fields().iter().filter(|de| {
        matches!(
            dialect.field(*de).unwrap().exposure,
            Exposure::Masked | Exposure::Secret
        )
    });
    let mut pieces = Vec::new();
    for de in hidden {
        let content = message.field(de).unwrap();
        // First six and last four digits may be seen elsewhere.
        let inner = content
            .get(4..content.len().saturating_sub(3))
            .unwrap_or_default();
        for piece in inner.windows(6) {
            let kinds: std::collections::BTreeSet<_> = piece.iter().collect();
            if kinds.len() > 2 {
                pieces.push(bytes::to_hex(piece));
            }
        }
    }
    pieces
}

#[test]
fn windows_into_damaged_messages_show_no_secret() {
    let mut windows = 0;
    for dialect in shipped() {
        for (file, bytes) in samples(dialect.name(), true) {
            let prefix = dialect.framing().prefix_bytes();
            let secrets = secrets(&dialect, &bytes[prefix..]);
            if secrets.is_empty() {
                continue;
            }
            let one = std::slice::from_ref(&dialect);
            for at in (prefix..bytes.len()).step_by(29) {
                let mut damaged = bytes.clone();
                damaged[at] = 0xFB;
                for input in [&damaged[..], &bytes[..at]] {
                    let guess = best(input, one, Some(true));
                    let within = || inspect::explain_parts(&guess, Reveal::Masked);
                    let Some(fault) = inspect::explain(&guess, Reveal::Masked).or_else(within)
                    else {
                        continue;
                    };
                    windows += 1;
                    for line in &fault.window {
                        let digits: String =
                            line.get(8..56).unwrap_or_default().split(' ').collect();
                        for secret in &secrets {
                            let seen = digits.contains(secret.as_str());
                            assert!(!seen, "{} damaged at {at}: {line}", file.display());
                        }
                    }
                }
            }
        }
    }
    assert!(windows > 60, "{windows} windows");
}

#[test]
fn masked_json_shows_no_secret_and_cannot_be_written() {
    for dialect in shipped() {
        for (file, bytes) in samples(dialect.name(), true) {
            let frame = &bytes[dialect.framing().prefix_bytes()..];
            let masked = as_json(&dialect, frame, Reveal::Masked);
            let mut index = Index::new();
            let message = dialect.decode(frame, &mut index).unwrap();
            let mut hides = false;
            for field in inspect::describe(&message)
                .fields
                .iter()
                .filter(|field| field.hides())
            {
                hides = true;
                let clear = field.text(Reveal::Everything);
                assert!(
                    !masked.contains(&clear),
                    "{}: {}",
                    file.display(),
                    field.path
                );
            }
            if hides {
                let json: Value = serde_json::from_str(&masked).unwrap();
                let refused = json::encode(&dialect, &json, &mut BytesMut::new());
                assert_eq!(refused, Err(json::JsonError::Masked));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_message_comes_back_from_its_json((dialect, mti, fields) in sound_message()) {
        let frame = crate::codec::written(&dialect, mti, &fields);
        let prefix = dialect.framing().prefix_bytes();
        let json = as_json(&dialect, &frame[prefix..], Reveal::Everything);
        prop_assert_eq!(encoded(&dialect, &json), frame.to_vec(), "{}", json);
    }

    #[test]
    fn no_json_makes_encoding_panic(
        keys in prop::collection::vec((0_u8..=255, "\\PC{0,12}"), 0..6),
        mti in "[0-9]{0,5}",
        extra in "\\PC{0,8}",
    ) {
        let fields: serde_json::Map<_, _> = keys.into_iter().map(|(de, text)| (de.to_string(), Value::String(text))).collect();
        let json = serde_json::json!({ "mti": mti, "fields": fields, "wire": { "3": extra }, "tpdu": extra });
        for dialect in shipped() {
            let mut out = BytesMut::new();
            if let Err(error) = json::encode(&dialect, &json, &mut out) {
                prop_assert!(out.is_empty());
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn no_bytes_make_looking_at_them_panic(bytes in prop::collection::vec(any::<u8>(), 1..80)) {
        let all = shipped();
        let best = guesses(&bytes::readings(&bytes).unwrap(), &all, None).remove(0);
        let fault = inspect::explain(&best, Reveal::Everything);
        prop_assert_eq!(fault.is_none(), best.is_sound());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_damage_to_a_message_makes_explaining_it_panic(
        dialect in 0..Dialect::shipped_names().len(), sample in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in 0..4_usize,
    ) {
        let dialect = shipped().remove(dialect);
        let (_, mut bytes) = samples(dialect.name(), true).swap_remove(sample.index(samples(dialect.name(), true).len()));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        let mut all = guesses(&[reading(&bytes)], &shipped(), None);
        inspect::reconsider(&mut all);
        let guess = all.remove(0);
        let (outside, within) = (inspect::explain(&guess, Reveal::Masked), inspect::explain_parts(&guess, Reveal::Masked));
        prop_assert_eq!(outside.is_none(), guess.is_sound());
        prop_assert!(within.is_none() || guess.is_sound());
        prop_assert_eq!(within.map(|fault| fault.what), inspect::what_parts(&guess));
    }
}

// ---- Causes ----

const SALE: [(u8, &str); 12] = [
    (2, "6217000000000000018"),
    (3, "000000"),
    (4, "12345"),
    (11, "123"),
    (22, "051"),
    (25, "00"),
    (35, "6217000000000018=301220100000123"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "156"),
    (60, "22000001000500"),
    (64, "12345678"),
];

/// A sale with its length prefix.
fn sale(name: &str) -> Vec<u8> {
    let dialect = Dialect::shipped(name).unwrap();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0200").unwrap());
    for (de, text) in SALE {
        writer.value(de, FieldValue::Text(text.as_bytes()));
    }
    writer.finish().unwrap();
    out.to_vec()
}

/// The first cause of a message is this one.
fn check_cause(name: &str, bytes: &[u8], expect: &str) {
    let dialect = Dialect::shipped(name).unwrap();
    let guess = best(bytes, std::slice::from_ref(&dialect), None);
    let fault =
        inspect::explain(&guess, Reveal::Masked).unwrap_or_else(|| panic!("{expect}: sound"));
    let causes: Vec<_> = fault
        .causes
        .iter()
        .map(|cause| cause.text.as_str())
        .collect();
    let first = causes
        .first()
        .unwrap_or_else(|| panic!("{expect}: {}", fault.what));
    assert!(
        first.contains(expect),
        "{expect}: {causes:#?}\n{}",
        fault.what
    );
}

/// The sale with another length prefix before what follows the usual one.
fn prefixed(name: &str, prefix: &[u8]) -> Vec<u8> {
    [prefix, &sale(name)[2..]].concat()
}

#[test]
fn a_length_prefix_that_is_written_otherwise_is_told() {
    for name in ["unionpay-pos", "iso8583-1987-ascii"] {
        let bytes = sale(name).len() - 2;
        let digits = format!("{bytes:04}");
        check_cause(
            name,
            &prefixed(name, digits.as_bytes()),
            "looks like 4 bytes of ASCII digits",
        );
        let four = u32::try_from(bytes).unwrap().to_be_bytes();
        check_cause(name, &prefixed(name, &four), "looks like 4 bytes, binary");
        let own = u16::try_from(bytes + 2).unwrap().to_be_bytes();
        check_cause(name, &prefixed(name, &own), "the length counts itself too");
    }
    let bytes = u16::try_from(sale("unionpay-pos").len() - 2 - 11)
        .unwrap()
        .to_be_bytes();
    check_cause(
        "unionpay-pos",
        &prefixed("unionpay-pos", &bytes),
        "leaves out TPDU and header",
    );
}

/// A frame behind the two bytes that tell its length.
fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    [&length[..], frame].concat()
}

#[test]
fn headers_that_are_missing_or_too_many_are_told() {
    let sale_pos = sale("unionpay-pos");
    check_cause(
        "unionpay-pos",
        &framed(&sale_pos[2 + 11..]),
        "TPDU and header are missing",
    );
    check_cause(
        "unionpay-pos",
        &framed(&sale_pos[2 + 5..]),
        "the TPDU is missing",
    );
    let without_header = [&sale_pos[2..7], &sale_pos[13..]].concat();
    check_cause(
        "unionpay-pos",
        &framed(&without_header),
        "the header is missing",
    );
    let ascii = sale("iso8583-1987-ascii");
    let with_tpdu = [&[0x60, 0, 1, 0, 0][..], &ascii[2..]].concat();
    check_cause(
        "iso8583-1987-ascii",
        &framed(&with_tpdu),
        "a TPDU (5 bytes) stands before",
    );
    let with_more = [b"ISO026000075", &ascii[2..]].concat();
    check_cause(
        "iso8583-1987-ascii",
        &framed(&with_more),
        "12 bytes stand before the message",
    );
}

#[test]
fn a_wrong_prefix_before_a_whole_message_is_told() {
    for more in [1_u16, 28] {
        let mut bytes = sale("iso8583-1987-ascii");
        let length = u16::try_from(bytes.len() - 2).unwrap() + more;
        bytes[..2].copy_from_slice(&length.to_be_bytes());
        check_cause(
            "iso8583-1987-ascii",
            &bytes,
            "the length prefix is wrong: what is there decodes to its end",
        );
    }
    for less in [1_u16, 2] {
        let mut bytes = sale("unionpay-pos");
        let length = u16::try_from(bytes.len() - 2).unwrap() - less;
        bytes[..2].copy_from_slice(&length.to_be_bytes());
        check_cause("unionpay-pos", &bytes, "the length prefix is wrong");
    }
}

#[test]
fn a_digit_that_is_missing_is_told() {
    let digits = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
    let bytes = bytes::hex(&digits).unwrap();
    let text = bytes::to_hex(&bytes);
    let (short, _) = text.split_at(text.len() - 1);
    let found = posgate(&["message", "decode", short], b"");
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let table = out(&found);
    assert!(table.starts_with("unionpay-pos, framed"), "{table}");
    let told = format!(
        "likely cause: there are {} hexadecimal digits, an odd number",
        text.len() - 1
    );
    assert!(table.contains(&told), "{table}");
}

#[test]
fn what_stands_between_length_and_message_is_told() {
    let message = sale("unionpay-pos").split_off(2);
    let zeros = [&[0, 0][..], &message].concat();
    let serial = [&[2][..], &message, &[3]].concat();
    let checked = [&serial[..], &[0x5A]].concat();
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    for (bytes, expect) in [
        (&zeros, "two zero bytes stand between"),
        (
            &serial,
            "STX stands between the length prefix and the message, ETX behind it",
        ),
        (&checked, "ETX and a check byte behind it"),
    ] {
        check_cause("unionpay-pos", &framed(bytes), expect);
        // The length may leave them out, too.
        check_cause("unionpay-pos", &[&length[..], bytes].concat(), expect);
    }
}

#[test]
fn bytes_that_were_taken_for_text_are_told() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    let bytes = bytes::hex(&fs::read_to_string(sample).unwrap()).unwrap();
    let lost = |by: &[u8]| -> Vec<u8> {
        let each = bytes.iter().map(|byte| match byte {
            0x80.. => by.to_vec(),
            _ => vec![*byte],
        });
        each.flatten().collect()
    };
    check_cause(
        "unionpay-pos",
        &lost(b"?"),
        "replaced by `?` (3F): what stood there is lost",
    );
    check_cause(
        "unionpay-pos",
        &lost("\u{fffd}".as_bytes()),
        "replaced by EF BF BD",
    );
}

#[test]
fn a_length_with_which_the_card_number_is_right_comes_first() {
    let mut bytes = sale("unionpay-pos");
    let card = bytes
        .windows(3)
        .position(|three| three == [0x19, 0x62, 0x17])
        .unwrap();
    bytes[card] = 0x09;
    // One with a right check digit.
    assert_eq!(bytes[card + 10], 0x80);
    bytes[card + 10] = 0x20;
    check_cause(
        "unionpay-pos",
        &bytes,
        "DE2: its length says 9; with 19 all that follows decodes, and the card number's check digit is right",
    );
}

#[test]
fn another_way_to_write_type_and_bitmap_is_told() {
    let sale_pos = sale("unionpay-pos");
    let (head, rest) = sale_pos[2..].split_at(11 + 2);
    let (bitmap, fields) = rest.split_at(8);
    let hex = [head, bytes::to_hex(bitmap).as_bytes(), fields].concat();
    check_cause(
        "unionpay-pos",
        &framed(&hex),
        "the bitmap is in hexadecimal digits, not binary",
    );
    let ascii_type = [&head[..11], b"0200", bitmap, fields].concat();
    check_cause(
        "unionpay-pos",
        &framed(&ascii_type),
        "the message type is in ASCII",
    );
    let ascii = sale("iso8583-1987-ascii");
    let (head, rest) = ascii[2..].split_at(4);
    let (bitmap, fields) = rest.split_at(16);
    let bitmap = bytes::hex(str::from_utf8(bitmap).unwrap()).unwrap();
    let binary = [head, &bitmap, fields].concat();
    check_cause(
        "iso8583-1987-ascii",
        &framed(&binary),
        "the bitmap is binary",
    );
}

#[test]
fn ebcdic_is_told() {
    let ebcdic = |byte: &u8| match byte {
        b'0'..=b'9' => byte + 0xC0,
        b'A'..=b'I' => byte + 0x80,
        b'J'..=b'R' => byte - b'J' + 0xD1,
        b'S'..=b'Z' => byte - b'S' + 0xE2,
        b'=' => 0x7E,
        _ => 0x40,
    };
    let sale = sale("iso8583-1987-ascii");
    let whole: Vec<u8> = sale[2..].iter().map(ebcdic).collect();
    check_cause(
        "iso8583-1987-ascii",
        &framed(&whole),
        "in EBCDIC rather than ASCII",
    );
}

#[test]
fn one_field_that_is_written_otherwise_is_told() {
    let sale_pos = sale("unionpay-pos");
    let at = |piece: &[u8]| {
        let found = sale_pos
            .windows(piece.len())
            .position(|window| window == piece);
        found.unwrap()
    };
    // DE35: 32 digits become 31 with an F in front.
    let track = at(&[0x32, 0x62, 0x17]);
    let mut odd = sale_pos.clone();
    odd[track] = 0x31;
    odd[track + 1] = 0xF2;
    check_cause(
        "unionpay-pos",
        &odd,
        "DE35: the odd nibble is filled on the other side",
    );
    let ascii_length = [&sale_pos[2..23], b"19", &sale_pos[24..]].concat();
    assert_eq!(sale_pos[23], 0x19);
    check_cause(
        "unionpay-pos",
        &framed(&ascii_length),
        "DE2: its length prefix looks like ASCII digits",
    );
    let mut nibbles = sale_pos.clone();
    let batch = at(&[0x00, 0x14, 0x22]);
    nibbles[batch + 1] = 0x07;
    check_cause(
        "unionpay-pos",
        &nibbles,
        "DE60: its length counts bytes, not digits",
    );
    let mut binary = sale_pos.clone();
    binary[track] = 0x20;
    check_cause("unionpay-pos", &binary, "binary");
    let amount = at(&[0x00, 0x00, 0x00, 0x01, 0x23, 0x45]);
    let mut letter = sale_pos.clone();
    letter[amount] = 0x0A;
    check_cause("unionpay-pos", &letter, "only the value of DE4 is wrong");
}

#[test]
fn a_fixed_field_that_is_a_byte_too_short_or_too_long_is_named() {
    let mut sale_pos = sale("unionpay-pos").split_off(2);
    // A card number with the right check digit is not in doubt.
    let check_digit = [0x00, 0x01, 0x80];
    let card = sale_pos.windows(3).position(|at| at == check_digit);
    sale_pos[card.unwrap() + 2] = 0x20;
    let sale_pos = sale_pos;
    let amount = [0x00, 0x00, 0x00, 0x01, 0x23, 0x45];
    let at = |piece: &[u8]| {
        let found = sale_pos.windows(piece.len()).position(|at| at == piece);
        found.unwrap()
    };
    let mut short = sale_pos.clone();
    short.remove(at(&amount));
    check_cause(
        "unionpay-pos",
        &framed(&short),
        "DE4: 5 bytes stand there, 6 are due; or",
    );
    let mut long = sale_pos.clone();
    long.insert(at(&amount), 0x00);
    check_cause(
        "unionpay-pos",
        &framed(&long),
        "DE4: 7 bytes stand there, 6 are due; or",
    );
    let mut currency = sale_pos.clone();
    let from = at(b"156");
    currency.splice(from..from + 3, [0x01, 0x56]);
    check_cause(
        "unionpay-pos",
        &framed(&currency),
        "DE49: digits stand there, packed two a byte, where text is due",
    );
}

#[test]
fn what_is_missing_or_left_over_is_told() {
    let sale_pos = sale("unionpay-pos");
    let end = sale_pos.len();
    check_cause(
        "unionpay-pos",
        &sale_pos[..end - 3],
        "cut off: 3 bytes are missing",
    );
    check_cause(
        "unionpay-pos",
        &sale_pos[2..end - 3],
        "cut off: 3 bytes are missing, or more",
    );
    let more = [&sale_pos[..], &[0x0D, 0x0A]].concat();
    check_cause(
        "unionpay-pos",
        &more,
        "2 bytes are left over behind the message",
    );
    let more = framed(&[&sale_pos[2..], &[0x0D, 0x0A]].concat());
    check_cause(
        "unionpay-pos",
        &more,
        "2 bytes are left over behind the message",
    );
    // The MAC is announced and not there, or there and not announced.
    let without = framed(&sale_pos[2..end - 8]);
    check_cause(
        "unionpay-pos",
        &without,
        "the bitmap announces DE64, which is not there",
    );
    let mut unannounced = sale_pos;
    unannounced[2 + 11 + 2 + 7] &= 0xFE;
    check_cause(
        "unionpay-pos",
        &unannounced,
        "DE64 is there, though the bitmap does not announce it",
    );
}

#[test]
fn hexadecimal_digits_of_hexadecimal_digits_are_told() {
    let digits = bytes::to_hex(&sale("unionpay-pos"));
    check_cause(
        "unionpay-pos",
        digits.as_bytes(),
        "hexadecimal digits twice",
    );
}

// ---- The command ----

pub(crate) fn posgate(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_posgate"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that does not read closes the pipe.
    drop(pipe.write_all(stdin));
    drop(pipe);
    child.wait_with_output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn nobody_who_reads_on_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    // More than a pipe holds.
    fs::write(&lines, format!("{}\n", "0800 ".repeat(4)).repeat(4_000)).unwrap();
    for args in [
        &[
            "message",
            "decode",
            "--lines",
            "-f",
            lines.to_str().unwrap(),
        ][..],
        &[
            "message",
            "diff",
            SAMPLE,
            "protocols/unionpay-pos/messages/sale-pin.hex",
        ],
        &["protocol", "list"],
        &["completions", "bash"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posgate"));
        let command = command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let found = command.stdout(writer).output().unwrap();
        assert_eq!(found.status.code(), Some(141), "{args:?}: {found:?}");
        assert!(found.stderr.is_empty(), "{args:?}: {found:?}");
    }
}

const SAMPLE: &str = "protocols/unionpay-pos/messages/sale-chip.hex";

#[test]
fn a_message_is_decoded_from_wherever_it_comes() {
    let bytes = bytes::hex(
        &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap(),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("message.bin");
    fs::write(&raw, &bytes).unwrap();
    let hex = bytes::to_hex(&bytes);
    let base64 = bytes::to_base64(&bytes);
    let table = out(&posgate(&["message", "decode", SAMPLE], b""));
    assert!(table.contains("621700*********0018"), "{table}");
    assert!(table.contains("9F26  application cryptogram"), "{table}");
    let same = |args: &[&str], stdin: &[u8], notation: &str| {
        let found = posgate(&[&["message", "decode"], args].concat(), stdin);
        assert!(found.status.success(), "{notation}: {found:?}");
        assert_eq!(
            out(&found).replace(notation, "hexadecimal"),
            table,
            "{notation}"
        );
    };
    same(&[&hex], b"", "hexadecimal");
    same(&["-f", SAMPLE], b"", "hexadecimal");
    same(&[&base64], b"", "base64");
    same(&[raw.to_str().unwrap()], b"", "raw");
    same(&[], &bytes, "raw");
    same(&["-"], hex.as_bytes(), "hexadecimal");
    let digits: Vec<_> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    let array = format!(
        "unsigned char m[] = {{\n {}\n}};\nunsigned int m_len = 1;\n",
        digits.join(", ")
    );
    same(&[], array.as_bytes(), "hexadecimal");
    let escapes: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    same(&[&format!("b'{escapes}'")], b"", "hexadecimal");
    same(
        &["--framed", "-d", "unionpay-pos", &hex],
        b"",
        "hexadecimal",
    );
    let bare = posgate(&["message", "decode", "--bare", hex.split_at(4).1], b"");
    assert!(
        out(&bare).starts_with("unionpay-pos, bare, 144 bytes"),
        "{bare:?}"
    );
    let unmasked = out(&posgate(&["message", "decode", "--unmask", SAMPLE], b""));
    assert!(unmasked.contains("6217000000000000018"), "{unmasked}");
    let chinese = out(&posgate(
        &["message", "decode", "--lang", "zh", SAMPLE],
        b"",
    ));
    assert!(
        chinese.contains("主账号") && chinese.contains("应用密文"),
        "{chinese}"
    );
}

#[test]
fn json_goes_there_and_back_and_lines_do_too() {
    let json = posgate(
        &["message", "decode", "-o", "json", "--unmask", SAMPLE],
        b"",
    );
    let value: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["dialect"], "unionpay-pos");
    assert_eq!(value["mti"], "0200");
    assert_eq!(value["fields"]["2"], "6217000000000000018");
    assert_eq!(value["fields"]["64"], "3132333435363738");
    let back = posgate(&["message", "encode"], &json.stdout);
    let hex = out(&back);
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
    assert_eq!(hex.trim(), bytes::to_hex(&bytes::hex(&sample).unwrap()));
    let raw = posgate(&["message", "encode", "--raw", "--bare"], &json.stdout);
    assert_eq!(bytes::to_hex(&raw.stdout), hex.trim().split_at(4).1);
    let base64 = out(&posgate(&["message", "encode", "--base64"], &json.stdout));
    assert_eq!(bytes::to_hex(&bytes::base64(&base64).unwrap()), hex.trim());

    let lines = format!("# two good ones and a bad one\n{hex}\n00FF00\n{hex}");
    let decoded = posgate(
        &["message", "decode", "--lines", "--unmask"],
        lines.as_bytes(),
    );
    assert_eq!(decoded.status.code(), Some(1));
    let objects: Vec<Value> = out(&decoded)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = objects
        .iter()
        .map(|object| object["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 4, 5], "{objects:#?}");
    assert!(objects[1]["error"].is_string() && objects[1].get("fields").is_none());
    assert_eq!(objects[0]["fields"], value["fields"]);
    let good = format!("{}\n{}\n", objects[0], objects[2]);
    let encoded = posgate(&["message", "encode", "--lines"], good.as_bytes());
    assert_eq!(out(&encoded), format!("{0}\n{0}\n", hex.trim()));
    let refused = posgate(
        &["message", "encode", "--lines"],
        format!("{good}{{}}\n").as_bytes(),
    );
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(out(&refused), out(&encoded));
}

#[test]
fn values_that_do_not_fit_are_named_with_what_is_allowed() {
    let check = |fields: &str, expect: &str| {
        let json =
            format!(r#"{{"dialect": "unionpay-pos", "mti": "0200", "fields": {{{fields}}}}}"#);
        let found = posgate(&["message", "encode", &json], b"");
        let error = String::from_utf8(found.stderr).unwrap();
        assert_eq!(found.status.code(), Some(1), "{json}");
        assert!(error.contains(expect), "{json}\n{error}");
    };
    check(
        r#""3": "1234567""#,
        "DE3 (processing code) is too long; allowed: 6 digits",
    );
    check(r#""3": "12a""#, "DE3 (processing code) holds a character");
    check(
        r#""52": "00""#,
        "DE52 (PIN block) is too short; allowed: 8 bytes in hexadecimal digits",
    );
    check(
        r#""52": "xx""#,
        "DE52 (PIN block) is not hexadecimal digits",
    );
    check(
        r#""41": true"#,
        "DE41 (terminal id) is not given as a text in quotes; allowed: 8 bytes of printable text",
    );
    check(r#""10": "1""#, "DE10 is not defined in unionpay-pos");
    check(r#""x": "1""#, "fields.x: fields are named by their number");
}

#[test]
fn what_cannot_be_read_ends_otherwise_than_what_is_broken() {
    let ended = |args: &[&str], input: &[u8]| {
        let found = posgate(&[&["message"], args].concat(), input);
        let error = String::from_utf8(found.stderr).unwrap();
        (
            found.status.code(),
            error.lines().next().unwrap_or_default().to_owned(),
        )
    };
    let (code, error) = ended(&["decode", "-d", "nosuch", SAMPLE], b"");
    assert_eq!(
        (code, error.contains("no dialect nosuch")),
        (Some(2), true),
        "{error}"
    );
    for json in [r#"{"dialect":"nosuch","mti":"0800"}"#, r#"{"mti":"0800"}"#] {
        let (code, error) = ended(&["encode", json], b"");
        assert_eq!(
            (code, error.contains("dialect")),
            (Some(2), true),
            "{error}"
        );
    }
    let (code, error) = ended(&["diff", "-", "-"], b"");
    assert_eq!(
        (code, error.contains("read once")),
        (Some(2), true),
        "{error}"
    );
    let (code, error) = ended(&["decode", "no/such.hex"], b"");
    assert_eq!(
        (code, error.contains("there is no file")),
        (Some(2), true),
        "{error}"
    );
    assert_eq!(ended(&["decode"], b"").0, Some(2));
    assert_eq!(ended(&["decode", "-i", "hex", "xyz"], b"").0, Some(2));
    assert_eq!(ended(&["decode", "00FF"], b"").0, Some(1));
    let named = r#"{"dialect": "unionpay-pos", "mti": "0800", "fields": {"11": "1", "11": "2"}}"#;
    let (code, error) = ended(&["encode", named], b"");
    let expect = "posgate: this is no message in JSON: the key \"11\" stands there twice at line 1 column 69";
    assert_eq!((code, error.as_str()), (Some(2), expect));
    for nothing in ["", "[]", "{", "a message of three words"] {
        let (code, error) = ended(&["encode", nothing], b"");
        let expect = "posgate: this is no message in JSON";
        assert_eq!(
            (code, error.starts_with(expect)),
            (Some(2), true),
            "{error}"
        );
    }
    assert_eq!(ended(&["encode", "-d", "nosuch", named], b"").0, Some(2));
    assert_eq!(ended(&["encode", "no/such.json"], b"").0, Some(2));
}

#[test]
fn what_is_given_in_the_wrong_place_is_not_told_again() {
    let pan = "4716908273645185";
    let whole = format!("00C1{}", pan.repeat(20));
    let key =
        format!(r#"{{"dialect": "unionpay-pos", "mti": "0200", "fields": {{"{pan}": "1"}}}}"#);
    let other =
        format!(r#"{{"dialect": "unionpay-pos", "mti": "0200", "fields": {{}}, "{pan}": 1}}"#);
    for args in [
        &["decode", "0200", pan][..],
        &["decode", "-f", &whole],
        &["decode", "-d", pan, SAMPLE],
        &["encode", &key],
        &["encode", &other],
        &["diff", pan],
    ] {
        let found = posgate(&[&["message"], args].concat(), b"");
        assert_ne!(found.status.code(), Some(0), "{args:?}");
        let told = String::from_utf8([found.stdout, found.stderr].concat()).unwrap();
        assert!(!told.contains("471690827364") && !told.is_empty(), "{told}");
    }
}

/// Damage within a field that divides: what a wrong length or tag puts into another part.
#[test]
fn parts_of_a_damaged_field_show_nothing_that_is_hidden() {
    let shows = |dialect: &str, fields: &str, hidden: &str| {
        let json = format!(
            r#"{{"dialect": "{dialect}", "mti": "0200", "fields": {{"3": "000000", "11": "1", {fields}}}}}"#
        );
        let hex = out(&posgate(&["message", "encode", &json], b""));
        for form in [&["-o", "table"][..], &["-o", "json"]] {
            let args = [&["message", "decode", "-d", dialect, hex.trim()], form].concat();
            let told = out(&posgate(&args, b""));
            let hex = bytes::to_hex(hidden.as_bytes());
            assert!(
                !told.contains(hidden) && !told.contains(&hex),
                "{dialect} {fields}: {told}"
            );
        }
    };
    // A part that nobody knows, and a length behind it that reaches too far.
    shows(
        "unionpay-pos",
        r#""59": "B30164716908273645186A2099""#,
        "4716908273645186",
    );
    shows(
        "unionpay-pos",
        r#""59": "B3018284712345678901234A2099""#,
        "284712345678901234",
    );
    // Behind its own length.
    shows(
        "unionpay-pos",
        r#""63": "164716908273645185""#,
        "716908273645185",
    );
    shows(
        "unionpay-pos",
        r#""61": "164716908273645185""#,
        "6908273645185",
    );
    shows(
        "iso8583-1987-ascii",
        r#""54": "0164716908273645185""#,
        "4716908273645185",
    );
    // A length within chip data, and one wrong bit of the tags of card number and PIN block.
    let chip = |data: &str| format!(r#""55": "{data}""#);
    for (data, hidden) in [
        (
            "9F368200125A0847169082736451855711471690827364518",
            "4716908273645185",
        ),
        ("5E08471690827364518595050000000000", "4716908273645185"),
        ("9B089E3B7AC5D8F1624795050000000000", "9E3B7AC5D8F16247"),
    ] {
        shows("iso8583-1987-binary", &chip(data), hidden);
        shows("unionpay-pos", &chip(data), hidden);
    }
    for text in [
        "9E3B7AC5D8F162479E3B7AC5D8F16247ABCDEF",
        "9E3B 7AC5 D8F1 6247",
        "CSC 739",
        "CID739",
        "47169082736451853012",
    ] {
        shows("unionpay-pos", &format!(r#""63": "000{text}""#), text);
    }
    shows(
        "unionpay-pos",
        &format!(r#""47": "{}""#, bytes::to_hex(b"CVV2=739")),
        "CVV2=739",
    );
}

#[test]
fn a_terminal_id_in_ebcdic_is_doubted() {
    let json = r#"{"dialect": "unionpay-pos", "mti": "0800", "fields": {"11": "1", "41": "TERM0001", "42": "100290053110001", "60": "00000001003"}}"#;
    let sound = out(&posgate(&["message", "encode", json], b""));
    let damaged = sound.replace(&bytes::to_hex(b"TERM0001"), "E3C5D9D4F0F0F0F1");
    assert_ne!(sound, damaged);
    let told = out(&posgate(&["message", "decode", damaged.trim()], b""));
    assert!(
        told.contains("doubtful: DE41: its characters are EBCDIC"),
        "{told}"
    );
    assert!(!out(&posgate(&["message", "decode", sound.trim()], b"")).contains("doubtful"));
}

#[test]
fn a_message_is_found_in_a_line_of_a_log() {
    let bytes = samples("unionpay-pos", true)
        .into_iter()
        .find(|(file, _)| file.ends_with("sale-chip.hex"));
    let digits = bytes::to_hex(&bytes.unwrap().1);
    let line = format!(
        "2026-11-23T12:00:01.001Z INFO gateway::terminal rx=\"{digits}\" peer=10.0.0.1:4711"
    );
    let found = posgate(&["message", "decode", "-o", "json"], line.as_bytes());
    assert_eq!(found.status.code(), Some(0), "{found:?}");
    let value: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(
        (&value["dialect"], &value["mti"]),
        (&"unionpay-pos".into(), &"0200".into())
    );
}

#[test]
fn a_field_that_does_not_divide_is_written_with_a_warning() {
    let json = r#"{"dialect":"unionpay-pos","mti":"0200","fields":{"3":"000000","55":"9F36"}}"#;
    let found = posgate(&["message", "encode"], json.as_bytes());
    assert_eq!(found.status.code(), Some(0), "{found:?}");
    let warned = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(
        warned.contains("warning: DE55 (chip data) does not divide"),
        "{warned}"
    );
    let line = format!("{json}\n{}\n", json.replace("9F36", "9F360200AA"));
    let found = posgate(&["message", "encode", "--lines"], line.as_bytes());
    assert_eq!(
        (found.status.code(), out(&found).lines().count()),
        (Some(0), 2)
    );
    let warned = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(warned.starts_with("line 1: warning: DE55"), "{warned}");
    assert!(!warned.contains("line 2"), "{warned}");
}

#[test]
fn a_word_that_is_no_file_is_no_message() {
    for command in [
        &["message", "decode", "nofile"][..],
        &["message", "diff", "nofile", "00"],
        &["protocol", "import", "nofile", "-o", "nofolder"],
        &["protocol", "list", "--protocols", "nofolder"],
    ] {
        let found = posgate(command, b"");
        assert_eq!(found.status.code(), Some(2), "{found:?}");
        let told = String::from_utf8_lossy(&found.stderr).into_owned();
        let named = told.contains("nofile") || told.contains("nofolder");
        assert!(told.starts_with("posgate: ") && named, "{told}");
    }
}

#[test]
fn differences_are_shown_field_by_field() {
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let bytes = samples("unionpay-pos", true)
        .into_iter()
        .find(|(file, _)| file.ends_with("sale-chip.hex"))
        .unwrap()
        .1;
    let json = as_json(&dialect, &bytes[2..], Reveal::Everything);
    let mut other: Value = serde_json::from_str(&json).unwrap();
    other["fields"]["4"] = "000000012346".into();
    other["fields"]["2"] = "6217000000100000018".into();
    other["fields"]["55"] = other["fields"]["55"]
        .as_str()
        .unwrap()
        .replace("9F360200", "9F360201")
        .into();
    other["fields"].as_object_mut().unwrap().remove("14");
    let other = bytes::to_hex(&encoded(&dialect, &other.to_string()));
    let sample = SAMPLE;
    let same = posgate(&["message", "diff", sample, sample], b"");
    assert_eq!(
        (same.status.code(), out(&same).as_str()),
        (Some(0), "no difference\n")
    );
    let found = posgate(&["message", "diff", sample, &other, "-o", "json"], b"");
    assert_eq!(found.status.code(), Some(1));
    let list: Value = serde_json::from_slice(&found.stdout).unwrap();
    let paths: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["2", "4", "14", "55.9F36"], "{list:#}");
    assert_eq!(list[0]["a"], list[0]["b"], "what differs is hidden");
    assert_eq!(
        (&list[0]["hidden"], &list[2]["hidden"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(list[2]["b"], Value::Null);
    let table = out(&posgate(&["message", "diff", sample, &other], b""));
    assert!(table.contains("(differs where it is hidden)"), "{table}");
    assert!(!table.contains("6217000000"), "{table}");
    // The entry mode's odd digit is filled up with F instead of 0.
    let filled = sale("unionpay-pos");
    let mode = filled.windows(2).position(|at| at == [0x05, 0x10]).unwrap();
    let mut other = filled.clone();
    other[mode + 1] = 0x1F;
    let [filled, other] = [filled, other].map(|bytes| bytes::to_hex(&bytes));
    let found = posgate(&["message", "diff", &filled, &other], b"");
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let table = out(&found);
    assert!(
        table.starts_with("22  ") && table.contains("= the same value, written otherwise"),
        "{table}"
    );
    let found = posgate(&["message", "diff", &filled, &other, "-o", "json"], b"");
    let list: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(
        (&list[0]["path"], &list[0]["written"]),
        (&"22".into(), &"otherwise".into())
    );
    let broken = posgate(&["message", "diff", sample, "00"], b"");
    assert_eq!(broken.status.code(), Some(2));
}

#[test]
fn an_imported_file_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("packager.xml");
    let text = r#"<isopackager>
      <isofield id="0" length="4" name="MTI" class="org.jpos.iso.IFA_NUMERIC"/>
      <isofield id="1" length="16" name="BITMAP" class="org.jpos.iso.IFA_BITMAP"/>
      <isofield id="2" length="19" name="PAN" class="org.jpos.iso.IFA_LLNUM"/>
      <isofield id="60" length="9" name="special" class="com.example.Special"/>
    </isopackager>"#;
    fs::write(&xml, text).unwrap();
    let made = folder.path().join("other-network");
    let (xml, made) = (xml.to_str().unwrap(), made.to_str().unwrap());
    let imported = posgate(&["protocol", "import", xml, "-o", made], b"");
    let told = String::from_utf8(imported.stderr.clone()).unwrap();
    assert!(imported.status.success(), "{told}");
    assert!(
        told.contains("packager.xml:5:7: warning: field 60 is left out"),
        "{told}"
    );
    let checked = posgate(&["protocol", "check", made], b"");
    assert!(checked.status.success(), "{checked:?}");
    let folder = folder.path().to_str().unwrap();
    let decoded = posgate(
        &[
            "message",
            "decode",
            "--protocols",
            folder,
            "-d",
            "other-network",
            "-i",
            "raw",
            "--bare",
        ],
        b"02004000000000000000166217000000000018",
    );
    assert!(out(&decoded).contains("621700******0018"), "{decoded:?}");
    let again = posgate(&["protocol", "import", xml, "-o", made], b"");
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
    for text in ["", "[1, 2]", "plain"] {
        fs::write(xml, text).unwrap();
        let neither = posgate(&["protocol", "import", xml, "-o", made], b"");
        assert_eq!(neither.status.code(), Some(2), "{text:?}");
        let told = String::from_utf8(neither.stderr).unwrap();
        assert!(
            told.contains("is neither XML of jPOS nor JSON of moov-io"),
            "{told}"
        );
    }
}

#[test]
fn a_message_type_of_another_version_or_of_none_is_doubtful() {
    let decode = |name: &str, mti: &str, more: &[&str]| {
        let in_digits = |mti: &str| match name {
            "unionpay-pos" => mti.to_owned(),
            _ => bytes::to_hex(mti.as_bytes()),
        };
        let all = samples(name, true);
        let mut sales = all.iter().map(|(_, sample)| bytes::to_hex(sample));
        let sale = sales.find(|hex| hex.contains(&in_digits("0200"))).unwrap();
        let hex = sale.replacen(&in_digits("0200"), &in_digits(mti), 1);
        let args = [&["message", "decode", "-d", name, &hex], more].concat();
        out(&posgate(&args, b""))
    };
    for (name, mti, expect) in [
        (
            "unionpay-pos",
            "1200",
            "what unionpay-pos takes begins with 0",
        ),
        ("unionpay-pos", "0299", "is no message type of the standard"),
        (
            "iso8583-1987-ascii",
            "9200",
            "what iso8583-1987-ascii takes begins with 0",
        ),
    ] {
        let told = decode(name, mti, &[]);
        assert!(
            told.contains(&format!("doubtful: MTI: {mti} ")) && told.contains(expect),
            "{told}"
        );
        let json = decode(name, mti, &["-o", "json"]).replace(": ", ":");
        assert!(json.contains(r#""field":"mti""#), "{json}");
        let sound = decode(name, "0200", &[]);
        assert!(!sound.contains("doubtful"), "{sound}");
    }
}

#[test]
fn a_header_that_says_another_length_is_doubtful() {
    let (_, mut sale) = samples("visa-base-i-style", true).remove(0);
    let decode = |bytes: &[u8], more: &[&str]| {
        let hex = bytes::to_hex(bytes);
        let args = [
            &["message", "decode", "-d", "visa-base-i-style", &hex],
            more,
        ]
        .concat();
        out(&posgate(&args, b""))
    };
    let bytes = sale.len() - 2;
    let sound = decode(&sale, &[]);
    assert!(!sound.contains("doubtful"), "{sound}");
    // Behind the length prefix: header length, flag and format, text format.
    sale[5..7].copy_from_slice(&[0x27, 0x0F]);
    let told = decode(&sale, &[]);
    let expect = format!(
        "doubtful: header: what begins with its byte 4 is not the length of header and message, {bytes} bytes"
    );
    assert!(told.contains(&expect), "{told}");
    let json = decode(&sale, &["-o", "json"]);
    assert!(
        json.contains(r#""field":"header""#) || json.contains(r#""field": "header""#),
        "{json}"
    );
}

#[test]
fn two_dialects_of_one_name_are_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let own = folder.path().join(name);
        fs::create_dir(&own).unwrap();
        let text =
            "# A comment.\nname = \"own\"\ntitle = \"t\"\nextends = \"iso8583-1987-ascii\"\n";
        fs::write(own.join("dialect.toml"), text).unwrap();
    }
    let checked = posgate(&["protocol", "check", folder.path().to_str().unwrap()], b"");
    let told = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert_eq!(checked.status.code(), Some(2), "{told}");
    assert!(told.contains("b/dialect.toml:2:1: error: "), "{told}");
    assert!(told.contains("is called \"own\" too"), "{told}");
}

#[test]
fn a_sample_that_answers_nothing_is_one_problem_and_the_rest_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols/iso8583-1987-ascii");
    let messages = folder.path().join("messages");
    fs::create_dir(&messages).unwrap();
    fs::copy(
        root.join("dialect.toml"),
        folder.path().join("dialect.toml"),
    )
    .unwrap();
    let answer = fs::read_to_string(root.join("messages/sale-answer.hex")).unwrap();
    assert!(answer.contains("# answers: sale\n"), "{answer}");
    let lines = answer
        .lines()
        .take_while(|line| !line.starts_with("# answers"));
    let line = lines.count() + 1;
    let lone = answer.replace("# answers: sale", "# answers: nosuch");
    fs::write(messages.join("a-lone.hex"), lone).unwrap();
    fs::write(messages.join("b-no-text.hex"), b"\xFF").unwrap();
    fs::write(
        messages.join("c-to-none.hex"),
        answer.replace("answers: sale", "answers: d-none"),
    )
    .unwrap();
    fs::write(messages.join("d-none.hex"), "zz\n").unwrap();
    let checked = posgate(&["protocol", "check", folder.path().to_str().unwrap()], b"");
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    let told = [checked.stdout, checked.stderr].map(|text| String::from_utf8(text).unwrap());
    let told = told.concat();
    for expect in [
        &format!("a-lone.hex:{line}:1: error: there is no sample \"nosuch\" that it could answer"),
        "b-no-text.hex:1:1: error: ",
        &format!(
            "c-to-none.hex:{line}:1: error: what it answers, \"d-none\", is no sample: line 1"
        ),
        "d-none.hex:1:1: error: not a comment",
        "4 mistakes",
    ] {
        assert!(told.contains(expect), "{expect:?} is not in {told}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake_and_the_others_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let latin = folder.path().join("latin.toml");
    fs::write(&latin, b"name = \"a\"\ntitle = \"caf\xE9\"\n").unwrap();
    let missing = folder.path().join("missing.toml");
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols/unionpay-pos");
    let paths = [&latin, &missing, &folder.path().to_owned(), &sound];
    let paths = paths.map(|path| path.to_str().unwrap());
    let checked = posgate(&[&["protocol", "check"][..], &paths].concat(), b"");
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    let told = [checked.stdout, checked.stderr].map(|text| String::from_utf8(text).unwrap());
    let told = told.concat();
    for expect in [
        "latin.toml:2:1: error: holds bytes that are no UTF-8",
        "missing.toml:1:1: error: cannot be read",
        "has no dialect.toml, and no folder in it has one",
        "unionpay-pos is sound",
        "3 mistakes",
    ] {
        assert!(told.contains(expect), "{expect:?} is not in {told}");
    }
    let decoded = posgate(&["message", "decode", folder.path().to_str().unwrap()], b"");
    let told = String::from_utf8(decoded.stderr).unwrap();
    assert!(told.contains("is a folder; name a file in it"), "{told}");
}
