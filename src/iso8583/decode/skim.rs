//! The quick way through a sound frame. It only says whether the frame was one: what is wrong with a broken frame
//! is for the slow way to tell, so that sound ones carry no cost of errors.

use super::{FURTHER, Fields, Walk, narrow, reach};
use crate::iso8583::check;
use crate::iso8583::dialect::{Class, Dialect, FieldSpec, Prefix};
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::index::{Index, Span};
use crate::iso8583::parsers::announced;

/// A field that the skim comes by: `start <= end`, of which the frame need not have all.
pub(super) struct Passed<'s> {
    spec: &'s FieldSpec,
    units: u16,
    /// Where its content begins.
    start: usize,
    /// Where its content ends.
    end: usize,
}

/// What is looked at on the way.
pub(super) trait Look {
    /// The fields among those that a message has that are walked over.
    fn reach(&self, present: FieldSet) -> FieldSet;

    /// Whether the field is noted in the index.
    fn notes(&self, de: u8) -> bool;

    /// Looks at a field that is noted; false when its value is not allowed.
    fn field(&mut self, frame: &[u8], field: &Passed<'_>) -> bool;

    /// Comes to the end of the fields of one bitmap, all of which lie in the frame; false when a value is not
    /// allowed.
    fn part(&mut self, part: &Part<'_>) -> bool;

    /// Whether this is where the last field may end.
    fn ends(&self, frame: &[u8], end: usize) -> bool;
}

/// The fields of one bitmap, walked over.
pub(super) struct Part<'p> {
    dialect: &'p Dialect,
    frame: &'p [u8],
    index: &'p Index,
    /// The first field lowest.
    present: u64,
    /// Its first bit is DE `base + 1`.
    base: u8,
    /// Where its last field ends.
    end: usize,
}

/// Every field, and no value.
pub(super) struct Structure;

impl Look for Structure {
    #[inline(always)]
    fn reach(&self, present: FieldSet) -> FieldSet {
        present
    }

    #[inline(always)]
    fn notes(&self, _: u8) -> bool {
        true
    }

    #[inline(always)]
    fn field(&mut self, _: &[u8], _: &Passed<'_>) -> bool {
        true
    }

    #[inline(always)]
    fn part(&mut self, _: &Part<'_>) -> bool {
        true
    }

    #[inline(always)]
    fn ends(&self, frame: &[u8], end: usize) -> bool {
        end == frame.len()
    }
}

/// Every field and its value. Fields of one class that touch each other are looked at in one go.
pub(super) struct Values;

impl Look for Values {
    #[inline(always)]
    fn reach(&self, present: FieldSet) -> FieldSet {
        present
    }

    #[inline(always)]
    fn notes(&self, _: u8) -> bool {
        true
    }

    #[inline(always)]
    fn field(&mut self, _: &[u8], _: &Passed<'_>) -> bool {
        true
    }

    #[inline(always)]
    fn part(&mut self, part: &Part<'_>) -> bool {
        part.present == 0 || part.is_sound()
    }

    #[inline(always)]
    fn ends(&self, frame: &[u8], end: usize) -> bool {
        end == frame.len()
    }
}

impl Part<'_> {
    /// Looks at the values, run by run.
    #[inline(never)]
    fn is_sound(&self) -> bool {
        let begun = self.dialect.runs(self.base).begun(self.present);
        let mut left = Fields::lowest_first(begun, self.base);
        let mut next = left.next();
        while let Some(de) = next {
            next = left.next();
            let from = self.start(de);
            let to = next.map_or(self.end, |next| self.element(next));
            let class = self.dialect.spec(de).class;
            let upto = self.frame.get(..to).unwrap_or_default();
            let sound = match class {
                Class::Alone => self.allows(de),
                Class::Free | Class::Digits | Class::Text | Class::Packed => {
                    check::plain(class, upto, to.wrapping_sub(from)) || self.each(de, next)
                }
            };
            if !sound {
                return false;
            }
        }
        true
    }

    /// Looks at the fields from `de` up to `next` one by one: text that is not all ASCII, or odd packed digits.
    #[cold]
    #[inline(never)]
    fn each(&self, de: u8, next: Option<u8>) -> bool {
        let behind = next.unwrap_or(u8::MAX);
        let mut fields = Fields::lowest_first(self.present, self.base);
        while let Some(field) = fields.next() {
            if field >= de && field < behind && !self.allows(field) {
                return false;
            }
        }
        true
    }

    #[inline(always)]
    fn allows(&self, de: u8) -> bool {
        let (spec, span) = (self.dialect.spec(de), self.index.placed(de));
        let len = spec.content_bytes(span.units).into();
        let ahead = self.frame.get(span.start.into()..).unwrap_or_default();
        check::allows(spec, span.units, ahead, len)
    }

