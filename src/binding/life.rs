//! The life of a binding: which event leads where.
//!
//! ```text
//!            approve            activate            repend               overdue
//!  PENDING ───────────▶ ACTIVATING ─────▶ ACTIVE ────────▶ RE_PENDING ─────────┐
//!     │                     │              ▲ │ ▲            │ ▲ │ clear         │
//!     │ reject              │ reject       │ │ └─the last────┘ │ └─▶ (one less)  │
//!     │                     │       resume │ │suspend         │                 ▼
//!     │                     │              │ ▼     resume     │              SUSPENDED
//!     │                     │           SUSPENDED ────────────┘
//!     │                     │              │
//!     │                     │              │ unbind (from ACTIVE, RE_PENDING, SUSPENDED)
//!     │                     │              ▼        cancel
//!     │                     │          UNBINDING ─────────▶ RE_PENDING {reconfirm, …}
//!     │                     │              │ drained
//!     ▼                     ▼              ▼
//!   UNBOUND ◀───────────────┴──────────────┘
//! ```
//!
//! | event | from | to | who |
//! |---|---|---|---|
//! | `Approve` | pending | activating | a second person |
//! | `Reject` | pending, activating | unbound | a second person; time |
//! | `Activate` | activating | active | the device, with a code that is used once |
//! | `Repend` | active, re-pending, suspended, unbinding | re-pending (suspended and unbinding stay) | registry, risk, time |
//! | `Clear` | re-pending, suspended, unbinding | active when no reason is left (suspended and unbinding stay) | evidence for that reason |
//! | `Overdue` | re-pending | suspended | time |
//! | `Suspend` | active, re-pending | suspended | risk, law, whoever reports it lost |
//! | `Resume` | suspended | active, or re-pending with the reasons it had | a second person |
//! | `Unbind` | active, re-pending, suspended | unbinding | an approved case |
//! | `CancelUnbind` | unbinding | re-pending (reconfirm, and the reasons it had) | whoever ends the case; reconfirming takes another person's evidence |
//! | `Drained` | unbinding | unbound | the drain conditions, or two persons |
//!
//! What asks for little proof stops, what asks for much starts: no event leads to ACTIVE but the device's
//! activation and the last reason's evidence. A request for a change, a code that was sent and codes that
//! were wrong are no events of a binding at all, so that nobody can stop a shop by telephone.
//!
//! PENDING, ACTIVATING and UNBINDING take no new money and are not suspended: coming back from there would
//! need a memory of where it came from. What must be stopped in them is stopped by a hold. Whoever cancels the unbinding
//! of a binding that was suspended [suspends](BindingEvent::Suspend) it again: its history knows.

use super::refusal::{Refusal, only_in};
use super::state::{BindingState, ReasonSet, RependReason};

/// A binding's state with the reasons that are open: they are kept while it is suspended.
///
/// `state == RePending` implies that `reasons` is not empty; in states other than `RE_PENDING`, `SUSPENDED` and
/// `UNBINDING` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// State.
    pub state: BindingState,
    /// Reasons to verify anew that no evidence was given for yet.
    pub reasons: ReasonSet,
}

/// What happens to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingEvent {
    /// Merchant, account and contact were verified, the documents approved.
    Approve,
    /// It was refused, or not finished in time.
    Reject,
    /// The device confirmed keys and parameters with its activation code.
    Activate,
    /// Something about it has to be verified anew.
    Repend(ReasonSet),
    /// There is evidence for one reason.
    Clear(RependReason),
    /// Nobody gave evidence in time.
    Overdue,
    /// Risk control, the law or a report of loss stops it.
    Suspend,
    /// The check passed, or the appeal was upheld.
    Resume,
    /// A case of unbinding or of replacement was approved.
    Unbind,
    /// The case was cancelled before anything was wiped.
    CancelUnbind,
    /// Nothing is left to be drained.
    Drained,
}

impl BindingEvent {
    /// Name for history, audit and webhooks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "binding.approved",
            Self::Reject => "binding.rejected",
            Self::Activate => "binding.activated",
            Self::Repend(_) => "binding.repended",
            Self::Clear(_) => "binding.reason_cleared",
            Self::Overdue => "binding.overdue",
            Self::Suspend => "binding.suspended",
            Self::Resume => "binding.resumed",
            Self::Unbind => "binding.unbinding",
            Self::CancelUnbind => "binding.unbind_cancelled",
            Self::Drained => "binding.unbound",
        }
    }
}

impl Life {
    /// A binding that was asked for.
    pub const REQUESTED: Self = Self::plain(BindingState::Pending);

    const fn plain(state: BindingState) -> Self {
        Self {
            state,
            reasons: ReasonSet::EMPTY,
        }
    }

