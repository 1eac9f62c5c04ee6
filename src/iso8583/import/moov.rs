//! Reads the JSON of moov-io's `iso8583`: an object of fields by number, each with type, encoding and prefix.
//!
//! Facts of the format: <https://github.com/moov-io/iso8583/blob/master/docs/howtos.md> and the pages beside it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::document::Problems;
use crate::base::limits::{IMPORT_DEPTH_MAX, IMPORT_ITEMS_MAX};

use super::model::{
    Charset, Class, Coding, Form, Format, Inside, Item, Length, LengthCoding, Side,
};

/// Reads the file; what it cannot carry over becomes a warning, what makes it unreadable an error.
pub(super) fn read<'t>(text: &'t str, problems: &Problems<'t>) -> Option<Format> {
    let source = Source { text, problems };
    let whole = match serde_json::from_str::<&RawValue>(text) {
        Ok(whole) => whole,
        Err(error) => {
            let at = offset(text, error.line(), error.column());
            problems.error(&(at..at), format!("this is no JSON: {error}"));
            return None;
        }
    };
    let root = source.object("the file", whole)?;
    let mut format = Format::new();
    format.title = root.text("name").map(Cow::into_owned);
    let Some(fields) = root.value("fields") else {
        problems.error(&root.span, "there are no fields in it");
        return None;
    };
    let fields = source.object("fields", fields)?;
    root.finish();
    let mut reader = Reader {
        source: &source,
        items: 0,
    };
    for (key, raw) in &fields.entries {
        let span = source.span(raw);
        let Ok(number) = key.parse::<u16>() else {
            problems.warn(&span, format!("{key:?} is no number of a field; left out"));
            continue;
        };
        let path = format!("field {number}");
        if let Some(described) = format.described.get_mut(usize::from(number)) {
            *described = true;
        }
        match number {
            0 => reader.mti(&mut format, &path, raw),
            1 => reader.bitmap(&mut format, &path, raw),
            _ => {
                if let Some(item) = reader.item(&path, raw, 0)
                    && format.fields.insert(number, item).is_some()
                {
                    let told = format!("{path} is there twice; {key:?} counts");
                    problems.warn(&span, told);
                }
            }
        }
    }
    if format.fields.is_empty() {
        problems.error(&fields.span, "no field could be carried over");
        return None;
    }
    for told in format.taken() {
        problems.warn(&fields.span, told);
    }
    Some(format)
}

/// The byte offset of a line and column as `serde_json` counts them: lines from 1, columns in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    before
        .saturating_add(column.saturating_sub(1))
        .min(text.len())
}

struct Source<'t, 'p> {
    text: &'t str,
    problems: &'p Problems<'t>,
}

impl<'t, 'p> Source<'t, 'p> {
    /// Where a value stands: it is a piece of the text.
    fn span(&self, raw: &RawValue) -> Range<usize> {
        let start = raw
            .get()
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr());
        start..start.saturating_add(raw.get().len())
    }

    fn object<'s>(&'s self, path: &str, raw: &'t RawValue) -> Option<Object<'s, 't, 'p>> {
        let span = self.span(raw);
        match serde_json::from_str::<Pairs<'t>>(raw.get()) {
            Ok(Pairs(pairs)) => {
                let mut entries = BTreeMap::new();
                for (key, value) in pairs {
                    // As in Go: the last one counts.
                    if entries.insert(key.clone(), value).is_some() {
                        let told = format!("{path} has {key:?} twice; the last one counts");
                        self.problems.warn(&self.span(value), told);
                    }
                }
                Some(Object {
                    source: self,
                    path: path.to_owned(),
                    span,
                    entries,
                    asked: RefCell::new(BTreeSet::new()),
                })
            }
            Err(_not_an_object) => {
                self.problems
                    .error(&span, format!("{path} must be an object"));
                None
            }
        }
    }
}

/// Keys and values of an object in the order of the file, doubled ones too.
struct Pairs<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Pairs<'t> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        from.deserialize_map(Each).map(Pairs)
    }
}

