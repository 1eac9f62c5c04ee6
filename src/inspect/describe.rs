//! From a decoded message to its description.

use crate::iso8583::{
    Dialect, Exposure, Field, FieldSet, FieldType, Layout, LayoutForm, Message, Mti, Part,
    PartError, PartName, Parts, ResponseCode,
};

use super::bytes::to_hex;
use super::content::Content;
use super::element::{Element, HIDDEN, Reveal};
use super::find::Guess;
use super::stray::{
    envelope_digits, from_ebcdic, from_hex, holds_block, holds_card, holds_card_behind_its_length,
    holds_code, holds_filled_card,
};
use crate::iso8583::emv;

/// Chip data of a dialect that says no more of it.
static CHIP: Layout = Layout {
    form: LayoutForm::BerTlv,
    rules: Vec::new(),
    group: None,
};

/// A message, or what was readable of one, in words. Holds the clear values; what is shown of them is asked
/// of each [`Element`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name of the dialect.
    pub dialect: String,
    /// TPDU; empty where the dialect has none.
    pub tpdu: Vec<u8>,
    /// Application header; empty where the dialect has none.
    pub header: Vec<u8>,
    /// What the nibbles of the header are: name and hexadecimal digits.
    pub header_parts: Vec<(PartName, String)>,
    /// Which hexadecimal digits of TPDU and header nobody may see.
    hidden: Vec<bool>,
    /// Message type.
    pub mti: Mti,
    /// Bitmaps, where there are more than its fields need.
    pub bitmaps: Option<u8>,
    /// What the dialect calls such a request, or such a type of message.
    pub request: Option<PartName>,
    /// Data elements that such a message must have and this one lacks, ascending.
    pub missing: Vec<u8>,
    /// Data elements that such a message must not have and this one has, ascending.
    pub unexpected: Vec<u8>,
    /// Fields, ascending; further bitmaps are none.
    pub fields: Vec<Element>,
}

impl Description {
    /// Hides what would be secret if the message were meant otherwise than it was taken.
    pub fn hide_contested(&mut self, guess: &Guess) {
        let fields: Vec<u8> = guess
            .contested
            .iter()
            .map(|contested| contested.field)
            .collect();
        self.hide(&fields);
    }

    /// Hides all of these fields, also the beginning and the end of card numbers: nobody knows whether they are.
    pub fn hide(&mut self, fields: &[u8]) {
        for field in &mut self.fields {
            if fields.iter().any(|de| field.path == de.to_string()) {
                field.exposure = Exposure::Secret;
                field.meaning = None;
                field.parts.clear();
            }
        }
    }
}

/// TPDU and header as hexadecimal digits, hidden where they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeShown {
    /// TPDU.
    pub tpdu: String,
    /// Application header.
    pub header: String,
    /// Its parts: name and digits.
    pub header_parts: Vec<(PartName, String)>,
}

impl Description {
    /// TPDU and header as they are shown.
    #[must_use]
    pub fn envelope(&self, reveal: Reveal) -> EnvelopeShown {
        let (tpdu, header) = (to_hex(&self.tpdu), to_hex(&self.header));
        if reveal == Reveal::Everything || !self.hides_envelope() {
            let header_parts = self.header_parts.clone();
            return EnvelopeShown {
                tpdu,
                header,
                header_parts,
            };
        }
        let mut hidden = self.hidden.iter();
        let mut shown = |digits: &str| -> String {
            let hide = |digit| match hidden.next() {
                Some(true) => char::from(HIDDEN),
                Some(false) | None => digit,
            };
            digits.chars().map(hide).collect()
        };
        let (tpdu, header) = (shown(&tpdu), shown(&header));
        // Parts stand in the order of the header's digits.
        let mut at = 0_usize;
        let part = |(name, digits): &(PartName, String)| {
            let end = at.saturating_add(digits.len());
            let shown = header.get(at..end).unwrap_or_default().to_owned();
            at = end;
            (name.clone(), shown)
        };
        let header_parts = self.header_parts.iter().map(part).collect();
        EnvelopeShown {
            tpdu,
            header,
            header_parts,
        }
    }

    /// Whether something of TPDU or header is hidden when the message is masked.
    #[must_use]
    pub fn hides_envelope(&self) -> bool {
        self.hidden.contains(&true)
    }
}

