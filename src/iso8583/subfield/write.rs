//! The tree of a value, and writing one.

use std::fmt;

use super::walk::{Part, Parts, ber_tag};
use super::{
    Extent, Layout, LayoutForm, LengthForm, PartError, PartRule, PartWriteError, Presence, Tag,
    TagForm,
};
use crate::base::limits;
use crate::iso8583::form::{self, Misfit};

/// A part with its value, owned. `Debug` shows tags only.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in the layout.
    pub tag: Tag,
    /// What it holds.
    pub value: ItemValue,
}

/// What a part holds.
#[derive(Clone, PartialEq, Eq)]
pub enum ItemValue {
    /// Digits in ASCII, text, or raw bytes.
    Value(Vec<u8>),
    /// Parts of its own.
    Parts(Vec<Item>),
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ItemValue::Value(value) => write!(f, "{} ({} bytes)", self.tag, value.len()),
            ItemValue::Parts(items) => write!(f, "{} {items:?}", self.tag),
        }
    }
}

impl fmt::Debug for ItemValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{} bytes", value.len()),
            Self::Parts(items) => write!(f, "{items:?}"),
        }
    }
}

impl Layout {
    /// All parts of a value.
    ///
    /// # Errors
    /// The first thing that breaks the layout, at whatever depth.
    pub fn read(&self, value: &[u8]) -> Result<Vec<Item>, PartError> {
        tree(self.parts(value))
    }

    /// The value that these parts make up. What [`read`](Self::read) gave, it writes to what reads the same.
    ///
    /// # Errors
    /// The first part that the layout does not have, or that does not fit.
    pub fn write(&self, items: &[Item]) -> Result<Vec<u8>, PartWriteError> {
        let mut out = Vec::new();
        self.put(items, 0, &mut out)?;
        Ok(out)
    }

    fn put(&self, items: &[Item], depth: usize, out: &mut Vec<u8>) -> Result<(), PartWriteError> {
        if let Some(Item { tag, .. }) = items.first()
            && depth > limits::SUBFIELD_DEPTH_MAX
        {
            return Err(PartWriteError::TooDeep { tag: *tag });
        }
        match self.form {
            LayoutForm::Positional => self.put_positional(items, depth, out),
            LayoutForm::Bitmap { bytes, hex } => self.put_mapped(bytes, hex, items, depth, out),
            LayoutForm::Repeat { count } => self.put_groups(count, items, depth, out),
            LayoutForm::BerTlv => items
                .iter()
                .try_for_each(|item| self.put_ber(item, depth, out)),
            LayoutForm::Tlv(tag, length) => items.iter().try_for_each(|item| {
                let content = self.content(item, depth)?;
                out.extend(tag_bytes(tag, item.tag)?);
                put_length(length, content.len(), item.tag, out)?;
                out.extend(content);
                Ok(())
            }),
            LayoutForm::Ltv {
                length,
                tag,
                counts_tag,
            } => items.iter().try_for_each(|item| {
                let content = self.content(item, depth)?;
                let own = if counts_tag { tag.bytes } else { 0 };
                put_length(length, content.len().saturating_add(own), item.tag, out)?;
                out.extend(tag_bytes(tag, item.tag)?);
                out.extend(content);
                Ok(())
            }),
        }
    }

