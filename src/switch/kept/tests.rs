//! Every shipped dialect, and one with hidden parts in every kind of layout.

use bytes::BytesMut;

use super::*;
use crate::base::document::Problem;
use crate::iso8583::{Index, Mti};

const UNIONPAY: &str = "unionpay-pos";
/// Ends in its check digit.
const CARD: &str = "6228480402564890018";
/// Without zeros, so that what is filled with them is told from it.
const FULL_CARD: &str = "6228481234567891233";
const SHORT_CARD: &str = "4761739123456786";
const TXN: TxnId = TxnId(7);

/// What is kept of a message with these fields, all of which a reversal copies.
fn of(dialect: &Dialect, fields: &[(u8, &[u8])]) -> Kept {
    let mti = dialect
        .requests()
        .first()
        .map_or(Mti::FINANCIAL_REQUEST, |row| row.mtis[0]);
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(mti);
    let mut copies = FieldSet::EMPTY;
    for (de, value) in fields {
        writer.text(*de, value);
        copies = copies.with(*de);
    }
    writer.finish().unwrap();
    let mut index = Index::new();
    let prefix = dialect.framing().prefix_bytes();
    let message = dialect.decode(&out[prefix..], &mut index).unwrap();
    kept(&message, copies)
}

fn unionpay() -> std::sync::Arc<Dialect> {
    Dialect::shipped(UNIONPAY).unwrap()
}

fn packed(digits: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
    let pairs = nibbles.chunks(2);
    pairs
        .map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0xF))
        .collect()
}

/// Whether as many digits of a card number as none may have lie in there, in whatever form.
fn shows(bytes: &[u8], card: &str) -> bool {
    let lie_in = |all: &[u8]| {
        let mut runs = card.as_bytes().windows(DIGITS_MIN);
        runs.any(|run| all.windows(run.len()).any(|w| w == run))
    };
    lie_in(bytes) || lie_in(&nibbles(bytes))
}

#[test]
fn a_secret_part_is_left_out_and_the_rest_is_kept() {
    let dialect = unionpay();
    let check = |value: &str, expect: Option<&str>| {
        let kept = of(&dialect, &[(59, value.as_bytes())]);
        assert!(kept.cards.is_empty(), "{value}");
        let expect = expect.map(|rest| dialect.kept_of(59, rest.as_bytes()).unwrap());
        assert_eq!(kept_element(&kept.open, 59), expect.as_deref(), "{value}");
    };
    check("A1003abc", Some("A1003abc"));
    check("A3018286212345678901234", None);
    check("A1003abcA3018286212345678901234", Some("A1003abc"));
    check("A2010020050000xA3004wxyz", Some("A2010020050000x"));
    // What cannot be taken apart is not kept.
    check("A3999286212345678901234", None);
}

#[test]
fn how_an_original_is_named_is_kept_whatever_it_looks_like() {
    let dialect = unionpay();
    for number in 0..2_000_u32 {
        let (batch, stan) = (number * 499 % 1_000_000, number * 7_919 % 1_000_000);
        let value = format!("{batch:06}{stan:06}1122");
        let kept = of(&dialect, &[(61, value.as_bytes())]);
        let element = dialect.kept_of(61, value.as_bytes());
        assert_eq!(kept_element(&kept.open, 61), element.as_deref(), "{value}");
        let value = format!("22{batch:06}00050{:04}", stan % 10_000);
        let kept = of(&dialect, &[(60, value.as_bytes())]);
        let element = dialect.kept_of(60, value.as_bytes());
        assert_eq!(kept_element(&kept.open, 60), element.as_deref(), "{value}");
    }
}

#[test]
fn a_card_number_across_the_parts_is_sealed_and_comes_back() {
    let (dialect, keys) = (unionpay(), DataKeys::simulated().unwrap());
    let value = format!("0019{CARD}0");
    let kept = of(&dialect, &[(61, value.as_bytes())]);
    // A 56th of February is no date.
    let named = dialect.kept_of(61, format!("001962284804{:012}", 0).as_bytes());
    assert_eq!(kept_element(&kept.open, 61), named.as_deref());
    let stored = kept.sealed(&keys, TXN).unwrap();
    assert!(!shows(&stored, CARD));
    let back = opened(&stored, &keys, TXN).unwrap();
    let whole = dialect.kept_of(61, value.as_bytes());
    assert_eq!(kept_element(&back, 61), whole.as_deref());
    assert_eq!(opened(&stored, &keys, TxnId(8)), None);
}

