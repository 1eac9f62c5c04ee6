//! States of a binding and of a settlement account. What leads from one to another is in
//! [`life`](super::life) and [`account`](super::account).
//!
//! A closed (`UNBOUND`) binding never opens again: binding the device anew makes a new binding.

use std::fmt;

use super::named::{named_enum, named_set};

named_enum!(
    /// Where a binding stands in its life.
    BindingState {
        /// Requested, not yet approved.
        Pending = "pending",
        /// Approved; the device is fetching keys and parameters.
        Activating = "activating",
        /// May trade.
        Active = "active",
        /// Waits for re-verification: new money is declined, old money can be undone.
        RePending = "re-pending",
        /// Stopped by risk control, by law or because it was reported lost.
        Suspended = "suspended",
        /// Draining towards its end: no new money.
        Unbinding = "unbinding",
        /// Closed for good.
        Unbound = "unbound",
    }
);

impl BindingState {
    /// Whether the binding still holds its terminal id and device.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Unbound)
    }
}

named_enum!(
    /// Whether money may settle into an account.
    AccountStatus {
        /// Registered; name match and test credit outstanding.
        Unverified = "unverified",
        /// Usable.
        Verified = "verified",
        /// The bank says it does not exist or a payout came back.
        Invalid = "invalid",
        /// Frozen by the bank or by law.
        Frozen = "frozen",
        /// Closed.
        Closed = "closed",
    }
);

impl AccountStatus {
    /// Whether new money may be taken for it.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Verified)
    }
}

named_enum!(
    /// Why a binding waits for re-verification.
    RependReason {
        /// The contact phone changed or is no longer reachable.
        Phone = "phone",
        /// The settlement account changed or became invalid.
        Account = "account",
        /// Another device answers under this terminal id.
        Device = "device",
        /// The terminal stands elsewhere.
        Location = "location",
        /// No transaction for three months.
        Dormant = "dormant",
        /// The merchant's identity is in doubt.
        Identity = "identity",
        /// An unbinding was cancelled.
        Reconfirm = "reconfirm",
    }
);

named_set!(
    /// The set of reasons of a re-pending binding. It is active again only when the set is empty.
    ReasonSet of RependReason
);

impl ReasonSet {
    /// Reads `"phone+account"`; the empty text is the empty set.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Self::EMPTY;
        for word in text.split('+').filter(|w| !w.is_empty()) {
            set = set.with(RependReason::from_name(word.trim())?);
        }
        Some(set)
    }
}

impl fmt::Display for ReasonSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.iter().enumerate() {
            let plus = if at == 0 { "" } else { "+" };
            write!(f, "{plus}{reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_sets_print_and_parse() {
        let set = ReasonSet::EMPTY
            .with(RependReason::Account)
            .with(RependReason::Phone);
        assert_eq!(set.to_string(), "phone+account");
        let bits: Vec<_> = RependReason::ALL
            .iter()
            .map(|reason| ReasonSet::EMPTY.with(*reason).bits())
            .collect();
        assert_eq!(bits, [1, 2, 4, 8, 16, 32, 64], "as they are stored");
        assert_eq!(ReasonSet::parse("account+phone"), Some(set));
        assert_eq!(ReasonSet::parse("weather"), None);
        assert_eq!(ReasonSet::from_bits(set.bits()), set);
        assert!(
            set.without(RependReason::Phone)
                .without(RependReason::Account)
                .is_empty()
        );
    }

    #[test]
    fn state_names_lead_back() {
        for state in BindingState::ALL {
            assert_eq!(BindingState::from_name(state.name()), Some(*state));
        }
    }
}
