//! Cross-entropy and its gradient.

use rayon::prelude::*;

use super::Row;

/// Rows that one task sums up; fixed, so that sums have the same order for any number of threads.
const BLOCK: usize = 512;

/// Mean cross-entropy of a softmax regression, with an L2 penalty.
pub(super) struct Objective<'a> {
    rows: &'a [Row<'a>],
    labels: &'a [usize],
    classes: usize,
    width: usize,
    penalty: f32,
    /// Sparse parts, with features as places in the list of features.
    sparse: Vec<Vec<(usize, f32)>>,
    /// Per feature, the rows that have it.
    postings: Vec<Vec<(usize, f32)>>,
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        rows: &'a [Row<'a>],
        labels: &'a [usize],
        classes: usize,
        features: &[u32],
        inverse_regularization: f64,
    ) -> Self {
        let place = |&(feature, x): &(u32, f32)| Some((features.binary_search(&feature).ok()?, x));
        let sparse: Vec<Vec<_>> =
            rows.iter().map(|row| row.sparse.iter().filter_map(place).collect()).collect();
        let mut postings = vec![Vec::new(); features.len()];
        for (row, values) in sparse.iter().enumerate() {
            for &(feature, x) in values {
                if let Some(posting) = postings.get_mut(feature) {
                    posting.push((row, x));
                }
            }
        }
        let penalty = (1.0 / (inverse_regularization * rows.len().max(1) as f64)) as f32;
        let width = rows.first().map_or(0, |row| row.dense.len());
        Self { rows, labels, classes, width, penalty, sparse, postings }
    }

    /// The value at `weights`, `[width + features + 1, classes]`, whose gradient goes to `gradient`.
    pub(super) fn evaluate(&self, weights: &[f32], gradient: &mut [f32]) -> f64 {
        let classes = self.classes;
        let (penalised, _) = weights.split_at(weights.len() - classes);
        let mut residuals = vec![0.0; self.rows.len() * classes];
        let blocks: Vec<f64> = residuals
            .par_chunks_mut(BLOCK * classes)
            .enumerate()
            .map(|(block, residuals)| {
                let rows = residuals.chunks_mut(classes).enumerate();
                rows.map(|(n, residual)| self.residual(block * BLOCK + n, weights, residual)).sum()
            })
            .collect();
        let norm: f64 = penalised.iter().map(|w| f64::from(w * w)).sum();
        self.gradient(weights, &residuals, gradient);
        blocks.iter().sum::<f64>() / self.rows.len().max(1) as f64 + 0.5 * f64::from(self.penalty) * norm
    }

    /// Writes the probabilities less the label of a row, over the number of rows, and returns its loss.
    fn residual(&self, row: usize, weights: &[f32], residual: &mut [f32]) -> f64 {
        let classes = self.classes;
        let line = |n: usize| weights.get(n * classes..(n + 1) * classes).unwrap_or_default();
        residual.copy_from_slice(line(weights.len() / classes - 1));
        let dense = self.rows.get(row).map_or(&[][..], |row| row.dense);
        for (n, &x) in dense.iter().enumerate() {
            add(residual, x, line(n));
        }
        for &(feature, x) in self.sparse.get(row).into_iter().flatten() {
            add(residual, x, line(self.width + feature));
        }
        let label = self.labels.get(row).copied().unwrap_or(0);
        let largest = residual.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let own = residual.get(label).copied().unwrap_or(largest);
        let mut sum = 0.0;
        for z in residual.iter_mut() {
            *z = (*z - largest).exp();
            sum += *z;
        }
        let scale = 1.0 / self.rows.len() as f32;
        residual.iter_mut().for_each(|p| *p *= scale / sum);
        if let Some(own) = residual.get_mut(label) {
            *own -= scale;
        }
        f64::from(largest - own) + f64::from(sum).ln()
    }

    fn gradient(&self, weights: &[f32], residuals: &[f32], gradient: &mut [f32]) {
        let classes = self.classes;
        let (dense, rest) = gradient.split_at_mut(self.width * classes);
        let (sparse, bias) = rest.split_at_mut(rest.len() - classes);
        self.dense_gradient(residuals, dense, bias);
        sparse.par_chunks_mut(classes).zip(&self.postings).for_each(|(line, posting)| {
            line.fill(0.0);
            for &(row, x) in posting {
                add(line, x, residuals.get(row * classes..(row + 1) * classes).unwrap_or_default());
            }
        });
        let penalised = self.width * classes + sparse.len();
        let (penalised, _) = gradient.split_at_mut(penalised);
        add(penalised, self.penalty, weights);
    }

    fn dense_gradient(&self, residuals: &[f32], dense: &mut [f32], bias: &mut [f32]) {
        let classes = self.classes;
        let sums: Vec<(Vec<f32>, Vec<f32>)> = residuals
            .par_chunks(BLOCK * classes)
            .zip(self.rows.par_chunks(BLOCK))
            .map(|(residuals, rows)| {
                let (mut sum, mut bias) = (vec![0.0; self.width * classes], vec![0.0; classes]);
                for (residual, row) in residuals.chunks(classes).zip(rows) {
                    sum.chunks_mut(classes).zip(row.dense).for_each(|(line, &x)| add(line, x, residual));
                    add(&mut bias, 1.0, residual);
                }
                (sum, bias)
            })
            .collect();
        dense.fill(0.0);
        bias.fill(0.0);
        for (sum, part) in &sums {
            add(dense, 1.0, sum);
            add(bias, 1.0, part);
        }
    }
}

fn add(to: &mut [f32], share: f32, what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(t, w)| *t += share * w);
}
