//! Messages as JSON, and JSON as messages.
//!
//! ```json
//! {"dialect": "unionpay-pos", "mti": "0200", "fields": {"3": "000000", "41": "TERM0001", "64": "0011223344556677"}}
//! ```
//!
//! Digits and text are texts, bytes are upper-case hexadecimal digits; text that is neither ASCII nor GBK is
//! `{"hex": "…"}`. What else stands there says more about the message (`names`, `parts`, `request`, …) and is
//! not read, but for `tpdu`, `header` and `wire`: fields whose bytes their value alone does not give (filling
//! that is not zero, `D` for `=`).

use std::collections::BTreeMap;

use ::bytes::BytesMut;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::iso8583::{Dialect, EncodeError, Field, FieldType, Index, Message, Mti};

use super::bytes::{self, to_hex};
use super::content::Content;
use super::describe::Description;
use super::element::{Element, Reveal};
use super::text;
use super::words::{self, Language};

/// Keys that mean something in a message, and those that only say more about one.
const KEYS: [&str; 23] = [
    "dialect",
    "mti",
    "fields",
    "tpdu",
    "header",
    "header_parts",
    "bitmaps",
    "wire",
    "error",
    "at",
    "causes",
    "broken",
    "doubts",
    "masked",
    "mti_text",
    "request",
    "missing",
    "unexpected",
    "names",
    "meanings",
    "parts",
    "found",
    "line",
];

/// A message as it is written in JSON: an object that other keys may be put into.
#[derive(Debug)]
pub struct MessageJson<'a> {
    /// What is written.
    pub description: &'a Description,
    /// Fields whose bytes their values do not give, as [`wire`] tells; only shown with the clear values.
    pub wire: &'a [(u8, Vec<u8>)],
    /// How much is shown.
    pub reveal: Reveal,
    /// Language of the names.
    pub language: Language,
}

impl MessageJson<'_> {
    /// Writes the keys into an object.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self {
            description,
            reveal,
            language,
            ..
        } = self;
        map.serialize_entry("dialect", &description.dialect)?;
        map.serialize_entry("mti", &description.mti.to_string())?;
        map.serialize_entry("fields", &Fields(&description.fields, *reveal))?;
        let envelope = description.envelope(*reveal);
        if !envelope.tpdu.is_empty() {
            map.serialize_entry("tpdu", &envelope.tpdu)?;
        }
        if !envelope.header.is_empty() {
            map.serialize_entry("header", &envelope.header)?;
        }
        if !envelope.header_parts.is_empty() {
            let parts: BTreeMap<_, _> = {
                let parts = envelope.header_parts.into_iter();
                parts.map(|(name, digits)| (name.en, digits)).collect()
            };
            map.serialize_entry("header_parts", &parts)?;
        }
        if let Some(bitmaps) = description.bitmaps {
            map.serialize_entry("bitmaps", &bitmaps)?;
        }
        let hides = description.hides_envelope() || description.fields.iter().any(Element::hides);
        match reveal {
            Reveal::Masked => map.serialize_entry("masked", &hides)?,
            Reveal::Everything if self.wire.is_empty() => {}
            Reveal::Everything => map.serialize_entry("wire", &Wire(self.wire))?,
        }
        map.serialize_entry("mti_text", &words::mti(description.mti, *language))?;
        if let Some(request) = &description.request {
            map.serialize_entry("request", &request.en)?;
            map.serialize_entry("missing", &description.missing)?;
            map.serialize_entry("unexpected", &description.unexpected)?;
        }
        let name = |field: &Element| Some(field.name(*language).to_owned());
        map.serialize_entry("names", &Texts(&description.fields, &name))?;
        let meaning = |field: &Element| field.meaning(*language).map(str::to_owned);
        if description
            .fields
            .iter()
            .any(|field| meaning(field).is_some())
        {
            map.serialize_entry("meanings", &Texts(&description.fields, &meaning))?;
        }
        let mut parts = Vec::new();
        for field in &description.fields {
            collect(&field.parts, &mut parts);
        }
        if !parts.is_empty() {
            map.serialize_entry("parts", &Parts(&parts, *reveal, *language))?;
        }
        Ok(())
    }
}

impl Serialize for MessageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

/// All parts, those of parts behind their own.
fn collect<'a>(parts: &'a [Element], all: &mut Vec<&'a Element>) {
    for part in parts {
        all.push(part);
        collect(&part.parts, all);
    }
}