    /// What an event makes of it.
    ///
    /// # Errors
    /// When it cannot happen in this state, with the way out.
    pub fn apply(self, event: BindingEvent) -> Result<Self, Refusal> {
        use BindingState::{Activating, Active, Pending, RePending, Suspended, Unbinding, Unbound};
        match event {
            BindingEvent::Approve => {
                self.only_in(&[Pending], "approved", self.way_out())?;
                Ok(Self::plain(Activating))
            }
            BindingEvent::Reject => {
                let remedy = "a binding that was active ends by a case of unbinding";
                self.only_in(&[Pending, Activating], "rejected", remedy)?;
                Ok(Self::plain(Unbound))
            }
            BindingEvent::Activate => {
                self.only_in(&[Activating], "activated", self.way_out())?;
                Ok(Self::plain(Active))
            }
            BindingEvent::Repend(more) => self.repend(more),
            BindingEvent::Clear(reason) => self.clear(reason),
            BindingEvent::Overdue => {
                self.only_in(&[RePending], "called overdue", "nothing has to be done")?;
                Ok(Self {
                    state: Suspended,
                    ..self
                })
            }
            BindingEvent::Suspend => {
                let remedy = "place a hold on its acceptance instead";
                self.only_in(&[Active, RePending], "suspended", remedy)?;
                Ok(Self {
                    state: Suspended,
                    ..self
                })
            }
            BindingEvent::Resume => {
                self.only_in(&[Suspended], "resumed", self.way_out())?;
                Ok(self.active_or_waiting())
            }
            BindingEvent::Unbind => {
                let remedy = "reject it if it was never active; otherwise its case goes on";
                self.only_in(&[Active, RePending, Suspended], "unbound", remedy)?;
                Ok(Self {
                    state: Unbinding,
                    ..self
                })
            }
            BindingEvent::CancelUnbind => {
                let remedy = "only a drain that is under way can be cancelled";
                self.only_in(&[Unbinding], "kept", remedy)?;
                Ok(Self {
                    state: RePending,
                    reasons: self.reasons.with(RependReason::Reconfirm),
                })
            }
            BindingEvent::Drained => {
                self.only_in(&[Unbinding], "closed", "open a case of unbinding first")?;
                Ok(Self::plain(Unbound))
            }
        }
    }

    /// Whether setting it to `after` by hand does no more than stop it, as [`Suspend`](BindingEvent::Suspend) and
    /// [`Repend`](BindingEvent::Repend) do, and forgets no reason: that is one person's to do.
    #[must_use]
    pub fn only_stops(self, after: Self) -> bool {
        self == after
            || [BindingEvent::Suspend, BindingEvent::Repend(after.reasons)]
                .into_iter()
                .any(|event| self.apply(event) == Ok(after))
    }

    fn repend(self, more: ReasonSet) -> Result<Self, Refusal> {
        use BindingState::{Active, RePending, Suspended, Unbinding};
        if more.is_empty() {
            return Err(Refusal::Missing {
                what: "a reason",
                remedy: "name at least one",
            });
        }
        let remedy = "it takes no new money in this state anyway";
        let verb = "made to verify anew";
        let allowed = [Active, RePending, Suspended, Unbinding];
        self.only_in(&allowed, verb, remedy)?;
        let state = match self.state {
            stays @ (Suspended | Unbinding) => stays,
            _active_or_waiting => RePending,
        };
        let reasons = more.iter().fold(self.reasons, ReasonSet::with);
        Ok(Self { state, reasons })
    }

    fn clear(self, reason: RependReason) -> Result<Self, Refusal> {
        use BindingState::{RePending, Suspended, Unbinding};
        let verb = "cleared of a reason";
        let allowed = [RePending, Suspended, Unbinding];
        self.only_in(&allowed, verb, "it waits for nothing")?;
        if !self.reasons.contains(reason) {
            return Err(Refusal::Missing {
                what: "this reason",
                remedy: "clear one of those that `show` lists",
            });
        }
        let left = Self {
            state: self.state,
            reasons: self.reasons.without(reason),
        };
        Ok(if self.state == RePending {
            left.active_or_waiting()
        } else {
            left
        })
    }

    /// Active only when no reason is left.
    const fn active_or_waiting(self) -> Self {
        let state = if self.reasons.is_empty() {
            BindingState::Active
        } else {
            BindingState::RePending
        };
        Self { state, ..self }
    }

    fn only_in(
        self,
        allowed: &[BindingState],
        verb: &'static str,
        remedy: &'static str,
    ) -> Result<(), Refusal> {
        only_in(
            ("binding", self.state, self.state.name()),
            allowed,
            verb,
            remedy,
        )
    }

