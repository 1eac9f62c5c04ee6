//! What a writer accepts, and what it says of the rest.

use std::sync::Arc;

use super::*;
use crate::iso8583::index::Index;

fn unionpay() -> Arc<Dialect> {
    Dialect::shipped("unionpay-pos").unwrap()
}

/// Writes a line test with one field more, and gives the field's bytes or the mistake.
fn field(de: u8, value: FieldValue<'_>) -> Result<Vec<u8>, EncodeError> {
    let dialect = unionpay();
    let mut out = BytesMut::from(&b"before"[..]);
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0800").unwrap());
    writer.value(de, value);
    let written = writer.finish();
    if written.is_err() {
        assert_eq!(&out[..], b"before", "a mistake takes back what was written");
    }
    written.map(|()| out[6 + 2 + 11 + 2 + 8..].to_vec())
}

#[test]
fn values_take_the_form_of_their_field() {
    use FieldValue as V;
    let check = |de, value, expect: &[u8]| assert_eq!(field(de, value).unwrap(), expect, "DE{de}");
    check(4, V::Number(12_345), &[0, 0, 0, 1, 0x23, 0x45]);
    check(4, V::Digits(b"12345"), &[0, 0, 0, 1, 0x23, 0x45]);
    check(4, V::Text(b"12345"), &[0, 0, 0, 1, 0x23, 0x45]);
    check(32, V::Number(0), &[0x01, 0x00]);
    check(32, V::Digits(b"10203"), &[0x05, 0x10, 0x20, 0x30]);
    check(22, V::Digits(b"021"), &[0x02, 0x10]);
    check(23, V::Digits(b"001"), &[0x00, 0x01]);
    check(23, V::Number(7), &[0x00, 0x07]);
    check(35, V::Digits(b"62=30"), &[0x05, 0x62, 0xD3, 0x00]);
    check(41, V::Text(b"T1"), b"T1      ");
    check(39, V::Text(b"00"), b"00");
    check(
        60,
        V::Digits(b"00000001003"),
        &[0x00, 0x11, 0, 0, 0, 0x01, 0x00, 0x30],
    );
    check(62, V::Bytes(&[1, 2, 3]), &[0x00, 0x03, 1, 2, 3]);
    check(52, V::Bytes(&[9; 8]), &[9; 8]);
    check(2, V::Element(&[0x02, 0x12]), &[0x02, 0x12]);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    use EncodeError as E;
    use FieldValue as V;
    let check = |de, value, expect| assert_eq!(field(de, value), Err(expect), "DE{de}");
    let length = |field, found, max| E::Length { field, found, max };
    check(4, V::Number(1_000_000_000_000), length(4, 13, 12));
    check(2, V::Digits(&[b'1'; 20]), length(2, 20, 19));
    check(41, V::Text(b"TERMINAL1"), length(41, 9, 8));
    check(52, V::Bytes(&[0; 7]), length(52, 7, 8));
    check(4, V::Digits(b"12x"), E::Character { field: 4 });
    check(35, V::Digits(b"12A"), E::Character { field: 35 });
    check(4, V::Digits(b"12="), E::Character { field: 4 });
    check(41, V::Text(b"T\n"), E::Character { field: 41 });
    check(41, V::Bytes(b"T"), E::Character { field: 41 });
    check(64, V::Digits(b"1"), E::Character { field: 64 });
    check(10, V::Number(1), E::Undefined { field: 10 });
    check(1, V::Number(1), E::Undefined { field: 1 });
    check(70, V::Number(1), E::Undefined { field: 70 });
    check(200, V::Number(1), E::Undefined { field: 200 });
}

#[test]
fn order_matters_and_the_first_mistake_is_kept() {
    let dialect = unionpay();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.number(11, 1);
    assert_eq!(writer.finish(), Err(EncodeError::NoMti));
    let mut writer = dialect.write(&mut out);
    writer.mti(Mti::parse("0800").unwrap());
    let envelope = EncodeError::Envelope {
        needed: 11,
        found: 0,
    };
    assert_eq!(writer.finish(), Err(envelope));
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0800").unwrap());
    writer.number(11, 1);
    writer.number(11, 2);
    writer.number(4, 2);
    assert_eq!(writer.finish(), Err(EncodeError::Order { field: 11 }));
    assert_eq!(dialect.write(&mut out).finish(), Err(EncodeError::NoMti));
    assert!(out.is_empty());
}

#[test]
fn an_answer_turns_the_envelope_round() {
    let dialect = unionpay();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_answering(&[0x60, 1, 2, 3, 4, 0x61, 0x31, 0x07, 0x31, 0x11, 0x08]);
    writer.mti(Mti::parse("0810").unwrap());
    writer.finish().unwrap();
    let expect = [0x60, 3, 4, 1, 2, 0x61, 0x31, 0x00, 0x31, 0x11, 0x08];
    assert_eq!(&out[2..13], expect);
    assert_eq!(&out[..2], [0, 21]);
}

