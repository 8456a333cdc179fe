//! How well scores separate two sides.

use crate::{Error, Result};

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

/// Share of `negative` scores that a threshold lets pass which keeps at least `share` of the `positive` ones: at 0.95,
/// the FPR95 of the literature. 0 is perfect.
///
/// # Errors
/// When either side is empty, or the share is not above 0 and at most 1.
pub fn false_positive_rate_at(share: f64, positive: &[f64], negative: &[f64]) -> Result<f64> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(Error::config("share", format!("expected above 0 and at most 1, got {share}")));
    }
    if negative.is_empty() {
        return Err(Error::TooFewTexts { what: "negative", expected: 1, got: 0 });
    }
    let mut sorted = positive.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let kept = (share * sorted.len() as f64 - 1e-9).ceil() as usize;
    let lowest = kept.checked_sub(1).and_then(|at| sorted.get(at));
    let lowest = lowest.ok_or(Error::TooFewTexts { what: "positive", expected: 1, got: 0 })?;
    let passed = negative.iter().filter(|score| *score >= lowest).count();
    Ok(passed as f64 / negative.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_rate_at_which_negatives_pass_by_hand() -> Result<()> {
        let positive: Vec<f64> = (1..=20).map(f64::from).collect();
        // 19 of 20 stay above 2: of the negatives, 2 and 30 do.
        assert_eq!(false_positive_rate_at(0.95, &positive, &[0.0, 1.5, 2.0, 30.0])?, 0.5);
        assert_eq!(false_positive_rate_at(1.0, &positive, &[0.0, 1.5, 2.0, 30.0])?, 0.75);
        assert!(false_positive_rate_at(0.95, &[], &[1.0]).is_err());
        assert!(false_positive_rate_at(0.0, &[1.0], &[1.0]).is_err());
        Ok(())
    }
}
