//! Matrix products with a dense weight in `f32`, `f16` or `bf16`: `y = x · Wᵀ` and `dx = dy · W`.
//!
//! Sums are `f32`, and so are activations, but with a weight in `bf16`: they are then rounded to `bf16` as well, whatever
//! the processor, so that one with products of pairs (AVX-512 BF16) multiplies twice as many at once. Nothing is
//! rounded where gradients flow. Up to one strip of rows of `x` (6 with AVX-512, else 3) the weight is
//! widened in registers as it streams from memory; with more, blocks of it are widened once into a scratch
//! buffer that stays in the level-2 cache. Either way the sum of an element of `y` is taken in the same order:
//! it has the same bits whatever the other rows of `x` are and however many (on one instruction set).
//! [`scalar`] is the reference, from which kernels differ by rounding only, within
//! [`TOLERANCE`](crate::linear::TOLERANCE).

pub mod scalar;

mod affine;
pub(crate) mod backward;
pub(crate) mod forward;

#[cfg(feature = "flex")]
pub(crate) use affine::affine_into;
pub use affine::{Activation, affine};
use std::ops::Range;

use backward::Left;
use burn::tensor::{bf16, f16};

use crate::output::Output;
use crate::packed::check_length;
use crate::scratch::Scratch;
use crate::simd::{Level, Pair, rounded};
use crate::{Error, Result};

/// Numbers of a dense weight.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// 32 bits.
    F32(&'a [f32]),
    /// 16 bits, IEEE half precision.
    F16(&'a [f16]),
    /// 16 bits, the upper half of an `f32`.
    Bf16(&'a [bf16]),
}

impl Numbers<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F16(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
        }
    }
}

/// A dense weight `[rows, cols]`, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    numbers: Numbers<'a>,
    rows: usize,
    cols: usize,
}

impl<'a> Matrix<'a> {
    /// Views `numbers` as `[rows, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are not `rows * cols` numbers.
    pub fn new(numbers: Numbers<'a>, rows: usize, cols: usize) -> Result<Self> {
        check_length("weights", rows.saturating_mul(cols), numbers.len())?;
        Ok(Self { numbers, rows, cols })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The numbers.
    pub fn numbers(&self) -> Numbers<'a> {
        self.numbers
    }
}

/// A [`Matrix`] of known element type.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, E> {
    pub(crate) numbers: &'a [E],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// `y = x · Wᵀ`, with `x` rounded to `bf16` if the weight is in `bf16`.
///
/// # Shapes
///
/// `x`: `[m, cols]`, `y`: `[m, rows]`, both row-major; `y` is overwritten.
///
/// # Errors
///
/// A buffer of another length.
pub fn dense_linear(x: &[f32], m: usize, w: &Matrix<'_>, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols), x.len())?;
    check_length("y", m.saturating_mul(w.rows), y.len())?;
    linear_into(Level::best(), x, m, w, Output::new(y));
    Ok(())
}

/// `dx = dy · W`: the gradient of [`dense_linear`] with respect to `x`.
///
/// # Shapes
///
/// `dy`: `[m, rows]`, `dx`: `[m, cols]`, both row-major; `dx` is overwritten.
///
/// # Errors
///
/// A buffer of another length.
pub fn dense_linear_dx(dy: &[f32], m: usize, w: &Matrix<'_>, dx: &mut [f32]) -> Result<()> {
    check_length("dy", m.saturating_mul(w.rows), dy.len())?;
    check_length("dx", m.saturating_mul(w.cols), dx.len())?;
    linear_dx_into(Level::best(), dy, m, w, Output::new(dx));
    Ok(())
}

/// [`dense_linear`] of checked lengths: writes all of `y`.
pub(crate) fn linear_into(level: Level, x: &[f32], m: usize, w: &Matrix<'_>, y: Output<'_>) {
    linear_then(level, x, m, w, y, |_, _| ());
}

/// [`linear_into`] without rounding `x`: where gradients flow.
#[cfg(any(feature = "flex", test))]
pub(crate) fn exact_linear_into(level: Level, x: &[f32], m: usize, w: &Matrix<'_>, y: Output<'_>) {
    exact_then(level, x, m, w, y, |_, _| ());
}

