//! The key by which an answer finds its request.

use crate::base::{Stan, TerminalId};

use super::mti::Mti;

/// Class of message, terminal id and STAN: equal for a request, its repeats and its answer.
///
/// Layout: class (1), DE41 (8), STAN as three bytes big-endian (3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatchKey([u8; 12]);

impl MatchKey {
    /// The key of a message type, terminal and STAN.
    #[must_use]
    pub fn new(mti: Mti, terminal: TerminalId, stan: Stan) -> Self {
        Self::of(mti.class_key(), *terminal.as_bytes(), stan)
    }

    /// The key of a request that goes out under the group's own STAN, which is unique without a terminal id.
    #[must_use]
    pub fn own(class_key: u8, stan: Stan) -> Self {
        Self::of(class_key, [0; 8], stan)
    }

    /// The same class and terminal with another STAN.
    #[must_use]
    pub fn with_stan(self, stan: Stan) -> Self {
        let [class, a, b, c, d, e, f, g, h, _, _, _] = self.0;
        Self::of(class, [a, b, c, d, e, f, g, h], stan)
    }

    /// Version and class digits of the message type.
    #[must_use]
    pub const fn class_key(&self) -> u8 {
        let [class, ..] = self.0;
        class
    }

    /// The twelve bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    const fn of(class: u8, terminal: [u8; 8], stan: Stan) -> Self {
        let [a, b, c, d, e, f, g, h] = terminal;
        let [_, x, y, z] = stan.get().to_be_bytes();
        Self([class, a, b, c, d, e, f, g, h, x, y, z])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_repeat_and_answer_share_a_key() {
        let terminal = TerminalId::parse("T1").unwrap();
        let stan = Stan::new(123_456).unwrap();
        let key = |mti| MatchKey::new(Mti::parse(mti).unwrap(), terminal, stan);
        assert_eq!(key("0400"), key("0401"));
        assert_eq!(key("0400"), key("0410"));
        assert_ne!(key("0400"), key("0200"));
        assert_eq!(
            key("0200").with_stan(stan.next()).with_stan(stan),
            key("0210")
        );
    }
}
