//! Reading: one part after the other.

use std::borrow::Cow;
use std::fmt;

use nom::bytes::complete::take;

use super::{Extent, Layout, LayoutForm, LengthForm, PartError, PartRule, Tag, TagForm};
use crate::base::limits;
use crate::iso8583::check;
use crate::iso8583::dialect::{FieldSpec, Kind, Pad, Prefix};
use crate::iso8583::form;
use crate::iso8583::parsers::{Cut, Length, Parsed, cause, length};

/// Parts of which nothing is known are bytes.
static PLAIN: FieldSpec = FieldSpec::new(Kind::Bytes, Prefix::Fixed, Pad::Right, u16::MAX);

/// One part of a value. `Debug` shows where it lies, never what it holds.
#[derive(Clone, Copy)]
pub struct Part<'d, 'v> {
    tag: Tag,
    rule: Option<&'d PartRule>,
    layout: Option<&'d Layout>,
    content: &'v [u8],
    units: u16,
    offset: usize,
    depth: usize,
}

impl<'d, 'v> Part<'d, 'v> {
    /// Its name in the layout.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// What the dialect says of it.
    #[must_use]
    pub const fn rule(&self) -> Option<&'d PartRule> {
        self.rule
    }

    /// Its content as it lies in the field, without tag and length.
    #[must_use]
    pub const fn content(&self) -> &'v [u8] {
        self.content
    }

    /// Where its content begins in the field's value.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Its value: digits in ASCII, text, or raw bytes. Bytes when nothing is known of it.
    #[must_use]
    pub fn value(&self) -> Cow<'v, [u8]> {
        match self.rule {
            None => self.content.into(),
            Some(rule) => match rule.extent {
                Extent::Own => form::value(&rule.spec, self.units, self.content),
                Extent::Rest | Extent::Told => form::open_value(&rule.spec, self.content),
            },
        }
    }

    /// The parts that it has itself: those of its own layout, or of a BER-TLV tag that says so.
    #[must_use]
    pub fn parts(&self) -> Option<Parts<'d, 'v>> {
        let layout = self.layout?;
        Some(Parts::new(
            layout,
            self.content,
            self.offset,
            self.depth.saturating_add(1),
        ))
    }
}

impl fmt::Debug for Part<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("tag", &self.tag)
            .field("offset", &self.offset)
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// Iterates over the parts of a value. After an error there is nothing more.
pub struct Parts<'d, 'v> {
    layout: &'d Layout,
    rest: &'v [u8],
    /// Where the value ends, counted from the beginning of the field's value.
    end: usize,
    depth: usize,
    /// Parts given so far.
    given: usize,
    /// Parts of a positional layout that were left out so far.
    left_out: usize,
    /// Bits of a bitmap not yet given, the first part highest; `None` before it is read.
    bits: Option<u128>,
    /// Groups that are announced and not yet given.
    groups: Option<usize>,
    over: bool,
}

impl fmt::Debug for Parts<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("form", &self.layout.form)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Layout {
    /// Walks over a value, as [`Message::value`](crate::iso8583::Message::value) gives it.
    #[must_use]
    pub fn parts<'d, 'v>(&'d self, value: &'v [u8]) -> Parts<'d, 'v> {
        Parts::new(self, value, 0, 0)
    }
}

impl<'d, 'v> Iterator for Parts<'d, 'v> {
    type Item = Result<Part<'d, 'v>, PartError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let found = self.step();
        self.over = !matches!(found, Ok(Some(_)));
        self.given = self.given.saturating_add(1);
        found.transpose()
    }
}

impl<'d, 'v> Parts<'d, 'v> {
    const fn new(layout: &'d Layout, value: &'v [u8], offset: usize, depth: usize) -> Self {
        Self {
            layout,
            rest: value,
            end: offset.saturating_add(value.len()),
            depth,
            given: 0,
            left_out: 0,
            bits: None,
            groups: None,
            over: false,
        }
    }

    /// Where `rest`, a tail of the value, begins.
    const fn offset(&self, rest: &[u8]) -> usize {
        self.end.saturating_sub(rest.len())
    }

