//! What stands inside a field: which packager takes it apart, and what becomes of its parts.
//!
//! Facts: jPOS's `GenericPackager`, `GenericSubFieldPackager`, `Base1SubFieldPackager`,
//! `GenericTaggedFieldsPackager` with its tag mappers, `EuroSubFieldPackager`, the packagers for BER-TLV, and its bitmap classes.

use std::collections::{BTreeMap, BTreeSet};

use super::Attributes;
use crate::iso8583::import::model::{Charset, Class, Coding, Inside, Item, LengthCoding};

/// How a packager takes a field apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Not here: why was said.
    Whole,
    /// Parts by number; those that a bitmap announces, if there is one.
    Numbered {
        style: Style,
        /// The number of the field that is the bitmap, unless there shall be none.
        bitmap: Option<u16>,
        /// The first part, where the file says.
        first: Option<u16>,
    },
    /// BER-TLV elements, written so.
    BerTlv(Coding),
    /// Tags of so many decimal digits, which are the parts' numbers.
    Tagged(u8),
    /// The same, of two digits, before or behind the length as the parts' class says.
    Euro,
}

/// Packagers that number parts, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Writes part 0 before all others.
    Message,
    /// Begins with the first part.
    SubField,
    /// Has a bitmap if part 0 is one.
    Base1,
}

impl Plan {
    /// Whether what stands inside matters: what chip data is made of is known without it.
    pub(super) const fn looks_inside(self) -> bool {
        match self {
            Self::Whole | Self::BerTlv(_) => false,
            Self::Numbered { .. } | Self::Tagged(_) | Self::Euro => true,
        }
    }

    /// What the attributes of an `isofieldpackager` say, or why it cannot be carried over.
    pub(super) fn of(attributes: &Attributes) -> Result<Self, String> {
        let number = |text: &Option<String>| text.as_deref()?.trim().parse().ok();
        let named = number(&attributes.bitmap_field).unwrap_or(1);
        let has_bitmap = attributes.emit_bitmap.as_deref() != Some("false");
        let numbered = |style| Self::Numbered {
            style,
            bitmap: has_bitmap.then_some(named),
            first: number(&attributes.first_field),
        };
        match super::bare_class(&attributes.packager) {
            "GenericPackager" => Ok(numbered(Style::Message)),
            "GenericSubFieldPackager" => Ok(numbered(Style::SubField)),
            "Base1SubFieldPackager" => Ok(Self::Numbered {
                style: Style::Base1,
                bitmap: Some(0),
                first: None,
            }),
            "BERTLVBinaryPackager" => Ok(Self::BerTlv(Coding::Raw)),
            "BERTLVAsciiHexPackager" => Ok(Self::BerTlv(Coding::Hex(Charset::Ascii))),
            "BERTLVEbcdicHexPackager" => Ok(Self::BerTlv(Coding::Hex(Charset::Ebcdic))),
            "GenericTaggedFieldsPackager" => match super::bare_class(&attributes.tag_mapper) {
                "TTDecimalTagMapper" => Ok(Self::Tagged(2)),
                "TTTDecimalTagMapper" => Ok(Self::Tagged(3)),
                "" => Err("it has no tagMapper".to_owned()),
                other => Err(format!(
                    "its tags are mapped by {other}, which is not known here"
                )),
            },
            "EuroSubFieldPackager" => Ok(Self::Euro),
            "" => Err("it has no packager".to_owned()),
            other => Err(format!("the packager {other} is not known here")),
        }
    }
}

/// A bitmap among the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bitmap {
    coding: Coding,
    /// Most bytes of it.
    bytes: u16,
}

impl Bitmap {
    /// The bitmap of a class, if it is one.
    pub(super) fn of(class: &str, length: Option<u16>) -> Option<Self> {
        let coding = match class {
            "IFB_BITMAP" => Coding::Raw,
            "IFA_BITMAP" | "IFHex_BITMAP" => Coding::Hex(Charset::Ascii),
            "IFE_BITMAP" => Coding::Hex(Charset::Ebcdic),
            _ => return None,
        };
        let bytes = length.unwrap_or(16);
        Some(Self { coding, bytes })
    }

