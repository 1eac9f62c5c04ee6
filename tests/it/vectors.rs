//! Published messages of real terminals and acquirers, kept beside the repository and never in it.
//!
//! A message counts as sound when the collection says that it parses to its last byte and that nothing of
//! it is missing. Those without an envelope get the dialect's own in front.

use std::path::PathBuf;

use bytes::BytesMut;
use posgate::iso8583::{Dialect, FieldType, Index, Message, SubField};
use posgate::wire::{Scan, scan};
use serde_json::Value;

/// Messages that the rule calls sound: the test may not check fewer.
const SOUND: usize = 47;

fn collection() -> Option<Value> {
    let path = std::env::var_os("POSGATE_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/unionpay.json"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(&path).ok()?;
    Some(serde_json::from_str(&text).expect("the collection is JSON"))
}

fn sound(vector: &Value) -> bool {
    vector["parses_exactly"] == true && vector.get("de64_missing").is_none()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn has_part(vector: &Value, part: &str) -> bool {
    vector["parts"]
        .as_array()
        .unwrap()
        .iter()
        .any(|have| have == part)
}

/// The frame as it would stand behind a length prefix, its envelope made up where the source has none.
fn frame(dialect: &Dialect, vector: &Value) -> Vec<u8> {
    let bytes = unhex(vector["hex"].as_str().unwrap());
    let mut rest = bytes.as_slice();
    if has_part(vector, "length2") {
        if vector["length_prefix_ok"] == true {
            let expect = Scan::Frame {
                start: 2,
                end: bytes.len(),
            };
            assert_eq!(scan(dialect.framing(), &bytes, 4_096), Ok(expect));
        }
        rest = &rest[2..];
    }
    let mut frame = Vec::new();
    for (part, usual) in [
        ("tpdu5", &dialect.framing().tpdu),
        ("header6", &dialect.framing().header),
    ] {
        if has_part(vector, part) {
            frame.extend_from_slice(&rest[..usual.len()]);
            rest = &rest[usual.len()..];
        } else {
            frame.extend_from_slice(usual);
        }
    }
    frame.extend_from_slice(rest);
    frame
}

/// A field as the collection writes it: digits, text, or hexadecimal digits for bytes (`hex:` in front
/// where text was to be expected).
fn as_written(message: &Message<'_>, de: u8, expect: &str) -> String {
    let content = message.field(de).unwrap();
    match message.dialect().field(de).unwrap().kind {
        FieldType::Numeric => {
            let digits = message.part(SubField::whole(de)).unwrap();
            digits.as_str().to_owned()
        }
        // The collection writes the separator as its nibble.
        FieldType::Track => {
            let digits = message.part(SubField::whole(de)).unwrap();
            digits.as_str().replace('=', "D")
        }
        // Chinese text is GBK, which the collection may give as text: then its bytes stand in doubt here.
        FieldType::Alphanumeric | FieldType::Text | FieldType::Binary => {
            match str::from_utf8(content) {
                Ok(text) if text == expect => text.to_owned(),
                Ok(_) | Err(_) if expect.starts_with("hex:") => format!("hex:{}", hex(content)),
                Ok(_) | Err(_) => hex(content),
            }
        }
    }
}

fn field_values_agree(message: &Message<'_>, vector: &Value) {
    let id = &vector["id"];
    let fields = vector["fields"].as_object().unwrap();
    let listed = fields.keys().map(|de| de.parse::<u8>().unwrap()).collect();
    assert_eq!(message.fields(), listed, "{id}");
    for (de, expect) in fields {
        let de = de.parse().unwrap();
        let expect = expect.as_str().unwrap();
        let found = as_written(message, de, expect);
        let gbk = !expect.is_ascii();
        assert!(found == expect || gbk, "{id}: DE{de} differs");
    }
}

/// Rebuilds the message element by element, which keeps padding nibbles.
fn copied(message: &Message<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer = message.dialect().write(&mut out);
    writer.envelope_raw(message.envelope());
    writer.mti(message.mti());
    writer.copy_set(message, message.fields());
    writer.finish().unwrap();
    out
}

/// Rebuilds the message from its values: the same bytes wherever padding is the usual zero.
fn from_values(message: &Message<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer = message.dialect().write(&mut out);
    writer.envelope_raw(message.envelope());
    writer.mti(message.mti());
    for de in message.fields().iter() {
        let content = message.field(de).unwrap();
        match message.dialect().field(de).unwrap().kind {
            FieldType::Numeric | FieldType::Track => {
                writer.digits(de, &message.part(SubField::whole(de)).unwrap());
            }
            FieldType::Alphanumeric | FieldType::Text => writer.text(de, content),
            FieldType::Binary => writer.bytes(de, content),
        }
    }
    writer.finish().unwrap();
    out
}

fn usual_padding(vector: &Value) -> bool {
    let Some(pads) = vector.get("bcd_pad").and_then(Value::as_object) else {
        return true;
    };
    pads.values().all(|pad| pad == "0" || pad == "L0")
}

#[test]
fn published_messages_decode_to_their_fields_and_encode_to_their_bytes() {
    let Some(collection) = collection() else {
        println!("skipped: no collection of published messages (POSGATE_VECTORS)");
        return;
    };
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let mut index = Index::new();
    let (mut checked, mut rebuilt) = (0, 0);
    for vector in collection["vectors"].as_array().unwrap() {
        if !sound(vector) {
            continue;
        }
        let id = &vector["id"];
        let frame = frame(&dialect, vector);
        let message = dialect
            .decode(&frame, &mut index)
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(message.mti().to_string(), vector["mti"].as_str().unwrap());
        field_values_agree(&message, vector);
        assert_eq!(&copied(&message)[2..], frame, "{id}");
        if usual_padding(vector) {
            assert_eq!(&from_values(&message)[2..], frame, "{id}");
            rebuilt += 1;
        }
        checked += 1;
    }
    assert_eq!(checked, SOUND);
    assert!(rebuilt > SOUND / 2, "{rebuilt}");
}

#[test]
fn published_messages_that_do_not_parse_are_errors_without_values() {
    let Some(collection) = collection() else {
        println!("skipped: no collection of published messages (POSGATE_VECTORS)");
        return;
    };
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let mut index = Index::new();
    let whole = |hex: &str| hex.len().is_multiple_of(2);
    for vector in collection["vectors"].as_array().unwrap() {
        if sound(vector) || !whole(vector["hex"].as_str().unwrap()) {
            continue;
        }
        let frame = frame(&dialect, vector);
        assert!(
            dialect.decode(&frame, &mut index).is_err(),
            "{}",
            vector["id"]
        );
    }
}

#[test]
fn published_requests_are_known_business() {
    let Some(collection) = collection() else {
        println!("skipped: no collection of published messages (POSGATE_VECTORS)");
        return;
    };
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let mut index = Index::new();
    for vector in collection["vectors"].as_array().unwrap() {
        if !sound(vector) {
            continue;
        }
        let frame = frame(&dialect, vector);
        let message = dialect.decode(&frame, &mut index).unwrap();
        if !message.mti().is_request() {
            continue;
        }
        let id = vector["id"].as_str().unwrap();
        let row = dialect
            .classify(&message)
            .unwrap_or_else(|| panic!("{id} is no known request"));
        let said = [
            ("sign-on", "signon-req"),
            ("qr-sale", "qr-sale-req"),
            ("sale", "pay-req"),
            ("sale-void", "void-req"),
            ("reversal", "reversal"),
            ("settlement", "settle-req"),
            ("echo", "echo-req"),
            ("e-signature", "sign-img-req"),
        ];
        if let Some((name, _)) = said.iter().find(|(_, words)| id.contains(words)) {
            assert_eq!(row.name, *name, "{id}");
        }
    }
}