/// An object; what nobody asked for is reported.
struct Object<'s, 't, 'p> {
    source: &'s Source<'t, 'p>,
    path: String,
    span: Range<usize>,
    entries: BTreeMap<Cow<'t, str>, &'t RawValue>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'t> Object<'_, 't, '_> {
    /// The value of a key, in whatever capitals it is written, as in Go.
    fn value(&self, key: &'static str) -> Option<&'t RawValue> {
        self.asked.borrow_mut().insert(key);
        let other = || {
            self.entries
                .iter()
                .find(|(other, _)| key.eq_ignore_ascii_case(other))
        };
        let (_, raw) = self.entries.get_key_value(key).or_else(other)?;
        (raw.get() != "null").then_some(*raw)
    }

    fn text(&self, key: &'static str) -> Option<Cow<'t, str>> {
        let raw = self.value(key)?;
        let read = serde_json::from_str(raw.get()).ok();
        if read.is_none() {
            self.wrong(key, raw, "a text");
        }
        read
    }

    fn integer(&self, key: &'static str) -> Option<u16> {
        let raw = self.value(key)?;
        let read = serde_json::from_str(raw.get()).ok();
        if read.is_none() {
            self.wrong(key, raw, "a number from 0 to 65535");
        }
        read
    }

    /// The length of a field, 0 when it has none; or what is wrong with it.
    fn length(&self) -> Result<u16, String> {
        let Some(raw) = self.value("length") else {
            return Ok(0);
        };
        let text = raw.get();
        match serde_json::from_str(text) {
            Ok(length) => Ok(length),
            Err(_) if text.bytes().all(|b| b.is_ascii_digit()) => {
                Err(format!("its length {text} is too large"))
            }
            Err(_) => Err(format!("its length {text} is no number of digits or bytes")),
        }
    }

    fn wrong(&self, key: &str, raw: &RawValue, want: &str) {
        let message = format!("{}: {key} must be {want}", self.path);
        let problems = self.source.problems;
        problems.error(&self.source.span(raw), message);
    }

    fn warn(&self, message: &str) {
        let message = format!("{} {message}", self.path);
        self.source.problems.warn(&self.span, message);
    }

    fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, raw) in &self.entries {
            if !asked.iter().any(|asked| asked.eq_ignore_ascii_case(key)) {
                let message = format!("{}: `{key}` is not known and left out", self.path);
                self.source.problems.warn(&self.source.span(raw), message);
            }
        }
    }
}

struct Reader<'s, 't, 'p> {
    source: &'s Source<'t, 'p>,
    items: usize,
}

impl<'t> Reader<'_, 't, '_> {
    fn mti(&self, format: &mut Format, path: &str, raw: &'t RawValue) {
        let Some(object) = self.source.object(path, raw) else {
            return;
        };
        let coding = encoding(object.text("enc").as_deref().unwrap_or_default());
        match coding {
            Some(coding @ (Coding::Characters(_) | Coding::Packed(_))) => format.mti = coding,
            // Two bytes that hold four digits.
            Some(Coding::Raw) => format.mti = Coding::Packed(Side::Left),
            Some(Coding::Hex(_)) | None => {
                object.warn("is the message type in an encoding not known here; taken as ASCII");
            }
        }
        // What it is and how long follows from where it stands.
        let _said = ["type", "description", "length", "prefix"].map(|key| object.value(key));
        object.finish();
    }

    fn bitmap(&self, format: &mut Format, path: &str, raw: &'t RawValue) {
        let Some(object) = self.source.object(path, raw) else {
            return;
        };
        let coding = encoding(object.text("enc").as_deref().unwrap_or_default());
        match coding {
            Some(coding @ (Coding::Raw | Coding::Hex(_))) => format.bitmap = coding,
            Some(Coding::Characters(_) | Coding::Packed(_)) | None => {
                object.warn("is a bitmap in an encoding not known here; taken as binary");
            }
        }
        // Of 8 bytes unless told; further ones follow when their first bit says so.
        let fixed = object
            .value("disableAutoExpand")
            .is_some_and(|raw| raw.get() == "true");
        let bytes = object.integer("length").unwrap_or(8);
        if !fixed && bytes > 8 {
            object.warn(
                "is a bitmap of more than 8 bytes; taken as 8 and further ones where a bit says so, as ISO 8583 has them",
            );
        }
        let _said = ["type", "description", "prefix"].map(|key| object.value(key));
        object.finish();
        format.bits = match (fixed, bytes) {
            (true, 0..=8) => 64,
            (true, 9..=16) | (false, _) => 128,
            (true, _) => 192,
        };
    }

