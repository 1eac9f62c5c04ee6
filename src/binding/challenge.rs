//! A verification challenge: a code that was sent to a contact and has to come back.
//!
//! ```text
//!              sent              delivered
//!  CREATED ──────────▶ SENT ──────────────▶ DELIVERED
//!     │                 │                       │
//!     │   failed        │  right code, in time  │
//!     ├──────▶ UNDELIVERED        └─────────────┼──▶ APPROVED
//!     │                 │                       │
//!     │                 ├──the last wrong code──┼──▶ EXHAUSTED
//!     │                 ├──its time is over─────┼──▶ EXPIRED
//!     ├─────────────────┼──a newer code─────────┼──▶ SUPERSEDED
//!     └─────────────────┴──cancel───────────────┴──▶ CANCELLED
//! ```
//!
//! The code itself is never here: the store keeps a keyed hash over challenge, purpose, subject, target and
//! code, and a code that is offered is hashed with what the *caller* says it is for. So the right code for
//! another purpose is a wrong code, and nobody who reads the store can use one. Time and randomness come in
//! as arguments.
//!
//! Wrong codes stop the challenge and, after [`FAILURES_A_DAY`], the contact they were sent to. They never
//! touch a binding: nobody may stop a shop by asking for codes.

use std::time::Duration;

use super::contact::ContactKind;
use super::named::named_enum;
use super::refusal::{Refusal, only_in};
use crate::base::{Amount, Stan, Timestamp};

/// Digits of a code: about 20 bits (NIST 800-63B-4, out-of-band secrets).
pub const CODE_DIGITS: usize = 6;
/// Wrong codes that one challenge takes.
pub const TRIES_MAX: u8 = 5;
/// How long a code that was sent to a phone is good.
pub const PHONE_TTL: Duration = Duration::from_secs(5 * 60);
/// How long a code that was sent by e-mail is good.
pub const EMAIL_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How long an activation code is good.
pub const ACTIVATION_TTL: Duration = Duration::from_secs(3_600);
/// From one code to the next for the same contact.
pub const RESEND_AFTER: Duration = Duration::from_secs(60);
/// Codes to one contact, for one binding, or asked for from one place, within an hour.
pub const SENDS_AN_HOUR: usize = 5;
/// The same within 24 hours.
pub const SENDS_A_DAY: usize = 10;
/// Wrong codes for one contact within 24 hours, after which it takes none for 24 hours.
pub const FAILURES_A_DAY: usize = 10;
/// Wrong codes for one contact since the last right one, after which it takes none until a person has
/// verified it by other means.
pub const FAILURES_IN_A_ROW: usize = 100;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);

named_enum!(
    /// What a code is for. A code is good for this alone.
    Purpose {
        /// The device of a new binding activates it.
        Bind = "bind",
        /// A contact that was entered is the merchant's.
        VerifyContact = "verify-contact",
        /// The holder of the number that is given up agrees to the change.
        ChangePhoneOld = "change-phone-old",
        /// The number that takes its place is the merchant's.
        ChangePhoneNew = "change-phone-new",
        /// Money is to settle elsewhere.
        ChangeAccount = "change-account",
        /// The terminal is to be unbound.
        Unbind = "unbind",
        /// The terminal is to be replaced.
        Replace = "replace",
        /// A hold is to be lifted.
        ReleaseHold = "release-hold",
        /// The payer confirms one transaction.
        PayerConfirm = "payer-confirm",
    }
);

impl Purpose {
    /// What the message says the code is for.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bind => "activate your terminal",
            Self::VerifyContact => "confirm this contact",
            Self::ChangePhoneOld => "give up this number for your terminal",
            Self::ChangePhoneNew => "use this number for your terminal",
            Self::ChangeAccount => "change your settlement account",
            Self::Unbind => "unbind your terminal",
            Self::Replace => "replace your terminal",
            Self::ReleaseHold => "lift a restriction",
            Self::PayerConfirm => "confirm your payment",
        }
    }

    /// Whether an e-mail address alone may carry it: never where money is redirected or ended.
    #[must_use]
    pub const fn allows_email(self) -> bool {
        match self {
            Self::VerifyContact | Self::ReleaseHold => true,
            Self::Bind
            | Self::ChangePhoneOld
            | Self::ChangePhoneNew
            | Self::ChangeAccount
            | Self::Unbind
            | Self::Replace
            | Self::PayerConfirm => false,
        }
    }

    /// How long its code is good on a contact of this kind.
    #[must_use]
    pub const fn ttl(self, kind: ContactKind) -> Duration {
        match (self, kind) {
            (Self::Bind, _) => ACTIVATION_TTL,
            (_, ContactKind::Phone) => PHONE_TTL,
            (_, ContactKind::Email) => EMAIL_TTL,
        }
    }
}

