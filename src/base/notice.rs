//! What is sent to people and programs outside. A text may hold a code and an address is personal: neither can
//! be printed, and both are wiped when dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A text to one person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Telephone number, or e-mail address.
    pub to: Zeroizing<String>,
    /// Subject of an e-mail; a text message has none.
    pub subject: String,
    /// What it says.
    pub text: Zeroizing<String>,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice").finish_non_exhaustive()
    }
}

/// An event to a program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideEvent {
    /// What happened, as `binding.suspended`.
    pub event: String,
    /// To what, as `binding 7`.
    pub object: String,
    /// Version of that thing from then on: an event of a version that is behind one that was seen says nothing
    /// new.
    pub version: u32,
    /// When, in microseconds since 1970-01-01 UTC.
    pub at_us: u64,
    /// What else is told; masked where it has to be.
    pub data: serde_json::Value,
}

impl fmt::Debug for OutsideEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideEvent")
            .field("event", &self.event)
            .field("object", &self.object)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_address_nor_text_is_printed() {
        let notice = Notice {
            to: Zeroizing::new("+8613800138000".into()),
            subject: "Code".into(),
            text: Zeroizing::new("123456 confirms it".into()),
        };
        assert_eq!(format!("{notice:?}"), "Notice { .. }");
        let written = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&written).unwrap(), notice);
    }
}