/// Describes a message.
#[must_use]
pub fn describe(message: &Message<'_>) -> Description {
    let dialect = message.dialect();
    let (tpdu, header) = dialect.framing().parts_of(message.envelope());
    let request = dialect.classify(message);
    let rule = dialect.message_rule(message.mti());
    let (required, forbidden) = match (request, rule) {
        (Some(row), _) => (row.required, row.forbidden),
        (None, Some(rule)) => (rule.required, rule.forbidden),
        (None, None) => (FieldSet::EMPTY, FieldSet::EMPTY),
    };
    let has = message.content_fields();
    let fields = message.content_fields().iter().filter_map(|de| {
        let field = dialect.field(de)?;
        let mut element = element(dialect, field, message.value(de)?.into_owned());
        element.wire = message.element(de)?.to_vec();
        Some(element)
    });
    Description {
        dialect: dialect.name().to_owned(),
        tpdu: tpdu.to_vec(),
        header: header.to_vec(),
        header_parts: header_parts(dialect, header),
        hidden: envelope_digits(message),
        mti: message.mti(),
        bitmaps: spare_bitmaps(message),
        request: match (request, rule) {
            (Some(row), _) => Some(named(&row.name, &row.zh)),
            (None, rule) => rule.map(|rule| named(&rule.name, &rule.zh)),
        },
        missing: required.difference(has).iter().collect(),
        unexpected: forbidden.intersection(has).iter().collect(),
        fields: fields.collect(),
    }
}

fn named(en: &str, zh: &str) -> PartName {
    PartName {
        en: en.to_owned(),
        zh: zh.to_owned(),
    }
}

/// How many bitmaps there are, when a field above the last but one is not.
fn spare_bitmaps(message: &Message<'_>) -> Option<u8> {
    let fields = message.content_fields();
    let (second, third) = (message.has(1), message.has(65));
    if third && fields.above(128).is_empty() {
        return Some(3);
    }
    (second && !third && fields.above(64).is_empty()).then_some(2)
}

/// The nibbles of the header that have a name.
fn header_parts(dialect: &Dialect, header: &[u8]) -> Vec<(PartName, String)> {
    let digits = to_hex(header);
    let parts = dialect.framing().header_parts.iter().filter_map(|part| {
        let end = part.from.checked_add(part.count)?;
        Some((part.name.clone(), digits.get(part.from..end)?.to_owned()))
    });
    parts.collect()
}

/// Hides what looks like a card number, a track or a PIN block and would be open to everybody, and says whether it did.
/// `divided`: its parts are looked at by themselves.
fn hide_stray(element: &mut Element, divided: bool) -> bool {
    let stray = element.exposure == Exposure::Open && shows_secret(&element.content, divided);
    if stray {
        element.exposure = Exposure::Secret;
    }
    stray
}

/// Hides what would spell out a whole that is hidden.
fn hide_all(parts: &mut [Element]) {
    for part in parts {
        part.exposure = Exposure::Secret;
        hide_all(&mut part.parts);
    }
}

/// Whether a value that is shown would show a card number, a track, a PIN block or a card's code.
pub(super) fn shows_secret(content: &Content, divided: bool) -> bool {
    let bytes = content.bytes();
    let hex = match content {
        Content::Bytes(_) => to_hex(bytes).into_bytes(),
        Content::Digits(_) | Content::Text(_) => Vec::new(),
    };
    // Parts in a row often look like a number that is filled up; hardly ever like one behind its own length.
    let filled = |text: &[u8]| {
        if divided {
            holds_card_behind_its_length(text)
        } else {
            holds_filled_card(text)
        }
    };
    let shows = |text: &[u8]| holds_card(text) || filled(text);
    let printable = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let written = match content {
        Content::Text(text) => holds_block(text) || holds_code(text) || holds_card(&from_hex(text)),
        Content::Bytes(text) if printable => holds_block(text) || holds_code(text),
        Content::Digits(_) | Content::Bytes(_) => false,
    };
    written || shows(bytes) || shows(&hex) || holds_card(&from_ebcdic(bytes))
}

/// How a field divides: as the dialect says, chip data as EMV says.
pub(super) fn layout_of<'d>(dialect: &'d Dialect, field: &Field) -> Option<&'d Layout> {
    let chip = (field.exposure == Exposure::Chip).then_some(&CHIP);
    dialect.layout(field.number).or(chip)
}

/// One field with its parts.
fn element(dialect: &Dialect, field: &Field, value: Vec<u8>) -> Element {
    let content = Content::new(field.kind, value);
    let mut element = Element::new(field.number.to_string(), content, field.exposure);
    element.en.clone_from(&field.en);
    element.zh.clone_from(&field.zh);
    let stray = hide_stray(&mut element, layout_of(dialect, field).is_some());
    if field.number == dialect.roles().response_code {
        let code = ResponseCode::from_slice(element.content.bytes());
        let text = code.and_then(|code| dialect.text_of(code));
        element.meaning = text.map(|text| (text.en.clone(), text.zh.clone()));
    }
    if let Some(layout) = layout_of(dialect, field) {
        let value = element.content.bytes().to_vec();
        let (read, error) = parts(layout, layout.parts(&value), &element, 0);
        element.parts = read;
        // What cannot be taken apart may hold what only a part of it hides, in whichever part a wrong length put it.
        let lost = error.is_some() && hides(layout);
        if lost {
            element.exposure = Exposure::Secret;
        }
        if lost || stray {
            hide_all(&mut element.parts);
        }
        element.broken = error.map(|error| error.to_string());
    }
    element
}

