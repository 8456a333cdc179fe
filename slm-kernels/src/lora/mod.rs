//! An adapted layer in training, `y = x · Wᵀ + s · (x · Aᵀ) · Bᵀ` (LoRA, <https://arxiv.org/abs/2106.09685>), and its
//! gradients: the low-rank part is added to the sums of the large product while they are in the cache, and no matrix of
//! the size of `y` or `x` is made for it. [`scalar`] is the reference, from which kernels differ by rounding only,
//! within [`TOLERANCE`](crate::linear::TOLERANCE).

pub mod scalar;

#[cfg(test)]
mod tests;

use crate::Result;
use crate::dense::Matrix;
use crate::dense::backward::{self, Left, Right, Strips, Transposed};
use crate::dense::{Numbers, Weights, linear_dw_into};
use crate::output::Output;
use crate::packed::check_length;
use crate::scratch::Scratch;
use crate::simd::Level;

/// The low-rank update of a weight `[rows, cols]`.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// `[rank, cols]`.
    pub a: &'a [f32],
    /// `[rows, rank]`.
    pub b: &'a [f32],
    /// Of the whole update.
    pub scale: f32,
}

/// What [`lora_linear`] read and wrote beside `y`, and the gradient of `y`.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    /// `[m, cols]`.
    pub x: &'a [f32],
    /// `[m, rank]`.
    pub z: &'a [f32],
    /// `[m, rows]`.
    pub dy: &'a [f32],
}

/// Where [`lora_linear_backward`] writes.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[m, cols]`; `None` where nobody asks for it.
    pub dx: Option<&'a mut [f32]>,
    /// `[rank, cols]`.
    pub da: &'a mut [f32],
    /// `[rows, rank]`.
    pub db: &'a mut [f32],
}

/// `y = x · Wᵀ + z · Bᵀ` and `z = s · x · Aᵀ`, which the backward pass needs.
///
/// # Shapes
///
/// `x`: `[m, cols]`, `z`: `[m, rank]`, `y`: `[m, rows]`, row-major; `z` and `y` are overwritten.
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn lora_linear(
    x: &[f32],
    m: usize,
    (w, update): (&Matrix<'_>, Update<'_>),
    z: &mut [f32],
    y: &mut [f32],
) -> Result<()> {
    let rank = update.rank(w)?;
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("z", m.saturating_mul(rank), z.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    let (z, y) = (Output::new(z), Output::new(y));
    match w.numbers() {
        Numbers::F32(numbers) => linear_into(Level::best(), x, m, (weights(w, numbers), update), [z, y]),
        Numbers::F16(numbers) => linear_into(Level::best(), x, m, (weights(w, numbers), update), [z, y]),
        Numbers::Bf16(numbers) => linear_into(Level::best(), x, m, (weights(w, numbers), update), [z, y]),
    }
    Ok(())
}

/// The gradients of [`lora_linear`] with respect to `x`, `A` and `B`; the weight is a constant.
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn lora_linear_backward(
    forward: Forward<'_>,
    m: usize,
    (w, update): (&Matrix<'_>, Update<'_>),
    out: Gradients<'_>,
) -> Result<()> {
    let rank = update.rank(w)?;
    check_length("x", m.saturating_mul(w.cols()), forward.x.len())?;
    check_length("z", m.saturating_mul(rank), forward.z.len())?;
    check_length("dy", m.saturating_mul(w.rows()), forward.dy.len())?;
    check_length("da", update.a.len(), out.da.len())?;
    check_length("db", update.b.len(), out.db.len())?;
    if let Some(dx) = &out.dx {
        check_length("dx", forward.x.len(), dx.len())?;
    }
    let (dx, factors) = (out.dx.map(Output::new), [Output::new(out.da), Output::new(out.db)]);
    let how = (m, update);
    match w.numbers() {
        Numbers::F32(numbers) => {
            backward_into(Level::best(), forward, how, weights(w, numbers), (dx, factors));
        }
        Numbers::F16(numbers) => {
            backward_into(Level::best(), forward, how, weights(w, numbers), (dx, factors));
        }
        Numbers::Bf16(numbers) => {
            backward_into(Level::best(), forward, how, weights(w, numbers), (dx, factors));
        }
    }
    Ok(())
}

impl Update<'_> {
    fn rank(&self, w: &Matrix<'_>) -> Result<usize> {
        let rank = self.a.len().checked_div(w.cols()).unwrap_or(0);
        check_length("a", rank * w.cols(), self.a.len())?;
        check_length("b", rank * w.rows(), self.b.len())?;
        Ok(rank)
    }
}

