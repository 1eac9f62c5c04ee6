//! When what a binding took may be paid out.
//!
//! A day's money is paid by the file of that day, and a day is judged at its end: what may not be paid out then
//! waits, and belongs to the file of the first day at whose end it may. What is settled so never changes: of a day
//! that is over, everything that decides it is history.
//!
//! | binding | what waits |
//! |---|---|
//! | `SUSPENDED`, the reason `account`, or a hold on settlement | everything that is not paid yet |
//! | `UNBINDING` after one of these | the same |
//! | `RE_PENDING` and `UNBINDING` otherwise | what was taken meanwhile |
//! | `ACTIVATING` | what is taken, for good: it tests the device |
//! | other | nothing |
//!
//! A replacement moves a shop to another binding and ends nothing that stopped its payout: bindings that followed
//! one another are one [`PayoutHistory`].

use std::ops::Range;

use super::hold::{HoldScope, HoldSet};
use super::state::{BindingState, ReasonSet, RependReason};
use crate::base::Timestamp;

/// What of a binding's money waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing.
    Nothing,
    /// What is taken now, and it is never paid: it tests a device.
    Tests,
    /// What was taken since the binding ceased to be verified.
    Taken,
    /// Everything that is not paid yet.
    Everything,
}

impl Waiting {
    /// What waits while a binding is so.
    #[must_use]
    pub const fn of(state: BindingState, reasons: ReasonSet, holds: HoldSet) -> Self {
        let held = holds.contains(HoldScope::Settlement);
        match state {
            // Whom it replaces has holds of its own.
            BindingState::Pending | BindingState::Activating => Self::Tests,
            _ if held => Self::Everything,
            BindingState::Suspended => Self::Everything,
            BindingState::RePending | BindingState::Unbinding
                if reasons.contains(RependReason::Account) =>
            {
                Self::Everything
            }
            BindingState::RePending | BindingState::Unbinding => Self::Taken,
            BindingState::Active | BindingState::Unbound => Self::Nothing,
        }
    }
}

/// A version of a binding, as its history has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stood {
    /// Version.
    pub version: u32,
    /// From when on.
    pub at: Timestamp,
    /// State.
    pub state: BindingState,
    /// Reasons.
    pub reasons: ReasonSet,
    /// Holds.
    pub holds: HoldSet,
}

/// What waited in each version of a binding, given in their order. Nobody gets rid of a suspension by being unbound:
/// what it stopped waits until the end.
#[must_use]
pub fn turns_of(versions: &[Stood]) -> Vec<Turn> {
    let mut suspended = false;
    let turns = versions.iter().map(|stood| {
        let drains = stood.state == BindingState::Unbinding;
        suspended = stood.state == BindingState::Suspended || suspended && drains;
        Turn {
            version: stood.version,
            at: stood.at,
            waiting: if suspended {
                Waiting::Everything
            } else {
                Waiting::of(stood.state, stood.reasons, stood.holds)
            },
        }
    });
    turns.collect()
}

/// From when on a binding's money waited so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Version of the binding.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// What waits from then on.
    pub waiting: Waiting,
}

/// All turns of a binding, and of those before and after it in a line of replacements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayoutHistory {
    /// Its own, oldest first.
    pub own: Vec<Turn>,
    /// Those of each of the others.
    pub others: Vec<Vec<Turn>>,
}

impl PayoutHistory {
    /// The day by whose file something is paid; `None` while nobody can say. `held_under` is the version under which
    /// it was taken while it had to wait at once. `day_of` gives the day that a moment is in.
    pub fn paid_in(
        &self,
        held_under: Option<u32>,
        accepted: Timestamp,
        day_of: &dyn Fn(Timestamp) -> Option<Range<Timestamp>>,
    ) -> Option<Range<Timestamp>> {
        let mut day = day_of(accepted)?;
        loop {
            if self.may_be_paid(held_under, day.end) {
                return Some(day);
            }
            // Nothing changes until the next turn.
            let turns = self.turns().filter(|turn| turn.at >= day.end);
            day = day_of(turns.map(|turn| turn.at).min()?)?;
        }
    }

    /// Since when something may wait at that moment: whatever was accepted before is paid. `None` when nothing waits.
    pub fn waiting_since(
        &self,
        at: Timestamp,
        day_of: &dyn Fn(Timestamp) -> Option<Range<Timestamp>>,
    ) -> Option<Timestamp> {
        if self.is_clear(at) {
            return None;
        }
        let mut times: Vec<_> = self.turns().map(|turn| turn.at).collect();
        times.retain(|time| *time < at);
        times.sort_unstable();
        let mut since = Timestamp(0);
        for pair in times.windows(2) {
            let &[begun, ended] = pair else { continue };
            let first = day_of(ended).map_or(Timestamp(0), |day| day.start);
            // A day's end at which nothing waited settles all that was before.
            if begun < first && self.is_clear(ended) {
                since = first;
            }
        }
        Some(since)
    }