    /// Where a field's content begins.
    #[inline(always)]
    fn start(&self, de: u8) -> usize {
        self.index.placed(de).start.into()
    }

    /// Where a field's length prefix begins.
    #[inline(always)]
    fn element(&self, de: u8) -> usize {
        let prefix = self.dialect.spec(de).prefix.bytes();
        self.start(de).wrapping_sub(prefix.into())
    }
}

/// Some fields with their values; of those before the last of them only where they end.
pub(super) struct Named(pub(super) FieldSet);

impl Look for Named {
    #[inline(always)]
    fn reach(&self, present: FieldSet) -> FieldSet {
        reach(present, self.0)
    }

    #[inline(always)]
    fn notes(&self, de: u8) -> bool {
        self.0.contains(de)
    }

    #[inline(always)]
    fn field(&mut self, frame: &[u8], field: &Passed<'_>) -> bool {
        let len = field.end.wrapping_sub(field.start);
        let ahead = frame.get(field.start..).filter(|ahead| len <= ahead.len());
        ahead.is_some_and(|ahead| check::allows(field.spec, field.units, ahead, len))
    }

    #[inline(always)]
    fn part(&mut self, _: &Part<'_>) -> bool {
        true
    }

    #[inline(always)]
    fn ends(&self, frame: &[u8], end: usize) -> bool {
        end <= frame.len()
    }
}

impl Dialect {
    /// Reads a sound frame without its trailer and says whether it was one.
    #[inline(always)]
    pub(super) fn skim(&self, frame: &[u8], index: &mut Index, mut look: impl Look) -> bool {
        let Ok(mut walk) = self.head(frame, index) else {
            return false;
        };
        let Ok(present) = self.bitmaps(&mut walk, index) else {
            return false;
        };
        index.fields = present;
        let reached = look.reach(present);
        // DE1 is the second bitmap itself, already read.
        let first = reached.primary() & !FURTHER;
        let mut end = self.skim_part(&walk, walk.offset(), index, first, 0, &mut look);
        if reached.secondary() != 0 {
            end = end.and_then(|at| self.skim_rest(&mut walk, at, index, &mut look));
        }
        end.is_some_and(|end| look.ends(frame, end))
    }

    /// The fields of the further bitmaps; gives where they end.
    #[inline(always)]
    fn skim_rest(
        &self,
        walk: &mut Walk<'_>,
        at: usize,
        index: &mut Index,
        look: &mut impl Look,
    ) -> Option<usize> {
        walk.rest = walk.frame.get(at..)?;
        let third = self.third_bitmap(walk, index).ok()?;
        let reached = look.reach(index.fields);
        let second = reached.secondary() & !third;
        let at = self.skim_part(walk, walk.offset(), index, second, 64, look)?;
        self.skim_part(walk, at, index, reached.third(), 128, look)
    }

    /// The fields of one bitmap, of which the first lies at `at`; gives where they end. `None` when a field is not
    /// defined, a length prefix makes no length, the frame is too short, or a value is not allowed.
    #[inline(always)]
    fn skim_part(
        &self,
        walk: &Walk<'_>,
        at: usize,
        index: &mut Index,
        bitmap: u64,
        base: u8,
        look: &mut impl Look,
    ) -> Option<usize> {
        if bitmap & !self.defined().bitmap(base) != 0 {
            return None;
        }
        let mut at = at;
        let mut fields = Fields::of(bitmap, base);
        let present = fields.bits;
        while let Some(de) = fields.next() {
            let spec = self.spec(de);
            let (units, bytes) = if spec.prefix == Prefix::Fixed {
                (spec.max, spec.fixed_bytes)
            } else {
                let units = announced(spec.prefix, walk.frame.get(at..)?);
                let units = units.filter(|units| *units <= spec.max)?;
                at = at.wrapping_add(spec.prefix.bytes().into());
                (units, spec.content_bytes(units))
            };
            // Fields may seem to lie behind the frame's end until the last one's is held against it. They take
            // 192 times 65535 bytes at most: no sum wraps.
            let start = at;
            at = at.wrapping_add(bytes.into());
            if look.notes(de) {
                let span = Span {
                    start: narrow(start),
                    units,
                };
                index.place(de, span);
                let passed = Passed {
                    spec,
                    units,
                    start,
                    end: at,
                };
                if !look.field(walk.frame, &passed) {
                    return None;
                }
            }
        }
        if at > walk.frame.len() {
            return None;
        }
        let part = Part {
            dialect: self,
            frame: walk.frame,
            index,
            present,
            base,
            end: at,
        };
        look.part(&part).then_some(at)
    }
}
