//! Which bindings have been idle for so long that somebody has to look: months of the calendar without an approved
//! transaction. Days are days in UTC.
//!
//! The rule for terminals (three months, spare devices excepted) counts calendar months. What last happened on the
//! 30th of November is three months ago at the end of February, in a leap year on the 29th and otherwise on the
//! 28th; what last happened on the 29th of February is a year ago on the 28th.

use crate::base::Timestamp;
use crate::base::calendar::{Civil, days_in_month, midnight};

/// Most months that may be set.
pub const DORMANT_MONTHS_MAX: u32 = 24;

/// What last happened before this moment was at least so many months ago: the midnight behind the last such day.
/// `months >= 1`.
#[must_use]
pub fn idle_before(now: Timestamp, months: u32) -> Timestamp {
    let today = Civil::utc(now);
    let month = today.year * 12 + i64::from(today.month) - 1 - i64::from(months);
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let month = u8::try_from(month).unwrap_or(1);
    let last = days_in_month(year, month);
    // On the last day of a month the longer end of an earlier one has its turn too.
    let is_last = today.day == days_in_month(today.year, today.month);
    let day = if is_last { last } else { today.day.min(last) };
    let day = midnight(year, month, day);
    day.map_or(Timestamp(0), |day| Timestamp(day.0.saturating_add(DAY)))
}

const DAY: u64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn at(year: i16, month: i8, day: i8, hour: i8) -> Timestamp {
        let zoned = date(year, month, day)
            .at(hour, 0, 0, 0)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .unwrap();
        Timestamp(u64::try_from(zoned.timestamp().as_microsecond()).unwrap())
    }

    fn is_idle(now: Timestamp, last: Timestamp, months: u32) -> bool {
        last < idle_before(now, months)
    }

    /// bindings test 14: the month boundary and the leap day.
    #[test]
    fn t14_months_end_where_the_calendar_says() {
        for (last, now, idle) in [
            (at(2026, 8, 22, 23), at(2026, 11, 21, 23), false),
            (at(2026, 8, 22, 23), at(2026, 11, 22, 0), true),
            (at(2026, 11, 30, 12), at(2027, 2, 27, 23), false),
            (at(2026, 11, 30, 12), at(2027, 2, 28, 0), true),
            (at(2027, 11, 30, 12), at(2028, 2, 28, 23), false),
            (at(2027, 11, 30, 12), at(2028, 2, 29, 0), true),
            (at(2027, 11, 29, 12), at(2028, 2, 29, 0), true),
            (at(2027, 12, 31, 12), at(2028, 3, 30, 23), false),
            (at(2027, 12, 31, 12), at(2028, 3, 31, 0), true),
            (at(2028, 2, 29, 0), at(2028, 5, 28, 23), false),
            (at(2028, 2, 29, 0), at(2028, 5, 29, 0), true),
            (at(2026, 12, 15, 0), at(2027, 3, 14, 23), false),
            (at(2026, 12, 15, 0), at(2027, 3, 15, 0), true),
        ] {
            assert_eq!(is_idle(now, last, 3), idle, "{last:?} {now:?}");
        }
        assert!(!is_idle(at(2029, 2, 27, 23), at(2028, 2, 29, 0), 12));
        assert!(is_idle(at(2029, 2, 28, 0), at(2028, 2, 29, 0), 12));
        // A clock at the beginning of time finds nobody idle.
        assert!(!is_idle(Timestamp(0), Timestamp(0), 3));
    }

    proptest! {
        /// Against the calendar library: idle from the day on that is so many months after the last one.
        #[test]
        fn agrees_with_the_calendar_library(
            now in 0_i64..4_000_000_000,
            back in 0_i64..200_000_000,
            months in 1_u32..=DORMANT_MONTHS_MAX,
        ) {
            let last = (now - back).max(0);
            let day = |seconds: i64| {
                jiff::Timestamp::from_second(seconds)
                    .unwrap()
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .date()
            };
            let expect = day(now) >= day(last).checked_add(i64::from(months).months()).unwrap();
            let micros = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap() * 1_000_000);
            prop_assert_eq!(is_idle(micros(now), micros(last), months), expect);
        }
    }
}