    fn item(&mut self, path: &str, raw: &'t RawValue, depth: usize) -> Option<Item> {
        self.items = self.items.saturating_add(1);
        let span = self.source.span(raw);
        if self.items > IMPORT_ITEMS_MAX || depth > IMPORT_DEPTH_MAX {
            let message = format!(
                "{path}: there are more than {IMPORT_ITEMS_MAX} fields, or more than {IMPORT_DEPTH_MAX} inside each other"
            );
            self.source.problems.error(&span, message);
            return None;
        }
        let object = self.source.object(path, raw)?;
        let kind = object.text("type").unwrap_or_default();
        let name = object.text("description").map(Cow::into_owned);
        let max = match object.length() {
            Ok(max) => max,
            Err(why) => {
                object.warn(&format!("is left out: {why}"));
                return None;
            }
        };
        let prefix = object.text("prefix").unwrap_or_default();
        let encoding_name = object.text("enc").unwrap_or_default();
        let padding = object
            .value("padding")
            .and_then(|raw| self.padding(path, raw));
        let Some(length) = length(&prefix) else {
            object.warn(&format!("is left out: {}", unknown("prefix", &prefix)));
            return None;
        };
        if encoding_name == "EBCDIC" && !matches!(kind.as_ref(), "Numeric" | "Track2" | "Track3") {
            object.warn(
                "is in EBCDIC, and taken for code page 1047: moov's own table has some other signs, as ! [ ] | ^",
            );
        }
        let inside = self.inside(&object, path, depth);
        let coding = match (encoding(&encoding_name), &inside) {
            (Some(coding), _) => coding,
            // A composite has no encoding of its own: its parts do.
            (None, Inside::BerTlv(_) | Inside::Mapped { .. }) => Coding::Raw,
            // Its parts are left out: whatever they are.
            (None, Inside::Nothing) if kind == "Composite" => Coding::Raw,
            (None, Inside::Positional(parts)) => parts
                .values()
                .next()
                .map_or(Coding::Characters(Charset::Ascii), |part| part.form.coding),
            (None, Inside::Tagged { .. }) => Coding::Characters(Charset::Ascii),
            (None, Inside::Nothing) => {
                object.warn(&format!(
                    "is left out: {}",
                    unknown("encoding", &encoding_name)
                ));
                return None;
            }
        };
        let Some(class) = class(&kind, coding) else {
            object.warn(&format!("is left out: {}", unknown("type", &kind)));
            return None;
        };
        // A text that is filled with zeros in front is an amount or a number: only digits are filled so here.
        let zeros = matches!(&padding, Some((Side::Left, pad)) if pad == "0");
        let class = if zeros && length.is_none() && class == Class::Text && prefix != BER_TLV {
            object.warn("is filled with zeros in front and taken for digits; letters in it would be refused");
            Class::Digits
        } else {
            class
        };
        let variable = length.is_some() || prefix == BER_TLV;
        match padding {
            Some(_) if variable => object.warn(&format!(
                "is always filled to {max} there, though its length is told: here it is written as long as its value, and what fills one that comes stands in it"
            )),
            Some((side, pad)) if !usual_padding(class, side, &pad) => {
                object.warn("is padded in a way that no dialect has; what it is filled with stands in its value");
            }
            None if prefix == "None.Fixed" => object.warn(&format!(
                "has the prefix None.Fixed: a value that is shorter than {max} is sent so there, and filled here"
            )),
            Some(_) | None => {}
        }
        object.finish();
        let form = Form {
            class,
            coding,
            length,
            max,
        };
        let mut item = Item::new(name.unwrap_or_default(), form, span);
        item.inside = inside;
        item.track = kind.starts_with("Track");
        Some(item)
    }

    /// Side and character of `{"type": "Left", "pad": "0"}`.
    fn padding(&self, path: &str, raw: &'t RawValue) -> Option<(Side, String)> {
        let object = self.source.object(&format!("{path}.padding"), raw)?;
        let side = match object.text("type").as_deref() {
            Some("Left") => Some(Side::Left),
            Some("Right") => Some(Side::Right),
            Some("None") => None,
            other => {
                let kind = unknown("type", other.unwrap_or_default());
                object.warn(&format!("is no padding that is known here: {kind}"));
                None
            }
        };
        let pad = object.text("pad").map(Cow::into_owned).unwrap_or_default();
        Some((side?, pad))
    }

