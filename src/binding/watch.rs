//! What is watched after something was closed: old terminals, old devices, old contacts, and devices that answer
//! under another's terminal id. An alert is told at once, and then at most once an hour with how often it was heard.

use std::time::Duration;

use super::named::named_enum;
use crate::base::Timestamp;

/// How long the terminal id, the device and a contact that was given up are watched after the end.
pub const WATCH: Duration = Duration::from_secs(90 * 86_400);

/// From one telling of an alert to the next.
pub const TOLD_EVERY: Duration = Duration::from_secs(3_600);

named_enum!(
    /// What was heard.
    AlertKind {
        /// A message of a terminal whose binding is closed.
        LateMessage = "late-message",
        /// A message that names a device whose binding is closed.
        LateDevice = "late-device",
        /// A message of a bound terminal that names another device than is bound.
        OtherDevice = "other-device",
        /// A contact that one merchant gave up is entered or verified for another.
        RevokedContact = "revoked-contact",
    }
);

impl AlertKind {
    /// Name for the audit trail and webhooks.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::LateMessage | Self::LateDevice => "risk.late_message_after_unbind",
            Self::OtherDevice => "risk.clone_suspect",
            Self::RevokedContact => "risk.revoked_contact_used",
        }
    }
}

/// Whether what is heard now is told, or counts towards what was told when it `began`.
#[must_use]
pub fn is_told(now: Timestamp, began: Option<Timestamp>) -> bool {
    began.is_none_or(|began| now >= began.after(TOLD_EVERY))
}

/// What operators set for all bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRules {
    /// How long nobody else gets a terminal id after its end.
    pub quarantine: Duration,
    /// After how many months without an approved transaction a binding waits for re-verification; 0 for never.
    pub dormant_months: u32,
    /// How long a replacement may take until its cut-over. Then it is over, and the new device is free.
    pub replacement: Duration,
}

impl BindingRules {
    /// Shortest quarantine.
    pub const QUARANTINE_MIN: Duration = Duration::from_secs(180 * 86_400);
    /// Longest.
    pub const QUARANTINE_MAX: Duration = Duration::from_secs(3_650 * 86_400);
    /// Shortest time for a replacement.
    pub const REPLACEMENT_MIN: Duration = Duration::from_secs(86_400);
    /// Longest.
    pub const REPLACEMENT_MAX: Duration = Duration::from_secs(365 * 86_400);
}

impl Default for BindingRules {
    fn default() -> Self {
        Self {
            quarantine: Self::QUARANTINE_MIN,
            dormant_months: 0,
            replacement: Duration::from_secs(30 * 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_thing_is_told_of_once_an_hour() {
        let at = |seconds: u64| Timestamp(1_795_305_600_000_000 + seconds * 1_000_000);
        assert!(is_told(at(0), None));
        let mut told = Vec::new();
        let mut began = None;
        for second in 0..10_000 {
            if is_told(at(second), began) {
                began = Some(at(second));
                told.push(second);
            }
        }
        assert_eq!(told, [0, 3_600, 7_200]);
        // A clock that was set back tells nothing twice.
        assert!(!is_told(at(0), Some(at(5))));
    }
}
