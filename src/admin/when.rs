//! Times as people write them, and what a business date is.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::base::Timestamp;

/// A time that bounds a question: RFC 3339 (`2026-11-22T10:00:00+08:00`), local date and time
/// (`2026-11-22T10:00`), or a local date. A date as a lower bound is its beginning, as an upper bound its
/// end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// From then on.
    From,
    /// Before then.
    To,
}

impl Bound {
    /// Reads it.
    ///
    /// # Errors
    /// What would have been right.
    pub fn parse(self, text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
        let wrong = || {
            format!(
                "{} is no time; write 2026-11-22, 2026-11-22T10:00 or 2026-11-22T10:00:00+08:00",
                text.escape_debug()
            )
        };
        if let Ok(date) = date(text) {
            let day = business_day(date, zone)?;
            return Ok(match self {
                Self::From => day.start,
                Self::To => day.end,
            });
        }
        if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            return stamp(exact).ok_or_else(wrong);
        }
        let local: DateTime = text.parse().map_err(|_no_time| wrong())?;
        let zoned = local.to_zoned(zone.clone()).map_err(|_no_time| wrong())?;
        stamp(zoned.timestamp()).ok_or_else(wrong)
    }
}

/// A date, `2026-11-22` and nothing else.
///
/// # Errors
/// What would have been right.
pub fn date(text: &str) -> Result<Date, String> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = plain.then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| format!("{} is no date; write 2026-11-22", text.escape_debug()))
}

/// When a business date begins and ends.
///
/// For now it is the local date of acceptance: terminals print local dates, shops count their tills by
/// them, and until a settlement request of a terminal's own closes a batch, nothing else tells one day
/// from the next. When it does, the date is to come from the batch, and here is the one place to change.
///
/// # Errors
/// When the date is at the end of the calendar.
pub fn business_day(date: Date, zone: &TimeZone) -> Result<Range<Timestamp>, String> {
    let midnight = |date: Date| {
        let zoned = date.to_zoned(zone.clone()).ok()?;
        stamp(zoned.timestamp())
    };
    let day = midnight(date).zip(date.tomorrow().ok().and_then(midnight));
    let (start, end) = day.ok_or_else(|| format!("{date} is out of range"))?;
    Ok(start..end)
}

/// The local date of a moment; `None` at the end of the calendar.
#[must_use]
pub fn date_of(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    let at = jiff::Timestamp::from_microsecond(i64::try_from(at.0).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()).date())
}

fn stamp(at: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(at.as_microsecond()).ok().map(Timestamp)
}

/// RFC 3339 in a zone, to the microsecond.
#[must_use]
pub fn written(at: Timestamp, zone: &TimeZone) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(
        |_out_of_range| at.0.to_string(),
        |at| {
            let zoned = at.to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shanghai() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    #[test]
    fn every_way_to_write_a_time_is_read() {
        let check = |bound: Bound, text: &str, expect: &str| {
            let at = bound.parse(text, &shanghai()).unwrap();
            assert_eq!(written(at, &shanghai()), expect, "{text}");
        };
        let first = "2026-11-22T00:00:00.000000+08:00";
        check(Bound::From, "2026-11-22", first);
        check(Bound::To, "2026-11-21", first);
        let ten = "2026-11-22T10:00:00.000000+08:00";
        check(Bound::From, "2026-11-22T10:00", ten);
        check(Bound::To, "2026-11-22 10:00:00", ten);
        check(Bound::To, "2026-11-22T02:00:00Z", ten);
        check(Bound::To, "2026-11-22T03:00:00+01:00", ten);
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be() {
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11",
            "10:00",
            "1969-12-31",
            "9999-12-31",
        ] {
            let told = Bound::To.parse(wrong, &shanghai()).unwrap_err();
            assert!(
                told.contains("write 2026-11-22") || told.contains("range"),
                "{told}"
            );
        }
        assert!(date("2026-11-22T10:00").is_err());
    }

    #[test]
    fn a_business_day_lasts_from_midnight_to_midnight_however_long_that_is() {
        let day = |zone: &TimeZone| {
            let day = business_day("2026-03-29".parse().unwrap(), zone).unwrap();
            (day.end.0 - day.start.0) / 3_600_000_000
        };
        assert_eq!(day(&shanghai()), 24);
        // Central Europe: the clocks go forward that night.
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(day(&berlin), 23);
    }
}
