//! Response codes (DE39) and the reasons for which the gateway itself declines.

use std::fmt;

use super::mti::Mti;

/// DE39: two characters in ISO 8583:1987, three digits in 1993, four in 2003.
///
/// Two bytes, also where it is stored: the two characters, which are ASCII, or above those the number that three
/// or four digits make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResponseCode([u8; 2]);

/// Codes of three digits are stored from here on, behind all that two ASCII characters can be.
const THREE_DIGITS: u16 = 0x8000;
/// Codes of four digits.
const FOUR_DIGITS: u16 = THREE_DIGITS + 1_000;

impl ResponseCode {
    /// Approved, where a dialect does not say otherwise.
    pub const APPROVED: Self = Self(*b"00");

    /// Takes two characters, or whatever [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn new(code: [u8; 2]) -> Self {
        Self(code)
    }

    /// Reads the characters of DE39. `None` unless there are two in ASCII, or three or four digits.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let number = |from: u16| {
            let digits = bytes.iter().all(u8::is_ascii_digit);
            let number: u16 = str::from_utf8(bytes)
                .ok()
                .filter(|_| digits)?
                .parse()
                .ok()?;
            Some(Self(from.checked_add(number)?.to_be_bytes()))
        };
        match bytes {
            [a, b] if bytes.is_ascii() => Some(Self([*a, *b])),
            [_, _, _] => number(THREE_DIGITS),
            [_, _, _, _] => number(FOUR_DIGITS),
            _ => None,
        }
    }

    /// The two bytes by which it is stored. Of a code of two characters those.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 2] {
        &self.0
    }

    /// The characters, as they stand in DE39.
    #[must_use]
    pub fn characters(&self) -> Characters {
        let stored = u16::from_be_bytes(self.0);
        let (number, count) = match (
            stored.checked_sub(FOUR_DIGITS),
            stored.checked_sub(THREE_DIGITS),
        ) {
            (Some(number), _) => (number, 4),
            (None, Some(number)) => (number, 3),
            (None, None) => {
                let [a, b] = self.0;
                return Characters {
                    bytes: [a, b, 0, 0],
                    count: 2,
                };
            }
        };
        let mut bytes = [b'0'; 4];
        let mut rest = number;
        for place in bytes.iter_mut().take(count).rev() {
            *place = b'0' | u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Characters { bytes, count }
    }
}

/// The characters of a response code: two, three or four.
#[derive(Clone, Copy, Debug)]
pub struct Characters {
    bytes: [u8; 4],
    /// 2 <= count <= 4.
    count: usize,
}

impl std::ops::Deref for Characters {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.characters().escape_ascii())
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
    /// The code that says yes to reversals, reconciliations and network management, where they have their own:
    /// class digit of the message type, and the code.
    pub(super) accepted: Vec<(u8, ResponseCode)>,
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

    /// The code by which a message of that type is accepted.
    pub(super) fn accepted(&self, mti: Mti) -> ResponseCode {
        let class = mti.class_key() & 0x0F;
        let own = self.accepted.iter().find(|(known, _)| *known == class);
        own.map(|(_, code)| *code)
            .or_else(|| self.approved())
            .unwrap_or(ResponseCode::APPROVED)
    }

    /// The approval of nothing but zeros: 00, 000 or 0000.
    pub(super) fn approved(&self) -> Option<ResponseCode> {
        let zeros = |code: &&ResponseCode| code.characters().iter().all(|c| *c == b'0');
        self.approvals.iter().find(zeros).copied()
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
        assert_eq!(ResponseCode::from_slice(b"\xF0\xF0"), None);
    }

    #[test]
    fn codes_of_every_length_are_stored_in_two_bytes() {
        let mut stored = std::collections::BTreeSet::new();
        let threes = (0..1_000).map(|n| format!("{n:03}"));
        let fours = (0..10_000).map(|n| format!("{n:04}"));
        let twos = ["00", "51", "A2", "  ", "zz"].map(str::to_owned);
        for text in threes.chain(fours).chain(twos) {
            let code = ResponseCode::from_slice(text.as_bytes()).unwrap();
            assert_eq!(*code.characters(), *text.as_bytes());
            assert_eq!(code.to_string(), text);
            assert_eq!(ResponseCode::new(*code.as_bytes()), code);
            assert!(stored.insert(*code.as_bytes()), "{text}");
        }
        for none in ["", "0", "00000", "0A0", "-01", "+001", "A000"] {
            assert_eq!(ResponseCode::from_slice(none.as_bytes()), None, "{none}");
        }
        // Whatever a damaged store may hold.
        assert_eq!(ResponseCode::new([0xFF, 0xFF]).characters().len(), 4);
    }
}
