//! Files of other programs become dialects that decode what those programs write.

use super::*;
use crate::iso8583::{Dialect, Index};

/// Imports, and reads what came out. Gives the dialect and the warnings.
fn check(source: Source, text: &str) -> (Dialect, Vec<String>) {
    assert_eq!(Source::of(text), Some(source));
    let imported = import(source, "f", text, "other").unwrap_or_else(|found| panic!("{found:?}"));
    let dialect = Dialect::parse("other.toml", &imported.text)
        .unwrap_or_else(|found| panic!("{found:#?}\n{}", imported.text));
    assert_eq!(dialect.fields().len(), imported.fields);
    assert_eq!(dialect.name(), "other");
    assert_eq!(dialect.warnings(), []);
    let warnings = imported.warnings.iter().map(ToString::to_string);
    (dialect, warnings.collect())
}

fn refused(source: Source, text: &str) -> String {
    let found = import(source, "f", text, "other").unwrap_err();
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
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
            "f:12:3: warning: field 48 is left out: how org.jpos.iso.IFA_TTLLCHAR writes it is not known here",
            "f:18:3: warning: field 62 is carried over whole, its parts are left out: it has a bitmap of its own",
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
    assert_eq!(
        warnings,
        ["f:6:7: warning: field 48: its length counts packed bytes, here it counts digits"]
    );
    let frame = [
        &[0xF0, 0xF2, 0xF0, 0xF0][..],
        &[0x40, 0x00, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00],
        &[0xF0, 0xF2, 0xF1, 0xF9],
        &[0xE3, 0xF1, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40],
    ];
    let mut index = Index::new();
    let frame = frame.concat();
    let message = dialect.decode(&frame, &mut index).unwrap();
    assert_eq!(message.value(2).as_deref(), Some(&b"19"[..]));
    assert_eq!(message.value(41).as_deref(), Some(&b"T1      "[..]));
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
        "id is no number",
    );
    check(
        Source::Jpos,
        "<isopackager><isofield id='2' length='x' class='IF_CHAR'/></isopackager>",
        "length is no number",
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
        "x is no number of a field",
    );
    check(Source::Moov, "{\"fields\": []}", "fields must be an object");
    assert_eq!(Source::of("# text"), None);
    let deep =
        "<isofieldpackager id='2' length='1' class='IF_CHAR' packager='GenericSubFieldPackager'>";
    let text = format!("<isopackager>{}", deep.repeat(20));
    check(Source::Jpos, &text, "inside each other");
}

#[test]
fn names_cannot_break_out_of_their_quotes() {
    let text = r#"<isopackager><isofield id="2" name="a&quot; } x = { &#10;\" length="1" class="IF_CHAR"/></isopackager>"#;
    let (dialect, _) = check(Source::Jpos, text);
    assert_eq!(dialect.fields().len(), 1);
}
