//! What can be wrong with sub-fields. Offsets count from the first byte of the field's value.

use super::Tag;
use crate::base::Counted;

/// Why a value does not divide as its layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// A tag is cut off, longer than four bytes, or has characters that are none.
    #[error("tag at byte {offset} is unusable")]
    Tag {
        /// Where the tag stands.
        offset: usize,
    },
    /// A length is cut off, or not made of digits.
    #[error("length at byte {offset} is unusable")]
    Length {
        /// Where the length stands.
        offset: usize,
    },
    /// The value ends inside a part.
    #[error("part at byte {offset} declares {declared} bytes, {remain} remain")]
    Truncated {
        /// Where the part's content begins.
        offset: usize,
        /// Bytes that it needs.
        declared: usize,
        /// Bytes left.
        remain: usize,
    },
    /// A part is longer than the dialect allows.
    #[error("part at byte {offset} has length {declared}, {max} is the most")]
    TooLong {
        /// Where the part stands.
        offset: usize,
        /// Its length.
        declared: usize,
        /// Most allowed.
        max: usize,
    },
    /// A part holds something that its type does not allow.
    #[error("part at byte {offset} holds a character its type forbids")]
    Character {
        /// Where the part's content begins.
        offset: usize,
    },
    /// A bitmap is cut off, or announces a part that the dialect does not define.
    #[error("bitmap at byte {offset} is unusable")]
    Bitmap {
        /// Where the bitmap stands.
        offset: usize,
    },
    /// Bytes follow the last part.
    #[error("{} the last part", Counted(.bytes, "byte").that("follows", "follow"))]
    LeftOver {
        /// Where they begin.
        offset: usize,
        /// How many.
        bytes: usize,
    },
    /// More parts than are read of one value.
    #[error("more parts than {max}, at byte {offset}")]
    TooMany {
        /// Where reading stopped.
        offset: usize,
        /// Most that are read.
        max: usize,
    },
    /// Parts within parts deeper than are followed.
    #[error("parts at byte {offset} lie deeper than {max}")]
    TooDeep {
        /// Where reading stopped.
        offset: usize,
        /// Depth that is followed.
        max: usize,
    },
}

impl PartError {
    /// Byte offset in the field's value.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match *self {
            Self::Tag { offset }
            | Self::Length { offset }
            | Self::Truncated { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::Character { offset }
            | Self::Bitmap { offset }
            | Self::LeftOver { offset, .. }
            | Self::TooMany { offset, .. }
            | Self::TooDeep { offset, .. } => offset,
        }
    }

    /// One word, as metrics and sample files use it.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Tag { .. } => "part-tag",
            Self::Length { .. } => "part-length",
            Self::Truncated { .. } => "part-truncated",
            Self::TooLong { .. } => "part-too-long",
            Self::Character { .. } => "part-character",
            Self::Bitmap { .. } => "part-bitmap",
            Self::LeftOver { .. } => "part-left-over",
            Self::TooMany { .. } => "too-many-parts",
            Self::TooDeep { .. } => "parts-too-deep",
        }
    }
}

/// Why parts cannot be written as a layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartWriteError {
    /// The layout has no such part, or its tag is not written like that.
    #[error("part {tag} is not in the layout")]
    Undefined {
        /// The part.
        tag: Tag,
    },
    /// Parts named by number are written ascending, positional ones without a gap.
    #[error("part {tag} is out of order")]
    Order {
        /// The part.
        tag: Tag,
    },
    /// The value is too long for the part or for its length, or too short for a fixed one.
    #[error("part {tag} has a length that does not fit")]
    Length {
        /// The part.
        tag: Tag,
    },
    /// The value holds something that the part's type does not allow.
    #[error("part {tag} cannot hold this value")]
    Character {
        /// The part.
        tag: Tag,
    },
    /// Parts were given where there is no layout for them.
    #[error("part {tag} has no parts of its own")]
    NoLayout {
        /// The part.
        tag: Tag,
    },
    /// Parts within parts deeper than are read.
    #[error("part {tag} lies too deep")]
    TooDeep {
        /// The part.
        tag: Tag,
    },
}
