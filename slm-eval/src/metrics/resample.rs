//! How sure a mean is: confidence intervals and paired comparisons.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::check_finite;
use crate::{Error, Result};

/// Resamples of a bootstrap: the ends of a 95 % interval then move by about 2 % of its width with the seed.
const RESAMPLES: usize = 2000;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence level, for example 0.95.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Before and after, on the same examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Mean before.
    pub before: f64,
    /// Mean after.
    pub after: f64,
    /// `after - before`.
    pub change: f64,
    /// Bootstrap interval of the change, over pairs.
    pub interval: Interval,
    /// Pairs that rose.
    pub rose: usize,
    /// Pairs that fell.
    pub fell: usize,
    /// Pairs that stayed.
    pub stayed: usize,
    /// Two-sided [`sign_test`] of `rose` against `fell`: how likely so uneven a split is by chance.
    pub p_value: f64,
}

/// Percentile bootstrap interval of the mean (Efron and Tibshirani 1993, §13.3), from 2000 resamples.
///
/// Equal values give an interval of no width; for right-or-wrong scores [`proportion_ci`] does better.
///
/// # Errors
/// When there are no values, one is not finite, or `level` is not between 0 and 1.
pub fn bootstrap_ci(values: &[f64], seed: u64, level: f64) -> Result<Interval> {
    weighted_bootstrap_ci(values, &vec![1.0; values.len()], seed, level)
}

/// The same for the mean of values that count by their weights: bits per byte of texts of different lengths, say.
///
/// # Errors
/// As [`bootstrap_ci`], and when there are not as many weights or one is not a positive number.
pub fn weighted_bootstrap_ci(values: &[f64], weights: &[f64], seed: u64, level: f64) -> Result<Interval> {
    check_level(level)?;
    if values.is_empty() {
        return Err(Error::Empty { what: "values" });
    }
    check_finite("value", values)?;
    check_finite("weight", weights)?;
    if weights.len() != values.len() || weights.iter().any(|w| *w <= 0.0) {
        let got = format!("{} for {} values", weights.len(), values.len());
        return Err(Error::Setting { name: "weights", expected: "a positive number for each value", got });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = values.len();
    let mut mean = || {
        let (mut sum, mut weight) = (0.0, 0.0);
        for _ in 0..count {
            let at = rng.random_range(0..count);
            sum += values[at] * weights[at];
            weight += weights[at];
        }
        sum / weight
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean()).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    let tail = (1.0 - level) / 2.0;
    Ok(Interval { low: at(tail), high: at(1.0 - tail), level })
}

/// Wilson's interval of a proportion (Wilson 1927). Unlike the bootstrap it has a width where all trials
/// went the same way: 20 right out of 20 is not certainty.
///
/// # Errors
/// When there are no trials, fewer than successes, or `level` is not between 0 and 1.
pub fn proportion_ci(successes: usize, trials: usize, level: f64) -> Result<Interval> {
    check_level(level)?;
    if trials == 0 {
        return Err(Error::Empty { what: "trials" });
    }
    if successes > trials {
        let got = format!("{successes} of {trials}");
        return Err(Error::Setting { name: "successes", expected: "at most the trials", got });
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let z2 = normal_quantile(f64::midpoint(1.0, level)).powi(2);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    Ok(Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0), level })
}

/// Interval of a mean score: [`proportion_ci`] where every score is 0 or 1, else [`bootstrap_ci`].
///
/// # Errors
/// As those two.
pub fn mean_ci(values: &[f64], seed: u64, level: f64) -> Result<Interval> {
    if !values.is_empty() && values.iter().all(|v| *v == 0.0 || *v == 1.0) {
        return proportion_ci(values.iter().filter(|v| **v == 1.0).count(), values.len(), level);
    }
    bootstrap_ci(values, seed, level)
}

/// Compares two series of scores of the same examples, pair by pair.
///
/// # Errors
/// When the series differ in length, are empty or hold a value that is not finite, or `level` is not between
/// 0 and 1.
pub fn compare_paired(before: &[f64], after: &[f64], seed: u64, level: f64) -> Result<PairedComparison> {
    if before.len() != after.len() {
        let (before, after) = (before.len().to_string(), after.len().to_string());
        return Err(Error::Unpaired { what: "number of scores".into(), before, after });
    }
    check_finite("score before", before)?;
    check_finite("score after", after)?;
    let changes: Vec<f64> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    let interval = bootstrap_ci(&changes, seed, level)?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let rose = changes.iter().filter(|c| **c > 0.0).count();
    let fell = changes.iter().filter(|c| **c < 0.0).count();
    Ok(PairedComparison {
        before: mean(before),
        after: mean(after),
        change: mean(after) - mean(before),
        interval,
        rose,
        fell,
        stayed: changes.len() - rose - fell,
        p_value: sign_test(rose, fell),
    })
}

