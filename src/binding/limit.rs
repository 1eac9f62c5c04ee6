//! Limits: how much a terminal, an account or a merchant may take on a day and in a month.
//!
//! What is counted is what was approved in the merchant's favour, less what was voided or reversed: sales,
//! completions, and notices of what was taken offline. Refunds give nothing back, because who sells and refunds has
//! traded. A reversal and a void are never asked whether they fit, and neither is a notice: what it tells has
//! happened.
//!
//! The day is the local date on which a transaction was accepted, as in the settlement file. Pure: who counts is
//! [`counters`](super::counters).

use super::gate::DeclineReason;
use super::named::named_enum;
use crate::base::{Amount, Currency, RequestType};

named_enum!(
    /// What a limit is of. One that replaces another goes on with its count.
    LimitScope {
        /// A terminal's binding, and those that it took over from.
        Terminal = "terminal",
        /// A settlement account, whichever terminals settle into it.
        Account = "account",
        /// A merchant, together with every other merchant of the same acquirer that showed the same identity document.
        Merchant = "merchant",
    }
);

named_enum!(
    /// Which limit a request does not fit.
    LimitKind {
        /// Amount on a day.
        DayAmount = "limit-day-amount",
        /// Transactions on a day.
        DayCount = "limit-day-count",
        /// Amount in a month.
        MonthAmount = "limit-month-amount",
        /// Transactions in a month.
        MonthCount = "limit-month-count",
        /// Amounts are limited, and this one is in another currency.
        Currency = "limit-currency",
    }
);

impl LimitKind {
    /// Whether it is about amounts (61) and not about how many there are (65).
    #[must_use]
    pub const fn is_amount(self) -> bool {
        match self {
            Self::DayAmount | Self::MonthAmount | Self::Currency => true,
            Self::DayCount | Self::MonthCount => false,
        }
    }
}

/// How much and how many, each on a day and in a month. `None`: as many as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What the amounts are in.
    pub currency: Currency,
    /// Most minor units on a day.
    pub day_amount: Option<u64>,
    /// Most transactions on a day.
    pub day_count: Option<u64>,
    /// Most minor units in a month.
    pub month_amount: Option<u64>,
    /// Most transactions in a month.
    pub month_count: Option<u64>,
}

impl Limits {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        currency: Currency::NONE,
        day_amount: None,
        day_count: None,
        month_amount: None,
        month_count: None,
    };

    const fn parts(&self) -> [Option<u64>; 4] {
        [
            self.day_amount,
            self.day_count,
            self.month_amount,
            self.month_count,
        ]
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(Option::is_none)
    }

    /// Whether amounts are.
    #[must_use]
    pub const fn has_amounts(&self) -> bool {
        self.day_amount.is_some() || self.month_amount.is_some()
    }

    /// Whether these let through what those would not.
    #[must_use]
    pub fn is_looser_than(&self, those: &Self) -> bool {
        let looser = |(this, that): (Option<u64>, Option<u64>)| match (this, that) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(this), Some(that)) => this > that,
        };
        let pairs = self.parts().into_iter().zip(those.parts());
        // Amounts in another currency cannot be compared.
        (those.has_amounts() && self.currency != those.currency) || pairs.into_iter().any(looser)
    }

    /// Whether the amount is in the currency of the limits. A message without one is in the terminal's only one.
    #[must_use]
    pub fn measures(&self, amount: Amount) -> bool {
        amount.currency == Currency::NONE
            || self.currency == Currency::NONE
            || amount.currency == self.currency
    }
}

/// A local date, as year * 10000 + month * 100 + day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// Whether both are in the same month.
    #[must_use]
    pub const fn shares_month(self, other: Self) -> bool {
        self.0 / 100 == other.0 / 100
    }
}

/// How much, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Minor units.
    pub minor: u64,
    /// Transactions.
    pub count: u64,
}

impl Sum {
    const fn add(&mut self, minor: u64, count: u64) {
        self.minor = self.minor.saturating_add(minor);
        self.count = self.count.saturating_add(count);
    }

    /// Never below nothing: what was taken before anybody counted may be given back afterwards.
    const fn take(&mut self, minor: u64, count: u64) {
        self.minor = self.minor.saturating_sub(minor);
        self.count = self.count.saturating_sub(count);
    }
}

/// What was taken on a day, and in its month up to then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The latest day that was heard of.
    pub day: Day,
    /// On that day.
    pub today: Sum,
    /// In its month.
    pub month: Sum,
}

impl Used {
    /// A day begins. A clock that was set back begins none anew.
    pub const fn roll(&mut self, day: Day) {
        if day.0 <= self.day.0 {
            return;
        }
        if !day.shares_month(self.day) {
            self.month = Sum { minor: 0, count: 0 };
        }
        self.today = Sum { minor: 0, count: 0 };
        self.day = day;
    }

