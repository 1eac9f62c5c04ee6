//! The case that moves a shop to a new device.
//!
//! ```text
//!          test passed, all of them         cut over                 closed, forced           wiped
//!  TESTING ───────────────────────▶ READY ───────────▶ CUT_OVER ───────────────▶ WIPING ───────────▶ CLOSED
//!     │  ▲                            │                   │                        ▲
//!     │  └──────a test failed─────────┤                   │ roll back,             │ closed, forced
//!     │ cancel                        │ cancel            ▼ within a day           │
//!     └───────────────────────────────┴──▶ CANCELLED   ROLLED_BACK ────────────────┘
//!
//!  TESTING, READY ──nobody cut over in time──▶ EXPIRED
//! ```
//!
//! | event | from | guard | who |
//! |---|---|---|---|
//! | `agreed` | testing, ready | a code that the merchant was sent for this case; not needed for the cut-over | merchant |
//! | `tested` | testing, ready | each test of the set, under the new terminal id; what the journal would show is in it, or two persons say so | staff |
//! | `cut_over` | ready | the network acknowledged the new tuple; the new device's keys are on record, or two persons saw them; checker is neither the maker nor who said of a test that it passed | checker |
//! | `roll_back` | cut over | within [`ROLLBACK`]; the old device is not wiped | two persons |
//! | `drained` | cut over, rolled back | nothing outstanding on the binding that [leaves](Replacement::leaving) | staff |
//! | `force` | cut over, rolled back | two persons and a reason | two persons |
//! | `keys_destroyed` | wiping | the check values on record for the device that leaves, all of them; kept is only what a forced drain may still need | key custodian |
//! | `wiped` | wiping | keys destroyed here, where there are any on record; done, failed or unreachable: none of them stops the case | device, staff |
//! | `cancel` | testing, ready | nothing | maker |
//! | `expire` | testing, ready | as long after the opening as operators set | time |
//!
//! The old terminal trades until the cut-over. At the cut-over the caller makes the new binding ACTIVE and
//! the old one UNBINDING in one step; a roll-back leads the old one to `RE_PENDING` (reconfirm), never straight
//! to ACTIVE, and the new one drains instead. Whichever device leaves, the case ends with its keys destroyed here and
//! with its own word.

use std::time::Duration;

use super::drain::{Forced, Outstanding};
use super::named::named_enum;
use super::refusal::{Refusal, only_in, two_persons};
use super::tested::TestSaid;
use super::wipe::{DeviceEnd, KeyMark, KeysSaid, WipeResult};
use crate::base::Timestamp;
use crate::base::note::words;

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
        /// The old one is back, to be confirmed; the new one drains.
        RolledBack = "rolled-back",
        /// The binding that drained is closed; the end of its device's keys here, and the device's word.
        Wiping = "wiping",
        /// Nothing: it is done.
        Closed = "closed",
        /// Given up before the cut-over.
        Cancelled = "cancelled",
        /// Nobody cut over in time.
        Expired = "expired",
    }
);

