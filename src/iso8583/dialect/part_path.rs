//! A part of a part of a field, by its tags: `59.A2.02`.

use std::collections::BTreeMap;

use crate::iso8583::message::Message;
use crate::iso8583::subfield::{Layout, Part, Parts, Tag};

/// A field, and in it a part of a part, as `[subfields]` defines them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartPath {
    field: u8,
    path: Vec<Tag>,
}

impl PartPath {
    /// `None` when a layout does not define it.
    pub(super) fn parse(text: &str, layouts: &BTreeMap<u8, Layout>) -> Option<Self> {
        let (field, parts) = text.split_once('.')?;
        let field = field.parse().ok()?;
        let mut layout = layouts.get(&field);
        let mut path = Vec::new();
        for name in parts.split('.') {
            let tag = Tag::parse(name)?;
            layout = layout?.rule(&tag)?.layout.as_ref();
            path.push(tag);
        }
        Some(Self { field, path })
    }

    /// Hands its value to `read`. `None` when the message has none, or the field breaks its layout.
    pub(super) fn read<R>(
        &self,
        message: &Message<'_>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let value = message.value(self.field)?;
        let layout = message.dialect().layout(self.field)?;
        let (first, rest) = self.path.split_first()?;
        let mut part = find(layout.parts(&value), first)?;
        for tag in rest {
            part = find(part.parts()?, tag)?;
        }
        Some(read(&part.value()))
    }
}

fn find<'d, 'v>(parts: Parts<'d, 'v>, tag: &Tag) -> Option<Part<'d, 'v>> {
    parts.map_while(Result::ok).find(|part| part.tag() == *tag)
}
