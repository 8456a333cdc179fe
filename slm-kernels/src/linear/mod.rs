//! Matrix products with a [`PackedTensor`]: `y = x · Wᵀ` and its input gradient `dx = dy · W`.
//!
//! Activations and sums stay in `f32`; codes are expanded in registers (few rows of `x`: the cost is
//! reading the weights) or tile by tile into a scratch buffer that stays in cache (many rows: the cost is
//! arithmetic). AVX2 with FMA is chosen at run time; [`scalar`] is the reference for every kernel, which
//! differ from it by rounding only, within [`TOLERANCE`].

pub mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
mod columns;
mod portable;

use columns::Columns;
use rayon::prelude::*;

use crate::packed::check_length;
use crate::{PackedTensor, Result};

/// Largest difference between a kernel and [`scalar`], relative to the sum of the absolute products.
pub const TOLERANCE: f32 = 1e-5;

/// Below this many multiplications a product runs on the calling thread.
const PARALLEL_FROM: usize = 1 << 16;

/// Output features of one task of [`packed_linear`].
const ROWS_PER_TASK: usize = 32;

/// Input features of one task of [`packed_linear_dx`], a multiple of every group size.
const COLS_PER_TASK: usize = 256;

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
    if m == 0 {
        return Ok(());
    }
    let y = Columns::new(y, w.rows());
    let tasks = w.rows().div_ceil(ROWS_PER_TASK);
    for_each_task(tasks, m * w.rows() * w.cols(), |task| {
        let start = task * ROWS_PER_TASK;
        forward_task(x, m, w, start..(start + ROWS_PER_TASK).min(w.rows()), &y);
    });
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
    if m == 0 {
        return Ok(());
    }
    dx.fill(0.0);
    let dx = Columns::new(dx, w.cols());
    let tasks = w.cols().div_ceil(COLS_PER_TASK);
    for_each_task(tasks, m * w.rows() * w.cols(), |task| {
        let start = task * COLS_PER_TASK;
        backward_task(dy, m, w, start..(start + COLS_PER_TASK).min(w.cols()), &dx);
    });
    Ok(())
}

fn for_each_task(tasks: usize, work: usize, run: impl Fn(usize) + Sync + Send) {
    if work < PARALLEL_FROM {
        (0..tasks).for_each(run);
    } else {
        (0..tasks).into_par_iter().for_each(run);
    }
}

type Range = std::ops::Range<usize>;

#[cfg(target_arch = "x86_64")]
fn forward_task(x: &[f32], m: usize, w: &PackedTensor, rows: Range, y: &Columns<'_>) {
    match avx2::Avx2::detect() {
        Some(avx2) => avx2.forward(x, m, w, rows, y),
        None => portable::forward(x, m, w, rows, y),
    }
}

#[cfg(target_arch = "x86_64")]
fn backward_task(dy: &[f32], m: usize, w: &PackedTensor, cols: Range, dx: &Columns<'_>) {
    match avx2::Avx2::detect() {
        Some(avx2) => avx2.backward(dy, m, w, cols, dx),
        None => portable::backward(dy, m, w, cols, dx),
    }
}

#[cfg(not(target_arch = "x86_64"))]
use portable::{backward as backward_task, forward as forward_task};