/// A matrix of known element type.
pub(crate) fn weights<'a, E>(w: &Matrix<'_>, numbers: &'a [E]) -> Weights<'a, E> {
    Weights { numbers, rows: w.rows(), cols: w.cols() }
}

/// A row-major left matrix of `m` rows.
fn left(numbers: &[f32], m: usize) -> Left<'_> {
    Left { numbers, rows: m, stride: numbers.len().checked_div(m).unwrap_or(0), step: 1 }
}

/// [`lora_linear`] of checked lengths: writes all of `z` and `y`.
pub(crate) fn linear_into<R: Right>(
    level: Level,
    x: &[f32],
    m: usize,
    (w, update): (R, Update<'_>),
    [z, y]: [Output<'_>; 2],
) {
    let [rows, cols] = w.dims();
    let rank = update.a.len().checked_div(cols).unwrap_or(0);
    let [a, b] = [(update.a, rank, cols), (update.b, rows, rank)]
        .map(|(numbers, rows, cols)| Transposed(Weights { numbers, rows, cols }));
    let x = Strips::new(level, left(x, m), cols);
    backward::run_sum(level, (&x, a), None::<(&Strips<'_>, Transposed<R>)>, z);
    let z = Strips::new(level, left(scaled(z, update.scale), m), rank);
    backward::run_sum(level, (&x, Transposed(w)), Some((&z, b)), y);
}

/// What `out` holds, times `scale`.
#[expect(unsafe_code, reason = "reads what a kernel has written")]
fn scaled(out: Output<'_>, scale: f32) -> &[f32] {
    // SAFETY: the kernel has written all of it, and nobody else has it now.
    let numbers = unsafe { std::slice::from_raw_parts_mut(out.at(0, out.len()), out.len()) };
    numbers.iter_mut().for_each(|number| *number *= scale);
    numbers
}

/// [`lora_linear_backward`] of checked lengths: writes all of `dx`, `da` and `db`.
pub(crate) fn backward_into<R: Right>(
    level: Level,
    forward: Forward<'_>,
    (m, update): (usize, Update<'_>),
    w: R,
    (dx, [da, db]): (Option<Output<'_>>, [Output<'_>; 2]),
) {
    let Forward { x, z, dy } = forward;
    let [rows, cols] = w.dims();
    let rank = update.a.len().checked_div(cols).unwrap_or(0);
    let mut dz = Scratch::new(m * rank);
    dz.fill(0.0);
    let out = Output::new(&mut dz);
    let strips = Strips::new(level, left(dy, m), rows);
    let b = Weights { numbers: update.b, rows, cols: rank };
    backward::run_sum(level, (&strips, b), None::<(&Strips<'_>, R)>, out);
    let dz = scaled(out, update.scale);
    product_of_columns(level, [dz, x], m, da);
    // As the gradient of the transposed factor: rows of `dy` are read along, not across.
    let mut across = Scratch::new(rank * rows);
    product_of_columns(level, [z, dy], m, Output::new(&mut across));
    transpose(&across, [rank, rows], db);
    if let Some(dx) = dx {
        let a = Weights { numbers: update.a, rows: rank, cols };
        let low = Strips::new(level, left(dz, m), rank);
        backward::run_sum(level, (&strips, w), Some((&low, a)), dx);
    }
}

/// `aᵀ · b` of `m` rows each; zeros where there are none.
fn product_of_columns(level: Level, [a, b]: [&[f32]; 2], m: usize, out: Output<'_>) {
    if m > 0 {
        linear_dw_into(level, [b, a], m, out);
        return;
    }
    for at in 0..out.len() {
        // SAFETY: nobody else has it now.
        #[expect(unsafe_code, reason = "writes to the output of one task")]
        unsafe {
            *out.at(at, 1) = 0.0;
        }
    }
}

#[expect(unsafe_code, reason = "writes to the output of one task")]
fn transpose(from: &[f32], [rows, cols]: [usize; 2], to: Output<'_>) {
    for (row, from) in from.chunks_exact(cols.max(1)).enumerate() {
        for (col, value) in from.iter().enumerate() {
            // SAFETY: nobody else has it now.
            unsafe { *to.at(col * rows + row, 1) = *value };
        }
    }
}
