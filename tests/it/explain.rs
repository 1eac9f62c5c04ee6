//! What `posgate message decode` makes of messages that are sound outside and broken within, or wrapped in what no
//! dialect knows.

use ::bytes::BytesMut;
use posgate::inspect::{self, Guess, Reveal, guesses};
use posgate::iso8583::{Dialect, Index, LengthEncoding};
use serde_json::Value;

use crate::messages::{out, posgate, reading, samples, shipped};

/// What is taken when nothing is said of the dialect.
fn taken(bytes: &[u8]) -> Guess {
    let mut all = guesses(&[reading(bytes)], &shipped(), None);
    inspect::reconsider(&mut all);
    all.remove(0)
}

fn hex(bytes: &[u8]) -> String {
    inspect::bytes::to_hex(bytes)
}

/// A message in things that its dialect does not say, each with its cause.
fn wrapped(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = message.len();
    let short = u16::try_from(bytes).unwrap();
    let digits = format!("{bytes:04}");
    vec![
        (
            "4 bytes of ASCII digits",
            [digits.as_bytes(), message].concat(),
        ),
        (
            "binary with the lowest first",
            [&short.to_le_bytes()[..], message].concat(),
        ),
        (
            "looks like 4 bytes, binary",
            [&u32::from(short).to_be_bytes()[..], message].concat(),
        ),
        (
            "STX stands before the message, ETX behind it",
            [&[2], message, &[3]].concat(),
        ),
        (
            "STX stands before the message, ETX and a check byte",
            [&[2], &short.to_be_bytes()[..], message, &[3, 0x5A]].concat(),
        ),
    ]
}

#[test]
fn what_stands_around_a_message_hides_neither_its_dialect_nor_itself() {
    let mut tried = 0;
    for name in Dialect::shipped_names() {
        let sale = samples(name, true).into_iter().find(|(file, _)| {
            let file = file.file_stem().unwrap().to_str().unwrap();
            file.starts_with("sale") || file.starts_with("authorisation")
        });
        let (file, bytes) = sale.unwrap();
        let dialect = Dialect::shipped(name).unwrap();
        for (expect, bytes) in wrapped(&bytes[dialect.framing().prefix_bytes()..]) {
            let guess = taken(&bytes);
            let place = format!("{} as {expect}", file.display());
            let fault = inspect::explain(&guess, Reveal::Masked).unwrap();
            let first = &fault
                .causes
                .first()
                .unwrap_or_else(|| panic!("{place}"))
                .text;
            assert!(first.contains(expect), "{place}: {first}");
            // Two dialects may say the same of the fields of one message.
            let same = guess.dialect.name() == *name
                || ["iso8583-1987-hex", "as2805-style"].contains(name);
            assert!(same, "{place}: {}", guess.dialect.name());
            tried += 1;
        }
    }
    assert_eq!(tried, Dialect::shipped_names().len() * 5);
}

/// The chip sale of the binary dialect with one byte changed where `from` stands.
fn changed(from: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let (_, mut bytes) = samples("iso8583-1987-binary", true)
        .into_iter()
        .find(|(file, _)| file.ends_with("sale.hex"))
        .unwrap();
    let found = bytes.windows(from.len()).position(|window| window == from);
    bytes[found.unwrap() + at] = byte;
    bytes
}

