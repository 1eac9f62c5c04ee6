//! Every kind of layout, read and written, sound and broken.

use proptest::prelude::*;

use super::*;
use crate::iso8583::Dialect;

/// The layout of DE48 of a dialect that says so of it.
fn layout(subfields: &str) -> Layout {
    let text = Dialect::shipped_text("iso8583-1987-ascii").unwrap();
    let text = text.replacen("[defaults]", &format!("{subfields}\n[defaults]"), 1);
    // BER-TLV is of bytes.
    let kind = if subfields.contains("ber-tlv") {
        r#""b", bytes = "raw""#
    } else {
        r#""ans""#
    };
    let (of, now) = (
        "数据-私有\", type = \"ans\"",
        format!("数据-私有\", type = {kind}"),
    );
    assert!(text.contains(of));
    let text = text.replacen(of, &now, 1);
    let dialect = Dialect::parse("d.toml", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
    dialect.layout(48).unwrap().clone()
}

/// What the parts are, as `tag=value` with a list in brackets.
fn listed(items: &[Item]) -> String {
    let one = |item: &Item| match &item.value {
        ItemValue::Value(value) => format!("{}={}", item.tag, value.escape_ascii()),
        ItemValue::Parts(items) => format!("{}=[{}]", item.tag, listed(items)),
    };
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Reads, compares, and writes back to the same bytes.
fn check(subfields: &str, value: &[u8], expect: &str) {
    let layout = layout(subfields);
    let items = layout.read(value).unwrap();
    assert_eq!(listed(&items), expect);
    assert_eq!(layout.write(&items).unwrap(), value, "{expect}");
}

fn broken(subfields: &str, value: &[u8], label: &str, offset: usize) {
    let error = layout(subfields).read(value).unwrap_err();
    assert_eq!(
        (error.label(), error.offset()),
        (label, offset),
        "{value:?}"
    );
}

const POSITIONAL: &str = r#"
[subfields.48]
form = "positional"
[subfields.48.parts]
1 = { en = "type", type = "n", max = 2 }
2 = { en = "name", type = "ans", length = "LL", max = 10 }
3 = { en = "more", type = "b", length = "rest" }
"#;

#[test]
fn a_part_that_begins_with_a_letter_may_be_left_out() {
    const CATEGORY: &str = r#"
[subfields.48]
form = "positional"
[subfields.48.parts]
1 = { en = "category", type = "an", max = 1, present = "letter" }
2 = { en = "elements", type = "ans", length = "rest" }
"#;
    check(CATEGORY, b"R1102PK", "1=R 2=1102PK");
    check(CATEGORY, b"1102PK", "2=1102PK");
    check(CATEGORY, b"R", "1=R");
    check(CATEGORY, b"", "");
    let layout = layout(CATEGORY);
    let item = |tag: &str, value: &[u8]| Item {
        tag: Tag::parse(tag).unwrap(),
        value: ItemValue::Value(value.to_vec()),
    };
    // Neither would be read as it was meant.
    for (items, tag) in [
        (vec![item("2", b"R1102PK")], "2"),
        (vec![item("1", b"1"), item("2", b"1102PK")], "1"),
    ] {
        let tag = Tag::parse(tag).unwrap();
        assert_eq!(layout.write(&items), Err(PartWriteError::Character { tag }));
    }
}

#[test]
fn a_tag_that_says_template_holds_a_value_when_the_file_says_so() {
    let slip = |primitive: &str| {
        format!(
            "[subfields.48]\nform = \"ber-tlv\"\nparts.FF00 = {{ en = \"shop\", type = \"ans\"{primitive} }}\n"
        )
    };
    check(
        &slip(", primitive = true"),
        b"\xFF\x00\x04SHOP",
        "FF00=SHOP",
    );
    broken(&slip(""), b"\xFF\x00\x04SHOP", "part-truncated", 5);
}

/// DE59 as one acquirer writes it, with the settings that the dialect's README gives for it.
#[test]
fn the_other_way_to_write_de59_is_data() {
    let readme = include_str!("../../../protocols/unionpay-pos/README.md");
    let mut examples = readme
        .split("    extends = \"unionpay-pos\"")
        .skip(1)
        .map(|example| {
            let settings = example.lines().skip(1);
            let settings = settings.take_while(|line| line.starts_with("    ") || line.is_empty());
            let settings: String = settings.flat_map(|line| [line.trim(), "\n"]).collect();
            let text =
                format!("name = \"x\"\ntitle = \"x\"\nextends = \"unionpay-pos\"\n{settings}");
            Dialect::parse("d.toml", &text).unwrap_or_else(|problems| panic!("{problems:?}"))
        });
    let (dialect, long_pin) = (examples.next().unwrap(), examples.next().unwrap());
    assert_eq!(long_pin.field(52).unwrap().max, 16);
    assert!(long_pin.serves() && examples.next().is_none());
    let value = b"\xEF\x01\x18https://example.cn\xEF\x02\x04\xB2\xE9\xD1\xAF";
    let items = dialect.layout(59).unwrap().read(value).unwrap();
    let tags: Vec<_> = items
        .iter()
        .map(|item| item.tag.as_str().to_owned())
        .collect();
    assert_eq!(tags, ["EF01", "EF02"]);
    assert_eq!(
        items[0].value,
        ItemValue::Value(b"https://example.cn".to_vec())
    );
    let shipped = Dialect::shipped("unionpay-pos").unwrap();
    let sale = b"A3019621111111111111111X";
    assert_eq!(shipped.layout(59).unwrap().read(sale).unwrap().len(), 1);
}

#[test]
fn positional_parts_may_end_early_and_the_last_takes_the_rest() {
    check(POSITIONAL, b"0103abcxyz", "1=01 2=abc 3=xyz");
    check(POSITIONAL, b"0100", "1=01 2=");
    check(POSITIONAL, b"01", "1=01");
    check(POSITIONAL, b"", "");
    broken(POSITIONAL, b"0", "part-truncated", 0);
    broken(POSITIONAL, b"0x", "part-character", 0);
    broken(POSITIONAL, b"01x3abc", "part-length", 2);
    broken(POSITIONAL, b"0111", "part-too-long", 2);
    broken(POSITIONAL, b"0103ab", "part-truncated", 4);
}

const BER: &str = r#"
[subfields.48]
form = "ber-tlv"
[subfields.48.parts]
9F02 = { en = "amount", type = "n", digits = "packed", max = 12 }
9F1E = { en = "serial", type = "an" }
"#;

#[test]
fn ber_tlv_reads_long_tags_long_lengths_and_templates() {
    check(
        BER,
        b"\x9F\x02\x02\x12\x34\x9F\x1E\x01A\x82\x01\xFF",
        "9F02=1234 9F1E=A 82=\\xff",
    );
    check(BER, b"\x70\x05\x9F\x1E\x02AB\x5A\x00", "70=[9F1E=AB] 5A=");
    let long = [&b"\x9F\x1E\x81\x80"[..], &[b'x'; 128]].concat();
    check(BER, &long, &format!("9F1E={}", "x".repeat(128)));
    let filled = layout(BER).read(b"\0\x9F\x1E\x01A\0\0\x82\x00\0").unwrap();
    assert_eq!(listed(&filled), "9F1E=A 82=");
    broken(BER, b"\x9F", "part-tag", 0);
    broken(BER, b"\x9F\x81\x82\x83\x01", "part-tag", 0);
    broken(BER, b"\x82", "part-length", 1);
    broken(BER, b"\x82\x80", "part-length", 1);
    broken(BER, b"\x82\x84\0\0\0\x01A", "part-length", 1);
    broken(BER, b"\x82\x82\x01", "part-length", 1);
    broken(BER, b"\x82\x02A", "part-truncated", 2);
    broken(BER, b"\x9F\x02\x02\x1A\xBB", "part-character", 3);
    broken(BER, b"\x9F\x02\x07\0\0\0\0\0\0\0", "part-too-long", 3);
    broken(BER, b"\x70\x02\x82\x05", "part-truncated", 4);
}

#[test]
fn depth_and_number_are_bounded() {
    let mut nested = vec![0x82, 0];
    for _ in 0..limits_depth() + 2 {
        let bytes = u8::try_from(nested.len()).unwrap();
        nested = [&[0x70, bytes][..], &nested].concat();
    }
    assert_eq!(
        layout(BER).read(&nested).unwrap_err().label(),
        "parts-too-deep"
    );
    let many: Vec<u8> = [0x82, 0].repeat(600);
    assert_eq!(
        layout(BER).read(&many).unwrap_err().label(),
        "too-many-parts"
    );
}

const fn limits_depth() -> usize {
    crate::base::limits::SUBFIELD_DEPTH_MAX
}

const TLV: &str = r#"
[subfields.48]
form = "tlv"
tag_bytes = 2
length_bytes = 3
[subfields.48.parts]
A2 = { en = "terminal", type = "b" }
[subfields."48.A2"]
form = "tlv"
tag_bytes = 1
tag_encoding = "binary"
length_bytes = 1
length_encoding = "binary"
"#;

#[test]
fn tags_and_lengths_of_fixed_width() {
    check(TLV, b"A3003xyzA2004\x01\x02ab", "A3=xyz A2=[01=ab]");
    broken(TLV, b"A", "part-tag", 0);
    broken(TLV, b"A300", "part-length", 2);
    broken(TLV, b"A30x3xyz", "part-length", 2);
    broken(TLV, b"A3004xyz", "part-truncated", 5);
    broken(TLV, b"A2002\x01\x02", "part-truncated", 7);
}

const LTV: &str = r#"
[subfields.48]
form = "ltv"
tag_bytes = 2
length_bytes = 2
length_counts_tag = true
"#;

#[test]
fn lengths_before_tags_may_count_them() {
    check(LTV, b"05F1abc02F2", "F1=abc F2=");
    check(&LTV.replace("true", "false"), b"03F1abc", "F1=abc");
    broken(LTV, b"01F1", "part-length", 0);
    broken(LTV, b"05F1ab", "part-truncated", 4);
}

const BITMAP: &str = r#"
[subfields.48]
form = "bitmap"
bitmap_bytes = 1
[subfields.48.parts]
1 = { en = "first", type = "n", max = 2 }
3 = { en = "third", type = "ans", length = "L", max = 9 }
"#;

#[test]
fn a_bitmap_says_which_parts_follow() {
    check(BITMAP, b"\xA0122xy", "1=12 3=xy");
    check(BITMAP, b"\x202xy", "3=xy");
    check(
        &BITMAP.replace("= 1\n", "= 1\nbitmap_encoding = \"hex\"\n"),
        b"A0122xy",
        "1=12 3=xy",
    );
    broken(BITMAP, b"\x40", "part-bitmap", 0);
    broken(BITMAP, b"\x8012x", "part-left-over", 3);
    broken(BITMAP, b"\xA012", "part-length", 3);
}

const REPEAT: &str = r#"
[subfields.48]
form = "repeat"
[subfields.48.parts]
1 = { en = "type", type = "n", max = 2 }
2 = { en = "text", type = "ans", length = "L", max = 9 }
"#;

#[test]
fn groups_come_again_and_again() {
    check(REPEAT, b"011a022bc", "1=[1=01 2=a] 2=[1=02 2=bc]");
    let counted = REPEAT.replace("\"repeat\"\n", "\"repeat\"\ncount_bytes = 2\n");
    check(&counted, b"02011a022bc", "1=[1=01 2=a] 2=[1=02 2=bc]");
    broken(&counted, b"01011a022bc", "part-left-over", 6);
    broken(&counted, b"02011a", "part-truncated", 6);
    broken(REPEAT, b"011a02", "part-length", 6);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let refused = |subfields: &str, tag: &str, value: &str| {
        let value = ItemValue::Value(value.as_bytes().to_vec());
        let item = Item {
            tag: Tag::parse(tag).unwrap(),
            value,
        };
        layout(subfields).write(&[item]).unwrap_err().to_string()
    };
    assert_eq!(refused(POSITIONAL, "2", "x"), "part 2 is out of order");
    assert_eq!(
        refused(POSITIONAL, "1", "123"),
        "part 1 has a length that does not fit"
    );
    assert_eq!(
        refused(POSITIONAL, "1", "x"),
        "part 1 cannot hold this value"
    );
    assert_eq!(refused(BER, "00", "x"), "part 00 is not in the layout");
    assert_eq!(refused(BER, "9F", "x"), "part 9F is not in the layout");
    assert_eq!(refused(BER, "8281", "x"), "part 8281 is not in the layout");
    assert_eq!(refused(TLV, "A", "x"), "part A is not in the layout");
    assert_eq!(
        refused(LTV, "AB", &"x".repeat(98)),
        "part AB has a length that does not fit"
    );
    assert_eq!(refused(BITMAP, "9", "x"), "part 9 is not in the layout");
    assert_eq!(refused(REPEAT, "2", "x"), "part 2 is out of order");
}

#[test]
fn nothing_shows_what_a_part_holds() {
    let value = b"A3006secret";
    let layout = layout(TLV);
    let items = layout.read(value).unwrap();
    assert_eq!(format!("{items:?}"), "[A3 (6 bytes)]");
    let part = layout.parts(value).next().unwrap().unwrap();
    assert!(!format!("{part:?}").contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_read_is_written_to_what_reads_the_same(
        which in 0..6_usize,
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(prop::sample::select(&b"0123A\x70\x82\x01\x02"[..]), 0..60),
        ],
    ) {
        let layout = layout([POSITIONAL, BER, TLV, LTV, BITMAP, REPEAT][which]);
        if let Ok(items) = layout.read(&value) {
            let written = layout.write(&items).unwrap();
            prop_assert_eq!(layout.read(&written).unwrap(), items);
        }
    }
}
