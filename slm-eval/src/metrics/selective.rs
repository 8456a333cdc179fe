//! What it gains to answer only where the model is sure.

use serde::{Deserialize, Serialize};

use super::calibration::check_pairs;
use crate::{Error, Result};

/// How the share of wrong answers falls as the least sure answers are withheld.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskCoverage {
    /// Share of wrong answers among the `k` surest, for `k` from 1 to all.
    pub risk: Vec<f64>,
    /// Area under the curve of risk over coverage, as the mean of [`risk`](Self::risk) (Geifman and El-Yaniv 2017).
    /// Lower is better; a confidence that knows nothing gives about the share of wrong answers.
    pub aurc: f64,
    /// What [`aurc`](Self::aurc) has above that of a confidence that ranks every right answer before every wrong one
    /// (Geifman et al. 2019): 0 is best, whatever the accuracy.
    pub excess: f64,
}

impl RiskCoverage {
    /// The curve of answers with a `confidence`, higher where the model is surer; any scale. Of equally sure answers
    /// each order is as likely: the risk among them is the mean over orders.
    ///
    /// # Errors
    /// When there are no answers, the two differ in number, or a confidence is not finite.
    pub fn of(confidence: &[f64], correct: &[bool]) -> Result<Self> {
        check_pairs(confidence, correct)?;
        let mut pairs: Vec<(f64, bool)> = confidence.iter().copied().zip(correct.iter().copied()).collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut risk = Vec::with_capacity(pairs.len());
        let mut wrong = 0.0;
        for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
            let share = equal.iter().filter(|(_, right)| !right).count() as f64 / equal.len() as f64;
            for _ in equal {
                wrong += share;
                risk.push(wrong / (risk.len() + 1) as f64);
            }
        }
        let (count, wrong) = (pairs.len(), correct.iter().filter(|right| !**right).count());
        let best = (1..=count).map(|k| (k + wrong).saturating_sub(count) as f64 / k as f64).sum::<f64>();
        let aurc = risk.iter().sum::<f64>() / count as f64;
        Ok(Self { risk, aurc, excess: aurc - best / count as f64 })
    }

    /// Share of wrong answers if the `coverage` surest of all are given, 0 to 1.
    ///
    /// # Errors
    /// When `coverage` is not above 0 and at most 1.
    pub fn risk_at(&self, coverage: f64) -> Result<f64> {
        if !(coverage > 0.0 && coverage <= 1.0) {
            let got = coverage.to_string();
            return Err(Error::Setting { name: "coverage", expected: "above 0, at most 1", got });
        }
        let answers = (coverage * self.risk.len() as f64).ceil() as usize;
        Ok(self.risk[answers.clamp(1, self.risk.len()) - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_by_hand() -> Result<()> {
        let known = RiskCoverage::of(&[0.9, 0.8, 0.2], &[true, true, false])?;
        assert_eq!(known.risk, [0.0, 0.0, 1.0 / 3.0]);
        assert!((known.aurc - 1.0 / 9.0).abs() < 1e-12 && known.excess.abs() < 1e-12);
        assert_eq!((known.risk_at(0.5)?, known.risk_at(1.0)?), (0.0, 1.0 / 3.0));
        assert!(known.risk_at(0.0).is_err() && known.risk_at(1.1).is_err());
        // The other way round: 1, 1/2, 1/3.
        let wrong = RiskCoverage::of(&[-5.0, -3.0, 70.0], &[true, true, false])?;
        assert!((wrong.aurc - 11.0 / 18.0).abs() < 1e-12 && (wrong.excess - 0.5).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn equal_confidence_gives_the_share_of_errors_in_any_order() -> Result<()> {
        let a = RiskCoverage::of(&[0.5; 4], &[true, false, false, true])?;
        let b = RiskCoverage::of(&[0.5; 4], &[false, false, true, true])?;
        assert_eq!(a, b);
        assert_eq!(a.risk, [0.5; 4]);
        assert!(matches!(RiskCoverage::of(&[], &[]), Err(Error::Empty { .. })));
        Ok(())
    }
}