#[test]
fn a_length_within_chip_data_that_is_wrong_is_found() {
    let bytes = changed(&[0x9F, 0x26, 0x08], 2, 9);
    let guess = taken(&bytes);
    assert!(guess.is_sound(), "{guess:?}");
    let fault = inspect::explain_parts(&guess, Reveal::Everything).unwrap();
    assert!(
        fault.what.starts_with("DE55 (chip data) does not divide:"),
        "{}",
        fault.what
    );
    assert_eq!(
        fault.causes[0].text,
        "DE55: the length at byte 2 says 9; with 8 all of it divides"
    );
    let at = fault.at.unwrap();
    assert!(
        fault
            .window
            .iter()
            .any(|line| line.ends_with(&format!("^^ byte {at}")))
    );
    let masked = inspect::explain_parts(&guess, Reveal::Masked).unwrap();
    let line = masked
        .window
        .iter()
        .position(|line| line.contains("^^"))
        .unwrap();
    assert!(
        masked.window[line - 1].contains("**"),
        "{:#?}",
        masked.window
    );

    // People see it, programs too, and it is written as it was.
    let shown = posgate(&["message", "decode", &hex(&bytes)], b"");
    assert_eq!(shown.status.code(), Some(1));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("broken: DE55 (chip data) does not divide"),
        "{text}"
    );
    let arguments = ["message", "decode", &hex(&bytes), "-o", "json", "--unmask"];
    let json = posgate(&arguments, b"");
    assert_eq!(json.status.code(), Some(1));
    let read: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(read["at"], at);
    assert!(
        read["error"].as_str().unwrap().starts_with("DE55"),
        "{read}"
    );
    assert!(
        read["causes"][0]["text"]
            .as_str()
            .unwrap()
            .contains("with 8")
    );
    let again = posgate(&["message", "encode"], &json.stdout);
    assert_eq!(out(&again).trim(), hex(&bytes));
    let lines = posgate(&["message", "decode", "--lines"], hex(&bytes).as_bytes());
    assert_eq!(lines.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&lines.stdout).unwrap();
    assert!(
        line["error"].as_str().unwrap().starts_with("DE55"),
        "{line}"
    );
}

#[test]
fn a_nibble_on_the_other_side_is_doubted_though_it_reads() {
    // DE22 is 051, filled up on the right: 05 10. On the left it would be 00 51.
    let (_, mut bytes) = samples("unionpay-pos", true)
        .into_iter()
        .find(|(file, _)| file.ends_with("sale-pin.hex"))
        .unwrap();
    let sound = posgate(&["message", "decode", &hex(&bytes)], b"");
    assert!(!out(&sound).contains("doubtful"), "{sound:?}");
    let at = bytes
        .windows(3)
        .position(|window| window == [0x02, 0x10, 0x00]);
    bytes[at.unwrap()..at.unwrap() + 2].copy_from_slice(&[0x00, 0x21]);
    let shown = out(&posgate(&["message", "decode", &hex(&bytes)], b""));
    let expect = "doubtful: DE22: filled up with 1 on the right where 0 or F is usual; filled on the left it reads 021 (pad = \"left\")";
    assert!(shown.contains(expect), "{shown}");
    let json = posgate(&["message", "decode", &hex(&bytes), "-o", "json"], b"");
    let read: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(read["doubts"][0]["field"], "22", "{read}");
}