    /// Bytes of it on the wire, when that is always the same number: one of eight or more grows with the parts.
    fn fixed_bytes(self, parts: &BTreeMap<u16, Item>) -> Option<u16> {
        match self.bytes {
            0 => None,
            1..=8 => Some(self.bytes),
            // Its first bit says that there are eight more.
            _ => parts
                .keys()
                .all(|part| (2..=64).contains(part))
                .then_some(8),
        }
    }
}

/// The tag that a part's class writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TagPlace {
    /// Its characters.
    digits: u8,
    /// Whether the length stands before it, and counts it.
    length_first: bool,
}

/// What was read of a field's parts.
pub(super) struct Inner {
    pub(super) plan: Plan,
    pub(super) parts: BTreeMap<u16, Item>,
    pub(super) bitmaps: BTreeMap<u16, Bitmap>,
    /// Each part's tag.
    pub(super) tags: BTreeMap<u16, TagPlace>,
    /// Parts that are left out, though something of them is written.
    pub(super) lost: BTreeSet<u16>,
    /// Whether one of them has no number: any place could be its own.
    pub(super) nameless: bool,
    /// In which line each number stands.
    pub(super) seen: BTreeMap<u16, usize>,
}

impl Inner {
    pub(super) const fn new(plan: Plan) -> Self {
        Self {
            plan,
            parts: BTreeMap::new(),
            bitmaps: BTreeMap::new(),
            tags: BTreeMap::new(),
            lost: BTreeSet::new(),
            nameless: false,
            seen: BTreeMap::new(),
        }
    }

    /// Puts the parts into their field. Gives those that are never written, or why none can be carried over.
    pub(super) fn finish(self, item: &mut Item) -> Result<Vec<u16>, String> {
        match self.plan {
            Plan::Whole => Ok(Vec::new()),
            _ if self.nameless => Err("one of them has no number".to_owned()),
            Plan::BerTlv(coding) => {
                elements(coding, item);
                Ok(Vec::new())
            }
            Plan::Tagged(digits) => self.tagged(digits, item),
            Plan::Euro => self.euro(item),
            Plan::Numbered {
                style,
                bitmap,
                first,
            } => self.numbered(style, bitmap, first, item),
        }
    }

    /// Forgets a part, since its number comes again.
    pub(super) fn forget(&mut self, number: u16) {
        self.parts.remove(&number);
        self.bitmaps.remove(&number);
        self.tags.remove(&number);
        self.lost.remove(&number);
    }

    fn euro(self, item: &mut Item) -> Result<Vec<u16>, String> {
        if self.parts.contains_key(&0) || self.lost.contains(&0) {
            return Err("something stands before its tags".to_owned());
        }
        self.tagged(EURO_DIGITS, item)
    }

    fn tagged(self, digits: u8, item: &mut Item) -> Result<Vec<u16>, String> {
        if self.tags.values().any(|tag| tag.digits != digits) {
            return Err(format!("their tags do not all have {digits} characters"));
        }
        let mut places: Vec<_> = self.tags.values().map(|tag| tag.length_first).collect();
        places.dedup();
        if places.len() > 1 {
            return Err("some lengths stand before the tags, some behind".to_owned());
        }
        if !self.parts.values().all(Item::counts_bytes) {
            return Err(
                "the lengths behind their tags count something else than characters".to_owned(),
            );
        }
        let mut lengths: Vec<_> = self.parts.values().map(|part| part.form.length).collect();
        lengths.dedup();
        let length = match lengths.as_slice() {
            [] => return Ok(Vec::new()),
            [Some(length)] if length.coding == LengthCoding::Ascii => *length,
            _ => return Err("the lengths behind their tags are of different kinds".to_owned()),
        };
        let width = usize::from(digits);
        let keyed = self.parts.into_iter();
        item.inside = Inside::Tagged {
            tag: digits,
            length,
            length_first: places.contains(&true),
            items: keyed
                .map(|(number, part)| (format!("{number:0width$}"), part))
                .collect(),
        };
        Ok(Vec::new())
    }

