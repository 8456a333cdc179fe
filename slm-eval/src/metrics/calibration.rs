//! Whether stated probabilities of being right come true.

use serde::{Deserialize, Serialize};

use super::check_finite;
use crate::{Error, Result};

/// How probabilities are put into bins. A bin holds its upper edge, not its lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Bins of equal width over 0 to 1.
    #[default]
    Width,
    /// Bins of about as many values: their edges are quantiles, so that equal values stay together.
    Mass,
}

/// A bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Answers in it.
    pub count: usize,
    /// Their mean stated probability.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// How far stated probabilities are from what comes true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error (Naeini et al. 2015, Guo et al. 2017): the mean distance of confidence and
    /// accuracy over bins, weighted by their answers. 0 is best, 1 worst.
    pub expected_error: f64,
    /// The largest distance of a bin.
    pub max_error: f64,
    /// Brier score (1950): the mean squared distance of the probability from 1 (right) or 0 (wrong).
    pub brier: f64,
    /// The bins that hold answers, from low to high.
    pub bins: Vec<CalibrationBin>,
}

impl Calibration {
    /// Compares `confidence`, the stated probability of being right, with what was `correct`, in `bins` bins.
    ///
    /// # Errors
    /// When there are no answers, the two differ in number, a probability is not within 0 to 1, or there are no
    /// bins.
    pub fn of(confidence: &[f64], correct: &[bool], binning: Binning, bins: usize) -> Result<Self> {
        check_pairs(confidence, correct)?;
        if let Some(bad) = confidence.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            let got = bad.to_string();
            return Err(Error::Setting { name: "confidence", expected: "a probability, 0 to 1", got });
        }
        if bins == 0 {
            return Err(Error::Setting { name: "bins", expected: "1 or more", got: "0".into() });
        }
        let edges = inner_edges(confidence, binning, bins);
        let mut sums = vec![(0_usize, 0.0, 0_usize); bins];
        let mut brier = 0.0;
        for (p, right) in confidence.iter().zip(correct) {
            let (count, sum, hits) = &mut sums[edges.partition_point(|edge| edge < p)];
            (*count, *sum, *hits) = (*count + 1, *sum + p, *hits + usize::from(*right));
            brier += (p - f64::from(u8::from(*right))).powi(2);
        }
        let bin = |(count, sum, hits): (usize, f64, usize)| CalibrationBin {
            count,
            confidence: sum / count as f64,
            accuracy: hits as f64 / count as f64,
        };
        let bins: Vec<CalibrationBin> = sums.into_iter().filter(|(n, ..)| *n > 0).map(bin).collect();
        let gap = |bin: &CalibrationBin| (bin.confidence - bin.accuracy).abs();
        let count = confidence.len() as f64;
        Ok(Self {
            expected_error: bins.iter().map(|bin| gap(bin) * bin.count as f64 / count).sum(),
            max_error: bins.iter().map(gap).fold(0.0, f64::max),
            brier: brier / count,
            bins,
        })
    }
}

/// Edges between bins, ascending: one fewer than bins.
fn inner_edges(confidence: &[f64], binning: Binning, bins: usize) -> Vec<f64> {
    let mut sorted = confidence.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let at = share * (sorted.len() - 1) as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let next = sorted[(low + 1).min(sorted.len() - 1)];
        sorted[low] + (next - sorted[low]) * part
    };
    let share = |k: usize| k as f64 / bins as f64;
    (1..bins).map(|k| if binning == Binning::Width { share(k) } else { quantile(share(k)) }).collect()
}

/// Scores and outcomes that belong together: as many of each, at least one, all finite.
pub(super) fn check_pairs(confidence: &[f64], correct: &[bool]) -> Result<()> {
    if confidence.is_empty() {
        return Err(Error::Empty { what: "answers with a confidence" });
    }
    if confidence.len() != correct.len() {
        let (before, after) = (confidence.len().to_string(), correct.len().to_string());
        return Err(Error::Unpaired { what: "number of answers".into(), before, after });
    }
    check_finite("confidence", confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_knows_its_odds_has_no_error() -> Result<()> {
        // Half of those at 0.5 are right, all of those at 1.
        let c = Calibration::of(&[0.5, 0.5, 1.0, 1.0], &[true, false, true, true], Binning::Width, 10)?;
        assert_eq!((c.expected_error, c.max_error, c.brier), (0.0, 0.0, 0.125));
        assert_eq!(c.bins.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 2]);
        let sure = Calibration::of(&[1.0, 1.0], &[false, false], Binning::Mass, 5)?;
        assert_eq!((sure.expected_error, sure.brier), (1.0, 1.0));
        Ok(())
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        let of = |p: &[f64], correct: &[bool], bins| Calibration::of(p, correct, Binning::Width, bins);
        assert!(matches!(of(&[], &[], 5), Err(Error::Empty { .. })));
        assert!(matches!(of(&[0.5], &[], 5), Err(Error::Unpaired { .. })));
        assert!(matches!(of(&[f64::NAN], &[true], 5), Err(Error::NotFinite { .. })));
        assert!(matches!(of(&[1.5], &[true], 5), Err(Error::Setting { name: "confidence", .. })));
        assert!(matches!(of(&[0.5], &[true], 0), Err(Error::Setting { name: "bins", .. })));
    }
}
