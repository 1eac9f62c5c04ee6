//! Settlement: what each transaction counts as for its account, and the sums.
//!
//! Pure: a transaction's latest outcome decides. What moves no money (enquiries, pre-authorisations) and
//! what was declined counts as nothing. All amounts carry the sign of the account's favour: a sale is
//! positive, a void or a refund negative, and sums are plain sums.
//!
//! What may not be paid out on its day is `held` in that day's file, for good, and `released` in the file of the day
//! that pays it ([`binding::payout`](crate::binding::payout) says which).

use std::collections::BTreeMap;

use super::OutcomeKind;
use super::read_model::TransactionRow;
use crate::base::{PayoutPart, RequestType};

/// What a transaction counts as. Each counts as one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Approved, in the account's favour.
    Sale,
    /// Approved, undoes an earlier one on the customer's wish.
    Void,
    /// Approved, in the customer's favour: refunds, and loads of cards.
    Refund,
    /// It was undone, and the upstream acknowledged that. Counts nothing; the amount is what was asked for.
    Reversed,
    /// Approved on an earlier day, in whose file it was held: this day pays it, sales as well as what undoes them.
    Released,
    /// Approved, but not to be paid out on its day: the binding that took it was not verified, or something held it.
    Held,
    /// Approved, but the account it belongs to cannot be paid: it is closed, invalid or frozen by now. It waits for the
    /// account, or, where that is closed, until two persons say which other account gets it.
    Unpayable,
    /// Nobody can say yet: no outcome, a reversal that is not acknowledged, a refund or notice that was not
    /// answered, or something parked for a person. The amount is what is at stake.
    Suspense,
}

impl Class {
    /// In the order files have them.
    pub const ALL: [Self; 8] = [
        Self::Sale,
        Self::Void,
        Self::Refund,
        Self::Released,
        Self::Held,
        Self::Unpayable,
        Self::Suspense,
        Self::Reversed,
    ];

    /// Name in files and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sale => "sales",
            Self::Void => "voids",
            Self::Refund => "refunds",
            Self::Reversed => "reversed",
            Self::Released => "released",
            Self::Held => "held",
            Self::Unpayable => "unpayable",
            Self::Suspense => "suspense",
        }
    }

    /// Whether it is part of what is paid out now.
    #[must_use]
    pub const fn is_net(self) -> bool {
        match self {
            Self::Sale | Self::Void | Self::Refund | Self::Released => true,
            Self::Reversed | Self::Held | Self::Unpayable | Self::Suspense => false,
        }
    }

    /// What a transaction counts as and the minor units of it, in the account's favour when positive;
    /// `None` when it counts as nothing. Whether it waits does not matter here.
    #[must_use]
    pub fn of(row: &TransactionRow) -> Option<(Self, i128)> {
        if row.sign == 0 {
            return None;
        }
        let asked = i128::from(row.sign) * i128::from(row.amount);
        let Some(outcome) = &row.outcome else {
            return Some((Self::Suspense, asked));
        };
        match outcome.kind {
            OutcomeKind::Approved => {
                let booked = i128::from(row.sign) * i128::from(outcome.booked);
                Some((Self::of_approved(row), booked))
            }
            OutcomeKind::Declined => None,
            OutcomeKind::ReversalOwed
            | OutcomeKind::RepeatOwed
            | OutcomeKind::Expired
            | OutcomeKind::Parked => Some((Self::Suspense, asked)),
            // Whoever closed it has seen to it that nothing is booked.
            OutcomeKind::Reversed | OutcomeKind::Closed => Some((Self::Reversed, asked)),
        }
    }

    /// What it counts as where nobody can be paid: never silently somebody else's money.
    #[must_use]
    pub const fn without_payee(self) -> Self {
        if self.is_net() { Self::Unpayable } else { self }
    }

    /// What it counts as in the file of a day.
    #[must_use]
    pub const fn with(self, payout: Payout) -> Self {
        match payout {
            Payout::OnItsDay => self,
            Payout::Waits if self.is_net() => Self::Held,
            Payout::Late if self.is_net() => Self::Released,
            Payout::Waits | Payout::Late => self,
        }
    }

    const fn of_approved(row: &TransactionRow) -> Self {
        match (row.kind, row.sign) {
            (RequestType::Void, _) => Self::Void,
            (_, 1..) => Self::Sale,
            (_, _) => Self::Refund,
        }
    }
}

