//! Reads `[fields]` and `[roles]`.

use crate::base::document::{Located, Section};
use crate::iso8583::fieldset::FieldSet;

use super::parse::Forms;
use super::rules::{OriginalRoles, Roles};
use super::table::{Exposure, Field, FieldSpec, FieldType, Kind, Pad, Prefix, SubField, Table};

const TYPES: [(&str, FieldType); 5] = [
    ("n", FieldType::Numeric),
    ("z", FieldType::Track),
    ("an", FieldType::Alphanumeric),
    ("ans", FieldType::Text),
    ("b", FieldType::Binary),
];

/// Number of digits in a length prefix.
const LENGTHS: [(&str, u8); 3] = [("fixed", 0), ("LL", 2), ("LLL", 3)];

const SHOWN: [(&str, Exposure); 4] = [
    ("open", Exposure::Open),
    ("masked", Exposure::Masked),
    ("chip", Exposure::Chip),
    ("secret", Exposure::Secret),
];

const PADS: [(&str, Pad); 2] = [("left", Pad::Left), ("right", Pad::Right)];

/// Reads all fields.
pub(super) fn table(root: &Section<'_, '_>, forms: Forms) -> Table {
    let mut table = Table::new();
    let fields = root.named_sections("fields");
    if fields.is_empty() {
        root.error("fields is missing; write for example `[fields]` and under it `3 = { en = \"processing code\", type = \"n\", max = 6 }`");
    }
    for (key, section) in fields {
        let Some(number) = number(&key, forms) else {
            section.problems().error(
                &key.span,
                "fields are named by their number, 2 to 64, or to 128 with secondary_bitmap = true",
            );
            section.finish();
            continue;
        };
        if let Some((field, spec)) = field(number, &section, forms) {
            table.define(field, spec);
        }
        section.finish();
    }
    table
}

fn number(key: &Located<&str>, forms: Forms) -> Option<u8> {
    let most = if forms.secondary_bitmap { 128 } else { 64 };
    let number = key.value.parse().ok()?;
    // DE65 would be a third bitmap, which no shipped network has.
    ((2..=most).contains(&number) && number != 65).then_some(number)
}

fn field(number: u8, section: &Section<'_, '_>, forms: Forms) -> Option<(Field, FieldSpec)> {
    let en = section.required_text("en", "name");
    let zh = section.text("zh").map_or("", |text| text.value);
    let kind = section.choice_of("type", &TYPES);
    if !section.has("type") {
        section.error(format!(
            "{}.type is missing; write for example `type = \"n\"`",
            section.path()
        ));
    }
    let length_digits = section.choice("length", &LENGTHS, 0);
    let max = section.integer("max", 1..=999);
    if !section.has("max") {
        section.error(format!(
            "{}.max is missing; write the number of digits or bytes, for example `max = 6`",
            section.path()
        ));
    }
    let exposure = section.choice("show", &SHOWN, Exposure::Open);
    let pad = section.choice("pad", &PADS, Pad::Right);
    let parts = parts(number, section);
    let form = Form {
        packed: section.choice(
            "digits",
            &[("packed", true), ("ascii", false)],
            forms.packed_digits,
        ),
        hex: section.choice("bytes", &[("hex", true), ("raw", false)], forms.hex_bytes),
    };
    let prefix = prefix(length_digits, forms.packed_lengths);
    let (kind, max) = (kind?, u16::try_from(max?).ok()?);
    if max > prefix.max() {
        let span = section.span_of("max");
        section.problems().error(
            &span,
            format!("{}.max does not fit the length prefix", section.path()),
        );
    }
    // A field written in hexadecimal counts digits on the wire and bytes in the file.
    let units = if kind == FieldType::Binary && form.hex {
        max.saturating_mul(2)
    } else {
        max
    };
    let spec = FieldSpec::new(wire_kind(kind, form), prefix, pad, units);
    let (part_names, parts) = parts.into_iter().unzip();
    let field = Field {
        number,
        en: en?.value.to_owned(),
        zh: zh.to_owned(),
        kind,
        max,
        variable: length_digits != 0,
        exposure,
        parts,
        part_names,
    };
    Some((field, spec))
}

/// How one field's digits and bytes are written.
#[derive(Clone, Copy)]
struct Form {
    packed: bool,
    hex: bool,
}

const fn wire_kind(kind: FieldType, form: Form) -> Kind {
    match kind {
        FieldType::Numeric if form.packed => Kind::PackedDigits,
        FieldType::Numeric => Kind::Digits,
        FieldType::Track if form.packed => Kind::PackedTrack,
        FieldType::Track => Kind::Track,
        FieldType::Alphanumeric => Kind::Alphanumeric,
        FieldType::Text => Kind::Text,
        FieldType::Binary if form.hex => Kind::Hex,
        FieldType::Binary => Kind::Bytes,
    }
}

const fn prefix(digits: u8, packed: bool) -> Prefix {
    match (digits, packed) {
        (2, true) => Prefix::PackedTwo,
        (2, false) => Prefix::TextTwo,
        (3, true) => Prefix::PackedThree,
        (3, false) => Prefix::TextThree,
        (_, _) => Prefix::Fixed,
    }
}

