//! Looking inside messages: which dialect bytes are in, what their fields are called, where and why a broken
//! message breaks, in what two messages differ, and messages as JSON and back.
//!
//! For people and for other programs; nothing here is on the way of a transaction. Pure like the rooms below
//! it, and nothing here shows what a dialect hides unless it is told to ([`Reveal`]). Used by `cli`.

// This room reads hostile bytes: every index and conversion in it is checked or proved at its place.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]

pub mod bytes;
mod content;
mod describe;
mod diff;
mod doubt;
mod element;
mod fault;
mod find;
pub mod json;
pub mod once;
mod parts;
mod rival;
mod stray;
pub mod text;
mod window;
mod words;

pub use content::Content;
pub use describe::{Description, EnvelopeShown, describe};
pub use diff::{Difference, differences};
pub use doubt::{Doubt, doubts};
pub use element::{Element, HIDDEN, Reveal};
pub use fault::{Cause, Fault, explain, reconsider, what};
pub use find::{Guess, Layout, NEAR, PrefixFault, guesses};
pub use parts::{explain_parts, indivisible, what_parts};
pub use rival::Contested;
pub use words::{Language, mti};