named_enum!(
    /// Where a challenge stands.
    ChallengeState {
        /// Kept, not handed over for delivery yet.
        Created = "created",
        /// Handed over.
        Sent = "sent",
        /// The network says that it arrived.
        Delivered = "delivered",
        /// The right code came back in time.
        Approved = "approved",
        /// It did not.
        Expired = "expired",
        /// Too many wrong codes.
        Exhausted = "exhausted",
        /// It could not be delivered; that is no attempt.
        Undelivered = "undelivered",
        /// A newer code took its place.
        Superseded = "superseded",
        /// It is no longer needed.
        Cancelled = "cancelled",
    }
);

impl ChallengeState {
    /// Whether its code may still come back.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Created | Self::Sent | Self::Delivered => true,
            Self::Approved
            | Self::Expired
            | Self::Exhausted
            | Self::Undelivered
            | Self::Superseded
            | Self::Cancelled => false,
        }
    }
}

/// The one transaction that its payer confirms: by the trace number that it will have, and its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Trace number that the terminal will send it under.
    pub stan: Stan,
    /// Amount, with its currency.
    pub amount: Amount,
}

impl Payment {
    /// Checks that a code for this purpose comes with a payment if it is for one, and only then.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(purpose: Purpose, payment: Option<&Self>) -> Result<(), Refusal> {
        let what = "the payment";
        match (purpose == Purpose::PayerConfirm, payment) {
            (true, None) => Err(Refusal::Missing {
                what,
                remedy: "a payer confirms one transaction: name its trace number, amount and currency",
            }),
            (false, Some(_)) => Err(Refusal::Value {
                what,
                problem: "belongs to a payer's confirmation only",
            }),
            (true, Some(payment)) if payment.amount.minor == 0 => Err(Refusal::Value {
                what,
                problem: "has no amount",
            }),
            (true, Some(_)) | (false, None) => Ok(()),
        }
    }
}

/// A code in clear, on its way to whoever delivers it and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; CODE_DIGITS]);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(******)")
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl Code {
    /// A code from randomness; `None` when the number is one of the few that would make some codes likelier
    /// than others, and another has to be drawn.
    #[must_use]
    pub fn from_random(drawn: u32) -> Option<Self> {
        const CODES: u32 = 1_000_000;
        if drawn >= u32::MAX - u32::MAX % CODES {
            return None;
        }
        let mut left = drawn % CODES;
        let mut digits = [b'0'; CODE_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
        }
        Some(Self(digits))
    }

    /// Reads what a person typed; spaces do not count.
    ///
    /// # Errors
    /// When it has not six digits.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut digits = [0; CODE_DIGITS];
        let mut typed = text.bytes().filter(|b| *b != b' ');
        for digit in &mut digits {
            *digit = typed.next().filter(u8::is_ascii_digit).unwrap_or(0);
        }
        if typed.next().is_some() || digits.contains(&0) {
            let (what, problem) = ("the code", "has to have six digits");
            return Err(Refusal::Value { what, problem });
        }
        Ok(Self(digits))
    }

    /// The digits, for the message and for the hash.
    #[must_use]
    pub fn expose(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Keyed hash of a code with everything it is good for. Comparing takes the same time wherever they differ.
#[derive(Clone, Copy)]
pub struct CodeHash(pub [u8; 32]);

impl std::fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeHash")
    }
}

impl CodeHash {
    fn agrees(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// A challenge as the store keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    /// State.
    pub state: ChallengeState,
    /// Keyed hash of the code and of what it is for.
    pub code: CodeHash,
    /// When its code ceases to be good.
    pub expires_at: Timestamp,
    /// Wrong codes so far. `tries < TRIES_MAX` while it is open.
    pub tries: u8,
}

/// What is said of a code that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the right one, and used up by now.
    Approved,
    /// It is not; so many tries are left.
    Wrong {
        /// At least one.
        left: u8,
    },
    /// It is not, and that was the last try.
    Exhausted,
    /// Its time is over.
    Expired,
    /// It was used, superseded, cancelled or exhausted before.
    Used,
}

