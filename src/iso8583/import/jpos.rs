//! Reads the XML of jPOS's `GenericPackager`: one element a field, its class says how it is written.
//!
//! Facts of the format: <https://jpos.org/docs/tutorial/iso-packager/generic-packager> and the pages beside
//! it. No entity but XML's own five is known, and a DTD is not looked at.

mod inner;
mod whole;

use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::base::document::Problems;
use crate::base::limits::{IMPORT_DEPTH_MAX, IMPORT_ITEMS_MAX};

use super::model::{
    Charset, Class, Coding, Form, Format, Inside, Item, Length, LengthCoding, Side,
};
use inner::{Bitmap, Inner, Plan};

/// Reads the file; what it cannot carry over becomes a warning, what makes it unreadable an error.
pub(super) fn read<'t>(text: &'t str, problems: &Problems<'t>) -> Option<Format> {
    let mut walk = Walk {
        problems,
        text,
        format: Format::new(),
        seen: BTreeMap::new(),
        counted: (0, 1),
        open: Vec::new(),
        items: 0,
        begun: false,
        top_at: 0..0,
    };
    let mut reader = Reader::from_str(text);
    loop {
        let from = position(&reader, text);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(text.len());
                problems.error(&(at..at), format!("this is no XML: {error}"));
                return None;
            }
        };
        let span = from..position(&reader, text);
        match event {
            Event::Start(element) => walk.start(&element, span, true)?,
            Event::Empty(element) => walk.start(&element, span, false)?,
            Event::End(_) => walk.end(),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    if !walk.begun {
        problems.error(&(0..0), "there is no element isopackager in it");
        return None;
    }
    if walk.format.fields.is_empty() {
        problems.error(&(0..0), "no field could be carried over");
        return None;
    }
    for told in walk.format.taken() {
        problems.warn(&walk.top_at, told);
    }
    Some(walk.format)
}

fn position(reader: &Reader<&[u8]>, text: &str) -> usize {
    usize::try_from(reader.buffer_position()).map_or(text.len(), |at| at.min(text.len()))
}

/// An element that is open and may hold fields.
enum Open {
    /// The packager itself.
    Top,
    /// A field with fields inside.
    Field {
        number: u16,
        item: Item,
        inner: Box<Inner>,
    },
    /// Something else, which was said.
    Ignored,
}

struct Walk<'p, 't> {
    problems: &'p Problems<'t>,
    text: &'t str,
    format: Format,
    /// In which line each field stands.
    seen: BTreeMap<u16, usize>,
    /// A place in the text and its line.
    counted: (usize, usize),
    open: Vec<Open>,
    items: usize,
    begun: bool,
    /// Where the packager stands.
    top_at: Range<usize>,
}

/// The attributes of an element that mean something here.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    name: String,
    length: Option<String>,
    class: String,
    packager: String,
    /// Which side packed digits are filled on; jPOS fills right unless told.
    pad_left: bool,
    bitmap_field: Option<String>,
    first_field: Option<String>,
    tag_mapper: String,
    third_bitmap_field: Option<String>,
    max_valid_field: Option<String>,
    emit_bitmap: Option<String>,
    header_length: Option<String>,
}

impl Walk<'_, '_> {
    /// `None` when reading on has no sense.
    fn start(&mut self, element: &BytesStart<'_>, span: Range<usize>, opens: bool) -> Option<()> {
        self.items = self.items.saturating_add(1);
        if self.items > IMPORT_ITEMS_MAX || self.open.len() >= IMPORT_DEPTH_MAX {
            let message = format!(
                "there are more than {IMPORT_ITEMS_MAX} elements, or more than {IMPORT_DEPTH_MAX} inside each other"
            );
            self.problems.error(&span, message);
            return None;
        }
        let attributes = self.attributes(element, &span)?;
        let name = element.local_name();
        let opened = match name.as_ref() {
            "isopackager" => {
                self.begun = true;
                self.top_at = span.clone();
                self.top(&attributes, &span);
                Open::Top
            }
            "isofield" => {
                self.field(&attributes, &span);
                Open::Ignored
            }
            "isofieldpackager" => self.composite(&attributes, &span),
            other => {
                let message = format!("the element {other} is not known and left out");
                self.problems.warn(&span, message);
                Open::Ignored
            }
        };
        self.open.push(opened);
        if !opens {
            self.end();
        }
        Some(())
    }

