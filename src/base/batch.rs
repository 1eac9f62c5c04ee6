//! Totals and lines of a terminal's batch, as both sides count them.

use super::{MaskedPan, Stan};

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Transactions.
    pub count: u64,
    /// Their minor units.
    pub minor: u64,
}

impl Sum {
    /// Counts one more. A batch has at most a million trace numbers of twelve digits each: far from the end
    /// of what this holds.
    pub const fn add(&mut self, minor: u64) {
        self.count = self.count.saturating_add(1);
        self.minor = self.minor.saturating_add(minor);
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            minor: self.minor.saturating_add(other.minor),
        }
    }
}

/// What a batch comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchTotals {
    /// In the merchant's favour: sales and completions.
    pub debit: Sum,
    /// Against the merchant: voids, refunds, loads.
    pub credit: Sum,
}

impl BatchTotals {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        debit: Sum { count: 0, minor: 0 },
        credit: Sum { count: 0, minor: 0 },
    };

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            debit: self.debit.and(other.debit),
            credit: self.credit.and(other.credit),
        }
    }
}

/// What comparing totals came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchResult {
    /// Both sides count the same.
    Balanced,
    /// They do not.
    NotBalanced,
    /// It cannot be said now.
    Undecided,
}

impl BatchResult {
    /// All of them, in the order of the journal.
    pub const ALL: [Self; 3] = [Self::Balanced, Self::NotBalanced, Self::Undecided];

    /// Name in the read model, the API and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::NotBalanced => "not-balanced",
            Self::Undecided => "undecided",
        }
    }

    /// The result with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.name() == name)
    }
}

/// One transaction as a terminal uploads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLine {
    /// Its trace number.
    pub stan: Stan,
    /// Its amount, minor units.
    pub minor: u64,
    /// Its card, masked; [`MaskedPan::NONE`] when the line has none.
    pub pan: MaskedPan,
}

/// What an uploaded line is against the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineVerdict {
    /// The journal has the same.
    Equal,
    /// The journal knows the trace number, with another amount, card or end.
    Different,
    /// The journal does not know it.
    Unknown,
}

impl LineVerdict {
    /// All of them, in the order of the journal.
    pub const ALL: [Self; 3] = [Self::Equal, Self::Different, Self::Unknown];

    /// Name in the read model, the API and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// Lines of a batch, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// The journal has the same.
    pub equal: u64,
    /// The journal has something else under the trace number.
    pub different: u64,
    /// The journal does not know the trace number.
    pub unknown: u64,
    /// What counts in the journal and was not uploaded.
    pub missing: u64,
}

impl LineCounts {
    /// Counts one uploaded line.
    pub const fn add(&mut self, verdict: LineVerdict) {
        match verdict {
            LineVerdict::Equal => self.equal += 1,
            LineVerdict::Different => self.different += 1,
            LineVerdict::Unknown => self.unknown += 1,
        }
    }

    /// Lines that were uploaded.
    #[must_use]
    pub const fn uploaded(&self) -> u64 {
        self.equal + self.different + self.unknown
    }
}