    /// How a binding in this state comes to trade.
    const fn way_out(self) -> &'static str {
        match self.state {
            BindingState::Pending => "a second person has to approve it first",
            BindingState::Activating => "its device activates it with the activation code",
            BindingState::Active => "it trades already",
            BindingState::RePending => "clear its reasons with evidence",
            BindingState::Suspended => "resume it when the check has passed",
            BindingState::Unbinding => "cancel its case first",
            BindingState::Unbound => "closed bindings never change; bind the terminal anew",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PHONE: ReasonSet = ReasonSet::EMPTY.with(RependReason::Phone);
    const BOTH: ReasonSet = PHONE.with(RependReason::Account);

    fn life(state: BindingState, reasons: ReasonSet) -> Life {
        Life { state, reasons }
    }

    /// Every event in every state. Columns: pending, activating, active, re-pending (phone), suspended (no
    /// reason), unbinding, unbound; `.` is refused, otherwise the first letters of the state it leads to.
    #[test]
    fn every_event_in_every_state_is_answered_as_the_table_says() {
        let table = [
            (BindingEvent::Approve, "A. .. .. .. .. .. .."),
            (BindingEvent::Reject, "U. U. .. .. .. .. .."),
            (BindingEvent::Activate, ".. Ac .. .. .. .. .."),
            (BindingEvent::Repend(BOTH), ".. .. RB RB SB D. .."),
            (
                BindingEvent::Clear(RependReason::Phone),
                ".. .. .. Ac .. .. ..",
            ),
            (BindingEvent::Overdue, ".. .. .. SP .. .. .."),
            (BindingEvent::Suspend, ".. .. S. SP .. .. .."),
            (BindingEvent::Resume, ".. .. .. .. Ac .. .."),
            (BindingEvent::Unbind, ".. .. D. D. D. .. .."),
            (BindingEvent::CancelUnbind, ".. .. .. .. .. RC .."),
            (BindingEvent::Drained, ".. .. .. .. .. U. .."),
        ];
        let reconfirm = ReasonSet::EMPTY.with(RependReason::Reconfirm);
        for (event, row) in table {
            for (state, want) in BindingState::ALL.iter().zip(row.split(' ')) {
                let reasons = match state {
                    BindingState::RePending => PHONE,
                    _none => ReasonSet::EMPTY,
                };
                let got = match life(*state, reasons).apply(event) {
                    Err(Refusal::State { .. } | Refusal::Missing { .. }) => "..",
                    Err(other) => panic!("{event:?} in {state}: {other}"),
                    Ok(Life { state, reasons }) => match (state, reasons) {
                        (BindingState::Pending, _) => "P.",
                        (BindingState::Activating, _) => "A.",
                        (BindingState::Active, _) => "Ac",
                        (BindingState::RePending, r) if r == BOTH => "RB",
                        (BindingState::RePending, r) if r == reconfirm => "RC",
                        (BindingState::RePending, _) => "R?",
                        (BindingState::Suspended, r) if r == BOTH => "SB",
                        (BindingState::Suspended, r) if r == PHONE => "SP",
                        (BindingState::Suspended, _) => "S.",
                        (BindingState::Unbinding, _) => "D.",
                        (BindingState::Unbound, _) => "U.",
                    },
                };
                assert_eq!(got, want, "{event:?} in {state}");
            }
        }
    }

    #[test]
    fn two_reasons_need_two_proofs() {
        let waiting = life(BindingState::RePending, BOTH);
        let once = waiting.apply(BindingEvent::Clear(RependReason::Phone));
        let once = once.unwrap();
        assert_eq!(once.state, BindingState::RePending);
        let again = once.apply(BindingEvent::Clear(RependReason::Phone));
        assert!(matches!(again, Err(Refusal::Missing { .. })), "{again:?}");
        let twice = once.apply(BindingEvent::Clear(RependReason::Account));
        assert_eq!(twice.unwrap().state, BindingState::Active);
    }

    #[test]
    fn what_was_open_before_a_suspension_is_open_after_it() {
        let stopped = life(BindingState::RePending, BOTH).apply(BindingEvent::Suspend);
        let cleared = stopped
            .unwrap()
            .apply(BindingEvent::Clear(RependReason::Account));
        let cleared = cleared.unwrap();
        assert_eq!(cleared, life(BindingState::Suspended, PHONE));
        let resumed = cleared.apply(BindingEvent::Resume).unwrap();
        assert_eq!(resumed, life(BindingState::RePending, PHONE));
    }

    #[test]
    fn what_was_open_before_an_unbinding_or_came_up_during_it_is_open_when_it_is_cancelled() {
        let drains = life(BindingState::RePending, PHONE).apply(BindingEvent::Unbind);
        let drains = drains.unwrap();
        assert_eq!(drains, life(BindingState::Unbinding, PHONE));
        let account = ReasonSet::EMPTY.with(RependReason::Account);
        let drains = drains.apply(BindingEvent::Repend(account)).unwrap();
        let kept = drains.apply(BindingEvent::CancelUnbind).unwrap();
        let open = BOTH.with(RependReason::Reconfirm);
        assert_eq!(kept, life(BindingState::RePending, open));
        let cleared = drains.apply(BindingEvent::Clear(RependReason::Phone));
        assert_eq!(cleared, Ok(life(BindingState::Unbinding, account)));
        let ended = drains.apply(BindingEvent::Drained).unwrap();
        assert_eq!(ended, Life::plain(BindingState::Unbound));
    }

    #[test]
    fn a_re_pending_without_a_reason_is_refused() {
        let active = life(BindingState::Active, ReasonSet::EMPTY);
        let refused = active.apply(BindingEvent::Repend(ReasonSet::EMPTY));
        assert!(matches!(refused, Err(Refusal::Missing { .. })));
    }

    fn any_event() -> impl Strategy<Value = BindingEvent> {
        let reason = proptest::sample::select(RependReason::ALL.to_vec());
        prop_oneof![
            Just(BindingEvent::Approve),
            Just(BindingEvent::Reject),
            Just(BindingEvent::Activate),
            (0_u8..=255).prop_map(|bits| BindingEvent::Repend(ReasonSet::from_bits(bits))),
            reason.prop_map(BindingEvent::Clear),
            Just(BindingEvent::Overdue),
            Just(BindingEvent::Suspend),
            Just(BindingEvent::Resume),
            Just(BindingEvent::Unbind),
            Just(BindingEvent::CancelUnbind),
            Just(BindingEvent::Drained),
        ]
    }

    #[test]
    fn by_hand_one_person_stops_and_starts_nothing() {
        use BindingState::{Active, Pending, RePending, Suspended, Unbinding, Unbound};
        let waiting = |reasons| Life {
            state: RePending,
            reasons,
        };
        let active = Life::plain(Active);
        let suspended = Life::plain(Suspended);
        assert!(active.only_stops(suspended));
        assert!(active.only_stops(waiting(PHONE)));
        assert!(waiting(PHONE).only_stops(waiting(BOTH)));
        assert!(!waiting(BOTH).only_stops(waiting(PHONE)));
        // Its reasons would be forgotten.
        assert!(!waiting(PHONE).only_stops(suspended));
        for state in [Pending, RePending, Suspended, Unbinding, Unbound] {
            assert!(!Life::plain(state).only_stops(active), "{state}");
        }
        assert!(!active.only_stops(Life::plain(Unbound)));
        assert!(!active.only_stops(Life::plain(Unbinding)));
        assert!(!suspended.only_stops(waiting(PHONE)));
    }

    proptest! {
        /// The model knows only what a supervisor would ask: was it approved and activated, is it ended, what
        /// is still to be proven, does somebody hold it back.
        #[test]
        fn a_binding_trades_only_when_everything_was_proven(
            events in proptest::collection::vec(any_event(), 0..60)
        ) {
            let mut now = Life::REQUESTED;
            let (mut activated, mut ended, mut stopped) = (false, false, false);
            let mut open = ReasonSet::EMPTY;
            for event in events {
                let Ok(next) = now.apply(event) else { continue };
                prop_assert!(!ended, "{event:?} changed a closed binding");
                match event {
                    BindingEvent::Approve => {}
                    BindingEvent::Reject | BindingEvent::Drained => ended = true,
                    BindingEvent::Activate => activated = true,
                    BindingEvent::Repend(more) => {
                        open = more.iter().fold(open, ReasonSet::with);
                    }
                    BindingEvent::Clear(reason) => open = open.without(reason),
                    BindingEvent::Overdue | BindingEvent::Suspend => stopped = true,
                    BindingEvent::Resume => stopped = false,
                    BindingEvent::Unbind => stopped = true,
                    BindingEvent::CancelUnbind => {
                        (open, stopped) = (open.with(RependReason::Reconfirm), false);
                    }
                }
                now = next;
                let may_trade = activated && !ended && !stopped && open.is_empty();
                prop_assert_eq!(now.state == BindingState::Active, may_trade);
                prop_assert_eq!(now.state == BindingState::Unbound, ended);
                if !ended {
                    prop_assert_eq!(now.reasons, open);
                }
                prop_assert!(now.state != BindingState::RePending || !now.reasons.is_empty());
            }
        }
    }
}
