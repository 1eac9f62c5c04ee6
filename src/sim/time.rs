//! Dates and times as messages carry them. Simulators live in UTC.

use crate::base::Timestamp;

use super::message::LocalTime;

/// Date and time of day of a wall-clock reading.
pub(crate) fn local_time(wall: Timestamp) -> LocalTime {
    let micros = i64::try_from(wall.0).unwrap_or(i64::MAX);
    let civil = jiff::Timestamp::from_microsecond(micros)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC);
    let two = |number: i8| u64::try_from(number).unwrap_or_default();
    LocalTime {
        year: u64::try_from(civil.year()).unwrap_or_default(),
        date: two(civil.month()) * 100 + two(civil.day()),
        time: two(civil.hour()) * 10_000 + two(civil.minute()) * 100 + two(civil.second()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;

    #[test]
    fn wall_clock_becomes_month_day_and_time_of_day() {
        let at = Timestamp(ManualClock::WALL_START.0 + 3_723_000_000);
        let want = LocalTime {
            year: 2026,
            date: 1122,
            time: 10_203,
        };
        assert_eq!(local_time(at), want);
    }
}
