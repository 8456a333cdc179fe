//! Matrix products with a [`PackedTensor`]: `y = x · Wᵀ` and its input gradient `dx = dy · W`.
//!
//! [`scalar`] is the reference for every kernel, which differ from it by rounding only, within [`TOLERANCE`].
#![expect(unsafe_code, reason = "memory is handed out before it holds values")]

pub mod scalar;

mod float;

use crate::output::Output;
use crate::packed::check_length;
use crate::scratch::Scratch;
use crate::simd::Level;
use crate::{PackedTensor, Result};

/// Largest difference between a kernel and [`scalar`], relative to the sum of the absolute products.
pub const TOLERANCE: f32 = 1e-5;

/// `y = x · Wᵀ`.
///
/// # Shapes
///
/// `x`: `[m, cols]`, `y`: `[m, rows]`, both row-major; `y` is overwritten.
///
/// # Errors
///
/// A buffer of another length.
pub fn packed_linear(x: &[f32], m: usize, w: &PackedTensor, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    linear_into(Level::best(), x, m, w, Output::new(y));
    Ok(())
}

/// `dx = dy · W`: the gradient of [`packed_linear`] with respect to `x`.
///
/// # Shapes
///
/// `dy`: `[m, rows]`, `dx`: `[m, cols]`, both row-major; `dx` is overwritten.
///
/// # Errors
///
/// A buffer of another length.
pub fn packed_linear_dx(dy: &[f32], m: usize, w: &PackedTensor, dx: &mut [f32]) -> Result<()> {
    check_length("dy", m.saturating_mul(w.rows()), dy.len())?;
    check_length("dx", m.saturating_mul(w.cols()), dx.len())?;
    linear_dx_into(Level::best(), dy, m, w, Output::new(dx));
    Ok(())
}

/// [`packed_linear`] of checked lengths: writes all of `y`.
pub(crate) fn linear_into(level: Level, x: &[f32], m: usize, w: &PackedTensor, y: Output<'_>) {
    if m == 0 || w.rows() == 0 {
        return;
    }
    match w.input_order() {
        None => float::forward(level, x, m, w, y),
        Some(order) => {
            let mut packed = Scratch::new(x.len());
            for (x, packed) in x.chunks_exact(w.cols()).zip(packed.chunks_exact_mut(w.cols())) {
                for (packed, &at) in packed.iter_mut().zip(order.iter()) {
                    *packed = x[at as usize];
                }
            }
            float::forward(level, &packed, m, w, y);
        }
    }
}

/// [`packed_linear_dx`] of checked lengths: writes all of `dx`.
pub(crate) fn linear_dx_into(level: Level, dy: &[f32], m: usize, w: &PackedTensor, dx: Output<'_>) {
    if m == 0 {
        return;
    }
    let Some(order) = w.input_order() else {
        return float::backward(level, dy, m, w, dx);
    };
    let mut packed = Scratch::new(m * w.cols());
    float::backward(level, dy, m, w, Output::new(&mut packed));
    for (row, packed) in packed.chunks_exact(w.cols()).enumerate() {
        for (&at, &value) in order.iter().zip(packed) {
            // SAFETY: no other task is left.
            unsafe { *dx.at(row * w.cols() + at as usize, 1) = value };
        }
    }
}
