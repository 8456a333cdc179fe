//! A linear classifier with probabilities over dense vectors and sparse features together.

mod lbfgs;
mod objective;

use lbfgs::Stop;
use objective::Objective;
use serde::{Deserialize, Serialize};

/// What is classified: a dense part, a sparse part, or both.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row<'a> {
    pub(crate) dense: &'a [f32],
    /// Sorted by feature.
    pub(crate) sparse: &'a [(u32, f32)],
}

/// How a [`Head`] is trained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Training {
    /// Inverse strength of the L2 penalty on all weights but the bias (`C` of LIBLINEAR).
    pub(crate) inverse_regularization: f64,
    /// Most steps.
    pub(crate) steps: usize,
    /// Rows that a sparse feature must occur in.
    pub(crate) least_rows: usize,
}

/// Weights of a softmax regression.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    classes: usize,
    width: usize,
    /// Sparse features, sorted.
    features: Vec<u32>,
    /// `[width + features + 1, classes]`; the last row is the bias.
    #[serde(with = "crate::file::floats")]
    weights: Vec<f32>,
}

impl Head {
    /// Fits to `rows` with a label from 0 to `classes - 1` each, all with dense parts of one length.
    pub(crate) fn fit(rows: &[Row<'_>], labels: &[usize], classes: usize, training: &Training) -> Self {
        let width = rows.first().map_or(0, |row| row.dense.len());
        let features = frequent(rows, training.least_rows);
        let objective = Objective::new(rows, labels, classes, &features, training.inverse_regularization);
        let start = vec![0.0; (width + features.len() + 1) * classes];
        let stop = Stop { steps: training.steps, flat: 1e-6 };
        let weights = lbfgs::minimize(start, stop, |at, gradient| objective.evaluate(at, gradient));
        Self { classes, width, features, weights }
    }

    /// One logit per class.
    pub(crate) fn logits(&self, row: Row<'_>) -> Vec<f32> {
        let line = |n: usize| self.weights.get(n * self.classes..(n + 1) * self.classes).unwrap_or_default();
        let mut logits = line(self.width + self.features.len()).to_vec();
        let mut add = |n: usize, x: f32| logits.iter_mut().zip(line(n)).for_each(|(z, w)| *z += x * w);
        row.dense.iter().take(self.width).enumerate().for_each(|(n, &x)| add(n, x));
        for &(feature, x) in row.sparse {
            if let Ok(at) = self.features.binary_search(&feature) {
                add(self.width + at, x);
            }
        }
        logits
    }

    /// Probability of class 1 of two.
    pub(crate) fn probability(&self, row: Row<'_>) -> f64 {
        match self.logits(row).as_slice() {
            [no, yes, ..] => 1.0 / (1.0 + (f64::from(*no) - f64::from(*yes)).exp()),
            _ => 0.0,
        }
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Whether the parts fit together, as a file may claim otherwise.
    pub(crate) fn is_sound(&self) -> bool {
        self.weights.len() == (self.width + self.features.len() + 1) * self.classes
            && self.features.is_sorted_by(|a, b| a < b)
            && self.weights.iter().all(|weight| weight.is_finite())
    }
}

/// Sparse features of at least `least` rows, sorted.
fn frequent(rows: &[Row<'_>], least: usize) -> Vec<u32> {
    let mut all: Vec<u32> =
        rows.iter().flat_map(|row| row.sparse.iter().map(|&(feature, _)| feature)).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b)
        .filter(|same| same.len() >= least)
        .filter_map(|same| same.first().copied())
        .collect()
}

/// In eight sums side by side, which the compiler makes one vector.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (whole_a, whole_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (a, b) in whole_a.iter().zip(whole_b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, x), y)| *sum += x * y);
    }
    let done = 8 * whole_a.len().min(whole_b.len());
    let rest = a.iter().skip(done).zip(b.iter().skip(done));
    sums.iter().sum::<f32>() + rest.map(|(x, y)| x * y).sum::<f32>()
}

/// Probabilities of logits.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|z| f64::from(z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Sparse;
    use serde_json::Value;

    /// Numbers of a JSON array.
    fn numbers(value: &Value) -> Vec<f32> {
        value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|x| x as f32).collect()
    }

    fn lines(value: &Value) -> Vec<Vec<f32>> {
        value.as_array().into_iter().flatten().map(numbers).collect()
    }

    /// Against scikit-learn. A softmax of two classes splits each weight of a logistic regression in two halves, so that
    /// the same penalty weighs half as much.
    #[test]
    fn probabilities_are_those_of_scikit_learn() -> serde_json::Result<()> {
        let golden: Value = serde_json::from_str(include_str!("../../tests/goldens/softmax.json"))?;
        let dense = lines(&golden["dense"]);
        let sparse: Vec<Sparse> = lines(&golden["sparse"])
            .iter()
            .map(|row| (0..).map(|n| 3 * n).zip(row.iter().copied()).filter(|(_, x)| *x != 0.0).collect())
            .collect();
        let labels: Vec<usize> = numbers(&golden["labels"]).iter().map(|&label| label as usize).collect();
        let rows: Vec<Row<'_>> =
            dense.iter().zip(&sparse).map(|(dense, sparse)| Row { dense, sparse }).collect();
        for fit in golden["fits"].as_array().into_iter().flatten() {
            let classes = fit["classes"].as_u64().map_or(0, |n| n as usize);
            let own: Vec<usize> = (0..rows.len()).filter(|&n| labels[n] < classes).collect();
            let (own_rows, own_labels): (Vec<_>, Vec<_>) = own.iter().map(|&n| (rows[n], labels[n])).unzip();
            let c = fit["c"].as_f64().unwrap_or_default() * if classes == 2 { 0.5 } else { 1.0 };
            let training = Training { inverse_regularization: c, steps: 500, least_rows: 1 };
            let head = Head::fit(&own_rows, &own_labels, classes, &training);
            for (row, expected) in rows.iter().zip(lines(&fit["probabilities"])) {
                for (got, expected) in softmax(&head.logits(*row)).iter().zip(expected) {
                    assert!(
                        (got - f64::from(expected)).abs() < 2e-4,
                        "c {c}, {classes} classes: {got} {expected}"
                    );
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_fit_does_not_depend_on_the_number_of_threads() -> Result<(), rayon::ThreadPoolBuildError> {
        let dense: Vec<Vec<f32>> = (0..1500).map(|n| vec![(n % 7) as f32, (n % 11) as f32 / 3.0]).collect();
        let rows: Vec<Row<'_>> = dense.iter().map(|dense| Row { dense, sparse: &[(1, 0.5)] }).collect();
        let labels: Vec<usize> = (0..1500).map(|n| n % 3).collect();
        let training = Training { inverse_regularization: 1.0, steps: 20, least_rows: 1 };
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            Ok(pool.install(|| Head::fit(&rows, &labels, 3, &training)))
        };
        assert_eq!(fit(1)?, fit(3)?);
        Ok(())
    }
}
