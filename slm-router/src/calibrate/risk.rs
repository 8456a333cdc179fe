//! From a wanted rate of errors to the scores that may stand.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most errors that may be among what stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskLimit {
    /// Highest tolerated share of errors among what stands, between 0 and 1.
    pub max_error: f64,
    /// Probability with which the threshold may break that limit, over the draw of the examples it is fitted to.
    pub delta: f64,
}

impl Default for RiskLimit {
    /// One error in ten, kept with a probability of nine in ten.
    fn default() -> Self {
        Self { max_error: 0.1, delta: 0.1 }
    }
}

/// A threshold on a score, and how the examples fare that it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SelectiveReport {
    /// What scores at least this stands.
    pub threshold: f64,
    /// Examples.
    pub examples: usize,
    /// Examples that stand.
    pub standing: usize,
    /// Errors among them.
    pub errors: usize,
}

impl SelectiveReport {
    /// Share of the examples that stand, 0 to 1.
    pub fn coverage(&self) -> f64 {
        self.standing as f64 / self.examples.max(1) as f64
    }

    /// Share of errors among what stands, 0 to 1.
    pub fn error_rate(&self) -> f64 {
        self.errors as f64 / self.standing.max(1) as f64
    }
}

impl RiskLimit {
    /// The lowest threshold that keeps the limit, from examples with a score and whether they were right.
    ///
    /// Thresholds are tested from the strictest down, each by the exact binomial test of "more than `max_error` of what
    /// stands is wrong", until one fails (fixed-sequence testing; Angelopoulos et al., "Learn then Test", 2021). If
    /// what comes is drawn as the examples were, the limit holds with a probability of at least `1 - delta`.
    ///
    /// # Errors
    /// When the limit is out of range, a score is no number, or no threshold keeps it.
    pub fn fit(&self, examples: &[(f64, bool)]) -> Result<SelectiveReport> {
        for (field, value) in [("max_error", self.max_error), ("delta", self.delta)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::config(field, format!("expected between 0 and 1, got {value}")));
            }
        }
        if examples.iter().any(|(score, _)| score.is_nan()) {
            return Err(Error::config("score", "expected a number, got NaN"));
        }
        let mut sorted = examples.to_vec();
        sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        // Fewer than this cannot pass the test even without an error.
        let least = (self.delta.ln() / (1.0 - self.max_error).ln()).ceil() as usize;
        // Where to test must not depend on the errors. One bad example among few would end the sequence at once, so it
        // begins with some, and goes on in steps.
        let mut next = (2 * least).max(examples.len() / 10).min(examples.len()).max(least);
        let (mut standing, mut errors, mut best) = (0, 0, None);
        for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
            standing += tied.len();
            errors += tied.iter().filter(|(_, right)| !right).count();
            if standing < next {
                continue;
            }
            next = standing + (examples.len() / 50).max(1);
            if binomial_cdf(errors, standing, self.max_error) > self.delta {
                break;
            }
            let threshold = tied.first().map_or(f64::INFINITY, |first| first.0);
            best = Some(SelectiveReport { threshold, examples: examples.len(), standing, errors });
        }
        best.ok_or(Error::NoThreshold { max_error: self.max_error, examples: examples.len(), least })
    }
}

/// Probability of at most `successes` in `trials` of probability `p`.
fn binomial_cdf(successes: usize, trials: usize, p: f64) -> f64 {
    let odds = (p / (1.0 - p)).ln();
    let mut log_term = trials as f64 * (-p).ln_1p();
    let mut sum = log_term.exp();
    for k in 1..=successes.min(trials) {
        log_term += ((trials - k + 1) as f64 / k as f64).ln() + odds;
        sum += log_term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_binomial_distribution_by_hand() {
        assert!((binomial_cdf(0, 3, 0.5) - 0.125).abs() < 1e-12);
        assert!((binomial_cdf(1, 3, 0.5) - 0.5).abs() < 1e-12);
        assert!((binomial_cdf(3, 3, 0.5) - 1.0).abs() < 1e-12);
        // scipy.stats.binom.cdf(40, 1000, 0.05)
        assert!(
            (binomial_cdf(40, 1000, 0.05) - 0.080_636_6).abs() < 1e-6,
            "{}",
            binomial_cdf(40, 1000, 0.05)
        );
    }

    /// Right with the probability of its score.
    fn drawn(n: usize, rng: &mut ChaCha8Rng) -> Vec<(f64, bool)> {
        let one = |_| {
            let score = rng.random::<f64>();
            (score, rng.random::<f64>() < score)
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn the_limit_is_broken_no_more_often_than_stated() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let limit = RiskLimit { max_error: 0.2, delta: 0.1 };
        let (rounds, mut broken, mut coverage) = (2000, 0_u32, 0.0);
        for _ in 0..rounds {
            // Above a threshold t stand scores of mean (1 + t) / 2, so that the true error is (1 - t) / 2.
            if let Ok(report) = limit.fit(&drawn(300, &mut rng)) {
                broken += u32::from((1.0 - report.threshold) / 2.0 > limit.max_error);
                coverage += report.coverage() / f64::from(rounds);
            }
        }
        assert!(f64::from(broken) / f64::from(rounds) < 0.12, "{broken}");
        // 0.4 would be the most that keeps the limit.
        assert!(coverage > 0.2 && coverage < 0.4, "{coverage}");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let limit = RiskLimit { max_error: 0.1, delta: 0.1 };
        assert!(matches!(limit.fit(&[(0.5, true); 21]), Err(Error::NoThreshold { least: 22, .. })));
        assert!(limit.fit(&[(0.5, true); 22]).is_ok());
        assert!(limit.fit(&[(0.5, false); 500]).is_err());
        assert!(limit.fit(&[(f64::NAN, true); 50]).is_err());
        assert!(RiskLimit { max_error: 0.0, delta: 0.1 }.fit(&[(0.5, true); 50]).is_err());
    }
}