#[test]
fn no_dialect_keeps_a_card_number_in_a_field_that_everybody_may_see() {
    let keys = DataKeys::simulated().unwrap();
    let mut tried = 0;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let roles = *dialect.roles();
        // A batch in the middle of it was compared with the terminal's: too few digits are left for a number.
        let batch = roles.batch.map_or(0, |part| part.field);
        let own = [roles.terminal, roles.merchant, roles.rrn, roles.mac, batch];
        for de in dialect.open_fields().iter().filter(|de| *de > 2) {
            let field = dialect.field(de).unwrap();
            let max = usize::from(field.max);
            let card = if max >= FULL_CARD.len() {
                FULL_CARD
            } else {
                SHORT_CARD
            };
            let mut values = vec![card.as_bytes().to_vec()];
            match field.kind {
                FieldType::Numeric | FieldType::Track => {
                    values.push(format!("0019{card}0").into_bytes());
                }
                FieldType::Alphanumeric | FieldType::Text => {
                    values.push(format!("CARD {card}.").into_bytes());
                    let (first, rest) = card.split_at(4);
                    values.push(format!("{first} {rest}").into_bytes());
                }
                FieldType::Binary => values.push(packed(card)),
            }
            for mut value in values {
                if value.len() > max || own.contains(&de) {
                    continue;
                }
                if !field.variable {
                    let filler = match field.kind {
                        FieldType::Numeric | FieldType::Track => b'0',
                        FieldType::Alphanumeric | FieldType::Text => b' ',
                        FieldType::Binary => 0xFF,
                    };
                    value.resize(max, filler);
                }
                tried += 1;
                let kept = of(&dialect, &[(de, &value)]);
                let plain: Vec<u8> = kept.open.iter().copied().filter(|b| *b != b' ').collect();
                assert!(!shows(&plain, card), "{name} DE{de}: {value:x?}");
                let stored = kept.sealed(&keys, TXN).unwrap();
                assert!(!shows(&stored, card), "{name} DE{de}");
                // It comes back whole where its parts can be told apart.
                let back = opened(&stored, &keys, TXN).unwrap();
                let layout = dialect.layout(de).filter(|layout| hides(layout));
                if layout.is_none() {
                    let whole = dialect.kept_of(de, &value);
                    assert_eq!(kept_element(&back, de), whole.as_deref(), "{name} DE{de}");
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn the_transactions_own_card_number_is_found_without_a_check_digit() {
    let dialect = unionpay();
    let own = "6228480402564890011";
    assert!(!card::luhn(own.as_bytes()));
    let text = format!("OF {own}");
    for (de, value) in [
        (63, text.as_bytes()),
        (46, &packed(own)),
        (61, own.as_bytes()),
    ] {
        let kept = of(&dialect, &[(2, own.as_bytes()), (de, value)]);
        assert!(!shows(&kept.open, own), "DE{de}");
        assert!(kept_element(&kept.cards, de).is_some(), "DE{de}");
    }
}

/// A dialect with hidden parts in every kind of layout.
fn amended() -> Result<Dialect, Vec<Problem>> {
    let amended = "\n[subfields.46]\nform = \"ber-tlv\"\n\
        \n[subfields.47]\nform = \"ltv\"\nlength_bytes = 1\nlength_encoding = \"binary\"\ntag_bytes = 1\n\
        [subfields.47.parts]\nS = { en = \"secret\", type = \"b\", show = \"secret\" }\n\
        O = { en = \"open\", type = \"b\" }\n\
        \n[subfields.56]\nform = \"positional\"\n[subfields.56.parts]\n\
        1 = { en = \"open\", type = \"n\", max = 2 }\n\
        2 = { en = \"secret\", type = \"an\", max = 4, show = \"secret\" }\n\
        3 = { en = \"open\", type = \"an\", length = \"rest\", max = 9 }\n\
        \n[subfields.44]\nform = \"repeat\"\n[subfields.44.parts]\n\
        1 = { en = \"open\", type = \"n\", max = 2 }\n\
        2 = { en = \"secret\", type = \"an\", max = 4, show = \"secret\" }\n";
    let text = Dialect::shipped_text(UNIONPAY).unwrap_or_default();
    Dialect::parse("amended", &format!("{text}{amended}"))
}

#[test]
fn hidden_parts_go_from_every_kind_of_layout() {
    let dialect = amended().unwrap();
    let check = |de: u8, value: &[u8], expect: &[u8]| {
        let kept = of(&dialect, &[(de, value)]);
        assert!(kept.cards.is_empty(), "DE{de}");
        let expect = dialect.kept_of(de, expect);
        assert_eq!(kept_element(&kept.open, de), expect.as_deref(), "DE{de}");
    };
    // Track 2 of a chip, whatever the dialect says of it.
    let track = b"\x57\x05\x62\x28\x48\xD3\x01";
    let serial = b"\x9F\x1E\x08SERIAL01";
    check(46, &[serial.as_slice(), track].concat(), serial);
    // In a template.
    let inside = [b"\x70\x07".as_slice(), track].concat();
    check(
        46,
        &[serial.as_slice(), &inside].concat(),
        b"\x9F\x1E\x08SERIAL01\x70\x00",
    );
    check(47, b"\x03Sxyz\x02Oab", b"\x02Oab");
    check(56, b"12WXYZrest", b"12    rest");
    check(44, b"12WXYZ34QRST", b"12    34    ");
}

#[test]
fn a_card_number_of_a_chip_is_sealed_without_its_track() {
    let dialect = amended().unwrap();
    let number = b"\x5A\x08\x47\x61\x73\x90\x01\x01\x00\x10";
    let track = b"\x57\x05\x62\x28\x48\xD3\x01";
    let kept = of(&dialect, &[(46, &[number.as_slice(), track].concat())]);
    assert_eq!(kept.open, b"");
    let sealed = dialect.kept_of(46, number);
    assert_eq!(kept_element(&kept.cards, 46), sealed.as_deref());
}

#[test]
fn dates_are_told_from_other_digits() {
    for (digits, date) in [
        ("1122", true),
        ("0000", true),
        ("0256", false),
        ("1322", false),
        ("1122181500", true),
        ("1122251500", false),
        ("2564890018", false),
    ] {
        assert_eq!(is_date(digits.as_bytes()), date, "{digits}");
    }
}
