//! What was written reads the same, for parts made up by the layouts of every shipped dialect.

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::iso8583::dialect::Prefix;
use crate::iso8583::{Dialect, Index, Mti};

/// Messages tried for each field that divides.
const CASES: u32 = 64;
/// Units that a part of variable length holds mostly.
const UNITS_USUAL: usize = 14;
/// Most elements side by side.
const ELEMENTS_MAX: usize = 5;
/// How deep templates within templates are made up.
const TEMPLATES_MAX: usize = 2;

/// Chip data elements with values of their own, of one to three bytes.
const ELEMENTS: [&str; 6] = ["95", "9A", "5F2A", "9F10", "9F26", "DF8129"];
/// Such as hold elements.
const TEMPLATES: [&str; 3] = ["70", "E1", "FF22"];

/// What a part may hold. Of what is packed without a length only whole bytes are known again.
fn value(rule: &PartRule) -> BoxedStrategy<Vec<u8>> {
    let max = usize::from(rule.spec.max);
    let max = if rule.spec.kind.is_hex() {
        max / 2
    } else {
        max
    };
    let fixed = rule.extent == Extent::Own && rule.spec.prefix == Prefix::Fixed;
    let lengths = if fixed {
        max..=max
    } else {
        1..=max.min(UNITS_USUAL)
    };
    let whole_bytes = rule.spec.kind.is_packed() && rule.extent != Extent::Own;
    let character = match rule.kind {
        FieldType::Numeric => (b'0'..=b'9').boxed(),
        FieldType::Track => prop_oneof![9 => b'0'..=b'9', 1 => Just(b'=')].boxed(),
        FieldType::Alphanumeric => (b' '..=b'~').boxed(),
        FieldType::Text => prop_oneof![b' '..=b'~', 0x80_u8..=0xFF].boxed(),
        FieldType::Binary => any::<u8>().boxed(),
    };
    let letter = rule.presence == Presence::Letter;
    prop::collection::vec(character, lengths)
        .prop_map(move |mut value| {
            if whole_bytes && value.len() % 2 == 1 {
                value.push(b'0');
            }
            if let (true, Some(first)) = (letter, value.first_mut()) {
                *first = b'A'.saturating_add(*first % 26);
            }
            value
        })
        .boxed()
}

/// A part as its rule says; a fixed one that divides has all of its parts.
fn ruled(rule: &PartRule) -> BoxedStrategy<Item> {
    let tag = rule.tag;
    let content = match &rule.layout {
        Some(inner) if rule.extent == Extent::Own && rule.spec.prefix == Prefix::Fixed => {
            all(inner).prop_map(ItemValue::Parts).boxed()
        }
        Some(inner) => some(inner, 0).prop_map(ItemValue::Parts).boxed(),
        None => value(rule).prop_map(ItemValue::Value).boxed(),
    };
    content.prop_map(move |value| Item { tag, value }).boxed()
}

/// Every part of a layout, one after the other.
fn all(layout: &Layout) -> BoxedStrategy<Vec<Item>> {
    layout.rules.iter().map(ruled).collect::<Vec<_>>().boxed()
}

/// Parts as the layout may have them.
fn some(layout: &Layout, depth: usize) -> BoxedStrategy<Vec<Item>> {
    let several = |one: BoxedStrategy<Item>| prop::collection::vec(one, 1..=ELEMENTS_MAX).boxed();
    match layout.form {
        LayoutForm::Positional => {
            let rules = layout.rules.clone();
            // Fields of a fixed length have all of them.
            let until = prop_oneof![1..=rules.len(), Just(rules.len())];
            let chosen = until.prop_flat_map(move |until| {
                let one = |rule: &PartRule| {
                    let there = match rule.presence {
                        Presence::Always => Just(true).boxed(),
                        Presence::Letter => any::<bool>().boxed(),
                    };
                    (there, ruled(rule)).prop_map(|(there, item)| there.then_some(item))
                };
                rules.iter().take(until).map(one).collect::<Vec<_>>()
            });
            let there = |items: Vec<Option<Item>>| items.into_iter().flatten().collect();
            chosen.prop_map(there).boxed()
        }
        LayoutForm::Bitmap { .. } => {
            let count = layout.rules.len();
            prop::sample::subsequence(layout.rules.clone(), 1..=count)
                .prop_flat_map(|rules| rules.iter().map(ruled).collect::<Vec<_>>())
                .boxed()
        }
        LayoutForm::Repeat { .. } => {
            let group = all(layout.group.as_ref().unwrap());
            let numbered = |groups: Vec<Vec<Item>>| {
                let one = |(at, items): (usize, Vec<Item>)| Item {
                    tag: Tag::number(at.saturating_add(1)).unwrap(),
                    value: ItemValue::Parts(items),
                };
                groups.into_iter().enumerate().map(one).collect()
            };
            prop::collection::vec(group, 1..4)
                .prop_map(numbered)
                .boxed()
        }
        LayoutForm::Tlv(tag, _) | LayoutForm::Ltv { tag, .. } => several(tagged(layout, tag)),
        LayoutForm::BerTlv => several(element(layout, depth)),
    }
}

