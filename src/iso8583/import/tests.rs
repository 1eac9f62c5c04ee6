//! Files of other programs become dialects that decode what those programs write.

use super::*;
use crate::iso8583::{Dialect, Exposure, FieldType, Index, Item, ItemValue, Message, again};
use bytes::BytesMut;

/// Imports, and reads what came out. Gives the dialect and the warnings.
fn check(source: Source, text: &str) -> (Dialect, Vec<String>) {
    assert_eq!(Source::of(text), Some(source));
    let imported = import(source, "f", text, "other").unwrap_or_else(|found| panic!("{found:?}"));
    let dialect = Dialect::parse("other.toml", &imported.text)
        .unwrap_or_else(|found| panic!("{found:#?}\n{}", imported.text));
    assert_eq!(dialect.fields().len(), imported.fields);
    assert_eq!(dialect.name(), "other");
    assert_eq!(dialect.warnings(), []);
    // What is taken where message type and bitmap are not described has its own test.
    let warnings = imported.warnings.iter().map(ToString::to_string);
    let warnings = warnings.filter(|told| !told.contains("there is no field "));
    (dialect, warnings.collect())
}

/// The values of a field's parts as text, those of parts within them too.
fn parts_of(message: &Message<'_>, de: u8) -> Vec<String> {
    fn told(items: Vec<Item>, out: &mut Vec<String>) {
        for item in items {
            match item.value {
                ItemValue::Value(value) => out.push(String::from_utf8_lossy(&value).into_owned()),
                ItemValue::Parts(inner) => told(inner, out),
            }
        }
    }
    let layout = message.dialect().layout(de).unwrap();
    let mut out = Vec::new();
    told(layout.read(&message.value(de).unwrap()).unwrap(), &mut out);
    out
}

/// Checks what a jPOS file of these fields gives as warnings.
fn check_jpos(fields: &str, expect: &[&str]) -> Dialect {
    let spare = "<isofield id='11' length='6' class='IFA_NUMERIC'/>";
    let text = format!("<isopackager>\n{fields}\n{spare}</isopackager>");
    let (dialect, warnings) = check(Source::Jpos, &text);
    assert_eq!(warnings, expect, "{fields}");
    dialect
}

/// The same of a JSON specification.
fn check_moov(fields: &str, expect: &[&str]) -> Dialect {
    let spare =
        r#""11": {"type": "Numeric", "length": 6, "enc": "ASCII", "prefix": "ASCII.Fixed"}"#;
    let text = format!("{{\"fields\": {{\n{fields},\n{spare}}}}}");
    let (dialect, warnings) = check(Source::Moov, &text);
    assert_eq!(warnings, expect, "{fields}");
    dialect
}

