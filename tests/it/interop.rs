//! Messages against the Python package pyiso8583: encoded here and decoded there, encoded there and decoded here.
//!
//! How a dialect writes a field is not taken from its file but read off a message that it wrote, so that the
//! other side's specification does not repeat a mistake of ours in reading the file. Lengths are taken from the
//! file there; for the standard's fields they are held against the specifications that come with the package.
//! `.ci/run` installs the package into `target/tools`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::BytesMut;
use posgate::inspect::bytes::{hex, to_hex};
use posgate::iso8583::{Dialect, Field, FieldType, Index, Mti};
use serde_json::{Map, Value, json};

/// Messages of each dialect.
const MESSAGES: usize = 1_000;

/// Longest value of most variable fields; one in twenty is as long as it can be, or anything up to that.
const VALUE_MAX: usize = 60;

/// A Python that has pyiso8583; `None` when there is none and none is required.
fn python() -> Option<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/python");
    let python = std::env::var("POSGATE_PYTHON").unwrap_or_else(|_| own.display().to_string());
    let found = Command::new(&python)
        .args(["-c", "import iso8583"])
        .output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var_os("POSGATE_REQUIRE_TOOLS").is_none_or(|value| value != "1"),
        "pyiso8583 is needed, and POSGATE_REQUIRE_TOOLS=1: python3 -m venv target/tools && target/tools/bin/pip install pyiso8583"
    );
    None
}

/// The bytes of one field alone, with and without its length prefix.
fn probe(dialect: &Dialect, de: u8, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0200").unwrap());
    writer.field(de, value);
    writer.finish().unwrap();
    let mut index = Index::new();
    let message = dialect
        .decode(&out[dialect.framing().prefix_bytes()..], &mut index)
        .unwrap();
    let content = message.field(de).unwrap();
    let element = message.element(de).unwrap();
    (
        element[..element.len() - content.len()].to_vec(),
        content.to_vec(),
    )
}

/// What characters are written in, by what a known one became.
fn charset(byte: u8, ascii: u8) -> &'static str {
    if byte == ascii { "ascii" } else { "cp500" }
}

fn entry(data: &str, length: &str, digits: usize, max: usize) -> Map<String, Value> {
    let entry = json!({ "data_enc": data, "len_enc": length, "len_type": digits, "max_len": max, "desc": "" });
    entry.as_object().unwrap().clone()
}

/// How the other side must read a field.
fn field_spec(dialect: &Dialect, field: &Field) -> Map<String, Value> {
    let max = usize::from(field.max);
    // Eleven is written differently in every kind of length, and is odd.
    let units = if field.variable { max.min(11) } else { max };
    let character = match field.kind {
        FieldType::Numeric | FieldType::Track => b'1',
        FieldType::Alphanumeric | FieldType::Text => b'A',
        FieldType::Binary => 0xAB,
    };
    let (prefix, content) = probe(dialect, field.number, &vec![character; units]);
    let alone = units == 1 && matches!(content[..], [0x10 | 0x01]);
    let halves = units > 1 && content.len() == units.div_ceil(2);
    let packed = character == b'1' && (alone || halves);
    let hexadecimal = character == 0xAB && content.len() == units * 2;
    let raw = character == 0xAB && !hexadecimal;
    let told = if hexadecimal { units * 2 } else { units };
    let length = match prefix.as_slice() {
        [] => "ascii",
        digits if digits.iter().all(u8::is_ascii_digit) => "ascii",
        digits if digits.iter().all(|byte| (0xF0..=0xF9).contains(byte)) => "cp500",
        digits if to_hex(digits).parse() == Ok(told) => "bcd",
        _ => "b",
    };
    let data = match (packed || raw, hexadecimal) {
        (true, _) => "b",
        (false, true) => charset(content[0], b'A'),
        (false, false) => charset(content[0], character),
    };
    let max = if hexadecimal { max * 2 } else { max };
    let mut entry = entry(data, length, prefix.len(), max);
    if packed {
        entry.insert("len_count".into(), "nibbles".into());
        let (_, odd) = probe(
            dialect,
            field.number,
            &vec![
                b'1';
                if field.variable {
                    3.min(units) | 1
                } else {
                    units
                }
            ],
        );
        let left = odd[0] >> 4 == 0;
        entry.insert(
            if left { "left_pad" } else { "right_pad" }.into(),
            "0".into(),
        );
    }
    entry
}

