//! The reference: one multiplication at a time, in order. For tests, and to read what the kernels compute.

use burn::tensor::bf16;

use super::{Matrix, Numbers};
use crate::Result;
use crate::packed::check_length;

/// Weight `[row, col]` in `f32`.
fn weight(w: &Matrix<'_>, row: usize, col: usize) -> f32 {
    let at = row * w.cols() + col;
    match w.numbers() {
        Numbers::F32(numbers) => numbers[at],
        Numbers::F16(numbers) => numbers[at].to_f32(),
        Numbers::Bf16(numbers) => numbers[at].to_f32(),
    }
}

/// What [`dense_linear`](super::dense_linear) computes.
///
/// # Errors
///
/// A buffer of another length than `x: [m, cols]`, `y: [m, rows]`.
pub fn dense_linear(x: &[f32], m: usize, w: &Matrix<'_>, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    let input = |i, k| match w.numbers() {
        Numbers::Bf16(_) => bf16::from_f32(x[i * w.cols() + k]).to_f32(),
        _ => x[i * w.cols() + k],
    };
    for i in 0..m {
        for o in 0..w.rows() {
            y[i * w.rows() + o] = (0..w.cols()).map(|k| input(i, k) * weight(w, o, k)).sum();
        }
    }
    Ok(())
}

/// What [`dense_linear_dx`](super::dense_linear_dx) computes.
///
/// # Errors
///
/// A buffer of another length than `dy: [m, rows]`, `dx: [m, cols]`.
pub fn dense_linear_dx(dy: &[f32], m: usize, w: &Matrix<'_>, dx: &mut [f32]) -> Result<()> {
    check_length("dy", m.saturating_mul(w.rows()), dy.len())?;
    check_length("dx", m.saturating_mul(w.cols()), dx.len())?;
    for i in 0..m {
        for k in 0..w.cols() {
            dx[i * w.cols() + k] = (0..w.rows()).map(|o| dy[i * w.rows() + o] * weight(w, o, k)).sum();
        }
    }
    Ok(())
}
