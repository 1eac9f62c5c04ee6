//! The life of a settlement account.
//!
//! ```text
//!                 verify                invalidate
//!  UNVERIFIED ───────────▶ VERIFIED ───────────────▶ INVALID
//!      │  │                  ▲ │ ▲                      │
//!      │  │                  │ │ └──────verify──────────┤
//!      │  │          unfreeze│ │freeze                  │
//!      │  │                  │ ▼                        │
//!      │  └──freeze───────▶ FROZEN ◀────freeze──────────┤
//!      │                      │                         │
//!      └───────close──────────┴────────close────────────┘──▶ CLOSED
//! ```
//!
//! | event | from | to | who |
//! |---|---|---|---|
//! | `Verify` | unverified, invalid | verified | a second person, with evidence |
//! | `Invalidate` | unverified, verified | invalid | the bank, a payout that came back; never a terminal |
//! | `Freeze` | unverified, verified, invalid | frozen | the bank, the law |
//! | `Unfreeze` | frozen | verified, or unverified when it never was | a second person |
//! | `Close` | all but closed | closed, for good | the bank, the merchant |
//!
//! A binding has at most one account of each kind, and what the customer pays with says which of them gets the money.
//!
//! Every binding that settles into an account follows it at once: the gate reads the status of the account
//! with the binding, so that an account that turns invalid stops a thousand terminals with one change, and
//! one that is verified again lets them go on.

use super::named::named_enum;
use super::refusal::{Refusal, only_in};
use super::state::AccountStatus;
use crate::base::{AccountId, Means};

named_enum!(
    /// What an account is.
    AccountKind {
        /// An account at a bank.
        BankCard = "bank-card",
        /// A WeChat Pay merchant account.
        WeChat = "wechat",
        /// An Alipay merchant account.
        Alipay = "alipay",
    }
);

impl AccountKind {
    /// The kind that gets what is paid so.
    #[must_use]
    pub const fn paid_by(means: Means) -> Self {
        match means {
            Means::Card => Self::BankCard,
            Means::WeChat => Self::WeChat,
            Means::Alipay => Self::Alipay,
        }
    }
}

/// The accounts of a binding: one at least, and at most one of a kind. No account has the number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts([AccountId; AccountKind::ALL.len()]);

impl Accounts {
    const NONE: AccountId = AccountId(0);

    /// A single one.
    #[must_use]
    pub const fn one(kind: AccountKind, account: AccountId) -> Self {
        let mut all = [Self::NONE; AccountKind::ALL.len()];
        all[kind as usize] = account;
        Self(all)
    }

    /// The same with this one for its kind, in the place of any other.
    #[must_use]
    pub const fn with(self, kind: AccountKind, account: AccountId) -> Self {
        let mut all = self.0;
        all[kind as usize] = account;
        Self(all)
    }

    /// The same without this one; all of them when there would be none left.
    #[must_use]
    pub fn without(self, account: AccountId) -> Self {
        if self.only().is_some() {
            return self;
        }
        Self(
            self.0
                .map(|one| if one == account { Self::NONE } else { one }),
        )
    }

    /// The account of a kind.
    #[must_use]
    pub fn of(self, kind: AccountKind) -> Option<AccountId> {
        Some(self.0[kind as usize]).filter(|account| *account != Self::NONE)
    }

    /// All of them, in the order of their kinds.
    pub fn iter(self) -> impl Iterator<Item = (AccountKind, AccountId)> {
        let of = move |kind: &AccountKind| Some((*kind, self.of(*kind)?));
        AccountKind::ALL.iter().filter_map(of)
    }

    /// The first of them: what is named where one is to stand for all.
    #[must_use]
    pub fn first(self) -> AccountId {
        self.iter()
            .next()
            .map_or(Self::NONE, |(_, account)| account)
    }

    /// The account where there is only one.
    #[must_use]
    pub fn only(self) -> Option<AccountId> {
        let mut all = self.iter();
        let (_, first) = all.next()?;
        all.next().is_none().then_some(first)
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(self, account: AccountId) -> bool {
        account != Self::NONE && self.0.contains(&account)
    }
}

named_enum!(
    /// What happens to an account.
    AccountEvent {
        /// Name match and test credit are in order.
        Verify = "verify",
        /// The bank does not know it, or a payout came back.
        Invalidate = "invalidate",
        /// The bank or the law froze it.
        Freeze = "freeze",
        /// The freeze is over.
        Unfreeze = "unfreeze",
        /// It is closed.
        Close = "close",
    }
);

impl AccountEvent {
    /// Name for history, audit and webhooks.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Verify => "account.verified",
            Self::Invalidate => "account.invalidated",
            Self::Freeze => "account.frozen",
            Self::Unfreeze => "account.unfrozen",
            Self::Close => "account.closed",
        }
    }

    /// Whether it lets money flow: then it needs a second person and evidence.
    #[must_use]
    pub const fn opens(self) -> bool {
        match self {
            Self::Verify | Self::Unfreeze => true,
            Self::Invalidate | Self::Freeze | Self::Close => false,
        }
    }
}