    fn attributes(&self, element: &BytesStart<'_>, span: &Range<usize>) -> Option<Attributes> {
        let mut read = Attributes::default();
        for attribute in element.attributes() {
            let value = attribute
                .map_err(quick_xml::Error::from)
                .and_then(|attribute| {
                    let value = attribute.normalized_value(XmlVersion::Implicit1_0)?;
                    Ok((attribute.key, value.into_owned()))
                });
            let (key, value) = match value {
                Ok(pair) => pair,
                Err(error) => {
                    let message = format!("an attribute cannot be read: {error}");
                    self.problems.error(span, message);
                    return None;
                }
            };
            match key.as_ref() {
                "id" => read.id = Some(value),
                "name" => read.name = value,
                "length" => read.length = Some(value),
                "class" => read.class = value,
                "packager" => read.packager = value,
                // As Java reads it.
                "pad" => read.pad_left = value.eq_ignore_ascii_case("true"),
                "bitmapField" => read.bitmap_field = Some(value),
                "firstField" => read.first_field = Some(value),
                "tagMapper" => read.tag_mapper = value,
                "thirdBitmapField" => read.third_bitmap_field = Some(value),
                "maxValidField" => read.max_valid_field = Some(value),
                "emitBitmap" => read.emit_bitmap = Some(value),
                "headerLength" => read.header_length = Some(value),
                "trim" if value.eq_ignore_ascii_case("true") => {
                    let message = "trim is true: jPOS cuts off the spaces around a value that it reads, here they stand in it";
                    self.problems.warn(span, message);
                }
                // What does as it does here, and what only one's own classes read.
                "trim" | "token" | "xmlns" => {}
                other => {
                    let message = format!("the attribute {other} is not known and left out");
                    self.problems.warn(span, message);
                }
            }
        }
        Some(read)
    }

    fn top(&mut self, attributes: &Attributes, span: &Range<usize>) {
        if let Some(bytes) = &attributes.header_length
            && bytes != "0"
        {
            let message = format!(
                "headerLength is {bytes}: write those bytes as `header` in [framing], since they stand in the channel, not here"
            );
            self.problems.warn(span, message);
        }
        let emitted = attributes.emit_bitmap.as_deref();
        if emitted.is_some_and(|value| !value.eq_ignore_ascii_case("true")) {
            let message = "emitBitmap is false: a message without a bitmap has no dialect";
            self.problems.error(span, message);
        }
        if let Some(field) = &attributes.third_bitmap_field
            && field != "-999"
        {
            let message = format!("the third bitmap stands in field {field} and is left out");
            self.problems.warn(span, message);
        }
        if !attributes.name.is_empty() {
            self.format.title = Some(attributes.name.clone());
        }
    }

    /// The number of a field; `None` with a problem when it is none.
    fn number(&mut self, attributes: &Attributes, span: &Range<usize>) -> Option<u16> {
        let number = attributes
            .id
            .as_deref()
            .and_then(|id| id.trim().parse().ok());
        if number.is_none() {
            let told = match &attributes.id {
                Some(id) => format!("id {id:?} is no number of a field; left out"),
                None => "it has no id, the number of a field; left out".to_owned(),
            };
            self.problems.warn(span, told);
            if let Some(Open::Field { inner, .. }) = self.open.last_mut() {
                inner.nameless = true;
            }
        }
        number
    }

    fn field(&mut self, attributes: &Attributes, span: &Range<usize>) {
        let Some(number) = self.number(attributes, span) else {
            return;
        };
        match self.open.last() {
            Some(Open::Top) if number <= 1 => {
                self.once(number, span);
                self.head(number, attributes, span);
            }
            Some(Open::Top) => {
                self.once(number, span);
                if let Some(item) = self.item(number, attributes, span) {
                    self.format.fields.insert(number, item);
                }
            }
            Some(Open::Field { inner, .. }) => {
                let plan = inner.plan;
                if plan.looks_inside() {
                    self.once(number, span);
                    self.part(plan, number, attributes, span);
                }
            }
            Some(Open::Ignored) => {}
            None => self
                .problems
                .error(span, "isofield stands outside isopackager"),
        }
    }

