//! The gradients of [`rms_norm`](super::rms_norm) and [`gated`](super::gated). That of
//! [`rotate`](super::rotate) is the turn back.
#![expect(unsafe_code, reason = "vectors of checked rows")]

use super::{Gate, PER_TASK, check_rows};
use crate::Result;
use crate::output::{Output, for_each_task};
use crate::packed::check_length;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Simd, load_part, sigmoid, store_part};

/// What [`rms_norm`](super::rms_norm) read, and the gradient of what it wrote.
#[derive(Debug, Clone, Copy)]
pub struct NormForward<'a> {
    /// `[rows, width]`.
    pub x: &'a [f32],
    /// `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
    /// `[rows, width]`.
    pub dy: &'a [f32],
}

/// The gradients of the input and of the weight of [`rms_norm`](super::rms_norm).
///
/// # Shapes
///
/// `dx`: `[rows, width]`, `dweight`: `[width]`; both are overwritten.
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn rms_norm_backward(forward: NormForward<'_>, dx: &mut [f32], dweight: &mut [f32]) -> Result<()> {
    check_rows("x", forward.weight.len(), forward.x.len())?;
    check_length("dy", forward.x.len(), forward.dy.len())?;
    check_length("dx", forward.x.len(), dx.len())?;
    check_length("dweight", forward.weight.len(), dweight.len())?;
    rms_norm_backward_into(Level::best(), forward, Output::new(dx), Output::new(dweight));
    Ok(())
}

/// [`rms_norm_backward`] of checked lengths: writes all of `dx` and `dweight`.
pub(crate) fn rms_norm_backward_into(
    level: Level,
    forward: NormForward<'_>,
    dx: Output<'_>,
    dweight: Output<'_>,
) {
    let width = forward.weight.len();
    let rows = PER_TASK.checked_div(width).unwrap_or(0).max(1);
    let len = rows * width.max(1);
    let tasks = forward.x.len().div_ceil(len);
    // Each task adds up its rows; the tasks are added in order, so threads change no bit.
    let mut partial = Scratch::new(tasks * width);
    partial.fill(0.0);
    let sums = Output::new(&mut partial);
    for_each_task(tasks, forward.x.len(), |task| {
        let range = task * len..((task + 1) * len).min(forward.x.len());
        let part = NormForward { x: &forward.x[range.clone()], dy: &forward.dy[range.clone()], ..forward };
        level.run(NormTask { forward: part, dx, at: range.start, sums, sum: task * width });
    });
    // SAFETY: the only writer.
    let dweight = unsafe {
        let start = dweight.at(0, width);
        std::ptr::write_bytes(start, 0, width);
        std::slice::from_raw_parts_mut(start, width)
    };
    for partial in partial.chunks_exact(width.max(1)) {
        dweight.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
}

struct NormTask<'a> {
    forward: NormForward<'a>,
    dx: Output<'a>,
    at: usize,
    sums: Output<'a>,
    sum: usize,
}

impl Kernel for NormTask<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let NormForward { x, weight, epsilon, dy } = self.forward;
        let width = weight.len();
        for (r, (x, dy)) in x.chunks_exact(width).zip(dy.chunks_exact(width)).enumerate() {
            // SAFETY: tasks have disjoint rows and sums; vectors are cut to the row.
            unsafe {
                let (mut squares, mut products) = (s.splat(0.0), s.splat(0.0));
                for k in (0..width).step_by(S::LANES) {
                    let x = load_part(s, x.as_ptr().add(k), width - k);
                    let dy = load_part(s, dy.as_ptr().add(k), width - k);
                    let weight = load_part(s, weight.as_ptr().add(k), width - k);
                    squares = s.fma(x, x, squares);
                    products = s.fma(s.mul(dy, weight), x, products);
                }
                let square = s.sum(squares) / width as f32 + epsilon;
                let scale = 1.0 / square.sqrt();
                let back = s.splat(-s.sum(products) / (width as f32 * square) * scale);
                let scale = s.splat(scale);
                let dx = self.dx.at(self.at + r * width, width);
                let sums = self.sums.at(self.sum, width);
                for k in (0..width).step_by(S::LANES) {
                    let x = load_part(s, x.as_ptr().add(k), width - k);
                    let dy = s.mul(load_part(s, dy.as_ptr().add(k), width - k), scale);
                    let weight = load_part(s, weight.as_ptr().add(k), width - k);
                    store_part(s, dx.add(k), width - k, s.fma(dy, weight, s.mul(x, back)));
                    let sum = load_part(s, sums.add(k), width - k);
                    store_part(s, sums.add(k), width - k, s.fma(dy, x, sum));
                }
            }
        }
    }
}

/// The gradients of `gate` and `up` of [`gated`](super::gated).
///
/// # Errors
///
/// A buffer of another length than `gate`.
pub fn gated_backward(
    [gate, up]: [&[f32]; 2],
    dy: &[f32],
    kind: Gate,
    [dgate, dup]: [&mut [f32]; 2],
) -> Result<()> {
    check_length("up", gate.len(), up.len())?;
    check_length("dy", gate.len(), dy.len())?;
    check_length("dgate", gate.len(), dgate.len())?;
    check_length("dup", gate.len(), dup.len())?;
    gated_backward_into(Level::best(), [gate, up, dy], kind, [dgate, dup].map(Output::new));
    Ok(())
}

/// [`gated_backward`] of checked lengths: writes all of `out`.
pub(crate) fn gated_backward_into(level: Level, inputs: [&[f32]; 3], kind: Gate, out: [Output<'_>; 2]) {
    let len = inputs[0].len();
    for_each_task(len.div_ceil(PER_TASK), len, |task| {
        let range = task * PER_TASK..((task + 1) * PER_TASK).min(len);
        level.run(GateTask { inputs: inputs.map(|x| &x[range.clone()]), kind, out, at: range.start });
    });
}

struct GateTask<'a> {
    inputs: [&'a [f32]; 3],
    kind: Gate,
    out: [Output<'a>; 2],
    at: usize,
}

impl Kernel for GateTask<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [gate, up, dy] = self.inputs;
        let len = gate.len();
        let one = s.splat(1.0);
        for k in (0..len).step_by(S::LANES) {
            // SAFETY: the three have one length; tasks have disjoint ranges; vectors are cut to the range.
            unsafe {
                let gate = load_part(s, gate.as_ptr().add(k), len - k);
                let up = load_part(s, up.as_ptr().add(k), len - k);
                let dy = load_part(s, dy.as_ptr().add(k), len - k);
                // act = g · σ(u), act' = σ(u) · (1 + g · u' · (1 - σ(u)))
                let (argument, slope) = match self.kind {
                    Gate::Silu => (gate, one),
                    Gate::GeluTanh => {
                        let square = s.mul(gate, gate);
                        let twice = s.splat(1.595_769);
                        let cubic = s.fma(square, s.splat(0.044_715), one);
                        let slope = s.mul(s.fma(square, s.splat(3.0 * 0.044_715), one), twice);
                        (s.mul(s.mul(gate, twice), cubic), slope)
                    }
                };
                let sigma = sigmoid(s, argument);
                let bend = s.fma(s.mul(gate, slope), s.sub(one, sigma), one);
                let rest = (len - k).min(S::LANES);
                let dgate = s.mul(s.mul(dy, up), s.mul(sigma, bend));
                store_part(s, self.out[0].at(self.at + k, rest), len - k, dgate);
                store_part(s, self.out[1].at(self.at + k, rest), len - k, s.mul(dy, s.mul(gate, sigma)));
            }
        }
    }
}
