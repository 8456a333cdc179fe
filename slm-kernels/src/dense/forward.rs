//! `y = x · Wᵀ`: rows of `x` and of `W` meet in [`dots`].
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::marker::PhantomData;
use std::ops::Range;

use super::Weights;
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Dots, Element, Kernel, Level, Simd, dots, load_part, strip};

/// Columns whose products are summed before the lanes are: a block of weights stays in the level-2 cache.
pub(crate) const DEPTH: usize = 1024;
/// Bytes to fetch ahead of weights that come from memory.
const AHEAD: usize = 512;
/// Rows of `W` of a task.
const ROWS: usize = 64;
/// Strips of `x` from which widening a block of weights once is cheaper than in each of them.
const WIDEN: usize = 5;
/// Rows of `x` from which packing it is worth several threads.
const PACK_PARALLEL: usize = 32;

/// Writes all of `y`; `then` is called with each range of rows and columns that has just been written.
pub(super) fn run<E: Element>(
    level: Level,
    x: &[f32],
    m: usize,
    w: Weights<'_, E>,
    y: Output<'_>,
    then: impl Fn(Range<usize>, Range<usize>) + Send + Sync,
) {
    if m == 0 || w.rows == 0 {
        return;
    }
    if w.cols == 0 {
        // SAFETY: the only writer.
        unsafe { std::ptr::write_bytes(y.at(0, m * w.rows), 0, m * w.rows) };
        then(0..m, 0..w.rows);
        return;
    }
    let packed = pack::<E>(level, x, m, w.cols);
    let packed = &packed[..];
    let tasks = w.rows.div_ceil(ROWS);
    for_each_task(tasks, m.saturating_mul(w.rows).saturating_mul(w.cols), |task| {
        let rows = task * ROWS..((task + 1) * ROWS).min(w.rows);
        E::run(level, Block { x: packed, m, w, rows, first: 0, stride: w.rows, y, then: &then });
    });
}

/// `x` (`[m, cols * E::COLUMNS]`) as [`Block`] takes it.
pub(crate) fn pack<E: Element>(level: Level, x: &[f32], m: usize, cols: usize) -> Scratch {
    let mut packed = Scratch::new(m * cols.next_multiple_of(level.lanes()));
    let strips = m.div_ceil(level.strip());
    let out = Output::new(&mut packed);
    let work = if m < PACK_PARALLEL { 0 } else { usize::MAX };
    for_each_task(strips, work, |strip| {
        E::run(level, PackX { x, m, cols, strip, out, element: PhantomData::<E> });
    });
    packed
}

/// The columns `first..first + rows` of `y`, which has `stride` columns, of `m` rows that [`pack`] made and `rows` rows of
/// weights.
pub(crate) fn tile(
    level: Level,
    [x, numbers]: [&[f32]; 2],
    m: usize,
    [rows, first, stride]: [usize; 3],
    y: Output<'_>,
) {
    let w = Weights { numbers, rows, cols: numbers.len() / rows.max(1) };
    level.run(Block { x, m, w, rows: 0..rows, first, stride, y, then: &|_, _| () });
}

/// Copies a strip of `x` to `[steps, M, LANES]`, with zeros after the last column.
struct PackX<'a, E> {
    x: &'a [f32],
    m: usize,
    cols: usize,
    strip: usize,
    out: Output<'a>,
    element: PhantomData<E>,
}

impl<E: Element> Kernel for PackX<'_, E> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let first = self.strip * strip(S::LANES);
        let height = (self.m - first).min(strip(S::LANES));
        let steps = self.cols.div_ceil(S::LANES);
        let len = height * steps * S::LANES;
        // SAFETY: strips are disjoint.
        let out = unsafe { self.out.at(first * steps * S::LANES, len) };
        for i in 0..height {
            let cols = self.cols * E::COLUMNS;
            let row = &self.x[(first + i) * cols..][..cols];
            for step in 0..steps {
                let at = step * S::LANES * E::COLUMNS;
                // SAFETY: `at` is in the row, and the index below is within the strip's `len`.
                unsafe {
                    let v = E::load_x(s, row.as_ptr().add(at), cols - at);
                    s.store(out.add((step * height + i) * S::LANES), v);
                }
            }
        }
    }
}

/// The columns `first + rows` of `y`.
struct Block<'a, E, F> {
    /// Packed by [`PackX`].
    x: &'a [f32],
    m: usize,
    w: Weights<'a, E>,
    rows: Range<usize>,
    /// Column of `y` of the first row of `w`.
    first: usize,
    /// Columns of `y`.
    stride: usize,
    y: Output<'a>,
    /// Follows with rows of `x` and of `w` whose products are written.
    then: &'a F,
}