    /// Counts what was accepted on a day.
    pub const fn add(&mut self, day: Day, minor: u64, count: u64) {
        if day.0 == self.day.0 {
            self.today.add(minor, count);
        }
        if day.shares_month(self.day) {
            self.month.add(minor, count);
        }
    }

    /// Takes in what somebody else counted up to the same day.
    pub const fn include(&mut self, other: &Self) {
        self.today.add(other.today.minor, other.today.count);
        self.month.add(other.month.minor, other.month.count);
    }

    /// Takes back what was accepted on a day: nothing, when that day and its month are over.
    pub const fn take(&mut self, day: Day, minor: u64, count: u64) {
        if day.0 == self.day.0 {
            self.today.take(minor, count);
        }
        if day.shares_month(self.day) {
            self.month.take(minor, count);
        }
    }
}

/// Whether one more transaction over this amount fits. Part of the gate: asked behind everything else, and of new
/// requests only.
///
/// # Errors
/// The first limit that it does not fit, amounts first.
pub fn check_limits(limits: &Limits, used: &Used, asked: Amount) -> Result<(), DeclineReason> {
    let over = |kind| Err(DeclineReason::OverLimit(kind));
    let exceeds = |most: Option<u64>, used: u64, more: u64| {
        most.is_some_and(|most| used.checked_add(more).is_none_or(|sum| sum > most))
    };
    if limits.has_amounts() && !limits.measures(asked) {
        return over(LimitKind::Currency);
    }
    if exceeds(limits.day_amount, used.today.minor, asked.minor) {
        return over(LimitKind::DayAmount);
    }
    if exceeds(limits.month_amount, used.month.minor, asked.minor) {
        return over(LimitKind::MonthAmount);
    }
    if exceeds(limits.day_count, used.today.count, 1) {
        return over(LimitKind::DayCount);
    }
    if exceeds(limits.month_count, used.month.count, 1) {
        return over(LimitKind::MonthCount);
    }
    Ok(())
}

/// What a kind of request is to the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Nothing.
    No,
    /// It is counted, when it fits.
    IfItFits,
    /// It is counted, whatever there is already.
    Always,
    /// It takes back what it undoes.
    TakesBack,
}

