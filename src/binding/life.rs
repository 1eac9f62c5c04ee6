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
//!     │                     │          UNBINDING ─────────▶ as before, and {reconfirm}
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
//! | `Suspend` | active, re-pending, unbinding | suspended (unbinding stays, and is suspended when it is cancelled) | risk, law, whoever reports it lost |
//! | `Resume` | suspended, unbinding that was suspended | active, or re-pending with the reasons it had (unbinding stays) | a second person |
//! | `Unbind` | active, re-pending, suspended | unbinding | an approved case |
//! | `CancelUnbind` | unbinding | suspended if it was or would be, else re-pending; with the reasons it had and reconfirm | merchant, checker |
//! | `Drained` | unbinding | unbound | the drain conditions, or two persons |
//!
//! What asks for little proof stops, what asks for much starts: no event leads to ACTIVE but the device's
//! activation and the last reason's evidence. A request for a change, a code that was sent and codes that
//! were wrong are no events of a binding at all, so that nobody can stop a shop by telephone.
//!
//! An unbinding forgets nothing: a case that is opened and cancelled is no way around a suspension, and around no
//! proof that is still owed.
//!
//! PENDING and ACTIVATING take no new money and are not suspended: what must be stopped in them is stopped by a
//! hold, or rejected.

use super::refusal::{Refusal, only_in};
use super::state::{BindingState, ReasonSet, RependReason};

