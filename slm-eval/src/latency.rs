//! How long answers take.

use serde::{Deserialize, Serialize};

use crate::metrics::check_finite;
use crate::{Error, Result};

/// Summary of durations, in seconds.
///
/// Percentiles are by nearest rank: the smallest measured value that at least `p` % of all values do not
/// exceed. So each is a duration that occurred, and the 99th percentile of fewer than 100 values is the
/// largest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyStats {
    /// Number of durations.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl LatencyStats {
    /// Summarises `seconds`, in any order.
    ///
    /// # Errors
    /// When there are none or one is not finite.
    pub fn of(seconds: &[f64]) -> Result<Self> {
        check_finite("duration", seconds)?;
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let Some(max) = sorted.last().copied() else {
            return Err(Error::Empty { what: "durations" });
        };
        let count = sorted.len();
        let rank = |percent: usize| sorted[(percent * count).div_ceil(100).max(1) - 1];
        let mean = sorted.iter().sum::<f64>() / count as f64;
        Ok(Self { count, mean, p50: rank(50), p90: rank(90), p99: rank(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() -> Result<()> {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let stats = LatencyStats::of(&hundred)?;
        assert_eq!((stats.p50, stats.p90, stats.p99, stats.max), (50.0, 90.0, 99.0, 100.0));
        assert_eq!((stats.count, stats.mean), (100, 50.5));
        // The textbook list of five: rank ⌈0.5 · 5⌉ = 3 and ⌈0.9 · 5⌉ = 5.
        let five = LatencyStats::of(&[15.0, 20.0, 35.0, 40.0, 50.0])?;
        assert_eq!((five.p50, five.p90, five.p99), (35.0, 50.0, 50.0));
        let one = LatencyStats::of(&[0.25])?;
        assert_eq!((one.p50, one.p99, one.mean), (0.25, 0.25, 0.25));
        Ok(())
    }

    #[test]
    fn nothing_and_not_a_number_are_refused() {
        assert!(matches!(LatencyStats::of(&[]), Err(Error::Empty { .. })));
        assert!(matches!(LatencyStats::of(&[1.0, f64::NAN]), Err(Error::NotFinite { index: 1, .. })));
    }
}