/// Whether a part of the layout may be hidden.
pub(super) fn hides(layout: &Layout) -> bool {
    let inner = layout
        .rules
        .iter()
        .any(|rule| rule.exposure != Exposure::Open || rule.layout.as_ref().is_some_and(hides));
    layout.form == LayoutForm::BerTlv || inner || layout.group.as_deref().is_some_and(hides)
}

/// The parts of an element whose content begins at byte `base` of the field's value; with an error only those
/// before it, and the one it is in.
fn parts(
    layout: &Layout,
    walk: Parts<'_, '_>,
    around: &Element,
    base: usize,
) -> (Vec<Element>, Option<PartError>) {
    let mut read = Vec::new();
    for part in walk {
        let part = match part {
            Ok(part) => part,
            Err(error) => return (read, Some(error)),
        };
        let (element, error) = self::part(layout, &part, around, base);
        read.push(element);
        if error.is_some() {
            return (read, error);
        }
    }
    (read, None)
}

fn part(
    layout: &Layout,
    part: &Part<'_, '_>,
    around: &Element,
    base: usize,
) -> (Element, Option<PartError>) {
    let tag = part.tag();
    let rule = part.rule();
    let known = match layout.form {
        LayoutForm::BerTlv => u32::from_str_radix(tag.as_str(), 16)
            .ok()
            .and_then(emv::tag),
        LayoutForm::Positional
        | LayoutForm::Tlv(..)
        | LayoutForm::Ltv { .. }
        | LayoutForm::Bitmap { .. }
        | LayoutForm::Repeat { .. } => None,
    };
    let kind = rule.map_or(FieldType::Binary, |rule| rule.kind);
    let shown = rule.map_or(Exposure::Open, |rule| rule.exposure);
    let inner = rule.and_then(|rule| rule.layout.as_ref());
    // What is not known of something secret is secret, and so is what only holds parts: those speak for themselves.
    let silent = inner.is_some() || (rule.is_none() && known.is_none());
    // One wrong bit makes another tag of that of a card number: beside parts that are hidden, what nobody knows is hidden,
    // and what is longer or shorter than what its tag says.
    let number = u32::from_str_radix(tag.as_str(), 16).unwrap_or_default();
    let strange = match (rule, known) {
        (None, None) => hides(layout),
        (None, Some(_)) => !emv::fits(number, part.content().len()),
        (Some(_), _) => {
            layout.form == LayoutForm::BerTlv && !emv::fits(number, part.content().len())
        }
    };
    let shown = match around.exposure {
        Exposure::Secret if silent => Exposure::Secret,
        _ if strange => Exposure::Secret,
        _ => shown,
    };
    // What nobody may see of a chip stays hidden, whatever a dialect says.
    let exposure = match known.map(|tag| tag.exposure) {
        Some(Exposure::Secret) => Exposure::Secret,
        Some(Exposure::Masked) if shown == Exposure::Open => Exposure::Masked,
        Some(Exposure::Open | Exposure::Masked | Exposure::Chip) | None => shown,
    };
    let path = format!("{}.{tag}", around.path);
    let mut element = Element::new(
        path,
        Content::new(kind, part.value().into_owned()),
        exposure,
    );
    match (rule, known) {
        (Some(rule), _) => {
            element.en.clone_from(&rule.en);
            element.zh.clone_from(&rule.zh);
        }
        (None, Some(tag)) => {
            element.en = tag.en.to_owned();
            element.zh = tag.zh.to_owned();
        }
        (None, None) => {}
    }
    let walk = part.parts();
    let stray = hide_stray(&mut element, walk.is_some());
    let each = characters_each(&around.content);
    element.from = part.offset().saturating_sub(base).saturating_mul(each);
    element.span = part.content().len().saturating_mul(each);
    let Some(walk) = walk else {
        return (element, None);
    };
    let inner = inner.unwrap_or(layout);
    let (read, error) = parts(inner, walk, &element, part.offset());
    element.parts = read;
    // As for a field: what cannot be taken apart may hold what only a part of it hides.
    let lost = error.is_some() && hides(inner);
    if lost {
        element.exposure = Exposure::Secret;
    }
    if lost || stray {
        hide_all(&mut element.parts);
    }
    element.broken = error.map(|error| error.to_string());
    (element, error)
}

/// Characters of the text of one byte of content.
const fn characters_each(content: &Content) -> usize {
    match content {
        Content::Digits(_) | Content::Text(_) => 1,
        Content::Bytes(_) => 2,
    }
}
