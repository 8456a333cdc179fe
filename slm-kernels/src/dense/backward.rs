//! `dx = dy · W` and `dW = dyᵀ · x`: sums of outer products, a panel of columns at a time. With [`Transposed`] weights,
//! and a second product added, also what an adapted layer computes in training.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::Weights;
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Element, Kernel, Level, Outer, Simd, load_part, strip, strip_product};

/// Columns of a task, a multiple of four vectors.
pub(crate) const COLS: usize = 64;
/// Rows of a task at most, whole strips of any instruction set: its sums take 129 KiB.
const ROWS: usize = 516;
/// Rows as many floats apart, or multiples of it, meet in a few sets of the level-1 cache.
const ALIAS: usize = 256;
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
            if to.len() < COLS * COLS {
                for (at, row) in to.chunks_exact_mut(COLS).enumerate() {
                    for (to, from) in row.iter_mut().zip(square[at..].iter().step_by(COLS)) {
                        *to = *from;
                    }
                }
                continue;
            }
            for at in (0..COLS * COLS).step_by(COLS * S::LANES) {
                for col in (0..COLS).step_by(S::LANES) {
                    let (from, to) = (&square[at + col..], &mut to[col * COLS + at / COLS..]);
                    // SAFETY: a square of whole vectors in both.
                    unsafe { s.transpose(from.as_ptr(), COLS, to.as_mut_ptr(), COLS) };
                }
            }
        }
    }
}