/// One bit of the bitmap that was not set is told before any field's width or length is doubted.
#[test]
fn a_bit_that_is_missing_in_the_bitmap_is_the_first_cause() {
    // Behind length, TPDU, header and message type.
    const BITMAP: usize = 2 + 5 + 6 + 2;
    let (_, sound) = samples("unionpay-pos", true)
        .into_iter()
        .find(|(file, _)| file.ends_with("sale-chip.hex"))
        .unwrap();
    let mut tried = 0;
    for de in 3..=64_u8 {
        let bit = usize::from(de - 1);
        let mask = 0x80 >> (bit % 8);
        let mut bytes = sound.clone();
        let byte = &mut bytes[BITMAP + bit / 8];
        if *byte & mask == 0 {
            continue;
        }
        *byte &= !mask;
        let shipped = [Dialect::shipped("unionpay-pos").unwrap()];
        let guess = guesses(&[reading(&bytes)], &shipped, None).remove(0);
        let fault = inspect::explain(&guess, Reveal::Masked).unwrap();
        let expect = format!("DE{de} is there, though the bitmap does not announce it");
        let mut causes = fault.causes.iter().map(|cause| &cause.text);
        let place = causes.position(|text| *text == expect);
        // DE23 and DE15 are two bytes each and nothing tells which of them was sent.
        let most = if de == 23 { 1 } else { 0 };
        assert!(
            place.is_some_and(|place| place <= most),
            "DE{de}: {:#?}",
            fault.causes
        );
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
}

/// The header says how long the message is, which is not how long the frame is: it is a header all the same.
#[test]
fn a_byte_behind_a_message_whose_header_tells_its_length_is_told_in_its_dialect() {
    let all = samples("visa-base-i-style", true);
    assert!(!all.is_empty());
    for (file, mut bytes) in all {
        bytes.push(0);
        bytes[1] += 1;
        let told = out(&posgate(&["message", "decode", &hex(&bytes)], b""));
        assert!(
            told.starts_with("visa-base-i-style, framed"),
            "{}: {told}",
            file.display()
        );
        assert!(
            told.contains("1 byte follows the last field"),
            "{}: {told}",
            file.display()
        );
    }
}

#[test]
fn what_was_read_of_a_broken_message_is_not_taken_for_a_message() {
    let (_, bytes) = samples("unionpay-pos", true).remove(0);
    let cut = hex(&bytes[..bytes.len() - 3]);
    let arguments = ["message", "decode", &cut, "-o", "json", "--unmask"];
    let json = posgate(&arguments, b"");
    assert_eq!(json.status.code(), Some(1));
    let read: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(read["broken"], true);
    let refused = posgate(&["message", "encode"], &json.stdout);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("only what was read of it is here"), "{told}");
    // Lines that are no message at all say so too.
    let lines = posgate(&["message", "decode", "--lines"], b"what is this?\n");
    let refused = posgate(&["message", "encode", "--lines"], &lines.stdout);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("line 1: this message is broken"), "{told}");
}