/// What a request of this kind is to the counters. `sign`: +1 books in the merchant's favour.
#[must_use]
pub const fn counts(kind: RequestType, sign: i8) -> Counts {
    match kind {
        RequestType::NewMoney | RequestType::Completion if sign > 0 => Counts::IfItFits,
        RequestType::Advice if sign > 0 => Counts::Always,
        RequestType::Void => Counts::TakesBack,
        RequestType::NewMoney
        | RequestType::Completion
        | RequestType::Advice
        | RequestType::Echo
        | RequestType::SignOn
        | RequestType::SignOff
        | RequestType::CodeEntry
        | RequestType::Download
        | RequestType::Enquiry
        | RequestType::Refund
        | RequestType::Reversal
        | RequestType::QrQuery
        | RequestType::Settlement
        | RequestType::Trailer => Counts::No,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        currency: Currency::CNY,
        day_amount: Some(1_000),
        day_count: Some(3),
        month_amount: Some(5_000),
        month_count: Some(10),
    };

    fn yuan(minor: u64) -> Amount {
        Amount {
            minor,
            currency: Currency::CNY,
        }
    }

    #[test]
    fn every_limit_is_met_at_its_edge_and_in_its_order() {
        let check = |today: (u64, u64), month: (u64, u64), asked, expect: Option<LimitKind>| {
            let sum = |(minor, count)| Sum { minor, count };
            let used = Used {
                day: Day(20_261_122),
                today: sum(today),
                month: sum(month),
            };
            let found = check_limits(&LIMITS, &used, asked);
            let expect = expect.map_or(Ok(()), |kind| Err(DeclineReason::OverLimit(kind)));
            assert_eq!(found, expect, "{used:?} {asked:?}");
        };
        check((0, 0), (0, 0), yuan(1_000), None);
        check((0, 0), (0, 0), yuan(1_001), Some(LimitKind::DayAmount));
        check((999, 1), (999, 1), yuan(1), None);
        check((999, 1), (999, 1), yuan(2), Some(LimitKind::DayAmount));
        check((0, 0), (4_999, 1), yuan(1), None);
        check((0, 0), (4_999, 1), yuan(2), Some(LimitKind::MonthAmount));
        check((0, 2), (0, 2), yuan(1), None);
        check((0, 3), (0, 3), yuan(1), Some(LimitKind::DayCount));
        check((0, 0), (0, 10), yuan(1), Some(LimitKind::MonthCount));
        check((0, 3), (5_000, 10), yuan(1), Some(LimitKind::MonthAmount));
        check((1, 0), (1, 0), yuan(u64::MAX), Some(LimitKind::DayAmount));
        let other = |currency| Amount { minor: 1, currency };
        let dollars = Currency::from_slice(b"840").unwrap();
        check((0, 0), (0, 0), other(dollars), Some(LimitKind::Currency));
        check((0, 0), (0, 0), other(Currency::NONE), None);
    }

    #[test]
    fn what_is_not_limited_fits_and_counts_ask_no_currency() {
        let used = Used {
            today: Sum {
                minor: u64::MAX,
                count: u64::MAX,
            },
            ..Used::default()
        };
        assert_eq!(check_limits(&Limits::NONE, &used, yuan(u64::MAX)), Ok(()));
        let counted = Limits {
            currency: Currency::CNY,
            day_count: Some(1),
            ..Limits::NONE
        };
        let dollars = Amount {
            minor: 1,
            currency: Currency::from_slice(b"840").unwrap(),
        };
        assert_eq!(check_limits(&counted, &Used::default(), dollars), Ok(()));
    }

    #[test]
    fn every_kind_of_request_is_to_the_counters_what_the_table_says() {
        use RequestType::{Advice, Completion, NewMoney, Void};
        for kind in RequestType::ALL {
            let expect = match kind {
                NewMoney | Completion => Counts::IfItFits,
                Advice => Counts::Always,
                Void => Counts::TakesBack,
                _ => Counts::No,
            };
            assert_eq!(counts(kind, 1), expect, "{kind:?}");
        }
        // A pre-authorisation takes nothing yet, a load of a card gives.
        assert_eq!(counts(NewMoney, 0), Counts::No);
        assert_eq!(counts(NewMoney, -1), Counts::No);
        assert_eq!(counts(Void, -1), Counts::TakesBack);
    }

    #[test]
    fn a_day_and_a_month_begin_and_no_day_begins_twice() {
        let mut used = Used::default();
        used.roll(Day(20_261_130));
        used.add(Day(20_261_130), 700, 1);
        // The clock was set back: it goes on counting where it is.
        used.roll(Day(20_261_129));
        assert_eq!(used.today.minor, 700);
        used.roll(Day(20_261_201));
        assert_eq!((used.today, used.month), (Sum::default(), Sum::default()));
        // What is undone of a month that is over changes nothing.
        used.add(Day(20_261_201), 100, 1);
        used.take(Day(20_261_130), 700, 1);
        assert_eq!((used.today.minor, used.month.minor), (100, 100));
        used.roll(Day(20_261_202));
        assert_eq!((used.today.minor, used.month.minor), (0, 100));
        used.take(Day(20_261_201), 100, 1);
        assert_eq!((used.today.minor, used.month), (0, Sum::default()));
    }

    #[test]
    fn looser_is_whatever_lets_more_through() {
        let with = |change: fn(&mut Limits)| {
            let mut limits = LIMITS;
            change(&mut limits);
            limits
        };
        assert!(!LIMITS.is_looser_than(&LIMITS));
        assert!(!LIMITS.is_looser_than(&Limits::NONE));
        assert!(Limits::NONE.is_looser_than(&LIMITS));
        assert!(with(|l| l.day_count = Some(4)).is_looser_than(&LIMITS));
        assert!(with(|l| l.month_amount = None).is_looser_than(&LIMITS));
        assert!(
            with(|l| l.currency = Currency::from_slice(b"392").unwrap()).is_looser_than(&LIMITS)
        );
        assert!(!with(|l| l.day_amount = Some(999)).is_looser_than(&LIMITS));
    }

    proptest! {
        /// Whatever is counted and taken back, the sums are those of a list that is added up each time.
        #[test]
        fn sums_agree_with_a_list(
            steps in proptest::collection::vec((0_u32..4, 1_u64..500, any::<bool>()), 0..80)
        ) {
            const DAYS: [u32; 4] = [20_261_129, 20_261_130, 20_261_201, 20_261_202];
            let (mut used, mut list): (Used, Vec<(Day, u64)>) = (Used::default(), Vec::new());
            let mut today = 0;
            for (day, minor, undo) in steps {
                today = today.max(day);
                used.roll(Day(DAYS[today as usize]));
                if undo && !list.is_empty() {
                    let (day, minor) = list.swap_remove(usize::try_from(minor).unwrap() % list.len());
                    used.take(day, minor, 1);
                } else {
                    list.push((used.day, minor));
                    used.add(used.day, minor, 1);
                }
                let sum = |fits: &dyn Fn(Day) -> bool| {
                    let those = list.iter().filter(|(day, _)| fits(*day));
                    those.fold(Sum::default(), |sum, (_, minor)| Sum {
                        minor: sum.minor + minor,
                        count: sum.count + 1,
                    })
                };
                prop_assert_eq!(used.today, sum(&|day| day == used.day));
                prop_assert_eq!(used.month, sum(&|day| day.shares_month(used.day)));
            }
        }
    }
}
