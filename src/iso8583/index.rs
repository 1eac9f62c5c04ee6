//! Where the fields of one received message lie: offsets, no bytes.

use super::fieldset::FieldSet;
use super::mti::Mti;

/// One field's place: where its content begins in the frame, and its length in units of its type
/// (digits of a packed field, else bytes).
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Offset of the first content byte, after any length prefix.
    pub(super) start: u16,
    /// Digits of a packed field, else bytes.
    pub(super) units: u16,
}

/// Scratch that [`Dialect::decode`](super::Dialect::decode) fills and a [`Message`](super::Message) reads.
///
/// One kilobyte; keep one per session and use it again. It is not cleared between messages: the set of
/// present fields says which spans mean something.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) fields: FieldSet,
    pub(super) mti: Mti,
    /// Offset of the MTI; what stands before it is the envelope.
    pub(super) mti_at: u16,
    /// Where the last field ends; what stands behind it is the trailer.
    pub(super) end: u16,
    spans: [Span; 256],
}

impl Index {
    /// An index of nothing.
    #[must_use]
    pub const fn new() -> Self {
        const NOTHING: Mti = match Mti::from_packed(0) {
            Some(mti) => mti,
            None => unreachable!(),
        };
        Self {
            fields: FieldSet::EMPTY,
            mti: NOTHING,
            mti_at: 0,
            end: 0,
            spans: [Span { start: 0, units: 0 }; 256],
        }
    }

    /// Records a field's place.
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(super) fn place(&mut self, de: u8, span: Span) {
        self.spans[usize::from(de)] = span;
    }

    /// The place that was last recorded for the field, of this message or an earlier one.
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    #[inline(always)]
    pub(super) fn placed(&self, de: u8) -> Span {
        self.spans[usize::from(de)]
    }

    /// A field's place, `None` when the message has no such field.
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(super) fn span(&self, de: u8) -> Option<Span> {
        self.fields
            .contains(de)
            .then(|| self.spans[usize::from(de)])
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}
