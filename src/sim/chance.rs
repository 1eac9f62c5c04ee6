//! Probabilities and waits of simulated faults, in whole numbers.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::document::parse_duration;

/// How often something happens, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(u32);

impl Chance {
    /// Never; costs no random number.
    pub const NEVER: Self = Self(0);
    /// Each time.
    pub const ALWAYS: Self = Self(MILLION);

    /// `percent` times in a hundred; more than 100 is 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        if percent >= 100 {
            Self::ALWAYS
        } else {
            Self(percent * 10_000)
        }
    }

    /// Reads `"1%"`, `"0.25%"` or `"100%"`, with up to four digits after the point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 4 {
            return None;
        }
        let whole: u32 = whole.parse().ok()?;
        let parts: u32 = format!("{part:0<4}").parse().ok()?;
        let millionths = whole.checked_mul(10_000)?.checked_add(parts)?;
        (millionths <= MILLION).then_some(Self(millionths))
    }

    /// Draws.
    #[must_use]
    pub fn hits(self, random: &mut fastrand::Rng) -> bool {
        self.0 != 0 && random.u32(0..MILLION) < self.0
    }
}

const MILLION: u32 = 1_000_000;

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / 10_000, self.0 % 10_000);
        if parts == 0 {
            return write!(f, "{whole}%");
        }
        let parts = format!("{parts:04}");
        write!(f, "{whole}.{}%", parts.trim_end_matches('0'))
    }
}

impl std::str::FromStr for Chance {
    type Err = ChanceError;

    /// As people write it on a command line: the percent sign may be left out, `5` is `5%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = Self::parse(text).or_else(|| Self::parse(&format!("{text}%")));
        read.ok_or(ChanceError)
    }
}

/// The text is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a probability is written as a percentage from 0% to 100%, as in \"1%\" or \"0.25%\"")]
pub struct ChanceError;

/// A wait, drawn evenly between two durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Shortest.
    pub min: Duration,
    /// Longest; `min <= max`.
    pub max: Duration,
}

impl Wait {
    /// No wait.
    pub const NONE: Self = Self {
        min: Duration::ZERO,
        max: Duration::ZERO,
    };
    /// What settings may ask for.
    pub(crate) const RANGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);

    /// Always the same.
    #[must_use]
    pub const fn fixed(wait: Duration) -> Self {
        Self {
            min: wait,
            max: wait,
        }
    }

    /// Reads `"20ms"` or `"10ms..2s"`, each at most an hour.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let (min, max) = (parse_duration(min.trim())?, parse_duration(max.trim())?);
        (min <= max && Self::RANGE.contains(&max)).then_some(Self { min, max })
    }

    /// Draws.
    #[must_use]
    pub fn draw(self, random: &mut fastrand::Rng) -> Duration {
        if self.min == self.max {
            return self.min;
        }
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random.u64(micros(self.min)..=micros(self.max)))
    }
}

impl std::str::FromStr for Wait {
    type Err = WaitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(WaitError)
    }
}

/// The text is no wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a wait is written as \"20ms\" or as a range, \"10ms..2s\", up to 1h")]
pub struct WaitError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_exactly() {
        for (text, want) in [
            ("1%", 10_000),
            ("0.25%", 2_500),
            ("0.0001%", 1),
            ("100%", 1_000_000),
            ("0%", 0),
        ] {
            assert_eq!(Chance::parse(text), Some(Chance(want)), "{text}");
            assert_eq!(Chance(want).to_string(), text);
        }
        assert_eq!("5".parse(), Ok(Chance::percent(5)));
        assert_eq!("0.25".parse(), "0.25%".parse::<Chance>());
        assert_eq!("101".parse::<Chance>(), Err(ChanceError));
        assert_eq!("5%%".parse::<Chance>(), Err(ChanceError));
        for text in ["1", "101%", "-1%", "1.%", ".5%", "0.00001%", "%", "1e1%"] {
            assert_eq!(Chance::parse(text), None, "{text}");
        }
    }

    #[test]
    fn draws_follow_the_seed_and_the_odds() {
        let mut random = fastrand::Rng::with_seed(1);
        let hits = (0..100_000).filter(|_| Chance::percent(5).hits(&mut random));
        assert!((4_700..5_300).contains(&hits.count()));
        assert!(!Chance::NEVER.hits(&mut random));
        assert!(Chance::ALWAYS.hits(&mut random));
    }

    #[test]
    fn waits_are_fixed_or_a_range() {
        let fixed = Wait::parse("20ms").unwrap();
        assert_eq!(fixed, Wait::fixed(Duration::from_millis(20)));
        let range = Wait::parse("10ms..2s").unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            assert!((range.min..=range.max).contains(&range.draw(&mut random)));
        }
        for text in ["", "20", "2s..1s", "2h", "1s...2s"] {
            assert_eq!(Wait::parse(text), None, "{text}");
        }
    }
}