/// Writes all of `out`, the product of `a` and `b`.
pub(crate) fn run<R: Right>(level: Level, a: Left<'_>, b: R, out: Output<'_>) {
    let strips = Strips::new(level, a, b.dims()[0]);
    run_sum(level, (&strips, b), None::<(&Strips<'_>, R)>, out);
}

/// Writes all of `out`, the product of the first pair, and adds that of the second.
pub(crate) fn run_sum<R: Right, Q: Right>(
    level: Level,
    first: (&Strips<'_>, R),
    second: Option<(&Strips<'_>, Q)>,
    out: Output<'_>,
) {
    let (rows, [depth, width]) = (first.0.left.rows, first.1.dims());
    let panels = width.div_ceil(COLS);
    // A narrow result is cut along its rows too, and evenly, as each part widens its panels; no sum depends on the cut.
    let wanted = (TASKS * rayon::current_num_threads()).div_ceil(panels.max(1));
    let height = rows.div_ceil(wanted.max(rows.div_ceil(ROWS))).next_multiple_of(level.strip());
    let work = rows.saturating_mul(depth).saturating_mul(width);
    for_each_task(rows.div_ceil(height.max(1)) * panels, work, |task| {
        let (row, col) = (task / panels * height, task % panels * COLS);
        let (rows, cols) = (row..(row + height).min(rows), col..(col + COLS).min(width));
        level.run(Panel { first, second, rows, cols, out });
    });
}

/// A left matrix whose strips of rows do not push each other out of the cache.
pub(crate) struct Strips<'a> {
    left: Left<'a>,
    depth: usize,
    /// Strip by strip, `[depth, rows of the strip]` each, where the rows lie a power of two apart or are columns.
    packed: Option<Scratch>,
}

impl<'a> Strips<'a> {
    /// Of a matrix with `depth` columns.
    pub(crate) fn new(level: Level, left: Left<'a>, depth: usize) -> Self {
        assert_eq!(left.numbers.len(), left.rows * depth, "unchecked length");
        let apart = left.step == 1 && !left.stride.is_multiple_of(ALIAS);
        let packed = (!apart).then(|| pack(level, left, depth));
        Self { left, depth, packed }
    }

    /// From column `from` of the strip that begins with row `first`: where it starts, and how far apart are its rows and its
    /// columns.
    #[inline(always)]
    fn at(&self, first: usize, height: usize, from: usize) -> (&[f32], [usize; 2]) {
        match &self.packed {
            Some(packed) => (&packed[first * self.depth + from * height..], [1, height]),
            None => {
                let Left { numbers, stride, step, .. } = self.left;
                (&numbers[first * stride + from * step..], [stride, step])
            }
        }
    }
}

fn pack(level: Level, left: Left<'_>, depth: usize) -> Scratch {
    let mut packed = Scratch::new(left.rows * depth);
    let (strips, out) = (left.rows.div_ceil(level.strip()), Output::new(&mut packed));
    for_each_task(strips, left.rows.saturating_mul(depth), |strip| {
        let first = strip * level.strip();
        let height = (left.rows - first).min(level.strip());
        let copy = match height {
            1 => copy_strip::<1>,
            2 => copy_strip::<2>,
            3 => copy_strip::<3>,
            4 => copy_strip::<4>,
            5 => copy_strip::<5>,
            _ => copy_strip::<6>,
        };
        // SAFETY: strips are disjoint; the rows from `first` are in the matrix, as its length says.
        unsafe {
            let from = left.numbers.as_ptr().add(first * left.stride);
            copy(from, [left.stride, left.step], depth, out.at(first * depth, height * depth));
        }
    });
    packed
}

/// A strip of [`pack`].
///
/// # Safety
/// `M` rows of `depth` numbers must be readable from `from`, and as many numbers writable from `to`.
unsafe fn copy_strip<const M: usize>(
    from: *const f32,
    [stride, step]: [usize; 2],
    depth: usize,
    to: *mut f32,
) {
    for k in 0..depth {
        for i in 0..M {
            // SAFETY: the contract of this function.
            unsafe { *to.add(k * M + i) = *from.add(i * stride + k * step) };
        }
    }
}

/// The rows `rows` and columns `cols` of the result.
struct Panel<'a, R, Q> {
    first: (&'a Strips<'a>, R),
    second: Option<(&'a Strips<'a>, Q)>,
    rows: Range<usize>,
    cols: Range<usize>,
    out: Output<'a>,
}

impl<R: Right, Q: Right> Panel<'_, R, Q> {
    /// Adds the product of a pair to `sums`, `[rows, COLS]`.
    #[inline(always)]
    fn add<S: Simd, T: Right>(&self, s: S, (left, right): (&Strips<'_>, T), sums: &mut [f32]) {
        let [depth, width] = right.dims();
        assert!(self.rows.start.is_multiple_of(strip(S::LANES)) && self.rows.end <= left.left.rows);
        assert_eq!(depth, left.depth);
        assert!(self.cols.end <= width && self.cols.len() <= COLS && sums.len() == self.rows.len() * COLS);
        let mut panel = Scratch::new(DEPTH.min(depth) * COLS);
        for from in (0..depth).step_by(DEPTH) {
            let part = (depth - from).min(DEPTH);
            right.widen(s, from..from + part, self.cols.clone(), &mut panel[..part * COLS]);
            for first in (0..self.rows.len()).step_by(strip(S::LANES)) {
                let height = (self.rows.len() - first).min(strip(S::LANES));
                let (a, [a_stride, a_step]) = left.at(self.rows.start + first, height, from);
                let tile = Outer {
                    a: a.as_ptr(),
                    a_stride,
                    a_step,
                    b: panel.as_ptr(),
                    b_stride: COLS,
                    depth: part,
                    c: sums[first * COLS..].as_mut_ptr(),
                    c_stride: COLS,
                    fresh: false,
                    ahead: 0,
                };
                // SAFETY: a strip has `part` columns from `from`; panel and sums have `COLS` columns.
                unsafe { strip_product(s, height, self.cols.len().div_ceil(S::LANES), tile) };
            }
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
        for (row, sums) in sums.chunks_exact(COLS).enumerate() {
            // SAFETY: tasks have disjoint rows or columns; the buffers do not overlap.
            unsafe {
                let to = self.out.at((self.rows.start + row) * width + self.cols.start, self.cols.len());
                std::ptr::copy_nonoverlapping(sums.as_ptr(), to, self.cols.len());
            }
        }
    }
}
