//! [`product`]: matrix products in the type of a weight of 16 bits.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;

use super::reduce::{UNITS, reduced};
use super::{buffer, each, empty, float_type, grid, take, wrap};

/// A cube divides a row by its largest magnitude, so that no number leaves the range of `F`.
#[cube(launch)]
fn narrow_kernel<F: Float>(
    x: &[f32],
    y: &mut [F],
    scales: &mut [f32],
    width: usize,
    rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let row = CUBE_POS * width;
    let unit = UNIT_POS as usize;
    let mut top = 0.0f32;
    let mut at = unit;
    while at < width {
        top = max(top, x[row + at].abs());
        at += UNITS;
    }
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let scale = max(reduced(top, &mut shared, true), 1.0e-30f32);
    let mut at = unit;
    while at < width {
        y[row + at] = F::cast_from(x[row + at] / scale);
        at += UNITS;
    }
    if unit == 0 {
        scales[CUBE_POS] = scale;
    }
}

#[cube(launch)]
fn widen_kernel<F: Float>(
    x: &[F],
    scales: &[f32],
    y: &mut [f32],
    width: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    y[ABSOLUTE_POS] = f32::cast_from(x[ABSOLUTE_POS]) * scales[ABSOLUTE_POS / width];
}

/// `x · Wᵀ` in the type of `w`, `f16` or `bf16`, with each row of `x` scaled into its range.
///
/// # Shapes
///
/// `x`: `[m, in]` in `f32`, `w`: `[out, in]`, result: `[m, out]` in `f32`.
pub(crate) fn product(x: Tensor<2>, w: &Tensor<2>) -> Tensor<2> {
    let ([m, width], [out, _]) = (x.dims(), w.dims());
    let x = take(x);
    let (narrow, scales) = (empty(&x, [m, width], w.dtype()), empty(&x, [m], DType::F32));
    narrow_kernel::launch(
        &x.client,
        grid(&x.client, m),
        CubeDim::new_1d(UNITS as u32),
        buffer(&x),
        buffer(&narrow),
        buffer(&scales),
        width,
        m,
        float_type(&narrow),
    );
    let sums = take(wrap::<2>(narrow).matmul(w.clone().transpose()));
    let y = empty(&x, [m, out], DType::F32);
    let (cubes, units) = each(&x.client, m * out);
    widen_kernel::launch(
        &x.client,
        cubes,
        units,
        buffer(&sums),
        buffer(&scales),
        buffer(&y),
        out,
        float_type(&sums),
    );
    wrap(y)
}