    fn inside(&mut self, object: &Object<'_, 't, '_>, path: &str, depth: usize) -> Inside {
        let bitmap = object
            .value("bitmap")
            .and_then(|raw| self.inner_bitmap(path, raw));
        let tag = object.value("tag").and_then(|raw| self.tag(path, raw));
        let Some(raw) = object.value("subfields") else {
            return Inside::Nothing;
        };
        let Some(subfields) = self.source.object(&format!("{path}.subfields"), raw) else {
            return Inside::Nothing;
        };
        let mut items = BTreeMap::new();
        let mut lost = None;
        for (key, raw) in &subfields.entries {
            let deeper = depth.saturating_add(1);
            match self.item(&format!("{path}.{key}"), raw, deeper) {
                Some(item) => {
                    items.insert(key.to_string(), item);
                }
                None => lost = lost.or_else(|| Some(key.as_ref())),
            }
        }
        if let Some((bytes, hex)) = bitmap {
            return match positional(object, items, None) {
                Inside::Positional(parts) => Inside::Mapped { bytes, hex, parts },
                other => other,
            };
        }
        match tag {
            Some(TagShape { length: 0, .. }) | None => positional(object, items, lost),
            Some(TagShape { ber: true, .. }) => Inside::BerTlv(items),
            Some(tag) => tagged(object, &tag, items),
        }
    }

    /// Bytes of a composite's own bitmap, and whether it is in hexadecimal digits.
    fn inner_bitmap(&self, path: &str, raw: &'t RawValue) -> Option<(u16, bool)> {
        let object = self.source.object(&format!("{path}.bitmap"), raw)?;
        let coding = object.text("enc").unwrap_or_default();
        let hex = match coding.as_ref() {
            "HexToASCII" => true,
            "Binary" | "ASCIIToHex" | "" => false,
            other => {
                object.warn(&format!("is in {other}, and taken for binary"));
                false
            }
        };
        let length = object.integer("length").unwrap_or(8);
        // That it has the type and the prefix of a bitmap says nothing more.
        let _ = (
            object.value("type"),
            object.value("prefix"),
            object.value("description"),
        );
        object.finish();
        Some((length, hex))
    }

    /// How tags are written. The length of those of BER-TLV is written as 0 or left out.
    fn tag(&self, path: &str, raw: &'t RawValue) -> Option<TagShape> {
        let object = self.source.object(&format!("{path}.tag"), raw)?;
        let coding = object.text("enc").unwrap_or_default();
        let ber = coding == "BerTLVTag";
        let length = object.integer("length").unwrap_or(0);
        if !ber && length > 0 && !matches!(coding.as_ref(), "" | "ASCII") {
            object.warn(&format!(
                "is in {coding}, and taken for characters of ASCII: the tags of a dialect are no other"
            ));
        }
        // How parts are ordered when they are written follows from their tags here.
        let _ = object.value("sort");
        let padding = object
            .value("padding")
            .and_then(|raw| self.padding(&format!("{path}.tag"), raw));
        object.finish();
        let length = u8::try_from(length).ok()?;
        let length = if ber { length.max(1) } else { length };
        Some(TagShape {
            length,
            ber,
            padding,
        })
    }
}

/// Parts one after the other, by number; none when one is `lost`, since nobody knows then where the others stand.
fn positional(
    object: &Object<'_, '_, '_>,
    items: BTreeMap<String, Item>,
    lost: Option<&str>,
) -> Inside {
    if let Some(lost) = lost {
        object.warn(&format!(
            "is carried over whole, its parts are left out: where part {lost} ends is not known, and others follow it"
        ));
        return Inside::Nothing;
    }
    let mut parts = BTreeMap::new();
    for (key, item) in items {
        match key.parse() {
            Ok(number) => {
                parts.insert(number, item);
            }
            Err(_) => object.warn(&format!(
                "has a part {key} that is no number and is left out"
            )),
        }
    }
    if parts.is_empty() {
        Inside::Nothing
    } else {
        Inside::Positional(parts)
    }
}

/// How the tags of a composite are written.
struct TagShape {
    /// Characters.
    length: u8,
    /// Whether they are those of BER-TLV.
    ber: bool,
    /// With what, and on which side, a shorter one is filled.
    padding: Option<(Side, String)>,
}

impl TagShape {
    /// A tag as it stands in messages; `None` when it cannot have its length.
    fn written(&self, key: &str) -> Option<String> {
        let lacks = usize::from(self.length).checked_sub(key.len())?;
        if lacks == 0 {
            return Some(key.to_owned());
        }
        let (side, pad) = self.padding.as_ref().filter(|(_, pad)| pad.len() == 1)?;
        let filling = pad.repeat(lacks);
        Some(match side {
            Side::Left => format!("{filling}{key}"),
            Side::Right => format!("{key}{filling}"),
        })
    }
}

