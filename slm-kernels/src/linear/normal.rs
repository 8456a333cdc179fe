//! Few rows of `x` and a weight in `NormalFloat`: codes become floats in registers as they stream from memory.
//!
//! The sums have the bits of those that [`float`](super::float) takes of expanded rows.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use crate::dense::forward::{self, DEPTH};
use crate::output::{Output, for_each_task};
use crate::packed::{BLOCK, NF4, Nf4};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Simd};

/// Rows of the weight of a task.
const ROWS: usize = 64;

/// Writes all of `y = x · Wᵀ`, for at most a strip of rows of `x`; `dims` are those of `w`.
pub(super) fn forward(level: Level, (x, m): (&[f32], usize), w: Nf4<'_>, dims: [usize; 2], y: Output<'_>) {
    let [rows, cols] = dims;
    assert!(m > 0 && m <= level.strip() && x.len() == m * cols && cols.is_multiple_of(BLOCK));
    let packed = forward::pack::<f32>(level, x, m, cols);
    for_each_task(rows.div_ceil(ROWS), m.saturating_mul(rows).saturating_mul(cols), |task| {
        let rows = task * ROWS..((task + 1) * ROWS).min(rows);
        level.run(Rows { x: &packed, m, w, dims, rows, y });
    });
}

/// The columns `rows` of `y`.
struct Rows<'a> {
    /// A strip as [`forward::pack`] makes it.
    x: &'a [f32],
    m: usize,
    w: Nf4<'a>,
    dims: [usize; 2],
    rows: Range<usize>,
    y: Output<'a>,
}

impl Kernel for Rows<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.m {
            1 => self.strip::<S, 1>(s),
            2 => self.strip::<S, 2>(s),
            3 => self.strip::<S, 3>(s),
            4 => self.strip::<S, 4>(s),
            5 => self.strip::<S, 5>(s),
            _ => self.strip::<S, 6>(s),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn strip<S: Simd, const M: usize>(&self, s: S) {
        let [stride, cols] = self.dims;
        let groups = self.w.scales(0).len();
        let mut scales = Scratch::new(4 * groups);
        for first in self.rows.clone().step_by(4) {
            // After the last row, the last row again; its sums are dropped.
            let rows = [first, first + 1, first + 2, first + 3].map(|row| row.min(self.rows.end - 1));
            for (row, to) in rows.into_iter().zip(scales.chunks_exact_mut(groups)) {
                for (at, scale) in to.iter_mut().enumerate() {
                    *scale = self.w.scales(row)[at].to_f32();
                }
            }
            let mut totals = [[0.0; 4]; M];
            for from in (0..cols / BLOCK).step_by(DEPTH / BLOCK) {
                let blocks = from..(from + DEPTH / BLOCK).min(cols / BLOCK);
                let sums = self.sums::<S, M>(s, rows, blocks, &scales);
                forward::add(s, &mut totals, sums);
            }
            for (i, totals) in totals.into_iter().enumerate() {
                let width = (self.rows.end - first).min(4);
                // SAFETY: tasks have disjoint rows of `W`, so disjoint columns of `y`.
                let y = unsafe { self.y.at(i * stride + first, width) };
                for (at, total) in totals.into_iter().enumerate().take(width) {
                    // SAFETY: `at` is below the width.
                    unsafe { *y.add(at) = total };
                }
            }
        }
    }

    /// Lane sums of four rows over some blocks.
    #[inline(always)]
    fn sums<S: Simd, const M: usize>(
        &self,
        s: S,
        rows: [usize; 4],
        blocks: Range<usize>,
        scales: &[f32],
    ) -> [[S::V; 4]; M] {
        let groups = scales.len() / 4;
        let mut sums = [[s.splat(0.0); 4]; M];
        for block in blocks {
            let group = block / self.w.blocks();
            let mut w = [[s.splat(0.0); 4]; 4];
            for (r, w) in w.iter_mut().enumerate() {
                let bytes = self.w.bytes(rows[r], block);
                // SAFETY: a block has 16 bytes.
                *w = unsafe { s.look_up(&NF4, bytes.as_ptr(), s.splat(scales[r * groups + group])) };
            }
            for part in 0..BLOCK / S::LANES {
                let x = &self.x[(block * BLOCK + part * S::LANES) * M..][..M * S::LANES];
                for (i, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the slice has `M` vectors.
                    let x = unsafe { s.load(x.as_ptr().add(i * S::LANES)) };
                    for (sum, w) in sums.iter_mut().zip(&w) {
                        *sum = s.fma(x, w[part], *sum);
                    }
                }
            }
        }
        sums
    }
}