impl<E: Element, F: Fn(Range<usize>, Range<usize>)> Kernel for Block<'_, E, F> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.rows.end <= self.w.rows && self.w.numbers.len() == self.w.rows * self.w.cols);
        assert_eq!(self.x.len(), self.m * self.w.cols.next_multiple_of(S::LANES));
        if self.m >= WIDEN * strip(S::LANES) {
            self.widened(s);
            return;
        }
        // The rows of `W` come from memory for the first strip, and from the level-2 cache for the others.
        for first in (0..self.m).step_by(strip(S::LANES)) {
            let height = (self.m - first).min(strip(S::LANES));
            match height {
                1 => self.streamed::<S, 1>(s, first),
                2 => self.streamed::<S, 2>(s, first),
                3 => self.streamed::<S, 3>(s, first),
                4 => self.streamed::<S, 4>(s, first),
                5 => self.streamed::<S, 5>(s, first),
                _ => self.streamed::<S, 6>(s, first),
            }
            (self.then)(first..first + height, self.rows.clone());
        }
    }
}

impl<E: Element, F: Fn(Range<usize>, Range<usize>)> Block<'_, E, F> {
    /// One strip of `M` rows of `x` from `first`: every weight is used once, as it comes from memory.
    #[inline(always)]
    fn streamed<S: Simd, const M: usize>(&self, s: S, first: usize) {
        let cols = self.w.cols;
        let x = &self.x[first * cols.next_multiple_of(S::LANES)..];
        let start = self.w.numbers.as_ptr();
        // Four rows far apart: each is then a stream that goes on in the next step, as prefetchers like it.
        let quarter = self.rows.len().div_ceil(4);
        for step in 0..quarter {
            // After the last row, the last row again; its sums are dropped.
            let mut rows = [0; 4];
            let mut w = [start; 4];
            for (r, (row, w)) in rows.iter_mut().zip(&mut w).enumerate() {
                *row = self.rows.start + r * quarter + step;
                // SAFETY: the row is in the matrix.
                *w = unsafe { start.add((*row).min(self.rows.end - 1) * cols) };
            }
            let mut totals = [[0.0; 4]; M];
            for from in (0..cols).step_by(DEPTH) {
                let depth = (cols - from).min(DEPTH);
                // SAFETY: `from` and `depth` are within the rows of `x` and `W`.
                let sums = unsafe { streamed_sums::<S, E, M>(s, &x[from * M..], w, from, depth) };
                add(s, &mut totals, sums);
            }
            for (i, totals) in totals.iter().enumerate() {
                for (row, total) in rows.into_iter().zip(totals) {
                    if row < self.rows.end {
                        // SAFETY: tasks have disjoint rows of `W`, so disjoint columns of `y`.
                        unsafe { *self.y.at((first + i) * self.stride + self.first + row, 1) = *total };
                    }
                }
            }
        }
    }

    /// Many strips: a block of weights is widened once, then multiplied with all of them.
    #[inline(always)]
    fn widened<S: Simd>(&self, s: S) {
        let cols = self.w.cols;
        let steps = cols.div_ceil(S::LANES);
        let quads = self.rows.len().div_ceil(4);
        let mut tile = Scratch::new(quads * 4 * DEPTH);
        for from in (0..steps).step_by(DEPTH / S::LANES) {
            let block = from..(from + DEPTH / S::LANES).min(steps);
            self.widen(s, block.clone(), &mut tile);
            for first in (0..self.m).step_by(strip(S::LANES)) {
                let height = (self.m - first).min(strip(S::LANES));
                match height {
                    1 => self.strip::<S, 1>(s, first, block.clone(), &tile),
                    2 => self.strip::<S, 2>(s, first, block.clone(), &tile),
                    3 => self.strip::<S, 3>(s, first, block.clone(), &tile),
                    4 => self.strip::<S, 4>(s, first, block.clone(), &tile),
                    5 => self.strip::<S, 5>(s, first, block.clone(), &tile),
                    _ => self.strip::<S, 6>(s, first, block.clone(), &tile),
                }
                if block.end == steps {
                    (self.then)(first..first + height, self.rows.clone());
                }
            }
        }
    }

    /// Steps `block` of the rows to `tile`: `[quads, steps, 4, LANES]`.
    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, block: Range<usize>, tile: &mut [f32]) {
        let cols = self.w.cols;
        let quads = self.rows.len().div_ceil(4);
        let tile = &mut tile[..quads * 4 * block.len() * S::LANES];
        for r in 0..quads * 4 {
            let row = (self.rows.start + r).min(self.rows.end - 1);
            for (at, step) in block.clone().enumerate() {
                let col = step * S::LANES;
                let to = ((r / 4 * block.len() + at) * 4 + r % 4) * S::LANES;
                // SAFETY: the row and column are in the matrix, and `to` is a vector of the tile.
                unsafe {
                    let v = load_part(s, self.w.numbers.as_ptr().add(row * cols + col), cols - col);
                    s.store(tile.as_mut_ptr().add(to), v);
                }
            }
        }
    }

    /// `M` rows of `x` from `first` times the whole tile, written or added to `y`.
    #[inline(always)]
    fn strip<S: Simd, const M: usize>(&self, s: S, first: usize, block: Range<usize>, tile: &[f32]) {
        let steps = self.w.cols.div_ceil(S::LANES);
        let x = self.x[(first * steps + block.start * M) * S::LANES..].as_ptr();
        for quad in 0..self.rows.len().div_ceil(4) {
            let w = tile[quad * 4 * block.len() * S::LANES..].as_ptr().cast::<E::Wide>();
            // SAFETY: a quad has four rows of `block.len()` vectors, interleaved; the strip of `x` as many.
            let sums = unsafe {
                let w = [w, w.add(S::LANES), w.add(2 * S::LANES), w.add(3 * S::LANES)];
                dots::<S, E::Wide, M, 4>(s, Dots { x, w, stride: 4 * S::LANES, steps: block.len(), ahead: 0 })
            };
            let column = self.rows.start + quad * 4;
            let width = (self.rows.end - column).min(4);
            for (i, sums) in sums.into_iter().enumerate() {
                let at = (first + i) * self.stride + self.first + column;
                write(self.y, at, s.sum4(sums), width, block.start == 0);
            }
        }
    }
}