/// Values by data element.
struct Fields<'a>(&'a [Element], Reveal);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = |field: &Element| self.1 == Reveal::Everything || !field.hides();
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for field in self.0 {
            match &field.content {
                Content::Text(bytes) if shown(field) && text::decode(bytes).is_none() => {
                    let hex = BTreeMap::from([("hex", to_hex(bytes))]);
                    map.serialize_entry(&field.path, &hex)?;
                }
                Content::Text(_) | Content::Digits(_) | Content::Bytes(_) => {
                    map.serialize_entry(&field.path, &field.text(self.1))?;
                }
            }
        }
        map.end()
    }
}

/// Something that is said of fields, by data element.
struct Texts<'a, F>(&'a [Element], &'a F);

impl<F: Fn(&Element) -> Option<String>> Serialize for Texts<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.0 {
            if let Some(text) = (self.1)(field) {
                map.serialize_entry(&field.path, &text)?;
            }
        }
        map.end()
    }
}

struct Wire<'a>(&'a [(u8, Vec<u8>)]);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(de, bytes)| (de.to_string(), to_hex(bytes))),
        )
    }
}

struct Parts<'a>(&'a [&'a Element], Reveal, Language);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for part in self.0 {
            list.serialize_element(&Part(part, self.1, self.2))?;
        }
        list.end()
    }
}

struct Part<'a>(&'a Element, Reveal, Language);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(part, reveal, language) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &part.path)?;
        if !part.name(*language).is_empty() {
            map.serialize_entry("name", part.name(*language))?;
        }
        map.serialize_entry("value", &part.text(*reveal))?;
        if let Some(meaning) = part.meaning(*language) {
            map.serialize_entry("meaning", meaning)?;
        }
        map.end()
    }
}

/// The fields whose bytes are not those that their value is written as, with their length prefixes.
#[must_use]
pub fn wire(message: &Message<'_>) -> Vec<(u8, Vec<u8>)> {
    let dialect = message.dialect();
    let odd = dialect.fields().iter().filter_map(|field| {
        let content = message.value(field.number)?;
        let element = message.element(field.number)?;
        let written = written_alone(dialect, message.mti(), field.number, &content);
        (written.as_deref() != Some(element)).then(|| (field.number, element.to_vec()))
    });
    odd.collect()
}

/// The bytes of one field as a writer makes them of its value.
fn written_alone(dialect: &Dialect, mti: Mti, de: u8, content: &[u8]) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_default();
    writer.mti(mti);
    writer.field(de, content);
    writer.finish().ok()?;
    let prefix = dialect.framing().prefix_bytes();
    let mut index = Index::new();
    let message = dialect.decode(out.get(prefix..)?, &mut index).ok()?;
    message.element(de).map(<[u8]>::to_vec)
}

/// Why JSON is no message of the dialect. Names the place and what is allowed, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not an object.
    #[error(
        "a message is an object like {{\"dialect\": \"unionpay-pos\", \"mti\": \"0200\", \"fields\": {{\"3\": \"000000\"}}}}"
    )]
    NotAnObject,
    /// A key nobody knows.
    #[error(
        "unknown key `{0}`; what makes a message is dialect, mti, fields, tpdu, header and wire"
    )]
    UnknownKey(String),
    /// `mti` is missing or no four digits.
    #[error("mti must be four digits in quotes, for example \"0200\"")]
    Mti,
    /// `fields` is missing or no object.
    #[error("fields must be an object, for example {{\"3\": \"000000\"}}")]
    Fields,
    /// A key in `fields` or `wire` that is no data element.
    #[error("{key}.{name}: fields are named by their number without zeros in front, as \"2\"")]
    Number {
        /// `fields` or `wire`.
        key: &'static str,
        /// As written.
        name: String,
    },
    /// The dialect has no such field.
    #[error("DE{field} is not defined in {dialect}")]
    Undefined {
        /// Data element.
        field: u8,
        /// Name of the dialect.
        dialect: String,
    },
    /// `tpdu` or `header` has not the dialect's length, or is not hexadecimal.
    #[error("{key} must be {bytes} bytes in hexadecimal digits")]
    Envelope {
        /// `tpdu` or `header`.
        key: &'static str,
        /// Bytes that the dialect has there.
        bytes: usize,
    },
    /// What was written down is not all of a message.
    #[error(
        "this message is broken: only what was read of it is here; take `broken` and `error` out to write that"
    )]
    Broken,
    /// The message was masked when it was written down.
    #[error("this message is masked and cannot be written; decode it with --unmask")]
    Masked,
    /// A value that the field cannot have.
    #[error("DE{field} ({name}) {wrong}; allowed: {allowed}")]
    Value {
        /// Data element.
        field: u8,
        /// Its name.
        name: String,
        /// What is wrong.
        wrong: &'static str,
        /// What is allowed.
        allowed: String,
    },
    /// A `wire` entry that is not hexadecimal.
    #[error("wire.{field} must be hexadecimal digits")]
    Wire {
        /// Data element.
        field: u8,
    },
    /// Anything else that a writer refuses.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The name of the dialect that a message is in, as its JSON says.
