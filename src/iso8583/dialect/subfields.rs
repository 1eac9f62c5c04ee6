//! Reads `[subfields]`: how fields, and parts of them, divide.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::document::{Located, Section};
use crate::base::limits;
use crate::iso8583::length::LengthEncoding;
use crate::iso8583::subfield::{
    Extent, Layout, LayoutForm, LengthForm, PartRule, Presence, Tag, TagForm,
};

use super::fields::{self, Shape};
use super::parse::Forms;
use super::sizes;
use super::table::{FieldSpec, FieldType, Kind, Pad, Prefix, Table};

/// Lengths of parts that come one after the other.
const LENGTHS: [(&str, u8); 6] = [
    ("fixed", 0),
    ("L", 1),
    ("LL", 2),
    ("LLL", 3),
    ("LLLL", 4),
    ("rest", REST),
];
const REST: u8 = u8::MAX;

/// The kinds of layout, before the rest of the table is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Positional,
    BerTlv,
    Tlv,
    Ltv,
    Bitmap,
    Repeat,
}

const FORMS: [(&str, Word); 6] = [
    ("positional", Word::Positional),
    ("ber-tlv", Word::BerTlv),
    ("tlv", Word::Tlv),
    ("ltv", Word::Ltv),
    ("bitmap", Word::Bitmap),
    ("repeat", Word::Repeat),
];

const PRESENCES: [(&str, Presence); 2] =
    [("always", Presence::Always), ("letter", Presence::Letter)];

/// Reads all layouts, by field; what `parts` of a field says is one too.
pub(super) fn layouts(root: &Section<'_, '_>, table: &Table) -> BTreeMap<u8, Layout> {
    let mut found = Vec::new();
    let before = root.problems().errors();
    for (key, section) in root.named_sections("subfields") {
        let path: Vec<&str> = key.value.split('.').collect();
        let first = path.first().copied().unwrap_or_default();
        let known = fields::numbered(first).is_some_and(|de| table.field(de).is_some());
        if !known {
            let problem = format!(
                "subfields.{}: no field {first} is defined in [fields]",
                key.value
            );
            root.problems().consequence(&key.span, problem);
        }
        // What was not read to its end has not asked for all of its keys.
        if let Some((layout, places)) = layout(&section) {
            if known {
                found.push((path, key, layout, places));
            }
            section.finish();
        }
    }
    if root.problems().errors() > before {
        root.problems().shake_definitions();
    }
    // What is of a part comes after what the part is in.
    found.sort_by_key(|(path, ..)| path.len());
    let mut layouts: BTreeMap<u8, Layout> = BTreeMap::new();
    for field in table.fields() {
        if let Some(layout) = simple(table, field.number) {
            layouts.insert(field.number, layout);
        }
    }
    for (path, key, layout, places) in found {
        let room = sizes::room(&layouts, table, &path);
        for (part, problem) in room.iter().flat_map(|room| sizes::check(room, &layout)) {
            let place = part.and_then(|part| places.get(part)).unwrap_or(&key.span);
            let problem = format!("subfields.{}: {problem}", key.value);
            root.problems().consequence(place, problem);
        }
        if let Some(problem) = place(&mut layouts, table, &path, layout) {
            let problem = format!("subfields.{}: {problem}", key.value);
            root.problems().consequence(&key.span, problem);
        }
    }
    layouts
}

/// What `parts = ["type:2", "batch:6"]` says.
fn simple(table: &Table, de: u8) -> Option<Layout> {
    let field = table.field(de)?;
    let kind = match field.kind {
        FieldType::Numeric | FieldType::Track => Kind::Digits,
        FieldType::Alphanumeric | FieldType::Text => Kind::Text,
        FieldType::Binary => Kind::Bytes,
    };
    let named = field.parts.iter().zip(&field.part_names).zip(1_usize..);
    let rules: Vec<_> = named
        .filter_map(|((part, name), number)| {
            Some(PartRule {
                tag: Tag::parse(&number.to_string())?,
                en: name.en.clone(),
                zh: name.zh.clone(),
                kind: field.kind,
                exposure: field.exposure,
                layout: None,
                spec: FieldSpec::new(kind, Prefix::Fixed, Pad::Right, part.count),
                extent: Extent::Own,
                presence: Presence::Always,
                primitive: false,
            })
        })
        .collect();
    let form = LayoutForm::Positional;
    (!rules.is_empty()).then_some(Layout {
        form,
        rules,
        group: None,
    })
}

