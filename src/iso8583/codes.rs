//! Response codes (DE39) and the reasons for which the gateway itself declines.

use std::fmt;

/// The two characters of DE39.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResponseCode([u8; 2]);

impl ResponseCode {
    /// Approved.
    pub const APPROVED: Self = Self(*b"00");

    /// Takes the two characters as they stand in DE39.
    #[must_use]
    pub const fn new(code: [u8; 2]) -> Self {
        Self(code)
    }

    /// `None` unless there are exactly two bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The two characters.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 2] {
        &self.0
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseCode({self})")
    }
}

/// What a response code means, for operators and for receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeText {
    /// English text.
    pub en: String,
    /// Chinese text.
    pub zh: String,
    /// What the terminal does on it.
    pub action: TerminalAction,
}

/// What a terminal does when it gets a response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalAction {
    /// It completes the transaction and prints the receipt.
    Approve,
    /// It declines; the same card would be declined again.
    Decline,
    /// It declines; the same may go through later.
    Retry,
    /// It asks for the PIN, the amount or the card again.
    EnterAgain,
    /// It signs on, and then tries again.
    SignOn,
    /// It declines, and the shop calls its acquirer.
    CallAcquirer,
    /// It declines, and the shop keeps the card.
    KeepCard,
}

impl TerminalAction {
    /// The words of dialect files.
    pub(super) const WORDS: [(&str, Self); 7] = [
        ("approve", Self::Approve),
        ("decline", Self::Decline),
        ("retry", Self::Retry),
        ("enter-again", Self::EnterAgain),
        ("sign-on", Self::SignOn),
        ("call-acquirer", Self::CallAcquirer),
        ("keep-card", Self::KeepCard),
    ];

    /// The word used in dialect files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Retry => "retry",
            Self::EnterAgain => "enter-again",
            Self::SignOn => "sign-on",
            Self::CallAcquirer => "call-acquirer",
            Self::KeepCard => "keep-card",
        }
    }
}

/// Why the gateway itself declines. The dialect file gives each its code; none may make a shop keep a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeclineCode {
    /// The message is malformed or lacks a required field.
    Format,
    /// The terminal was never bound here.
    UnknownTerminal,
    /// The terminal is bound, but to another merchant than DE42 names.
    WrongMerchant,
    /// The binding's state or capabilities do not admit this request.
    NotAllowed,
    /// The gateway cannot decide now: storage full, data too old, internal fault.
    CannotDecide,
    /// The terminal has not signed on, or names another batch than the open one.
    NotSignedOn,
    /// A management function that is not served here.
    Unsupported,
    /// A transaction that the dialect does not know.
    InvalidTransaction,
    /// No upstream link can carry the request.
    Unreachable,
    /// The upstream did not answer in time.
    NoAnswer,
    /// Other content under a STAN already used in this batch.
    Duplicate,
    /// The terminal has another request in flight.
    InProgress,
    /// The transaction to be undone is not known.
    OriginalNotFound,
    /// The amount is not what the original leaves.
    OriginalAmount,
    /// It exceeds an amount that may be taken.
    AmountLimit,
    /// More transactions than may be made.
    CountLimit,
}

impl DeclineCode {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Format,
        Self::UnknownTerminal,
        Self::WrongMerchant,
        Self::NotAllowed,
        Self::CannotDecide,
        Self::NotSignedOn,
        Self::Unsupported,
        Self::InvalidTransaction,
        Self::Unreachable,
        Self::NoAnswer,
        Self::Duplicate,
        Self::InProgress,
        Self::OriginalNotFound,
        Self::OriginalAmount,
        Self::AmountLimit,
        Self::CountLimit,
    ];

    /// The name used in dialect files, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::UnknownTerminal => "unknown-terminal",
            Self::WrongMerchant => "wrong-merchant",
            Self::NotAllowed => "not-allowed",
            Self::CannotDecide => "cannot-decide",
            Self::NotSignedOn => "not-signed-on",
            Self::Unsupported => "unsupported",
            Self::InvalidTransaction => "invalid-transaction",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::Duplicate => "duplicate",
            Self::InProgress => "in-progress",
            Self::OriginalNotFound => "original-not-found",
            Self::OriginalAmount => "original-amount",
            Self::AmountLimit => "amount-limit",
            Self::CountLimit => "count-limit",
        }
    }

    /// The code of a dialect file that names none: only where every network has the same.
    pub(super) const fn usual(self) -> Option<ResponseCode> {
        match self {
            Self::AmountLimit => Some(ResponseCode(*b"61")),
            Self::CountLimit => Some(ResponseCode(*b"65")),
            Self::Format
            | Self::UnknownTerminal
            | Self::WrongMerchant
            | Self::NotAllowed
            | Self::CannotDecide
            | Self::NotSignedOn
            | Self::Unsupported
            | Self::InvalidTransaction
            | Self::Unreachable
            | Self::NoAnswer
            | Self::Duplicate
            | Self::InProgress
            | Self::OriginalNotFound
            | Self::OriginalAmount => None,
        }
    }

    /// Place in the table of codes.
    pub(super) const fn slot(self) -> usize {
        match self {
            Self::Format => 0,
            Self::UnknownTerminal => 1,
            Self::WrongMerchant => 2,
            Self::NotAllowed => 3,
            Self::CannotDecide => 4,
            Self::NotSignedOn => 5,
            Self::Unsupported => 6,
            Self::InvalidTransaction => 7,
            Self::Unreachable => 8,
            Self::NoAnswer => 9,
            Self::Duplicate => 10,
            Self::InProgress => 11,
            Self::OriginalNotFound => 12,
            Self::OriginalAmount => 13,
            Self::AmountLimit => 14,
            Self::CountLimit => 15,
        }
    }
}

/// The response codes of one dialect.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    /// Known codes with their texts, ascending by code.
    pub(super) texts: Vec<(String, CodeText)>,
    /// Codes that mean money moved.
    pub(super) approvals: Vec<ResponseCode>,
    /// Answers to a reversal after which it is not sent again.
    pub(super) acknowledgements: Vec<ResponseCode>,
    /// Those among them that say that there is no original to undo.
    pub(super) not_found: Vec<ResponseCode>,
    /// Approval of the amount in the answer rather than the one asked for.
    pub(super) partial: Option<ResponseCode>,
    /// The code of each [`DeclineCode`], by its slot.
    pub(super) declines: Vec<ResponseCode>,
}

impl Codes {
    pub(super) fn text_of(&self, code: &[u8]) -> Option<&CodeText> {
        let at = self
            .texts
            .binary_search_by(|(known, _)| known.as_bytes().cmp(code))
            .ok()?;
        self.texts.get(at).map(|(_, text)| text)
    }

    pub(super) fn decline(&self, why: DeclineCode) -> ResponseCode {
        // A dialect is refused unless it names all of them; 96 is "system malfunction" everywhere.
        self.declines
            .get(why.slot())
            .copied()
            .unwrap_or(ResponseCode(*b"96"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_list() {
        for (at, why) in DeclineCode::ALL.into_iter().enumerate() {
            assert_eq!(why.slot(), at, "{}", why.name());
        }
    }

    #[test]
    fn hostile_codes_print_escaped() {
        assert_eq!(ResponseCode::new(*b"\x1b0").to_string(), "\\x1b0");
        assert_eq!(ResponseCode::from_slice(b"000"), None);
    }
}