    fn step(&mut self) -> Result<Option<Part<'d, 'v>>, PartError> {
        let offset = self.offset(self.rest);
        if self.depth > limits::SUBFIELD_DEPTH_MAX {
            let max = limits::SUBFIELD_DEPTH_MAX;
            return Err(PartError::TooDeep { offset, max });
        }
        if self.given >= limits::SUBFIELDS_MAX && !self.rest.is_empty() {
            let max = limits::SUBFIELDS_MAX;
            return Err(PartError::TooMany { offset, max });
        }
        match self.layout.form {
            LayoutForm::Positional => self.positional(),
            LayoutForm::BerTlv => self.ber(),
            LayoutForm::Tlv(tag, length) => self.tagged(tag, length),
            LayoutForm::Ltv {
                length,
                tag,
                counts_tag,
            } => self.length_first(length, tag, counts_tag),
            LayoutForm::Bitmap { bytes, hex } => self.mapped(bytes, hex),
            LayoutForm::Repeat { count } => self.repeated(count),
        }
    }

    fn positional(&mut self) -> Result<Option<Part<'d, 'v>>, PartError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.given.saturating_add(self.left_out);
        let rules = self.layout.rules.get(at..).unwrap_or_default();
        let Some(skipped) = rules.iter().position(|rule| rule.presence.holds(self.rest)) else {
            return Err(self.left_over());
        };
        self.left_out = self.left_out.saturating_add(skipped);
        rules.get(skipped).map(|rule| self.own(rule)).transpose()
    }

    const fn left_over(&self) -> PartError {
        PartError::LeftOver {
            offset: self.offset(self.rest),
            bytes: self.rest.len(),
        }
    }

    /// A part whose end comes from itself or the end of the whole.
    fn own(&mut self, rule: &'d PartRule) -> Result<Part<'d, 'v>, PartError> {
        let (rest, part) = self.measured(rule, self.rest)?;
        self.rest = rest;
        Ok(part)
    }

    fn measured(
        &self,
        rule: &'d PartRule,
        input: &'v [u8],
    ) -> Result<(&'v [u8], Part<'d, 'v>), PartError> {
        let at = self.offset(input);
        if rule.extent == Extent::Rest {
            return Ok((&[], self.told(rule.tag, Some(rule), input, at)?));
        }
        let spec = &rule.spec;
        let (content, Length { units, bytes }) =
            length(spec, input).map_err(|e| match cause(&e) {
                Cut::Short | Cut::Character => PartError::Length { offset: at },
                Cut::TooLong(declared) => PartError::TooLong {
                    offset: at,
                    declared: declared.into(),
                    max: spec.max.into(),
                },
            })?;
        let offset = self.offset(content);
        let (rest, content) = split(content, bytes.into(), offset)?;
        if !check::allows(spec, units, content, content.len()) {
            return Err(PartError::Character { offset });
        }
        let part = Part {
            tag: rule.tag,
            rule: Some(rule),
            layout: rule.layout.as_ref(),
            content,
            units,
            offset,
            depth: self.depth,
        };
        Ok((rest, part))
    }

    /// A part of which the layout has told the end.
    fn told(
        &self,
        tag: Tag,
        rule: Option<&'d PartRule>,
        content: &'v [u8],
        offset: usize,
    ) -> Result<Part<'d, 'v>, PartError> {
        let spec = rule.map_or(&PLAIN, |rule| &rule.spec);
        let units = u16::try_from(content.len()).unwrap_or(u16::MAX);
        let value = form::open_value(spec, content);
        if value.len() > spec.max.into() {
            return Err(PartError::TooLong {
                offset,
                declared: value.len(),
                max: spec.max.into(),
            });
        }
        let hex = |byte: &u8| byte.is_ascii_hexdigit();
        let sound = match spec.kind {
            Kind::Hex => content.len().is_multiple_of(2) && content.iter().all(hex),
            kind => value.iter().all(|character| form::allows(kind, *character)),
        };
        if !sound {
            return Err(PartError::Character { offset });
        }
        Ok(Part {
            tag,
            rule,
            layout: rule.and_then(|rule| rule.layout.as_ref()),
            content,
            units,
            offset,
            depth: self.depth,
        })
    }

    fn ber(&mut self) -> Result<Option<Part<'d, 'v>>, PartError> {
        // Zeros between elements are filling (EMV Book 3, annex B).
        while let Some((0, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset(self.rest);
        let (rest, tag) = ber_tag(self.rest).map_err(|_cut| PartError::Tag { offset })?;
        let constructed = tag.first().is_some_and(|first| first & 0x20 != 0);
        let tag = Tag::from_bytes(tag).ok_or(PartError::Tag { offset })?;
        let offset = self.offset(rest);
        let (rest, bytes) = ber_length(rest).map_err(|_cut| PartError::Length { offset })?;
        let mut part = self.after_length(tag, rest, bytes)?;
        let primitive = part.rule.is_some_and(|rule| rule.primitive);
        if constructed && part.layout.is_none() && !primitive {
            part.layout = Some(self.layout);
        }
        Ok(Some(part))
    }

    fn tagged(
        &mut self,
        tag: TagForm,
        length: LengthForm,
    ) -> Result<Option<Part<'d, 'v>>, PartError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (rest, tag) = self.tag(tag, self.rest)?;
        let (rest, bytes) = self.length(length, rest)?;
        self.after_length(tag, rest, bytes).map(Some)
    }

    fn length_first(
        &mut self,
        length: LengthForm,
        form: TagForm,
        counts_tag: bool,
    ) -> Result<Option<Part<'d, 'v>>, PartError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset(self.rest);
        let (rest, announced) = self.length(length, self.rest)?;
        let own = if counts_tag { form.bytes } else { 0 };
        let bytes = announced
            .checked_sub(own)
            .ok_or(PartError::Length { offset })?;
        let (rest, tag) = self.tag(form, rest)?;
        self.after_length(tag, rest, bytes).map(Some)
    }

    fn after_length(
        &mut self,
        tag: Tag,
        content: &'v [u8],
        bytes: usize,
    ) -> Result<Part<'d, 'v>, PartError> {
        let offset = self.offset(content);
        let (rest, content) = split(content, bytes, offset)?;
        let part = self.told(tag, self.layout.rule(&tag), content, offset)?;
        self.rest = rest;
        Ok(part)
    }

    fn tag(&self, form: TagForm, input: &'v [u8]) -> Result<(&'v [u8], Tag), PartError> {
        let offset = self.offset(input);
        let unusable = PartError::Tag { offset };
        let (rest, bytes) = take::<_, _, Cut>(form.bytes)(input).map_err(|_short| unusable)?;
        let tag = if form.binary {
            Tag::from_bytes(bytes)
        } else {
            Tag::from_ascii(bytes)
        };
        Ok((rest, tag.ok_or(unusable)?))
    }

    fn length(&self, form: LengthForm, input: &'v [u8]) -> Result<(&'v [u8], usize), PartError> {
        let offset = self.offset(input);
        let unusable = PartError::Length { offset };
        let (rest, digits) = take::<_, _, Cut>(form.bytes)(input).map_err(|_short| unusable)?;
        Ok((rest, form.encoding.read(digits).ok_or(unusable)?))
    }

    fn mapped(&mut self, bytes: usize, hex: bool) -> Result<Option<Part<'d, 'v>>, PartError> {
        let offset = self.offset(self.rest);
        let unusable = PartError::Bitmap { offset };
        let bits = match self.bits {
            Some(bits) => bits,
            None if self.rest.is_empty() => return Ok(None),
            None => {
                let width = if hex { bytes.saturating_mul(2) } else { bytes };
                let (rest, map) = take::<_, _, Cut>(width)(self.rest).map_err(|_short| unusable)?;
                self.rest = rest;
                bits_of(map, hex).ok_or(unusable)?
            }
        };
        let Some(number) = usize::try_from(bits.leading_zeros())
            .ok()
            .filter(|zeros| *zeros < 128)
        else {
            let whole = self.rest.is_empty();
            return if whole {
                Ok(None)
            } else {
                Err(self.left_over())
            };
        };
        // 0 <= number < 128
        self.bits = Some(bits & !(1_u128 << 127_usize.saturating_sub(number)));
        let tag = Tag::number(number.saturating_add(1)).ok_or(unusable)?;
        let rule = self.layout.rule(&tag).ok_or(unusable)?;
        self.own(rule).map(Some)
    }

    fn repeated(&mut self, count: Option<LengthForm>) -> Result<Option<Part<'d, 'v>>, PartError> {
        let left = match (count, self.groups) {
            (None, _) => None,
            (Some(_), Some(left)) => Some(left),
            (Some(_), None) if self.rest.is_empty() => return Ok(None),
            (Some(form), None) => {
                let (rest, count) = self.length(form, self.rest)?;
                self.rest = rest;
                Some(count)
            }
        };
        match left {
            Some(0) if self.rest.is_empty() => return Ok(None),
            Some(0) => return Err(self.left_over()),
            None if self.rest.is_empty() => return Ok(None),
            Some(_) | None => self.groups = left.map(|left| left.saturating_sub(1)),
        }
        let group = self.layout.group.as_deref();
        let mut rest = self.rest;
        for rule in group.map_or(&[][..], |group| &group.rules) {
            (rest, _) = self.measured(rule, rest)?;
        }
        let offset = self.offset(self.rest);
        let bytes = self.rest.len().saturating_sub(rest.len());
        let (_, content) = split(self.rest, bytes, offset)?;
        self.rest = rest;
        let number = self.given.saturating_add(1);
        Ok(Some(Part {
            tag: Tag::number(number).ok_or(PartError::Tag { offset })?,
            rule: None,
            layout: group,
            content,
            units: u16::try_from(content.len()).unwrap_or(u16::MAX),
            offset,
            depth: self.depth,
        }))
    }
}

