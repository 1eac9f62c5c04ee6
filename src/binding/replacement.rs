//! The case that moves a shop to a new device.
//!
//! ```text
//!          test passed, all of them         cut over
//!  TESTING ───────────────────────▶ READY ───────────▶ CUT_OVER ──close──▶ CLOSED
//!     │  ▲                            │                   │
//!     │  └──────a test failed─────────┤                   │ roll back, within a day
//!     │ cancel                        │ cancel            ▼
//!     └───────────────────────────────┴──▶ CANCELLED   ROLLED_BACK
//! ```
//!
//! | event | from | guard | who |
//! |---|---|---|---|
//! | `tested` | testing, ready | each test of the set, under the new terminal id | staff |
//! | `cut_over` | ready | the network acknowledged the new tuple; checker is not the maker | checker |
//! | `roll_back` | cut over | within [`ROLLBACK`]; the old device is not wiped | two persons |
//! | `close` | cut over | the old binding is closed | time |
//! | `cancel` | testing, ready | nothing | maker |
//!
//! The old terminal trades until the cut-over. At the cut-over the caller makes the new binding ACTIVE and
//! the old one UNBINDING in one step; a roll-back leads the old one to `RE_PENDING` (reconfirm), never straight
//! to ACTIVE, and closes the new one.

use std::time::Duration;

use super::named::named_enum;
use super::refusal::{Refusal, only_in, two_persons};
use crate::base::Timestamp;

/// How long after the cut-over it can be undone.
pub const ROLLBACK: Duration = Duration::from_secs(24 * 3_600);

named_enum!(
    /// Where a replacement stands.
    ReplaceStage {
        /// The new device is being tested; the old one trades.
        Testing = "testing",
        /// All tests passed; the old one trades.
        Ready = "ready",
        /// The new one trades; the old one drains.
        CutOver = "cut-over",
        /// The old one drained; it is over.
        Closed = "closed",
        /// The old one is back.
        RolledBack = "rolled-back",
        /// Given up before the cut-over.
        Cancelled = "cancelled",
    }
);

impl ReplaceStage {
    /// Whether the case is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Closed | Self::RolledBack | Self::Cancelled => true,
            Self::Testing | Self::Ready | Self::CutOver => false,
        }
    }
}

named_enum!(
    /// A test of a new device.
    DeviceTest {
        /// It signs on and gets its batch.
        SignOn = "sign-on",
        /// It answers a line test.
        Echo = "echo",
        /// A sale of 0.01 and its void.
        SaleAndVoid = "sale-and-void",
        /// A sale whose answer is kept back, and its reversal.
        Reversal = "reversal",
        /// A QR payment and its query.
        QrAndQuery = "qr-and-query",
        /// A slip is printed.
        Print = "print",
        /// It has the parameters of the day.
        Parameters = "parameters",
    }
);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Replacement {
    /// Where it stands.
    pub stage: ReplaceStage,
    /// Who opened it.
    pub maker: String,
    /// When.
    pub opened_at: Timestamp,
    /// Why.
    pub note: String,
    /// The binding that takes over.
    pub new_binding: u64,
    /// Tests that passed.
    #[serde(default)]
    pub passed: Vec<DeviceTest>,
    /// Reference of the network's acknowledgement of the new tuple.
    #[serde(default)]
    pub network: Option<String>,
    /// Who approved the cut-over.
    #[serde(default)]
    pub checker: Option<String>,
    /// When it was.
    #[serde(default)]
    pub cut_over_at: Option<Timestamp>,
}

impl Replacement {
    /// A new case.
    #[must_use]
    pub fn open(now: Timestamp, maker: &str, note: &str, new_binding: u64) -> Self {
        Self {
            stage: ReplaceStage::Testing,
            maker: maker.into(),
            opened_at: now,
            note: note.trim().into(),
            new_binding,
            passed: Vec::new(),
            network: None,
            checker: None,
            cut_over_at: None,
        }
    }

    fn only_in(&self, allowed: &[ReplaceStage], verb: &'static str) -> Result<(), Refusal> {
        let remedy = match self.stage {
            ReplaceStage::Testing => "every test has to pass first",
            ReplaceStage::Ready => "cut over, or cancel",
            ReplaceStage::CutOver => "roll back within a day, or let it end",
            ReplaceStage::Closed | ReplaceStage::RolledBack | ReplaceStage::Cancelled => {
                "it is over; open another one"
            }
        };
        only_in(
            ("case", self.stage, self.stage.name()),
            allowed,
            verb,
            remedy,
        )
    }

