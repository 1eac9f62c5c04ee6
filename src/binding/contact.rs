//! Contact points of a merchant: phones and e-mail addresses, each with a role.
//!
//! ```text
//!              verify              suspect
//!  PENDING ───────────▶ VERIFIED ───────────▶ SUSPECT
//!     │                   │  ▲                  │ │
//!     │ revoke            │  └─────verify───────┘ │ revoke
//!     │                   │ revoke                │
//!     └───────────────────┴───────────────────────┴──▶ REVOKED
//! ```
//!
//! | event | from | to | who |
//! |---|---|---|---|
//! | `Verify` | pending, suspect | verified | the code that was sent to it; at the counter |
//! | `Confirm` | verified | verified | another person than entered it: it speaks for the merchant |
//! | `Suspect` | verified | suspect | a hard bounce; found under another identity |
//! | `Revoke` | all but revoked | revoked | the merchant, staff |
//!
//! A contact is an attribute of a merchant, never the key of anything: a terminal hangs on its binding. Only
//! the owner's phone bears on acceptance: when the last verified one goes before another is verified, the
//! bindings it serves wait for re-verification ([`guards_acceptance`]). A service contact may change freely.

use super::named::named_enum;
use super::refusal::{Refusal, only_in};

named_enum!(
    /// What a contact is.
    ContactKind {
        /// A telephone number.
        Phone = "phone",
        /// An e-mail address. For notices and as the weaker way; never alone for money or an end.
        Email = "email",
    }
);

named_enum!(
    /// What a contact is for.
    ContactRole {
        /// Who answers for the shop.
        Owner = "owner",
        /// Who looks after its money.
        Finance = "finance",
        /// Who stands at the till.
        Operator = "operator",
        /// Who is called when something is broken.
        Service = "service",
        /// Who is told when something is odd.
        Alert = "alert",
        /// Somebody who pays there, and had this number entered beforehand: confirms payments, is told nothing else,
        /// and speaks for the merchant in nothing.
        Payer = "payer",
    }
);

named_enum!(
    /// Where a contact stands.
    ContactState {
        /// Entered, not proven.
        Pending = "pending",
        /// Proven to be the merchant's.
        Verified = "verified",
        /// Proven once, in doubt now.
        Suspect = "suspect",
        /// No longer the merchant's; kept for the record.
        Revoked = "revoked",
    }
);

named_enum!(
    /// What happens to a contact.
    ContactEvent {
        /// A code came back, or staff saw the proof.
        Verify = "verify",
        /// Another person than entered it saw that it is the merchant's.
        Confirm = "confirm",
        /// Messages come back, or another identity has it.
        Suspect = "suspect",
        /// It is given up.
        Revoke = "revoke",
    }
);

impl ContactEvent {
    /// Name for history, audit and webhooks.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Verify => "contact.verified",
            Self::Confirm => "contact.confirmed",
            Self::Suspect => "contact.suspect",
            Self::Revoke => "contact.revoked",
        }
    }
}

/// What an event makes of a contact.
///
/// # Errors
/// When it cannot happen in this state.
pub fn apply(state: ContactState, event: ContactEvent) -> Result<ContactState, Refusal> {
    use ContactState::{Pending, Revoked, Suspect, Verified};
    let only = |allowed: &[ContactState], verb, remedy| {
        only_in(("contact", state, state.name()), allowed, verb, remedy)
    };
    match event {
        ContactEvent::Verify => only(
            &[Pending, Suspect],
            "verified",
            "a revoked contact is added anew",
        )
        .map(|()| Verified),
        ContactEvent::Confirm => {
            only(&[Verified], "confirmed", "verify it by a code first").map(|()| Verified)
        }
        ContactEvent::Suspect => {
            only(&[Verified], "doubted", "only what was verified can be").map(|()| Suspect)
        }
        ContactEvent::Revoke => only(
            &[Pending, Verified, Suspect],
            "revoked",
            "nothing has to be done",
        )
        .map(|()| Revoked),
    }
}

/// Whether losing this contact concerns acceptance: the owner's phone does.
#[must_use]
pub fn guards_acceptance(kind: ContactKind, role: ContactRole) -> bool {
    kind == ContactKind::Phone && role == ContactRole::Owner
}

/// The value of a contact: sealed at rest, found by its keyed hash, shown masked.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactValue {
    kind: ContactKind,
    value: Box<str>,
}

impl std::fmt::Debug for ContactValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContactValue({})", self.masked())
    }
}

