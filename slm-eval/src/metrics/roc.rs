//! How well a score separates two classes.

use serde::{Deserialize, Serialize};

use super::check_finite;
use crate::{Error, Result};

/// A point of a receiver operating characteristic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Share of the negatives at or above the threshold, 0 to 1.
    pub false_positive_rate: f64,
    /// Share of the positives at or above the threshold, 0 to 1.
    pub true_positive_rate: f64,
    /// The threshold; `None` for the first point, where nothing is accepted.
    pub threshold: Option<f64>,
}

/// Area under the receiver operating characteristic: the probability that a positive scores higher than a
/// negative, ties counted half (Mann and Whitney 1947). 0.5 is chance, 1 is perfect.
///
/// # Errors
/// When a side is empty or a score is not finite.
pub fn auroc(positives: &[f64], negatives: &[f64]) -> Result<f64> {
    let points = roc_curve(positives, negatives)?;
    let area = |pair: &[RocPoint]| {
        let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
        width * f64::midpoint(pair[0].true_positive_rate, pair[1].true_positive_rate)
    };
    Ok(points.windows(2).map(area).sum())
}

/// The receiver operating characteristic from (0, 0) to (1, 1), one point per distinct score.
///
/// # Errors
/// When a side is empty or a score is not finite.
pub fn roc_curve(positives: &[f64], negatives: &[f64]) -> Result<Vec<RocPoint>> {
    for (what, scores) in [("positive score", positives), ("negative score", negatives)] {
        if scores.is_empty() {
            return Err(Error::Empty { what: if what.starts_with('p') { "positives" } else { "negatives" } });
        }
        check_finite(what, scores)?;
    }
    let mut all: Vec<(f64, bool)> = positives.iter().map(|s| (*s, true)).collect();
    all.extend(negatives.iter().map(|s| (*s, false)));
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = vec![RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0, threshold: None }];
    let (mut hits, mut misses) = (0_usize, 0_usize);
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let positive = same.iter().filter(|(_, positive)| *positive).count();
        hits += positive;
        misses += same.len() - positive;
        points.push(RocPoint {
            false_positive_rate: misses as f64 / negatives.len() as f64,
            true_positive_rate: hits as f64 / positives.len() as f64,
            threshold: same.first().map(|(score, _)| *score),
        });
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_by_hand() -> Result<()> {
        for (positives, negatives, expected) in [
            (&[0.9, 0.8][..], &[0.1, 0.2][..], 1.0),
            (&[0.1], &[0.9], 0.0),
            (&[0.5, 0.5], &[0.5], 0.5),
            // Of 6 pairs, 4 are in order and 1 is tied.
            (&[0.8, 0.4, 0.35], &[0.4, 0.1], 4.5 / 6.0),
        ] {
            let area = auroc(positives, negatives)?;
            assert!((area - expected).abs() < 1e-12, "{positives:?} {negatives:?}: {area}");
        }
        Ok(())
    }

    #[test]
    fn the_curve_runs_from_nothing_to_everything() -> Result<()> {
        let points = roc_curve(&[0.8, 0.4], &[0.4, 0.1])?;
        let rates: Vec<_> =
            points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate, p.threshold)).collect();
        let expected =
            [(0.0, 0.0, None), (0.0, 0.5, Some(0.8)), (0.5, 1.0, Some(0.4)), (1.0, 1.0, Some(0.1))];
        assert_eq!(rates, expected);
        Ok(())
    }

    #[test]
    fn bad_scores_are_refused() {
        assert!(matches!(auroc(&[], &[0.1]), Err(Error::Empty { what: "positives" })));
        assert!(matches!(auroc(&[0.1], &[]), Err(Error::Empty { what: "negatives" })));
        assert!(matches!(auroc(&[0.1, f64::NAN], &[0.2]), Err(Error::NotFinite { index: 1, .. })));
    }
}
