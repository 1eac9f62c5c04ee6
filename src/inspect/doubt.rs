//! What reads as sound and hardly can be meant so.

use crate::iso8583::{Exposure, Message};

use super::bytes::to_hex;

/// A field whose value is well formed and probably another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Data element.
    pub field: u8,
    /// Why, and what the dialect file would say for the other reading.
    pub text: String,
}

/// The doubtful fields of a message, ascending.
#[must_use]
pub fn doubts(message: &Message<'_>) -> Vec<Doubt> {
    let fields = message.content_fields().iter();
    fields.filter_map(|de| odd_nibble(message, de)).collect()
}

/// An odd number of packed digits is filled up with 0 or F as a rule. A digit there, and a 0 at the other end,
/// say that it was filled at the other end.
fn odd_nibble(message: &Message<'_>, de: u8) -> Option<Doubt> {
    let left = message.filled_on_the_left(de)?;
    let nibbles = to_hex(message.field(de)?);
    let (first, last) = (nibbles.chars().next()?, nibbles.chars().last()?);
    let (filler, opposite) = if left { (first, last) } else { (last, first) };
    if !matches!(filler, '1'..='9') || opposite != '0' {
        return None;
    }
    let open = message.dialect().field(de)?.exposure == Exposure::Open;
    let (own, other) = if left {
        ("left", "right")
    } else {
        ("right", "left")
    };
    let text = if open {
        let read = if left {
            nibbles.get(..nibbles.len().checked_sub(1)?)?
        } else {
            nibbles.get(1..)?
        };
        format!(
            "filled up with {filler} on the {own} where 0 or F is usual; filled on the {other} it reads {read} (pad = \"{other}\")"
        )
    } else {
        format!(
            "filled up with a digit on the {own} where 0 or F is usual; it may be filled on the {other} (pad = \"{other}\")"
        )
    };
    Some(Doubt { field: de, text })
}