impl ContactValue {
    /// Reads what a person wrote into one spelling: phones as `+` and 7 to 15 digits (a Chinese mobile number
    /// needs no prefix), e-mail addresses without spaces, their domain in lower case.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(kind: ContactKind, text: &str) -> Result<Self, Refusal> {
        let value = match kind {
            ContactKind::Phone => phone(text),
            ContactKind::Email => email(text),
        };
        value
            .map(|value| Self {
                kind,
                value: value.into(),
            })
            .map_err(|problem| {
                let what = match kind {
                    ContactKind::Phone => "the phone number",
                    ContactKind::Email => "the e-mail address",
                };
                Refusal::Value { what, problem }
            })
    }

    /// Which kind.
    #[must_use]
    pub const fn kind(&self) -> ContactKind {
        self.kind
    }

    /// The value in clear: to be sealed, hashed, or handed to whoever delivers a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// As people are shown it: `+86138****8000`, `l***@example.cn`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self.kind {
            ContactKind::Phone => {
                let tail = self.value.len().saturating_sub(4);
                let head = tail.saturating_sub(4).min(6);
                format!(
                    "{}****{}",
                    self.value.get(..head).unwrap_or_default(),
                    self.value.get(tail..).unwrap_or_default()
                )
            }
            ContactKind::Email => {
                let (local, domain) = self.value.split_once('@').unwrap_or_default();
                let first = local.chars().next().unwrap_or('*');
                format!("{first}***@{domain}")
            }
        }
    }
}

fn phone(text: &str) -> Result<String, &'static str> {
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.'))
        .collect();
    let (digits, prefixed) = match plain.strip_prefix('+') {
        Some(rest) => (rest, true),
        None => (plain.as_str(), false),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("holds something other than digits");
    }
    if !prefixed && digits.len() == 11 && digits.starts_with('1') {
        return Ok(format!("+86{digits}"));
    }
    if !prefixed {
        return Err("needs its country: write it with + and the country's prefix");
    }
    if !(7..=15).contains(&digits.len()) {
        return Err("has to have 7 to 15 digits");
    }
    // The zero that is dialled within China stands for its prefix: with both it would be another spelling of one number.
    let digits = match digits.strip_prefix("860") {
        Some(behind) => format!("86{behind}"),
        None => digits.to_owned(),
    };
    Ok(format!("+{digits}"))
}

fn email(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let Some((local, domain)) = text.rsplit_once('@') else {
        return Err("has no @");
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | ',' | ';' | '@');
    if text.len() > 254 || local.is_empty() || local.len() > 64 {
        return Err("is too long or too short");
    }
    if !local.chars().all(plain) {
        return Err("holds a character that is not allowed");
    }
    let label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() <= 63 && label.chars().all(inside)
    };
    if !domain.contains('.') || !domain.split('.').all(label) {
        return Err("has no domain behind the @");
    }
    Ok(format!("{local}@{}", domain.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_in_every_state_is_answered_as_the_table_says() {
        // Columns: pending, verified, suspect, revoked.
        let table = [
            (ContactEvent::Verify, "v.v."),
            (ContactEvent::Confirm, ".v.."),
            (ContactEvent::Suspect, ".s.."),
            (ContactEvent::Revoke, "rrr."),
        ];
        assert_eq!(table.len(), ContactEvent::ALL.len());
        for (event, row) in table {
            let got: String = ContactState::ALL
                .iter()
                .map(|state| match apply(*state, event) {
                    Err(_) => '.',
                    Ok(after) => after.name().chars().next().unwrap(),
                })
                .collect();
            assert_eq!(got, row, "{event}");
        }
    }

    #[test]
    fn one_number_has_one_spelling() {
        for text in [
            "13800138000",
            "138-0013-8000",
            "+86 138 0013 8000",
            "+86 0138 0013 8000",
        ] {
            let value = ContactValue::parse(ContactKind::Phone, text).unwrap();
            assert_eq!(value.expose(), "+8613800138000", "{text}");
            assert_eq!(value.masked(), "+86138****8000");
        }
        let mail = ContactValue::parse(ContactKind::Email, " li.wei@Example.CN ").unwrap();
        assert_eq!(mail.expose(), "li.wei@example.cn");
        assert_eq!(mail.masked(), "l***@example.cn");
    }

    #[test]
    fn what_nobody_can_be_reached_at_is_refused_without_being_repeated() {
        for (kind, text) in [
            (ContactKind::Phone, "010-88886666"),
            (ContactKind::Phone, "+123"),
            (ContactKind::Phone, "+86138x0138000"),
            (ContactKind::Phone, ""),
            (ContactKind::Email, "li.wei"),
            (ContactKind::Email, "li wei@example.cn"),
            (ContactKind::Email, "li@example"),
            (ContactKind::Email, "li@exa\r\nBcc: x@y.cn"),
            (ContactKind::Email, "a@b@example.cn"),
        ] {
            let refused = ContactValue::parse(kind, text).unwrap_err();
            assert!(matches!(refused, Refusal::Value { .. }), "{text}");
            assert!(text.is_empty() || !refused.to_string().contains(text));
        }
    }

    #[test]
    fn a_value_is_in_no_debug_text() {
        let value = ContactValue::parse(ContactKind::Phone, "13800138000").unwrap();
        assert!(!format!("{value:?}").contains("00138"));
    }

    #[test]
    fn short_numbers_keep_their_middle_to_themselves() {
        let value = ContactValue::parse(ContactKind::Phone, "+1234567").unwrap();
        assert_eq!(value.masked(), "****4567");
    }
}
