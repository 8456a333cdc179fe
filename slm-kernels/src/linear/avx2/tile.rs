//! Many rows of `x`: a tile of `W` is expanded once and multiplied with all of them.

use std::arch::x86_64::*;
use std::array;

use super::Range;
use super::block::{expand, sum};
use crate::PackedTensor;
use crate::linear::columns::Columns;

/// Input features of a tile: with the 32 output features of a task it fills 128 KiB, within a level-2 cache.
const DEPTH: usize = 1024;
/// Rows of `x` in registers.
const MR: usize = 3;
/// Rows of `W` in registers: 12 sums, 4 weights, and `x` as it comes.
const NR: usize = 4;

/// Fills the columns `rows` of `y = x · Wᵀ`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn forward<const B: usize>(x: &[f32], m: usize, w: &PackedTensor, rows: Range, y: &Columns<'_>) {
    let cols = w.cols();
    let mut tile = vec![0.0; rows.len() * DEPTH.min(cols)];
    for start in (0..cols).step_by(DEPTH) {
        let depth = start..(start + DEPTH).min(cols);
        let tile = &mut tile[..rows.len() * depth.len()];
        expand::<B>(w, rows.clone(), depth.clone(), tile);
        let x_row = |i: usize| &x[i * cols + depth.start..i * cols + depth.end];
        for i in (0..m).step_by(MR) {
            let at = [i, rows.start];
            match m - i {
                1 => strip([x_row(i)], tile, at, start == 0, y),
                2 => strip([x_row(i), x_row(i + 1)], tile, at, start == 0, y),
                _ => strip([x_row(i), x_row(i + 1), x_row(i + 2)], tile, at, start == 0, y),
            }
        }
    }
}

/// `M` rows of `x` times all rows of a tile, written to (`first`) or added to `y` from `at` (row, column).
#[target_feature(enable = "avx2,fma")]
fn strip<const M: usize>(x: [&[f32]; M], tile: &[f32], at: [usize; 2], first: bool, y: &Columns<'_>) {
    let depth = x[0].len();
    let mut quads = tile.chunks_exact(depth * NR);
    let mut column = at[1];
    for quad in quads.by_ref() {
        let w: [&[f32]; NR] = array::from_fn(|r| &quad[r * depth..(r + 1) * depth]);
        store(products(x, w), [at[0], column], first, y);
        column += NR;
    }
    for row in quads.remainder().chunks_exact(depth) {
        store(products(x, [row]), [at[0], column], first, y);
        column += 1;
    }
}

fn store<const M: usize, const N: usize>(
    values: [[f32; N]; M],
    at: [usize; 2],
    first: bool,
    y: &Columns<'_>,
) {
    for (i, values) in values.iter().enumerate() {
        // SAFETY: tasks have disjoint columns, and the slice ends with the iteration.
        let y = unsafe { y.slice_mut(at[0] + i, at[1], N) };
        for (y, value) in y.iter_mut().zip(values) {
            *y = if first { *value } else { *y + value };
        }
    }
}

/// The scalar products of `M` rows with `N` rows, whose length is a multiple of 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn products<const M: usize, const N: usize>(x: [&[f32]; M], w: [&[f32]; N]) -> [[f32; N]; M] {
    let depth = x[0].len();
    assert!(x.iter().chain(&w).all(|row| row.len() == depth) && depth.is_multiple_of(8), "ragged tile");
    let mut sums = [[_mm256_setzero_ps(); N]; M];
    for k in (0..depth).step_by(8) {
        let mut weights = [_mm256_setzero_ps(); N];
        for (weights, w) in weights.iter_mut().zip(&w) {
            // SAFETY: `k + 8 <= depth`, the length of every row.
            *weights = unsafe { _mm256_loadu_ps(w.as_ptr().add(k)) };
        }
        for (sums, x) in sums.iter_mut().zip(&x) {
            // SAFETY: as above.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(k)) };
            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                *sum = _mm256_fmadd_ps(x, weights, *sum);
            }
        }
    }
    let mut out = [[0.0; N]; M];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, lanes) in out.iter_mut().zip(sums) {
            *out = sum(lanes);
        }
    }
    out
}
