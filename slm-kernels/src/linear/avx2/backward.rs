//! The input gradient: tiles of `W` expanded once and multiplied with all rows of `dy`.

use std::arch::x86_64::*;

use super::Range;
use super::block::{expand, load};
use crate::PackedTensor;
use crate::linear::columns::Columns;

/// Output features of a tile: with the 256 input features of a task it fills 64 KiB.
const DEPTH: usize = 64;
/// Rows of `dx` in registers; with 16 columns, 12 sums.
const MR: usize = 6;

/// Adds to the columns `cols` of `dx = dy · W`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn backward<const B: usize>(
    dy: &[f32],
    m: usize,
    w: &PackedTensor,
    cols: Range,
    dx: &Columns<'_>,
) {
    let mut tile = vec![0.0; cols.len() * DEPTH.min(w.rows())];
    for start in (0..w.rows()).step_by(DEPTH) {
        let rows = start..(start + DEPTH).min(w.rows());
        let tile = &mut tile[..cols.len() * rows.len()];
        expand::<B>(w, rows.clone(), cols.clone(), tile);
        for i in (0..m).step_by(MR) {
            let dy = Gradient { dy: &dy[i * w.rows()..], stride: w.rows(), depth: rows.clone() };
            let at = [i, cols.start];
            match m - i {
                1 => strip::<1>(&dy, tile, at, dx),
                2 => strip::<2>(&dy, tile, at, dx),
                3 => strip::<3>(&dy, tile, at, dx),
                4 => strip::<4>(&dy, tile, at, dx),
                5 => strip::<5>(&dy, tile, at, dx),
                _ => strip::<MR>(&dy, tile, at, dx),
            }
        }
    }
}

/// The rows of `dy` from some row on, and the columns of it that a tile multiplies.
struct Gradient<'a> {
    dy: &'a [f32],
    stride: usize,
    depth: Range,
}

impl Gradient<'_> {
    fn row(&self, i: usize) -> &[f32] {
        &self.dy[i * self.stride + self.depth.start..i * self.stride + self.depth.end]
    }
}

/// Adds `M` rows of `dy` times a tile to `dx` from `at` (row, column).
#[target_feature(enable = "avx2,fma")]
fn strip<const M: usize>(dy: &Gradient<'_>, tile: &[f32], at: [usize; 2], dx: &Columns<'_>) {
    let dy: [&[f32]; M] = std::array::from_fn(|i| dy.row(i));
    let width = tile.len() / dy[0].len();
    for column in (0..width).step_by(16) {
        let sums = outer(dy, tile, width, column);
        for (i, sums) in sums.into_iter().enumerate() {
            // SAFETY: tasks have disjoint columns, and the slice ends with the iteration.
            let dx = unsafe { dx.slice_mut(at[0] + i, at[1] + column, 16) };
            for (dx, sum) in dx.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                let value = _mm256_add_ps(load(dx), sum);
                // SAFETY: `dx` has room for 8 floats, and the store needs no alignment.
                unsafe { _mm256_storeu_ps(dx.as_mut_ptr(), value) };
            }
        }
    }
}

/// `M` rows of `dy` times the 16 columns of the tile from `column`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn outer<const M: usize>(dy: [&[f32]; M], tile: &[f32], width: usize, column: usize) -> [[__m256; 2]; M] {
    let mut sums = [[_mm256_setzero_ps(); 2]; M];
    for (r, row) in tile.chunks_exact(width).enumerate() {
        let weights = row[column..column + 16].as_chunks::<8>().0;
        let (low, high) = (load(&weights[0]), load(&weights[1]));
        for (sums, dy) in sums.iter_mut().zip(&dy) {
            let dy = _mm256_set1_ps(dy[r]);
            sums[0] = _mm256_fmadd_ps(dy, low, sums[0]);
            sums[1] = _mm256_fmadd_ps(dy, high, sums[1]);
        }
    }
    sums
}
