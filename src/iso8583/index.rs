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
/// Half a kilobyte; keep one per session and use it again. It is not cleared between messages: the set of
/// present fields says which spans mean something.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) fields: FieldSet,
    pub(super) mti: Mti,
    /// Offset of the MTI; what stands before it is the envelope.
    pub(super) mti_at: u16,
    spans: [Span; 128],
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
            spans: [Span { start: 0, units: 0 }; 128],
        }
    }

    /// Records a field's place. DE128 shares a slot with the DE0 that does not exist.
    #[expect(
        clippy::indexing_slicing,
        reason = "0 <= de & 127 < 128, the array's length"
    )]
    pub(super) fn place(&mut self, de: u8, span: Span) {
        self.spans[usize::from(de & 127)] = span;
    }

    /// A field's place, `None` when the message has no such field.
    #[expect(
        clippy::indexing_slicing,
        reason = "0 <= de & 127 < 128, the array's length"
    )]
    pub(super) fn span(&self, de: u8) -> Option<Span> {
        self.fields
            .contains(de)
            .then(|| self.spans[usize::from(de & 127)])
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}
