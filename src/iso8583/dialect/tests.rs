//! The shipped dialects are sound, and broken files say where.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::*;
use crate::base::{Fate, RequestType};
use crate::iso8583::mti::Mti;
use crate::iso8583::request::{Books, Served};

fn listed<'p>(problems: impl IntoIterator<Item = &'p Problem>) -> String {
    problems
        .into_iter()
        .map(|problem| format!("\n{problem}"))
        .collect()
}

/// What is reported of the unionpay file with one piece of text exchanged.
fn reported(piece: &str, instead: &str) -> String {
    let text = Dialect::shipped_text("unionpay-pos").unwrap();
    assert!(text.contains(piece), "{piece}");
    let text = text.replacen(piece, instead, 1);
    Dialect::parse("d.toml", &text)
        .err()
        .map(|problems| listed(&problems))
        .unwrap_or_default()
}

fn check(piece: &str, instead: &str, expect: &str) {
    let found = reported(piece, instead);
    assert!(found.contains(expect), "{expect:?} is not in{found}");
    assert!(found.contains("\nd.toml:"), "{found}");
}

#[test]
fn shipped_dialects_have_no_problems() {
    for name in Dialect::shipped_names() {
        let text = Dialect::shipped_text(name).unwrap();
        match Dialect::parse(&format!("protocols/{name}/dialect.toml"), text) {
            Ok(dialect) => {
                assert_eq!(dialect.name(), *name);
                assert_eq!(dialect.warnings(), []);
            }
            Err(problems) => panic!("{}", listed(&problems)),
        }
        assert!(Dialect::shipped(name).is_some());
    }
    assert!(Dialect::shipped("nowhere").is_none());
}

/// Where the values stand that are no tables.
fn values(value: &DeValue<'_>, found: &mut Vec<Range<usize>>) {
    let inner: Vec<_> = match value {
        DeValue::Table(table) => table.values().collect(),
        DeValue::Array(list) => list.iter().collect(),
        _ => return,
    };
    for value in inner {
        let before = found.len();
        values(value.get_ref(), found);
        let tables = match value.get_ref() {
            DeValue::Table(_) => true,
            DeValue::Array(list) => list.iter().any(|item| item.get_ref().is_table()),
            _ => false,
        };
        if tables {
            continue;
        }
        found.truncate(before);
        found.push(value.span());
    }
}

/// Puts a value of the wrong kind in place of each of the file's, one at a time, and gives what is then reported.
fn spoiled(name: &str, every: usize) -> Vec<(String, Vec<Problem>)> {
    let text = Dialect::shipped_text(name).unwrap();
    let mut found = Vec::new();
    values(
        &DeValue::Table(DeTable::parse(text).unwrap().into_inner()),
        &mut found,
    );
    let spoiled = found.into_iter().step_by(every).map(|place| {
        let mut spoiled = text.to_owned();
        spoiled.replace_range(place.clone(), "0.5");
        let before = text.get(..place.end).unwrap().lines();
        let line = before.clone().count();
        let place = format!("{name}:{line}: {}", before.last().unwrap());
        let problems = Dialect::parse("d.toml", &spoiled).err().unwrap_or_default();
        (place, problems)
    });
    spoiled.collect()
}

