//! Up to four rows of `x`: each code is read and unpacked once, and never leaves the registers.

use std::arch::x86_64::*;
use std::array;

use super::Range;
use super::block::{load, sum, unpack};
use crate::PackedTensor;
use crate::linear::columns::Columns;
use crate::packed::BLOCK;

/// Fills the columns `rows` of `y = x · Wᵀ` for `M` rows of `x`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn forward<const B: usize, const M: usize>(
    x: &[f32],
    w: &PackedTensor,
    rows: Range,
    y: &Columns<'_>,
) {
    let cols = w.cols();
    let x: [&[[f32; BLOCK]]; M] = array::from_fn(|i| x[i * cols..(i + 1) * cols].as_chunks().0);
    for o in rows {
        let blocks = w.row_codes(o).as_chunks::<B>().0;
        let sums = dot::<B, M>(&x, blocks, w.row_scales(o), w.group_size() / BLOCK);
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: tasks have disjoint `rows`, and the slice ends with the statement.
            unsafe { y.slice_mut(i, o, 1)[0] = sum };
        }
    }
}

/// One row of `W` times `M` rows of `x`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn dot<const B: usize, const M: usize>(
    x: &[&[[f32; BLOCK]]; M],
    blocks: &[[u8; B]],
    scales: &[f32],
    blocks_per_group: usize,
) -> [f32; M] {
    // Two sums per row, so that a block does not wait for the addition of the one before.
    let mut sums = [[_mm256_setzero_ps(); 2]; M];
    let groups = blocks.chunks_exact(blocks_per_group).zip(scales);
    for (g, (group, &scale)) in groups.enumerate() {
        let scale = _mm256_set1_ps(scale);
        for (b, block) in group.iter().enumerate() {
            let codes = unpack(block);
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = x[g * blocks_per_group + b].as_chunks::<8>().0;
                let low = _mm256_mul_ps(codes[0], load(&x[0]));
                let high = _mm256_mul_ps(codes[2], load(&x[2]));
                let low = _mm256_fmadd_ps(codes[1], load(&x[1]), low);
                let high = _mm256_fmadd_ps(codes[3], load(&x[3]), high);
                sums[0] = _mm256_fmadd_ps(scale, low, sums[0]);
                sums[1] = _mm256_fmadd_ps(scale, high, sums[1]);
            }
        }
    }
    let mut out = [0.0; M];
    for (out, [low, high]) in out.iter_mut().zip(sums) {
        *out = sum(_mm256_add_ps(low, high));
    }
    out
}
