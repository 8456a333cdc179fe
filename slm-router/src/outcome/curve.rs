//! [`RoutingCurve`]: what calls of the larger model buy.

use super::Outcome;
use crate::{Error, Result};

/// Accuracy by the share of queries that go to the larger model, those of the largest gain first.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingCurve {
    /// Gains, largest first.
    gains: Vec<f64>,
    /// Right answers after so many calls, over the number of queries; one more than there are queries.
    accuracies: Vec<f64>,
}

impl RoutingCurve {
    /// The curve of scores that are larger where the larger model is needed more. Queries of one score count as mixed
    /// evenly.
    ///
    /// # Errors
    /// When there is no outcome, or not one score each.
    pub fn new(scores: &[f64], outcomes: &[Outcome<'_>]) -> Result<Self> {
        if outcomes.is_empty() || scores.len() != outcomes.len() {
            return Err(Error::TooFewTexts {
                what: "scored",
                expected: outcomes.len().max(1),
                got: scores.len(),
            });
        }
        let mut order: Vec<(f64, f64)> =
            scores.iter().zip(outcomes).map(|(&score, outcome)| (score, outcome.gain())).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let count = outcomes.len() as f64;
        let mut right = outcomes.iter().filter(|outcome| outcome.local_is_right).count() as f64;
        let mut accuracies = vec![right / count];
        for tied in order.chunk_by(|a, b| a.0 == b.0) {
            let step = tied.iter().map(|(_, gain)| gain).sum::<f64>() / tied.len() as f64;
            for _ in tied {
                right += step;
                accuracies.push(right / count);
            }
        }
        Ok(Self { gains: order.into_iter().map(|(score, _)| score).collect(), accuracies })
    }

    /// Accuracy of the local model alone.
    pub fn local(&self) -> f64 {
        self.accuracies.first().copied().unwrap_or(0.0)
    }

    /// Accuracy of the larger model alone.
    pub fn larger(&self) -> f64 {
        self.accuracies.last().copied().unwrap_or(0.0)
    }

    /// Average performance gap recovered (Ong et al., "RouteLLM", 2024): the mean over all shares of calls of the part of
    /// the distance between both models that is made up. 0.5 is chance; `NaN` where the models are equally good.
    pub fn apgr(&self) -> f64 {
        let mean = self.accuracies.iter().sum::<f64>() / self.accuracies.len().max(1) as f64;
        (mean - self.local()) / (self.larger() - self.local())
    }

    /// Call-performance threshold: the least share of calls that makes up `part` of the distance between both models.
    pub fn calls_for_gap(&self, part: f64) -> f64 {
        self.calls_for_accuracy(self.local() + part * (self.larger() - self.local()))
    }

    /// The least share of calls that reaches an accuracy; 1 where none does.
    pub fn calls_for_accuracy(&self, accuracy: f64) -> f64 {
        self.first(accuracy) as f64 / self.gains.len().max(1) as f64
    }

    /// The gain above which queries must be called for `share` of the larger model's accuracy.
    pub(super) fn threshold_for(&self, share: f64) -> f64 {
        let calls = self.first(share * self.larger());
        match self.gains.get(calls) {
            // The first query that is not called for.
            Some(gain) => *gain,
            None => f64::NEG_INFINITY,
        }
    }

    fn first(&self, accuracy: f64) -> usize {
        let reached = self.accuracies.iter().position(|reached| *reached >= accuracy - 1e-12);
        reached.unwrap_or(self.gains.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sample;

    #[test]
    fn a_curve_by_hand() -> Result<()> {
        let outcome = |local_is_right, larger_is_right| Outcome {
            sample: Sample { vector: &[], text: "" },
            local_is_right,
            larger_is_right,
        };
        let outcomes =
            [outcome(true, true), outcome(false, true), outcome(false, true), outcome(true, false)];
        let curve = RoutingCurve::new(&[0.2, 0.9, 0.5, 0.1], &outcomes)?;
        // 2, 3, 4, 4 and 3 of 4 are right.
        assert_eq!((curve.local(), curve.larger()), (0.5, 0.75));
        assert!((curve.apgr() - (0.8 - 0.5) / 0.25).abs() < 1e-12);
        assert_eq!((curve.calls_for_gap(0.5), curve.calls_for_gap(1.0)), (0.25, 0.25));
        assert_eq!((curve.calls_for_accuracy(1.0), curve.calls_for_accuracy(0.5)), (0.5, 0.0));
        assert_eq!(curve.threshold_for(1.0), 0.5);
        let tied = RoutingCurve::new(&[0.0; 4], &outcomes)?;
        assert!((tied.apgr() - 0.5).abs() < 1e-12, "chance");
        assert!(RoutingCurve::new(&[], &[]).is_err() && RoutingCurve::new(&[1.0], &outcomes).is_err());
        Ok(())
    }
}
