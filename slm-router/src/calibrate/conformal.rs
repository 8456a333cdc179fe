//! From a wanted rate of false accepts to a threshold, and how well a detector separates.

use serde::{Deserialize, Serialize};

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

/// How a detector with a threshold treats texts whose side is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DetectorReport {
    /// A text is accepted as in-domain if it scores above this.
    pub threshold: f32,
    /// In-domain texts.
    pub in_domain: usize,
    /// In-domain texts refused.
    pub refused: usize,
    /// Off-domain texts.
    pub off_domain: usize,
    /// Off-domain texts accepted.
    pub accepted: usize,
    /// Area under the ROC curve: [`auroc`] of the scores.
    pub auroc: f32,
}

impl DetectorReport {
    /// Share of in-domain texts that were refused, 0 to 1.
    pub fn refusal_rate(&self) -> f64 {
        self.refused as f64 / self.in_domain.max(1) as f64
    }

    /// Share of off-domain texts that were accepted, 0 to 1.
    pub fn false_accept_rate(&self) -> f64 {
        self.accepted as f64 / self.off_domain.max(1) as f64
    }

    pub(super) fn new(in_domain: &[f64], off_domain: &[f64], threshold: f32) -> Result<Self> {
        let above = |scores: &[f64]| scores.iter().filter(|&&s| s > f64::from(threshold)).count();
        Ok(Self {
            threshold,
            in_domain: in_domain.len(),
            refused: in_domain.len() - above(in_domain),
            off_domain: off_domain.len(),
            accepted: above(off_domain),
            auroc: auroc(in_domain, off_domain)? as f32,
        })
    }
}

/// The threshold that a new off-domain text passes with a probability of at most `max_false_accept`.
///
/// It is the `⌈(n + 1)(1 - rate)⌉`-th smallest of the `n` held-out scores (split conformal prediction; Vovk,
/// Gammerman & Shafer 2005): if the new text and the held-out ones are exchangeable, its rank among the
/// `n + 1` is uniform, so that the bound holds for every `n` and not only in the limit.
pub(super) fn threshold(off_domain: &[f64], calibration: &Calibration) -> Result<f32> {
    let rate = calibration.max_false_accept;
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

/// Raises a threshold half-way to the lowest in-domain score above it.
///
/// That refuses none of the held-out in-domain texts, can only lower the rate of false accepts, and leaves
/// room for off-domain subjects that the held-out texts lack.
pub(super) fn centred(threshold: f32, in_domain: &[f64]) -> f32 {
    let floor = f64::from(threshold);
    let next = in_domain.iter().copied().filter(|&score| score > floor).min_by(f64::total_cmp);
    next.map_or(threshold, |next| (floor.midpoint(next) as f32).max(threshold))
}

/// The smallest `f32` that is not below `score`.
fn round_up(score: f64) -> f32 {
    let near = score as f32;
    if f64::from(near) < score { near.next_up() } else { near }
}

/// Area under the ROC curve: the probability that a score of `positive` exceeds one of `negative`, where
/// ties count half (Mann & Whitney 1947). 0.5 is chance, 1 is perfect.
///
/// # Errors
/// When either side is empty.
pub fn auroc(positive: &[f64], negative: &[f64]) -> Result<f64> {
    for (what, scores) in [("positive", positive), ("negative", negative)] {
        if scores.is_empty() {
            return Err(Error::TooFewTexts { what, expected: 1, got: 0 });
        }
    }
    let mut all: Vec<(f64, bool)> = positive.iter().map(|&s| (s, true)).collect();
    all.extend(negative.iter().map(|&s| (s, false)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|(_, is_positive)| *is_positive).count() as f64;
        let negatives = tied.len() as f64 - positives;
        wins += positives * (below + negatives / 2.0);
        below += negatives;
    }
    Ok(wins / (positive.len() as f64 * negative.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn auroc_by_hand() -> Result<()> {
        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.2])?, 1.0);
        assert_eq!(auroc(&[0.1], &[0.2, 0.3])?, 0.0);
        assert_eq!(auroc(&[0.5, 0.5], &[0.5])?, 0.5);
        assert_eq!(auroc(&[0.4, 0.8, 0.6], &[0.5, 0.6])?, (0.0 + 2.0 + 1.5) / 6.0);
        assert!(auroc(&[], &[0.1]).is_err() && auroc(&[0.1], &[]).is_err());
        Ok(())
    }

    #[test]
    fn threshold_is_the_finite_sample_quantile() -> Result<()> {
        let scores: Vec<f64> = (1..=19).map(f64::from).collect();
        // 20 * 0.95 = 19: the largest of 19 scores is just enough.
        assert_eq!(threshold(&scores, &Calibration { max_false_accept: 0.05 })?, 19.0);
        assert_eq!(threshold(&scores, &Calibration { max_false_accept: 0.5 })?, 10.0);
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
        let error = threshold(&[0.1; 18], &calibration).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("19") && error.contains("18"), "{error}");
        for max_false_accept in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(threshold(&[0.1; 99], &Calibration { max_false_accept }).is_err(), "{max_false_accept}");
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
            passed += usize::from(rng.random::<f64>() > f64::from(threshold(&held_out, &calibration)?));
        }
        // Rank 23 of 24: the exact rate is 2 / 25 = 0.08, with a standard error of 0.002.
        let rate = passed as f64 / f64::from(rounds);
        assert!((rate - 0.08).abs() < 0.008, "{rate}");
        Ok(())
    }
}