/// A binding's state with what outlasts it: reasons are kept while it is suspended, and both while it unbinds.
///
/// `state == RePending` implies that `reasons` is not empty; in states other than `RE_PENDING`, `SUSPENDED` and
/// `UNBINDING` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// State.
    pub state: BindingState,
    /// Reasons to verify anew that no evidence was given for yet.
    pub reasons: ReasonSet,
    /// Whether it is suspended; in `UNBINDING`, whether it is when that is cancelled. In no other state.
    pub suspended: bool,
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

    /// In a state that came about without anything that outlasts it.
    #[must_use]
    pub const fn new(state: BindingState, reasons: ReasonSet) -> Self {
        Self {
            state,
            reasons,
            suspended: matches!(state, BindingState::Suspended),
        }
    }

    /// Whether these reasons can be open in this state: a re-pending binding has some, and none is kept where nothing
    /// comes back from.
    #[must_use]
    pub const fn fits(state: BindingState, reasons: ReasonSet) -> bool {
        match state {
            BindingState::RePending => !reasons.is_empty(),
            BindingState::Suspended | BindingState::Unbinding => true,
            BindingState::Pending
            | BindingState::Activating
            | BindingState::Active
            | BindingState::Unbound => reasons.is_empty(),
        }
    }

    const fn plain(state: BindingState) -> Self {
        Self::new(state, ReasonSet::EMPTY)
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
                Ok(self.stopped())
            }
            BindingEvent::Suspend => {
                let remedy = "place a hold on its acceptance instead";
                self.only_in(&[Active, RePending, Unbinding], "suspended", remedy)?;
                if self.suspended {
                    let (what, problem) = ("the suspension", "outlasts the unbinding already");
                    return Err(Refusal::Value { what, problem });
                }
                Ok(self.stopped())
            }
            BindingEvent::Resume => {
                if self.state != Unbinding || !self.suspended {
                    self.only_in(&[Suspended], "resumed", self.way_out())?;
                }
                let resumed = Self {
                    suspended: false,
                    ..self
                };
                Ok(resumed.active_or_waiting())
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
                    state: if self.suspended { Suspended } else { RePending },
                    reasons: self.reasons.with(RependReason::Reconfirm),
                    ..self
                })
            }
            BindingEvent::Drained => {
                self.only_in(&[Unbinding], "closed", "open a case of unbinding first")?;
                Ok(Self::plain(Unbound))
            }
        }
    }

    /// What setting a state by hand makes of it: a suspension without a word on reasons keeps those that are open, so that
    /// who stops a terminal need not name them, and forgets none.
    #[must_use]
    pub const fn by_hand(self, state: BindingState, reasons: ReasonSet) -> Self {
        if matches!(state, BindingState::Suspended) && reasons.is_empty() {
            return Self::new(state, self.reasons);
        }
        Self::new(state, reasons)
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
        self.only_in(&[Active, RePending, Suspended, Unbinding], verb, remedy)?;
        let reasons = more.iter().fold(self.reasons, ReasonSet::with);
        Ok(Self { reasons, ..self }.active_or_waiting())
    }

    /// Whether it can be made to verify something anew.
    #[must_use]
    pub fn may_repend(self) -> bool {
        let any = ReasonSet::EMPTY.with(RependReason::Reconfirm);
        self.repend(any).is_ok()
    }

    fn clear(self, reason: RependReason) -> Result<Self, Refusal> {
        use BindingState::{RePending, Suspended, Unbinding};
        let verb = "cleared of a reason";
        let waiting = [RePending, Suspended, Unbinding];
        self.only_in(&waiting, verb, "it waits for nothing")?;
        if !self.reasons.contains(reason) {
            return Err(Refusal::Missing {
                what: "this reason",
                remedy: "clear one of those that `show` lists",
            });
        }
        let left = Self {
            reasons: self.reasons.without(reason),
            ..self
        };
        Ok(left.active_or_waiting())
    }

    /// Active only when no reason is left; what is suspended or unbinds stays so.
    const fn active_or_waiting(self) -> Self {
        let state = if matches!(self.state, BindingState::Unbinding) {
            BindingState::Unbinding
        } else if self.suspended {
            BindingState::Suspended
        } else if self.reasons.is_empty() {
            BindingState::Active
        } else {
            BindingState::RePending
        };
        Self { state, ..self }
    }

    /// Suspended, at once or when its unbinding is cancelled.
    const fn stopped(self) -> Self {
        let stopped = Self {
            suspended: true,
            ..self
        };
        stopped.active_or_waiting()
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

    const fn life(state: BindingState, reasons: ReasonSet) -> Life {
        Life::new(state, reasons)
    }

    /// Every event in every state. Columns: pending, activating, active, re-pending (phone), suspended (no
    /// reason), unbinding (phone), unbound; `.` is refused, otherwise the first letters of the state it leads to.
    #[test]
    fn every_event_in_every_state_is_answered_as_the_table_says() {
        let table = [
            (BindingEvent::Approve, "A. .. .. .. .. .. .."),
            (BindingEvent::Reject, "U. U. .. .. .. .. .."),
            (BindingEvent::Activate, ".. Ac .. .. .. .. .."),
            (BindingEvent::Repend(BOTH), ".. .. RB RB SB DB .."),
            (
                BindingEvent::Clear(RependReason::Phone),
                ".. .. .. Ac .. D. ..",
            ),
            (BindingEvent::Overdue, ".. .. .. SP .. .. .."),
            (BindingEvent::Suspend, ".. .. S. SP .. Ds .."),
            (BindingEvent::Resume, ".. .. .. .. Ac .. .."),
            (BindingEvent::Unbind, ".. .. D. DP Ds .. .."),
            (BindingEvent::CancelUnbind, ".. .. .. .. .. RC .."),
            (BindingEvent::Drained, ".. .. .. .. .. U. .."),
        ];
        let reconfirm = PHONE.with(RependReason::Reconfirm);
        for (event, row) in table {
            for (state, want) in BindingState::ALL.iter().zip(row.split(' ')) {
                let reasons = match state {
                    BindingState::RePending | BindingState::Unbinding => PHONE,
                    _none => ReasonSet::EMPTY,
                };
                let got = match life(*state, reasons).apply(event) {
                    Err(Refusal::State { .. } | Refusal::Missing { .. }) => "..",
                    Err(other) => panic!("{event:?} in {state}: {other}"),
                    Ok(Life {
                        state: BindingState::Unbinding,
                        suspended: true,
                        ..
                    }) => "Ds",
                    Ok(Life { state, reasons, .. }) => match (state, reasons) {
                        (BindingState::Pending, _) => "P.",
                        (BindingState::Activating, _) => "A.",
                        (BindingState::Active, _) => "Ac",
                        (BindingState::RePending, r) if r == BOTH => "RB",
                        (BindingState::RePending, r) if r == reconfirm => "RC",
                        (BindingState::RePending, _) => "R?",
                        (BindingState::Suspended, r) if r == BOTH => "SB",
                        (BindingState::Suspended, r) if r == PHONE => "SP",
                        (BindingState::Suspended, _) => "S.",
                        (BindingState::Unbinding, r) if r == BOTH => "DB",
                        (BindingState::Unbinding, r) if r == PHONE => "DP",
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
    fn what_was_open_before_an_unbinding_is_open_when_it_is_cancelled() {
        let reconfirm = BOTH.with(RependReason::Reconfirm);
        for (before, after) in [
            (BindingState::RePending, BindingState::RePending),
            (BindingState::Suspended, BindingState::Suspended),
        ] {
            let draining = life(before, BOTH).apply(BindingEvent::Unbind).unwrap();
            let back = draining.apply(BindingEvent::CancelUnbind).unwrap();
            assert_eq!(back, life(after, reconfirm));
        }
        // What stops it while it drains stops it afterwards, until somebody resumes it; nothing ends twice.
        let draining = life(BindingState::Active, PHONE).apply(BindingEvent::Unbind);
        let draining = draining.unwrap();
        assert!(draining.apply(BindingEvent::Resume).is_err());
        let stopped = draining.apply(BindingEvent::Suspend).unwrap();
        assert!(stopped.apply(BindingEvent::Suspend).is_err());
        let back = stopped.apply(BindingEvent::CancelUnbind).unwrap();
        assert_eq!(back.state, BindingState::Suspended);
        let free = stopped.apply(BindingEvent::Resume).unwrap();
        assert_eq!(free, draining);
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
        let waiting = |reasons| life(RePending, reasons);
        let active = Life::plain(Active);
        let suspended = Life::plain(Suspended);
        assert!(active.only_stops(suspended));
        assert!(active.only_stops(waiting(PHONE)));
        assert!(waiting(PHONE).only_stops(waiting(BOTH)));
        assert!(!waiting(BOTH).only_stops(waiting(PHONE)));
        // Its reasons would be forgotten.
        assert!(!waiting(PHONE).only_stops(suspended));
        assert!(waiting(PHONE).only_stops(life(Suspended, PHONE)));
        let stopped = waiting(PHONE).by_hand(Suspended, ReasonSet::EMPTY);
        assert_eq!(stopped, life(Suspended, PHONE));
        assert!(waiting(PHONE).only_stops(stopped));
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
            let (mut activated, mut ended, mut stopped, mut draining) = (false, false, false, false);
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
                    BindingEvent::Unbind => draining = true,
                    BindingEvent::CancelUnbind => {
                        draining = false;
                        open = open.with(RependReason::Reconfirm);
                    }
                }
                now = next;
                let may_trade = activated && !ended && !stopped && !draining && open.is_empty();
                prop_assert_eq!(now.state == BindingState::Active, may_trade);
                prop_assert_eq!(now.state == BindingState::Unbound, ended);
                prop_assert_eq!(now.suspended, stopped && !ended);
                if !ended {
                    prop_assert_eq!(now.reasons, open);
                    prop_assert_eq!(now.state == BindingState::Unbinding, draining);
                    let is_stopped = stopped && !draining;
                    prop_assert_eq!(now.state == BindingState::Suspended, is_stopped);
                }
                prop_assert!(Life::fits(now.state, now.reasons), "{:?}", now);
            }
        }
    }
}
