//! Reads `[fields]`.

use std::ops::Range;

use crate::base::document::{Located, Section};
use crate::iso8583::fieldset::FieldSet;

use super::parse::{BytesForm, Charset, DigitsForm, Forms, LengthsForm};
use super::table::{
    Exposure, Field, FieldSpec, FieldType, Kind, PartName, Prefix, SubField, Table,
};

const TYPES: [(&str, FieldType); 5] = [
    ("n", FieldType::Numeric),
    ("z", FieldType::Track),
    ("an", FieldType::Alphanumeric),
    ("ans", FieldType::Text),
    ("b", FieldType::Binary),
];

/// Number of digits in a length prefix.
const LENGTHS: [(&str, u8); 5] = [("fixed", 0), ("L", 1), ("LL", 2), ("LLL", 3), ("LLLL", 4)];

const SHOWN: [(&str, Exposure); 4] = [
    ("open", Exposure::Open),
    ("masked", Exposure::Masked),
    ("chip", Exposure::Chip),
    ("secret", Exposure::Secret),
];

/// How fields are named.
const NUMBERS: &str = "fields are named by their number without zeros in front, 2 to 64, to 128 with bitmaps = 2, to 192 with bitmaps = 3; 65 is a bitmap";

/// Reads all fields.
pub(super) fn table(root: &Section<'_, '_>, forms: Forms) -> Table {
    let mut table = Table::new();
    let before = root.problems().errors();
    let fields = root.named_sections("fields");
    if fields.is_empty() && root.problems().errors() == before {
        root.lacking("fields is missing; write for example `[fields]` and under it `3 = { en = \"processing code\", type = \"n\", max = 6 }`");
    }
    // One number of bitmaps may be wrong for many.
    let mut beyond: Vec<Range<usize>> = Vec::new();
    for (key, section) in fields {
        let Some(number) = number(&key, forms) else {
            if numbered(key.value).is_some_and(|number| number > 64 && number != 65) {
                beyond.push(key.span);
            } else {
                section.problems().error(&key.span, NUMBERS);
            }
            continue;
        };
        if let Some((field, spec)) = field(number, &section, forms) {
            table.define(field, spec);
        }
        section.finish();
    }
    if let [first, more @ ..] = beyond.as_slice() {
        let message = if more.is_empty() {
            NUMBERS.to_owned()
        } else {
            format!(
                "{NUMBERS}; bitmaps is {}, which is too few for {} more fields as well",
                forms.bitmaps,
                more.len()
            )
        };
        root.problems().error(first, message);
    }
    if root.problems().errors() > before {
        root.problems().shake_definitions();
    }
    table
}

fn number(key: &Located<&str>, forms: Forms) -> Option<u8> {
    let most = forms.bitmaps.checked_mul(64)?;
    let number = numbered(key.value)?;
    // DE1 and DE65 are the second and the third bitmap.
    ((2..=most).contains(&number) && number != 65).then_some(number)
}