/// When a transaction is paid, as the file of a day sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payout {
    /// On the day on which it was accepted.
    OnItsDay,
    /// Not on this day, on which it was accepted.
    Waits,
    /// On this day, and it was accepted earlier.
    Late,
}

/// Whether a transaction waits with the one that it follows, and never by itself.
#[must_use]
pub const fn waits_with_original(row: &TransactionRow) -> bool {
    matches!(row.kind.payout(), PayoutPart::WithOriginal)
}

/// The version under which it was taken while it had to wait; `None` for what lowers the payout, which never waits by
/// itself.
#[must_use]
pub fn held_under(row: &TransactionRow) -> Option<u32> {
    let adds = row.sign > 0 && row.kind.payout() == PayoutPart::Adds;
    (adds && row.held).then_some(row.version)
}

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions.
    pub count: u64,
    /// Their minor units, in the account's favour when positive. More of them than a store can hold would
    /// not overflow it.
    pub minor: i128,
}

impl Tally {
    /// Counts one more.
    pub const fn add(&mut self, minor: i128) {
        self.count += 1;
        self.minor += minor;
    }
}

/// Sums of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<Class, Tally>);

impl Totals {
    /// Counts a transaction.
    pub fn add(&mut self, class: Class, minor: i128) {
        self.0.entry(class).or_default().add(minor);
    }

    /// Counts everything that another one counted.
    pub fn add_all(&mut self, other: &Self) {
        for (class, tally) in &other.0 {
            let sum = self.0.entry(*class).or_default();
            sum.count += tally.count;
            sum.minor += tally.minor;
        }
    }

    /// What counted as this.
    #[must_use]
    pub fn of(&self, class: Class) -> Tally {
        self.0.get(&class).copied().unwrap_or_default()
    }

    /// What is to be paid out: sales, voids, refunds and what is released together.
    #[must_use]
    pub fn net(&self) -> Tally {
        let mut net = Tally::default();
        for (_, tally) in self.0.iter().filter(|(class, _)| class.is_net()) {
            net.count += tally.count;
            net.minor += tally.minor;
        }
        net
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Timestamp, TxnId};
    use crate::store::read_model::RowOutcome;
    use crate::store::record::tests::intent;

    fn row(kind: RequestType, sign: i8, outcome: Option<OutcomeKind>) -> TransactionRow {
        let intent = intent(1);
        TransactionRow {
            txn: intent.txn,
            at: intent.at,
            key: intent.key,
            merchant: String::new(),
            binding: intent.binding,
            version: 1,
            account: 1,
            held: false,
            request: String::new(),
            sign,
            batch: intent.batch,
            stan: intent.stan,
            group: String::new(),
            upstream_stan: intent.upstream_stan,
            amount: 1_000,
            currency: "156".into(),
            pan: intent.pan,
            outcome: outcome.map(|kind| RowOutcome {
                at: Timestamp(2),
                kind,
                code: "00".into(),
                booked: if kind == OutcomeKind::Approved {
                    900
                } else {
                    0
                },
                rrn: None,
                approval_code: None,
                answer: Box::default(),
            }),
            fate: intent.fate,
            content: 0,
            original: TxnId(0),
            kind,
            groups: vec![1],
        }
    }

