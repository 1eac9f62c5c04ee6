//! Calendar date and time of day, from a timestamp and an offset.
//!
//! DE12 and DE13 are local and know no zone, and in 1987 no year; DE7 is UTC. The offset of the local zone is asked of
//! the system by whoever has a clock; here is only arithmetic (days to civil date, proleptic Gregorian).

use super::clock::Timestamp;

/// A moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

impl Civil {
    /// In UTC.
    #[must_use]
    pub fn utc(at: Timestamp) -> Self {
        Self::local(at, 0)
    }

    /// In a zone that is `offset_seconds` ahead of UTC.
    #[must_use]
    pub fn local(at: Timestamp, offset_seconds: i32) -> Self {
        let seconds = i64::try_from(at.0 / 1_000_000).unwrap_or(i64::MAX / 2);
        let seconds = seconds + i64::from(offset_seconds);
        let (days, in_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Eras of 400 years, each starting on 1 March, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let small = |value: i64| u8::try_from(value).unwrap_or(0);
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: small(month),
            day: small(day_of_year - (153 * from_march + 2) / 5 + 1),
            hour: small(in_day / 3_600),
            minute: small(in_day / 60 % 60),
            second: small(in_day % 60),
        }
    }

    /// MMDD, as DE13 wants it.
    #[must_use]
    pub fn month_day(&self) -> [u8; 4] {
        let [a, b] = two(self.month);
        let [c, d] = two(self.day);
        [a, b, c, d]
    }

    /// hhmmss, as DE12 wants it.
    #[must_use]
    pub fn time(&self) -> [u8; 6] {
        let [a, b] = two(self.hour);
        let [c, d] = two(self.minute);
        let [e, f] = two(self.second);
        [a, b, c, d, e, f]
    }

    /// `YYYYMMDDhhmmss`. A year that has not four digits comes out as 0000.
    #[must_use]
    pub fn stamp(&self) -> [u8; 14] {
        let small = |value: i64| u8::try_from(value).unwrap_or(0);
        let [a, b] = two(small(self.year / 100 % 100));
        let [c, d] = two(small(self.year % 100));
        let [e, f, g, h] = self.month_day();
        let [i, j, k, l, m, n] = self.time();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n]
    }

    /// `2026-11-22`.
    #[must_use]
    pub fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Days of a month, 1 to 12.
#[must_use]
pub const fn days_in_month(year: i64, month: u8) -> u8 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The beginning of a day in UTC; `None` before 1970.
#[must_use]
pub fn midnight(year: i64, month: u8, day: u8) -> Option<Timestamp> {
    // Years begin in March here, so that the leap day is the last of its year.
    let year = year - i64::from(month <= 2);
    let from_march = (i64::from(month) + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let days = u64::try_from(days).ok()?;
    Some(Timestamp(days.saturating_mul(86_400_000_000)))
}

const fn two(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: u64, offset: i32, expect: &str) {
        let at = Civil::local(Timestamp(seconds * 1_000_000), offset);
        let time = String::from_utf8(at.time().to_vec()).unwrap();
        assert_eq!(format!("{} {time}", at.date_text()), expect);
        let stamp = expect.replace(['-', ' '], "");
        assert_eq!(at.stamp(), stamp.as_bytes());
    }

    #[test]
    fn known_days() {
        check(0, 0, "1970-01-01 000000");
        check(951_782_399, 0, "2000-02-28 235959");
        check(951_782_400, 0, "2000-02-29 000000");
        check(1_795_305_600, 0, "2026-11-22 000000");
        check(1_798_761_599, 8 * 3_600, "2027-01-01 075959");
        check(1_798_761_599, -3_600, "2026-12-31 225959");
    }

    #[test]
    fn agrees_with_the_calendar_library() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let seconds = random.i64(0..8_000_000_000);
            let theirs = jiff::Timestamp::from_second(seconds)
                .unwrap()
                .to_zoned(jiff::tz::TimeZone::UTC);
            let ours = Civil::utc(Timestamp(u64::try_from(seconds).unwrap() * 1_000_000));
            let text = theirs.strftime("%Y-%m-%d %H%M%S").to_string();
            let time = String::from_utf8(ours.time().to_vec()).unwrap();
            assert_eq!(format!("{} {time}", ours.date_text()), text);
            let begins = midnight(ours.year, ours.month, ours.day).unwrap();
            let in_day = u64::try_from(seconds).unwrap() % 86_400;
            assert_eq!(
                begins.0 / 1_000_000 + in_day,
                u64::try_from(seconds).unwrap()
            );
            assert_eq!(
                i8::try_from(days_in_month(ours.year, ours.month)).unwrap(),
                theirs.days_in_month()
            );
        }
    }
}