/// The first likely cause of each broken sample of a dialect, known to be read in that dialect; nothing where there is none
/// to tell.
const FIRST_CAUSES: &[(&str, &str, &str)] = &[
    (
        "as2805-style",
        "broken-amount",
        "only the value of DE4 is wrong",
    ),
    (
        "as2805-style",
        "broken-cut-off",
        "cut off: 1 byte is missing",
    ),
    (
        "as2805-style",
        "broken-packed-length",
        "the length prefixes of fields are packed digits",
    ),
    ("as2805-style", "broken-tag-length", "DE47"),
    (
        "iso8583-1987-ascii",
        "broken-amount",
        "only the value of DE4 is wrong",
    ),
    (
        "iso8583-1987-ascii",
        "broken-bitmap",
        "one character of the bitmap is wrong",
    ),
    (
        "iso8583-1987-ascii",
        "broken-cut-off",
        "cut off: 1 byte is missing",
    ),
    (
        "iso8583-1987-ascii",
        "broken-left-over",
        "1 byte is left over",
    ),
    (
        "iso8583-1987-ascii",
        "broken-pin",
        "only the value of DE52 is wrong",
    ),
    (
        "iso8583-1987-ascii",
        "broken-prefix",
        "DE32: with a length of 6",
    ),
    (
        "iso8583-1987-ascii",
        "broken-third-bitmap",
        "the bitmap announces DE65",
    ),
    (
        "iso8583-1987-binary",
        "broken-chip-data",
        "DE55: the length at byte 72 says 10; with 2",
    ),
    (
        "iso8583-1987-binary",
        "broken-cut-off",
        "cut off: 9 bytes are missing",
    ),
    (
        "iso8583-1987-binary",
        "broken-left-over",
        "3 bytes are left over",
    ),
    (
        "iso8583-1987-binary",
        "broken-terminal",
        "only the value of DE41 is wrong",
    ),
    (
        "iso8583-1987-hex",
        "broken-chip-data",
        "DE55: the length at byte 72 says 10; with 2",
    ),
    (
        "iso8583-1987-hex",
        "broken-cut-off",
        "cut off: 9 bytes are missing",
    ),
    (
        "iso8583-1987-hex",
        "broken-left-over",
        "3 bytes are left over",
    ),
    (
        "iso8583-1987-hex",
        "broken-terminal",
        "only the value of DE41 is wrong",
    ),
    (
        "iso8583-1993-ascii",
        "broken-cut-off",
        "cut off: 5 bytes are missing",
    ),
    (
        "iso8583-1993-ascii",
        "broken-left-over",
        "1 byte is left over",
    ),
    (
        "iso8583-1993-ascii",
        "broken-mti",
        "only the message type is wrong",
    ),
    (
        "iso8583-1993-binary",
        "broken-cut-off",
        "cut off: 9 bytes are missing",
    ),
    (
        "iso8583-1993-binary",
        "broken-left-over",
        "1 byte is left over",
    ),
    (
        "iso8583-1993-binary",
        "broken-mti",
        "only the message type is wrong",
    ),
    (
        "iso8583-2003-ascii",
        "broken-cut-off",
        "cut off: 9 bytes are missing",
    ),
    (
        "iso8583-2003-ascii",
        "broken-left-over",
        "1 byte is left over",
    ),
    ("iso8583-2003-ascii", "broken-parts", ""),
    (
        "mastercard-style",
        "broken-ascii",
        "DE12: its digits are in ASCII",
    ),
    (
        "mastercard-style",
        "broken-cut-off",
        "cut off: 9 bytes are missing",
    ),
    (
        "mastercard-style",
        "broken-key-exchange",
        "DE48: cut off, 50 bytes are missing, or a length in it is wrong",
    ),
    (
        "mastercard-style",
        "broken-sub-element",
        "DE48: cut off, 4 bytes are missing",
    ),
    (
        "unionpay-pos",
        "broken-amount",
        "only the value of DE4 is wrong",
    ),
    (
        "unionpay-pos",
        "broken-cut-off",
        "DE62: its length counts hexadecimal digits",
    ),
    ("unionpay-pos", "broken-left-over", "3 bytes are left over"),
    (
        "unionpay-pos",
        "broken-mti",
        "only the message type is wrong",
    ),
    (
        "unionpay-pos",
        "broken-no-mti",
        "cut off: 1 byte is missing",
    ),
    ("unionpay-pos", "broken-prefix", "DE60: with a length of 14"),
    (
        "unionpay-pos",
        "broken-secondary",
        "the bitmap announces a second one, which is not there",
    ),
    (
        "unionpay-pos",
        "broken-terminal-id",
        "only the value of DE41 is wrong",
    ),
    (
        "unionpay-pos",
        "broken-track-letter",
        "only the value of DE35 is wrong",
    ),
    (
        "unionpay-pos",
        "broken-track-too-long",
        "DE35: its length says 38",
    ),
    (
        "unionpay-pos",
        "broken-undefined",
        "the bitmap announces DE10, which is not there",
    ),
    (
        "visa-base-i-style",
        "broken-cut-off",
        "cut off: 2 bytes are missing",
    ),
    ("visa-base-i-style", "broken-parts", ""),
    (
        "visa-base-i-style",
        "broken-third-bitmap",
        "the bitmap announces DE65",
    ),
];

/// The causes of a message that is known to be in a dialect.
fn causes(dialect: &str, bytes: &[u8]) -> Vec<String> {
    let dialect = Dialect::shipped(dialect).unwrap();
    let guess = guesses(&[reading(bytes)], &[dialect], None).remove(0);
    let fault = inspect::explain(&guess, Reveal::Masked)
        .or_else(|| inspect::explain_parts(&guess, Reveal::Masked));
    let causes = fault.unwrap().causes.into_iter();
    causes.map(|cause| cause.text).collect()
}

