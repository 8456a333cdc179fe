//! The reference: products one multiplication at a time, in order. For tests, and to read what the kernels compute.

use super::{Forward, Update};
use crate::Result;
use crate::dense::Numbers;
use crate::dense::{Matrix, scalar};

/// `z` and `y` of [`lora_linear`](super::lora_linear).
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn lora_linear(x: &[f32], m: usize, (w, update): (&Matrix<'_>, Update<'_>)) -> Result<[Vec<f32>; 2]> {
    let (a, b) = factors(w, update)?;
    let (mut z, mut low) = (vec![0.0; m * a.rows()], vec![0.0; m * w.rows()]);
    scalar::dense_linear(x, m, &a, &mut z)?;
    z.iter_mut().for_each(|z| *z *= update.scale);
    scalar::dense_linear(&z, m, &b, &mut low)?;
    let mut y = vec![0.0; m * w.rows()];
    scalar::dense_linear(x, m, w, &mut y)?;
    y.iter_mut().zip(low).for_each(|(y, low)| *y += low);
    Ok([z, y])
}

/// `dx`, `da` and `db` of [`lora_linear_backward`](super::lora_linear_backward).
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn lora_linear_backward(
    forward: Forward<'_>,
    m: usize,
    (w, update): (&Matrix<'_>, Update<'_>),
) -> Result<[Vec<f32>; 3]> {
    let (a, b) = factors(w, update)?;
    let mut dz = vec![0.0; m * a.rows()];
    scalar::dense_linear_dx(forward.dy, m, &b, &mut dz)?;
    dz.iter_mut().for_each(|dz| *dz *= update.scale);
    let (mut dx, mut low) = (vec![0.0; m * w.cols()], vec![0.0; m * w.cols()]);
    scalar::dense_linear_dx(forward.dy, m, w, &mut dx)?;
    scalar::dense_linear_dx(&dz, m, &a, &mut low)?;
    dx.iter_mut().zip(low).for_each(|(dx, low)| *dx += low);
    let of_columns = |left: &[f32], right: &[f32], [rows, cols]: [usize; 2]| {
        let mut out = vec![0.0; rows * cols];
        for i in 0..m {
            for row in 0..rows {
                for col in 0..cols {
                    out[row * cols + col] += left[i * rows + row] * right[i * cols + col];
                }
            }
        }
        out
    };
    let da = of_columns(&dz, forward.x, [a.rows(), w.cols()]);
    let db = of_columns(forward.dy, forward.z, [w.rows(), a.rows()]);
    Ok([dx, da, db])
}

fn factors<'a>(w: &Matrix<'_>, update: Update<'a>) -> Result<(Matrix<'a>, Matrix<'a>)> {
    let rank = update.rank(w)?;
    let a = Matrix::new(Numbers::F32(update.a), rank, w.cols())?;
    Ok((a, Matrix::new(Numbers::F32(update.b), w.rows(), rank)?))
}
