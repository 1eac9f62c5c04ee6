//! What can be wrong with a message. Data, not prose, and never a value from the wire.

use crate::base::Counted;

/// Why bytes are no message of the dialect. Offsets count from the first byte after the length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than offsets reach (65535 bytes).
    #[error("frame has {bytes} bytes, 65535 are addressable")]
    FrameTooLong {
        /// Bytes of the frame.
        bytes: usize,
    },
    /// The frame ends before the message type does.
    #[error("frame has {found} bytes, envelope and MTI take {needed}")]
    NoMti {
        /// Bytes that envelope and MTI take.
        needed: usize,
        /// Bytes of the frame.
        found: usize,
    },
    /// The message type is not four digits.
    #[error("MTI at byte {offset} is not four digits")]
    Mti {
        /// Where the MTI stands.
        offset: usize,
    },
    /// The bitmap is cut off, holds a character that is no hexadecimal digit, or announces a further
    /// bitmap that the dialect does not have.
    #[error("bitmap at byte {offset} is unusable")]
    Bitmap {
        /// Where the bitmap stands.
        offset: usize,
    },
    /// The bitmap announces a field that the dialect does not define.
    #[error("DE{field} is not defined")]
    Undefined {
        /// Data element.
        field: u8,
        /// Where it would begin.
        offset: usize,
    },
    /// The length prefix is not made of digits.
    #[error("DE{field} has no digits in its length prefix at byte {offset}")]
    Prefix {
        /// Data element.
        field: u8,
        /// Where the prefix stands.
        offset: usize,
    },
    /// The length prefix announces more than the dialect allows.
    #[error("DE{field} declares length {declared}, {max} is the most")]
    TooLong {
        /// Data element.
        field: u8,
        /// Where the prefix stands.
        offset: usize,
        /// Length as declared, in digits or bytes as the field counts.
        declared: u16,
        /// Most the dialect allows.
        max: u16,
    },
    /// The message ends inside the field.
    #[error("DE{field} declares {declared} bytes, {remain} remain")]
    Truncated {
        /// Data element.
        field: u8,
        /// Where the missing bytes should begin.
        offset: usize,
        /// Bytes the field or its prefix needs.
        declared: usize,
        /// Bytes left.
        remain: usize,
    },
    /// The content holds something its type does not allow.
    #[error("DE{field} holds a character its type forbids at byte {offset}")]
    Character {
        /// Data element.
        field: u8,
        /// Where the character stands.
        offset: usize,
    },
    /// What stands at the end is not the dialect's trailer.
    #[error("the last {needed} bytes are not the trailer")]
    Trailer {
        /// Where the trailer should begin.
        offset: usize,
        /// Bytes of the trailer.
        needed: usize,
    },
    /// Bytes follow the last field.
    #[error("{} the last field", Counted(.bytes, "byte").that("follows", "follow"))]
    LeftOver {
        /// Where they begin.
        offset: usize,
        /// How many.
        bytes: usize,
    },
}

impl DecodeError {
    /// The data element at fault, if it is one.
    #[must_use]
    pub const fn field(&self) -> Option<u8> {
        match *self {
            Self::Undefined { field, .. }
            | Self::Prefix { field, .. }
            | Self::TooLong { field, .. }
            | Self::Truncated { field, .. }
            | Self::Character { field, .. } => Some(field),
            Self::FrameTooLong { .. }
            | Self::NoMti { .. }
            | Self::Mti { .. }
            | Self::Bitmap { .. }
            | Self::Trailer { .. }
            | Self::LeftOver { .. } => None,
        }
    }

    /// Byte offset in the frame (without its length prefix) at which decoding stopped.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match *self {
            Self::FrameTooLong { .. } => 0,
            Self::NoMti { found, .. } => found,
            Self::Mti { offset }
            | Self::Bitmap { offset }
            | Self::Undefined { offset, .. }
            | Self::Prefix { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::Character { offset, .. }
            | Self::Trailer { offset, .. }
            | Self::LeftOver { offset, .. } => offset,
        }
    }

    /// One word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::FrameTooLong { .. } => "frame-too-long",
            Self::NoMti { .. } => "no-mti",
            Self::Mti { .. } => "mti",
            Self::Bitmap { .. } => "bitmap",
            Self::Undefined { .. } => "undefined-field",
            Self::Prefix { .. } => "length-prefix",
            Self::TooLong { .. } => "field-too-long",
            Self::Truncated { .. } => "truncated",
            Self::Character { .. } => "character",
            Self::Trailer { .. } => "trailer",
            Self::LeftOver { .. } => "left-over",
        }
    }
}

/// Why a message cannot be written in the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The envelope is not as long as the dialect's, or was given twice or too late.
    #[error("envelope has {found} bytes, {needed} are needed before the MTI")]
    Envelope {
        /// Bytes of TPDU and header in this dialect.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// A field was written before the MTI, or there is none.
    #[error("MTI is missing")]
    NoMti,
    /// The MTI was written twice.
    #[error("MTI is written twice")]
    SecondMti,
    /// Fields must be written ascending, each once.
    #[error("DE{field} is written out of order")]
    Order {
        /// Data element.
        field: u8,
    },
    /// The dialect does not define the field, or has no secondary bitmap for it.
    #[error("DE{field} is not defined")]
    Undefined {
        /// Data element.
        field: u8,
    },
    /// The value does not fit the field, or leaves a fixed binary field short.
    #[error("DE{field} has {found} digits or bytes, {max} fit")]
    Length {
        /// Data element.
        field: u8,
        /// Length of the value.
        found: usize,
        /// Length of the field.
        max: u16,
    },
    /// The value holds something the field's type does not allow, or is of another kind (bytes for digits).
    #[error("DE{field} cannot hold this value")]
    Character {
        /// Data element.
        field: u8,
    },
    /// The frame is longer than its length prefix can say.
    #[error("frame has {bytes} bytes, {max} can be announced")]
    FrameTooLong {
        /// Bytes of the frame.
        bytes: usize,
        /// Most the prefix can announce.
        max: usize,
    },
}

impl EncodeError {
    /// The data element at fault, if it is one.
    #[must_use]
    pub const fn field(&self) -> Option<u8> {
        match *self {
            Self::Order { field }
            | Self::Undefined { field }
            | Self::Length { field, .. }
            | Self::Character { field } => Some(field),
            Self::Envelope { .. } | Self::NoMti | Self::SecondMti | Self::FrameTooLong { .. } => {
                None
            }
        }
    }
}