#[test]
fn fields_from_another_dialect_take_this_one_s_form() {
    let (from, to) = (unionpay(), Dialect::shipped("iso8583-1987-ascii").unwrap());
    let mut packed = BytesMut::new();
    let mut writer = from.write(&mut packed);
    writer.envelope_default();
    writer.mti(Mti::parse("0200").unwrap());
    writer.digits(2, b"6217000000000018");
    writer.number(4, 12_345);
    writer.digits(35, b"6217000000000018=3012201");
    writer.text(41, b"T0000001");
    writer.bytes(52, &[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
    writer.finish().unwrap();
    let mut index = Index::new();
    let message = from.decode(&packed[2..], &mut index).unwrap();
    let mut out = BytesMut::new();
    let mut writer = to.write(&mut out);
    writer.mti(message.mti());
    writer.copy_set(&message, message.fields());
    writer.number(70, 301);
    writer.finish().unwrap();
    let mut index = Index::new();
    let there = to.decode(&out[2..], &mut index).unwrap();
    assert_eq!(there.number(4), Some(12_345));
    assert_eq!(there.digits(35), message.digits(35));
    assert_eq!(there.pan(), message.pan());
    assert_eq!(there.block(52), message.block(52));
    assert_eq!(there.number(70), Some(301));
    assert!(there.has(1));
}

/// Fields of every width from 1 to 20: digits from DE2, alphanumeric ones from DE22, text from DE42.
fn of_every_width() -> Dialect {
    let mut text =
        "name = \"d\"\ntitle = \"d\"\n[framing]\nlength_bytes = 2\n[message]\nbitmaps = 1\n[fields]\n".to_owned();
    for (first, kind) in [(2_u8, "n"), (22, "an"), (42, "ans")] {
        for (de, width) in (first..).zip(1..=20) {
            text.push_str(&format!(
                "{de} = {{ en = \"e\", type = \"{kind}\", max = {width} }}\n"
            ));
        }
    }
    Dialect::parse("d.toml", &text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// One field behind others, alone or where the room that is ready ends.
fn fixed(dialect: &Dialect, de: u8, value: FieldValue<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.mti(Mti::parse("0800").unwrap());
    writer.value(de, value);
    writer.finish()?;
    let alone = out[2 + 4 + 8..].to_vec();
    for before in READY_BYTES - 40..=READY_BYTES {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.mti(Mti::parse("0800").unwrap());
        // As if much had been written.
        writer.slot(before);
        writer.value(de, value);
        writer.finish()?;
        assert!(out.ends_with(&alone), "DE{de} behind {before}");
    }
    Ok(alone)
}

#[test]
fn a_number_fills_its_field_or_is_too_long() {
    let dialect = of_every_width();
    for width in 1..=20_u8 {
        for digits in 1..=20_u32 {
            for number in [
                10_u64.pow(digits - 1),
                9_876_543_210_123_456_789 / 10_u64.pow(20 - digits.max(2)),
                0,
            ] {
                let text = number.to_string();
                let de = width + 1;
                let expect = if text.len() > width.into() {
                    Err(EncodeError::Length {
                        field: de,
                        found: text.len(),
                        max: width.into(),
                    })
                } else {
                    Ok(format!("{number:0width$}", width = width.into()).into_bytes())
                };
                assert_eq!(
                    fixed(&dialect, de, FieldValue::Number(number)),
                    expect,
                    "{number}"
                );
            }
        }
    }
}

#[test]
fn each_character_of_a_fixed_field_is_looked_at() {
    let dialect = of_every_width();
    for width in 1..=20_u8 {
        let good: Vec<u8> = (0..width).map(|at| b'0' + at % 10).collect();
        for (first, bad) in [
            (2, &b"/:a\x00\xFF"[..]),
            (22, b"\x1F\x7F\x80\xFF"),
            (42, b"\x1F\x7F"),
        ] {
            let de = first + width - 1;
            let write = |value: &[u8]| {
                let value = if first == 2 {
                    FieldValue::Digits(value)
                } else {
                    FieldValue::Text(value)
                };
                fixed(&dialect, de, value)
            };
            assert_eq!(write(&good), Ok(good.clone()), "DE{de}");
            for at in 0..good.len() {
                for bad in bad {
                    let mut value = good.clone();
                    value[at] = *bad;
                    assert_eq!(
                        write(&value),
                        Err(EncodeError::Character { field: de }),
                        "DE{de}: {bad:#x} at {at}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_is_written_before_the_message_type_or_out_of_order() {
    let dialect = of_every_width();
    for value in [
        FieldValue::Number(1),
        FieldValue::Digits(b"0001"),
        FieldValue::Text(b"0001"),
    ] {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.value(5, value);
        assert_eq!(writer.finish(), Err(EncodeError::NoMti));
        let mut writer = dialect.write(&mut out);
        writer.mti(Mti::parse("0800").unwrap());
        writer.value(5, value);
        writer.value(5, value);
        assert_eq!(writer.finish(), Err(EncodeError::Order { field: 5 }));
        assert!(out.is_empty());
    }
}