    /// A number stands for one field: where it comes again, the last is the one that jPOS takes.
    fn once(&mut self, number: u16, span: &Range<usize>) {
        let line = self.line(span.start);
        let told = self.told(number);
        let earlier = match self.open.last_mut() {
            Some(Open::Top) => {
                self.format.fields.remove(&number);
                self.seen.insert(number, line)
            }
            Some(Open::Field { inner, .. }) => {
                inner.forget(number);
                inner.seen.insert(number, line)
            }
            Some(Open::Ignored) | None => None,
        };
        if let Some(earlier) = earlier {
            let message = format!(
                "field {told} stands in line {earlier} already; the last one counts, the earlier is left out"
            );
            self.problems.warn(span, message);
        }
    }

    /// The line of a place behind all that were asked for.
    fn line(&mut self, at: usize) -> usize {
        let (from, line) = self.counted;
        let between = self.text.get(from..at).unwrap_or_default();
        let line = line.saturating_add(between.matches('\n').count());
        self.counted = (at, line);
        line
    }

    /// A field by its number and those of the fields that it is in.
    fn told(&self, number: u16) -> String {
        let mut told = String::new();
        for open in &self.open {
            if let Open::Field { number, .. } = open {
                told.push_str(&format!("{number}."));
            }
        }
        told.push_str(&number.to_string());
        told
    }

    /// A field inside another: one of its parts, or the bitmap of those.
    fn part(&mut self, plan: Plan, number: u16, attributes: &Attributes, span: &Range<usize>) {
        let class = bare_class(&attributes.class);
        let bytes = attributes.length.as_deref();
        let bitmap = Bitmap::of(class, bytes.and_then(|text| text.trim().parse().ok()));
        let (tag, class) = match plan {
            Plan::Tagged(_) => inner::tagged_class(class),
            Plan::Euro => inner::euro_class(class),
            Plan::Whole | Plan::Numbered { .. } | Plan::BerTlv(_) => {
                (inner::TagPlace::default(), class.to_owned())
            }
        };
        let item = match bitmap {
            Some(_) => None,
            None => self.item_of(number, &class, attributes, span),
        };
        if let Some(Open::Field { inner, .. }) = self.open.last_mut() {
            if let Some(bitmap) = bitmap {
                inner.bitmaps.insert(number, bitmap);
            }
            if let Some(item) = item {
                inner.tags.insert(number, tag);
                inner.parts.insert(number, item);
            } else if bitmap.is_none() && class != NOTHING {
                inner.lost.insert(number);
            }
        }
    }

    /// Message type and bitmap.
    fn head(&mut self, number: u16, attributes: &Attributes, span: &Range<usize>) {
        let class = bare_class(&attributes.class);
        if let Some(described) = self.format.described.get_mut(usize::from(number)) {
            *described = true;
        }
        if number == 0 {
            match form(class, 4, attributes.pad_left).map(|form| form.coding) {
                Some(Coding::Characters(charset)) => {
                    self.format.mti = Coding::Characters(charset);
                }
                Some(Coding::Packed(side)) => self.format.mti = Coding::Packed(side),
                Some(Coding::Raw | Coding::Hex(_)) | None => {
                    let message = format!(
                        "{} is no way to write a message type; taken as ASCII",
                        named(class)
                    );
                    self.problems.warn(span, message);
                }
            }
            return;
        }
        let length = length_of(attributes).unwrap_or_else(|why| {
            let message = format!("of the bitmap, {why}; taken as 16");
            self.problems.warn(span, message);
            16
        });
        self.format.bitmap = match class {
            "IFB_BITMAP" => Coding::Raw,
            "IFA_BITMAP" | "IFHex_BITMAP" => Coding::Hex(Charset::Ascii),
            "IFE_BITMAP" => Coding::Hex(Charset::Ebcdic),
            other => {
                let message = format!(
                    "{} is no bitmap that is known here; taken as binary",
                    named(other)
                );
                self.problems.warn(span, message);
                Coding::Raw
            }
        };
        // IFB_BITMAP counts bytes of all bitmaps, and so does IFA_BITMAP in practice: 16 for two.
        self.format.bits = match length {
            0..=8 => 64,
            9..=16 => 128,
            _ => 192,
        };
    }

    fn item(&self, number: u16, attributes: &Attributes, span: &Range<usize>) -> Option<Item> {
        self.item_of(number, bare_class(&attributes.class), attributes, span)
    }