/// Exact two-sided sign test: the probability that `rose + fell` fair coins split at least this unevenly.
pub fn sign_test(rose: usize, fell: usize) -> f64 {
    let n = rose + fell;
    let mut ln_choose = 0.0; // ln of n over k, from k = 0 upwards
    let mut tail = 0.0;
    for k in 0..=rose.min(fell) {
        if k > 0 {
            ln_choose += ((n - k + 1) as f64 / k as f64).ln();
        }
        tail += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
    }
    (2.0 * tail).min(1.0)
}

/// The `z` below which a standard normal variable falls with probability `p`, for `p` in `0.5..1`.
fn normal_quantile(p: f64) -> f64 {
    // Bisection of the distribution function, by Marsaglia's series (2004): Φ(z) = ½ + φ(z)·(z + z³/3 + z⁵/15 + …).
    let below = |z: f64| {
        let (mut term, mut sum, mut k) = (z, z, 1.0);
        while term > 1e-17 * sum {
            k += 2.0;
            term *= z * z / k;
            sum += term;
        }
        0.5 + sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let (mut low, mut high) = (0.0, 9.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) < p { low = middle } else { high = middle }
    }
    high
}

fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::Setting { name: "level", expected: "between 0 and 1, both excluded", got: level.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_textbooks() {
        for (p, z) in [(0.5, 0.0), (0.95, 1.644_853_627), (0.975, 1.959_963_985), (0.995, 2.575_829_304)] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn a_proportion_of_all_is_not_certain() -> Result<()> {
        // Wilson 1927 for n of n: low = n / (n + z²).
        let all = proportion_ci(20, 20, 0.95)?;
        assert!((all.low - 20.0 / (20.0 + 3.841_458_821)).abs() < 1e-8 && all.high == 1.0, "{all:?}");
        let half = proportion_ci(5, 10, 0.95)?;
        assert!((half.low - 0.236_593).abs() < 1e-5 && (half.high - 0.763_407).abs() < 1e-5, "{half:?}");
        assert!(proportion_ci(3, 2, 0.95).is_err() && proportion_ci(0, 0, 0.95).is_err());
        Ok(())
    }

    #[test]
    fn a_bootstrap_interval_covers_the_mean_about_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let trials = 400;
        let covered = (0..trials)
            .filter(|trial| {
                let values: Vec<f64> = (0..50).map(|_| rng.random::<f64>().powi(2)).collect();
                bootstrap_ci(&values, *trial, 0.9).expect("fifty finite values").contains(1.0 / 3.0)
            })
            .count();
        let share = covered as f64 / trials as f64;
        assert!((0.85..=0.94).contains(&share), "{share}");
    }

    #[test]
    fn the_seed_decides_and_the_level_widens() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 7) / 7.0).collect();
        let interval = |seed, level| bootstrap_ci(&values, seed, level).expect("finite values");
        assert_eq!(interval(3, 0.95), interval(3, 0.95));
        assert_ne!(interval(3, 0.95), interval(4, 0.95));
        let (narrow, wide) = (interval(3, 0.5), interval(3, 0.99));
        assert!(wide.low < narrow.low && narrow.high < wide.high);
        for level in [0.0, 1.0, f64::NAN] {
            assert!(matches!(bootstrap_ci(&values, 0, level), Err(Error::Setting { name: "level", .. })));
        }
        assert!(bootstrap_ci(&[], 0, 0.9).is_err() && bootstrap_ci(&[f64::INFINITY], 0, 0.9).is_err());
    }

    #[test]
    fn sign_tests_by_hand() {
        // 2 · (1 + 10) / 2^10, and 2 / 2^5.
        for (rose, fell, expected) in [(9, 1, 22.0 / 1024.0), (0, 5, 2.0 / 32.0), (0, 0, 1.0), (3, 3, 1.0)] {
            let p = sign_test(rose, fell);
            assert!((p - expected).abs() < 1e-12, "{rose} {fell}: {p}");
        }
        assert!(sign_test(3000, 2700) < 1e-4 && sign_test(3000, 2700) > 1e-6);
    }

    #[test]
    fn pairs_see_what_unpaired_means_hide() -> Result<()> {
        // Every score rises by a little, far less than scores differ among each other.
        let before: Vec<f64> = (0..30).map(|i| f64::from(i) / 30.0).collect();
        let after: Vec<f64> = before.iter().enumerate().map(|(i, b)| b + 0.01 + i as f64 * 1e-4).collect();
        let paired = compare_paired(&before, &after, 0, 0.95)?;
        assert!(paired.interval.low > 0.0 && paired.p_value < 1e-6, "{paired:?}");
        assert_eq!((paired.rose, paired.fell, paired.stayed), (30, 0, 0));
        assert!((paired.change - 0.011_45).abs() < 1e-9);
        assert!(bootstrap_ci(&before, 0, 0.95)?.contains(paired.after));
        assert!(matches!(compare_paired(&before, &after[1..], 0, 0.95), Err(Error::Unpaired { .. })));
        Ok(())
    }
}
