//! Fields taken over from a received message.

use super::{FieldValue, Writer};
use crate::iso8583::dialect::{Kind, ThirdBitmap};
use crate::iso8583::error::EncodeError;
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::message::Message;

impl Writer<'_> {
    /// Copies a field from a message, length prefix, padding and all; nothing when the message lacks it.
    /// From another dialect the value is taken over, in this dialect's wire form.
    pub fn copy(&mut self, message: &Message<'_>, de: u8) {
        if !message.has(de) || de == 1 || de == 65 {
            return;
        }
        let same = std::ptr::eq(message.dialect(), self.dialect)
            || message.dialect().spec(de) == self.dialect.spec(de);
        match message.element(de) {
            Some(element) if same => self.element(de, element),
            Some(_) => self.translate(message, de),
            None => {}
        }
    }

    /// Copies all fields of the set that the message has: neighbours in one piece, padding and all, so that the
    /// cost grows with the number of gaps, not of fields.
    pub fn copy_set(&mut self, message: &Message<'_>, fields: FieldSet) {
        let present = message.content_fields();
        let mut left = present.intersection(fields);
        if !self.has_places_of(message) {
            for de in left.iter() {
                self.copy(message, de);
            }
            return;
        }
        let others = present.difference(fields);
        while let Some(first) = left.first() {
            let gap = others.above(first).first();
            let run = gap.map_or(left, |gap| left.below(gap));
            if self.bitmap_at == 0 {
                return self.fail(EncodeError::NoMti);
            }
            if first <= self.last {
                return self.fail(EncodeError::Order { field: first });
            }
            self.put(message.stretch(run));
            self.fields = self.fields.union(run);
            self.last = run.last().unwrap_or(first);
            left = gap.map_or(FieldSet::EMPTY, |gap| left.above(gap));
        }
    }

    /// Whether fields stand in its messages as in those of this dialect, one behind the other.
    fn has_places_of(&self, message: &Message<'_>) -> bool {
        // A third bitmap may stand among the fields, and what was left out of a broken message.
        message.is_whole()
            && std::ptr::eq(message.dialect(), self.dialect)
            && self.dialect.third_place() != ThirdBitmap::InPlace
    }

    /// Copies `fields` in one piece and writes the values of `set` over those that they replace. `false`, with nothing
    /// written, where that cannot be: a field of the message between them is not to be copied, a new value has no place
    /// there or takes more or less room than the old one, or there is a mistake.
    pub(in crate::iso8583) fn patch(
        &mut self,
        message: &Message<'_>,
        fields: FieldSet,
        set: &[(u8, FieldValue<'_>)],
    ) -> bool {
        let others = message.content_fields().difference(fields);
        let fits = |de: u8| fields.contains(de) && !self.dialect.spec(de).kind.is_ebcdic();
        let gap = !others.is_empty() && others.first() < fields.last();
        // An earlier mistake is kept.
        if gap
            || self.error.is_some()
            || !self.has_places_of(message)
            || !set.iter().all(|(de, _)| fits(*de))
        {
            return false;
        }
        let before = (self.at, self.fields, self.last);
        self.copy_set(message, fields);
        let after = (self.at, self.fields, self.last);
        let begin = fields
            .first()
            .and_then(|first| message.element_start(first));
        // From a place in the message to the one here: a message is at most as long as a `usize` can say.
        let moved = before.0.wrapping_sub(begin.unwrap_or(0));
        self.last = before.2;
        let patched = set.iter().all(|(de, value)| {
            let place = (message.element_start(*de)).zip(message.element_end(*de));
            let Some((from, to)) = place else {
                return false;
            };
            self.at = from.wrapping_add(moved);
            self.value(*de, *value);
            self.at == to.wrapping_add(moved) && self.error.is_none()
        });
        (self.at, self.fields, self.last) = if patched {
            after
        } else {
            self.error = None;
            before
        };
        patched
    }

    /// Writes a field of a message in another dialect.
    fn translate(&mut self, message: &Message<'_>, de: u8) {
        match message.dialect().spec(de).kind {
            Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Digits
            | Kind::Track
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack => self.digits(de, &message.value(de).unwrap_or_default()),
            Kind::Alphanumeric | Kind::Text | Kind::EbcdicAlphanumeric | Kind::EbcdicText => {
                self.text(de, &message.value(de).unwrap_or_default());
            }
            Kind::Bytes | Kind::Hex | Kind::EbcdicHex => {
                self.bytes(de, &message.value(de).unwrap_or_default());
            }
            Kind::Undefined => {}
        }
    }

    /// Asks for the further bitmaps that a message has, whether or not a field needs them.
    pub(in crate::iso8583) fn bitmaps_of(&mut self, message: &Message<'_>) {
        let bitmaps = FieldSet::EMPTY.with(1).with(65);
        self.fields = self.fields.union(message.fields().intersection(bitmaps));
    }

    /// Asks for so many bitmaps, whether or not a field needs them. Those that the dialect does not have are
    /// left out.
    pub fn bitmaps(&mut self, count: u8) {
        let third = self.dialect.third_place() != ThirdBitmap::None;
        if count > 1 && self.dialect.bitmap_count() > 1 {
            self.fields.insert(1);
        }
        if count > 2 && third {
            self.fields = self.fields.with(1).with(65);
        }
    }
}