    fn item_of(
        &self,
        number: u16,
        class: &str,
        attributes: &Attributes,
        span: &Range<usize>,
    ) -> Option<Item> {
        // A part 0 that is nothing holds the place of what is not there.
        if class == NOTHING && number == 0 {
            return None;
        }
        match form_of(class, attributes) {
            Ok((form, inside)) => {
                let own = attributes.class.trim().rsplit_once('.');
                if own.is_some_and(|(package, _)| !package.starts_with("org.jpos.")) {
                    let message = format!(
                        "field {}: {} is a class of one's own, and taken for jPOS's {class}",
                        self.told(number),
                        named(attributes.class.trim())
                    );
                    self.problems.warn(span, message);
                }
                if class.starts_with(FILLED_WITH_F) && !attributes.pad_left {
                    let message = format!(
                        "field {}: a half byte that is over is F there, here it is written as 0",
                        self.told(number)
                    );
                    self.problems.warn(span, message);
                }
                let mut item = Item::new(attributes.name.clone(), form, span.clone());
                item.inside = inside;
                Some(item)
            }
            Err(why) => {
                let message = format!("field {} is left out: {why}", self.told(number));
                self.problems.warn(span, message);
                None
            }
        }
    }

    fn composite(&mut self, attributes: &Attributes, span: &Range<usize>) -> Open {
        match self.open.last() {
            Some(Open::Field { inner, .. }) if !inner.plan.looks_inside() => return Open::Ignored,
            Some(Open::Ignored) => return Open::Ignored,
            Some(Open::Top | Open::Field { .. }) | None => {}
        }
        let Some(number) = self.number(attributes, span) else {
            return Open::Ignored;
        };
        self.once(number, span);
        let Some(item) = self.item(number, attributes, span) else {
            if let Some(Open::Field { inner, .. }) = self.open.last_mut()
                && bare_class(&attributes.class) != NOTHING
            {
                inner.lost.insert(number);
            }
            return Open::Ignored;
        };
        let plan = match Plan::of(attributes) {
            Ok(_) if !matches!(item.inside, Inside::Nothing) => {
                let why = format!("{} divides it already", bare_class(&attributes.class));
                self.whole(number, span, &why);
                Plan::Whole
            }
            Ok(plan) => plan,
            Err(why) => {
                self.whole(number, span, &why);
                Plan::Whole
            }
        };
        Open::Field {
            number,
            item,
            inner: Box::new(Inner::new(plan)),
        }
    }

    fn whole(&self, number: u16, span: &Range<usize>, why: &str) {
        let message = format!(
            "field {} is carried over whole, its parts are left out: {why}",
            self.told(number)
        );
        self.problems.warn(span, message);
    }

    fn end(&mut self) {
        let Some(Open::Field {
            number,
            mut item,
            inner,
        }) = self.open.pop()
        else {
            return;
        };
        let known: Vec<u16> = inner.parts.keys().copied().collect();
        match inner.finish(&mut item) {
            Ok(left_out) => {
                for part in known.iter().filter(|part| left_out.contains(part)) {
                    let message = format!(
                        "field {}: its part {part} is never written and left out",
                        self.told(number)
                    );
                    self.problems.warn(&item.span, message);
                }
            }
            Err(why) => self.whole(number, &item.span, &why),
        }
        match self.open.last_mut() {
            Some(Open::Top) => {
                self.format.fields.insert(number, item);
            }
            Some(Open::Field { inner, .. }) if inner.plan != Plan::Whole => {
                inner.parts.insert(number, item);
            }
            Some(Open::Field { .. } | Open::Ignored) | None => {}
        }
    }
}

/// The class of what is not written at all.
const NOTHING: &str = "IF_NOP";

/// Classes of packed digits with F, not 0, in the half byte that is over.
const FILLED_WITH_F: &str = "IFB_F";

/// How a field is written and divides, or why that cannot be carried over.
fn form_of(class: &str, attributes: &Attributes) -> Result<(Form, Inside), String> {
    if class == NOTHING {
        return Err(format!("{NOTHING} writes nothing of it"));
    }
    if class.is_empty() {
        return Err("it has no class".to_owned());
    }
    let length = length_of(attributes)?;
    if whole::known(class) {
        return whole::form(class, length, attributes)
            .ok_or_else(|| format!("its length {length} does not fit {class}"));
    }
    form(class, length, attributes.pad_left)
        .map(|form| (form, Inside::Nothing))
        .ok_or_else(|| {
            format!(
                "how {} writes it is not known here",
                attributes.class.trim()
            )
        })
}

