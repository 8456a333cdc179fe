//! A logistic regression between in-domain and background texts.

use serde::{Deserialize, Serialize};

use super::features::Sparse;

const MAX_STEPS: usize = 500;
/// Largest slope of the objective at which training ends.
const FLAT: f64 = 1e-6;

/// A linear classifier with a probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Logistic {
    /// Sorted by feature.
    weights: Vec<(u32, f32)>,
    bias: f32,
}

/// A row over dense feature indices, its label (1 or -1) and its weight.
struct Row {
    values: Vec<(usize, f64)>,
    label: f64,
    weight: f64,
}

impl Logistic {
    /// Fits by accelerated gradient descent (Nesterov 1983) on all rows at once, each class with half of the
    /// total weight; `c` is the inverse strength of the L2 penalty.
    pub(super) fn fit(positive: &[Sparse], negative: &[Sparse], c: f64) -> Self {
        let mut features: Vec<u32> = positive.iter().chain(negative).flatten().map(|&(f, _)| f).collect();
        features.sort_unstable();
        features.dedup();
        let count = positive.len() + negative.len();
        let mut rows = rows_of(positive, 1.0, &features);
        rows.extend(rows_of(negative, -1.0, &features));
        let penalty = 1.0 / (c * count.max(1) as f64);
        let solution = minimize(&rows, features.len(), penalty);
        let bias = solution.get(features.len()).copied().unwrap_or(0.0) as f32;
        Self { weights: features.into_iter().zip(solution.into_iter().map(|w| w as f32)).collect(), bias }
    }

    pub(super) fn probability(&self, vector: &Sparse) -> f64 {
        let weight = |feature: u32| {
            let at = self.weights.binary_search_by_key(&feature, |&(f, _)| f).ok()?;
            self.weights.get(at).map(|&(_, w)| f64::from(w))
        };
        let sum: f64 = vector.iter().map(|&(f, x)| weight(f).unwrap_or(0.0) * f64::from(x)).sum();
        1.0 / (1.0 + (-(sum + f64::from(self.bias))).exp())
    }

    pub(super) fn is_sound(&self) -> bool {
        self.bias.is_finite() && self.weights.is_sorted_by(|(a, _), (b, _)| a < b)
    }
}

fn rows_of(vectors: &[Sparse], label: f64, features: &[u32]) -> Vec<Row> {
    let weight = 0.5 / vectors.len().max(1) as f64;
    let dense = |vector: &Sparse| {
        vector.iter().filter_map(|&(f, x)| Some((features.binary_search(&f).ok()?, f64::from(x)))).collect()
    };
    vectors.iter().map(|vector| Row { values: dense(vector), label, weight }).collect()
}

/// Weights and, last, the bias. Rows have length one, so that with the bias the loss has a curvature of at
/// most 0.25 * 2.
fn minimize(rows: &[Row], features: usize, penalty: f64) -> Vec<f64> {
    let step = 1.0 / (0.5 + penalty);
    let mut current = vec![0.0; features + 1];
    let mut previous = current.clone();
    for n in 0..MAX_STEPS {
        let momentum = n as f64 / (n as f64 + 3.0);
        let ahead: Vec<f64> = current.iter().zip(&previous).map(|(c, p)| c + momentum * (c - p)).collect();
        let slope = gradient(rows, &ahead, features, penalty);
        previous = current;
        current = ahead.iter().zip(&slope).map(|(x, g)| x - step * g).collect();
        if slope.iter().all(|g| g.abs() < FLAT) {
            break;
        }
    }
    current
}

fn gradient(rows: &[Row], at: &[f64], features: usize, penalty: f64) -> Vec<f64> {
    let value = |index: usize| at.get(index).copied().unwrap_or(0.0);
    let mut slope: Vec<f64> = at.iter().map(|w| w * penalty).collect();
    let mut bias_slope = 0.0;
    for row in rows {
        let sum = row.values.iter().map(|&(f, x)| value(f) * x).sum::<f64>() + value(features);
        let pull = -row.label * row.weight / (1.0 + (row.label * sum).exp());
        for &(feature, x) in &row.values {
            if let Some(slope) = slope.get_mut(feature) {
                *slope += pull * x;
            }
        }
        bias_slope += pull;
    }
    if let Some(last) = slope.get_mut(features) {
        *last = bias_slope;
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optimum_of_one_weight_is_where_penalty_and_pull_meet() {
        // Two rows, x = 1 with label 1 and x = -1 with label -1: bias 0, and w solves w * penalty = sigma(-w).
        let model = Logistic::fit(&[vec![(7, 1.0)]], &[vec![(7, -1.0)]], 2.0);
        let w = f64::from(model.weights[0].1);
        assert!((w * 0.25 - 1.0 / (1.0 + w.exp())).abs() < 1e-5, "{w}");
        assert!(model.bias.abs() < 1e-5);
    }

    #[test]
    fn classes_of_different_size_are_balanced() {
        let positive: Vec<Sparse> = vec![vec![(1, 1.0)]; 50];
        let model = Logistic::fit(&positive, &[vec![(2, 1.0)]], 10.0);
        let sum = model.probability(&vec![(1, 1.0)]) + model.probability(&vec![(2, 1.0)]);
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert!((model.probability(&vec![(99, 1.0)]) - 0.5).abs() < 1e-3);
    }
}
