//! From a decoded message to its description.

use crate::iso8583::{Content, Dialect, Exposure, Field, Message, Mti, ResponseCode};

use super::element::Element;
use super::emv;
use super::tlv::{self, Tlv};

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
    /// Message type.
    pub mti: Mti,
    /// What the dialect calls a request like this, or the request that this answers.
    pub request: Option<String>,
    /// Data elements that such a request must have and this one lacks, ascending.
    pub missing: Vec<u8>,
    /// Fields, ascending; the second bitmap is none.
    pub fields: Vec<Element>,
}

impl Description {
    /// The field with that number.
    #[must_use]
    pub fn field(&self, de: u8) -> Option<&Element> {
        let path = de.to_string();
        self.fields.iter().find(|field| field.path == path)
    }
}

/// Describes a message.
#[must_use]
pub fn describe(message: &Message<'_>) -> Description {
    let dialect = message.dialect();
    let tpdu_bytes = dialect.framing().tpdu.len();
    let (tpdu, header) = message
        .envelope()
        .split_at_checked(tpdu_bytes)
        .unwrap_or((message.envelope(), &[]));
    let request = dialect.classify(message);
    let missing = match request {
        Some(row) => row.required.difference(message.fields()).iter().collect(),
        None => Vec::new(),
    };
    let fields = dialect.fields().iter().filter_map(|field| {
        let content = message.content(field.number)?;
        Some(element(dialect, field, content))
    });
    Description {
        dialect: dialect.name().to_owned(),
        tpdu: tpdu.to_vec(),
        header: header.to_vec(),
        mti: message.mti(),
        request: request.map(|row| row.name.clone()),
        missing,
        fields: fields.collect(),
    }
}

/// One field with its parts.
fn element(dialect: &Dialect, field: &Field, content: Content) -> Element {
    let mut element = Element::new(field.number.to_string(), content, field.exposure);
    element.en.clone_from(&field.en);
    element.zh.clone_from(&field.zh);
    if field.number == dialect.roles().response_code {
        let code = ResponseCode::from_slice(element.content.bytes());
        let text = code.and_then(|code| dialect.text_of(code));
        element.meaning = text.map(|text| (text.en.clone(), text.zh.clone()));
    }
    if field.exposure == Exposure::Chip {
        chip(&mut element);
    } else {
        positional(&mut element, field);
    }
    element
}

/// Parts that stand one behind the other.
fn positional(element: &mut Element, field: &Field) {
    let named = field.parts.iter().zip(&field.part_names).zip(1..);
    for ((part, name), number) in named {
        let from = usize::from(part.from);
        let whole = element.content.bytes();
        let end = from.saturating_add(part.count.into()).min(whole.len());
        let Some(bytes) = whole.get(from..end).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let content = match element.content {
            Content::Digits(_) => Content::Digits(bytes.to_vec()),
            Content::Text(_) => Content::Text(bytes.to_vec()),
            Content::Bytes(_) => Content::Bytes(bytes.to_vec()),
        };
        let path = format!("{}.{number}", element.path);
        let mut part = Element::new(path, content, Exposure::Open);
        part.en.clone_from(name);
        part.from = from.saturating_mul(characters_each(&element.content));
        element.parts.push(part);
    }
}

/// Characters of the text of one byte of content.
const fn characters_each(content: &Content) -> usize {
    match content {
        Content::Digits(_) | Content::Text(_) => 1,
        Content::Bytes(_) => 2,
    }
}

/// Chip data elements.
fn chip(element: &mut Element) {
    let Content::Bytes(bytes) = &element.content else {
        element.broken = Some("chip data is binary, this field is not".to_owned());
        return;
    };
    match tlv::parse(bytes) {
        Ok(found) => {
            let bytes = bytes.clone();
            element.parts = tags(&element.path, &found, &bytes, 0);
        }
        Err(error) => element.broken = Some(error.to_string()),
    }
}

/// The elements of a value that begins at byte `base` of all.
fn tags(path: &str, found: &[Tlv], all: &[u8], base: usize) -> Vec<Element> {
    let one = |tlv: &Tlv| {
        let path = format!("{path}.{:X}", tlv.tag);
        let value = all.get(tlv.value.clone()).unwrap_or_default();
        let known = emv::tag(tlv.tag);
        // A template shows what its elements show; a tag that nobody knows is the business of its writer.
        let exposure = known.map_or(Exposure::Open, |tag| tag.exposure);
        let mut element = Element::new(path.clone(), Content::Bytes(value.to_vec()), exposure);
        if let Some(tag) = known {
            element.en = tag.en.to_owned();
            element.zh = tag.zh.to_owned();
        }
        element.from = tlv.value.start.saturating_sub(base).saturating_mul(2);
        element.parts = tags(&path, &tlv.inside, all, tlv.value.start);
        element
    };
    found.iter().map(one).collect()
}