/// The length that the attributes say, or what is wrong with it.
fn length_of(attributes: &Attributes) -> Result<u16, String> {
    let text = attributes.length.as_deref().unwrap_or_default().trim();
    match text.parse() {
        Ok(length) => Ok(length),
        Err(_) if text.is_empty() => Err("it has no length".to_owned()),
        Err(_) if text.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("its length {text} is too large"))
        }
        Err(_) => Err(format!("its length {text} is no number")),
    }
}

/// A class as a sentence names it.
fn named(class: &str) -> &str {
    if class.is_empty() {
        "a field without a class"
    } else {
        class
    }
}

/// The class without its package.
fn bare_class(class: &str) -> &str {
    class.trim().rsplit('.').next().unwrap_or_default()
}

/// How a class of jPOS writes a field: what stands before the underscore is the code, then as many `L` as
/// the length prefix has digits (`H` behind them: in binary, a byte for the first two and one more for each
/// further), then what it holds.
fn form(class: &str, max: u16, pad_left: bool) -> Option<Form> {
    let (code, rest) = class.split_once('_')?;
    let side = if pad_left { Side::Left } else { Side::Right };
    let characters = |charset| Coding::Characters(charset);
    // Fixed digits of BCD are zero filled and even in most files; the odd nibble goes where pad says.
    let (text, digits, binary, prefix) = match code {
        "IF" => (
            characters(Charset::Ascii),
            characters(Charset::Ascii),
            Coding::Raw,
            LengthCoding::Ascii,
        ),
        "IFA" => (
            characters(Charset::Ascii),
            characters(Charset::Ascii),
            Coding::Hex(Charset::Ascii),
            LengthCoding::Ascii,
        ),
        "IFB" => (
            characters(Charset::Ascii),
            Coding::Packed(side),
            Coding::Raw,
            LengthCoding::Packed,
        ),
        "IFE" => (
            characters(Charset::Ebcdic),
            characters(Charset::Ebcdic),
            Coding::Hex(Charset::Ebcdic),
            LengthCoding::Ebcdic,
        ),
        // Length in EBCDIC, content in ASCII, and the other way round.
        "IFEA" => (
            characters(Charset::Ascii),
            characters(Charset::Ascii),
            Coding::Raw,
            LengthCoding::Ebcdic,
        ),
        "IFAE" => (
            characters(Charset::Ebcdic),
            characters(Charset::Ebcdic),
            Coding::Raw,
            LengthCoding::Ascii,
        ),
        _ => return None,
    };
    let rest = match class.strip_prefix(FILLED_WITH_F) {
        Some(length) if length.ends_with("LNUM") => length,
        Some(_) | None => rest,
    };
    let after = rest.trim_start_matches('L');
    let ells = rest.len().checked_sub(after.len())?;
    let (hexadecimal, kind) = match after.strip_prefix('H') {
        // HEX is what is held, H is how the length is written.
        Some(kind) if ells > 0 && after != "HEX" => (true, kind),
        Some(_) | None => (false, after),
    };
    let length = prefix_of(ells, hexadecimal, prefix)?;
    let (class, coding) = match (kind, length.is_some()) {
        ("NUMERIC", false) | ("NUM", true) => (Class::Digits, digits),
        ("CHAR", _) => (Class::Text, text),
        ("ECHAR", _) if code == "IF" || code == "IFB" => (Class::Text, characters(Charset::Ebcdic)),
        ("AMOUNT", false) if code == "IFA" || code == "IFE" => (Class::Amount, text),
        ("BINARY", false) => (Class::Binary, binary),
        // With a length, the bytes stand as they are, except where the class says A.
        ("BINARY", true) => (Class::Binary, Coding::Raw),
        ("ABINARY", true) => (Class::Binary, Coding::Hex(Charset::Ascii)),
        ("BNUM", true) => (Class::Digits, Coding::Packed(side)),
        _ => return None,
    };
    Some(Form {
        class,
        coding,
        length,
        max,
    })
}