/// Cuts `bytes` off a value at `offset`.
fn split(input: &[u8], bytes: usize, offset: usize) -> Result<(&[u8], &[u8]), PartError> {
    take::<_, _, Cut>(bytes)(input).map_err(|_short| PartError::Truncated {
        offset,
        declared: bytes,
        remain: input.len(),
    })
}

/// The bits of a bitmap, the first highest.
fn bits_of(map: &[u8], hex: bool) -> Option<u128> {
    let mut bytes = [0; 16];
    if hex {
        if !map.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (slot, pair) in bytes.iter_mut().zip(map.as_chunks().0) {
            *slot = form::byte(*pair);
        }
    } else {
        bytes.get_mut(..map.len())?.copy_from_slice(map);
    }
    Some(u128::from_be_bytes(bytes))
}

/// A tag of one to four bytes (EMV Book 3, annex B1): the first has more when its five low bits are ones, a
/// further one when its high bit is.
pub(super) fn ber_tag(input: &[u8]) -> Parsed<'_, &[u8]> {
    let more = |(at, byte): (usize, &u8)| match at {
        0 => byte & 0x1F == 0x1F,
        1..=2 => byte & 0x80 != 0,
        _ => false,
    };
    let bytes = input
        .iter()
        .enumerate()
        .take_while(|each| more(*each))
        .count();
    let last = input.get(bytes).copied().unwrap_or_default();
    if bytes == 3 && last & 0x80 != 0 {
        return Err(nom::Err::Error(Cut::Character));
    }
    take(bytes.saturating_add(1))(input)
}

/// A length of one to four bytes: below 0x80 itself, else the number of bytes that follow.
fn ber_length(input: &[u8]) -> Parsed<'_, usize> {
    let (rest, first) = take(1_usize)(input)?;
    let first = first.first().copied().unwrap_or_default();
    match first {
        0..=0x7F => Ok((rest, first.into())),
        0x81..=0x83 => {
            let (rest, bytes) = take(first & 0x0F)(rest)?;
            let length = bytes.iter().fold(0_usize, |sum, byte| {
                // Three bytes at most.
                sum.wrapping_mul(256).wrapping_add((*byte).into())
            });
            Ok((rest, length))
        }
        _ => Err(nom::Err::Error(Cut::Character)),
    }
}