    /// Result of a test. A test that fails takes back that it passed before.
    ///
    /// # Errors
    /// After the cut-over.
    pub fn tested(&mut self, test: DeviceTest, passed: bool) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Testing, ReplaceStage::Ready], "tested")?;
        self.passed.retain(|held| *held != test);
        if passed {
            self.passed.push(test);
        }
        self.stage = if self.outstanding_tests().next().is_none() {
            ReplaceStage::Ready
        } else {
            ReplaceStage::Testing
        };
        Ok(())
    }

    /// Tests that have not passed.
    pub fn outstanding_tests(&self) -> impl Iterator<Item = DeviceTest> {
        DeviceTest::ALL
            .iter()
            .copied()
            .filter(|test| !self.passed.contains(test))
    }

    /// The new device takes over.
    ///
    /// # Errors
    /// When a test is outstanding, the network has not acknowledged, or the checker is the maker.
    pub fn cut_over(&mut self, now: Timestamp, network: &str, by: &str) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Ready], "cut over")?;
        two_persons(&self.maker, by)?;
        if network.trim().is_empty() {
            let what = "the network's acknowledgement of the new device";
            let remedy = "say its reference";
            return Err(Refusal::Missing { what, remedy });
        }
        self.network = Some(network.trim().into());
        self.checker = Some(by.into());
        self.cut_over_at = Some(now);
        self.stage = ReplaceStage::CutOver;
        Ok(())
    }

    /// The old device comes back.
    ///
    /// # Errors
    /// After a day, when the old device is wiped, or by one person alone.
    pub fn roll_back(
        &mut self,
        now: Timestamp,
        old_is_wiped: bool,
        by: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::CutOver], "rolled back")?;
        two_persons(self.checker.as_deref().unwrap_or_default(), by)?;
        let until = self.cut_over_at.unwrap_or_default().0
            + u64::try_from(ROLLBACK.as_micros()).unwrap_or(u64::MAX);
        let refuse = |what, problem| Err(Refusal::Value { what, problem });
        if now.0 > until {
            return refuse(
                "the cut-over",
                "was more than a day ago; replace it once more",
            );
        }
        if old_is_wiped {
            return refuse("the old device", "is wiped or closed; replace it once more");
        }
        self.stage = ReplaceStage::RolledBack;
        Ok(())
    }

    /// The old binding is closed: nothing is left to be done.
    ///
    /// # Errors
    /// Before the cut-over.
    pub fn close(&mut self) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::CutOver], "closed")?;
        self.stage = ReplaceStage::Closed;
        Ok(())
    }

    /// It is given up: the caller rejects the new binding in the same step.
    ///
    /// # Errors
    /// After the cut-over.
    pub fn cancel(&mut self) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Testing, ReplaceStage::Ready], "cancelled")?;
        self.stage = ReplaceStage::Cancelled;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_305_600_000_000);

    fn tested() -> Replacement {
        let mut case = Replacement::open(NOW, "Li Wei", "worn out", 2);
        for test in DeviceTest::ALL {
            assert_eq!(case.stage, ReplaceStage::Testing);
            case.tested(*test, true).unwrap();
        }
        case
    }

    #[test]
    fn the_old_device_trades_until_every_test_passed_and_a_second_person_agrees() {
        let mut early = Replacement::open(NOW, "Li Wei", "worn out", 2);
        assert!(matches!(
            early.cut_over(NOW, "N-1", "Wang Fang"),
            Err(Refusal::State { .. })
        ));
        let mut case = tested();
        case.tested(DeviceTest::Print, false).unwrap();
        assert_eq!(case.stage, ReplaceStage::Testing);
        case.tested(DeviceTest::Print, true).unwrap();
        assert!(matches!(
            case.cut_over(NOW, "N-1", "Li Wei"),
            Err(Refusal::SamePerson { .. })
        ));
        assert!(matches!(
            case.cut_over(NOW, " ", "Wang Fang"),
            Err(Refusal::Missing { .. })
        ));
        case.cut_over(NOW, "N-1", "Wang Fang").unwrap();
        assert!(case.cancel().is_err());
        case.close().unwrap();
        assert!(case.stage.is_over());
    }

    #[test]
    fn a_roll_back_is_possible_for_a_day_and_while_the_old_device_has_its_keys() {
        let mut case = tested();
        assert!(case.roll_back(NOW, false, "Li Wei").is_err());
        case.cut_over(NOW, "N-1", "Wang Fang").unwrap();
        let day = Timestamp(NOW.0 + 86_400_000_000);
        assert!(
            case.roll_back(Timestamp(day.0 + 1), false, "Li Wei")
                .is_err()
        );
        assert!(case.roll_back(day, true, "Li Wei").is_err());
        assert!(case.roll_back(day, false, "Wang Fang").is_err());
        case.roll_back(day, false, "Li Wei").unwrap();
        assert!(case.stage.is_over() && case.close().is_err());
    }
}