/// The other side's specification of a dialect. `None` where it has no word for something.
fn spec(dialect: &Dialect) -> Option<Value> {
    if !dialect.framing().trailer.is_empty() {
        return None;
    }
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse("0200").unwrap());
    writer.finish().unwrap();
    let envelope = dialect.framing().envelope_bytes();
    let message = &out[dialect.framing().prefix_bytes() + envelope..];
    let mut all = Map::new();
    let mut put = |key: &str, entry: Map<String, Value>| {
        all.insert(key.to_owned(), entry.into());
    };
    put("h", entry("b", "ascii", 0, envelope));
    let (mti, bitmap) = match message[0] {
        0x02 => (entry("b", "ascii", 0, 2), &message[2..]),
        first => (entry(charset(first, b'0'), "ascii", 0, 4), &message[4..]),
    };
    put("t", mti);
    for key in ["p", "1", "65"] {
        let written = match bitmap.len() {
            8 => entry("b", "ascii", 0, 8),
            _ => entry(charset(bitmap[0], b'0'), "ascii", 0, 16),
        };
        put(key, written);
    }
    for field in dialect.fields().iter().filter(|field| field.number <= 128) {
        put(&field.number.to_string(), field_spec(dialect, field));
    }
    Some(all.into())
}

/// A random value of a field.
fn value(field: &Field, random: &mut fastrand::Rng) -> Vec<u8> {
    let max = usize::from(field.max);
    let units = match random.u8(..40) {
        _ if !field.variable => max,
        0 => max,
        1 => random.usize(1..=max),
        _ => random.usize(1..=max.min(VALUE_MAX)),
    };
    let mut one = || match field.kind {
        FieldType::Numeric => random.u8(b'0'..=b'9'),
        FieldType::Track if random.u8(..) < 20 => b'=',
        FieldType::Track => random.u8(b'0'..=b'9'),
        // What every code page of EBCDIC has in the same place.
        FieldType::Alphanumeric | FieldType::Text => random
            .choice(b"ABCXYZabcxyz0189 .-/".iter().copied())
            .unwrap(),
        FieldType::Binary => random.u8(..),
    };
    (0..units).map(|_| one()).collect()
}

/// The value as the other side writes it.
fn as_text(entry: &Value, field: &Field, value: &[u8]) -> String {
    match field.kind {
        FieldType::Binary => to_hex(value),
        // The separator of packed tracks is a nibble.
        FieldType::Track if entry["data_enc"] == "b" => {
            String::from_utf8(value.to_vec()).unwrap().replace('=', "D")
        }
        _ => String::from_utf8(value.to_vec()).unwrap(),
    }
}

/// A message here, and as the other side takes it.
struct Both {
    frame: Vec<u8>,
    fields: Vec<(u8, Vec<u8>)>,
    theirs: Map<String, Value>,
}

fn message(dialect: &Dialect, spec: &Value, random: &mut fastrand::Rng) -> Both {
    let mti = random
        .choice(["0100", "0200", "0210", "0421", "0800"])
        .unwrap();
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::parse(mti).unwrap());
    let framing = dialect.framing();
    let mut theirs = Map::new();
    theirs.insert("t".into(), mti.into());
    let mut fields = Vec::new();
    for field in dialect.fields().iter().filter(|field| field.number <= 128) {
        if random.u8(..) >= 64 {
            continue;
        }
        let value = value(field, random);
        writer.field(field.number, &value);
        let key = field.number.to_string();
        theirs.insert(key.clone(), as_text(&spec[&key], field, &value).into());
        fields.push((field.number, value));
    }
    writer.finish().unwrap();
    let frame = out[framing.prefix_bytes()..].to_vec();
    // As it was written: a header may have the message's length in it.
    let envelope = framing.tpdu.len() + framing.header.len();
    theirs.insert("h".into(), to_hex(&frame[..envelope]).into());
    Both {
        frame,
        fields,
        theirs,
    }
}

