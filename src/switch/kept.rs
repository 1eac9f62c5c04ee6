//! What of a message the store may keep (invariant 10): an allow-list of fields, and of those only what nobody
//! else may not see.
//!
//! | in a field that everybody may see | becomes of it |
//! |---|---|
//! | a part that is secret, or chip data | is left out; the field too, when its parts cannot be told apart |
//! | a part that is masked, or what looks like a card number | the field is sealed with the data key |
//! | how a message names its original | stays to be read, also when the field is sealed |
//!
//! What looks like a card number may be none: a batch and a trace number in a row have its length, and one row
//! of digits in ten its check digit. So nothing is masked here, which could not be undone: what is sealed
//! comes back as it was when a reversal or a repeat is written.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::base::card;
use crate::base::note;
use crate::base::{Pan, TxnId};
use crate::iso8583::emv;
use crate::iso8583::{
    Dialect, Exposure, Field, FieldSet, FieldType, Item, ItemValue, Layout, LayoutForm, Message,
    OriginalRoles, SubField, Tag,
};
use crate::security::{DataKeys, KeyError};
use crate::store::projection::{self, SEALED_ELEMENTS, kept_element, kept_elements};

/// Digits of the shortest card number.
const DIGITS_MIN: usize = 13;

/// Bytes into which they go, two a byte.
const PACKED_MIN: usize = 7;

/// What is kept of a message, as lists of elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// What may be stored as it is.
    pub(super) open: Vec<u8>,
    /// Fields with what may be a card number, whole but for their secret parts. Stored sealed only.
    cards: Zeroizing<Vec<u8>>,
}

impl Kept {
    /// All of it, for a message that is written from it. In memory only.
    pub(super) fn in_clear(self) -> Vec<u8> {
        if self.cards.is_empty() {
            return self.open;
        }
        // The first of a number is the one that is found.
        let mut all = self.cards.to_vec();
        all.extend_from_slice(&self.open);
        all
    }

    /// All of it, for the disk.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub(super) fn sealed(self, keys: &DataKeys, txn: TxnId) -> Result<Vec<u8>, KeyError> {
        let mut stored = self.open;
        if !self.cards.is_empty() {
            let sealed = keys.seal_elements(&self.cards, txn)?;
            projection::keep_element(&mut stored, SEALED_ELEMENTS, &sealed);
        }
        Ok(stored)
    }
}

/// What [`Kept::sealed`] made, for a message that is written from it. `None` when what is sealed cannot be
/// opened.
pub(super) fn opened(stored: &[u8], keys: &DataKeys, txn: TxnId) -> Option<Vec<u8>> {
    let Some(sealed) = kept_element(stored, SEALED_ELEMENTS) else {
        return Some(stored.to_vec());
    };
    let mut all = keys.open_elements(sealed, txn)?.to_vec();
    for (de, element) in kept_elements(stored).filter(|(de, _)| *de != SEALED_ELEMENTS) {
        projection::keep_element(&mut all, de, element);
    }
    Some(all)
}

/// What may be kept of these fields. The card number itself is sealed apart; tracks, PIN blocks and chip data
/// are not among those that everybody may see.
pub(super) fn kept(message: &Message<'_>, fields: FieldSet) -> Kept {
    let mut out = Kept {
        open: Vec::with_capacity(128),
        ..Kept::default()
    };
    let dialect = message.dialect();
    let wanted = fields.intersection(dialect.open_fields());
    for de in message.fields().intersection(wanted).iter() {
        let Some(field) = dialect.field(de) else {
            continue;
        };
        let layout = dialect.layout(de).filter(|layout| hides(layout));
        if layout.is_none() && !may_hold_card(message, field) {
            if let Some(element) = message.kept(de) {
                projection::keep_element(&mut out.open, de, &element);
            }
            continue;
        }
        field_apart(message, field, layout, &mut out);
    }
    out
}

