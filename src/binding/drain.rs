//! What has to be over before an unbinding terminal's binding is closed, and what unbinding it means.

use aws_lc_rs::digest::{SHA256, digest};

use super::refusal::{Refusal, two_persons};
use crate::base::Timestamp;
use crate::base::note::words;

/// What still hangs on a binding. All zero: it can be closed.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
pub struct Outstanding {
    /// Requests that wait for an upstream's answer.
    pub in_flight: u64,
    /// Reversals and repeats that are owed to an upstream.
    pub owed: u64,
    /// Transactions that wait for a person.
    pub parked: u64,
    /// 1 when nothing proves that the terminal got its last approval: it may still hold the reversal.
    pub unproven: u64,
    /// Approved transactions in batches that are not closed.
    pub unsettled: u64,
    /// Approved pre-authorisations that were neither completed nor voided.
    pub preauthorised: u64,
    /// 1 when the terminal's last totals are not those that are known here, and it has not ended its upload: it may hold
    /// offline transactions, which a wipe would lose.
    #[serde(default)]
    pub offline: u64,
}

impl Outstanding {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `Ok` when nothing is left.
    ///
    /// # Errors
    /// The first thing that is, with what ends it.
    pub fn ended(&self) -> Result<(), Refusal> {
        match self.conditions().next() {
            None => Ok(()),
            Some((what, _, remedy)) => Err(Refusal::Undrained { what, remedy }),
        }
    }

    /// What is left, each with what ends it.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
        [
            (
                "requests that wait for the upstream",
                self.in_flight,
                "they end by themselves",
            ),
            (
                "reversals or repeats that are owed upstream",
                self.owed,
                "they are sent until they are acknowledged",
            ),
            (
                "transactions that wait for a person",
                self.parked,
                "see `posgate exception list`",
            ),
            (
                "approvals that are not proven received",
                self.unproven,
                "let the terminal settle, or have the merchant confirm it and force the drain: a sign-on proves nothing, \
                 because a terminal signs on to send its reversal",
            ),
            (
                "approved transactions that are not settled",
                self.unsettled,
                "let the terminal settle, or `posgate batch close`",
            ),
            (
                "pre-authorisations that are open",
                self.preauthorised,
                "complete or void them, or hand them to operations and force the drain",
            ),
            (
                "totals of the terminal that are not known here, as of offline transactions",
                self.offline,
                "let the terminal upload its batch, or find out what it holds and force the drain",
            ),
        ]
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
    }
}

/// A drain that was cut short.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Forced {
    /// Who asked.
    pub first: String,
    /// Who agreed.
    pub second: String,
    /// Why.
    pub why: String,
    /// What was left.
    pub left: Outstanding,
}

impl Forced {
    /// Two persons cut a drain short with this `left`.
    ///
    /// # Errors
    /// When it is one person, or no reason is given.
    pub fn by_two(
        left: Outstanding,
        first: &str,
        second: &str,
        why: &str,
    ) -> Result<Self, Refusal> {
        two_persons(first, second)?;
        words("why the drain is cut short", why)?;
        Ok(Self {
            first: first.into(),
            second: second.into(),
            why: why.trim().into(),
            left,
        })
    }
}

/// What an account is to get of what is approved and not settled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Unsettled {
    /// The acquirer's reference of the account.
    pub account: String,
    /// DE49, three digits; empty for a terminal's only one.
    pub currency: String,
    /// Transactions.
    pub count: u64,
    /// Their sum in the smallest unit; refunds count against it.
    pub amount: i64,
}

/// What unbinding a terminal means for its merchant, as of one moment. It has to be acknowledged by its
/// [`hash`](Self::hash) before the case goes on, and again when it has become worse.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Impact {
    /// DE41.
    pub terminal: String,
    /// The settlement account that money of this terminal goes to.
    pub account: String,
    /// Its accounts of other kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_accounts: Vec<String>,
    /// What still hangs on it.
    pub outstanding: Outstanding,
    /// Sum of approved and unsettled transactions, in the smallest unit; refunds count against it. It mixes what
    /// several accounts and currencies have.
    pub unsettled_amount: i64,
    /// The same for each account that is to get some of it, and each currency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled_accounts: Vec<Unsettled>,
    /// Disputes about its transactions that are open. They stay with the merchant, and end no drain and hold up none.
    #[serde(default)]
    pub disputes: u64,
    /// Refunds without the terminal that were asked for and can still be approved; also when it is closed.
    #[serde(default)]
    pub refunds_asked: u64,
    /// Scopes that are held, with their reasons.
    pub holds: Vec<String>,
    /// Whether it is the merchant's last terminal.
    pub last_terminal: bool,
    /// Other open terminals that settle into one of its accounts.
    pub same_account: u64,
    /// When its transactions of this day may be deleted here at the earliest. What people did is never deleted.
    #[schema(value_type = u64)]
    pub kept_until: Timestamp,
}