/// A number as it is written shortest: `03` would be another key for the same thing.
pub(super) fn numbered(text: &str) -> Option<u8> {
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn field(number: u8, section: &Section<'_, '_>, forms: Forms) -> Option<(Field, FieldSpec)> {
    let en = section.required_name("en", "name");
    let zh = section.name_text("zh").map_or("", |text| text.value);
    let before = section.problems().errors();
    let parts = parts(number, section);
    let shape = shape(section, forms, &LENGTHS, Some(UNITS_MAX));
    let digits: u16 = parts
        .iter()
        .fold(0, |sum, (_, part)| sum.saturating_add(part.count));
    let (part_names, parts) = parts.into_iter().unzip();
    let shape = shape?;
    if digits > shape.max {
        let message = format!(
            "the parts have {digits} digits together, the field has {} at most",
            shape.max
        );
        section.problems().error(&section.span_of("parts"), message);
    } else if digits != 0
        && digits < shape.max
        && shape.length == Some(0)
        && section.problems().errors() == before
    {
        let message = format!(
            "the parts have {digits} digits together, the field always has {}; write the rest too, as in \"reserved:{}\"",
            shape.max,
            shape.max.saturating_sub(digits)
        );
        section.problems().error(&section.span_of("parts"), message);
    }
    if shape.exposure == Exposure::Chip && shape.kind != FieldType::Binary {
        let message = "chip data is BER-TLV: its type is \"b\"";
        section.problems().error(&section.span_of("show"), message);
    }
    let field = Field {
        number,
        en: en?.value.to_owned(),
        zh: zh.to_owned(),
        kind: shape.kind,
        max: shape.max,
        variable: shape.length.is_some_and(|digits| digits != 0),
        exposure: shape.exposure,
        parts,
        part_names,
    };
    Some((field, shape.spec))
}

/// Most digits of a part.
const PART_UNITS_MAX: u16 = 999;

/// Most digits or bytes of a field.
pub(super) const UNITS_MAX: u16 = 9_999;

/// How one field or part lies on the wire, and who may see it.
pub(super) struct Shape {
    pub(super) kind: FieldType,
    pub(super) spec: FieldSpec,
    /// Most digits or bytes.
    pub(super) max: u16,
    pub(super) exposure: Exposure,
    /// Digits of its length prefix, 0 when fixed; `None` where the table says nothing of it.
    pub(super) length: Option<u8>,
}

/// Reads type, length, largest length, padding, writing and exposure. `required` is the bound of a `max` that
/// must be written; without one there need not be any.
pub(super) fn shape(
    section: &Section<'_, '_>,
    forms: Forms,
    lengths: &[(&str, u8)],
    required: Option<u16>,
) -> Option<Shape> {
    let before = section.problems().errors();
    let kind = section.choice_of("type", &TYPES);
    section.absent(
        "type",
        format!(
            "{}.type is missing; write for example `type = \"n\"`",
            section.path()
        ),
    );
    let length = if lengths.is_empty() {
        None
    } else {
        Some(section.choice("length", lengths, 0))
    };
    let max = section.integer("max", 1..=required.unwrap_or(UNITS_MAX).into());
    if required.is_some() {
        let message = format!(
            "{}.max is missing; write the number of digits or bytes, for example `max = 6`",
            section.path()
        );
        section.absent("max", message);
    }
    let exposure = section.choice("show", &SHOWN, Exposure::Open);
    let forms = forms.over(section);
    let prefix = prefix(length.unwrap_or(0), forms.lengths);
    let kind = kind?;
    let max = match max {
        Some(max) => u16::try_from(max).ok()?,
        None if required.is_none() && !section.has("max") => UNITS_MAX,
        None => return None,
    };
    let wire = wire_kind(kind, forms);
    idle(section, kind, wire, prefix);
    // A field written in hexadecimal counts digits on the wire and bytes in the file.
    let units = if wire.is_hex() {
        max.saturating_mul(2)
    } else {
        max
    };
    // How it is written may be what is wrong.
    let sound = section.problems().errors() == before;
    if sound && units > prefix.max() {
        let span = section.span_of("max");
        let message = format!(
            "{}.max does not fit the length prefix, which tells at most {}{}",
            section.path(),
            prefix.max(),
            if wire.is_hex() {
                " hexadecimal digits, two a byte"
            } else {
                ""
            },
        );
        section.problems().consequence(&span, message);
    }
    Some(Shape {
        kind,
        spec: FieldSpec::new(wire, prefix, forms.pad, units),
        max,
        exposure,
        length,
    })
}

/// Warns of what is said of how a thing is written that it does not have.
fn idle(section: &Section<'_, '_>, kind: FieldType, wire: Kind, prefix: Prefix) {
    let digits = matches!(kind, FieldType::Numeric | FieldType::Track);
    let text = matches!(kind, FieldType::Alphanumeric | FieldType::Text);
    let says: [(_, _, &str); 5] = [
        ("digits", digits, "fields of type n or z"),
        ("text", text, "fields of type an or ans"),
        ("bytes", kind == FieldType::Binary, "fields of type b"),
        ("pad", wire.is_packed(), "fields of packed digits"),
        (
            "lengths",
            prefix != Prefix::Fixed,
            "fields with a length prefix",
        ),
    ];
    for (key, meant, what) in says {
        let span = section.span_of(key);
        // In the file below it may have been of use before this one changed the rest.
        if section.has(key) && !meant && !section.problems().is_elsewhere(&span) {
            let path = section.path();
            let message = format!("{path}.{key} is for {what}, and says nothing of this one");
            section.problems().doubt(&span, message);
        }
    }
}

const fn wire_kind(kind: FieldType, forms: Forms) -> Kind {
    match kind {
        FieldType::Numeric => match forms.digits {
            DigitsForm::Packed => Kind::PackedDigits,
            DigitsForm::Characters(Charset::Ascii) => Kind::Digits,
            DigitsForm::Characters(Charset::Ebcdic) => Kind::EbcdicDigits,
        },
        FieldType::Track => match forms.digits {
            DigitsForm::Packed => Kind::PackedTrack,
            DigitsForm::Characters(Charset::Ascii) => Kind::Track,
            DigitsForm::Characters(Charset::Ebcdic) => Kind::EbcdicTrack,
        },
        FieldType::Alphanumeric => match forms.text {
            Charset::Ascii => Kind::Alphanumeric,
            Charset::Ebcdic => Kind::EbcdicAlphanumeric,
        },
        FieldType::Text => match forms.text {
            Charset::Ascii => Kind::Text,
            Charset::Ebcdic => Kind::EbcdicText,
        },
        FieldType::Binary => match forms.bytes {
            BytesForm::Raw => Kind::Bytes,
            BytesForm::Hex(Charset::Ascii) => Kind::Hex,
            BytesForm::Hex(Charset::Ebcdic) => Kind::EbcdicHex,
        },
    }
}

const fn prefix(digits: u8, form: LengthsForm) -> Prefix {
    use Charset::{Ascii, Ebcdic};
    match (digits, form) {
        (1 | 2, LengthsForm::Binary) => Prefix::BinaryOne,
        (3 | 4, LengthsForm::Binary) => Prefix::BinaryTwo,
        (1 | 2, LengthsForm::Packed) => Prefix::PackedTwo,
        (3, LengthsForm::Packed) => Prefix::PackedThree,
        (4, LengthsForm::Packed) => Prefix::PackedFour,
        (1, LengthsForm::Characters(Ascii)) => Prefix::TextOne,
        (2, LengthsForm::Characters(Ascii)) => Prefix::TextTwo,
        (3, LengthsForm::Characters(Ascii)) => Prefix::TextThree,
        (4, LengthsForm::Characters(Ascii)) => Prefix::TextFour,
        (1, LengthsForm::Characters(Ebcdic)) => Prefix::EbcdicOne,
        (2, LengthsForm::Characters(Ebcdic)) => Prefix::EbcdicTwo,
        (3, LengthsForm::Characters(Ebcdic)) => Prefix::EbcdicThree,
        (4, LengthsForm::Characters(Ebcdic)) => Prefix::EbcdicFour,
        (_, _) => Prefix::Fixed,
    }
}

/// Reads `parts = ["type:2", "batch:6"]`.
fn parts(field: u8, section: &Section<'_, '_>) -> Vec<(PartName, SubField)> {
    let mut from = 0_u16;
    let mut parts = Vec::new();
    for text in section.texts("parts") {
        let Some((name, count)) = PartName::read(text.value, PART_UNITS_MAX) else {
            section.problems().error(
                &text.span,
                format!(
                    "a part is a name and a number of digits from 1 to {PART_UNITS_MAX}, as in \"batch:6\" or \
                     \"batch:6:批次号\""
                ),
            );
            continue;
        };
        if parts
            .iter()
            .any(|(known, _): &(PartName, _)| known.en == name.en)
        {
            let message = format!(
                "there is another part \"{}\"; give it another name",
                name.en
            );
            section.problems().error(&text.span, message);
        }
        parts.push((name, SubField { field, from, count }));
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

/// Reads a list of field numbers; each must be defined, and stands there once.
pub(super) fn set(section: &Section<'_, '_>, key: &'static str, table: &Table) -> Option<FieldSet> {
    let numbers = section.integers(key, 2..=FieldSet::LAST.into());
    if !section.has(key) {
        return None;
    }
    let mut set = FieldSet::EMPTY;
    for number in numbers {
        match u8::try_from(number.value) {
            Ok(de) if set.contains(de) => section.problems().error(
                &number.span,
                format!("{}.{key} names DE{de} twice", section.path()),
            ),
            Ok(de) if table.field(de).is_some() => set.insert(de),
            Ok(_) | Err(_) => section.problems().dangling(
                &number.span,
                format!("DE{} is not defined in [fields]", number.value),
            ),
        }
    }
    Some(set)
}
