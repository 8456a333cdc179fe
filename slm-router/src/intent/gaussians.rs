//! A Gaussian per class, all with one covariance.

use serde::{Deserialize, Serialize};

use crate::linear::dot;

/// Means in the space in which the covariance is the identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Gaussians {
    width: usize,
    /// Lower triangle of the covariance's Cholesky factor, row by row.
    #[serde(with = "crate::file::floats")]
    factor: Vec<f32>,
    /// `[classes, width]`, whitened.
    #[serde(with = "crate::file::floats")]
    means: Vec<f32>,
}

impl Gaussians {
    /// Fits to vectors of one length. The covariance is drawn towards a multiple of the identity as far as the number of
    /// vectors asks for (Ledoit & Wolf 2004).
    pub(super) fn fit(vectors: &[&[f32]], labels: &[usize], classes: usize) -> Self {
        let width = vectors.first().map_or(0, |vector| vector.len());
        let mut means = vec![vec![0.0_f64; width]; classes];
        let mut counts = vec![0.0_f64; classes];
        for (vector, &label) in vectors.iter().zip(labels) {
            if let (Some(mean), Some(count)) = (means.get_mut(label), counts.get_mut(label)) {
                mean.iter_mut().zip(*vector).for_each(|(m, &x)| *m += f64::from(x));
                *count += 1.0;
            }
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|m| *m /= count.max(1.0));
        }
        let centred: Vec<Vec<f64>> = vectors
            .iter()
            .zip(labels)
            .map(|(vector, &label)| {
                let mean = means.get(label).into_iter().flatten();
                vector.iter().zip(mean).map(|(&x, m)| f64::from(x) - m).collect()
            })
            .collect();
        let factor = cholesky(&shrunk_covariance(&centred, width), width);
        let mut gaussians = Self { width, factor, means: Vec::new() };
        let whiten =
            |mean: &Vec<f64>| gaussians.whitened(&mean.iter().map(|&m| m as f32).collect::<Vec<_>>());
        gaussians.means = means.iter().flat_map(whiten).collect();
        gaussians
    }

    /// The least squared Mahalanobis distance to a mean.
    pub(super) fn distance(&self, vector: &[f32]) -> f64 {
        let white = self.whitened(vector);
        let distance = |mean: &[f32]| {
            let difference: Vec<f32> = mean.iter().zip(&white).map(|(m, x)| m - x).collect();
            dot(&difference, &difference)
        };
        f64::from(self.means.chunks(self.width.max(1)).map(distance).fold(f32::INFINITY, f32::min))
    }

    /// Solves `factor * white = vector`.
    fn whitened(&self, vector: &[f32]) -> Vec<f32> {
        let mut white: Vec<f32> = Vec::with_capacity(self.width);
        let mut rest = self.factor.as_slice();
        for (n, &x) in vector.iter().take(self.width).enumerate() {
            let (row, below) = rest.split_at((n + 1).min(rest.len()));
            rest = below;
            let known = dot(row, &white);
            white.push((x - known) / row.last().copied().unwrap_or(1.0));
        }
        white
    }

    pub(super) fn is_sound(&self, width: usize) -> bool {
        self.width == width
            && self.factor.len() == width * (width + 1) / 2
            && !self.means.is_empty()
            && self.means.len().is_multiple_of(width.max(1))
            && self.factor.iter().chain(&self.means).all(|x| x.is_finite())
    }
}

/// Covariance of centred rows, `[width, width]`, shrunk.
fn shrunk_covariance(rows: &[Vec<f64>], width: usize) -> Vec<f64> {
    let count = rows.len().max(1) as f64;
    let mut covariance = vec![0.0; width * width];
    for row in rows {
        for (line, &x) in covariance.chunks_mut(width.max(1)).zip(row) {
            line.iter_mut().zip(row).for_each(|(c, &y)| *c += x * y);
        }
    }
    covariance.iter_mut().for_each(|c| *c /= count);
    let squares: f64 = covariance.iter().map(|c| c * c).sum();
    let mean = covariance.iter().step_by(width + 1).sum::<f64>() / width.max(1) as f64;
    let spread = squares - width as f64 * mean * mean;
    let fourth: f64 = rows.iter().map(|row| row.iter().map(|x| x * x).sum::<f64>().powi(2)).sum();
    let noise = (fourth / count - squares) / count;
    let shrinkage = if spread > 0.0 { (noise / spread).clamp(0.0, 1.0) } else { 1.0 };
    for (n, c) in covariance.iter_mut().enumerate() {
        *c *= 1.0 - shrinkage;
        if n % (width + 1) == 0 {
            // The last term keeps a constant coordinate from a variance of 0.
            *c += shrinkage * mean + 1e-6 * mean + 1e-12;
        }
    }
    covariance
}

/// Lower triangle of the factor, row by row.
fn cholesky(matrix: &[f64], width: usize) -> Vec<f32> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(width);
    for i in 0..width {
        let mut row: Vec<f64> = Vec::with_capacity(i + 1);
        for j in 0..=i {
            let other = if j == i { &row } else { rows.get(j).unwrap_or(&row) };
            let known: f64 = row.iter().zip(other).map(|(a, b)| a * b).take(j).sum();
            let rest = matrix.get(i * width + j).copied().unwrap_or(0.0) - known;
            let diagonal = rows.get(j).and_then(|other| other.get(j)).copied();
            row.push(diagonal.map_or_else(|| rest.max(1e-18).sqrt(), |diagonal| rest / diagonal));
        }
        rows.push(row);
    }
    rows.concat().into_iter().map(|x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against scikit-learn's `LedoitWolf` and `scipy.spatial.distance.mahalanobis`.
    #[test]
    fn distances_are_those_of_scikit_learn() -> serde_json::Result<()> {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/gaussians.json"))?;
        let rows: Vec<Vec<f32>> = serde_json::from_value(golden["vectors"].clone())?;
        let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone())?;
        let distances: Vec<f64> = serde_json::from_value(golden["distances"].clone())?;
        let vectors: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let gaussians = Gaussians::fit(&vectors, &labels, 3);
        assert!(gaussians.is_sound(5) && distances.len() == rows.len());
        for (vector, expected) in vectors.iter().zip(distances) {
            let distance = gaussians.distance(vector);
            assert!((distance - expected).abs() < 1e-3 * expected.max(1.0), "{distance} {expected}");
        }
        Ok(())
    }

    #[test]
    fn a_coordinate_that_never_changes_does_no_harm() {
        let rows = [[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]];
        let vectors: Vec<&[f32]> = rows.iter().map(|row| row.as_slice()).collect();
        let gaussians = Gaussians::fit(&vectors, &[0, 0, 0], 1);
        assert!(gaussians.is_sound(2));
        assert!(gaussians.distance(&[2.0, 0.0]) < gaussians.distance(&[2.0, 1.0]));
    }
}
