//! What a field or part holds, with its kind.

use std::fmt;

use crate::iso8583::FieldType;

/// A value. `Debug` shows the kind and the length, never what it holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// ASCII digits without padding, with `=` as a track's separator.
    Digits(Vec<u8>),
    /// Characters, filling included: ASCII, and bytes above 0x7F as they came.
    Text(Vec<u8>),
    /// Bytes, also where the dialect writes them in hexadecimal.
    Bytes(Vec<u8>),
}

impl Content {
    pub(super) fn new(kind: FieldType, value: Vec<u8>) -> Self {
        match kind {
            FieldType::Numeric | FieldType::Track => Self::Digits(value),
            FieldType::Alphanumeric | FieldType::Text => Self::Text(value),
            FieldType::Binary => Self::Bytes(value),
        }
    }

    /// The digits, characters or bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Digits(bytes) | Self::Text(bytes) | Self::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = match self {
            Self::Digits(bytes) => ("Digits", bytes),
            Self::Text(bytes) => ("Text", bytes),
            Self::Bytes(bytes) => ("Bytes", bytes),
        };
        write!(f, "{kind}({} bytes)", bytes.len())
    }
}