    fn numbered(
        mut self,
        style: Style,
        bitmap: Option<u16>,
        first: Option<u16>,
        item: &mut Item,
    ) -> Result<Vec<u16>, String> {
        let found = bitmap.and_then(|number| self.bitmaps.get(&number).copied());
        if style == Style::Message && bitmap.is_some() && found.is_none() {
            return Err("it has a bitmap that none of its fields is".to_owned());
        }
        let usual = match style {
            Style::Base1 => u16::from(found.is_some()),
            Style::Message | Style::SubField if self.bitmaps.contains_key(&1) => 2,
            Style::Message | Style::SubField => u16::from(self.parts.keys().any(|part| *part > 0)),
        };
        let first = first.unwrap_or(usual);
        let leads = style == Style::Message && self.parts.contains_key(&0);
        if leads && found.is_some() {
            return Err("something stands before its bitmap".to_owned());
        }
        let mut left_out = Vec::new();
        let mut keep = |part: u16, written: bool| {
            if !written {
                left_out.push(part);
            }
            written
        };
        self.parts
            .retain(|part, _| keep(*part, *part >= first || leads && *part == 0));
        let Some(bitmap) = found else {
            if let Some(lost) = self.lost.iter().find(|part| **part >= first || leads) {
                return Err(format!(
                    "where part {lost} ends is not known, and others follow it"
                ));
            }
            if !self.parts.is_empty() {
                item.inside = Inside::Positional(self.parts);
            }
            return Ok(left_out);
        };
        let hex = match bitmap.coding {
            Coding::Hex(Charset::Ascii) => true,
            Coding::Raw => false,
            Coding::Hex(Charset::Ebcdic) | Coding::Characters(_) | Coding::Packed(_) => {
                return Err("its bitmap is in EBCDIC".to_owned());
            }
        };
        let Some(bytes) = bitmap.fixed_bytes(&self.parts) else {
            return Err("its bitmap grows with its first bit".to_owned());
        };
        let reached = 1..=bytes.saturating_mul(8);
        self.parts
            .retain(|part, _| keep(*part, reached.contains(part)));
        if !self.parts.is_empty() {
            let parts = self.parts;
            item.inside = Inside::Mapped { bytes, hex, parts };
        }
        Ok(left_out)
    }
}

/// A field of BER-TLV elements: bytes, or hexadecimal digits of them, which its length counts.
fn elements(coding: Coding, item: &mut Item) {
    item.inside = Inside::BerTlv(BTreeMap::new());
    if let Coding::Hex(_) = coding {
        item.form.class = Class::Binary;
        item.form.coding = coding;
        item.form.max /= 2;
        if let Some(length) = &mut item.form.length {
            length.counts_wire = true;
        }
    }
}

/// Digits of a tag in Europay's elements, and so in Mastercard's.
const EURO_DIGITS: u8 = 2;

/// The tag among what a class writes, and the class without it: Europay's have the length first, Mastercard's the tag.
pub(super) fn euro_class(class: &str) -> (TagPlace, String) {
    let (digits, length_first, bare) = match class {
        "IFEP_LLCHAR" => (EURO_DIGITS, true, "IFA_LLCHAR"),
        "IFMC_LLCHAR" => (EURO_DIGITS, false, "IFA_LLCHAR"),
        other => (0, false, other),
    };
    let place = TagPlace {
        digits,
        length_first,
    };
    (place, bare.to_owned())
}

/// The tag in front of what a class writes, and that class: `IFA_TTLLCHAR` is two characters and `IFA_LLCHAR`.
pub(super) fn tagged_class(class: &str) -> (TagPlace, String) {
    let none = TagPlace::default();
    let Some(rest) = class.strip_prefix("IFA_") else {
        return (none, class.to_owned());
    };
    let bare = rest.trim_start_matches('T');
    let tag = rest.len().saturating_sub(bare.len());
    match u8::try_from(tag) {
        Ok(digits) if digits > 0 => {
            let place = TagPlace { digits, ..none };
            (place, format!("IFA_{bare}"))
        }
        Ok(_) | Err(_) => (none, class.to_owned()),
    }
}