/// Has the other side decode and encode; its answers, one a message.
fn answers(python: &str, spec: &Value, messages: &[Both]) -> Vec<Value> {
    let listed: Vec<_> = messages
        .iter()
        .map(|both| json!({ "hex": to_hex(&both.frame), "fields": both.theirs }))
        .collect();
    let asked = json!({ "spec": spec, "messages": listed }).to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(asked.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "pyiso8583 refused a message");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A specification that comes with the other side, as it is.
fn published(python: &str, name: &str) -> Value {
    let script = format!("import json, iso8583.specs; print(json.dumps(iso8583.specs.{name}))");
    let output = Command::new(python).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "pyiso8583 has no {name}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Has the other side read and write random messages under its specification; how many fields were the same.
fn same_there(python: &str, dialect: &Dialect, spec: &Value) -> usize {
    let name = dialect.name();
    let mut random = fastrand::Rng::with_seed(8_583);
    let messages: Vec<_> = (0..MESSAGES)
        .map(|_| message(dialect, spec, &mut random))
        .collect();
    let mut fields = 0;
    for (both, answer) in messages.iter().zip(answers(python, spec, &messages)) {
        let mut theirs = both.theirs.clone();
        if theirs["h"] == "" && answer["fields"].get("h").is_none_or(|header| header == "") {
            theirs.remove("h");
        }
        for (key, value) in &theirs {
            assert_eq!(
                &answer["fields"][key], value,
                "{name}: DE{key}, as {}",
                spec[key]
            );
        }
        let fields_of = |all: &Map<String, Value>| all.keys().filter(|key| *key != "h").count();
        assert_eq!(
            fields_of(answer["fields"].as_object().unwrap()),
            fields_of(&theirs)
        );
        let ours = to_hex(&both.frame);
        assert_eq!(answer["again"], ours, "{name}: written otherwise");
        assert_eq!(answer["theirs"], ours, "{name}: written otherwise");
        let frame = hex(answer["theirs"].as_str().unwrap()).unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&frame, &mut index).unwrap();
        for (de, value) in &both.fields {
            assert_eq!(
                message.value(*de).as_deref(),
                Some(&value[..]),
                "{name}: DE{de}"
            );
        }
        assert_eq!(message.content_fields().len() as usize, both.fields.len());
        fields += both.fields.len();
    }
    fields
}

/// What is otherwise in a shipped dialect than in the specification that comes with pyiso8583, and why.
const OTHERWISE: [(&str, &[u8], &str); 4] = [
    (
        "iso8583-1987-ascii",
        &[54],
        "theirs has room for twelve amounts, the standard for six",
    ),
    ("iso8583-1987-binary", &[54], "the same"),
    (
        "iso8583-1987-binary",
        &[28, 29, 30, 31],
        "a sign and packed digits: bytes here",
    ),
    ("iso8583-1987-binary", &[97], "the same"),
];

/// Lengths and prefixes of the standard's fields are those of a specification that has nothing of ours in it.
#[test]
fn pyiso8583s_own_specification_has_the_same_fields() {
    let Some(python) = python() else {
        println!("skipped: there is no pyiso8583");
        return;
    };
    for (name, theirs) in [
        ("iso8583-1987-ascii", "default_ascii"),
        ("iso8583-1987-binary", "default"),
    ] {
        let dialect = Dialect::shipped(name).unwrap();
        let theirs = published(&python, theirs);
        let mut differ = Vec::new();
        for de in (2..=128).filter(|de| *de != 65) {
            let field = dialect.field(de);
            let theirs = &theirs[de.to_string()];
            let max = theirs["max_len"].as_u64().unwrap();
            // A binary field in hexadecimal counts its digits there.
            let text = theirs["data_enc"] == "ascii";
            let same = field.is_some_and(|field| {
                let units = if field.kind == FieldType::Binary && text {
                    2
                } else {
                    1
                };
                let variable = theirs["len_type"] != 0;
                u64::from(field.max) * units == max && field.variable == variable
            });
            if !same {
                differ.push(de);
            }
        }
        let named = OTHERWISE.iter().filter(|(dialect, ..)| *dialect == name);
        let mut named: Vec<u8> = named
            .flat_map(|(_, fields, _)| fields.iter().copied())
            .collect();
        named.sort_unstable();
        assert_eq!(differ, named, "{name}");
    }
    let dialect = Dialect::shipped("iso8583-1987-ascii").unwrap();
    let fields = same_there(&python, &dialect, &published(&python, "default_ascii"));
    println!("iso8583-1987-ascii: {fields} fields, the same under pyiso8583's own specification");
    assert!(fields > MESSAGES);
}

#[test]
fn pyiso8583_reads_what_is_written_here_and_the_other_way_round() {
    let Some(python) = python() else {
        println!("skipped: there is no pyiso8583");
        return;
    };
    let mut dialects = 0;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let Some(spec) = spec(&dialect) else {
            println!("{name}: pyiso8583 has no trailers");
            continue;
        };
        let fields = same_there(&python, &dialect, &spec);
        println!(
            "{name}: {MESSAGES} messages with {fields} fields, the same here and in pyiso8583"
        );
        dialects += 1;
    }
    // All but those with a trailer, which the other side has no word for.
    let with_trailer = Dialect::shipped_names().iter().filter(|name| {
        let dialect = Dialect::shipped(name).unwrap();
        !dialect.framing().trailer.is_empty()
    });
    assert_eq!(
        dialects + with_trailer.count(),
        Dialect::shipped_names().len()
    );
    assert!(dialects >= 9, "{dialects}");
}