/// A field that may hold what must not be stored.
fn field_apart(message: &Message<'_>, field: &Field, layout: Option<&Layout>, out: &mut Kept) {
    let (dialect, de) = (message.dialect(), field.number);
    let Some(value) = message.value(de) else {
        return;
    };
    let mut value = Zeroizing::new(value.into_owned());
    let mut card = false;
    if let Some(layout) = layout {
        let Ok(mut parts) = layout.read(&value) else {
            // What cannot be taken apart may be anything.
            return;
        };
        let told = strip(layout, &mut parts);
        if told.removed {
            match layout.write(&parts) {
                Ok(rest) if !rest.is_empty() => value = Zeroizing::new(rest),
                Ok(_) | Err(_) => return,
            }
        }
        card = told.card;
    }
    let reference = Reference::of(dialect, de, &value);
    if !card && !holds_card(message, field, &value, &reference) {
        if let Some(element) = dialect.kept_of(de, &value) {
            projection::keep_element(&mut out.open, de, &element);
        }
        return;
    }
    if let Some(element) = dialect.kept_of(de, &value) {
        projection::keep_element(&mut out.cards, de, &element);
    }
    if let Some(named) = reference.alone(&value)
        && let Some(element) = dialect.kept_of(de, &named)
    {
        projection::keep_element(&mut out.open, de, &element);
    }
}

/// What was found among parts.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Something was taken out.
    removed: bool,
    /// Something is a card number.
    card: bool,
}

/// Takes out of a value's parts what nobody may see.
fn strip(layout: &Layout, parts: &mut Vec<Item>) -> Told {
    let mut told = Told::default();
    let in_place = match layout.form {
        LayoutForm::Positional => true,
        LayoutForm::BerTlv
        | LayoutForm::Tlv(..)
        | LayoutForm::Ltv { .. }
        | LayoutForm::Bitmap { .. }
        | LayoutForm::Repeat { .. } => false,
    };
    parts.retain_mut(|part| {
        let rule = layout.rule(&part.tag);
        match exposure_of(layout, &part.tag) {
            Exposure::Secret | Exposure::Chip => {
                told.removed = true;
                // What follows in the row has to stay where it is.
                let kind = rule.map_or(FieldType::Binary, |rule| rule.kind);
                if in_place {
                    blank(part, kind);
                }
                return in_place;
            }
            Exposure::Masked => told.card = true,
            Exposure::Open => {}
        }
        if let ItemValue::Parts(inner) = &mut part.value {
            let of_group = layout.group.as_deref();
            let of_part = rule.and_then(|rule| rule.layout.as_ref());
            let below = strip(of_part.or(of_group).unwrap_or(layout), inner);
            told.removed |= below.removed;
            told.card |= below.card;
        }
        true
    });
    told
}

/// Who may see a part: what nobody may see of a chip stays hidden, whatever a dialect says.
fn exposure_of(layout: &Layout, tag: &Tag) -> Exposure {
    let own = layout
        .rule(tag)
        .map_or(Exposure::Open, |rule| rule.exposure);
    if layout.form != LayoutForm::BerTlv {
        return own;
    }
    let number = u32::from_str_radix(tag.as_str(), 16).ok();
    match number.and_then(emv::tag).map(|known| known.exposure) {
        Some(Exposure::Secret) => Exposure::Secret,
        Some(Exposure::Masked) if own == Exposure::Open => Exposure::Masked,
        Some(Exposure::Open | Exposure::Masked | Exposure::Chip) | None => own,
    }
}

/// Whether a part of the layout may be hidden.
fn hides(layout: &Layout) -> bool {
    let inner = layout
        .rules
        .iter()
        .any(|rule| rule.exposure != Exposure::Open || rule.layout.as_ref().is_some_and(hides));
    layout.form == LayoutForm::BerTlv || inner || layout.group.as_deref().is_some_and(hides)
}