/// [`linear_into`]; `then` follows with each range of rows and columns that has been written.
fn linear_then(
    level: Level,
    x: &[f32],
    m: usize,
    w: &Matrix<'_>,
    y: Output<'_>,
    then: impl Fn(Range<usize>, Range<usize>) + Send + Sync,
) {
    let Numbers::Bf16(numbers) = w.numbers else { return exact_then(level, x, m, w, y, then) };
    if level.has_bf16() && w.cols.is_multiple_of(2) {
        assert_eq!(x.len(), m * w.cols, "unchecked length");
        let w = Weights { numbers: Pair::slice(numbers), rows: w.rows, cols: w.cols / 2 };
        return forward::run(level, x, m, w, y, then);
    }
    let mut short = Scratch::new(x.len());
    short.iter_mut().zip(x).for_each(|(short, x)| *short = rounded(*x));
    exact_then(level, &short, m, w, y, then);
}

/// [`linear_then`] with `x` as it is.
fn exact_then(
    level: Level,
    x: &[f32],
    m: usize,
    w: &Matrix<'_>,
    y: Output<'_>,
    then: impl Fn(Range<usize>, Range<usize>) + Send + Sync,
) {
    assert_eq!(x.len(), m * w.cols, "unchecked length");
    let (rows, cols) = (w.rows, w.cols);
    match w.numbers {
        Numbers::F32(numbers) => forward::run(level, x, m, Weights { numbers, rows, cols }, y, then),
        Numbers::F16(numbers) => forward::run(level, x, m, Weights { numbers, rows, cols }, y, then),
        Numbers::Bf16(numbers) => forward::run(level, x, m, Weights { numbers, rows, cols }, y, then),
    }
}

/// `dW = dyᵀ · x`: the gradient of [`dense_linear`] with respect to the weight.
///
/// # Shapes
///
/// `x`: `[m, cols]`, `dy`: `[m, rows]`, `dw`: `[rows, cols]`, all row-major; `dw` is overwritten.
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn dense_linear_dw([x, dy]: [&[f32]; 2], m: usize, dw: &mut [f32]) -> Result<()> {
    let [cols, rows] = [x, dy].map(|numbers| numbers.len().checked_div(m).unwrap_or(0));
    check_length("x", m * cols, x.len())?;
    check_length("dy", m * rows, dy.len())?;
    check_length("dw", rows * cols, dw.len())?;
    linear_dw_into(Level::best(), [x, dy], m, Output::new(dw));
    Ok(())
}

/// [`dense_linear_dx`] of checked lengths: writes all of `dx`.
pub(crate) fn linear_dx_into(level: Level, dy: &[f32], m: usize, w: &Matrix<'_>, dx: Output<'_>) {
    let (rows, cols) = (w.rows, w.cols);
    let dy = Left { numbers: dy, rows: m, stride: rows, step: 1 };
    match w.numbers {
        Numbers::F32(numbers) => backward::run(level, dy, Weights { numbers, rows, cols }, dx),
        Numbers::F16(numbers) => backward::run(level, dy, Weights { numbers, rows, cols }, dx),
        Numbers::Bf16(numbers) => backward::run(level, dy, Weights { numbers, rows, cols }, dx),
    }
}

/// [`dense_linear_dw`] of checked lengths: writes all of `dw`. Nothing is written if `m` is 0.
pub(crate) fn linear_dw_into(level: Level, [x, dy]: [&[f32]; 2], m: usize, dw: Output<'_>) {
    let [cols, rows] = [x, dy].map(|numbers| numbers.len().checked_div(m).unwrap_or(0));
    let dy = Left { numbers: dy, rows, stride: 1, step: rows };
    backward::run(level, dy, Weights { numbers: x, rows: m, cols }, dw);
}

/// Whether the dimensions of `x` and `w` allow a product.
pub(crate) fn check_features(expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Features { expected, got }) }
}

#[cfg(test)]
mod tests;
