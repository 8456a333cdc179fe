//! Decompositions of weights, for what updates begin with and for merging several into one.
//!
//! Small matrices are decomposed on the host in f64, by one-sided Jacobi rotations (Hestenes 1958). Of large ones, the
//! subspace of the first vectors is found first, by block power iteration on the device (Halko et al. 2011).

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;

/// Up to this many rows or columns, a matrix is decomposed as it is.
const SMALL: usize = 256;
/// Vectors of the subspace beyond those wanted.
const SPARE: usize = 16;
/// Power iterations, as many as PEFT's documentation advises for PiSSA.
const ITERATIONS: usize = 16;
/// Jacobi sweeps at most; they converge quadratically after a few.
const SWEEPS: usize = 60;

/// The first singular vectors and values of a matrix.
pub(crate) struct Svd {
    /// `[rows, rank]`.
    pub(crate) u: Tensor<2>,
    /// Falling.
    pub(crate) s: Vec<f32>,
    /// `[rank, cols]`.
    pub(crate) v: Tensor<2>,
}

/// The first `rank` singular vectors and values of `w`.
///
/// # Errors
/// When the matrix cannot be read back.
pub(crate) fn svd(w: &Tensor<2>, rank: usize) -> Result<Svd> {
    let w = w.clone().cast(FloatDType::F32);
    let [rows, cols] = w.dims();
    if rows.min(cols) <= SMALL {
        return small(&w, rank);
    }
    let device = w.device();
    let wide = (rank + SPARE).min(rows.min(cols));
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let noise: Vec<f32> = (0..cols * wide).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut basis = w.clone().matmul(Tensor::from_data(TensorData::new(noise, [cols, wide]), &device));
    for _ in 0..ITERATIONS {
        basis = orthonormal(&basis)?;
        basis = w.clone().matmul(w.clone().transpose().matmul(basis));
    }
    let basis = orthonormal(&basis)?;
    let inner = small(&basis.clone().transpose().matmul(w), rank)?;
    Ok(Svd { u: basis.matmul(inner.u), ..inner })
}

/// An orthonormal basis of the columns, in their order: the Q of a QR decomposition, up to signs. Gram and Schmidt, twice.
///
/// # Shapes
/// `[rows, n]` to the same.
///
/// # Errors
/// When the matrix cannot be read back.
pub(crate) fn orthonormal(columns: &Tensor<2>) -> Result<Tensor<2>> {
    let device = columns.device();
    let mut vectors = rows(&columns.clone().transpose())?;
    for index in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(index);
        let Some(own) = rest.first_mut() else { continue };
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(own, other);
                own.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
        }
        let length = dot(own, own).sqrt();
        let factor = if length > 0.0 { length.recip() } else { 0.0 };
        own.iter_mut().for_each(|x| *x *= factor);
    }
    Ok(matrix(&vectors, &device).transpose())
}

fn small(w: &Tensor<2>, rank: usize) -> Result<Svd> {
    let [rows_, cols] = w.dims();
    let device = w.device();
    // The rotations turn the shorter side's vectors until they are orthogonal.
    let flipped = rows_ > cols;
    let mut vectors = rows(&if flipped { w.clone().transpose() } else { w.clone() })?;
    let count = vectors.len();
    let mut turns: Vec<Vec<f64>> =
        (0..count).map(|i| (0..count).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..count {
            for j in i + 1..count {
                turned |= rotate(&mut vectors, &mut turns, i, j);
            }
        }
        if !turned {
            break;
        }
    }
    let mut lengths: Vec<(usize, f64)> = vectors.iter().map(|v| dot(v, v).sqrt()).enumerate().collect();
    lengths.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    lengths.truncate(rank);
    let unit = |&(at, length): &(usize, f64)| -> Vec<f64> {
        let factor = if length > 0.0 { length.recip() } else { 0.0 };
        vectors.get(at).map(|v| v.iter().map(|x| x * factor).collect()).unwrap_or_default()
    };
    let far: Vec<Vec<f64>> = lengths.iter().map(unit).collect();
    let near: Vec<Vec<f64>> = lengths.iter().filter_map(|(at, _)| turns.get(*at).cloned()).collect();
    let (u, v) = if flipped { (far, near) } else { (near, far) };
    let s = lengths.iter().map(|(_, length)| *length as f32).collect();
    Ok(Svd { u: matrix(&u, &device).transpose(), s, v: matrix(&v, &device) })
}

/// Turns two vectors, and the same two of `turns`, to be orthogonal; whether they were not.
fn rotate(vectors: &mut [Vec<f64>], turns: &mut [Vec<f64>], i: usize, j: usize) -> bool {
    let (a, b, c) =
        (dot(&vectors[i], &vectors[i]), dot(&vectors[j], &vectors[j]), dot(&vectors[i], &vectors[j]));
    if c == 0.0 || c.abs() <= 1e-14 * (a * b).sqrt() {
        return false;
    }
    let zeta = (b - a) / (2.0 * c);
    let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = cosine * tangent;
    for all in [vectors, turns] {
        let (head, tail) = all.split_at_mut(j);
        for (x, y) in head[i].iter_mut().zip(tail[0].iter_mut()) {
            (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
        }
    }
    true
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn rows(t: &Tensor<2>) -> Result<Vec<Vec<f64>>> {
    let [_, cols] = t.dims();
    let values = super::values(t)?;
    Ok(values.chunks_exact(cols.max(1)).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect())
}

fn matrix(rows: &[Vec<f64>], device: &Device) -> Tensor<2> {
    let cols = rows.first().map_or(0, Vec::len);
    let values: Vec<f32> = rows.iter().flatten().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), cols]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;

    use super::*;

    /// `[rows, cols]` with singular values that fall by a tenth each.
    fn falling(rows: usize, cols: usize) -> Result<Tensor<2>> {
        let device = Device::flex();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut noise = |n: usize| -> Result<Tensor<2>> {
            let values: Vec<f32> = (0..n * 12).map(|_| rng.random_range(-1.0..1.0)).collect();
            orthonormal(&Tensor::from_data(TensorData::new(values, [n, 12]), &device))
        };
        let (u, v) = (noise(rows)?, noise(cols)?);
        let s: Vec<f32> = (0..12).map(|i| 0.9_f32.powi(i)).collect();
        Ok((u * Tensor::<1>::from_data(TensorData::from(s.as_slice()), &device).unsqueeze_dim::<2>(0))
            .matmul(v.transpose()))
    }

    #[test]
    fn decompositions_multiply_to_the_matrix() -> Result<()> {
        for (rows, cols) in [(40, 13), (13, 40), (300, 280)] {
            let w = falling(rows, cols)?;
            let Svd { u, s, v } = svd(&w, 12)?;
            for (i, value) in s.iter().enumerate() {
                assert!((value - 0.9_f32.powi(i as i32)).abs() < 1e-5, "{rows} {cols} {i}: {value}");
            }
            let scaled = Tensor::<1>::from_data(TensorData::from(s.as_slice()), &u.device());
            let product = (u * scaled.unsqueeze_dim::<2>(0)).matmul(v);
            product.into_data().assert_approx_eq(&w.into_data(), Tolerance::<f32>::absolute(1e-5));
        }
        Ok(())
    }
}