/// Fills a part with as much of nothing.
fn blank(part: &mut Item, kind: FieldType) {
    let filler = match kind {
        FieldType::Numeric | FieldType::Track => b'0',
        FieldType::Alphanumeric | FieldType::Text => b' ',
        FieldType::Binary => 0,
    };
    match &mut part.value {
        ItemValue::Value(value) => value.fill(filler),
        ItemValue::Parts(parts) => parts.iter_mut().for_each(|inner| blank(inner, kind)),
    }
}

/// Whether a field is long enough, and is not one that the gateway itself has compared or counted.
fn may_hold_card(message: &Message<'_>, field: &Field) -> bool {
    let roles = message.dialect().roles();
    let known = [
        roles.terminal,
        roles.merchant,
        roles.rrn,
        roles.response_code,
    ];
    let units = message.length(field.number).unwrap_or(0);
    let enough = match field.kind {
        FieldType::Numeric | FieldType::Track => DIGITS_MIN,
        FieldType::Alphanumeric | FieldType::Text | FieldType::Binary => PACKED_MIN,
    };
    units >= enough && !known.contains(&field.number)
}

/// Whether a value may hold a card number: the transaction's own, in whatever form, or digits that end in the
/// check digit of one.
fn holds_card(message: &Message<'_>, field: &Field, value: &[u8], reference: &Reference) -> bool {
    let packed = match field.kind {
        FieldType::Numeric | FieldType::Track => Vec::new(),
        FieldType::Alphanumeric | FieldType::Text | FieldType::Binary => nibbles(value),
    };
    let packed = Zeroizing::new(packed);
    if message.pan().is_some_and(|pan| holds(value, &packed, &pan)) {
        return true;
    }
    match field.kind {
        FieldType::Numeric | FieldType::Track => {
            in_digits(value, |from, to| !reference.explains(from, to))
        }
        FieldType::Alphanumeric | FieldType::Text => {
            in_digits(value, |_, _| true)
                || note::holds_card_number(&String::from_utf8_lossy(value))
                // Letters are digits too when they are taken apart; a packed number has other bytes.
                || in_packed(value, &packed, |byte| !(b' '..=b'~').contains(byte))
        }
        FieldType::Binary => {
            in_digits(value, |_, _| true)
                || in_packed(value, &packed, |byte| !byte.is_ascii_digit())
        }
    }
}

fn holds(value: &[u8], packed: &[u8], pan: &Pan) -> bool {
    let digits = pan.expose();
    digits.len() >= DIGITS_MIN
        && [value, packed]
            .iter()
            .any(|all| all.windows(digits.len()).any(|window| window == digits))
}

/// Whether digits in it end in a check digit, at a place that counts.
fn in_digits(characters: &[u8], counts: impl Fn(usize, usize) -> bool) -> bool {
    let digit = |at: usize| characters.get(at).is_some_and(u8::is_ascii_digit);
    let mut run = 0_usize;
    for at in 0..characters.len() {
        run = if digit(at) { run.saturating_add(1) } else { 0 };
        let end = at.saturating_add(1);
        for len in DIGITS_MIN..=run.min(Pan::MAX) {
            let from = end.saturating_sub(len);
            let Some(window) = characters.get(from..end) else {
                continue;
            };
            // No card number begins with zero.
            if window.first() != Some(&b'0') && card::luhn(window) && counts(from, end) {
                return true;
            }
        }
    }
    false
}

/// The same two digits a byte, where at least one byte is of a kind that counts.
fn in_packed(value: &[u8], nibbles: &[u8], counts: impl Fn(&u8) -> bool) -> bool {
    value.iter().any(&counts)
        && in_digits(nibbles, |from, to| {
            let bytes = value.get(from / 2..to.div_ceil(2)).unwrap_or_default();
            bytes.iter().any(&counts)
        })
}

/// Each half of a byte as a character; what is no digit is none.
fn nibbles(value: &[u8]) -> Vec<u8> {
    let character = |nibble: u8| if nibble < 10 { b'0' | nibble } else { b' ' };
    let halves = value.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
    halves.map(character).collect()
}