/// Reads `parts = ["type:2", "batch:6"]`.
fn parts(field: u8, section: &Section<'_, '_>) -> Vec<(String, SubField)> {
    let mut from = 0_u16;
    let mut parts = Vec::new();
    for text in section.texts("parts") {
        let part = text.value.split_once(':').and_then(|(name, count)| {
            let count = count.trim().parse::<u16>().ok()?;
            (1..=999).contains(&count).then_some((name.trim(), count))
        });
        let Some((name, count)) = part else {
            section.problems().error(
                &text.span,
                "a part is a name and a number of digits, as in \"batch:6\"",
            );
            continue;
        };
        parts.push((name.to_owned(), SubField { field, from, count }));
        from = from.saturating_add(count);
    }
    parts
}

/// The handle of `"60.2"` or `"3"`.
pub(super) fn sub_field(table: &Table, text: &str) -> Option<SubField> {
    let (number, part) = match text.split_once('.') {
        Some((number, part)) => (number, Some(part.parse::<usize>().ok()?)),
        None => (text, None),
    };
    let field = table.field(number.parse().ok()?)?;
    match part {
        None => Some(SubField::whole(field.number)),
        Some(part) => field.parts.get(part.checked_sub(1)?).copied(),
    }
}

/// Reads a list of field numbers; each must be defined.
pub(super) fn set(section: &Section<'_, '_>, key: &'static str, table: &Table) -> Option<FieldSet> {
    if !section.has(key) {
        return None;
    }
    let mut set = FieldSet::EMPTY;
    for number in section.integers(key, 2..=128) {
        match u8::try_from(number.value) {
            Ok(de) if table.field(de).is_some() => set.insert(de),
            Ok(_) | Err(_) => section.problems().error(
                &number.span,
                format!("DE{} is not defined in [fields]", number.value),
            ),
        }
    }
    Some(set)
}

/// Reads `[roles]`. What is not written is as in ISO 8583:1987, where the dialect defines that field.
pub(super) fn roles(root: &Section<'_, '_>, table: &Table) -> Roles {
    let written = root.section("roles");
    let section = written.as_ref();
    let role = |key: &'static str, usual: u8| {
        let named = section.and_then(|s| {
            let number = s.integer(key, 2..=128)?;
            let de = u8::try_from(number).ok()?;
            if table.field(de).is_none() {
                let message = format!("DE{de} is not defined in [fields]");
                s.problems().error(&s.span_of(key), message);
            }
            Some(de)
        });
        match named {
            Some(de) => de,
            None if table.field(usual).is_some() => usual,
            None => 0,
        }
    };
    let roles = Roles {
        pan: role("pan", 2),
        processing_code: role("processing_code", 3),
        amount: role("amount", 4),
        currency: role("currency", 49),
        stan: role("stan", 11),
        time: role("time", 12),
        date: role("date", 13),
        entry_mode: role("entry_mode", 22),
        track2: role("track2", 35),
        track3: role("track3", 36),
        rrn: role("rrn", 37),
        approval_code: role("approval_code", 38),
        response_code: role("response_code", 39),
        terminal: role("terminal", 41),
        merchant: role("merchant", 42),
        pin: role("pin", 52),
        security: role("security", 53),
        icc: role("icc", 55),
        mac: role("mac", 64),
        batch: section.and_then(|s| part(s, "batch", table)),
        management: section.and_then(|s| part(s, "management", table)),
        original: section
            .and_then(|s| s.section("original"))
            .map(|s| original(s, table))
            .unwrap_or_default(),
        reversed: section
            .and_then(|s| s.section("reversed"))
            .map(|s| original(s, table))
            .unwrap_or_default(),
    };
    widths(root, table, &roles);
    if let Some(section) = written {
        section.finish();
    }
    roles
}

/// Ids have types of a fixed width: a dialect in which they have another cannot be served.
fn widths(root: &Section<'_, '_>, table: &Table, roles: &Roles) {
    let needs = [
        ("stan", roles.stan, 6),
        ("terminal", roles.terminal, 8),
        ("merchant", roles.merchant, 15),
        ("response_code", roles.response_code, 2),
    ];
    for (name, de, width) in needs {
        match table.field(de) {
            Some(field) if field.max == width && !field.variable => {}
            Some(_) => root.error(format!(
                "DE{de} plays {name} and must be fixed with max = {width}"
            )),
            None => root.error(format!("no field plays {name}; define it in [fields]")),
        }
    }
}

fn part(section: &Section<'_, '_>, key: &'static str, table: &Table) -> Option<SubField> {
    let text = section.text(key)?;
    let found = sub_field(table, text.value);
    if found.is_none() {
        section.problems().error(
            &text.span,
            format!(
                "no field or part \"{}\"; write \"60\" for a field, \"60.2\" for its second part",
                text.value
            ),
        );
    }
    found
}

fn original(section: Section<'_, '_>, table: &Table) -> OriginalRoles {
    let roles = OriginalRoles {
        mti: part(&section, "mti", table),
        batch: part(&section, "batch", table),
        stan: part(&section, "stan", table),
        date: part(&section, "date", table),
    };
    section.finish();
    roles
}
