//! What shows that a device works before it may trade: transactions of its own in the journal, or a second person's word.

use super::replacement::DeviceTest;
use crate::base::TxnId;

/// What the journal has of a binding that is being tested: the newest transaction of each sort. What it does not have was
/// not made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestsShown {
    /// An approved transaction.
    pub approved: Option<TxnId>,
    /// An approved void.
    pub voided: Option<TxnId>,
    /// A payment that was undone because its answer was not taken.
    pub reversed: Option<TxnId>,
}

impl TestsShown {
    /// The transaction that shows that a test passed.
    #[must_use]
    pub const fn of(&self, test: DeviceTest) -> Option<TxnId> {
        match test {
            DeviceTest::SaleAndVoid => self.voided,
            DeviceTest::Reversal => self.reversed,
            DeviceTest::SignOn
            | DeviceTest::Echo
            | DeviceTest::QrAndQuery
            | DeviceTest::Print
            | DeviceTest::Parameters => None,
        }
    }
}

/// What the journal has to show before a person's word is enough that a test passed; `None` where it cannot: a line test
/// and a sign-on move no money, and nobody sees a slip from here.
#[must_use]
pub const fn journal_shows(test: DeviceTest) -> Option<&'static str> {
    match test {
        DeviceTest::SaleAndVoid => Some("no approved void of a test sale"),
        DeviceTest::Reversal => Some("no test sale that was reversed"),
        DeviceTest::SignOn
        | DeviceTest::Echo
        | DeviceTest::QrAndQuery
        | DeviceTest::Print
        | DeviceTest::Parameters => None,
    }
}

/// Who says that a test passed, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct TestSaid {
    /// Which.
    pub test: DeviceTest,
    /// Who said so.
    pub by: String,
    /// The transaction in the journal that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// The second person, who filed evidence of what the journal does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}