/// What an event makes of an account. `ever_verified`: whether it was verified at any time before.
///
/// # Errors
/// When it cannot happen in this state, with the way out.
pub fn apply(
    status: AccountStatus,
    ever_verified: bool,
    event: AccountEvent,
) -> Result<AccountStatus, Refusal> {
    use AccountStatus::{Closed, Frozen, Invalid, Unverified, Verified};
    let only = |allowed: &[AccountStatus], verb| {
        let remedy = match status {
            Closed => "closed accounts never change; open another one",
            Frozen => "unfreeze it first",
            Unverified | Verified | Invalid => "it is not in a state for that",
        };
        only_in(("account", status, status.name()), allowed, verb, remedy)
    };
    match event {
        AccountEvent::Verify => only(&[Unverified, Invalid], "verified").map(|()| Verified),
        AccountEvent::Invalidate => only(&[Unverified, Verified], "invalidated").map(|()| Invalid),
        AccountEvent::Freeze => only(&[Unverified, Verified, Invalid], "frozen").map(|()| Frozen),
        AccountEvent::Unfreeze => {
            only(&[Frozen], "unfrozen").map(|()| if ever_verified { Verified } else { Unverified })
        }
        AccountEvent::Close => {
            only(&[Unverified, Verified, Invalid, Frozen], "closed").map(|()| Closed)
        }
    }
}

/// Whether setting a status by hand does no more than an event that stops: that is one person's to do.
#[must_use]
pub fn only_stops(before: AccountStatus, after: AccountStatus) -> bool {
    before == after
        || AccountEvent::ALL
            .iter()
            .any(|event| !event.opens() && apply(before, false, *event) == Ok(after))
}

/// The case in which a terminal's money is to settle elsewhere: asked for by one person, agreed to by another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct AccountChange {
    /// The acquirer's reference of the new account, or of the one that ends.
    pub account: String,
    /// Whether the terminal is to have no account of the kind any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// Who asked.
    pub maker: String,
    /// Why.
    pub note: String,
    /// Who agreed.
    #[serde(default)]
    pub checker: Option<String>,
    /// Reference of the network's acknowledgement.
    #[serde(default)]
    pub network: Option<String>,
    /// Why it was taken back.
    #[serde(default)]
    pub cancelled: Option<String>,
}

impl AccountChange {
    /// What the case waits for; nothing when it is over.
    #[must_use]
    pub fn waits_for(&self) -> Vec<String> {
        if self.checker.is_some() || self.cancelled.is_some() {
            return Vec::new();
        }
        vec![format!(
            "approve-account, by another person than {}, with the network's reference",
            self.maker
        )]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_event_in_every_status_is_answered_as_the_table_says() {
        // Columns: unverified, verified, invalid, frozen, closed.
        let table = [
            (AccountEvent::Verify, "v.v.."),
            (AccountEvent::Invalidate, "ii..."),
            (AccountEvent::Freeze, "fff.."),
            (AccountEvent::Unfreeze, "...v."),
            (AccountEvent::Close, "cccc."),
        ];
        assert_eq!(table.len(), AccountEvent::ALL.len());
        for (event, row) in table {
            let got: String = AccountStatus::ALL
                .iter()
                .map(|status| match apply(*status, true, event) {
                    Err(_) => '.',
                    Ok(after) => after.name().chars().next().unwrap(),
                })
                .collect();
            assert_eq!(got, row, "{event}");
        }
    }

    #[test]
    fn a_binding_has_one_account_of_a_kind() {
        use AccountKind::{Alipay, BankCard, WeChat};
        let one = Accounts::one(WeChat, AccountId(7));
        assert_eq!(
            (one.first(), one.only()),
            (AccountId(7), Some(AccountId(7)))
        );
        assert_eq!(
            (one.of(WeChat), one.of(BankCard)),
            (Some(AccountId(7)), None)
        );
        let two = one.with(BankCard, AccountId(9));
        let all: Vec<_> = two.iter().collect();
        assert_eq!(all, [(BankCard, AccountId(9)), (WeChat, AccountId(7))]);
        assert_eq!((two.first(), two.only()), (AccountId(9), None));
        assert!(two.contains(AccountId(7)) && !one.contains(AccountId(9)));
        assert!(!one.contains(AccountId(0)), "none is no account");
        assert_eq!(two.without(AccountId(9)), one);
        assert_eq!(one.without(AccountId(7)), one, "it keeps one");
        assert_eq!(two.without(AccountId(8)), two);
        let moved = two.with(WeChat, AccountId(8));
        assert_eq!(moved.of(WeChat), Some(AccountId(8)));
        assert!(!moved.contains(AccountId(7)));
        let kinds = Means::WORDS.map(|(_, means)| AccountKind::paid_by(means));
        assert_eq!(kinds, [BankCard, WeChat, Alipay]);
        let named = Means::WORDS.map(|(word, _)| AccountKind::from_name(word));
        assert_eq!(named, kinds.map(Some), "the same names everywhere");
    }

    #[test]
    fn by_hand_one_person_stops_and_starts_nothing() {
        use AccountStatus::{Closed, Frozen, Invalid, Unverified, Verified};
        for (before, after) in [
            (Verified, Frozen),
            (Verified, Invalid),
            (Unverified, Frozen),
            (Frozen, Closed),
        ] {
            assert!(only_stops(before, after), "{before} to {after}");
        }
        for before in [Unverified, Invalid, Frozen, Closed] {
            assert!(!only_stops(before, Verified), "{before}");
        }
        // What would be frozen no longer.
        assert!(!only_stops(Frozen, Invalid) && !only_stops(Frozen, Unverified));
        assert!(!only_stops(Closed, Frozen));
    }

    proptest! {
        #[test]
        fn no_freeze_makes_an_account_usable_that_nobody_verified(
            events in proptest::collection::vec(proptest::sample::select(AccountEvent::ALL.to_vec()), 0..40)
        ) {
            let (mut status, mut verified) = (AccountStatus::Unverified, false);
            for event in events {
                if let Ok(after) = apply(status, verified, event) {
                    prop_assert!(status != AccountStatus::Closed);
                    verified |= event == AccountEvent::Verify;
                    prop_assert!(!after.is_usable() || verified);
                    prop_assert!(!after.is_usable() || event.opens());
                    status = after;
                }
            }
        }
    }
}
