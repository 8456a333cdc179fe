//! Products in `f32`: rows of the weight are expanded, some at a time, into a buffer that stays in cache, and multiplied by
//! the kernels of [`dense`](crate::dense).

use std::ops::Range;

use super::normal;
use crate::PackedTensor;
use crate::dense::backward::{self, COLS, Left, Right};
use crate::dense::forward;
use crate::output::{Output, for_each_task};
use crate::packed::{BLOCK, Expand, View};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Simd};

/// Rows of the weight of a task: expanded, of 1024 columns, they take 64 KiB.
const ROWS: usize = 16;

/// Writes all of `y = x · Wᵀ`, columns in the packed order.
pub(super) fn forward(level: Level, x: &[f32], m: usize, w: &PackedTensor, y: Output<'_>) {
    let (rows, cols) = (w.rows(), w.cols());
    if let (View::Nf4(w), true) = (w.view(), m <= level.strip()) {
        return normal::forward(level, (x, m), w, [rows, cols], y);
    }
    let packed = forward::pack::<f32>(level, x, m, cols);
    let packed = &packed[..];
    let tasks = rows.div_ceil(ROWS);
    for_each_task(tasks, m.saturating_mul(rows).saturating_mul(cols), |task| {
        let part = task * ROWS..((task + 1) * ROWS).min(rows);
        let mut tile = Scratch::new(part.len() * cols);
        level.run(ExpandRows { w, rows: part.clone(), tile: &mut tile });
        forward::tile(level, [packed, &tile], m, [part.len(), part.start, rows], y);
    });
}

/// Writes all of `dx = dy · W`, columns in the packed order.
pub(super) fn backward(level: Level, dy: &[f32], m: usize, w: &PackedTensor, dx: Output<'_>) {
    let dy = Left { numbers: dy, rows: m, stride: w.rows(), step: 1 };
    backward::run(level, dy, Packed(w), dx);
}

/// Whole rows.
struct ExpandRows<'a> {
    w: &'a PackedTensor,
    rows: Range<usize>,
    tile: &'a mut [f32],
}

impl Kernel for ExpandRows<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.w.cols();
        let blocks = 0..cols.div_ceil(BLOCK);
        Expand { rows: self.rows, blocks, out: self.tile, stride: cols, cols }.run(s, &self.w.view());
    }
}

/// As the right matrix of a product, columns in the packed order.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a>(pub(crate) &'a PackedTensor);

impl Right for Packed<'_> {
    fn dims(&self) -> [usize; 2] {
        [self.0.rows(), self.0.cols()]
    }

    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, rows: Range<usize>, cols: Range<usize>, panel: &mut [f32]) {
        const { assert!(COLS.is_multiple_of(BLOCK)) };
        let blocks = cols.start / BLOCK..cols.end.div_ceil(BLOCK);
        Expand { rows, blocks, out: panel, stride: COLS, cols: self.0.cols() }.run(s, &self.0.view());
    }
}
