//! From a wanted rate of false accepts to a threshold.

use serde::{Deserialize, Serialize};

use super::DetectorReport;
use crate::{Error, Result};

/// What a threshold must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// Highest tolerated probability that an off-domain text is accepted, between 0 and 1.
    pub max_false_accept: f64,
}

impl Default for Calibration {
    /// One in twenty.
    fn default() -> Self {
        Self { max_false_accept: 0.05 }
    }
}

impl Calibration {
    /// The threshold that the score of a new off-domain text exceeds with a probability of at most
    /// [`max_false_accept`](Self::max_false_accept).
    ///
    /// It is the `⌈(n + 1)(1 - rate)⌉`-th smallest of the `n` held-out scores (split conformal prediction; Vovk,
    /// Gammerman & Shafer 2005): if the new text and the held-out ones are exchangeable, its rank among the
    /// `n + 1` is uniform, so that the bound holds for every `n` and not only in the limit.
    ///
    /// # Errors
    /// When there are fewer than `1 / max_false_accept - 1` scores, or the rate is not between 0 and 1.
    pub fn threshold(&self, off_domain: &[f64]) -> Result<f32> {
        let rate = self.max_false_accept;
        if !(rate > 0.0 && rate < 1.0) {
            return Err(Error::config("max_false_accept", format!("expected between 0 and 1, got {rate}")));
        }
        let n = off_domain.len();
        // A product such as 20 * 0.95 may come out a hair above a whole number.
        let rank = (((n + 1) as f64) * (1.0 - rate) - 1e-9).ceil() as usize;
        let mut sorted = off_domain.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        match rank.checked_sub(1).and_then(|at| sorted.get(at)) {
            Some(&score) => Ok(round_up(score)),
            None => {
                let expected = ((1.0 / rate - 1e-9).ceil() as usize).saturating_sub(1).max(1);
                Err(Error::TooFewTexts { what: "off-domain held-out", expected, got: n })
            }
        }
    }

    /// The threshold, raised half-way to the lowest in-domain score above it, and how both sides fare with it.
    ///
    /// Raising refuses none of the held-out in-domain texts, can only lower the rate of false accepts, and leaves room
    /// for off-domain subjects that the held-out texts lack.
    ///
    /// # Errors
    /// As [`threshold`](Self::threshold), or when there is no in-domain score.
    pub fn fit(&self, in_domain: &[f64], off_domain: &[f64]) -> Result<DetectorReport> {
        let threshold = centred(self.threshold(off_domain)?, in_domain);
        DetectorReport::new(in_domain, off_domain, threshold)
    }
}

/// The middle between a threshold and the lowest in-domain score above it.
fn centred(threshold: f32, in_domain: &[f64]) -> f32 {
    let floor = f64::from(threshold);
    let next = in_domain.iter().copied().filter(|&score| score > floor).min_by(f64::total_cmp);
    next.map_or(threshold, |next| (floor.midpoint(next) as f32).max(threshold))
}

/// The smallest `f32` that is not below `score`.
fn round_up(score: f64) -> f32 {
    let near = score as f32;
    if f64::from(near) < score { near.next_up() } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn threshold_is_the_finite_sample_quantile() -> Result<()> {
        let scores: Vec<f64> = (1..=19).map(f64::from).collect();
        // 20 * 0.95 = 19: the largest of 19 scores is just enough.
        assert_eq!(Calibration { max_false_accept: 0.05 }.threshold(&scores)?, 19.0);
        assert_eq!(Calibration { max_false_accept: 0.5 }.threshold(&scores)?, 10.0);
        Ok(())
    }

    #[test]
    fn a_threshold_moves_to_the_middle_of_the_gap() {
        assert_eq!(centred(0.25, &[0.125, 0.75, 0.9]), 0.5);
        assert_eq!(centred(0.25, &[0.125, 0.25]), 0.25);
        let next = 0.25_f64.next_up();
        assert!(f64::from(centred(0.25, &[next])) < next);
    }

    #[test]
    fn too_few_texts_or_a_senseless_rate_are_refused() {
        let calibration = Calibration { max_false_accept: 0.05 };
        let error = calibration.threshold(&[0.1; 18]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("19") && error.contains("18"), "{error}");
        for max_false_accept in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(Calibration { max_false_accept }.threshold(&[0.1; 99]).is_err(), "{max_false_accept}");
        }
    }

    #[test]
    fn a_fresh_score_passes_no_more_often_than_stated() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let calibration = Calibration { max_false_accept: 0.1 };
        let rounds = 20_000;
        let mut passed = 0;
        for _ in 0..rounds {
            let held_out: Vec<f64> = (0..24).map(|_| rng.random::<f64>()).collect();
            passed += usize::from(rng.random::<f64>() > f64::from(calibration.threshold(&held_out)?));
        }
        // Rank 23 of 24: the exact rate is 2 / 25 = 0.08, with a standard error of 0.002.
        let rate = passed as f64 / f64::from(rounds);
        assert!((rate - 0.08).abs() < 0.008, "{rate}");
        Ok(())
    }
}