/// A part with a tag of fixed width: one that is known, or any other.
fn tagged(layout: &Layout, form: TagForm) -> BoxedStrategy<Item> {
    let digits = if form.binary {
        form.bytes.saturating_mul(2)
    } else {
        form.bytes
    };
    // A letter would be taken for a part that comes before.
    let tags = 0..10_u32.pow(u32::try_from(digits.min(9)).unwrap());
    let other = (tags, unknown_value(!form.binary));
    let rules = layout.clone();
    let other = other.prop_filter_map("a known tag", move |(number, value)| {
        let tag = Tag::parse(&format!("{number:0digits$}")).unwrap();
        let value = ItemValue::Value(value);
        rules.rule(&tag).is_none().then_some(Item { tag, value })
    });
    known(layout, other.boxed())
}

/// An element of BER-TLV: one that is known, one of EMV's, or a template.
fn element(layout: &Layout, depth: usize) -> BoxedStrategy<Item> {
    let tag = |text: &str| Tag::parse(text).unwrap();
    // What is known may hold a value where its tag says elements.
    let unknown = |tags: &[&str]| {
        let unknown = tags
            .iter()
            .map(|text| tag(text))
            .filter(|tag| layout.rule(tag).is_none());
        prop::sample::select(unknown.collect::<Vec<_>>())
    };
    // Now and then more than a length of one byte can say.
    let long = prop::collection::vec(any::<u8>(), 0x7E..0x84);
    let value = prop_oneof![20 => unknown_value(false), 1 => long];
    let plain = (unknown(&ELEMENTS), value).prop_map(|(tag, value)| Item {
        tag,
        value: ItemValue::Value(value),
    });
    let other = if depth < TEMPLATES_MAX {
        let inside = some(layout, depth.saturating_add(1));
        let template = (unknown(&TEMPLATES), inside).prop_map(|(tag, items)| Item {
            tag,
            value: ItemValue::Parts(items),
        });
        prop_oneof![4 => plain, 1 => template].boxed()
    } else {
        plain.boxed()
    };
    known(layout, other)
}

/// One of the parts that are known, or another.
fn known(layout: &Layout, other: BoxedStrategy<Item>) -> BoxedStrategy<Item> {
    if layout.rules.is_empty() {
        return other;
    }
    let known = prop::sample::select(layout.rules.clone()).prop_flat_map(|rule| ruled(&rule));
    prop_oneof![3 => known, 1 => other].boxed()
}

/// What nobody knows anything of.
fn unknown_value(text: bool) -> BoxedStrategy<Vec<u8>> {
    let (low, high) = if text { (b' ', b'~') } else { (0, 0xFF) };
    prop::collection::vec(low..=high, 0..12).boxed()
}

/// Every field of a dialect that divides.
fn divided(dialect: &Dialect) -> Vec<(u8, Layout)> {
    let layouts = dialect.fields().iter().filter_map(|field| {
        let chip = (field.exposure == Exposure::Chip).then(|| Layout {
            form: LayoutForm::BerTlv,
            rules: Vec::new(),
            group: None,
        });
        let layout = dialect.layout(field.number).cloned().or(chip);
        Some((field.number, layout?))
    });
    layouts.collect()
}

#[test]
fn what_is_written_reads_the_same_in_every_field_that_divides() {
    let mut fields = 0;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        for (de, layout) in divided(&dialect) {
            fields += 1;
            let tried = std::cell::Cell::new(0);
            let config = Config {
                failure_persistence: None,
                ..Config::with_cases(CASES)
            };
            let mut runner = TestRunner::new(config);
            let outcome = runner.run(&some(&layout, 0), |items| {
                let value = layout.write(&items).map_err(|error| fail(&error))?;
                prop_assert_eq!(&layout.read(&value).map_err(|error| fail(&error))?, &items);
                let field = dialect.field(de).unwrap();
                // Longer ones, and fixed ones that end early, are parts but no field.
                if value.len() > field.max.into()
                    || !(field.variable || value.len() == usize::from(field.max))
                {
                    return Ok(());
                }
                tried.set(tried.get() + 1);
                let mut out = BytesMut::new();
                let mut writer = dialect.write(&mut out);
                writer.envelope_default();
                writer.mti(Mti::parse("0200").unwrap());
                writer.field(de, &value);
                writer.finish().map_err(|error| fail(&error))?;
                let mut index = Index::new();
                let frame = &out[dialect.framing().prefix_bytes()..];
                let message = dialect
                    .decode(frame, &mut index)
                    .map_err(|error| fail(&error))?;
                let again = message.value(de).unwrap();
                prop_assert_eq!(&layout.read(&again).map_err(|error| fail(&error))?, &items);
                Ok(())
            });
            outcome.unwrap_or_else(|error| panic!("{name}: DE{de}: {error}"));
            assert!(
                tried.get() >= CASES / 8,
                "{name}: DE{de}: {} fields only",
                tried.get()
            );
        }
    }
    assert!(fields >= 30, "{fields}");
}

fn fail(error: &dyn fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