impl ReplaceStage {
    /// Whether the case is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Closed | Self::Cancelled | Self::Expired => true,
            Self::Testing | Self::Ready | Self::CutOver | Self::RolledBack | Self::Wiping => false,
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

/// Which device leaves the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The one that was there before.
    Old,
    /// The one that was to take over: it was rolled back.
    New,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Replacement {
    /// Where it stands.
    pub stage: ReplaceStage,
    /// Who opened it.
    pub maker: String,
    /// When.
    #[schema(value_type = u64)]
    pub opened_at: Timestamp,
    /// Why.
    pub note: String,
    /// The binding that takes over.
    pub new_binding: u64,
    /// The challenge by which the merchant agreed, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<u64>,
    /// Tests that passed.
    #[serde(default)]
    pub passed: Vec<DeviceTest>,
    /// Who said so of each, and what shows it; not of cases from before it was asked.
    #[serde(default)]
    pub said: Vec<TestSaid>,
    /// Reference of the network's acknowledgement of the new tuple.
    #[serde(default)]
    pub network: Option<String>,
    /// Who filed evidence that the new device has keys, where none were on record at the cut-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_seen_by: Option<String>,
    /// Who approved the cut-over.
    #[serde(default)]
    pub checker: Option<String>,
    /// When it was.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub cut_over_at: Option<Timestamp>,
    /// When it was rolled back.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub rolled_back_at: Option<Timestamp>,
    /// Whether, by whom and why the drain was cut short.
    #[serde(default)]
    pub forced: Option<Forced>,
    /// The end of the device that leaves.
    #[serde(flatten)]
    pub end: DeviceEnd,
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
            agreed: None,
            passed: Vec::new(),
            said: Vec::new(),
            network: None,
            keys_seen_by: None,
            checker: None,
            cut_over_at: None,
            rolled_back_at: None,
            forced: None,
            end: DeviceEnd::default(),
        }
    }

    /// Which device leaves, or is to leave.
    #[must_use]
    pub const fn leaving(&self) -> Leaving {
        match self.rolled_back_at {
            None => Leaving::Old,
            Some(_) => Leaving::New,
        }
    }

    /// What the case waits for, for who goes on with it; nothing when it is over.
    #[must_use]
    pub fn waits_for(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self.stage {
            ReplaceStage::Testing => self
                .outstanding_tests()
                .map(|test| format!("tested: {test}"))
                .collect(),
            ReplaceStage::Ready => vec![format!(
                "cut-over, by another person than {}, with the network's reference",
                self.maker
            )],
            ReplaceStage::CutOver => {
                one("close, when nothing is left on the old terminal; or force, by two persons")
            }
            ReplaceStage::RolledBack => {
                one("close, when nothing is left on the new terminal; or force, by two persons")
            }
            ReplaceStage::Wiping => self.end.waits_for(),
            ReplaceStage::Closed | ReplaceStage::Cancelled | ReplaceStage::Expired => Vec::new(),
        }
    }

    fn only_in(&self, allowed: &[ReplaceStage], verb: &'static str) -> Result<(), Refusal> {
        let remedy = match self.stage {
            ReplaceStage::Testing => "every test has to pass first",
            ReplaceStage::Ready => "cut over, or cancel",
            ReplaceStage::CutOver => "roll back within a day, or let the old terminal drain",
            ReplaceStage::RolledBack => "let the new terminal drain",
            ReplaceStage::Wiping => {
                "say which keys were destroyed, where the device has any, and what came of wiping it"
            }
            ReplaceStage::Closed | ReplaceStage::Cancelled | ReplaceStage::Expired => {
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

    /// The merchant agrees by the code of this challenge.
    ///
    /// # Errors
    /// After the cut-over.
    pub fn agreed(&mut self, challenge: u64) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Testing, ReplaceStage::Ready], "agreed to")?;
        self.agreed = Some(challenge);
        Ok(())
    }

    /// Result of a test. A test that fails takes back that it passed before.
    ///
    /// # Errors
    /// After the cut-over.
    pub fn tested(&mut self, said: TestSaid, passed: bool) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Testing, ReplaceStage::Ready], "tested")?;
        self.passed.retain(|held| *held != said.test);
        self.said.retain(|held| held.test != said.test);
        if passed {
            self.passed.push(said.test);
            self.said.push(said);
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
    /// When a test is outstanding, the network has not acknowledged, or the checker is the maker or said of a test that
    /// it passed.
    pub fn cut_over(&mut self, now: Timestamp, network: &str, by: &str) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Ready], "cut over")?;
        two_persons(&self.maker, by)?;
        for said in &self.said {
            two_persons(&said.by, by)?;
        }
        if network.trim().is_empty() {
            let what = "the network's acknowledgement of the new device";
            let remedy = "say its reference";
            return Err(Refusal::Missing { what, remedy });
        }
        words("the network's acknowledgement of the new device", network)?;
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
        self.rolled_back_at = Some(now);
        self.stage = ReplaceStage::RolledBack;
        Ok(())
    }

    /// Nothing is left on the binding that leaves: the caller closes it in the same step.
    ///
    /// # Errors
    /// While something is, and before the cut-over.
    pub fn drained(&mut self, left: &Outstanding) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::CutOver, ReplaceStage::RolledBack], "closed")?;
        left.ended()?;
        self.stage = ReplaceStage::Wiping;
        Ok(())
    }

    /// Two persons close the binding that leaves although something is left: a device that is broken may never say
    /// again that it has its last approval.
    ///
    /// # Errors
    /// When it is one person, or no reason is given.
    pub fn force(
        &mut self,
        left: Outstanding,
        first: &str,
        second: &str,
        why: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::CutOver, ReplaceStage::RolledBack], "forced")?;
        self.forced = Some(Forced::by_two(left, first, second, why)?);
        self.stage = ReplaceStage::Wiping;
        Ok(())
    }

    /// The host's keys of the device that leaves are destroyed; see [`DeviceEnd::keys_destroyed`].
    ///
    /// # Errors
    /// When the case is at another point, and as there.
    pub fn keys_destroyed(
        &mut self,
        now: Timestamp,
        recorded: &[KeyMark],
        said: &KeysSaid,
        by: &str,
    ) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Wiping], "told of its keys")?;
        let forced = self.forced.as_ref();
        self.end.keys_destroyed(now, recorded, said, forced, by)
    }

    /// What came of wiping the device that leaves.
    ///
    /// # Errors
    /// When the case is at another point, and as [`DeviceEnd::wiped`].
    pub fn wiped(&mut self, result: WipeResult, recorded: &[KeyMark]) -> Result<(), Refusal> {
        self.only_in(&[ReplaceStage::Wiping], "told of the wipe")?;
        self.end.wiped(result, recorded)?;
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

    /// Nobody cut over for as long: the caller rejects the new binding in the same step. What trades under the new
    /// terminal id already is not ended by time.
    ///
    /// # Errors
    /// Before its time, and after the cut-over.
    pub fn expire(&mut self, now: Timestamp, after: Duration) -> Result<(), Refusal> {
        self.only_in(
            &[ReplaceStage::Testing, ReplaceStage::Ready],
            "ended by time",
        )?;
        let at = self.opened_at.after(after);
        if now < at {
            let what = "the end of the case by time";
            return Err(Refusal::Early { what, at, now });
        }
        self.stage = ReplaceStage::Expired;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_305_600_000_000);

    fn said(test: DeviceTest) -> TestSaid {
        TestSaid {
            test,
            by: "Zhao Liu".into(),
            transaction: None,
            second: None,
        }
    }

    fn tested() -> Replacement {
        let mut case = Replacement::open(NOW, "Li Wei", "worn out", 2);
        for test in DeviceTest::ALL {
            assert_eq!(case.stage, ReplaceStage::Testing);
            case.tested(said(*test), true).unwrap();
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
        case.tested(said(DeviceTest::Print), false).unwrap();
        assert_eq!(case.stage, ReplaceStage::Testing);
        case.tested(said(DeviceTest::Print), true).unwrap();
        assert!(matches!(
            case.cut_over(NOW, "N-1", "Li Wei"),
            Err(Refusal::SamePerson { .. })
        ));
        assert!(matches!(
            case.cut_over(NOW, "N-1", "zhao liu"),
            Err(Refusal::SamePerson { .. })
        ));
        assert!(matches!(
            case.cut_over(NOW, " ", "Wang Fang"),
            Err(Refusal::Missing { .. })
        ));
        case.cut_over(NOW, "N-1", "Wang Fang").unwrap();
        assert!(case.cancel().is_err());
        assert_eq!(case.leaving(), Leaving::Old);
        case.drained(&Outstanding::default()).unwrap();
        assert!(case.roll_back(NOW, false, "Li Wei").is_err());
        case.wiped(WipeResult::Done, &[]).unwrap();
        assert!(case.stage.is_over() && case.waits_for().is_empty());
    }

    #[test]
    fn whichever_device_leaves_its_keys_end_here_before_it_is_wiped() {
        let keys = [KeyMark::new("tmk", "A1B2C3")];
        let said = KeysSaid {
            keys: keys.to_vec(),
            kept: Vec::new(),
        };
        for back in [false, true] {
            let mut case = tested();
            let destroy =
                |case: &mut Replacement| case.keys_destroyed(NOW, &keys, &said, "Zhao Liu");
            assert!(destroy(&mut case).is_err(), "it is still to be used");
            case.cut_over(NOW, "N-1", "Wang Fang").unwrap();
            if back {
                case.roll_back(NOW, false, "Li Wei").unwrap();
                assert_eq!(case.leaving(), Leaving::New);
            }
            assert!(case.wiped(WipeResult::Done, &keys).is_err());
            let left = Outstanding {
                unproven: 1,
                ..Outstanding::default()
            };
            assert!(case.drained(&left).is_err());
            assert!(case.force(left, "Li Wei", "Li Wei", "broken").is_err());
            case.force(left, "Li Wei", "Wang Fang", "broken").unwrap();
            let early = case.wiped(WipeResult::Unreachable, &keys).unwrap_err();
            assert!(early.to_string().contains("keys-destroyed"), "{early}");
            destroy(&mut case).unwrap();
            case.wiped(WipeResult::Unreachable, &keys).unwrap();
            assert_eq!(case.stage, ReplaceStage::Closed);
        }
    }

    #[test]
    fn what_nobody_cuts_over_ends_at_its_time() {
        let week = Duration::from_secs(7 * 86_400);
        let due = NOW.after(week);
        for mut case in [Replacement::open(NOW, "Li Wei", "worn out", 2), tested()] {
            let early = case.expire(Timestamp(due.0 - 1), week);
            assert!(matches!(early, Err(Refusal::Early { .. })));
            case.expire(due, week).unwrap();
            assert_eq!(case.stage, ReplaceStage::Expired);
            assert!(case.stage.is_over() && case.waits_for().is_empty());
            assert!(case.tested(said(DeviceTest::Print), true).is_err());
        }
        let mut case = tested();
        case.cut_over(NOW, "N-1", "Wang Fang").unwrap();
        assert!(case.expire(due, week).is_err(), "it trades");
    }

    #[test]
    fn a_case_that_was_written_before_devices_had_an_end_is_read() {
        let text = r#"{"stage":"cut-over","maker":"Li Wei","opened_at":1,"note":"worn out","new_binding":2}"#;
        let case: Replacement = serde_json::from_str(text).unwrap();
        assert_eq!(case.end, DeviceEnd::default());
        assert_eq!(case.leaving(), Leaving::Old);
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
        assert!(case.roll_back(day, false, "Li Wei").is_err());
        assert!(!case.stage.is_over(), "the new device has its end to come");
    }
}
