//! Figures of measured windows. The only place in `sim` that calculates with floats.

#![expect(
    clippy::float_arithmetic,
    reason = "rates and ratios of measurements; no money passes here"
)]

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latency quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half were at most this.
    pub p50: u64,
    /// 99 % were at most this.
    pub p99: u64,
    /// 99.9 % were at most this.
    pub p999: u64,
    /// All were at most this.
    pub max: u64,
}

impl Latency {
    /// Quantiles of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// Median, lowest and highest of repeated measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; the mean of the two middle ones of an even number.
    pub median: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

impl Spread {
    /// `None` of no values at all.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }
}

/// A count as a float. Exact up to 2^53, far above what any run counts.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one run stay far below 2^53"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

/// Messages (or handshakes, or anything counted) a second.
#[must_use]
pub fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        return 0.0;
    }
    float(count) / time.as_secs_f64()
}

/// CPU seconds for a million messages; equally, CPU microseconds for each. `None` without messages.
#[must_use]
pub fn seconds_per_million(cpu: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu.as_secs_f64() * 1e6 / float(count))
}

/// How many times `base` goes into `value`; `None` for a base of zero.
#[must_use]
pub fn ratio(value: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| value / base)
}

/// Bytes for each of `count` things.
#[must_use]
pub fn bytes_each(bytes: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| float(bytes) / float(count))
}

/// Bytes in mebibytes.
#[must_use]
pub fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / float(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_even_and_odd_numbers() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn figures_of_nothing_are_absent() {
        assert_eq!(seconds_per_million(Duration::from_secs(1), 0), None);
        assert_eq!(
            seconds_per_million(Duration::from_secs(2), 1_000_000),
            Some(2.0)
        );
        assert_eq!(ratio(1.0, 0.0), None);
        assert_eq!(per_second(1, Duration::ZERO), 0.0);
    }
}
