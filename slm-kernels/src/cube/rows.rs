//! [`rms_norm`], [`rotate`] and [`gated`].

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::reduce::{UNITS, reduced};
use super::{buffer, each, empty, grid, take, wrap};
use crate::rows::Gate;

#[cube(launch)]
fn norm_kernel(x: &[f32], weight: &[f32], y: &mut [f32], width: usize, rows: usize, epsilon: f32) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let row = CUBE_POS * width;
    let mut squares = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < width {
        let value = x[row + at];
        squares += value * value;
        at += UNITS;
    }
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let scale = (reduced(squares, &mut shared, false) / f32::cast_from(width) + epsilon).sqrt();
    let mut at = UNIT_POS as usize;
    while at < width {
        y[row + at] = x[row + at] / scale * weight[at];
        at += UNITS;
    }
}

/// `x / √(mean(x²) + epsilon) * weight` along the last dimension; `weight` is `f32`.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let (dims, width) = (x.dims(), weight.dims()[0]);
    let rows = x.shape().num_elements() / width.max(1);
    if rows == 0 {
        return x;
    }
    let (x, weight) = (take(x), take(weight.clone()));
    let y = empty(&x, dims, DType::F32);
    norm_kernel::launch(
        &x.client.clone(),
        grid(&x.client, rows),
        CubeDim::new_1d(UNITS as u32),
        buffer(&x),
        buffer(&weight),
        buffer(&y),
        width,
        rows,
        epsilon as f32,
    );
    wrap(y)
}

/// One unit turns one pair, or copies two of the numbers that stay.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn rotate_kernel(
    x: &[f32],
    cos: &[f32],
    sin: &[f32],
    y: &mut [f32],
    tokens: usize,
    heads: usize,
    dim: usize,
    half: usize,
) {
    let pairs = dim - half;
    if ABSOLUTE_POS >= x.len() / dim * pairs {
        terminate!();
    }
    let pair = ABSOLUTE_POS % pairs;
    let head = ABSOLUTE_POS / pairs;
    let start = head * dim;
    if pair < half {
        let angle = head / heads % tokens * half + pair;
        let a = x[start + pair];
        let b = x[start + pair + half];
        y[start + pair] = a * cos[angle] - b * sin[angle];
        y[start + pair + half] = b * cos[angle] + a * sin[angle];
    } else {
        y[start + pair + half] = x[start + pair + half];
    }
}

/// See [`ops::rotate`](crate::ops::rotate); `2 * half <= dim`, and the angles are `f32`.
pub(crate) fn rotate(x: Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Tensor<4> {
    let [batch, tokens, heads, dim] = x.dims();
    let half = cos.dims()[1];
    if half == 0 || batch * tokens * heads == 0 {
        return x;
    }
    let [cos, sin] = [cos, sin].map(|angles| take(angles.clone()));
    let x = take(x);
    let y = empty(&x, [batch, tokens, heads, dim], DType::F32);
    let (cubes, units) = each(&x.client, batch * tokens * heads * (dim - half));
    rotate_kernel::launch(
        &x.client,
        cubes,
        units,
        buffer(&x),
        buffer(&cos),
        buffer(&sin),
        buffer(&y),
        tokens,
        heads,
        dim,
        half,
    );
    wrap(y)
}

#[cube(launch)]
fn gate_kernel(gate: &[f32], up: &[f32], y: &mut [f32], #[comptime] tanh: bool) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let x = gate[ABSOLUTE_POS];
    let inner = if tanh { 1.595_769 * x * (1.0 + 0.044_715 * x * x) } else { x };
    y[ABSOLUTE_POS] = x / (1.0 + (-inner).exp()) * up[ABSOLUTE_POS];
}

/// `act(gate) * up`, of equal shapes.
pub(crate) fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, kind: Gate) -> Tensor<D> {
    let dims = gate.dims();
    let (gate, up) = (take(gate), take(up));
    let y = empty(&gate, dims, DType::F32);
    let (cubes, units) = each(&gate.client, dims.iter().product());
    let tanh = matches!(kind, Gate::GeluTanh);
    gate_kernel::launch(&gate.client, cubes, units, buffer(&gate), buffer(&up), buffer(&y), tanh);
    wrap(y)
}