    /// Whether it may be paid out as things stood just before that moment.
    fn may_be_paid(&self, held_under: Option<u32>, at: Timestamp) -> bool {
        let verified = |version: u32| {
            let is_test = |turn: &Turn| turn.version == version && turn.waiting == Waiting::Tests;
            let mut later = self.own.iter().filter(|turn| turn.version > version);
            !self.own.iter().any(is_test)
                && later.any(|turn| turn.at < at && turn.waiting == Waiting::Nothing)
        };
        held_under.is_none_or(verified) && !self.is_stopped(at)
    }

    /// Whether everything waits.
    fn is_stopped(&self, at: Timestamp) -> bool {
        let mut all = std::iter::once(&self.own).chain(&self.others);
        all.any(|turns| waiting_at(turns, at) == Waiting::Everything)
    }

    fn is_clear(&self, at: Timestamp) -> bool {
        waiting_at(&self.own, at) == Waiting::Nothing && !self.is_stopped(at)
    }

    fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.own.iter().chain(self.others.iter().flatten())
    }
}

/// What waited just before that moment.
fn waiting_at(turns: &[Turn], at: Timestamp) -> Waiting {
    let last = turns.iter().rev().find(|turn| turn.at < at);
    last.map_or(Waiting::Nothing, |turn| turn.waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 100;

    fn day_of(at: Timestamp) -> Option<Range<Timestamp>> {
        let start = at.0 / DAY * DAY;
        Some(Timestamp(start)..Timestamp(start + DAY))
    }

    /// Turns at times; versions count from 1.
    fn turns(of: &[(u64, Waiting)]) -> Vec<Turn> {
        let turns = of.iter().zip(1..).map(|((at, waiting), version)| Turn {
            version,
            at: Timestamp(*at),
            waiting: *waiting,
        });
        turns.collect()
    }

    fn history(own: &[(u64, Waiting)]) -> PayoutHistory {
        PayoutHistory {
            own: turns(own),
            others: Vec::new(),
        }
    }

    /// Number of the day that pays.
    fn paid(history: &PayoutHistory, held_under: Option<u32>, accepted: u64) -> Option<u64> {
        let day = history.paid_in(held_under, Timestamp(accepted), &day_of)?;
        Some(day.start.0 / DAY)
    }

    use Waiting::{Everything, Nothing, Taken, Tests};

    #[test]
    fn what_waits_depends_on_state_reasons_and_the_hold_on_settlement_only() {
        let none = ReasonSet::EMPTY;
        for state in BindingState::ALL {
            for reason in RependReason::ALL {
                for scope in HoldScope::ALL {
                    let (reasons, holds) = (none.with(*reason), HoldSet::EMPTY.with(*scope));
                    let expect = match (state, reason, scope) {
                        (BindingState::Pending | BindingState::Activating, _, _) => Tests,
                        (BindingState::Suspended, _, _) | (_, _, HoldScope::Settlement) => {
                            Everything
                        }
                        (
                            BindingState::RePending | BindingState::Unbinding,
                            RependReason::Account,
                            _,
                        ) => Everything,
                        (BindingState::RePending | BindingState::Unbinding, _, _) => Taken,
                        (BindingState::Active | BindingState::Unbound, _, _) => Nothing,
                    };
                    let found = Waiting::of(*state, reasons, holds);
                    assert_eq!(found, expect, "{state} {reasons} {scope}");
                }
            }
        }
    }

    #[test]
    fn what_a_suspension_stopped_waits_until_the_unbinding_is_over() {
        use BindingState::{Active, Suspended, Unbinding, Unbound};
        let waits = |states: &[BindingState]| {
            let versions: Vec<_> = (1..)
                .zip(states)
                .map(|(version, state)| Stood {
                    version,
                    at: Timestamp(u64::from(version)),
                    state: *state,
                    reasons: ReasonSet::EMPTY,
                    holds: HoldSet::EMPTY,
                })
                .collect();
            let turns = turns_of(&versions);
            turns.iter().map(|turn| turn.waiting).collect::<Vec<_>>()
        };
        assert_eq!(
            waits(&[Active, Suspended, Unbinding, Unbinding, Unbound]),
            [Nothing, Everything, Everything, Everything, Nothing]
        );
        assert_eq!(
            waits(&[Suspended, Active, Unbinding, Unbound]),
            [Everything, Nothing, Taken, Nothing]
        );
    }

    #[test]
    fn a_day_is_judged_at_its_end() {
        let stopped = history(&[(10, Nothing), (250, Everything), (410, Nothing)]);
        // Taken before, on the day of and after the stop; on the day of the release.
        for (accepted, day) in [(150, 1), (220, 4), (260, 4), (399, 4), (405, 4), (500, 5)] {
            assert_eq!(paid(&stopped, None, accepted), Some(day), "{accepted}");
        }
        // Over within the day: nothing is late.
        let short = history(&[(10, Nothing), (210, Everything), (290, Nothing)]);
        assert_eq!(paid(&short, None, 205), Some(2));
        assert_eq!(paid(&short, Some(2), 215), Some(2));
        let open = history(&[(10, Nothing), (210, Everything)]);
        assert_eq!(paid(&open, None, 205), None);
        assert_eq!(paid(&open, None, 150), Some(1));
    }

    #[test]
    fn what_was_taken_unverified_waits_and_what_was_taken_before_does_not() {
        let turns = history(&[
            (10, Nothing),
            (210, Taken),
            (330, Nothing),
            (480, Everything),
        ]);
        assert_eq!(paid(&turns, None, 205), Some(2));
        assert_eq!(paid(&turns, Some(2), 215), Some(3));
        // Once it was verified, being unverified anew holds nothing of before.
        let again = history(&[(10, Nothing), (210, Taken), (330, Nothing), (350, Taken)]);
        assert_eq!(paid(&again, Some(2), 215), Some(3));
        assert_eq!(paid(&again, Some(4), 360), None);
        // Verified, but stopped before the day was over: the next release counts.
        let stopped = history(&[
            (10, Nothing),
            (210, Taken),
            (330, Nothing),
            (340, Everything),
        ]);
        assert_eq!(paid(&stopped, Some(2), 215), None);
        let over = history(&[(1, Taken), (330, Nothing), (340, Everything), (999, Taken)]);
        assert_eq!(paid(&over, Some(1), 215), Some(9));
    }

    #[test]
    fn what_tested_a_device_is_never_paid() {
        let turns = history(&[(10, Tests), (120, Nothing), (250, Taken), (330, Nothing)]);
        assert_eq!(paid(&turns, Some(1), 20), None);
        assert_eq!(paid(&turns, Some(3), 260), Some(3));
        assert_eq!(paid(&turns, None, 130), Some(1));
    }

    #[test]
    fn what_stops_one_of_a_line_stops_all_of_it() {
        let mut line = history(&[(10, Nothing), (210, Taken), (320, Nothing)]);
        line.others = vec![turns(&[(200, Nothing), (220, Everything), (510, Nothing)])];
        assert_eq!(paid(&line, None, 205), Some(5));
        assert_eq!(paid(&line, Some(2), 215), Some(5));
        line.others = vec![turns(&[(200, Nothing), (220, Taken)])];
        assert_eq!(paid(&line, None, 205), Some(2));
        assert_eq!(paid(&line, Some(2), 215), Some(3));
    }

    /// Whatever the turns, a day that is over is settled for good, and what waits is found from where it may begin.
    #[test]
    fn later_turns_change_no_day_that_is_over() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..2_000 {
            let mut at = 0;
            let mut all = || {
                (0..8)
                    .map(|_| {
                        at += 1 + random(150);
                        (
                            at,
                            [Nothing, Nothing, Taken, Everything]
                                [usize::try_from(random(4)).unwrap()],
                        )
                    })
                    .collect::<Vec<_>>()
            };
            let own = turns(&all());
            let now = own[5].at;
            let whole = PayoutHistory {
                own: own.clone(),
                others: Vec::new(),
            };
            let known = PayoutHistory {
                own: own[..5].to_vec(),
                others: Vec::new(),
            };
            for turn in &own[..5] {
                let held_under = (turn.waiting != Nothing).then_some(turn.version);
                let before = known.paid_in(held_under, turn.at, &day_of);
                let after = whole.paid_in(held_under, turn.at, &day_of);
                let today = day_of(now).unwrap();
                if let Some(day) = &before
                    && day.end <= today.start
                {
                    assert_eq!(after, before, "round {round}");
                }
                if before.is_none() {
                    assert!(
                        after.is_none_or(|day| day.start >= today.start),
                        "round {round}"
                    );
                }
            }
            for turn in &own {
                let held_under = (turn.waiting != Nothing).then_some(turn.version);
                let Some(day) = whole.paid_in(held_under, turn.at, &day_of) else {
                    continue;
                };
                if day.start > turn.at {
                    let since = whole.waiting_since(day.start, &day_of);
                    assert!(since.is_some_and(|since| since <= turn.at), "round {round}");
                }
            }
        }
    }
}