    fn put_positional(
        &self,
        items: &[Item],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PartWriteError> {
        let mut rules = self.rules.iter();
        for item in items {
            let tag = item.tag;
            let mut left_out = None;
            let rule = rules.find(|rule| {
                let here = rule.tag == tag || rule.presence == Presence::Always;
                left_out = left_out.or_else(|| (!here).then_some(rule.presence));
                here
            });
            let rule = rule.ok_or(PartWriteError::Undefined { tag })?;
            if rule.tag != tag {
                return Err(PartWriteError::Order { tag });
            }
            let from = out.len();
            put_own(rule, item, depth, out)?;
            // It would be read as what is left out, or what is left out in its place.
            let written = out.get(from..).unwrap_or_default();
            let taken = left_out.is_some_and(|presence| presence.holds(written));
            if taken || !rule.presence.holds(written) {
                return Err(PartWriteError::Character { tag });
            }
        }
        Ok(())
    }

    fn put_mapped(
        &self,
        bytes: usize,
        hex: bool,
        items: &[Item],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PartWriteError> {
        let mut bits = 0_u128;
        let mut content = Vec::new();
        for item in items {
            let undefined = PartWriteError::Undefined { tag: item.tag };
            let number: u32 = item.tag.as_str().parse().map_err(|_text| undefined)?;
            let bit = 128_u32.checked_sub(number).filter(|bit| *bit < 128);
            let bit = 1_u128.checked_shl(bit.ok_or(undefined)?).ok_or(undefined)?;
            // What was written before has higher bits only.
            if bits != 0 && bits.trailing_zeros() <= bit.trailing_zeros() {
                return Err(PartWriteError::Order { tag: item.tag });
            }
            if usize::try_from(number).map_err(|_wide| undefined)? > bytes.saturating_mul(8) {
                return Err(undefined);
            }
            bits |= bit;
            put_own(
                self.rule(&item.tag).ok_or(undefined)?,
                item,
                depth,
                &mut content,
            )?;
        }
        if items.is_empty() {
            return Ok(());
        }
        for byte in bits.to_be_bytes().iter().take(bytes) {
            if hex {
                out.extend([form::hex(byte >> 4), form::hex(byte & 0x0F)]);
            } else {
                out.push(*byte);
            }
        }
        out.append(&mut content);
        Ok(())
    }

    fn put_groups(
        &self,
        count: Option<LengthForm>,
        items: &[Item],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PartWriteError> {
        let (Some(group), Some(last)) = (&self.group, items.last()) else {
            return Ok(());
        };
        if let Some(form) = count {
            put_length(form, items.len(), last.tag, out)?;
        }
        for (at, item) in items.iter().enumerate() {
            if Tag::number(at.saturating_add(1)) != Some(item.tag) {
                return Err(PartWriteError::Order { tag: item.tag });
            }
            match &item.value {
                // A group is whole: a part that is missing would be taken from the next group.
                ItemValue::Parts(parts) if parts.len() == group.rules.len() => {
                    group.put(parts, depth.saturating_add(1), out)?;
                }
                ItemValue::Parts(_) => return Err(PartWriteError::Length { tag: item.tag }),
                ItemValue::Value(value) => out.extend(value),
            }
        }
        Ok(())
    }

    fn put_ber(&self, item: &Item, depth: usize, out: &mut Vec<u8>) -> Result<(), PartWriteError> {
        let tag = item.tag;
        let undefined = PartWriteError::Undefined { tag };
        let bytes = tag.bytes().ok_or(undefined)?;
        // A tag that begins with zero would be read as filling.
        if bytes.first() == Some(&0) || !ber_tag(&bytes).is_ok_and(|(rest, _)| rest.is_empty()) {
            return Err(undefined);
        }
        let content = self.content(item, depth)?;
        out.extend(bytes);
        let binary = |bytes| LengthForm {
            bytes,
            encoding: crate::iso8583::LengthEncoding::Binary,
        };
        match content.len() {
            0..=0x7F => {}
            0x80..=0xFF => out.push(0x81),
            0x100..=0xFFFF => out.push(0x82),
            _ => return Err(PartWriteError::Length { tag }),
        }
        let width = if content.len() > 0xFF { 2 } else { 1 };
        put_length(binary(width), content.len(), tag, out)?;
        out.extend(content);
        Ok(())
    }

    /// What stands behind tag and length.
    fn content(&self, item: &Item, depth: usize) -> Result<Vec<u8>, PartWriteError> {
        let tag = item.tag;
        let rule = self.rule(&tag);
        let mut content = Vec::new();
        match (&item.value, rule) {
            (ItemValue::Parts(items), rule) => {
                let inner = rule.and_then(|rule| rule.layout.as_ref());
                let template = (self.form == LayoutForm::BerTlv).then_some(self);
                let layout = inner.or(template).ok_or(PartWriteError::NoLayout { tag })?;
                layout.put(items, depth.saturating_add(1), &mut content)?;
            }
            (ItemValue::Value(value), None) => content.extend(value),
            (ItemValue::Value(value), Some(rule)) => {
                if value.len() > rule.spec.max.into() {
                    return Err(PartWriteError::Length { tag });
                }
                form::put_open(&rule.spec, value, &mut content)
                    .map_err(|misfit| unfit(misfit, tag))?;
            }
        }
        Ok(content)
    }
}

fn put_own(
    rule: &PartRule,
    item: &Item,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), PartWriteError> {
    let tag = item.tag;
    let mut inner = Vec::new();
    let value = match (&item.value, &rule.layout) {
        (ItemValue::Value(value), _) => value,
        (ItemValue::Parts(items), Some(layout)) => {
            layout.put(items, depth.saturating_add(1), &mut inner)?;
            &inner
        }
        (ItemValue::Parts(_), None) => return Err(PartWriteError::NoLayout { tag }),
    };
    match rule.extent {
        Extent::Own => form::put(&rule.spec, value, out),
        Extent::Rest | Extent::Told if value.len() > rule.spec.max.into() => Err(Misfit::Length),
        Extent::Rest | Extent::Told => form::put_open(&rule.spec, value, out),
    }
    .map_err(|misfit| unfit(misfit, tag))
}

const fn unfit(misfit: Misfit, tag: Tag) -> PartWriteError {
    match misfit {
        Misfit::Character => PartWriteError::Character { tag },
        Misfit::Length => PartWriteError::Length { tag },
    }
}

/// A tag of fixed width as it stands on the wire.
fn tag_bytes(form: TagForm, tag: Tag) -> Result<Vec<u8>, PartWriteError> {
    let bytes = if form.binary {
        tag.bytes()
    } else {
        Some(tag.ascii().to_vec())
    };
    bytes
        .filter(|bytes| bytes.len() == form.bytes)
        .ok_or(PartWriteError::Undefined { tag })
}

fn put_length(
    form: LengthForm,
    length: usize,
    tag: Tag,
    out: &mut Vec<u8>,
) -> Result<(), PartWriteError> {
    if length > form.encoding.max(form.bytes) {
        return Err(PartWriteError::Length { tag });
    }
    let from = out.len();
    out.resize(from.saturating_add(form.bytes), 0);
    if let Some(slots) = out.get_mut(from..) {
        form.encoding.write(length, slots);
    }
    Ok(())
}

fn tree(parts: Parts<'_, '_>) -> Result<Vec<Item>, PartError> {
    parts.map(|part| item(part?)).collect()
}

fn item(part: Part<'_, '_>) -> Result<Item, PartError> {
    let value = match part.parts() {
        Some(parts) => ItemValue::Parts(tree(parts)?),
        None => ItemValue::Value(part.value().into_owned()),
    };
    let tag = part.tag();
    Ok(Item { tag, value })
}