#[test]
fn one_mistake_is_told_once_and_not_again_by_what_refers_to_it() {
    // Every value takes a minute, and found nothing more when it was tried.
    let every = std::env::var("POSGATE_SPOIL_EVERY").map_or(5, |every| every.parse().unwrap());
    let names = Dialect::shipped_names().iter();
    let wrong: String = names
        .flat_map(|name| spoiled(name, every))
        .filter(|(_, problems)| problems.len() != 1)
        .map(|(place, problems)| format!("\n{place}{}\n", listed(problems.iter().take(4))))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn without_what_it_builds_on_a_file_is_still_read() {
    let mut children = 0;
    for name in Dialect::shipped_names() {
        let text = Dialect::shipped_text(name).unwrap();
        let Some(line) = text.lines().find(|line| line.starts_with("extends")) else {
            continue;
        };
        children += 1;
        let orphan = text.replacen(line, "extends = \"nobody\"", 1);
        let problems = Dialect::parse("d.toml", &orphan).unwrap_err();
        assert_eq!(problems.len(), 1, "{name}: {}", listed(&problems));
        assert!(problems[0].message.contains("\"nobody\""), "{name}");
        // Mistakes of its own are told with it, in the order of the file.
        let also =
            orphan.replacen("title = \"", "titel = 1\ntitle = \"", 1) + "\n[reversals]\nx = 1\n";
        let problems = Dialect::parse("d.toml", &also).unwrap_err();
        assert_eq!(problems.len(), 3, "{name}: {}", listed(&problems));
        assert!(
            problems[0].message.contains("did you mean `title`"),
            "{name}"
        );
        assert!(
            problems[2].message.contains("did you mean `reversal`"),
            "{name}"
        );
    }
    assert!(children >= 4, "{children}");
}

#[test]
fn rows_are_counted_in_their_own_file() {
    // One that the parent has stands among the parent's rows when the files are laid over each other.
    let text = "name = \"mine\"\ntitle = \"mine\"\nextends = \"unionpay-pos\"\n[[request]]\nname = \"mine\"\n\
        kind = 1\n[[request]]\nname = \"refund\"\nwhen = 2\n";
    let problems = Dialect::parse("d.toml", text).unwrap_err();
    let listed = listed(&problems);
    for expect in ["request[1].kind must be", "request[2].when must be"] {
        assert!(listed.contains(expect), "{expect:?} is not in{listed}");
    }
}

#[test]
fn mistakes_are_looked_for_in_the_file_itself_before_those_that_it_builds_on() {
    let head = "name = \"mine\"\ntitle = \"mine\"\nextends = \"unionpay-pos\"\n";
    for (body, expect) in [
        ("fields = 3", "fields must be a table"),
        ("[fields]\n2 = 3", "fields.2 must be a table"),
        (
            "[fields]\n2 = { type = \"q\" }",
            "fields.2.type must be one of",
        ),
        (
            "[fields]\n300 = { type = \"n\", max = 2 }",
            "fields are named by their number",
        ),
        ("message = 3", "message must be a table"),
        ("reversal = 3", "reversal must be a table"),
    ] {
        let text = format!("{head}{body}\n");
        let problems = Dialect::parse("d.toml", &text).unwrap_err();
        let listed = listed(&problems);
        assert_eq!(problems.len(), 1, "{body}: {listed}");
        assert!(listed.contains(expect), "{listed}");
    }
    // What only breaks there is told there.
    let text = format!("{head}remove = [\"fields.2\"]\n");
    let listed = listed(&Dialect::parse("d.toml", &text).unwrap_err());
    assert!(listed.contains("unionpay-pos/dialect.toml:"), "{listed}");
    assert!(listed.contains("DE2 is not defined"), "{listed}");
}

#[test]
fn an_empty_file_names_everything_that_is_missing() {
    let problems = listed(&Dialect::parse("d.toml", "").unwrap_err());
    for missing in ["name", "title", "framing", "message", "fields"] {
        assert!(
            problems.contains(&format!("{missing} is missing")),
            "{missing}{problems}"
        );
    }
}

#[test]
fn mistakes_in_fields_have_their_place() {
    check(
        "type = \"n\", max = 6 }",
        "type = \"m\", max = 6 }",
        "fields.3.type must be one of",
    );
    check(
        "type = \"n\", max = 6 }",
        "type = \"n\" }",
        "fields.3.max is missing",
    );
    check(
        "type = \"n\", max = 6 }",
        "type = \"n\", maxx = 6, max = 6 }",
        "did you mean `max`?",
    );
    check(
        "length = \"LL\", max = 11",
        "length = \"LL\", max = 110",
        "does not fit the length prefix",
    );
    check("\n3 = {", "\n129 = {", "fields are named by their number");
    check("\n3 = {", "\n1 = {", "fields are named by their number");
    check(
        "\"type:2:交易类型码\"",
        "\"type=2\"",
        "a part is a name and a number of digits",
    );
    check(
        "\"terminal id\"",
        "\"terminal id\", pad = \"up\"",
        "fields.41.pad must be one of",
    );
    check(
        "type = \"ans\", max = 8 }",
        "type = \"ans\", max = 9 }",
        "plays terminal and must be fixed",
    );
}

#[test]
fn mistakes_in_requests_have_their_place() {
    check(
        "\"60.1\" = \"01\"",
        "\"60.9\" = \"01\"",
        "no field or part \"60.9\"",
    );
    check(
        "\"60.1\" = \"01\"",
        "\"60.1\" = \"011\"",
        "is not as long as 60.1 always is",
    );
    check(
        "name = \"qr-sale\"",
        "name = \"balance-inquiry\"",
        "there is already a request",
    );
    check(
        "fate = \"reverse\"\nbooks",
        "fate = \"expire\"\nbooks",
        "a new-money moves money",
    );
    check(
        "required = [3, 11, 22",
        "required = [3, 10, 11, 22",
        "DE10 is not defined",
    );
    check(
        ", \"22\" = \"030|031|032\" }",
        " }",
        "is never reached: \"qr-sale\" matches first",
    );
    check(
        "kind = \"enquiry\"",
        "kind = \"inquiry\"",
        "request[1].kind must be one of",
    );
    check(
        "41, 42, 49, 59, 60, 61]",
        "41, 42, 49, 52, 60, 61]",
        "DE52 is secret and may not be kept",
    );
    check(
        "mti = \"0200\"",
        "mti = \"200\"",
        "a message type is four digits",
    );
}

#[test]
fn mistakes_in_codes_have_their_place() {
    check(
        "not-allowed = \"58\"",
        "not-allowed = \"04\"",
        "makes the shop keep the card",
    );
    check(
        "not-allowed = \"58\"",
        "not-allowed = \"00\"",
        "is an approval",
    );
    check(
        "not-allowed = \"58\"",
        "",
        "declines.not-allowed is missing",
    );
    check(
        "\"00\", \"10\"",
        "\"10\"",
        "responses.approvals must have \"00\"",
    );
    check(
        "unknown_original = \"00\"",
        "unknown_original = \"96\"",
        "must have reversal.unknown_original",
    );
    check(
        "timeout = \"98\"",
        "timeout = \"980\"",
        "two letters or digits",
    );
    check(
        "header = \"603100310000\"",
        "header = \"60310031000\"",
        "bytes in hexadecimal",
    );
    check(
        "tpdu = \"6000000000\"",
        "tpdu = \"600000\"",
        "tpdu has five bytes",
    );
}

/// What is wrong with a file, the files `a` and `b` beside it.
fn extending(text: &str, a: &str, b: &str) -> Result<Dialect, String> {
    let find = |name: &str| match name {
        "a" => Some(("a.toml".to_owned(), a.to_owned())),
        "b" => Some(("b.toml".to_owned(), b.to_owned())),
        _ => None,
    };
    Dialect::parse_with("d.toml", text, &find).map_err(|problems| listed(&problems))
}

const PLAIN: &str = "name = \"a\"\ntitle = \"a\"\n[framing]\nlength_bytes = 2\n[message]\nmti = \"ascii\"\n\
    [fields]\n3 = { en = \"code\", type = \"n\", max = 6 }\n4 = { en = \"amount\", type = \"n\", max = 12 }\n";

#[test]
fn a_dialect_without_requests_decodes_only() {
    let dialect = extending(PLAIN, "", "").unwrap();
    assert!(!dialect.serves());
    assert_eq!(dialect.roles().amount, 4);
    let found = extending(&format!("{PLAIN}[defaults]\nrequired = [3]\n"), "", "").unwrap_err();
    assert!(
        found.contains("d.toml:10:1: error: [defaults] stands without a [[request]]"),
        "{found}"
    );
}

#[test]
fn a_dialect_builds_on_others() {
    let b = "name = \"b\"\ntitle = \"b\"\nextends = \"a\"\n[fields]\n5 = { en = \"five\", type = \"b\", max = 8 }\n";
    let text = "name = \"d\"\ntitle = \"d\"\nextends = \"b\"\nremove = [\"fields.4\"]\n[message]\ndigits = \"packed\"\n\
        [fields]\n5 = { bytes = \"hex\" }\n";
    let dialect = extending(text, PLAIN, b).unwrap();
    assert_eq!(dialect.name(), "d");
    assert!(dialect.field(4).is_none());
    assert_eq!(dialect.field(5).unwrap().en, "five");
    assert_eq!(dialect.spec(5).kind, Kind::Hex);
    assert_eq!(dialect.spec(3).kind, Kind::PackedDigits);
}

#[test]
fn what_cannot_be_built_on_has_its_place() {
    let own = |parent: &str| format!("name = \"d\"\ntitle = \"d\"\nextends = \"{parent}\"\n");
    let loops = own("a").replace("\"d\"", "\"b\"");
    let check = |text: &str, a: &str, expect: &str| {
        let found = extending(text, a, &loops).unwrap_err();
        assert!(found.contains(expect), "{expect:?} is not in{found}");
    };
    check(
        &own("x"),
        "",
        "d.toml:3:11: error: extends: there is no dialect \"x\"; shipped are unionpay-pos",
    );
    check(
        &own("d"),
        "",
        "d.toml:3:11: error: extends: \"d\" builds on itself (d -> d)",
    );
    let to_b = own("b").replace("\"d\"", "\"a\"");
    check(
        &own("a"),
        &to_b,
        "b.toml:3:11: error: extends: \"a\" builds on itself (d -> a -> b -> a)",
    );
    let broken = PLAIN.replace("max = 12", "max = \"12\"");
    check(
        &own("a"),
        &broken,
        "a.toml:9:40: error: fields.4.max must be a whole number",
    );
}

#[test]
fn a_layout_that_cannot_be_read_has_its_place() {
    let check = |subfields: &str, expect: &str| {
        let found = extending(&format!("{PLAIN}{subfields}"), "", "").unwrap_err();
        assert!(found.contains(expect), "{expect:?} is not in{found}");
    };
    let part = "en = \"x\", type = \"n\"";
    check(
        "[subfields.5]\nform = \"ber-tlv\"\n",
        "d.toml:10:12: error: subfields.5: no field 5 is defined",
    );
    check(
        "[subfields.3]\nform = \"tlw\"\n",
        "subfields.3.form must be one of \"positional\", \"ber-tlv\"",
    );
    check(
        "[subfields.3]\nform = \"tlv\"\ntag_bytes = 2\n",
        "subfields.3.length_bytes is missing",
    );
    check(
        "[subfields.3]\nform = \"positional\"\n",
        "subfields.3.parts is missing",
    );
    check(
        &format!("[subfields.3]\nform = \"positional\"\nparts.2 = {{ {part}, max = 2 }}\n"),
        "d.toml:12:7: error: subfields.3.parts.2 follows on nothing: subfields.3.parts has no 1",
    );
    check(
        &format!("[subfields.3]\nform = \"ber-tlv\"\nparts.9f26 = {{ {part} }}\n"),
        "d.toml:12:7: error: a part is named by one whole BER tag",
    );
    check(
        &format!("[subfields.3]\nform = \"repeat\"\nparts.1 = {{ {part}, length = \"rest\" }}\n"),
        "only the last part of a positional layout takes the rest",
    );
    check(
        "[subfields.\"3.1\"]\nform = \"ber-tlv\"\n",
        "write [subfields.3] too",
    );
}

#[test]
fn what_cannot_lie_in_its_field_has_its_place() {
    let check = |subfields: &str, expect: &str| {
        let fields = "48 = { en = \"x\", type = \"ans\", length = \"LLL\", max = 20 }\n\
            55 = { en = \"y\", type = \"b\", length = \"LLL\", max = 20, show = \"chip\" }\n";
        let found = extending(&format!("{PLAIN}{fields}{subfields}"), "", "");
        match expect {
            "" => assert!(found.is_ok(), "{found:?}"),
            expect => {
                let found = found.unwrap_err();
                assert!(
                    found.contains(&format!("\nd.toml:{expect}")),
                    "{expect:?}: {found}"
                );
                assert_eq!(found.lines().count(), 2, "{found}");
            }
        }
    };
    // Each part as its key and what is in its table.
    let table = |de: u8, form: &str, parts: &[&str]| {
        let parts = parts.iter().map(|part| {
            let (key, part) = part.split_once(": ").unwrap();
            format!("parts.{key} = {{ en = \"p\", {part} }}\n")
        });
        let parts: String = parts.collect();
        format!("[subfields.{de}]\nform = \"{form}\n{parts}")
    };
    let digits = |number: u8, max: u16| format!("{number}: type = \"n\", max = {max}");
    let positional = |parts: &[&str]| table(48, "positional\"", parts);
    check(&positional(&[&digits(1, 11), &digits(2, 9)]), "");
    check(
        &positional(&[&digits(1, 11), &digits(2, 10)]),
        "15:7: error: subfields.48: part 2 would end at 21, and DE48 has at most 20",
    );
    check(
        &positional(&["1: type = \"n\", length = \"LL\", max = 30"]),
        "14:7: error: subfields.48: part 1 would end at 30",
    );
    check(
        &table(3, "positional\"", &[&digits(1, 4)]),
        "12:12: error: subfields.3: the parts take 4 together, DE3 always has 6",
    );
    check(
        &table(
            3,
            "positional\"",
            &[&digits(1, 4), "2: type = \"n\", length = \"rest\""],
        ),
        "",
    );
    let bitmap = |parts: &[&str]| table(55, "bitmap\"\nbitmap_bytes = 3", parts);
    check(&bitmap(&["24: type = \"n\", max = 2"]), "");
    check(
        &bitmap(&["25: type = \"n\", max = 2"]),
        "15:7: error: subfields.55.parts.25: the bitmap has 24 bits",
    );
    check(
        &bitmap(&["02: type = \"n\", max = 2"]),
        "15:7: error: a part is named by a number from 1",
    );
    check(
        &bitmap(&["2: type = \"n\", max = 18"]),
        "15:7: error: subfields.55: part 2 would end at 21",
    );
    check(
        &table(
            55,
            "bitmap\"\nbitmap_bytes = 10\nbitmap_encoding = \"hex\"",
            &["2: type = \"n\", length = \"rest\""],
        ),
        "12:12: error: subfields.55: 20 bytes stand before a part",
    );
    let repeat = |form: &str, max: u16| table(48, &format!("repeat\"{form}"), &[&digits(1, max)]);
    check(&repeat("\ncount_bytes = 2", 18), "");
    check(
        &repeat("\ncount_bytes = 2", 19),
        "15:7: error: subfields.48: part 1 would end at 21",
    );
    check(
        &repeat("\ncount_encoding = \"binary\"", 18),
        "12:1: error: subfields.48.count_bytes is missing",
    );
    let tlv = |length: u8, max: u16| {
        let form = format!("tlv\"\ntag_bytes = 2\nlength_bytes = {length}");
        table(48, &form, &[&format!("AB: type = \"ans\", max = {max}")])
    };
    check(&tlv(2, 16), "");
    check(
        &tlv(1, 16),
        "16:7: error: subfields.48: part AB: its max does not fit the length, which tells at most 9",
    );
    check(
        &tlv(2, 21),
        "16:7: error: subfields.48: part AB would end at 21",
    );
    check(
        &table(3, "tlv\"\ntag_bytes = 4\nlength_bytes = 2", &[]),
        "12:12: error: subfields.3: 6 bytes stand before a part",
    );
    check(
        &table(
            55,
            "tlv\"\ntag_encoding = \"binary\"\ntag_bytes = 1\nlength_bytes = 1",
            &["df: type = \"ans\""],
        ),
        "17:7: error: subfields.55.parts.df: tags have 2 upper-case hexadecimal digits",
    );
    for tag in ["9F", "959F", "00"] {
        check(
            &table(55, "ber-tlv\"", &[&format!("{tag}: type = \"b\"")]),
            "14:7: error: a part is named by one whole BER tag",
        );
    }
    let inner = "[subfields.\"48.1\"]\nform = \"positional\"\nparts.1 = { en = \"p\", type = \"n\", max = 6 }\n";
    let outer = positional(&["1: type = \"ans\", length = \"LL\", max = 4"]);
    check(
        &format!("{outer}{inner}"),
        "17:7: error: subfields.48.1: part 1 would end at 6, and part 1 has at most 4",
    );
    check(
        "[subfields.03]\nform = \"ber-tlv\"\n",
        "12:12: error: subfields.03: no field 03 is defined",
    );
}

#[test]
fn what_says_nothing_or_says_it_twice_has_its_place() {
    let check = |piece: &str, instead: &str, expect: &str| {
        let text = PLAIN.replacen(piece, instead, 1);
        let found = listed(&Dialect::parse("d.toml", &text).unwrap_err());
        assert!(
            found.contains(&format!("\nd.toml:{expect}")),
            "{expect:?}: {found}"
        );
        assert_eq!(found.lines().count(), 2, "{found}");
    };
    check(
        "en = \"code\"",
        "en = \" \"",
        "8:12: error: fields.3.en is empty; write for example",
    );
    check(
        "en = \"code\"",
        "en = \"code\", zh = \"\"",
        "8:25: error: fields.3.zh is empty; write a name, or take `zh` out",
    );
    check("name = \"a\"", "name = \"\"", "1:8: error: name is empty");
    check(
        "title = \"a\"",
        "title = \"\"",
        "2:9: error: title is empty",
    );
    check(
        "max = 6",
        "max = 6, parts = [\"a:2\", \"a:4\"]",
        "8:57: error: there is another part \"a\"",
    );
    check(
        "max = 6",
        "max = 6, parts = [\"a:2\", \":4\"]",
        "8:57: error: a part is a name and a number of digits",
    );
    check(
        "max = 6",
        "max = 6, parts = [\"a:6:\"]",
        "8:50: error: a part is a name and a number of digits",
    );
    check(
        "max = 6",
        "max = 6, parts = [\"a:2\"]",
        "8:49: error: the parts have 2 digits together, the field always has 6",
    );
    check(
        "\n3 =",
        "\n03 =",
        "8:1: error: fields are named by their number",
    );
    check(
        "[framing]",
        "remove = [\"fields.3\"]\n[framing]",
        "3:10: error: remove leaves out something that is inherited, and nothing is; write for example `extends",
    );
    check(
        "[fields]",
        "[roles]\nstan = 4\nrrn = 4\n[fields]",
        "9:7: error: DE4 plays stan and rrn",
    );
    check(
        "length_bytes = 2",
        "length_encoding = \"ascii\"\nlength_bytes = 1",
        "5:16: error: framing.length_bytes: no message is so short",
    );
    let header = |bytes: &str, parts: &str| {
        format!(
            "length_bytes = 2\nheader = \"{bytes}\"\nheader_parts = {parts}\nheader_length = \"x\""
        )
    };
    check(
        "length_bytes = 2",
        &header("0000", "[\"x:2\", \"y:2\"]"),
        "7:17: error: framing.header_length is a part of two to four bytes",
    );
    check(
        "length_bytes = 2",
        &header("000000", "[\"x:4\", \"x:2\"]"),
        "6:24: error: framing.header_parts has another \"x\"",
    );
}

#[test]
fn mistakes_in_framing_have_their_place() {
    check(
        "length_bytes = 2",
        "length_bytes = 5",
        "framing.length_bytes must be from 1 to 4",
    );
    check(
        "length_bytes = 2",
        "length_bytes = 2\nlength_counts = [\"all\"]",
        "framing.length_counts has any of",
    );
    check(
        "length_bytes = 2",
        "length_bytes = 2\nlength_place = \"behind\"",
        "framing.length_place must be one of",
    );
    for (place, key) in [("after-tpdu", "tpdu"), ("after-header", "header")] {
        let text = PLAIN.replace(
            "length_bytes = 2",
            &format!("length_bytes = 2\nlength_place = \"{place}\""),
        );
        let found = listed(&Dialect::parse("d.toml", &text).unwrap_err());
        let place = "\nd.toml:5:16: error: framing.length_place: there is nothing";
        assert!(
            found.contains(place) && found.contains(&format!("`{key} = ")),
            "{found}"
        );
    }
    check(
        "\"sub-version:6:软件分版本号\"",
        "\"sub-version:5:软件分版本号\"",
        "name 11 nibbles, the header has 12",
    );
    check(
        "bitmaps = 1",
        "bitmaps = 1\nthird_bitmap = \"in-place\"",
        "write `bitmaps = 3` too",
    );
}

/// As `check`, and nothing else is told.
fn once(piece: &str, instead: &str, expect: &str) {
    let found = reported(piece, instead);
    assert!(found.contains(expect), "{expect:?} is not in{found}");
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn words_that_are_nearly_right_are_told_once_and_with_the_right_one() {
    once(
        "\ncount-limit = \"65\"",
        "\ncont-limit = \"65\"",
        "unknown key `declines.cont-limit`; did you mean `count-limit`?",
    );
    once(
        "02 = \"verify-contact\"",
        "02 = \"verify-contakt\"",
        "no code is for \"verify-contakt\"; did you mean \"verify-contact\"?",
    );
    once(
        "\nformat = \"30\"",
        "\nfornat = \"30\"",
        "unknown key `declines.fornat`; did you mean `format`?",
    );
    once(
        "\ntitle = ",
        "\ntitel = ",
        "unknown key `titel`; did you mean `title`?",
    );
}

#[test]
fn what_names_an_original_is_as_wide_as_what_it_names() {
    once(
        "date = \"61.3\"",
        "date = \"61.5\"",
        "roles.original.date is month and day and has 4 digits; this part has 11",
    );
    once(
        "stan = \"61.2\"",
        "stan = \"61.3\"",
        "roles.original.stan is a trace number and has 6 digits; this part has 4",
    );
    once(
        "reversed = { batch = \"60.2\", stan = \"11\" }",
        "reversed = { batch = \"60.2\", stan = \"11\", mti = \"60.3\" }",
        "roles.reversed.mti is a message type and has 4 digits; this part has 3",
    );
}

#[test]
fn several_mistakes_are_reported_at_once() {
    let text = Dialect::shipped_text("unionpay-pos")
        .unwrap()
        .replace("kind = \"refund\"", "kind = \"money-back\"")
        .replace("no-answer = \"98\"", "no-answer = \"07\"");
    let problems = Dialect::parse("d.toml", &text).unwrap_err();
    let refunds = problems
        .iter()
        .filter(|p| p.message.contains("kind must be"));
    assert!(refunds.count() >= 4);
    assert!(problems.iter().any(|p| p.message.contains("keep the card")));
    assert!(problems.is_sorted_by_key(|p| p.line));
}

#[test]
fn codes_are_what_the_terminals_take_them_for() {
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let code = |text: &str| ResponseCode::from_slice(text.as_bytes()).unwrap();
    for approval in ["00", "10", "11", "A2", "A4", "A5", "A6"] {
        assert!(dialect.is_approval(code(approval)), "{approval}");
    }
    for decline in ["01", "16", "A0", "A3", "98", "  "] {
        assert!(!dialect.is_approval(code(decline)), "{decline}");
    }
    assert!(dialect.is_partial_approval(code("10")));
    assert!(!dialect.is_partial_approval(code("00")));
    for done in ["00", "12", "25"] {
        assert!(dialect.acknowledges_reversal(code(done)), "{done}");
    }
    for pending in ["91", "96", "98", "68", "10"] {
        assert!(!dialect.acknowledges_reversal(code(pending)), "{pending}");
    }
    assert_eq!(dialect.decline(DeclineCode::UnknownTerminal), code("97"));
    assert_eq!(
        dialect.text_of(code("51")).unwrap().en,
        "insufficient funds"
    );
    assert_eq!(dialect.text_of(code("ZZ")), None);
}

#[test]
fn rows_carry_their_rules() {
    let dialect = Dialect::shipped("unionpay-pos").unwrap();
    let check = |name: &str, kind, fate, books, served| {
        let row = dialect.request(name).unwrap();
        assert_eq!(
            (row.kind, row.fate, row.books, row.served),
            (kind, fate, books, served),
            "{name}"
        );
    };
    use {Fate as F, RequestType as R};
    check(
        "sale",
        R::NewMoney,
        F::Reverse,
        Books::Debit,
        Served::Forward,
    );
    check(
        "sale-void",
        R::Void,
        F::Reverse,
        Books::Credit,
        Served::Forward,
    );
    check(
        "refund",
        R::Refund,
        F::Repeat,
        Books::Credit,
        Served::Forward,
    );
    check(
        "reversal",
        R::Reversal,
        F::Repeat,
        Books::None,
        Served::Forward,
    );
    check(
        "script-notice",
        R::Trailer,
        F::Repeat,
        Books::None,
        Served::Forward,
    );
    check("sign-on", R::SignOn, F::Expire, Books::None, Served::SignOn);
    check(
        "settlement",
        R::Settlement,
        F::Expire,
        Books::None,
        Served::Settlement,
    );
    let reversal = dialect.reversal();
    assert_eq!(reversal.mti, Mti::parse("0400").unwrap());
    assert_eq!(reversal.timeout, ResponseCode::new(*b"98"));
}

#[test]
fn answers_are_matched_by_fields_that_can_tell_requests_apart() {
    let check = |rule: &str, expect: &[&str]| {
        let iso = Dialect::shipped_text("iso8583-1987-ascii").unwrap();
        let lines = iso.lines().count();
        let read = Dialect::parse("d.toml", &format!("{iso}{rule}"));
        let found = match read {
            Ok(dialect) => dialect.warnings().to_vec(),
            Err(problems) => problems,
        };
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            let (place, expect) = expect.split_once(' ').unwrap();
            let (line, column) = place.split_once(':').unwrap();
            let line = lines + line.parse::<usize>().unwrap();
            assert!(
                found.starts_with(&format!("d.toml:{line}:{column}:")),
                "{found}"
            );
            assert!(found.contains(expect), "{expect} is not in {found}");
        }
    };
    let rule = |mtis: &str, fields: &str| {
        format!("[[message_type]]\nname = \"{mtis}\"\nmti = \"{mtis}\"\nmatch = {fields}\n")
    };
    check(&rule("0210|0230", "[3, 11, 41]"), &[]);
    check(&rule("0210", "[37, 41]"), &["4:9 lacks DE11"]);
    check(
        &rule("0200|0210", "[11, 41]"),
        &["4:9 is of answers, and 0200 is none"],
    );
    check(
        &rule("0210", "[7, 11, 41]"),
        &["4:9 DE7 is not required of balance-inquiry"],
    );
    check(
        &format!(
            "{}{}",
            rule("0210", "[3, 11, 41]"),
            rule("0230", "[11, 41]")
        ),
        &["8:9 another message type of the class of 0230"],
    );
    check(
        &format!("{}{}", rule("0210", "[11]"), rule("0410", "[11]")),
        &[],
    );
}

#[test]
fn what_is_matched_without_the_terminal_is_named() {
    let read = |rules: &str| {
        let iso = Dialect::shipped_text("iso8583-1987-ascii").unwrap();
        let dialect = Dialect::parse("d.toml", &format!("{iso}{rules}")).unwrap();
        let found = dialect.matched_without_terminal();
        found.map(|(name, fields)| (name.to_owned(), fields.iter().collect::<Vec<_>>()))
    };
    let rule = |mti: &str, fields: &str| {
        format!("[[message_type]]\nname = \"{mti}\"\nmti = \"{mti}\"\nmatch = {fields}\n")
    };
    let named = |name: &str, fields: &[u8]| Some((name.to_owned(), fields.to_vec()));
    assert_eq!(read(""), None);
    assert_eq!(read(&rule("0210", "[11, 41]")), None);
    assert_eq!(read(&rule("0210", "[11]")), named("balance-inquiry", &[11]));
    assert_eq!(read(&rule("0430", "[7, 11]")), named("reversal", &[7, 11]));
    // The gateway does not match the answers of line tests by it.
    assert_eq!(read(&rule("0810", "[11]")), None);
}

#[test]
fn what_is_accepted_has_a_code_of_its_class() {
    let check = |dialect: &str, mti: &str, expect: &str| {
        let dialect = Dialect::shipped(dialect).unwrap();
        let (mti, code) = (
            Mti::parse(mti).unwrap(),
            ResponseCode::from_slice(expect.as_bytes()),
        );
        assert_eq!(Some(dialect.accepted(mti)), code);
        assert!(dialect.accepts(mti, code.unwrap()));
    };
    for (mti, code) in [
        ("1200", "000"),
        ("1420", "400"),
        ("1520", "500"),
        ("1804", "800"),
    ] {
        check("iso8583-1993-binary", mti, code);
    }
    check("unionpay-pos", "0800", "00");
    check("mastercard-style", "0400", "00");
    let dialect = Dialect::shipped("iso8583-1993-ascii").unwrap();
    let code = |text: &str| ResponseCode::from_slice(text.as_bytes()).unwrap();
    // Money does not move by what accepts a line test.
    assert!(!dialect.is_approval(code("800")));
    assert!(!dialect.accepts(Mti::parse("1210").unwrap(), code("800")));
    assert!(dialect.is_partial_approval(code("002")));
    assert!(dialect.finds_no_original(code("914")));
    assert_eq!(
        dialect.text_of(code("116")).unwrap().en,
        "not sufficient funds"
    );
}

#[test]
fn codes_are_as_wide_as_their_field() {
    let check = |piece: &str, instead: &str, expect: &str| {
        let text = Dialect::shipped_text("iso8583-1993-ascii").unwrap();
        assert!(text.contains(piece), "{piece}");
        let problems = Dialect::parse("d.toml", &text.replacen(piece, instead, 1)).unwrap_err();
        let found = listed(&problems);
        assert!(found.contains(expect), "{expect:?} is not in{found}");
    };
    check(
        "\"000\", \"001\"",
        "\"00\", \"001\"",
        "a code is 3 digits here",
    );
    check(
        "\"000\", \"001\"",
        "\"001\"",
        "responses.approvals must have \"000\"",
    );
    check(
        "timeout = \"4021\"",
        "timeout = \"402\"",
        "a code is 4 digits here",
    );
    check(
        "{ \"24\" = \"400\" }",
        "{ \"27\" = \"6\", \"65\" = \"6\" }",
        "DE65 is not defined",
    );
    check(
        "reversal = \"400\"",
        "reversal = \"480\"",
        "must have 480, by which reversals are accepted",
    );
}

#[test]
fn date_and_time_may_stand_in_one_field() {
    let stamp = b"20261122181500";
    let check = |dialect: &str, de: u8, expect: Option<&str>| {
        let dialect = Dialect::shipped(dialect).unwrap();
        let found = dialect.local_digits(de, stamp);
        assert_eq!(found, expect.map(str::as_bytes));
    };
    check("iso8583-1987-ascii", 12, Some("181500"));
    check("iso8583-1987-ascii", 13, Some("1122"));
    check("iso8583-1987-ascii", 7, None);
    check("iso8583-1993-ascii", 12, Some("261122181500"));
    check("iso8583-1993-ascii", 13, None);
}

#[test]
fn a_length_behind_tpdu_or_header_counts_what_stands_behind_it() {
    let check = |place: &str, counts: &str, announced: u8, length_at: usize| {
        let framing = format!(
            "length_bytes = 2\nlead = \"02\"\ntpdu = \"6000010002\"\nheader = \"0102\"\ntrailer = \"03\"\n\
             length_place = \"{place}\"\n{counts}"
        );
        let text = PLAIN.replace("length_bytes = 2", &framing);
        let dialect = Dialect::parse("d.toml", &text).unwrap();
        let out = without_fields(&dialect);
        assert_eq!(
            out.get(length_at..length_at + 2),
            Some(&[0, announced][..]),
            "{place} {counts}"
        );
        let frame = &out[dialect.framing().prefix_bytes()..];
        let mut index = crate::iso8583::Index::new();
        let message = dialect.decode(frame, &mut index).unwrap();
        let (tpdu, header) = dialect.framing().parts_of(message.envelope());
        assert_eq!((tpdu, header), (&[0x60, 0, 1, 0, 2][..], &[1, 2][..]));
        // An answer turns the TPDU round, wherever the length is.
        let mut answer = bytes::BytesMut::new();
        let mut writer = dialect.write(&mut answer);
        writer.envelope_answering(message.envelope());
        writer.mti(Mti::FINANCIAL_REQUEST.answer());
        writer.finish().unwrap();
        let frame = &answer[dialect.framing().prefix_bytes()..];
        let mut index = crate::iso8583::Index::new();
        let answer = dialect.decode(frame, &mut index).unwrap();
        let (tpdu, header) = dialect.framing().parts_of(answer.envelope());
        assert_eq!((tpdu, header), (&[0x60, 0, 2, 0, 1][..], &[1, 2][..]));
    };
    // Message type and bitmap take 12 bytes, the trailer one.
    check("first", "", 20, 1);
    check("after-tpdu", "", 15, 6);
    check("after-header", "", 13, 8);
    check("after-header", "length_counts = []", 12, 8);
    check("after-tpdu", "length_counts = [\"prefix\"]", 14, 6);
    check(
        "after-tpdu",
        "length_counts = [\"lead\", \"prefix\", \"envelope\", \"trailer\"]",
        23,
        6,
    );
    check("after-header", "length_counts = [\"lead\"]", 20, 8);
}

#[test]
fn a_header_tells_its_length_and_swaps_its_stations() {
    let framing = "length_bytes = 2\ntpdu = \"6000010002\"\nheader = \"00000A0B0C0D\"\ntrailer = \"03\"\n\
        header_parts = [\"length:4\", \"to:4\", \"from:4\"]\nheader_length = \"length\"\n\
        header_swapped = [\"to\", \"from\"]";
    let text = PLAIN.replace("length_bytes = 2", framing);
    let dialect = Dialect::parse("d.toml", &text).unwrap();
    let header = |out: &[u8]| out[7..13].to_vec();
    let mut out = bytes::BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::FINANCIAL_REQUEST);
    writer.finish().unwrap();
    // Header, message type and bitmap.
    assert_eq!(header(&out), [0, 18, 0x0A, 0x0B, 0x0C, 0x0D]);
    let mut answer = bytes::BytesMut::new();
    let mut writer = dialect.write(&mut answer);
    writer.envelope_answering(&out[2..13]);
    writer.mti(Mti::FINANCIAL_REQUEST.answer());
    writer.number(3, 0);
    writer.finish().unwrap();
    assert_eq!(header(&answer), [0, 24, 0x0C, 0x0D, 0x0A, 0x0B]);
    // Wherever the length prefix stands, it is not counted.
    for (place, header_at) in [("first", 7), ("after-tpdu", 7), ("after-header", 5)] {
        let place = format!("length_bytes = 2\nlength_place = \"{place}\"");
        let text = text.replace("length_bytes = 2", &place);
        let dialect = Dialect::parse("d.toml", &text).unwrap();
        let out = without_fields(&dialect);
        assert_eq!(out[header_at..header_at + 2], [0, 18], "{place}");
        assert_eq!(
            dialect
                .framing()
                .header_counts(out.len() - dialect.framing().prefix_bytes()),
            18
        );
    }
    let check = |piece: &str, instead: &str, expect: &str| {
        let problems = Dialect::parse("d.toml", &text.replacen(piece, instead, 1)).unwrap_err();
        let found = listed(&problems);
        assert!(found.contains(expect), "{expect:?} is not in{found}");
    };
    check(
        "header_length = \"length\"",
        "header_length = \"size\"",
        "header_parts has no \"size\"",
    );
    check(
        "[\"to\", \"from\"]",
        "[\"to\"]",
        "names two parts of the header of the same length",
    );
    check(
        "\"to:4\", \"from:4\"",
        "\"to:3\", \"from:5\"",
        "\"to\" is not made of whole bytes",
    );
}