///
/// # Errors
/// It says that it is not a whole message ([`JsonError::Broken`]).
pub fn dialect_of(json: &Value) -> Result<Option<&str>, JsonError> {
    if json.get("broken") == Some(&Value::Bool(true)) {
        return Err(JsonError::Broken);
    }
    Ok(json.get("dialect").and_then(Value::as_str))
}

/// Appends the message that `json` describes to `out`, as one frame with its length prefix.
///
/// # Errors
/// It is no message of the dialect. Nothing is appended then.
pub fn encode(dialect: &Dialect, json: &Value, out: &mut BytesMut) -> Result<(), JsonError> {
    let wanted = Wanted::read(dialect, json)?;
    let mut kept = wanted.wire.clone();
    if !kept.is_empty() {
        // Bytes that say something else than the value were true before somebody changed the value.
        let mut trial = BytesMut::new();
        if wanted.write(dialect, &kept, &mut trial).is_ok() {
            kept.retain(|de, _| wanted.agrees(dialect, &trial, *de));
        } else {
            kept.clear();
        }
    }
    wanted.write(dialect, &kept, out)
}

/// A message as its JSON says it.
struct Wanted {
    mti: Mti,
    envelope: Vec<u8>,
    bitmaps: u8,
    contents: BTreeMap<u8, Content>,
    wire: BTreeMap<u8, Vec<u8>>,
}

impl Wanted {
    fn read(dialect: &Dialect, json: &Value) -> Result<Self, JsonError> {
        let object = json.as_object().ok_or(JsonError::NotAnObject)?;
        if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(JsonError::UnknownKey(key.clone()));
        }
        if object.get("masked") == Some(&Value::Bool(true)) {
            return Err(JsonError::Masked);
        }
        let mti = object.get("mti").and_then(Value::as_str);
        let mti = mti.and_then(Mti::parse).ok_or(JsonError::Mti)?;
        let framing = dialect.framing();
        let tpdu = piece(json, "tpdu", &framing.tpdu)?;
        let header = piece(json, "header", &framing.header)?;
        let envelope = framing.envelope_of(&tpdu, &header);
        let fields = object.get("fields").and_then(Value::as_object);
        let mut contents = BTreeMap::new();
        for (key, value) in fields.ok_or(JsonError::Fields)? {
            let field = field_named(dialect, "fields", key)?;
            contents.insert(field.number, content(field, value)?);
        }
        let mut wire = BTreeMap::new();
        if let Some(elements) = object.get("wire").and_then(Value::as_object) {
            for (key, value) in elements {
                let field = field_named(dialect, "wire", key)?.number;
                let wrong = JsonError::Wire { field };
                let hex = value.as_str().ok_or_else(|| wrong.clone())?;
                let bytes = bytes::hex(hex).map_err(|_not_hex| wrong)?;
                wire.insert(field, bytes);
            }
        }
        wire.retain(|de, _| contents.contains_key(de));
        Ok(Self {
            mti,
            envelope,
            bitmaps: match object.get("bitmaps").and_then(Value::as_u64) {
                Some(2) => 2,
                Some(3) => 3,
                Some(_) | None => 1,
            },
            contents,
            wire,
        })
    }

    fn write(
        &self,
        dialect: &Dialect,
        wire: &BTreeMap<u8, Vec<u8>>,
        out: &mut BytesMut,
    ) -> Result<(), JsonError> {
        let mut writer = dialect.write(out);
        writer.envelope_raw(&self.envelope);
        writer.mti(self.mti);
        writer.bitmaps(self.bitmaps);
        for (de, content) in &self.contents {
            match wire.get(de) {
                Some(element) => writer.element(*de, element),
                None => writer.field(*de, content.bytes()),
            }
        }
        writer.finish().map_err(|error| refused(dialect, error))
    }

    /// Whether a field of a message that was written has the value that is wanted.
    fn agrees(&self, dialect: &Dialect, frame: &[u8], de: u8) -> bool {
        let prefix = dialect.framing().prefix_bytes();
        let mut index = Index::new();
        let bare = frame.get(prefix..).unwrap_or_default();
        let found = dialect.decode(bare, &mut index).ok();
        let found = found.as_ref().and_then(|message| message.value(de));
        found.as_deref() == self.contents.get(&de).map(Content::bytes)
    }
}