    #[test]
    fn every_outcome_counts_as_one_thing() {
        use OutcomeKind::{Approved, Declined, Expired, ReversalOwed, Reversed};
        use RequestType::{Advice, Completion, NewMoney, Refund, Void};
        let check = |kind, sign, outcome, expect: Option<(Class, i128)>| {
            let found = Class::of(&row(kind, sign, outcome));
            assert_eq!(found, expect, "{kind:?} {sign} {outcome:?}");
        };
        check(NewMoney, 1, Some(Approved), Some((Class::Sale, 900)));
        check(Completion, 1, Some(Approved), Some((Class::Sale, 900)));
        check(Advice, 1, Some(Approved), Some((Class::Sale, 900)));
        check(Void, -1, Some(Approved), Some((Class::Void, -900)));
        check(Refund, -1, Some(Approved), Some((Class::Refund, -900)));
        check(NewMoney, -1, Some(Approved), Some((Class::Refund, -900)));
        check(NewMoney, 1, Some(Declined), None);
        check(NewMoney, 1, None, Some((Class::Suspense, 1_000)));
        check(
            NewMoney,
            1,
            Some(ReversalOwed),
            Some((Class::Suspense, 1_000)),
        );
        check(Refund, -1, Some(Expired), Some((Class::Suspense, -1_000)));
        check(Void, -1, Some(Reversed), Some((Class::Reversed, -1_000)));
        check(NewMoney, 0, Some(Approved), None);
        check(NewMoney, 0, Some(ReversalOwed), None);
    }

    /// Whatever it is, and only when it is approved: what is not is nobody's money yet.
    #[test]
    fn what_waits_is_held_on_its_day_and_released_on_the_day_that_pays_it() {
        let class = |kind, sign, outcome, payout| {
            let (class, minor) = Class::of(&row(kind, sign, Some(outcome))).unwrap();
            (class.with(payout), minor)
        };
        let (sale, void) = (RequestType::NewMoney, RequestType::Void);
        let (approved, owed) = (OutcomeKind::Approved, OutcomeKind::ReversalOwed);
        for (kind, sign, minor) in [(sale, 1, 900), (void, -1, -900)] {
            let held = class(kind, sign, approved, Payout::Waits);
            assert_eq!(held, (Class::Held, minor));
            let late = class(kind, sign, approved, Payout::Late);
            assert_eq!(late, (Class::Released, minor));
        }
        for payout in [Payout::OnItsDay, Payout::Waits, Payout::Late] {
            let suspense = class(void, -1, owed, payout);
            assert_eq!(suspense, (Class::Suspense, -1_000));
        }
    }

    #[test]
    fn what_lowers_the_payout_never_waits_by_itself() {
        use RequestType::{Advice, Completion, NewMoney, Refund, Void};
        for (kind, sign, expect) in [
            (NewMoney, 1, Some(1)),
            (Completion, 1, Some(1)),
            (Advice, 1, Some(1)),
            (NewMoney, -1, None),
            (Refund, -1, None),
            (Void, -1, None),
            // It takes a refund back: it waits with that, and that with its sale.
            (Void, 1, None),
        ] {
            let held = TransactionRow {
                held: true,
                ..row(kind, sign, Some(OutcomeKind::Approved))
            };
            assert_eq!(held_under(&held), expect, "{kind:?} {sign}");
            let plain = TransactionRow {
                held: false,
                ..held
            };
            assert_eq!(held_under(&plain), None, "{kind:?} {sign}");
        }
    }

    #[test]
    fn net_is_what_is_paid_out() {
        let mut totals = Totals::default();
        for (at, class) in (0..).zip(Class::ALL) {
            totals.add(class, 10_i128.pow(at));
        }
        assert_eq!((totals.net().count, totals.net().minor), (4, 1_111));
        for class in Class::ALL {
            let stays = !class.is_net();
            assert_eq!(class.without_payee() == class, stays, "{class:?}");
            assert!(!class.without_payee().is_net());
        }
        let mut twice = totals.clone();
        twice.add_all(&totals);
        assert_eq!(twice.of(Class::Reversed).minor, 20_000_000);
        assert_eq!(twice.net().count, 8);
    }
}