impl Impact {
    /// SHA-256 over the report, by which it is acknowledged.
    #[must_use]
    pub fn hash(&self) -> String {
        hex_of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether more hangs on the terminal than somebody acknowledged.
    #[must_use]
    pub fn is_worse_than(&self, acknowledged: &Self) -> bool {
        let (now, then) = (&self.outstanding, &acknowledged.outstanding);
        now.owed > then.owed
            || now.parked > then.parked
            || now.unsettled > then.unsettled
            || now.preauthorised > then.preauthorised
            || now.offline > then.offline
            || self.disputes > acknowledged.disputes
            || self.refunds_asked > acknowledged.refunds_asked
            || self.unsettled_amount.abs() > acknowledged.unsettled_amount.abs()
            || self.is_worse_for_an_account(acknowledged)
            || (self.last_terminal && !acknowledged.last_terminal)
            || self
                .holds
                .iter()
                .any(|hold| !acknowledged.holds.contains(hold))
    }

    fn is_worse_for_an_account(&self, acknowledged: &Self) -> bool {
        // A report of an older release says nothing of accounts.
        let silent = acknowledged.unsettled_accounts.is_empty();
        if silent && acknowledged.outstanding.unsettled > 0 {
            return false;
        }
        let then = |now: &Unsettled| {
            let same = |then: &&Unsettled| {
                (&then.account, &then.currency) == (&now.account, &now.currency)
            };
            let then = acknowledged.unsettled_accounts.iter().find(same);
            then.map_or((0, 0), |then| (then.count, then.amount.abs()))
        };
        self.unsettled_accounts.iter().any(|now| {
            let (count, amount) = then(now);
            now.count > count || now.amount.abs() > amount
        })
    }
}

/// SHA-256 as text.
#[must_use]
pub fn hex_of(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thing_left_is_a_condition_of_its_own() {
        assert!(Outstanding::default().is_empty());
        let all = Outstanding {
            in_flight: 1,
            owed: 1,
            parked: 1,
            unproven: 1,
            unsettled: 1,
            preauthorised: 1,
            offline: 1,
        };
        assert_eq!(all.conditions().count(), 7);
        assert_eq!(Outstanding::default().conditions().count(), 0);
    }

    #[test]
    fn a_report_is_acknowledged_by_its_content_and_anew_when_it_gets_worse() {
        let report = Impact {
            unsettled_amount: 1_000,
            outstanding: Outstanding {
                unsettled: 2,
                ..Outstanding::default()
            },
            ..Impact::default()
        };
        let mut worse = report.clone();
        worse.outstanding.unsettled = 3;
        assert_ne!(report.hash(), worse.hash());
        assert!(worse.is_worse_than(&report));
        assert!(!report.is_worse_than(&worse));
        assert!(!report.is_worse_than(&report.clone()));
        let held = Impact {
            holds: vec!["settlement: position".into()],
            ..report.clone()
        };
        assert!(held.is_worse_than(&report));
        let contested = Impact {
            disputes: 1,
            ..report.clone()
        };
        assert!(contested.is_worse_than(&report) && !report.is_worse_than(&contested));
        let asked = Impact {
            refunds_asked: 1,
            ..report.clone()
        };
        assert!(asked.is_worse_than(&report) && !report.is_worse_than(&asked));
    }

    #[test]
    fn what_one_account_is_to_get_more_is_not_made_up_for_by_another() {
        let report = |accounts: &[(&str, &str, u64, i64)]| Impact {
            unsettled_amount: accounts.iter().map(|(.., amount)| amount).sum(),
            outstanding: Outstanding {
                unsettled: accounts.iter().map(|(_, _, count, _)| count).sum(),
                ..Outstanding::default()
            },
            unsettled_accounts: accounts
                .iter()
                .map(|&(account, currency, count, amount)| Unsettled {
                    account: account.into(),
                    currency: currency.into(),
                    count,
                    amount,
                })
                .collect(),
            ..Impact::default()
        };
        let before = report(&[("A-1", "156", 2, 900), ("W-1", "156", 2, 100)]);
        let moved = report(&[("A-1", "156", 1, 400), ("W-1", "156", 3, 600)]);
        assert!(moved.is_worse_than(&before));
        assert_ne!(moved.hash(), before.hash());
        let less = report(&[("A-1", "156", 2, 900)]);
        assert!(!less.is_worse_than(&before) && before.is_worse_than(&less));
        let dollars = report(&[("A-1", "840", 2, 900)]);
        assert!(dollars.is_worse_than(&before));
        // What was acknowledged before there were sums for accounts.
        let older = Impact {
            unsettled_accounts: Vec::new(),
            ..before.clone()
        };
        assert!(!before.is_worse_than(&older));
        let text = serde_json::to_string(&older).unwrap();
        assert!(!text.contains("unsettled_accounts"), "{text}");
        assert_eq!(serde_json::from_str::<Impact>(&text).unwrap(), older);
    }
}
