//! What is shown of a message in which the length of one field is wrong, when nobody says in which dialect it is: it may
//! be sound in another one, with its PIN block in a field that anybody may see.

use ::bytes::BytesMut;
use posgate::inspect::bytes::to_hex;
use posgate::inspect::guesses;
use posgate::iso8583::{Dialect, FieldType, Index, Message};

use crate::masking::{check, sale_with, secrets_with};
use crate::messages::{out, posgate, reading, samples, shipped};

/// What a length says too much or too little.
const WRONG_BY: [i32; 8] = [-10, -8, -2, -1, 1, 2, 8, 10];

/// One of so many broken messages is explained.
const EXPLAINED: usize = 61;

/// Nothing but digits: it may stand wherever digits may.
const PIN: &str = "9037481526930741";

/// The message with the length of each of its variable fields wrong in each of these ways, with the field.
fn with_one_length_wrong(dialect: &Dialect, bytes: &[u8]) -> Vec<(u8, i32, Vec<u8>)> {
    let prefix = dialect.framing().prefix_bytes();
    let mut index = Index::new();
    let message = dialect.decode(&bytes[prefix..], &mut index).unwrap();
    let mut all = Vec::new();
    for de in message.content_fields().iter() {
        for by in WRONG_BY {
            if let Some((at, length)) = wrong_length(&message, de, by) {
                let mut damaged = bytes.to_vec();
                damaged[prefix + at..prefix + at + length.len()].copy_from_slice(&length);
                all.push((de, by, damaged));
            }
        }
    }
    all
}

/// Where a field's length stands in the frame, and another one in its form.
fn wrong_length(message: &Message<'_>, de: u8, by: i32) -> Option<(usize, Vec<u8>)> {
    let dialect = message.dialect();
    let units = i32::try_from(message.length(de)?).ok()?;
    let length = dialect.length_prefix(de, u16::try_from(units + by).ok()?)?;
    let element = message.element(de)?;
    let at = element.as_ptr().addr() - message.frame().as_ptr().addr();
    Some((at, length))
}

/// The sale, and with each variable field of text that it lacks, which is named.
fn sales(dialect: &Dialect) -> Vec<(Option<u8>, Vec<u8>)> {
    let sale = sale_with(dialect, PIN);
    let mut index = Index::new();
    let frame = &sale[dialect.framing().prefix_bytes()..];
    let message = dialect.decode(frame, &mut index).unwrap();
    let text = |kind| matches!(kind, FieldType::Alphanumeric | FieldType::Text);
    let lacking = dialect.fields().iter().filter(|field| {
        let divides = dialect.layout(field.number).is_some();
        field.variable && text(field.kind) && !divides && !message.has(field.number)
    });
    let with = lacking.filter_map(|field| {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.envelope_raw(message.envelope());
        writer.mti(message.mti());
        for de in 2..=128 {
            if de == field.number {
                let most = usize::from(field.max.min(18));
                writer.text(de, &b"GOODS AND SERVICES"[..most]);
            } else if message.content_fields().contains(de) {
                writer.copy(&message, de);
            }
        }
        writer.finish().ok()?;
        Some((Some(field.number), out.to_vec()))
    });
    let with: Vec<_> = with.collect();
    [(None, sale.clone())].into_iter().chain(with).collect()
}

#[test]
fn a_length_that_is_wrong_shows_no_secret_in_any_dialect() {
    let (secrets, all) = (secrets_with(PIN), shipped());
    let (mut tried, mut sound, mut contested) = (0, 0, 0);
    for dialect in &all {
        for (with, sale) in sales(dialect) {
            for (de, by, bytes) in with_one_length_wrong(dialect, &sale) {
                // Of what is the same in all sales, what moves a PIN block by half.
                if with.is_some_and(|with| de != with && by != -8) {
                    continue;
                }
                tried += 1;
                let best = guesses(&[reading(&bytes)], &all, None).remove(0);
                sound += usize::from(best.is_sound());
                contested += usize::from(!best.contested.is_empty());
                // To explain takes a hundred times as long as to guess.
                if best.is_sound() || tried % EXPLAINED == 0 {
                    let what = format!("{} with {with:?}, DE{de} {by:+}", dialect.name());
                    check(&bytes, &all, &what, &secrets);
                }
            }
        }
    }
    assert!(tried > 3_000, "{tried}");
    assert!(sound > 25 && contested > 3, "{sound}, {contested}");
}

#[test]
fn what_is_sound_is_contested_by_no_other_dialect() {
    let all = shipped();
    let contested = |bytes: &[u8]| guesses(&[reading(bytes)], &all, None).remove(0).contested;
    for dialect in &all {
        for (file, bytes) in samples(dialect.name(), true) {
            assert_eq!(contested(&bytes), [], "{}", file.display());
        }
        assert_eq!(
            contested(&sale_with(dialect, PIN)),
            [],
            "{}",
            dialect.name()
        );
    }
}

#[test]
fn half_a_pin_block_in_another_field_is_told_and_hidden() {
    let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
    let sale = sales(&dialect)
        .into_iter()
        .find(|(with, _)| *with == Some(46));
    let damaged = with_one_length_wrong(&dialect, &sale.unwrap().1);
    let damaged = damaged
        .into_iter()
        .find(|(de, by, _)| (*de, *by) == (46, 8));
    let hex = to_hex(&damaged.unwrap().2);
    let table = posgate(&["message", "decode", &hex], b"");
    assert_eq!(table.status.code(), Some(0));
    let table = out(&table);
    let json = out(&posgate(&["message", "decode", &hex, "-o", "json"], b""));
    let lines = out(&posgate(
        &["message", "decode", "--lines", "-f", "-"],
        hex.as_bytes(),
    ));
    let diff = out(&posgate(
        &["message", "diff", &hex, &to_hex(&sale_with(&dialect, PIN))],
        b"",
    ));
    assert!(
        table.contains("doubtful: DE46: as iso8583-1987-ascii what nobody may see"),
        "{table}"
    );
    assert!(json.contains("if the length of DE46 is wrong"), "{json}");
    for shown in [&table, &json, &lines, &diff] {
        for piece in PIN.as_bytes().windows(4) {
            let piece = str::from_utf8(piece).unwrap();
            assert!(!shown.contains(piece), "{piece}: {shown}");
        }
    }
    // Who says what it is, sees it.
    let named = ["message", "decode", &hex, "-d", "iso8583-1987-hex"];
    assert!(!out(&posgate(&named, b"")).contains("doubtful"));
}