/// Sums over `depth` columns from `from`.
///
/// # Safety
/// `x` must start at the packed column `from`; the columns must be in the rows `w`.
#[inline(always)]
unsafe fn streamed_sums<S: Simd, E: Element, const M: usize>(
    s: S,
    x: &[f32],
    w: [*const E; 4],
    from: usize,
    depth: usize,
) -> [[S::V; 4]; M] {
    let whole = depth / S::LANES;
    // SAFETY: the contract of this function.
    unsafe {
        let w = [w[0].add(from), w[1].add(from), w[2].add(from), w[3].add(from)];
        let tile = Dots { x: x.as_ptr(), w, stride: S::LANES, steps: whole, ahead: AHEAD };
        let mut sums = dots::<S, E, M, 4>(s, tile);
        let rest = depth - whole * S::LANES;
        if rest > 0 {
            let x = &x[whole * S::LANES * M..][..S::LANES * M];
            for r in 0..4 {
                let w = load_part(s, w[r].add(whole * S::LANES), rest);
                for (i, sums) in sums.iter_mut().enumerate() {
                    sums[r] = E::fma(s, s.load(x.as_ptr().add(i * S::LANES)), w, sums[r]);
                }
            }
        }
        sums
    }
}

/// Adds the sums of the lanes.
#[inline(always)]
pub(crate) fn add<S: Simd, const M: usize>(s: S, totals: &mut [[f32; 4]; M], sums: [[S::V; 4]; M]) {
    for (totals, sums) in totals.iter_mut().zip(sums) {
        for (total, sum) in totals.iter_mut().zip(s.sum4(sums)) {
            *total += sum;
        }
    }
}

/// The first `width` of four `values` to `y` from `at`, overwritten (`fresh`) or added to.
#[inline(always)]
fn write(y: Output<'_>, at: usize, values: [f32; 4], width: usize, fresh: bool) {
    // SAFETY: tasks have disjoint rows of `W`, so disjoint columns of `y`; only what was written is added to.
    unsafe {
        let y = y.at(at, width);
        if width == 4 {
            let y = y.cast::<[f32; 4]>();
            let [a, b, c, d] = if fresh { [0.0; 4] } else { y.read_unaligned() };
            y.write_unaligned([a + values[0], b + values[1], c + values[2], d + values[3]]);
            return;
        }
        for (i, value) in values.iter().enumerate().take(width) {
            *y.add(i) = if fresh { 0.0 } else { *y.add(i) } + value;
        }
    }
}
