//! `dx = dy · W` and `dW = dyᵀ · x`: sums of outer products, a panel of columns at a time.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::Weights;
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Element, Kernel, Level, Outer, Simd, load_part, product};

/// Columns of a task, a multiple of four vectors.
pub(crate) const COLS: usize = 64;
/// Rows of a task: its sums take 128 KiB.
const ROWS: usize = 512;
/// Rows of the right matrix in a panel: with its columns 128 KiB, with the sums within a level-2 cache.
const DEPTH: usize = 512;

/// The left matrix, `[rows, depth]`: rows are `stride` and columns `step` apart.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) step: usize,
}

/// The right matrix.
pub(crate) trait Right: Copy + Send + Sync {
    /// Rows and columns.
    fn dims(&self) -> [usize; 2];

    /// The numbers `rows`, `cols` (at most [`COLS`], from a multiple of it) to `panel`: `[rows, COLS]`, with numbers, whichever,
    /// after the last column.
    fn widen<S: Simd>(&self, s: S, rows: Range<usize>, cols: Range<usize>, panel: &mut [f32]);
}

impl<E: Element> Right for Weights<'_, E> {
    fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, rows: Range<usize>, cols: Range<usize>, panel: &mut [f32]) {
        assert_eq!(self.numbers.len(), self.rows * self.cols);
        for (row, to) in rows.zip(panel.chunks_exact_mut(COLS)) {
            let from = &self.numbers[row * self.cols..][cols.clone()];
            for at in (0..from.len()).step_by(S::LANES) {
                // SAFETY: elements are left from `at`; `to` has whole vectors.
                unsafe {
                    let v = load_part(s, from.as_ptr().add(at), from.len() - at);
                    s.store(to.as_mut_ptr().add(at), v);
                }
            }
        }
    }
}

/// Writes all of `out`, the product of `a` and `b`.
pub(crate) fn run<R: Right>(level: Level, a: Left<'_>, b: R, out: Output<'_>) {
    let [depth, width] = b.dims();
    let (blocks, panels) = (a.rows.div_ceil(ROWS), width.div_ceil(COLS));
    for_each_task(blocks * panels, a.rows.saturating_mul(depth).saturating_mul(width), |task| {
        let (row, col) = (task / panels * ROWS, task % panels * COLS);
        let rows = row..(row + ROWS).min(a.rows);
        let cols = col..(col + COLS).min(width);
        level.run(Panel { a, b, rows, cols, out });
    });
}

/// The rows `rows` and columns `cols` of the result.
struct Panel<'a, R> {
    a: Left<'a>,
    b: R,
    rows: Range<usize>,
    cols: Range<usize>,
    out: Output<'a>,
}

impl<R: Right> Kernel for Panel<'_, R> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Left { numbers, rows, stride, step } = self.a;
        let [depth, width] = self.b.dims();
        assert!(self.rows.end <= rows && self.cols.end <= width && self.cols.len() <= COLS);
        assert_eq!(numbers.len(), rows * depth);
        let mut panel = Scratch::new(DEPTH.min(depth) * COLS);
        let mut sums = Scratch::new(self.rows.len() * COLS);
        sums.fill(0.0);
        for from in (0..depth).step_by(DEPTH) {
            let depth = (depth - from).min(DEPTH);
            self.b.widen(s, from..from + depth, self.cols.clone(), &mut panel[..depth * COLS]);
            let tile = Outer {
                a: numbers[self.rows.start * stride + from * step..].as_ptr(),
                a_stride: stride,
                a_step: step,
                b: panel.as_ptr(),
                b_stride: COLS,
                depth,
                c: sums.as_mut_ptr(),
                c_stride: COLS,
                fresh: false,
                ahead: 0,
            };
            // SAFETY: `a` has `depth` columns from `from`; panel and sums have `COLS` columns.
            unsafe { product(s, self.rows.len(), self.cols.len().div_ceil(S::LANES), tile) };
        }
        for (i, sums) in sums.chunks_exact(COLS).enumerate() {
            // SAFETY: tasks have disjoint rows or columns; the buffers do not overlap.
            unsafe {
                let at = (self.rows.start + i) * width + self.cols.start;
                let to = self.out.at(at, self.cols.len());
                std::ptr::copy_nonoverlapping(sums.as_ptr(), to, self.cols.len());
            }
        }
    }
}
