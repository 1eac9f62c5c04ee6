//! The rows of a dialect's `[[request]]` table: which message is which business, and what follows from it.

use crate::base::{Fate, RequestType};

use super::dialect::SubField;
use super::fieldset::FieldSet;
use super::message::Message;
use super::mti::Mti;

/// To whose favour an approved request counts in the batch totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Books {
    /// In the merchant's favour: sales and completions.
    Debit,
    /// Against the merchant: voids and refunds.
    Credit,
    /// Not at all: pre-authorisations, inquiries, management.
    None,
}

impl Books {
    /// The name used in dialect files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::None => "none",
        }
    }
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// An upstream.
    Forward,
    /// The gateway: it signs the terminal on.
    SignOn,
    /// The gateway: it signs the terminal off.
    SignOff,
    /// The gateway: line test.
    Echo,
    /// The gateway: it checks the code that the message brings.
    CodeEntry,
    /// The gateway: it compares the batch's totals.
    Settlement,
    /// The gateway: it holds uploaded lines against the journal.
    BatchUpload,
    /// The gateway: the upload is complete, the batch ends.
    BatchUploadEnd,
    /// The gateway declines it as unsupported.
    Unserved,
}

impl Served {
    /// The name used in dialect files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::SignOn => "sign-on",
            Self::SignOff => "sign-off",
            Self::Echo => "echo",
            Self::CodeEntry => "code-entry",
            Self::Settlement => "settlement",
            Self::BatchUpload => "batch-upload",
            Self::BatchUploadEnd => "batch-upload-end",
            Self::Unserved => "unserved",
        }
    }
}

/// What a message of a batch upload uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploads {
    /// The lines that `[settlement]` places.
    Listed,
    /// One transaction: its own trace number, amount and card.
    Itself,
    /// One transaction that came to nothing.
    Failed,
}

/// One kind of request of a dialect.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name, as routes, journal and metrics use it: `sale`.
    pub name: String,
    /// Its name in Chinese; empty where the file has none.
    pub zh: String,
    /// Message types it comes with.
    pub mtis: Vec<Mti>,
    /// What it is to the gate.
    pub kind: RequestType,
    /// What happens when its fate is unknown.
    pub fate: Fate,
    /// Fields without which it is a format error.
    pub required: FieldSet,
    /// Fields with which it is a format error.
    pub forbidden: FieldSet,
    /// How its approval counts.
    pub books: Books,
    /// Fields that an answer made here copies from the request.
    pub answer_echo: FieldSet,
    /// Fields that a reversal or repeat of it copies.
    pub reversal_copies: FieldSet,
    /// Who answers it.
    pub served: Served,
    /// What it uploads, when it is part of a batch upload.
    pub uploads: Uploads,
    /// Whether it carries a MAC where the listener uses MACs.
    pub mac: bool,
}

impl Request {
    /// The first field that a message of this kind should have or should not have.
    #[must_use]
    pub fn misshapen(&self, message: &Message<'_>) -> Option<Misshapen> {
        misshapen(message.content_fields(), self.required, self.forbidden)
    }
}

/// What every message of some type must and must not carry, whatever business it is.
#[derive(Clone, Debug)]
pub struct MessageRule {
    /// Its name: `sale answer`.
    pub name: String,
    /// Its name in Chinese; empty where the file has none.
    pub zh: String,
    /// Message types it holds for.
    pub mtis: Vec<Mti>,
    /// Fields that it must have.
    pub required: FieldSet,
    /// Fields that it must not have.
    pub forbidden: FieldSet,
}

/// What is wrong with the fields that a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misshapen {
    /// It lacks one.
    #[error("without DE{0}")]
    Missing(u8),
    /// It has one that does not belong there.
    #[error("with DE{0}")]
    Unexpected(u8),
}

/// The lowest field that is missing, else the lowest that should not be there.
fn misshapen(has: FieldSet, required: FieldSet, forbidden: FieldSet) -> Option<Misshapen> {
    let missing = required.difference(has).first().map(Misshapen::Missing);
    missing.or_else(|| {
        forbidden
            .intersection(has)
            .first()
            .map(Misshapen::Unexpected)
    })
}

impl Message<'_> {
    /// The first field that this message should have or should not have: by its request's row, else by the
    /// dialect's rule for its message type.
    #[must_use]
    pub fn misshapen(&self) -> Option<Misshapen> {
        let (dialect, has) = (self.dialect(), self.content_fields());
        if let Some(row) = dialect.classify(self) {
            return row.misshapen(self);
        }
        let rule = dialect.message_rule(self.mti())?;
        misshapen(has, rule.required, rule.forbidden)
    }
}

/// One way for a message to be a row: a message type and exact values of some selectors.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) mti: Mti,
    /// Selector, by its place in the list, and its value.
    pub(super) conditions: Vec<(usize, u64)>,
    /// Row, by its place in the list.
    pub(super) row: usize,
}

/// The compiled table.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    requests: Vec<Request>,
    /// Fields and sub-fields that some condition asks for, at most [`Rows::SELECTORS_MAX`].
    selectors: Vec<SubField>,
    /// Stable-sorted by message type, within one in the order of the file.
    rules: Vec<Rule>,
}

impl Rows {
    /// Distinct fields and sub-fields that the conditions of one dialect may look at.
    pub(super) const SELECTORS_MAX: usize = 8;

    pub(super) fn new(
        requests: Vec<Request>,
        selectors: Vec<SubField>,
        mut rules: Vec<Rule>,
    ) -> Self {
        rules.sort_by_key(|rule| rule.mti);
        Self {
            requests,
            selectors,
            rules,
        }
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    pub(super) fn classify(&self, message: &Message<'_>) -> Option<&Request> {
        let mti = message.mti();
        let from = self.rules.partition_point(|rule| rule.mti < mti);
        let candidates = self.rules.get(from..)?;
        let mut values = [u64::MAX; Self::SELECTORS_MAX];
        for (value, selector) in values.iter_mut().zip(&self.selectors) {
            *value = message.fingerprint(*selector).unwrap_or(u64::MAX);
        }
        let holds = |(selector, value): &(usize, u64)| values.get(*selector) == Some(value);
        let rule = candidates
            .iter()
            .take_while(|rule| rule.mti == mti)
            .find(|rule| rule.conditions.iter().all(holds))?;
        self.requests.get(rule.row)
    }
}

/// The fingerprint of no characters.
pub(super) const FINGERPRINT: u64 = 1;

/// The fingerprint with one character more.
pub(super) const fn append(fingerprint: u64, character: u8) -> u64 {
    let [_, b, c, d, e, f, g, h] = fingerprint.to_be_bytes();
    u64::from_be_bytes([b, c, d, e, f, g, h, character])
}

/// Up to seven characters as one number that tells values of different length apart.
pub(super) fn fingerprint(characters: &[u8]) -> Option<u64> {
    if characters.len() > 7 {
        return None;
    }
    Some(characters.iter().copied().fold(FINGERPRINT, append))
}