/// Which digits of a field say what it is part of: its batch, and its original.
#[derive(Debug, Default)]
struct Reference {
    /// Digits that the gateway has compared: no card number lies across them.
    compared: Vec<(usize, usize)>,
    /// Digits that name an original, in a row.
    named: Vec<(usize, usize)>,
}

impl Reference {
    fn of(dialect: &Dialect, de: u8, value: &[u8]) -> Self {
        let roles = dialect.roles();
        let here = |part: &Option<SubField>| {
            let part = part.filter(|part| part.field == de && part.count != SubField::WHOLE)?;
            let from = usize::from(part.from);
            let to = from.checked_add(part.count.into())?;
            (to <= value.len()).then_some((from, to))
        };
        let compared: Vec<_> = [roles.batch, roles.management]
            .iter()
            .filter_map(here)
            .collect();
        let mut named = Vec::new();
        for OriginalRoles {
            mti,
            batch,
            stan,
            date,
            // Fields of their own, looked at as any other.
            rrn: _,
            approval_code: _,
        } in [roles.original, roles.reversed]
        {
            named.extend([batch, stan].iter().filter_map(here));
            // The version of a message type; card numbers begin with other digits.
            let typed = |(from, _): &(usize, usize)| {
                value
                    .get(*from)
                    .is_some_and(|first| (b'0'..=b'2').contains(first))
            };
            named.extend(here(&mti).filter(typed));
            // What is no date was meant as something else.
            let read = |(from, to): &(usize, usize)| value.get(*from..*to).is_some_and(is_date);
            named.extend(here(&date).filter(read));
        }
        named.sort_unstable();
        named.dedup();
        Self { compared, named }
    }

    /// Whether digits there are something else than a card number.
    fn explains(&self, from: usize, to: usize) -> bool {
        let overlaps = |&(first, end): &(usize, usize)| from < end && first < to;
        let mut reached = from;
        for &(first, end) in &self.named {
            if first <= reached {
                reached = reached.max(end);
            }
        }
        self.compared.iter().any(overlaps) || reached >= to
    }

    /// The value with all but these digits zero; `None` when there are none.
    fn alone(&self, value: &[u8]) -> Option<Vec<u8>> {
        if self.named.is_empty() && self.compared.is_empty() {
            return None;
        }
        let known = |at: usize| {
            let mut all = self.named.iter().chain(&self.compared);
            all.any(|&(from, to)| (from..to).contains(&at))
        };
        let digits = value.iter().enumerate();
        Some(
            digits
                .map(|(at, digit)| if known(at) { *digit } else { b'0' })
                .collect(),
        )
    }
}

/// `MMDD` or `MMDDhhmmss`, or zeros for a date that is not given.
fn is_date(digits: &[u8]) -> bool {
    let two = |at: usize| {
        let pair = digits.get(at..at.checked_add(2)?)?;
        str::from_utf8(pair).ok()?.parse::<u8>().ok()
    };
    let within = |at: usize, first: u8, last: u8| {
        at >= digits.len() || two(at).is_some_and(|number| (first..=last).contains(&number))
    };
    digits.iter().all(|digit| *digit == b'0')
        || (within(0, 1, 12)
            && within(2, 1, 31)
            && within(4, 0, 23)
            && within(6, 0, 59)
            && within(8, 0, 59))
}

/// What a request's intent keeps of it: the fields that its reversal or its repeat copies, as the upstream
/// sees them.
pub(super) fn kept_for_later(
    message: &Message<'_>,
    frame: &Bytes,
    copies: FieldSet,
    rewritten: bool,
) -> Kept {
    let mut index = crate::iso8583::Index::new();
    if rewritten && let Some(sent) = super::remake::message_of(message.dialect(), frame, &mut index)
    {
        return kept(&sent, copies);
    }
    kept(message, copies)
}

#[cfg(test)]
mod tests;
