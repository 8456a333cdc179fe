//! The reference: one multiplication at a time, in order. For tests, and to read what the kernels compute.

use crate::packed::check_length;
use crate::{PackedTensor, Result};

/// What [`packed_linear`](super::packed_linear) computes.
///
/// # Errors
///
/// A buffer of another length than `x: [m, cols]`, `y: [m, rows]`.
pub fn packed_linear(x: &[f32], m: usize, w: &PackedTensor, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    let dense = w.dequantize();
    for i in 0..m {
        for o in 0..w.rows() {
            y[i * w.rows() + o] = (0..w.cols()).map(|k| x[i * w.cols() + k] * dense[o * w.cols() + k]).sum();
        }
    }
    Ok(())
}

/// What [`packed_linear_dx`](super::packed_linear_dx) computes.
///
/// # Errors
///
/// A buffer of another length than `dy: [m, rows]`, `dx: [m, cols]`.
pub fn packed_linear_dx(dy: &[f32], m: usize, w: &PackedTensor, dx: &mut [f32]) -> Result<()> {
    check_length("dy", m.saturating_mul(w.rows()), dy.len())?;
    check_length("dx", m.saturating_mul(w.cols()), dx.len())?;
    let dense = w.dequantize();
    for i in 0..m {
        for k in 0..w.cols() {
            dx[i * w.cols() + k] =
                (0..w.rows()).map(|o| dy[i * w.rows() + o] * dense[o * w.cols() + k]).sum();
        }
    }
    Ok(())
}