/// Puts a layout where its path says; gives what is wrong with that.
fn place(
    layouts: &mut BTreeMap<u8, Layout>,
    table: &Table,
    path: &[&str],
    layout: Layout,
) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let field = fields::numbered(first).and_then(|de| table.field(de))?;
    if rest.len() > limits::SUBFIELD_DEPTH_MAX {
        return Some("lies too deep".to_owned());
    }
    if rest.is_empty() {
        if layout.form == LayoutForm::BerTlv && field.kind != FieldType::Binary {
            return Some(format!(
                "DE{first} is divided by BER-TLV, which is bytes: its type is \"b\""
            ));
        }
        let known = layouts.insert(field.number, layout);
        return known.map(|_| format!("DE{first} has `parts` already; name them in one place"));
    }
    let Some(mut at) = layouts.get_mut(&field.number) else {
        return Some(format!(
            "write [subfields.{first}] too, with a part {}",
            rest.join(".")
        ));
    };
    let (last, between) = rest.split_last()?;
    for name in between {
        let inner = rule(at, name).and_then(|rule| rule.layout.as_mut());
        match inner {
            Some(layout) => at = layout,
            None => return Some(format!("no part \"{name}\" with parts of its own")),
        }
    }
    let Some(rule) = rule(at, last) else {
        return Some(format!("no part \"{last}\" is defined"));
    };
    if !matches!(
        rule.spec.kind,
        Kind::Bytes | Kind::Text | Kind::Alphanumeric | Kind::Digits
    ) {
        return Some("a part that is packed, EBCDIC or hexadecimal has no parts: its type is \"b\", or digits and text in ASCII".to_owned());
    }
    if layout.form == LayoutForm::BerTlv && rule.kind != FieldType::Binary {
        return Some(format!(
            "part {last} is divided by BER-TLV, which is bytes: its type is \"b\""
        ));
    }
    rule.layout = Some(layout);
    None
}

/// A part that may have parts itself.
fn rule<'l>(layout: &'l mut Layout, name: &str) -> Option<&'l mut PartRule> {
    let rules = match &mut layout.group {
        Some(group) => &mut group.rules,
        None => &mut layout.rules,
    };
    rules.iter_mut().find(|rule| rule.tag.as_str() == name)
}