impl Challenge {
    /// Judges a code that was offered, as its hash with what the caller says it is for.
    ///
    /// `offered` is compared also when the answer is known already, so that the time taken tells nothing.
    #[must_use]
    pub fn check(mut self, now: Timestamp, offered: &CodeHash) -> (Self, Verdict) {
        let agrees = self.code.agrees(offered);
        if !self.state.is_open() {
            let verdict = if self.state == ChallengeState::Expired {
                Verdict::Expired
            } else {
                Verdict::Used
            };
            return (self, verdict);
        }
        if now > self.expires_at {
            self.state = ChallengeState::Expired;
            return (self, Verdict::Expired);
        }
        if agrees {
            self.state = ChallengeState::Approved;
            return (self, Verdict::Approved);
        }
        self.tries = self.tries.saturating_add(1);
        let left = TRIES_MAX.saturating_sub(self.tries);
        if left == 0 {
            self.state = ChallengeState::Exhausted;
            return (self, Verdict::Exhausted);
        }
        (self, Verdict::Wrong { left })
    }

    /// What the carrier says. A late word about a challenge that is over changes nothing.
    #[must_use]
    pub fn reported(mut self, what: Delivery) -> Self {
        use ChallengeState::{Created, Delivered, Sent, Undelivered};
        self.state = match (what, self.state) {
            (Delivery::Sent, Created) => Sent,
            (Delivery::Delivered, Created | Sent) => Delivered,
            (Delivery::Failed, Created | Sent) => Undelivered,
            (Delivery::Sent | Delivery::Delivered | Delivery::Failed, unchanged) => unchanged,
        };
        self
    }

    /// Ends it because a newer code takes its place.
    #[must_use]
    pub const fn superseded(mut self) -> Self {
        if self.state.is_open() {
            self.state = ChallengeState::Superseded;
        }
        self
    }

    /// Ends it because nobody needs it any more.
    ///
    /// # Errors
    /// When it is over already.
    pub fn cancel(mut self) -> Result<Self, Refusal> {
        use ChallengeState::{Created, Delivered, Sent};
        only_in(
            ("challenge", self.state, self.state.name()),
            &[Created, Sent, Delivered],
            "cancelled",
            "it is over",
        )?;
        self.state = ChallengeState::Cancelled;
        Ok(self)
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Handed to the carrier.
    Sent,
    /// Arrived.
    Delivered,
    /// Will not arrive.
    Failed,
}

/// What was sent to one contact, for one binding or on behalf of one place before, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Sends<'a> {
    /// When, within the last 24 hours at least.
    pub at: &'a [Timestamp],
    /// Whether a minute has to lie between two of them.
    pub spaced: bool,
}

/// Whether one more code may be sent now. Submission counts, whether it arrives or not.
///
/// # Errors
/// [`Refusal::Throttled`] with when it may be tried again.
pub fn may_send(now: Timestamp, before: &[Sends<'_>]) -> Result<(), Refusal> {
    for sends in before {
        let within = |span: Duration| {
            let from = earlier(now, span);
            sends.at.iter().copied().filter(move |at| *at > from)
        };
        let refuse = |why, until| Err(Refusal::Throttled { why, until, now });
        if sends.spaced
            && let Some(last) = within(RESEND_AFTER).next_back()
        {
            return refuse("a code was sent a moment ago", later(last, RESEND_AFTER));
        }
        for (span, most, why) in [
            (HOUR, SENDS_AN_HOUR, "too many codes within an hour"),
            (DAY, SENDS_A_DAY, "too many codes within a day"),
        ] {
            let count = within(span).count();
            if count >= most
                && let Some(first_in_the_way) = within(span).nth(count - most)
            {
                return refuse(why, later(first_in_the_way, span));
            }
        }
    }
    Ok(())
}

/// Whether codes of a contact are taken at all. `failures`: when codes for it were wrong since the last
/// right one, oldest first.
///
/// # Errors
/// [`Refusal::Locked`] with when it is over.
pub fn may_check(now: Timestamp, failures: &[Timestamp]) -> Result<(), Refusal> {
    if failures.len() >= FAILURES_IN_A_ROW {
        let until = Timestamp(u64::MAX);
        return Err(Refusal::Locked { until, now });
    }
    // The lock begins with the failure that is one too many within a day, and lasts a day from there.
    let lock = failures
        .windows(FAILURES_A_DAY)
        .filter_map(|run| Some((*run.first()?, *run.last()?)))
        .filter(|(first, last)| *first > earlier(*last, DAY))
        .map(|(_, last)| later(last, DAY))
        .max();
    match lock {
        Some(until) if now < until => Err(Refusal::Locked { until, now }),
        _ => Ok(()),
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(micros(by)))
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(micros(by)))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