/// Parts with tags in front; all must have the same length prefix.
fn tagged(object: &Object<'_, '_, '_>, tag: &TagShape, items: BTreeMap<String, Item>) -> Inside {
    let mut written = BTreeMap::new();
    for (key, item) in items {
        match tag.written(&key) {
            Some(key) => {
                written.insert(key, item);
            }
            None => object.warn(&format!(
                "has a part {key} that is left out: its tags have {} characters, and nothing says how this one is filled up",
                tag.length
            )),
        }
    }
    let items = written;
    if !items.values().all(Item::counts_bytes) {
        object.warn("is carried over whole, its parts are left out: the lengths behind their tags count something else than bytes");
        return Inside::Nothing;
    }
    let mut lengths: Vec<_> = items.values().map(|item| item.form.length).collect();
    lengths.dedup();
    match lengths.as_slice() {
        [Some(length)] => Inside::Tagged {
            tag: tag.length,
            length: *length,
            length_first: false,
            items,
        },
        _ => {
            object.warn("is carried over whole, its parts are left out: their tags are followed by lengths of different kinds");
            Inside::Nothing
        }
    }
}

const fn usual_padding_of(class: Class) -> (Side, u8) {
    match class {
        Class::Digits | Class::Amount | Class::Track => (Side::Left, b'0'),
        Class::Text => (Side::Right, b' '),
        Class::Binary => (Side::Right, 0),
    }
}

/// Whether a dialect fills short values of the class so.
fn usual_padding(class: Class, side: Side, pad: &str) -> bool {
    let (usual_side, usual) = usual_padding_of(class);
    side == usual_side && pad.as_bytes() == [usual]
}

fn encoding(name: &str) -> Option<Coding> {
    Some(match name {
        "ASCII" => Coding::Characters(Charset::Ascii),
        "EBCDIC" | "EBCDIC1047" => Coding::Characters(Charset::Ebcdic),
        // Aligned to the right: the odd nibble is on the left.
        "BCD" => Coding::Packed(Side::Left),
        "LBCD" => Coding::Packed(Side::Right),
        "Binary" | "ASCIIToHex" => Coding::Raw,
        "HexToASCII" => Coding::Hex(Charset::Ascii),
        _ => return None,
    })
}

fn class(kind: &str, coding: Coding) -> Option<Class> {
    let raw = matches!(coding, Coding::Raw | Coding::Hex(_));
    Some(match kind {
        "Numeric" => Class::Digits,
        "Track2" | "Track3" => Class::Track,
        // What is packed is digits, whatever it is called.
        "Binary" | "Hex" | "Bitmap" | "String" | "Composite" | "Track1"
            if matches!(coding, Coding::Packed(_)) =>
        {
            Class::Digits
        }
        "Binary" | "Hex" | "Bitmap" => Class::Binary,
        "String" | "Composite" if raw => Class::Binary,
        "String" | "Composite" | "Track1" => Class::Text,
        _ => return None,
    })
}

/// The prefix of an element inside BER-TLV.
const BER_TLV: &str = "BerTLV";

/// What is wrong with a word that is not known, or not there.
fn unknown(what: &str, word: &str) -> String {
    if word.is_empty() {
        format!("it has no {what}")
    } else {
        format!("its {what} {word} is not known here")
    }
}

/// `Some(None)` for a fixed length; `None` when the prefix is not known.
fn length(prefix: &str) -> Option<Option<Length>> {
    if prefix == BER_TLV {
        // Of an element inside BER-TLV, whose length says itself how long it is.
        return Some(None);
    }
    let (coding, digits) = prefix.split_once('.')?;
    if digits == "Fixed" {
        return Some(None);
    }
    let ells = u8::try_from(digits.len()).ok()?;
    if digits.bytes().any(|b| b != b'L') || !(1..=6).contains(&ells) {
        return None;
    }
    let (coding, digits) = match coding {
        "ASCII" => (LengthCoding::Ascii, ells),
        "EBCDIC" | "EBCDIC1047" => (LengthCoding::Ebcdic, ells),
        "BCD" => (LengthCoding::Packed, ells),
        "Binary" => (LengthCoding::Binary, ells),
        // A byte is two digits.
        "Hex" => (LengthCoding::Hex, ells.checked_mul(2)?),
        _ => return None,
    };
    Some(Some(Length {
        coding,
        digits,
        counts_wire: false,
    }))
}