fn first_cause(dialect: &str, bytes: &[u8]) -> String {
    causes(dialect, bytes)
        .into_iter()
        .next()
        .unwrap_or_default()
}

#[test]
fn the_first_cause_of_every_broken_sample_is_the_true_one() {
    let mut explained = 0;
    let mut wrong = Vec::new();
    for name in Dialect::shipped_names() {
        for (file, bytes) in samples(name, false) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            let known = FIRST_CAUSES
                .iter()
                .find(|known| (known.0, known.1) == (name, stem));
            let Some((_, _, expect)) = known else {
                panic!("{name}: {stem} has no first cause in the table above");
            };
            let first = first_cause(name, &bytes);
            if !first.starts_with(expect) || first.is_empty() != expect.is_empty() {
                wrong.push(format!("{name}, {stem}: {first}"));
            }
            explained += 1;
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(explained, FIRST_CAUSES.len(), "a cause without a sample");
}

#[test]
fn several_frames_in_one_input_are_told() {
    for name in Dialect::shipped_names() {
        let (_, bytes) = samples(name, true).remove(0);
        let (_, other) = samples(name, true).pop().unwrap();
        let first = first_cause(name, &[&bytes[..], &other].concat());
        assert!(
            first.starts_with("2 messages stand one behind the other"),
            "{name}: {first}"
        );
        // All of the first one is taken for one message, whatever else might be tried.
        let guess = taken(&[bytes.clone(), other.clone(), bytes].concat());
        let fault = inspect::explain(&guess, Reveal::Masked).unwrap();
        assert!(
            fault.causes[0].text.starts_with("3 messages"),
            "{name}: {fault:#?}"
        );
    }
}

#[test]
fn a_length_that_leaves_out_the_tpdu_and_bytes_behind_it_are_told() {
    for (file, bytes) in samples("unionpay-pos", true) {
        let length = u16::from_be_bytes([bytes[0], bytes[1]]);
        let prefixed =
            |length: u16, parts: [&[u8]; 3]| [&length.to_be_bytes()[..], &parts.concat()].concat();
        let place = file.display();
        for (left_out, expect) in [
            (5, "the length leaves out the TPDU"),
            (6, "the length leaves out the header"),
        ] {
            let short = prefixed(length - left_out, [&bytes[2..], &[], &[]]);
            let first = first_cause("unionpay-pos", &short);
            assert!(first.starts_with(expect), "{place}: {first}");
        }
        for (at, expect) in [
            (7, "between TPDU and header"),
            (13, "between the headers and the message type"),
        ] {
            let extra = [0xA1, 0xB2, 0xC3];
            let longer = prefixed(length + 3, [&bytes[2..at], &extra, &bytes[at..]]);
            let first = first_cause("unionpay-pos", &longer);
            assert!(
                first.starts_with(&format!("3 bytes stand {expect}")),
                "{place}: {first}"
            );
        }
    }
}

/// A terminal id of seven characters, nothing filling it: the sender's length prefix counts what it sent.
#[test]
fn an_id_that_is_short_is_told_first() {
    let (mut tried, mut first) = (0, 0);
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let framing = dialect.framing();
        let (before, width) = (framing.prefix_bytes(), framing.length_bytes);
        for (file, bytes) in samples(name, true) {
            let all = guesses(
                &[reading(&bytes)],
                std::slice::from_ref(&dialect),
                Some(true),
            );
            let Some(guess) = all.first().filter(|guess| guess.is_sound()) else {
                continue;
            };
            let mut index = Index::new();
            let Ok(message) = dialect.decode(&guess.frame, &mut index) else {
                continue;
            };
            let Some(terminal) = message.field(41) else {
                continue;
            };
            let at = terminal.as_ptr().addr() - guess.frame.as_ptr().addr() + before;
            let mut short = bytes.clone();
            short.remove(at + terminal.len() - 1);
            if framing.length_encoding == LengthEncoding::Binary && framing.lead.is_empty() {
                short[width - 1] -= 1;
                if let Some(own) = &framing.header_length {
                    short[before + framing.header_at() + own.end - 1] -= 1;
                }
                let lacks = format!("{} characters stand there", terminal.len() - 1);
                let outside = guesses(&[reading(&short)], std::slice::from_ref(&dialect), None);
                if outside[0].is_sound() {
                    // Only what is within its last field is broken.
                    continue;
                }
                let causes = causes(name, &short);
                let told = causes
                    .iter()
                    .position(|cause| cause.contains("DE41") && cause.contains(&lacks));
                assert!(told.is_some(), "{}: {causes:?}", file.display());
                first += usize::from(told == Some(0));
                tried += 1;
            }
        }
    }
    // Another length of a card number may have a check digit that is right.
    assert!(tried > 20 && first * 5 > tried * 4, "{first} of {tried}");
}

