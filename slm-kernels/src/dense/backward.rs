//! `dx = dy · W` and `dW = dyᵀ · x`: sums of outer products, a panel of columns at a time. With [`Transposed`] weights,
//! and a second product added, also what an adapted layer computes in training.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::Weights;
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Element, Kernel, Level, Outer, Simd, load_part, product};

/// Columns of a task, a multiple of four vectors.
pub(crate) const COLS: usize = 64;
/// Rows of a task at most: its sums take 128 KiB.
const ROWS: usize = 512;
/// Tasks wanted for each thread, so that all end at about the same time.
const TASKS: usize = 2;
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

/// A right matrix seen from its other side.
#[derive(Clone, Copy)]
pub(crate) struct Transposed<R>(pub(crate) R);

impl<R: Right> Right for Transposed<R> {
    fn dims(&self) -> [usize; 2] {
        let [rows, cols] = self.0.dims();
        [cols, rows]
    }

    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, rows: Range<usize>, cols: Range<usize>, panel: &mut [f32]) {
        let mut square = Scratch::new(COLS * COLS);
        for (block, to) in panel.chunks_mut(COLS * COLS).enumerate() {
            let from = rows.start + block * COLS;
            let part = from..(from + COLS).min(rows.end);
            self.0.widen(s, cols.clone(), part, &mut square[..cols.len() * COLS]);
            for (at, row) in to.chunks_exact_mut(COLS).enumerate() {
                for (to, from) in row.iter_mut().zip(square[at..].iter().step_by(COLS)) {
                    *to = *from;
                }
            }
        }
    }
}

/// Writes all of `out`, the product of `a` and `b`.
pub(crate) fn run<R: Right>(level: Level, a: Left<'_>, b: R, out: Output<'_>) {
    run_sum(level, (a, b), None::<(Left<'_>, R)>, out);
}

/// Writes all of `out`, the product of the first pair, and adds that of the second.
pub(crate) fn run_sum<R: Right, Q: Right>(
    level: Level,
    first: (Left<'_>, R),
    second: Option<(Left<'_>, Q)>,
    out: Output<'_>,
) {
    let (rows, [depth, width]) = (first.0.rows, first.1.dims());
    let panels = width.div_ceil(COLS);
    // A narrow result is cut along its rows; no sum depends on the cut.
    let wanted = (TASKS * rayon::current_num_threads()).div_ceil(panels.max(1));
    let height = rows.div_ceil(wanted).next_multiple_of(level.strip()).min(ROWS);
    for_each_task(
        rows.div_ceil(height.max(1)) * panels,
        rows.saturating_mul(depth).saturating_mul(width),
        |task| {
            let (row, col) = (task / panels * height, task % panels * COLS);
            let (rows, cols) = (row..(row + height).min(rows), col..(col + COLS).min(width));
            level.run(Panel { first, second, rows, cols, out });
        },
    );
}

/// The rows `rows` and columns `cols` of the result.
struct Panel<'a, R, Q> {
    first: (Left<'a>, R),
    second: Option<(Left<'a>, Q)>,
    rows: Range<usize>,
    cols: Range<usize>,
    out: Output<'a>,
}

impl<R: Right, Q: Right> Panel<'_, R, Q> {
    /// Adds the product of a pair to `sums`, `[rows, COLS]`.
    #[inline(always)]
    fn add<S: Simd, T: Right>(&self, s: S, (left, right): (Left<'_>, T), sums: &mut [f32]) {
        let Left { numbers, rows, stride, step } = left;
        let [depth, width] = right.dims();
        assert!(self.rows.end <= rows && self.cols.end <= width && self.cols.len() <= COLS);
        assert_eq!([numbers.len(), sums.len()], [rows * depth, self.rows.len() * COLS]);
        let mut panel = Scratch::new(DEPTH.min(depth) * COLS);
        for from in (0..depth).step_by(DEPTH) {
            let depth = (depth - from).min(DEPTH);
            right.widen(s, from..from + depth, self.cols.clone(), &mut panel[..depth * COLS]);
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
    }
}

impl<R: Right, Q: Right> Kernel for Panel<'_, R, Q> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = Scratch::new(self.rows.len() * COLS);
        sums.fill(0.0);
        self.add(s, self.first, &mut sums);
        if let Some(second) = self.second {
            self.add(s, second, &mut sums);
        }
        let [_, width] = self.first.1.dims();
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
