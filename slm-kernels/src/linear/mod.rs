//! Matrix products with a [`PackedTensor`]: `y = x · Wᵀ` and its input gradient `dx = dy · W`.
//!
//! `y` is a product of whole numbers: `x` is rounded to 8 bits in blocks of 32, codes are multiplied and summed exactly
//! (AVX-512 VNNI, AVX2, or plain Rust), and the sums of units of 32 or 16 columns are scaled and added in `f32`, in an order
//! that does not depend on the kernel. So all kernels give the bits of [`scalar`], whatever the other rows of `x` are and
//! however many. Few rows of `x` read the codes as they stream from memory; for many, a panel of `W` is unpacked once into a
//! buffer that stays in cache.
//!
//! `NormalFloat` codes are no whole numbers: they are expanded to `f32`, some rows at a time, and so are all formats where
//! gradients flow, forward and backward. Then kernels differ from [`scalar`] by rounding only, within [`TOLERANCE`].
#![expect(unsafe_code, reason = "memory is handed out before it holds values")]

pub mod scalar;

mod activations;
pub(crate) mod float;
mod normal;
mod rows;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::ops::Range;

use activations::{Activations, Order};

use crate::output::{Output, for_each_task};
use crate::packed::{BLOCK, Layout, Visitor, check_length};
use crate::scratch::Scratch;
use crate::simd::Level;
use crate::{PackedTensor, Result};

/// Largest difference between a kernel in `f32` and [`scalar`], relative to the sum of the absolute products.
pub const TOLERANCE: f32 = 1e-5;

/// `y = x · Wᵀ`, with `x` rounded to 8 bits in blocks of 32 (of [`Format::Nf4`](crate::Format::Nf4), with `x` as it is).
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
    in_order(x, m, w, |x| {
        let product = Product { level, x, m, dims: [w.rows(), w.cols()], y };
        if product.m > 0 && w.rows() > 0 && w.view().visit(product).is_err() {
            float::forward(level, x, m, w, y);
        }
    });
}

/// `y = x · Wᵀ` without rounding `x`: writes all of `y`, of checked length.
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "for tensors of a host"))]
pub(crate) fn float_linear_into(level: Level, x: &[f32], m: usize, w: &PackedTensor, y: Output<'_>) {
    if m > 0 && w.rows() > 0 {
        in_order(x, m, w, |x| float::forward(level, x, m, w, y));
    }
}

/// Calls `run` with the columns of `x` in the order of the packed matrix.
fn in_order(x: &[f32], m: usize, w: &PackedTensor, run: impl FnOnce(&[f32])) {
    assert_eq!(x.len(), m * w.cols(), "unchecked length");
    let Some(order) = w.input_order() else {
        return run(x);
    };
    let mut packed = Scratch::new(x.len());
    for (x, packed) in x.chunks_exact(w.cols()).zip(packed.chunks_exact_mut(w.cols())) {
        for (packed, &at) in packed.iter_mut().zip(order.iter()) {
            *packed = x[at as usize];
        }
    }
    run(&packed);
}

/// `y = x · Wᵀ` of whole numbers.
#[derive(Clone, Copy)]
struct Product<'a> {
    level: Level,
    x: &'a [f32],
    m: usize,
    /// Of the matrix.
    dims: [usize; 2],
    y: Output<'a>,
}

impl Visitor for Product<'_> {
    type Out = ();

    fn visit<L: Layout>(self, layout: L) {
        let Self { level, x, m, dims: [rows, cols], y } = self;
        let work = m.saturating_mul(rows).saturating_mul(cols);
        let each = |size: usize, run: &(dyn Fn(Range<usize>) + Sync)| {
            for_each_task(rows.div_ceil(size), work, |task| run(task * size..((task + 1) * size).min(rows)));
        };
        #[cfg(target_arch = "x86_64")]
        if let (Level::Avx512(_), Some(vnni)) = (level, vnni::Vnni::detect()) {
            let order = if L::UNIT == BLOCK { Order::Halves } else { Order::Plain };
            let x = Activations::new::<L>(level, x, m, cols, order);
            each(vnni::Vnni::rows(m), &|rows| vnni.run(layout, (rows, self.dims), &x, y));
            return;
        }
        let x = Activations::new::<L>(level, x, m, cols, Order::Plain);
        each(ROWS, &|part| match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level proves that the processor has the instructions.
            Level::Avx2(_) | Level::Avx512(_) => unsafe { rows::avx2::run(layout, part, &x, (y, rows)) },
            Level::Portable => rows::run(rows::Portable, layout, part, &x, (y, rows)),
        });
    }
}

/// Output features of a task where there is no VNNI.
const ROWS: usize = 32;

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

#[cfg(test)]
mod tests;