/// A digit of the card number that was lost: its length says one more.
#[test]
fn a_card_number_that_lacks_a_digit_is_among_the_causes() {
    for name in [
        "iso8583-1987-ascii",
        "iso8583-1987-hex",
        "iso8583-1993-ascii",
        "mastercard-style",
    ] {
        let dialect = Dialect::shipped(name).unwrap();
        let sale = samples(name, true).into_iter().find(|(file, _)| {
            let file = file.file_stem().unwrap().to_str().unwrap();
            file == "sale" || file.starts_with("authorisation")
        });
        let mut bytes = sale.unwrap().1;
        let before = dialect.framing().prefix_bytes();
        let all = guesses(
            &[reading(&bytes)],
            std::slice::from_ref(&dialect),
            Some(true),
        );
        let mut index = Index::new();
        let message = dialect.decode(&all[0].frame, &mut index).unwrap();
        let pan = message.field(2).unwrap();
        let at = pan.as_ptr().addr() - all[0].frame.as_ptr().addr() + before;
        let units = pan.len();
        bytes.remove(at + units - 1);
        let width = dialect.framing().length_bytes;
        bytes[width - 1] -= 1;
        let causes = causes(name, &bytes);
        let expect = format!("DE2: its length says {units}; with {}", units - 1);
        assert!(
            causes.iter().any(|cause| cause.starts_with(&expect)),
            "{name}: {causes:?}"
        );
    }
}

#[test]
fn hexadecimal_digits_of_hexadecimal_digits_are_told() {
    for name in Dialect::shipped_names() {
        let (file, bytes) = samples(name, true).remove(0);
        let guess = taken(hex(&bytes).as_bytes());
        let fault = inspect::explain(&guess, Reveal::Masked).unwrap();
        let first = fault.causes.first().map(|cause| cause.text.as_str());
        let expect = Some("the message was written in hexadecimal digits twice");
        assert_eq!(first, expect, "{}", file.display());
    }
}

#[test]
fn a_line_end_behind_a_message_hides_no_dialect() {
    let (mut tried, mut others) = (0, Vec::new());
    for name in Dialect::shipped_names() {
        for (file, bytes) in samples(name, true) {
            let alone = taken(&bytes);
            let guess = taken(&[&bytes[..], b"\r\n"].concat());
            tried += 1;
            if guess.dialect.name() != alone.dialect.name() {
                others.push(file);
            }
        }
    }
    // Two dialects may take the same bytes for two messages.
    assert!(others.len() * 20 < tried, "{others:?} of {tried}");
}