fn refused(source: Source, text: &str) -> String {
    let found = import(source, "f", text, "other").unwrap_err();
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whatever stands in one field, the others are carried over, and what comes out is sound.
#[test]
fn no_field_ends_the_import_of_the_others() {
    let types = [
        "String",
        "Numeric",
        "Binary",
        "Hex",
        "Bitmap",
        "Track1",
        "Track2",
        "Track3",
        "Composite",
        "Nothing",
    ];
    let encodings = [
        "ASCII",
        "BCD",
        "LBCD",
        "EBCDIC",
        "EBCDIC1047",
        "Binary",
        "HexToASCII",
        "ASCIIToHex",
        "Hex",
        "BerTLVTag",
    ];
    let prefixes = [
        "ASCII.Fixed",
        "ASCII.L",
        "ASCII.LL",
        "ASCII.LLLL",
        "BCD.LL",
        "BCD.LLL",
        "EBCDIC.LL",
        "Binary.L",
        "Binary.LL",
        "Binary.LLL",
        "Hex.Fixed",
        "Hex.LL",
        "None.Fixed",
        "BerTLV",
    ];
    let mut whole = 0;
    for kind in types {
        for encoding in encodings {
            for prefix in prefixes {
                for length in [8, 9_999] {
                    let field = |number: u8| {
                        format!(
                            "\"{number}\": {{\"type\": \"{kind}\", \"length\": {length}, \"enc\": \"{encoding}\", \"prefix\": \"{prefix}\"}}"
                        )
                    };
                    let spare = r#""11": {"type": "Numeric", "length": 6, "enc": "ASCII", "prefix": "ASCII.Fixed"}"#;
                    let text = format!(
                        "{{\"fields\": {{\n{},\n{spare},\n{}}}}}",
                        field(5),
                        field(55)
                    );
                    let (dialect, warnings) = check(Source::Moov, &text);
                    assert!(dialect.field(11).is_some(), "{text}");
                    for de in [5, 55] {
                        let told = warnings
                            .iter()
                            .any(|warning| warning.contains(&format!("field {de} ")));
                        whole += usize::from(dialect.field(de).is_some());
                        assert!(told || dialect.field(de).is_some(), "{text}: {warnings:?}");
                    }
                }
            }
        }
    }
    assert!(whole > 500, "{whole}");
}

#[test]
fn no_class_ends_the_import_of_the_other_fields() {
    let mut whole = 0;
    for code in ["IF", "IFA", "IFB", "IFE", "IFEA", "IFAE", "IFEP", "IFX"] {
        for ells in ["", "L", "LL", "LLL", "LLLL", "LLLLLL"] {
            for kind in [
                "NUMERIC", "NUM", "CHAR", "ECHAR", "AMOUNT", "BINARY", "ABINARY", "BNUM", "HNUM",
                "HCHAR", "HBINARY", "HECHAR", "HEX", "BITMAP", "NOP", "TBASE", "FNUM",
            ] {
                for length in [3, 99_999] {
                    let field = |number: u8| {
                        format!(
                            "<isofield id='{number}' length='{length}' pad='true' class='{code}_{ells}{kind}'/>"
                        )
                    };
                    let spare = "<isofield id='11' length='6' class='IFA_NUMERIC'/>";
                    let text = format!(
                        "<isopackager>\n{}\n{spare}{}</isopackager>",
                        field(5),
                        field(55)
                    );
                    let (dialect, warnings) = check(Source::Jpos, &text);
                    assert!(dialect.field(11).is_some(), "{text}");
                    for de in [5, 55] {
                        whole += usize::from(dialect.field(de).is_some());
                        let told = warnings
                            .iter()
                            .any(|warning| warning.contains(&format!("field {de} ")));
                        assert!(told || dialect.field(de).is_some(), "{text}: {warnings:?}");
                    }
                }
            }
        }
    }
    assert!(whole > 300, "{whole}");
}

#[test]
fn a_text_filled_with_zeros_in_front_is_digits() {
    let field = r#""4": {"type": "String", "length": 12, "enc": "ASCII", "prefix": "ASCII.Fixed", "padding": {"type": "Left", "pad": "0"}}"#;
    let dialect = check_moov(
        field,
        &[
            "f:2:6: warning: field 4 is filled with zeros in front and taken for digits; letters in it would be refused",
        ],
    );
    assert_eq!(dialect.field(4).unwrap().kind, FieldType::Numeric);
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.mti(crate::iso8583::Mti::parse("0200").unwrap());
    writer.field(4, b"100");
    writer.finish().unwrap();
    assert!(out.ends_with(b"000000000100"));
}

#[test]
fn a_class_of_ones_own_is_told() {
    check_jpos(
        "<isofield id='3' length='6' class='com.acme.IFA_NUMERIC'/>\n<isofield id='4' length='12' class='org.jpos.iso.IFA_NUMERIC'/>",
        &[
            "f:2:1: warning: field 3: com.acme.IFA_NUMERIC is a class of one's own, and taken for jPOS's IFA_NUMERIC",
        ],
    );
}

#[test]
fn what_a_name_says_to_be_a_card_or_a_pin_is_hidden() {
    let hidden = |name: &str| {
        let field = format!("<isofield id='51' length='8' name='{name}' class='IFB_BINARY'/>");
        check_jpos(&field, &[]).field(51).unwrap().exposure
    };
    for name in [
        "PIN BLOCK",
        "Encrypted PIN",
        "cvv2",
        "TRACK-1 DATA",
        "Session key",
        "Card Number (PAN)",
    ] {
        assert_eq!(hidden(name), Exposure::Secret, "{name}");
    }
    for name in [
        "PIN capture code",
        "spinning",
        "CURRENCY",
        "PAN country code",
        "keyboard",
    ] {
        assert_eq!(hidden(name), Exposure::Open, "{name}");
    }
}

#[test]
fn what_jpos_trims_is_told() {
    let dialect = check_jpos(
        "<isofield id='43' length='40' trim='true' class='IF_CHAR'/>\n<isofield id='42' length='15' trim='false' class='IF_CHAR'/>",
        &[
            "f:2:1: warning: trim is true: jPOS cuts off the spaces around a value that it reads, here they stand in it",
        ],
    );
    assert_eq!(dialect.fields().len(), 3);
}

#[test]
fn what_a_file_says_twice_is_told() {
    let six = |len: u8| {
        format!(
            "{{\"type\": \"Numeric\", \"length\": {len}, \"enc\": \"ASCII\", \"prefix\": \"ASCII.Fixed\"}}"
        )
    };
    let dialect = check_moov(
        &format!("\"3\": {},\n\"3\": {}", six(4), six(6)),
        &["f:3:6: warning: fields has \"3\" twice; the last one counts"],
    );
    assert_eq!(dialect.field(3).unwrap().max, 6);
    let dialect = check_moov(
        &format!("\"3\": {},\n\"03\": {}", six(4), six(6)),
        &["f:2:6: warning: field 3 is there twice; \"3\" counts"],
    );
    assert_eq!(dialect.field(3).unwrap().max, 4);
    check_moov(
        &six(6).replacen("{\"type\"", "\"3\": {\"length\": 4, \"type\"", 1),
        &["f:2:49: warning: field 3 has \"length\" twice; the last one counts"],
    );
}

const JPOS_BINARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE isopackager PUBLIC "-//jPOS/jPOS Generic Packager DTD 1.0//EN" "http://jpos.org/dtd/generic-packager-1.0.dtd">
<isopackager>
  <isofield id="0" length="4" name="MTI" class="org.jpos.iso.IFB_NUMERIC"/>
  <isofield id="1" length="16" name="bitmap" class="org.jpos.iso.IFB_BITMAP"/>
  <isofield id="2" length="19" name="card &amp; number" class="org.jpos.iso.IFB_LLNUM" pad="false"/>
  <isofield id="3" length="6" name="processing code" class="org.jpos.iso.IFB_NUMERIC"/>
  <isofield id="22" length="3" name="entry mode" class="org.jpos.iso.IFB_NUMERIC" pad="true"/>
  <isofield id="35" length="37" name="track 2" class="org.jpos.iso.IFB_LLHNUM"/>
  <isofield id="41" length="8" name="terminal" class="org.jpos.iso.IF_CHAR"/>
  <isofield id="47" length="999" name="unused" class="org.jpos.iso.IF_NOP"/>
  <isofield id="48" length="999" name="tagged" class="org.jpos.iso.IFA_TTLLCHAR"/>
  <isofield id="52" length="8" name="PIN" class="org.jpos.iso.IFB_BINARY"/>
  <isofieldpackager id="60" length="99" name="parts" class="org.jpos.iso.IFA_LLLCHAR" packager="org.jpos.iso.packager.GenericSubFieldPackager">
    <isofield id="1" length="2" name="type" class="org.jpos.iso.IFA_NUMERIC"/>
    <isofield id="2" length="20" name="note" class="org.jpos.iso.IFA_LLCHAR"/>
  </isofieldpackager>
  <isofieldpackager id="62" length="255" name="inner" class="org.jpos.iso.IFB_LLLBINARY" packager="org.jpos.iso.packager.GenericPackager">
    <isofield id="1" length="2" name="lost" class="org.jpos.iso.IFA_NUMERIC"/>
  </isofieldpackager>
  <isofield id="102" length="28" name="account" class="org.jpos.iso.IFB_LLCHAR"/>
</isopackager>
"#;

#[test]
fn a_binary_packager_becomes_a_dialect() {
    let (dialect, warnings) = check(Source::Jpos, JPOS_BINARY);
    assert_eq!(
        warnings,
        [
            "f:11:3: warning: field 47 is left out: IF_NOP writes nothing of it",
            "f:12:3: warning: field 48 is left out: how org.jpos.iso.IFA_TTLLCHAR writes it is not known here",
            "f:18:3: warning: field 62 is carried over whole, its parts are left out: it has a bitmap that none of its fields is",
        ]
    );
    // MTI, bitmaps, a card number of 13 digits, entry mode 051, a track in a length of one binary byte.
    let message = [
        &[0x02, 0x00][..],
        &[0xE0, 0x00, 0x04, 0x00, 0x20, 0x80, 0x00, 0x10],
        &[0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00],
        &[0x13, 0x62, 0x17, 0x00, 0x00, 0x00, 0x00, 0x10],
        &[0x00, 0x30, 0x00],
        &[0x00, 0x51],
        &[0x06, 0x12, 0x3D, 0x45],
        b"TERM0001",
        b"0072203abc",
        &[0x03],
        b"XYZ",
    ];
    let frame = message.concat();
    let mut index = Index::new();
    let message = dialect.decode(&frame, &mut index).unwrap();
    let value = |de| message.value(de).map(std::borrow::Cow::into_owned);
    assert_eq!(value(2).as_deref(), Some(&b"6217000000001"[..]));
    assert_eq!(value(22).as_deref(), Some(&b"051"[..]));
    assert_eq!(value(35).as_deref(), Some(&b"123=45"[..]));
    assert_eq!(value(102).as_deref(), Some(&b"XYZ"[..]));
    let parts = dialect.layout(60).unwrap().read(&value(60).unwrap());
    assert_eq!(parts.unwrap().len(), 2);
    assert_eq!(dialect.field(2).unwrap().en, "card & number");
    assert_eq!(message.broken_part(), None);
}

#[test]
fn an_ebcdic_packager_becomes_a_dialect() {
    let text = r#"<isopackager>
      <isofield id="0" length="4" name="MTI" class="org.jpos.iso.IFE_NUMERIC"/>
      <isofield id="1" length="8" name="bitmap" class="org.jpos.iso.IFB_BITMAP"/>
      <isofield id="2" length="19" name="card" class="org.jpos.iso.IFE_LLNUM"/>
      <isofield id="41" length="8" name="terminal" class="org.jpos.iso.IFE_CHAR"/>
      <isofield id="48" length="99" name="mixed" class="org.jpos.iso.IFEB_LLNUM"/>
    </isopackager>"#;
    let (dialect, warnings) = check(Source::Jpos, text);
    assert_eq!(warnings, [""; 0]);
    let frame = [
        &[0xF0, 0xF2, 0xF0, 0xF0][..],
        &[0x40, 0x00, 0x00, 0x00, 0x00, 0x81, 0x00, 0x00],
        &[0xF0, 0xF2, 0xF1, 0xF9],
        &[0xE3, 0xF1, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40],
        // Two bytes, and three digits in them.
        &[0xF0, 0xF2, 0x12, 0x3F],
    ];
    let mut index = Index::new();
    let frame = frame.concat();
    let message = dialect.decode(&frame, &mut index).unwrap();
    assert_eq!(message.value(2).as_deref(), Some(&b"19"[..]));
    assert_eq!(message.value(41).as_deref(), Some(&b"T1      "[..]));
    assert_eq!(parts_of(&message, 48), ["123"]);
    let mut out = BytesMut::new();
    again(&message, &mut out).unwrap();
    assert_eq!(out[2..], frame);
}

const JPOS_INNER: &str = r#"<isopackager>
  <isofield id="0" length="4" name="MTI" class="org.jpos.iso.IFB_NUMERIC"/>
  <isofield id="1" length="16" name="bitmap" class="org.jpos.iso.IFB_BITMAP"/>
  <isofieldpackager id="48" length="99" name="tags" class="org.jpos.iso.IFA_LLLCHAR" emitBitmap="false"
      packager="org.jpos.iso.packager.GenericTaggedFieldsPackager" tagMapper="org.jpos.iso.packager.TTDecimalTagMapper">
    <isofield id="1" length="9" name="one" class="org.jpos.iso.IFA_TTLLCHAR"/>
    <isofield id="42" length="9" name="two" class="org.jpos.iso.IFA_TTLLCHAR"/>
  </isofieldpackager>
  <isofieldpackager id="55" length="255" name="chip" class="org.jpos.iso.IFB_LLLHBINARY"
      packager="org.jpos.tlv.packager.bertlv.BERTLVBinaryPackager" emitBitmap="false"/>
  <isofieldpackager id="56" length="200" name="chip in digits" class="org.jpos.iso.IFA_LLLCHAR"
      packager="org.jpos.tlv.packager.bertlv.BERTLVAsciiHexPackager" emitBitmap="false"/>
  <isofieldpackager id="62" length="59" name="mapped" class="org.jpos.iso.IFA_LLCHAR"
      packager="org.jpos.iso.packager.GenericSubFieldPackager" bitmapField="0" firstField="1">
    <isofield id="0" length="8" name="which" class="org.jpos.iso.IFB_BITMAP"/>
    <isofield id="1" length="1" name="indicator" class="org.jpos.iso.IF_CHAR"/>
    <isofield id="2" length="15" name="transaction" class="org.jpos.iso.IFB_NUMERIC" pad="true"/>
    <isofieldpackager id="5" length="4" name="pair" class="org.jpos.iso.IF_CHAR"
        packager="org.jpos.iso.packager.GenericSubFieldPackager" emitBitmap="false">
      <isofield id="1" length="1" name="letter" class="org.jpos.iso.IF_CHAR"/>
      <isofield id="2" length="3" name="number" class="org.jpos.iso.IFA_NUMERIC"/>
    </isofieldpackager>
  </isofieldpackager>
  <isofieldpackager id="63" length="255" name="network" class="org.jpos.iso.IFB_LLHBINARY"
      packager="org.jpos.iso.packager.Base1SubFieldPackager">
    <isofield id="0" length="3" name="which" class="org.jpos.iso.IFB_BITMAP"/>
    <isofield id="1" length="4" name="network" class="org.jpos.iso.IFB_NUMERIC"/>
    <isofield id="3" length="4" name="reason" class="org.jpos.iso.IFB_NUMERIC"/>
  </isofieldpackager>
</isopackager>
"#;

#[test]
fn packagers_inside_packagers_become_subfields() {
    let (dialect, warnings) = check(Source::Jpos, JPOS_INNER);
    assert_eq!(warnings, [""; 0]);
    let message = [
        &[0x02, 0x00][..],
        &[0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x06],
        b"0150105first4202ok",
        &[0x00, 0x04, 0x82, 0x02, 0x7C, 0x00],
        b"0089F360112",
        b"21",
        &[0xC8, 0, 0, 0, 0, 0, 0, 0],
        b"E",
        &[0x01, 0x23, 0x45, 0x67, 0x89, 0x01, 0x23, 0x45],
        b"X007",
        &[0x07, 0xA0, 0x00, 0x00, 0x00, 0x02, 0x25, 0x01],
    ];
    let frame = message.concat();
    let mut index = Index::new();
    let message = dialect.decode(&frame, &mut index).unwrap();
    assert_eq!(message.broken_part(), None);
    let parts = |de: u8| {
        let layout = dialect.layout(de).unwrap();
        format!("{:?}", layout.read(&message.value(de).unwrap()).unwrap())
    };
    let value = |de: u8, path: &[&str]| {
        let mut items = dialect.layout(de)?.read(&message.value(de)?).ok()?;
        for tag in path {
            let found = items.into_iter().find(|item| item.tag.as_str() == *tag)?;
            match found.value {
                ItemValue::Value(value) => {
                    return Some(String::from_utf8_lossy(&value).into_owned());
                }
                ItemValue::Parts(inner) => items = inner,
            }
        }
        None
    };
    assert_eq!(value(48, &["42"]).as_deref(), Some("ok"));
    assert_eq!(parts(55), "[82 (2 bytes)]");
    assert_eq!(parts(56), "[9F36 (1 bytes)]");
    assert_eq!(value(62, &["2"]).as_deref(), Some("123456789012345"));
    assert_eq!(value(62, &["5", "2"]).as_deref(), Some("007"));
    assert_eq!(value(63, &["3"]).as_deref(), Some("2501"));
    let mut out = BytesMut::new();
    again(&message, &mut out).unwrap();
    assert_eq!(out[2..], frame);
}

#[test]
fn packagers_inside_that_no_layout_is_like_are_told() {
    let check = |attributes: &str, parts: &str, expect: &str| {
        let text = format!(
            "<isopackager><isofieldpackager id='62' length='99' name='x' class='IFB_LLHBINARY' {attributes}>{parts}</isofieldpackager></isopackager>"
        );
        let (dialect, warnings) = check(Source::Jpos, &text);
        let [warning] = &warnings[..] else {
            panic!("{warnings:#?}");
        };
        assert!(warning.contains(expect), "{warning}");
        dialect
    };
    let digit = |id: u8| format!("<isofield id='{id}' length='1' class='IFA_NUMERIC'/>");
    let whole = "field 62 is carried over whole, its parts are left out: ";
    let refused = |attributes: &str, parts: &str, why: &str| {
        let dialect = check(attributes, parts, &format!("{whole}{why}"));
        assert!(dialect.layout(62).is_none());
    };
    let bitmap = "<isofield id='1' length='16' class='IFB_BITMAP'/>";
    let far = format!("{bitmap}{}", digit(65));
    let generic = "packager='GenericPackager'";
    refused(generic, &far, "its bitmap grows with its first bit");
    refused(
        generic,
        &digit(2),
        "it has a bitmap that none of its fields is",
    );
    let behind = format!("{bitmap}{}{}", digit(0), digit(2));
    refused(generic, &behind, "something stands before its bitmap");
    let ebcdic = format!(
        "<isofield id='1' length='8' class='IFE_BITMAP'/>{}",
        digit(2)
    );
    refused(generic, &ebcdic, "its bitmap is in EBCDIC");
    refused(
        "packager='my.Own'",
        &digit(1),
        "the packager Own is not known here",
    );
    let tagged = "packager='GenericTaggedFieldsPackager' tagMapper=";
    refused(
        &format!("{tagged}'my.Mapper'"),
        &digit(1),
        "its tags are mapped by Mapper, which is not known here",
    );
    refused(
        &format!("{tagged}'TTTDecimalTagMapper'"),
        "<isofield id='1' length='1' class='IFA_TTLLCHAR'/>",
        "their tags do not all have 3 characters",
    );
    // A bitmap of sixteen bytes that has no part beyond the first eight is always of eight.
    let parts = format!(
        "{bitmap}{}{}",
        digit(2),
        "<isofield id='3' length='1' class='My'/>"
    );
    let dialect = check(generic, &parts, "field 62.3 is left out: how My writes it");
    let value = [0x40, 0, 0, 0, 0, 0, 0, 0, b'7'];
    assert_eq!(dialect.layout(62).unwrap().read(&value).unwrap().len(), 1);
    // What stands before the first part is not written.
    let parts = format!("{}{}", digit(1), digit(2));
    let later = "packager='GenericSubFieldPackager' emitBitmap='false' firstField='2'";
    let dialect = check(
        later,
        &parts,
        "field 62: its part 1 is never written and left out",
    );
    assert_eq!(dialect.layout(62).unwrap().rules.len(), 1);
    // Digits in EBCDIC do not divide.
    let inner = format!(
        "<isofieldpackager id='1' length='2' class='IFE_CHAR' packager='GenericSubFieldPackager' emitBitmap='false'>{}</isofieldpackager>",
        digit(1)
    );
    let outer = "packager='GenericSubFieldPackager' emitBitmap='false'";
    let told = "field 62.1: its own parts are left out: it is not of bytes or ASCII characters";
    assert!(check(outer, &inner, told).layout(62).is_some());
}

#[test]
fn keys_of_message_type_and_bitmap_are_not_lost() {
    let spec = |bitmap: &str| {
        format!(
            r#"{{"name": "n", "fields": {{
            "0": {{"type": "String", "length": 4, "enc": "ASCII", "prefix": "ASCII.Fixed", "weird": 1}},
            "1": {{"type": "Bitmap", "enc": "HexToASCII", "prefix": "Hex.Fixed", {bitmap}}},
            "11": {{"type": "String", "length": 6, "enc": "ASCII", "prefix": "ASCII.Fixed"}}}}}}"#
        )
    };
    for (bitmap, bitmaps, told) in [
        (
            r#""length": 8, "disableAutoExpand": true, "foo": 1"#,
            1,
            "`foo` is not known and left out",
        ),
        (r#""length": 8, "disableautoexpand": true"#, 1, ""),
        (r#""Length": 8, "DisableAutoExpand": true"#, 1, ""),
        (r#""length": 8"#, 2, ""),
        (r#""length": 16"#, 2, "is a bitmap of more than 8 bytes"),
    ] {
        let (dialect, warnings) = check(Source::Moov, &spec(bitmap));
        assert_eq!(dialect.bitmap_count(), bitmaps, "{bitmap}");
        let warnings = warnings.join("\n");
        assert!(
            warnings.contains("`weird` is not known and left out"),
            "{warnings}"
        );
        assert!(warnings.contains(told), "{bitmap}: {warnings}");
        assert!(!warnings.contains("xpand`"), "{bitmap}: {warnings}");
    }
}

const MOOV: &str = r##"{
  "name": "Other network",
  "fields": {
    "0": {"type": "String", "length": 4, "description": "MTI", "enc": "ASCII", "prefix": "ASCII.Fixed"},
    "1": {"type": "Bitmap", "length": 8, "description": "Bitmap", "enc": "HexToASCII", "prefix": "Hex.Fixed"},
    "2": {"type": "String", "length": 19, "description": "card", "enc": "ASCII", "prefix": "ASCII.LL"},
    "4": {"type": "Numeric", "length": 12, "description": "amount", "enc": "ASCII", "prefix": "ASCII.Fixed",
          "padding": {"type": "Left", "pad": "0"}},
    "22": {"type": "Numeric", "length": 3, "description": "mode", "enc": "BCD", "prefix": "BCD.Fixed"},
    "41": {"type": "String", "length": 8, "description": "terminal", "enc": "ASCII", "prefix": "ASCII.Fixed",
           "padding": {"type": "Left", "pad": "#"}},
    "48": {"type": "Composite", "length": 999, "description": "parts", "prefix": "ASCII.LLL",
           "tag": {"length": 2, "enc": "ASCII", "sort": "StringsByInt"},
           "subfields": {
             "01": {"type": "String", "length": 10, "description": "first", "enc": "ASCII", "prefix": "ASCII.LL"},
             "11": {"type": "String", "length": 10, "description": "other", "enc": "ASCII", "prefix": "ASCII.LL"}}},
    "55": {"type": "Composite", "length": 255, "description": "chip", "prefix": "ASCII.LLL",
           "tag": {"enc": "BerTLVTag", "sort": "StringsByHex"},
           "subfields": {
             "9F02": {"type": "Binary", "length": 6, "description": "amount", "enc": "Binary", "prefix": "BerTLV"}}},
    "60": {"type": "Composite", "length": 30, "description": "places", "prefix": "ASCII.LLL",
           "subfields": {
             "1": {"type": "Numeric", "length": 2, "description": "type", "enc": "ASCII", "prefix": "ASCII.Fixed"},
             "2": {"type": "String", "length": 3, "description": "rest", "enc": "ASCII", "prefix": "ASCII.Fixed"}}},
    "61": {"type": "Composite", "length": 30, "description": "mapped", "prefix": "ASCII.LLL",
           "bitmap": {"type": "Bitmap", "length": 8, "enc": "Binary", "prefix": "Binary.Fixed"},
           "subfields": {
             "1": {"type": "Numeric", "length": 2, "description": "type", "enc": "ASCII", "prefix": "ASCII.Fixed"}}},
    "62": {"type": "Mystery", "length": 30, "enc": "ASCII", "prefix": "ASCII.LLL"},
    "63": {"type": "String", "length": 30, "enc": "ASCII", "prefix": "Hex.L", "colour": "red"}
  }
}"##;

#[test]
fn a_json_spec_becomes_a_dialect() {
    let (dialect, warnings) = check(Source::Moov, MOOV);
    let place = |warning: &String| warning.split(": ").next().unwrap().to_owned();
    let places: Vec<_> = warnings.iter().map(place).collect();
    assert_eq!(
        places,
        ["f:10:11", "f:29:11", "f:30:11", "f:30:89"],
        "{warnings:#?}"
    );
    assert_eq!(dialect.title(), "Other network");
    let frame = [
        &b"02005000040000810110166217000000000018"[..],
        b"000000000100",
        &[0x00, 0x51],
        b"TERM0001",
        b"0150105first1102ok",
        b"0009",
    ];
    // DE48 has 15 characters; the bitmap announces 2, 4, 22, 41, 48, 56 and 60.
    let frame = frame.concat();
    let mut index = Index::new();
    let (message, error) = dialect.decode_partial(&frame, &mut index);
    assert!(error.is_some(), "DE56 is not defined");
    let message = message.unwrap();
    assert_eq!(message.value(22).as_deref(), Some(&b"051"[..]));
    let parts = dialect
        .layout(48)
        .unwrap()
        .read(&message.value(48).unwrap())
        .unwrap();
    let tags: Vec<_> = parts.iter().map(|part| part.tag.to_string()).collect();
    assert_eq!(tags, ["01", "11"]);
    assert!(dialect.layout(55).is_some() && dialect.layout(60).is_some());
    let mapped = dialect.layout(61).unwrap();
    assert_eq!(
        mapped
            .read(&[0x80, 0, 0, 0, 0, 0, 0, 0, b'4', b'2'])
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_taken_without_being_described_is_told() {
    let told = |source, text: &str| {
        let imported = import(source, "f", text, "other").unwrap();
        let warnings: Vec<_> = imported.warnings.iter().map(ToString::to_string).collect();
        (imported.fields, warnings)
    };
    let (jpos, moov) = (Source::Jpos, Source::Moov);
    let mti =
        "f:1:1: warning: there is no field 0: the message type is taken for four digits in ASCII";
    let bitmap = "f:1:1: warning: there is no field 1: the bitmap is taken for binary, a second one where a bit says so";
    let stan = "<isofield id='11' length='6' class='IFA_NUMERIC'/>";
    let file = |more: &str| format!("<isopackager>{more}{stan}</isopackager>");
    let described = "<isofield id='0' length='4' class='IFA_NUMERIC'/><isofield id='1' length='16' class='IFB_BITMAP'/>";
    assert_eq!(told(jpos, &file(described)), (1, vec![]));
    assert_eq!(
        told(jpos, &file("")),
        (1, vec![mti.to_owned(), bitmap.to_owned()])
    );
    let stan = r#""11": {"type": "Numeric", "length": 6, "enc": "ASCII", "prefix": "ASCII.Fixed"}"#;
    let bits = r#""1": {"type": "Bitmap", "enc": "Binary", "prefix": "Hex.Fixed"}"#;
    let (_, warnings) = told(moov, &format!("{{\"fields\": {{{bits}, {stan}}}}}"));
    assert_eq!(warnings, [mti.replace("1:1:", "1:12:")]);
    // A number that is none is left out, and the rest carried over.
    let nameless = "<isofield length='6' class='IFA_NUMERIC'/>";
    let text = file(&format!("{described}{nameless}"));
    let (fields, warnings) = told(jpos, &text);
    assert_eq!(fields, 1);
    assert!(
        warnings
            .iter()
            .any(|told| told.ends_with("warning: it has no id, the number of a field; left out")),
        "{warnings:?}"
    );
    let whole = format!(
        "{described}<isofieldpackager id='48' length='9' class='IFA_LLCHAR' packager='org.jpos.iso.packager.GenericSubFieldPackager'>{nameless}<isofield id='1' length='2' class='IF_CHAR'/></isofieldpackager>"
    );
    let (_, warnings) = told(jpos, &file(&whole));
    assert!(
        warnings
            .iter()
            .any(|told| told.contains("its parts are left out: one of them has no number")),
        "{warnings:?}"
    );
    let (fields, warnings) = told(
        moov,
        &format!("{{\"fields\": {{\"x9\": {{}}, {bits}, {stan}}}}}"),
    );
    assert_eq!(fields, 1);
    assert!(
        warnings
            .iter()
            .any(|told| told.ends_with("\"x9\" is no number of a field; left out")),
        "{warnings:?}"
    );
}

#[test]
fn a_field_that_the_bitmap_does_not_reach_is_told() {
    let network =
        r#""70": {"type": "Numeric", "length": 3, "enc": "ASCII", "prefix": "ASCII.Fixed"}"#;
    let bits = r#""1": {"type": "Bitmap", "enc": "Binary", "prefix": "Hex.Fixed", "disableAutoExpand": true}"#;
    let told = "f:3:7: warning: field 70: the bitmap of 8 bytes does not reach it there; carried over with a further \
                one, for which a bit has to say so";
    check_moov(&format!("{bits},\n{network}"), &[told]);
    let expands = bits.replace(r#", "disableAutoExpand": true"#, "");
    check_moov(&format!("{expands},\n{network}"), &[]);
}

#[test]
fn what_is_no_such_file_is_refused_with_its_place() {
    let check = |source, text: &str, expect: &str| {
        let found = refused(source, text);
        assert!(found.contains(expect), "{text}\n{found}");
    };
    check(Source::Jpos, "<isopackager><isofield", "this is no XML");
    check(
        Source::Jpos,
        "<a/>",
        "there is no element isopackager in it",
    );
    check(
        Source::Jpos,
        "<isopackager/>",
        "no field could be carried over",
    );
    check(
        Source::Jpos,
        "<!DOCTYPE x [<!ENTITY a 'b'>]><isopackager><isofield id='2' name='&a;' length='1' class='IF_CHAR'/></isopackager>",
        "f:1:",
    );
    check(
        Source::Jpos,
        "<isopackager><isofield id='x' length='1' class='IF_CHAR'/></isopackager>",
        "warning: id \"x\" is no number of a field; left out",
    );
    check(
        Source::Moov,
        "{\n  \"fields\": }",
        "f:2:13: error: this is no JSON",
    );
    check(Source::Moov, "{}", "there are no fields in it");
    check(
        Source::Moov,
        "{\"fields\": {\"x\": {}}}",
        "warning: \"x\" is no number of a field; left out",
    );
    check(Source::Moov, "{\"fields\": []}", "fields must be an object");
    assert_eq!(Source::of("# text"), None);
    let deep =
        "<isofieldpackager id='2' length='1' class='IF_CHAR' packager='GenericSubFieldPackager'>";
    let text = format!("<isopackager>{}", deep.repeat(20));
    check(Source::Jpos, &text, "inside each other");
}

#[test]
fn fields_that_are_nothing_or_have_no_length_are_left_out_with_a_warning() {
    let left_out = |field: &str, why: &str| {
        let warning = format!("f:2:1: warning: field 3 is left out: {why}");
        let dialect = check_jpos(field, &[&warning]);
        assert_eq!(dialect.fields().len(), 1, "{field}");
    };
    left_out(
        "<isofield id='3' length='6' class='org.jpos.iso.IF_NOP'/>",
        "IF_NOP writes nothing of it",
    );
    left_out("<isofield id='3' length='6' class=''/>", "it has no class");
    left_out("<isofield id='3' length='6'/>", "it has no class");
    left_out("<isofield id='3' class='IFA_LLCHAR'/>", "it has no length");
    left_out(
        "<isofield id='3' length='0' class='IFA_LLCHAR'/>",
        "it has no length",
    );
    left_out(
        "<isofield id='3' length='six' class='IFA_LLCHAR'/>",
        "its length six is no number",
    );
    left_out(
        "<isofield id='3' length='99999' class='IFA_LLLLLCHAR'/>",
        "its length 99999 is too large",
    );
    left_out(
        "<isofield id='3' length='100' class='IFA_FLLNUM'/>",
        "its length 100 does not fit IFA_FLLNUM",
    );
    let moov = |length: &str, why: &str| {
        let field = format!(
            r#""3": {{"type": "String", "length": {length}, "enc": "ASCII", "prefix": "ASCII.LL"}}"#
        );
        let warning = format!("f:2:6: warning: field 3 is left out: {why}");
        check_moov(&field, &[&warning]);
    };
    moov("99999", "its length 99999 is too large");
    moov("\"6\"", "its length \"6\" is no number of digits or bytes");
    moov("0", "it has no length");
}

#[test]
fn what_is_missing_is_named_as_missing() {
    let parts = |attributes: &str, why: &str| {
        let field = format!(
            "<isofieldpackager id='62' length='9' class='IFA_LLCHAR' {attributes}></isofieldpackager>"
        );
        let warning = format!(
            "f:2:1: warning: field 62 is carried over whole, its parts are left out: {why}"
        );
        check_jpos(&field, &[&warning]);
    };
    parts("", "it has no packager");
    parts(
        "packager='GenericTaggedFieldsPackager'",
        "it has no tagMapper",
    );
    let moov = |field: &str, why: &str| {
        let warning = format!("f:2:6: warning: field 3 is left out: {why}");
        check_moov(&format!("\"3\": {{\"length\": 6{field}}}"), &[&warning]);
    };
    moov("", "it has no prefix");
    moov(r#", "prefix": "ASCII.LL""#, "it has no encoding");
    moov(
        r#", "prefix": "ASCII.LL", "enc": "ASCII""#,
        "it has no type",
    );
}

#[test]
fn of_two_fields_with_one_number_the_last_counts() {
    let dialect = check_jpos(
        "<isofield id='62' length='9' name='one' class='IFA_LLCHAR'/>\n<isofield id='62' length='9' name='two' class='IFA_LLCHAR'/>",
        &[
            "f:3:1: warning: field 62 stands in line 2 already; the last one counts, the earlier is left out",
        ],
    );
    assert_eq!(dialect.field(62).unwrap().en, "two");
    // The last one counts where it cannot be carried over, too.
    let dialect = check_jpos(
        "<isofield id='62' length='9' class='IFA_LLCHAR'/>\n<isofield id='62' length='9' class='My'/>",
        &[
            "f:3:1: warning: field 62 stands in line 2 already; the last one counts, the earlier is left out",
            "f:3:1: warning: field 62 is left out: how My writes it is not known here",
        ],
    );
    assert!(dialect.field(62).is_none());
    let part = "<isofield id='1' length='1' class='IFA_NUMERIC'/>";
    check_jpos(
        &format!(
            "<isofieldpackager id='62' length='9' class='IFA_LLCHAR' packager='GenericSubFieldPackager' emitBitmap='false'>\n{part}\n{part}</isofieldpackager>"
        ),
        &[
            "f:4:1: warning: field 62.1 stands in line 3 already; the last one counts, the earlier is left out",
        ],
    );
}

#[test]
fn lengths_that_count_something_else_are_not_carried_over() {
    check_jpos(
        "<isofield id='48' length='9' class='IFA_LLABINARY'/>",
        &[
            "f:2:1: warning: field 48 is left out: its length counts bytes, here it would count hexadecimal digits",
        ],
    );
    check_moov(
        r#""48": {"type": "Binary", "length": 9, "enc": "HexToASCII", "prefix": "ASCII.LL"}"#,
        &[
            "f:2:7: warning: field 48 is left out: its length counts bytes, here it would count hexadecimal digits",
        ],
    );
    check_jpos(
        "<isofieldpackager id='48' length='99' class='IFA_LLCHAR' packager='GenericTaggedFieldsPackager' tagMapper='TTDecimalTagMapper'><isofield id='1' length='9' class='IFA_TTLLBNUM'/></isofieldpackager>",
        &[
            "f:2:1: warning: field 48 is carried over whole, its parts are left out: the lengths behind their tags count something else than characters",
        ],
    );
}

/// What follows a part that is not known would be read at its place.
#[test]
fn parts_behind_one_that_is_not_known_are_not_read() {
    let dialect = check_jpos(
        "<isofieldpackager id='62' length='9' class='IFA_LLCHAR' packager='GenericSubFieldPackager' emitBitmap='false'>\n<isofield id='1' length='1' class='My'/><isofield id='2' length='1' class='IFA_NUMERIC'/></isofieldpackager>",
        &[
            "f:2:1: warning: field 62 is carried over whole, its parts are left out: where part 1 ends is not known, and others follow it",
            "f:3:1: warning: field 62.1 is left out: how My writes it is not known here",
        ],
    );
    assert!(dialect.layout(62).is_none());
    let dialect = check_moov(
        r#""62": {"type": "Composite", "length": 9, "prefix": "ASCII.LL", "subfields": {
        "1": {"type": "String", "length": 1, "enc": "My", "prefix": "ASCII.Fixed"},
        "2": {"type": "String", "length": 1, "enc": "ASCII", "prefix": "ASCII.Fixed"}}}"#,
        &[
            "f:2:7: warning: field 62 is carried over whole, its parts are left out: where part 1 ends is not known, and others follow it",
            "f:3:14: warning: field 62.1 is left out: its encoding My is not known here",
        ],
    );
    assert!(dialect.layout(62).is_none());
}

#[test]
fn classes_that_write_more_than_their_length_says_become_parts() {
    let dialect = check_jpos(
        "<isofield id='2' length='19' class='IFA_FLLNUM'/>
        <isofield id='28' length='9' class='IFB_AMOUNT'/>
        <isofield id='29' length='8' class='IFB_AMOUNT' pad='true'/>
        <isofield id='35' length='37' class='IFA_FLLNUM'/>
        <isofield id='44' length='3' class='IFB_FLLNUM'/>
        <isofield id='62' length='4' class='IFB_LLHFBINARY'/>",
        &["f:6:9: warning: field 44: a half byte that is over is F there, here it is written as 0"],
    );
    let frame = [
        &b"0200"[..],
        &[0x40, 0x00, 0x00, 0x18, 0x20, 0x10, 0x00, 0x04],
        b"166217000000000001   ",
        b"D\x12\x34\x56\x78",
        b"C\x01\x23\x45\x67",
        b"086217=251                             ",
        &[0x03, 0x12, 0x3F],
        &[0x02, 0xAA, 0xBB, 0x00, 0x00],
    ];
    let frame = frame.concat();
    let mut index = Index::new();
    let message = dialect.decode(&frame, &mut index).unwrap();
    assert_eq!(message.broken_part(), None);
    assert_eq!(parts_of(&message, 2), ["6217000000000001", "   "]);
    assert_eq!(parts_of(&message, 28), ["D", "12345678"]);
    assert_eq!(parts_of(&message, 29), ["C", "1234567"]);
    assert_eq!(parts_of(&message, 35)[0], "6217=251");
    assert_eq!(message.value(44).as_deref(), Some(&b"123"[..]));
    assert_eq!(parts_of(&message, 62).len(), 2);
    let mut out = BytesMut::new();
    again(&message, &mut out).unwrap();
    let mut written = frame.clone();
    let over = written.iter().position(|byte| *byte == 0x3F).unwrap();
    written[over] = 0x30;
    assert_eq!(out[2..], written);
    for (de, shown) in [(2, Exposure::Masked), (35, Exposure::Secret)] {
        assert_eq!(dialect.field(de).unwrap().exposure, shown);
        let rules = &dialect.layout(de).unwrap().rules;
        assert!(rules.iter().all(|rule| rule.exposure == shown));
    }
}

#[test]
fn elements_of_europay_and_mastercard_become_subfields() {
    let euro = |number: u8, class: &str, more: &str| {
        format!(
            "<isofieldpackager id='{number}' length='99' class='IFA_LLCHAR' packager='org.jpos.iso.packager.EuroSubFieldPackager'>\n<isofield id='1' length='9' class='{class}'/><isofield id='42' length='9' class='{class}'/>{more}</isofieldpackager>"
        )
    };
    let (europay, mastercard) = (euro(48, "IFEP_LLCHAR", ""), euro(62, "IFMC_LLCHAR", ""));
    let dialect = check_jpos(&(europay + &mastercard), &[]);
    let frame = [
        &b"0200"[..],
        &[0, 0, 0, 0, 0, 1, 0, 4],
        b"150701first0442ok",
        b"150105first4202ok",
    ];
    let frame = frame.concat();
    let mut index = Index::new();
    let (message, error) = dialect.decode_partial(&frame, &mut index);
    assert!(error.is_none(), "{error:?}");
    let message = message.unwrap();
    for de in [48, 62] {
        assert_eq!(parts_of(&message, de), ["first", "ok"]);
        let layout = dialect.layout(de).unwrap();
        let tags: Vec<_> = layout.rules.iter().map(|rule| rule.tag.as_str()).collect();
        assert_eq!(tags, ["01", "42"]);
    }
    let mut out = BytesMut::new();
    again(&message, &mut out).unwrap();
    assert_eq!(out[2..], frame);
    let whole = |more: &str, why: &str| {
        let warning = format!(
            "f:2:1: warning: field 48 is carried over whole, its parts are left out: {why}"
        );
        check_jpos(&euro(48, "IFEP_LLCHAR", more), &[&warning]);
    };
    whole(
        "<isofield id='0' length='1' class='IF_CHAR'/>",
        "something stands before its tags",
    );
    whole(
        "<isofield id='2' length='9' class='IFMC_LLCHAR'/>",
        "some lengths stand before the tags, some behind",
    );
}

#[test]
fn fillings_that_no_dialect_has_are_told() {
    let field = |prefix: &str, padding: &str| {
        format!(
            r#""41": {{"type": "String", "length": 8, "enc": "ASCII", "prefix": "{prefix}"{padding}}}"#
        )
    };
    let spaces = r#", "padding": {"type": "Right", "pad": " "}"#;
    check_moov(&field("ASCII.Fixed", spaces), &[]);
    check_moov(&field("None.Fixed", spaces), &[]);
    check_moov(
        &field("ASCII.LL", spaces),
        &[
            "f:2:7: warning: field 41 is always filled to 8 there, though its length is told: here it is written as long as its value, and what fills one that comes stands in it",
        ],
    );
    check_moov(
        &field("None.Fixed", ""),
        &[
            "f:2:7: warning: field 41 has the prefix None.Fixed: a value that is shorter than 8 is sent so there, and filled here",
        ],
    );
    check_moov(&field("ASCII.LL", r#", "padding": {"type": "None"}"#), &[]);
    check_moov(
        &field(
            "ASCII.Fixed",
            r#", "padding": {"type": "Both", "pad": " "}"#,
        ),
        &[
            "f:2:91: warning: field 41.padding is no padding that is known here: its type Both is not known here",
        ],
    );
}

#[test]
fn tracks_and_what_else_nobody_may_see_are_hidden_wherever_they_stand() {
    let field = |number: u8, kind: &str, more: &str| {
        format!(
            r#""{number}": {{"type": "{kind}", "length": 19, "enc": "ASCII", "prefix": "ASCII.LL"{more}}}"#
        )
    };
    let inner = format!(
        r#", "subfields": {{{}, {}}}"#,
        field(1, "Track1", ""),
        field(2, "Track2", "")
    );
    let tags = format!(
        r#", "tag": {{"length": 1, "enc": "ASCII"}}{}"#,
        inner.replace("Track1", "String")
    );
    let fields = [
        field(2, "String", ""),
        field(45, "String", ""),
        field(52, "String", ""),
        field(55, "String", ""),
        field(57, "Track1", ""),
        field(58, "Track2", ""),
        field(59, "Track3", ""),
        field(60, "Composite", &inner),
        field(61, "Composite", &tags),
    ];
    let dialect = check_moov(&fields.join(",\n"), &[]);
    let shown = |de: u8| dialect.field(de).unwrap().exposure;
    assert_eq!(shown(2), Exposure::Masked);
    // Text, not the bytes that chip data are.
    for secret in [45, 52, 55, 57, 58, 59] {
        assert_eq!(shown(secret), Exposure::Secret, "{secret}");
    }
    for field in dialect.fields() {
        assert!(field.kind != FieldType::Track || field.exposure == Exposure::Secret);
    }
    let parts = |de: u8| {
        let rules = &dialect.layout(de).unwrap().rules;
        rules.iter().map(|rule| rule.exposure).collect::<Vec<_>>()
    };
    assert_eq!(parts(60), [Exposure::Secret, Exposure::Secret]);
    assert_eq!(parts(61), [Exposure::Secret, Exposure::Secret]);
}

#[test]
fn what_may_hold_a_card_an_account_or_a_key_is_hidden_whatever_it_is_called() {
    let numbers = [3, 41, 48, 53, 57, 62, 96, 102, 103, 120, 126];
    let fields = numbers.map(|de| {
        format!(r#"<isofield id="{de}" name="x" length="9" class="org.jpos.iso.IFA_LLCHAR"/>"#)
    });
    let text = format!("<isopackager>{}</isopackager>", fields.concat());
    let (dialect, _) = check(Source::Jpos, &text);
    for de in numbers {
        let shown = dialect.field(de).unwrap().exposure;
        let open = [3, 41].contains(&de);
        assert_eq!(shown == Exposure::Open, open, "{de}");
        assert_eq!(shown == Exposure::Secret, !open, "{de}");
    }
}

/// A composite DE48 with tags of two characters; `tag` is what else is said of them, `parts` its parts.
fn composite(tag: &str, parts: &str) -> String {
    format!(
        r#"{{"name": "x", "fields": {{
"3": {{"type": "String", "length": 6, "enc": "ASCII", "prefix": "ASCII.Fixed"}},
"48": {{"type": "Composite", "length": 20, "prefix": "ASCII.LLL",
"tag": {{"length": 2, "enc": "ASCII"{tag}}},
"subfields": {{{parts}}}}}}}}}"#
    )
}

#[test]
fn tags_are_filled_up_as_the_source_says() {
    let part = |tag: &str| {
        format!(
            r#""{tag}": {{"type": "String", "length": 3, "enc": "ASCII", "prefix": "ASCII.LL"}}"#
        )
    };
    let tags = |tag: &str, key: &str| {
        let text = composite(tag, &format!("{}, {}", part("12"), part(key)));
        let imported = import(Source::Moov, "spec.json", &text, "x").unwrap();
        let dialect = Dialect::parse("d.toml", &imported.text).unwrap();
        let layout = dialect.layout(48).unwrap();
        let tags: Vec<_> = layout
            .rules
            .iter()
            .map(|rule| rule.tag.to_string())
            .collect();
        (
            tags,
            imported
                .warnings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        )
    };
    let padding =
        |side: &str, pad: &str| format!(r#", "padding": {{"type": "{side}", "pad": "{pad}"}}"#);
    assert_eq!(tags(&padding("Left", "0"), "1").0, ["01", "12"]);
    assert_eq!(tags(&padding("Right", " "), "A").0, ["12", "A "]);
    for (tag, key) in [(String::new(), "1"), (padding("Left", "0"), "123")] {
        let (found, warnings) = tags(&tag, key);
        assert_eq!(found, ["12"]);
        let told = format!("has a part {key} that is left out: its tags have 2 characters");
        let place = "spec.json:3:7: warning: ";
        assert!(
            warnings
                .iter()
                .any(|w| w.starts_with(place) && w.contains(&told)),
            "{warnings:?}"
        );
    }
}

#[test]
fn parts_that_cannot_lie_in_their_field_are_told_where_the_field_is() {
    let part = |number: u8| {
        format!(
            r#""{number}": {{"type": "String", "length": 15, "enc": "ASCII", "prefix": "ASCII.Fixed"}}"#
        )
    };
    let text = composite("", &format!("{}, {}", part(1), part(2)));
    // One after the other: without tags.
    let text = text.replacen("\"length\": 2,", "\"length\": 0,", 1);
    let imported = import(Source::Moov, "spec.json", &text, "x").unwrap();
    let dialect = Dialect::parse("d.toml", &imported.text).unwrap();
    assert!(dialect.layout(48).is_none());
    let warnings: Vec<_> = imported.warnings.iter().map(ToString::to_string).collect();
    let told = "field 48 is carried over whole, its parts are left out: subfields.48: part 2 would end at 30";
    let place = "spec.json:3:7: warning: ";
    assert!(
        warnings
            .iter()
            .any(|w| w.starts_with(place) && w.contains(told)),
        "{warnings:?}"
    );
}

#[test]
fn names_cannot_break_out_of_their_quotes() {
    let text = r#"<isopackager><isofield id="2" name="a&quot; } x = { &#10;\" length="1" class="IF_CHAR"/></isopackager>"#;
    let (dialect, _) = check(Source::Jpos, text);
    assert_eq!(dialect.fields().len(), 1);
}