#[test]
fn an_amount_may_have_its_currency_and_ids_may_stand_in_longer_fields() {
    let dialect = Dialect::shipped("iso8583-2003-ascii").unwrap();
    let check = |terminal: &[u8], merchant: &[u8], ids: [Option<&str>; 2]| {
        let mut out = bytes::BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.mti(Mti::parse("2200").unwrap());
        writer.digits(4, b"1562000000012345");
        writer.number(11, 999_999);
        writer.text(41, terminal);
        writer.text(42, merchant);
        writer.finish().unwrap();
        let mut index = crate::iso8583::Index::new();
        let message = dialect.decode(&out[2..], &mut index).unwrap();
        let amount = message.amount().unwrap();
        assert_eq!((amount.minor, amount.currency.as_bytes()), (12_345, b"156"));
        assert_eq!(message.stan().map(crate::base::Stan::get), Some(999_999));
        let found = [
            message.terminal().map(|id| id.as_str().to_owned()),
            message.merchant().map(|id| id.as_str().to_owned()),
        ];
        assert_eq!(found.each_ref().map(Option::as_deref), ids);
    };
    check(b"TERM0001", b"SHOP", [Some("TERM0001"), Some("SHOP")]);
    check(
        b"T1",
        b"MERCHANT0000001",
        [Some("T1"), Some("MERCHANT0000001")],
    );
    check(b"TERM00011", b"MERCHANT00000011", [None, None]);
    let text = Dialect::shipped_text("iso8583-2003-ascii").unwrap();
    let text = text.replace("currency = \"4.1\", amount = \"4.3\"", "currency = \"4.1\"");
    let found = listed(&Dialect::parse("d.toml", &text).unwrap_err());
    assert!(found.contains("roles.amount_parts names both"), "{found}");
}

/// A financial request of a dialect's own envelope and no field.
fn without_fields(dialect: &Dialect) -> bytes::BytesMut {
    let mut out = bytes::BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(Mti::FINANCIAL_REQUEST);
    writer.finish().unwrap();
    out
}