/// Reads one table of `[subfields]`; with the layout, where its parts are written.
fn layout(section: &Section<'_, '_>) -> Option<(Layout, Vec<Range<usize>>)> {
    let before = section.problems().errors();
    section.required_text("form", "ber-tlv")?;
    let word = section.choice_of("form", &FORMS)?;
    // A value has been read already: its digits and text are ASCII, however the dialect writes them.
    let forms = Forms::PLAIN.over(section);
    let form = match word {
        Word::Positional => LayoutForm::Positional,
        Word::BerTlv => LayoutForm::BerTlv,
        Word::Tlv => LayoutForm::Tlv(tag_form(section)?, length_form(section)?),
        Word::Ltv => LayoutForm::Ltv {
            length: length_form(section)?,
            tag: tag_form(section)?,
            counts_tag: section.flag("length_counts_tag", false),
        },
        Word::Bitmap => LayoutForm::Bitmap {
            bytes: width(section, "bitmap_bytes", 16, "bitmap_bytes = 8")?,
            hex: section.choice(
                "bitmap_encoding",
                &[("binary", false), ("hex", true)],
                false,
            ),
        },
        Word::Repeat => LayoutForm::Repeat {
            count: (section.has("count_bytes") || section.has("count_encoding"))
                .then(|| count_form(section))
                .flatten(),
        },
    };
    let mut rules: Vec<_> = section
        .named_sections("parts")
        .into_iter()
        .filter_map(|(key, part)| {
            let rule = part_rule(&key, &part, word, forms);
            part.finish();
            Some((key.span, rule?))
        })
        .collect();
    let numbered = matches!(word, Word::Positional | Word::Bitmap | Word::Repeat);
    if numbered {
        rules.sort_by_key(|(_, rule)| rule.tag.as_str().parse::<usize>().unwrap_or(usize::MAX));
        if rules.is_empty() {
            section.absent("parts", format!(
                "{}.parts is missing; write for example `[{}.parts]` and under it `1 = {{ en = \"type\", type = \"n\", max = 2 }}`",
                section.path(),
                section.path()
            ));
        }
    }
    if section.problems().errors() == before {
        in_order(section, word, &rules);
        tags_fit(section, form, &rules);
        mapped(section, form, &rules);
    }
    let (places, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
    if word == Word::Repeat {
        let group = Layout {
            form: LayoutForm::Positional,
            rules,
            group: None,
        };
        let layout = Layout {
            form,
            rules: Vec::new(),
            group: Some(Box::new(group)),
        };
        return Some((layout, places));
    }
    let layout = Layout {
        form,
        rules,
        group: None,
    };
    Some((layout, places))
}

/// A part and where it is written.
type Placed = (Range<usize>, PartRule);

/// Parts that come one after the other are numbered without a gap, and only the last takes the rest.
fn in_order(section: &Section<'_, '_>, word: Word, rules: &[Placed]) {
    if !matches!(word, Word::Positional | Word::Repeat) {
        return;
    }
    for (at, (place, rule)) in rules.iter().enumerate() {
        let number = at.saturating_add(1);
        let error = |message| section.problems().error(place, message);
        if rule.tag.as_str() != number.to_string() {
            error(format!(
                "{path}.parts.{} follows on nothing: {path}.parts has no {number}",
                rule.tag,
                path = section.path()
            ));
            return;
        }
        let last = number == rules.len() && word == Word::Positional;
        if rule.extent == Extent::Rest && !last {
            error(format!(
                "{}.parts.{number}: only the last part of a positional layout takes the rest",
                section.path()
            ));
        }
    }
}

/// A bitmap tells of as many parts as it has bits.
fn mapped(section: &Section<'_, '_>, form: LayoutForm, rules: &[Placed]) {
    let LayoutForm::Bitmap { bytes, .. } = form else {
        return;
    };
    let bits = bytes.saturating_mul(8);
    let beyond = |rule: &PartRule| rule.tag.as_str().parse().is_ok_and(|bit: usize| bit > bits);
    for (place, rule) in rules.iter().filter(|(_, rule)| beyond(rule)) {
        let message = format!(
            "{}.parts.{}: the bitmap has {bits} bits; write a number up to {bits}, or a larger bitmap_bytes than {bytes}",
            section.path(),
            rule.tag,
        );
        section.problems().error(place, message);
    }
}

/// A tag of another width is never met.
fn tags_fit(section: &Section<'_, '_>, form: LayoutForm, rules: &[Placed]) {
    let (LayoutForm::Tlv(tag_form, _) | LayoutForm::Ltv { tag: tag_form, .. }) = form else {
        return;
    };
    let width = if tag_form.binary {
        tag_form.bytes.saturating_mul(2)
    } else {
        tag_form.bytes
    };
    let fits = |tag: &Tag| {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
        let written = !tag_form.binary || tag.as_str().bytes().all(hex);
        written && tag.as_str().len() == width
    };
    for (place, rule) in rules.iter().filter(|(_, rule)| !fits(&rule.tag)) {
        let message = format!(
            "{}.parts.{}: tags have {width} {} here (tag_bytes = {})",
            section.path(),
            rule.tag,
            if tag_form.binary {
                "upper-case hexadecimal digits"
            } else {
                "characters"
            },
            tag_form.bytes
        );
        section.problems().error(place, message);
    }
}

fn part_rule(
    key: &Located<&str>,
    section: &Section<'_, '_>,
    word: Word,
    forms: Forms,
) -> Option<PartRule> {
    let en = section.required_name("en", "name");
    let zh = section.name_text("zh").map_or("", |text| text.value);
    let own = matches!(word, Word::Positional | Word::Bitmap | Word::Repeat);
    let lengths: &[(&str, u8)] = if own { &LENGTHS } else { &[] };
    // A length that cannot be read says nothing of whether there must be a `max`.
    let rest = own
        && match section.text("length") {
            Some(text) => text.value == "rest",
            None => section.has("length"),
        };
    let required = (own && !rest).then_some(9_999);
    let shape = fields::shape(section, forms, lengths, required);
    let presence = match word {
        Word::Positional => section.choice("present", &PRESENCES, Presence::Always),
        Word::BerTlv | Word::Tlv | Word::Ltv | Word::Bitmap | Word::Repeat => Presence::Always,
    };
    let primitive = word == Word::BerTlv && section.flag("primitive", false);
    let tag = tag(key, section, word);
    let Shape {
        kind,
        spec,
        exposure,
        ..
    } = shape?;
    Some(PartRule {
        tag: tag?,
        en: en?.value.to_owned(),
        zh: zh.to_owned(),
        kind,
        exposure,
        layout: None,
        spec,
        extent: match own {
            true if rest => Extent::Rest,
            true => Extent::Own,
            false => Extent::Told,
        },
        presence,
        primitive,
    })
}

/// The key of a part: a number, a tag as text, or a BER tag.
fn tag(key: &Located<&str>, section: &Section<'_, '_>, word: Word) -> Option<Tag> {
    let number = || fields::numbered(key.value).is_some_and(|number| (1..=128).contains(&number));
    let hex = || {
        let upper = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
        key.value.len().is_multiple_of(2) && key.value.bytes().all(upper)
    };
    let (sound, want) = match word {
        Word::Positional | Word::Bitmap | Word::Repeat => (number(), "a number from 1"),
        Word::BerTlv => (
            hex() && Tag::parse(key.value).is_some_and(|tag| tag.is_ber()),
            "one whole BER tag in upper-case hexadecimal, as in \"95\" or \"9F26\"",
        ),
        Word::Tlv | Word::Ltv => (true, "one to eight characters"),
    };
    let tag = Tag::parse(key.value).filter(|_| sound);
    if tag.is_none() {
        section
            .problems()
            .error(&key.span, format!("a part is named by {want}"));
    }
    tag
}

fn tag_form(section: &Section<'_, '_>) -> Option<TagForm> {
    let binary = section.choice("tag_encoding", &[("text", false), ("binary", true)], false);
    let most = if binary { 4 } else { Tag::MAX };
    let bytes = width(section, "tag_bytes", most, "tag_bytes = 2")?;
    Some(TagForm { bytes, binary })
}

fn length_form(section: &Section<'_, '_>) -> Option<LengthForm> {
    let encoding = section.choice(
        "length_encoding",
        &LengthEncoding::WORDS,
        LengthEncoding::Ascii,
    );
    let bytes = width(section, "length_bytes", 4, "length_bytes = 3")?;
    Some(LengthForm { bytes, encoding })
}

fn count_form(section: &Section<'_, '_>) -> Option<LengthForm> {
    let encoding = section.choice(
        "count_encoding",
        &LengthEncoding::WORDS,
        LengthEncoding::Ascii,
    );
    let bytes = width(section, "count_bytes", 4, "count_bytes = 2")?;
    Some(LengthForm { bytes, encoding })
}

fn width(
    section: &Section<'_, '_>,
    key: &'static str,
    most: usize,
    example: &str,
) -> Option<usize> {
    let width = section.integer(key, 1..=u64::try_from(most).ok()?);
    let message = format!(
        "{}.{key} is missing; write for example `{example}`",
        section.path()
    );
    section.absent(key, message);
    usize::try_from(width?).ok()
}