/// `Some(None)` without a prefix; `None` when there is no such prefix.
fn prefix_of(ells: usize, binary: bool, coding: LengthCoding) -> Option<Option<Length>> {
    let ells = u8::try_from(ells).ok()?;
    let length = match (ells, binary) {
        (0, _) => return Some(None),
        (1..=2, true) => Length {
            coding: LengthCoding::Binary,
            digits: 1,
            counts_wire: false,
        },
        (3, true) => Length {
            coding: LengthCoding::Binary,
            digits: 2,
            counts_wire: false,
        },
        (1..=6, false) => Length {
            coding,
            digits: ells,
            counts_wire: false,
        },
        _ => return None,
    };
    Some(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: &str, expect: (Class, Coding, Option<(LengthCoding, u8)>)) {
        let found = form(class, 19, false).unwrap_or_else(|| panic!("{class}"));
        let length = found.length.map(|length| (length.coding, length.digits));
        assert_eq!((found.class, found.coding, length), expect, "{class}");
    }

    #[test]
    fn class_names_say_how_a_field_is_written() {
        use Coding::{Characters, Hex, Packed, Raw};
        let (ascii, ebcdic) = (Charset::Ascii, Charset::Ebcdic);
        check("IF_CHAR", (Class::Text, Characters(ascii), None));
        check("IFA_NUMERIC", (Class::Digits, Characters(ascii), None));
        check("IFE_NUMERIC", (Class::Digits, Characters(ebcdic), None));
        check("IFB_NUMERIC", (Class::Digits, Packed(Side::Right), None));
        check("IFA_AMOUNT", (Class::Amount, Characters(ascii), None));
        check("IFA_BINARY", (Class::Binary, Hex(ascii), None));
        check("IFE_BINARY", (Class::Binary, Hex(ebcdic), None));
        check("IFB_BINARY", (Class::Binary, Raw, None));
        let two = |coding| Some((coding, 2));
        let three = |coding| Some((coding, 3));
        check(
            "IFA_LLNUM",
            (Class::Digits, Characters(ascii), two(LengthCoding::Ascii)),
        );
        check(
            "IFA_LLLCHAR",
            (Class::Text, Characters(ascii), three(LengthCoding::Ascii)),
        );
        check(
            "IFA_LLLBINARY",
            (Class::Binary, Raw, three(LengthCoding::Ascii)),
        );
        check(
            "IFA_LLLABINARY",
            (Class::Binary, Hex(ascii), three(LengthCoding::Ascii)),
        );
        check(
            "IFA_LLBNUM",
            (Class::Digits, Packed(Side::Right), two(LengthCoding::Ascii)),
        );
        check(
            "IFB_LLNUM",
            (
                Class::Digits,
                Packed(Side::Right),
                two(LengthCoding::Packed),
            ),
        );
        check(
            "IFB_LLLBINARY",
            (Class::Binary, Raw, three(LengthCoding::Packed)),
        );
        check(
            "IFB_LLHNUM",
            (
                Class::Digits,
                Packed(Side::Right),
                Some((LengthCoding::Binary, 1)),
            ),
        );
        check(
            "IFB_LLLHCHAR",
            (
                Class::Text,
                Characters(ascii),
                Some((LengthCoding::Binary, 2)),
            ),
        );
        check(
            "IFB_LLHECHAR",
            (
                Class::Text,
                Characters(ebcdic),
                Some((LengthCoding::Binary, 1)),
            ),
        );
        check(
            "IFE_LLCHAR",
            (Class::Text, Characters(ebcdic), two(LengthCoding::Ebcdic)),
        );
        check(
            "IFE_LLLBINARY",
            (Class::Binary, Raw, three(LengthCoding::Ebcdic)),
        );
        check(
            "IFEA_LLCHAR",
            (Class::Text, Characters(ascii), two(LengthCoding::Ebcdic)),
        );
        check(
            "IFB_FLLNUM",
            (
                Class::Digits,
                Packed(Side::Right),
                two(LengthCoding::Packed),
            ),
        );
        let left = form("IFB_NUMERIC", 3, true).unwrap().coding;
        assert_eq!(left, Packed(Side::Left));
        for unknown in [
            "IFA_TTLLCHAR",
            "IFB_LLHFBINARY",
            "IFMC_LLCHAR",
            "MyField",
            "IFB_AMOUNT",
            "IFA_FLLNUM",
            "IFEB_LLNUM",
        ] {
            assert_eq!(form(unknown, 19, false), None, "{unknown}");
        }
    }
}
