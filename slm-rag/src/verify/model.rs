//! From measures to a probability, and from probabilities to a threshold for a stated risk.

use serde::{Deserialize, Serialize};

use super::features::MEASURES;
use crate::{Error, Result};

/// Steps of Newton's method; it has converged long before.
const STEPS: usize = 50;
/// Strength of the pull of each weight towards 0.
const RIDGE: f64 = 1.0;

/// A logistic regression from measures to the probability that a claim is supported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupportModel {
    /// The constant, then one weight per measure.
    pub weights: Vec<f64>,
}

impl Default for SupportModel {
    /// Fitted to one half of WiCE, BEGIN and Factcheck-GPT, each set counted alike, by the bench `support`.
    fn default() -> Self {
        Self { weights: DEFAULT.to_vec() }
    }
}

const DEFAULT: [f64; MEASURES + 1] = [
    -4.735, -0.212, -1.07, 1.192, -0.55, -0.815, -0.363, -0.397, -1.326, 0.104, 0.696, -0.621, 0.122, -0.781,
    2.517, 1.278, 4.032, 0.301, 0.55,
];

impl SupportModel {
    /// Fits the weights to examples: measures, and whether the claim is supported. Fit it to claims of your own domain
    /// to have probabilities that hold there.
    ///
    /// # Errors
    /// When there are no examples of both kinds, or they have different numbers of measures.
    pub fn fit(examples: &[(Vec<f64>, bool)]) -> Result<Self> {
        let width = examples.first().map_or(0, |(measures, _)| measures.len());
        if examples.iter().any(|(measures, _)| measures.len() != width) {
            return Err(Error::config("examples", format!("expected {width} measures each, got others")));
        }
        let supported = examples.iter().filter(|(_, supported)| *supported).count();
        if supported == 0 || supported == examples.len() {
            let reason =
                format!("expected supported and unsupported claims, got {supported} of {}", examples.len());
            return Err(Error::config("examples", reason));
        }
        let mut weights = vec![0.0; width + 1];
        for _ in 0..STEPS {
            let step = newton_step(&weights, examples);
            let size = step.iter().fold(0.0_f64, |size, s| size.max(s.abs()));
            weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight -= step);
            if size < 1e-9 {
                break;
            }
        }
        Ok(Self { weights })
    }

    /// The probability that a claim with these measures is supported. Measures that the model does not know are left
    /// out.
    pub fn probability(&self, measures: &[f64]) -> f64 {
        let constant = self.weights.first().copied().unwrap_or(0.0);
        let rest = self.weights.iter().skip(1).zip(measures);
        1.0 / (1.0 + (-(constant + rest.map(|(weight, measure)| weight * measure).sum::<f64>())).exp())
    }
}

/// Gradient of the penalised loss, divided by its curvature.
fn newton_step(weights: &[f64], examples: &[(Vec<f64>, bool)]) -> Vec<f64> {
    let n = weights.len();
    let mut gradient: Vec<f64> = weights.iter().map(|w| RIDGE * w).collect();
    let mut curvature = vec![vec![0.0; n]; n];
    for (i, row) in curvature.iter_mut().enumerate() {
        row[i] = RIDGE;
    }
    // The constant is free.
    gradient[0] = 0.0;
    curvature[0][0] = 1e-9;
    let model = SupportModel { weights: weights.to_vec() };
    for (measures, supported) in examples {
        let p = model.probability(measures);
        let row: Vec<f64> = std::iter::once(1.0).chain(measures.iter().copied()).collect();
        let (slope, bend) = (p - f64::from(u8::from(*supported)), p * (1.0 - p));
        for ((own, g), line) in row.iter().zip(&mut gradient).zip(&mut curvature) {
            *g += slope * own;
            for (cell, other) in line.iter_mut().zip(&row) {
                *cell += bend * own * other;
            }
        }
    }
    solve(curvature, gradient)
}

/// Solves a symmetric positive system by elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let (above, below) = a.split_at_mut(i + 1);
        let pivot = &above[i];
        for (j, row) in (i + 1..n).zip(below) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(pivot).skip(i).for_each(|(cell, other)| *cell -= factor * other);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = a[i].iter().zip(&b).skip(i + 1).map(|(cell, x)| cell * x).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

/// The probability above which a claim may pass so that at most the share `risk` of unsupported claims does, over all
/// ways to draw them like the calibration examples (split conformal, Vovk et al. 2005).
///
/// `unsupported` are the probabilities of claims that are known to be unsupported and were not fitted to.
///
/// # Errors
/// When `risk` is not between 0 and 1, or there are fewer than `1 / risk - 1` examples.
pub fn threshold(unsupported: &[f64], risk: f64) -> Result<f64> {
    if !(risk > 0.0 && risk < 1.0) {
        return Err(Error::config("risk", format!("expected between 0 and 1, got {risk}")));
    }
    let mut sorted = unsupported.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() + 1) as f64 * (1.0 - risk)).ceil() as usize;
    place.checked_sub(1).and_then(|place| sorted.get(place)).copied().ok_or_else(|| {
        let reason = format!("a risk of {risk} needs more than the {} examples there are", sorted.len());
        Error::config("unsupported", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_is_that_of_the_formula() -> Result<()> {
        // Two values of one measure: the fitted probabilities are the shares, but for the ridge.
        let mut examples = Vec::new();
        for (measure, supported, count) in
            [(0.0, true, 200), (0.0, false, 600), (1.0, true, 900), (1.0, false, 100)]
        {
            examples.extend(vec![(vec![measure], supported); count]);
        }
        let model = SupportModel::fit(&examples)?;
        assert!((model.probability(&[0.0]) - 0.25).abs() < 0.01, "{model:?}");
        assert!((model.probability(&[1.0]) - 0.9).abs() < 0.01, "{model:?}");
        assert!(SupportModel::fit(&[(vec![1.0], true)]).is_err());
        assert!(SupportModel::fit(&[(vec![1.0], true), (vec![], false)]).is_err());
        Ok(())
    }

    #[test]
    fn the_threshold_lets_through_what_was_stated() -> Result<()> {
        let scores: Vec<f64> = (1..100).map(|n| f64::from(n) / 100.0).collect();
        assert_eq!(threshold(&scores, 0.05)?, 0.95);
        assert!(threshold(&scores[..10], 0.05).is_err(), "too few to say");
        assert!(threshold(&scores, 0.0).is_err() && threshold(&scores, 1.0).is_err());
        // Over many draws the share that passes is at most the risk.
        let mut state = 3_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut passed = 0;
        for _ in 0..2000 {
            let known: Vec<f64> = (0..39).map(|_| draw().powi(2)).collect();
            passed += usize::from(draw().powi(2) > threshold(&known, 0.1)?);
        }
        assert!((150..=250).contains(&passed), "{passed} of 2000 at a risk of 0.1");
        Ok(())
    }
}
