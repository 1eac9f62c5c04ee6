//! Bytes to messages and back, as a dialect file says: MTI, bitmap, the walk over the fields, codes, requests.
//!
//! Decoding borrows: it fills a reusable [`Index`] with offsets over the received bytes and copies nothing.
//! Encoding appends to a buffer of the caller's. Nothing here does I/O, has a clock or draws random numbers,
//! and no input makes it panic: a message that breaks its dialect gives a [`DecodeError`] that names the data
//! element and the offset, never the value.
//!
//! Used by `wire` (framing), `switch` (everything), `admin` and `sim`.

// This room reads hostile bytes: every index, sum and conversion in it is checked or proved at its place.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

mod again;
mod answer;
mod check;
mod codes;
mod decode;
mod dialect;
mod digits;
mod ebcdic;
pub mod emv;
mod encode;
mod error;
mod fieldset;
mod form;
mod hexadecimal;
pub mod import;
mod index;
mod length;
mod match_key;
mod meaning;
mod message;
mod mti;
mod parsers;
mod range;
mod request;
mod rewrite;
mod scanner;
mod subfield;
mod word;

pub use again::again;
pub use answer::{answer, original_elements};
pub use codes::{Characters, CodeText, DeclineCode, ResponseCode, TerminalAction};
pub use dialect::{
    AmountParts, CodeEntryRules, DeviceRules, Dialect, EnteredCode, EnvelopeAnswer, Exposure,
    Field, FieldType, Framing, HeaderPart, LengthPlace, MeansRules, NetworkMessage, NetworkRules,
    OriginalRoles, PartName, RepeatRules, ReversalRules, Roles, Scope, SettlementRules,
    StaffRefundRules, SubField, Variation, Writing,
};
pub use digits::Digits;
pub use encode::{FieldValue, Writer};
pub use error::{DecodeError, EncodeError};
pub use fieldset::FieldSet;
pub use index::Index;
pub use length::LengthEncoding;
pub use match_key::{MatchKey, Mismatch};
pub use meaning::Original;
pub use message::Message;
pub use mti::Mti;
pub use request::{Books, MessageRule, Misshapen, Request, Served, Uploads};
pub use rewrite::{Envelope, Rewrite, rewrite};
pub use scanner::{Excerpt, Scanner, ScannerError};
pub use subfield::{
    Item, ItemValue, Layout, LayoutForm, LengthForm, Part, PartError, PartRule, PartWriteError,
    Parts, Tag, TagForm,
};