fn piece(json: &Value, key: &'static str, usual: &[u8]) -> Result<Vec<u8>, JsonError> {
    let bytes = usual.len();
    match json.get(key) {
        None => Ok(usual.to_vec()),
        Some(value) => value
            .as_str()
            .and_then(|hex| bytes::hex(hex).ok())
            .filter(|given| given.len() == bytes)
            .ok_or(JsonError::Envelope { key, bytes }),
    }
}

fn field_named<'d>(
    dialect: &'d Dialect,
    key: &'static str,
    name: &str,
) -> Result<&'d Field, JsonError> {
    let plain = !name.starts_with(['0', '+']);
    let number = name.parse().ok().filter(|_| plain);
    let number: u8 = number.ok_or_else(|| JsonError::Number {
        key,
        name: name.to_owned(),
    })?;
    dialect.field(number).ok_or_else(|| JsonError::Undefined {
        field: number,
        dialect: dialect.name().to_owned(),
    })
}

fn content(field: &Field, value: &Value) -> Result<Content, JsonError> {
    let number = match value {
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    let hex = value.get("hex").and_then(Value::as_str);
    let written = value.as_str().or(number.as_deref());
    match (field.kind, written, hex) {
        (FieldType::Numeric, Some(digits), _) => Ok(Content::Digits(digits.into())),
        (FieldType::Track, Some(track), _) => Ok(Content::Digits(track.replace('D', "=").into())),
        (FieldType::Alphanumeric | FieldType::Text, Some(text), _) => {
            let bytes = text::encode(text);
            let bytes = bytes.ok_or_else(|| wrong(field, "holds a character that GBK has not"))?;
            Ok(Content::Text(bytes))
        }
        (FieldType::Alphanumeric | FieldType::Text, None, Some(hex)) => {
            let bytes =
                bytes::hex(hex).map_err(|_not_hex| wrong(field, "holds no hexadecimal digits"))?;
            Ok(Content::Text(bytes))
        }
        (FieldType::Binary, Some(""), _) => Ok(Content::Bytes(Vec::new())),
        (FieldType::Binary, Some(hex), _) => {
            let bytes = bytes::hex(hex)
                .map_err(|_not_hex| wrong(field, "is not hexadecimal digits, two a byte"))?;
            Ok(Content::Bytes(bytes))
        }
        (FieldType::Numeric | FieldType::Track | FieldType::Binary, None, _)
        | (FieldType::Alphanumeric | FieldType::Text, None, None) => {
            Err(wrong(field, "is not given as a text in quotes"))
        }
    }
}

fn wrong(field: &Field, wrong: &'static str) -> JsonError {
    JsonError::Value {
        field: field.number,
        name: field.en.clone(),
        wrong,
        allowed: allowed(field),
    }
}

/// What a field may hold, in words.
fn allowed(field: &Field) -> String {
    let max = field.max;
    let most = if field.variable { "up to " } else { "" };
    match field.kind {
        FieldType::Numeric => format!("{most}{max} digits"),
        FieldType::Track => format!("{most}{max} digits, with = as the separator"),
        FieldType::Alphanumeric => format!("{most}{max} printable ASCII characters"),
        FieldType::Text => {
            format!("{most}{max} bytes of printable text, a Chinese character taking two")
        }
        FieldType::Binary => format!("{most}{max} bytes in hexadecimal digits, two a byte"),
    }
}

/// What a writer refused, with what the field allows.
fn refused(dialect: &Dialect, error: EncodeError) -> JsonError {
    let field = error.field().and_then(|de| dialect.field(de));
    match (error, field) {
        (EncodeError::Length { found, max, .. }, Some(field)) => {
            let short = found < usize::from(max);
            wrong(field, if short { "is too short" } else { "is too long" })
        }
        (EncodeError::Character { .. }, Some(field)) => {
            wrong(field, "holds a character that its type does not allow")
        }
        (error, _) => JsonError::Encode(error),
    }
}
