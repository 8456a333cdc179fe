//! [`SupportPolicy`]: which claims may pass at a stated risk.

use super::{Verifier, threshold};
use crate::{Error, Result};

/// A claim, the passages that it was checked against, and what a person said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedClaim {
    /// The claim.
    pub claim: String,
    /// The passages.
    pub passages: Vec<String>,
    /// Whether one of them supports it.
    pub supported: bool,
}

/// A verifier with a limit: a claim passes when a passage says all of its quantities and supports it with a probability
/// above the limit.
///
/// [`calibrate`](Self::calibrate) finds the limit for a stated risk out of judged claims. The
/// [grounded model](crate::GroundedModel::with_policy) then lets through what passes.
#[derive(Debug, Clone)]
pub struct SupportPolicy {
    verifier: Verifier,
    limit: f64,
    risk: Option<f64>,
    coverage: Option<f64>,
}

impl SupportPolicy {
    /// A policy with a limit of your own.
    ///
    /// # Errors
    /// When `limit` is not between 0 and 1.
    pub fn new(verifier: Verifier, limit: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&limit) {
            return Err(Error::config("limit", format!("expected 0 to 1, got {limit}")));
        }
        Ok(Self { verifier, limit, risk: None, coverage: None })
    }

    /// The policy of which at most the share `risk` of unsupported claims passes, as far as they are drawn like those of
    /// `claims` ([split conformal](threshold)). The verifier must not have been fitted to `claims`.
    ///
    /// # Errors
    /// When the verifier fails, `risk` is not between 0 and 1, or there are too few unsupported claims for it.
    pub fn calibrate(verifier: Verifier, claims: &[JudgedClaim], risk: f64) -> Result<Self> {
        let open = Self::new(verifier, 0.0)?;
        let (mut supported, mut unsupported) = (Vec::new(), Vec::new());
        for judged in claims {
            let passages = judged.passages.iter().map(String::as_str);
            let best = open.best(&judged.claim, passages)?.map_or(0.0, |(_, score)| score);
            if judged.supported { &mut supported } else { &mut unsupported }.push(best);
        }
        let limit = threshold(&unsupported, risk)?;
        let passing = supported.iter().filter(|score| **score > limit).count();
        let coverage = (!supported.is_empty()).then(|| passing as f64 / supported.len() as f64);
        Ok(Self { limit, risk: Some(risk), coverage, ..open })
    }

    /// What judges the claims.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The probability above which a claim passes.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// The largest share of unsupported claims that passes, where the policy was calibrated.
    pub fn risk(&self) -> Option<f64> {
        self.risk
    }

    /// The share of the supported claims of the calibration that pass.
    pub fn coverage(&self) -> Option<f64> {
        self.coverage
    }

    /// The score of a claim by passages that are read together: its probability, or 0 where they do not say one of its
    /// quantities.
    ///
    /// # Errors
    /// When the verifier fails.
    pub fn score(&self, claim: &str, passages: &[&str]) -> Result<f64> {
        let verdict = self.verifier.check(claim, passages)?;
        Ok(if verdict.missing_quantities > 0 { 0.0 } else { verdict.probability })
    }

    /// The passage that supports a claim best, and the score of the claim by it alone.
    ///
    /// # Errors
    /// When the verifier fails.
    pub fn best<'a>(
        &self,
        claim: &str,
        passages: impl Iterator<Item = &'a str>,
    ) -> Result<Option<(usize, f64)>> {
        let mut best: Option<(usize, f64)> = None;
        for (n, passage) in passages.enumerate() {
            let score = self.score(claim, &[passage])?;
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((n, score));
            }
        }
        Ok(best)
    }

    /// Whether a score is high enough.
    pub fn passes(&self, score: f64) -> bool {
        score > self.limit
    }
}

/// What passes above a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RiskPoint {
    /// Claims with this score or a higher one pass.
    pub limit: f64,
    /// Share of all claims that pass.
    pub coverage: f64,
    /// Share of unsupported claims among those that pass.
    pub risk: f64,
}

/// Risk against coverage (El-Yaniv & Wiener 2010), one point per score from the highest down, out of scores and whether
/// the claims are supported.
pub fn risk_coverage(scored: &[(f64, bool)]) -> Vec<RiskPoint> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = Vec::new();
    let (mut passed, mut wrong) = (0, 0);
    for alike in sorted.chunk_by(|a, b| a.0 == b.0) {
        passed += alike.len();
        wrong += alike.iter().filter(|(_, supported)| !supported).count();
        points.push(RiskPoint {
            limit: alike.first().map_or(0.0, |(score, _)| *score),
            coverage: passed as f64 / sorted.len() as f64,
            risk: wrong as f64 / passed as f64,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_and_coverage_are_counted() {
        let points = risk_coverage(&[(0.9, true), (0.2, false), (0.5, true), (0.5, false)]);
        let got: Vec<(f64, f64)> = points.iter().map(|point| (point.coverage, point.risk)).collect();
        assert_eq!(got, [(0.25, 0.0), (0.75, 1.0 / 3.0), (1.0, 0.5)]);
        assert!(risk_coverage(&[]).is_empty());
    }

    #[test]
    fn quantities_must_be_said_whatever_the_probability() -> Result<()> {
        let policy = SupportPolicy::new(Verifier::default(), 0.0)?;
        let passage = "The bridge opened on 3 March 1932. It is 1.5 km long.";
        assert!(policy.passes(policy.score("The bridge is 1,500 metres long.", &[passage])?));
        assert!(!policy.passes(policy.score("The bridge is 1,500 miles long.", &[passage])?));
        let best = policy.best("It is 1.5 km long.", ["Nothing of it.", passage].into_iter())?;
        assert_eq!(best.map(|(n, _)| n), Some(1));
        assert!(SupportPolicy::new(Verifier::default(), 1.1).is_err());
        Ok(())
    }

    #[test]
    fn the_limit_holds_the_risk_and_says_what_passes() -> Result<()> {
        let cities = ["Lima", "Oslo", "Rome", "Cairo", "Quito", "Delhi", "Paris", "Accra", "Doha", "Riga"];
        let judged = |supported: bool| {
            let at = move |n: usize| cities[n % cities.len()];
            (0..cities.len()).map(move |n| JudgedClaim {
                claim: format!("The museum of {} is open on Sunday.", at(n)),
                passages: vec![format!(
                    "The museum of {} is open on Sunday.",
                    at(n + usize::from(!supported))
                )],
                supported,
            })
        };
        let claims: Vec<JudgedClaim> = judged(true).chain(judged(false)).collect();
        let policy = SupportPolicy::calibrate(Verifier::default(), &claims, 0.2)?;
        assert_eq!((policy.risk(), policy.coverage()), (Some(0.2), Some(1.0)));
        let mut passed = 0;
        for judged in claims.iter().filter(|judged| !judged.supported) {
            let passages: Vec<&str> = judged.passages.iter().map(String::as_str).collect();
            passed += usize::from(policy.passes(policy.score(&judged.claim, &passages)?));
        }
        assert!(passed <= 2, "{passed} of 10 pass at a risk of 0.2");
        let few: Vec<JudgedClaim> = judged(false).take(3).collect();
        assert!(SupportPolicy::calibrate(Verifier::default(), &few, 0.2).is_err());
        Ok(())
    }
}