#[test]
fn a_message_that_is_cut_off_is_known_and_told_so() {
    let mut tried = 0;
    for name in Dialect::shipped_names() {
        for (at, (file, bytes)) in samples(name, true).into_iter().enumerate() {
            // Behind its bitmaps; of less there is nothing to tell it by.
            let end = bytes.len() * (4 + at % 4) / 8;
            if end < 40 {
                continue;
            }
            let place = format!("{} cut at {end}", file.display());
            let missing = format!("cut off: {} missing", are(bytes.len() - end));
            assert_eq!(first_cause(name, &bytes[..end]), missing, "{place}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

fn are(bytes: usize) -> String {
    if bytes == 1 {
        "1 byte is".to_owned()
    } else {
        format!("{bytes} bytes are")
    }
}

#[test]
fn what_stands_behind_a_whole_message_is_told_and_nothing_else() {
    for name in Dialect::shipped_names() {
        for (file, bytes) in samples(name, true) {
            let more = [&bytes, &b"\r\n"[..]].concat();
            let causes = causes(name, &more);
            assert_eq!(
                causes,
                ["2 bytes are left over behind the message"],
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn a_header_that_is_missing_is_told_though_it_says_how_long_it_is() {
    let mut tried = 0;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let framing = dialect.framing();
        if framing.header.is_empty() || framing.length_bytes != 2 {
            continue;
        }
        for (file, bytes) in samples(name, true) {
            let front = framing.prefix_bytes() + framing.tpdu.len();
            let rest = &bytes[front + framing.header.len()..];
            let mut less = [&bytes[..front], rest].concat();
            let length = u16::try_from(less.len() - framing.prefix_bytes()).unwrap();
            less[..2].copy_from_slice(&length.to_be_bytes());
            let first = first_cause(name, &less);
            assert_eq!(first, "the header is missing", "{}", file.display());
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn what_a_message_begins_with_is_shown_beside_its_fault() {
    let (mut tried, mut hidden) = (0, Vec::new());
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let Some((place, width, true)) = dialect.bitmap_place() else {
            continue;
        };
        for (file, bytes) in samples(name, true) {
            // Soon behind the bitmap stands what is no digit.
            let head = dialect.framing().prefix_bytes() + place + width;
            let mut broken = bytes.clone();
            let Some(byte) = broken.get_mut(head + 2) else {
                continue;
            };
            *byte = 0xEE;
            let guess =
                guesses(&[reading(&broken)], std::slice::from_ref(&dialect), None).remove(0);
            let Some(fault) = inspect::explain(&guess, Reveal::Masked) else {
                continue;
            };
            let shown: String = fault
                .window
                .iter()
                .filter_map(|line| line.get(8..56))
                .map(|line| line.replace(' ', ""))
                .collect();
            let begins = hex(&bytes[..16.min(head)]);
            if fault.at.is_some_and(|at| at < 32) {
                if !shown.starts_with(&begins) {
                    hidden.push(file);
                }
                tried += 1;
            }
        }
    }
    // Where another way to write all of it explains it better, nothing is known of what stands where.
    assert!(hidden.len() * 10 < tried, "{hidden:?} of {tried}");
}

#[test]
fn a_header_that_says_its_length_is_shown_wherever_the_prefix_stands() {
    let shipped = Dialect::shipped_text("visa-base-i-style").unwrap();
    let (_, sale) = samples("visa-base-i-style", true).remove(0);
    for place in ["first", "after-header"] {
        for trailer in ["", "trailer = \"03\"\n"] {
            let framing = format!("[framing]\nlength_place = \"{place}\"\n{trailer}");
            let text = shipped.replacen("[framing]\n", &framing, 1);
            let dialect = Dialect::parse("dialect.toml", &text).unwrap();
            let visa = Dialect::shipped("visa-base-i-style").unwrap();
            let mut index = Index::new();
            let message = visa.decode(&sale[2..], &mut index).unwrap();
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.envelope_default();
            writer.mti(message.mti());
            for de in message.content_fields().iter() {
                writer.copy(&message, de);
            }
            writer.finish().unwrap();
            let frame = &out[dialect.framing().prefix_bytes()..];
            let mut index = Index::new();
            let message = dialect.decode(frame, &mut index).unwrap();
            let shown = inspect::describe(&message).envelope(Reveal::Masked);
            assert!(!shown.header.contains('*'), "{place} {trailer}{shown:?}");
        }
    }
}
