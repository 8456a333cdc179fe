//! `dx = dy · W`: sums of outer products, a panel of columns at a time.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::Weights;
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Element, Kernel, Level, Outer, Simd, load_part, outer, strip};

/// Columns of a task, a multiple of four vectors.
const COLS: usize = 64;
/// Rows of `W` of a panel: with its columns 128 KiB, within a level-2 cache.
const DEPTH: usize = 512;

/// Writes all of `dx`.
pub(super) fn run<E: Element>(level: Level, dy: &[f32], m: usize, w: Weights<'_, E>, dx: Output<'_>) {
    let tasks = w.cols.div_ceil(COLS);
    for_each_task(tasks, m.saturating_mul(w.rows).saturating_mul(w.cols), |task| {
        let cols = task * COLS..((task + 1) * COLS).min(w.cols);
        level.run(Panel { dy, m, w, cols, dx });
    });
}

/// The columns `cols` of `dx`.
struct Panel<'a, E> {
    dy: &'a [f32],
    m: usize,
    w: Weights<'a, E>,
    cols: Range<usize>,
    dx: Output<'a>,
}

impl<E: Element> Kernel for Panel<'_, E> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (m, rows) = (self.m, self.w.rows);
        assert!(self.cols.end <= self.w.cols && self.w.numbers.len() == rows * self.w.cols);
        assert!(self.cols.len() <= COLS && self.dy.len() == m * rows);
        let mut panel = Scratch::new(DEPTH.min(rows) * COLS);
        let mut sums = Scratch::new(m * COLS);
        sums.fill(0.0);
        for from in (0..rows).step_by(DEPTH) {
            let depth = (rows - from).min(DEPTH);
            self.widen(s, from..from + depth, &mut panel);
            for first in (0..m).step_by(strip(S::LANES)) {
                let a = self.dy[first * rows + from..].as_ptr();
                let c = sums[first * COLS..].as_mut_ptr();
                let height = (m - first).min(strip(S::LANES));
                for column in (0..COLS).step_by(4 * S::LANES) {
                    // SAFETY: `height` rows of `dy` have `depth` columns from `from`; panel and sums have
                    // `COLS` columns, of which four vectors start at `column`.
                    unsafe {
                        let (b, c) = (panel.as_ptr().add(column), c.add(column));
                        let tile = Outer {
                            a,
                            a_stride: rows,
                            b,
                            b_stride: COLS,
                            depth,
                            c,
                            c_stride: COLS,
                            fresh: false,
                            ahead: 0,
                        };
                        match height {
                            1 => outer::<S, f32, 1, 4>(s, tile),
                            2 => outer::<S, f32, 2, 4>(s, tile),
                            3 => outer::<S, f32, 3, 4>(s, tile),
                            4 => outer::<S, f32, 4, 4>(s, tile),
                            5 => outer::<S, f32, 5, 4>(s, tile),
                            _ => outer::<S, f32, 6, 4>(s, tile),
                        }
                    }
                }
            }
        }
        for (i, sums) in sums.chunks_exact(COLS).enumerate() {
            // SAFETY: tasks have disjoint columns; the buffers do not overlap.
            unsafe {
                let to = self.dx.at(i * self.w.cols + self.cols.start, self.cols.len());
                std::ptr::copy_nonoverlapping(sums.as_ptr(), to, self.cols.len());
            }
        }
    }
}

impl<E: Element> Panel<'_, E> {
    /// The weights `rows`, `self.cols` to `panel`: `[rows, COLS]`, with zeros after the last column.
    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, rows: Range<usize>, panel: &mut [f32]) {
        let panel = &mut panel[..rows.len() * COLS];
        for (row, to) in rows.zip(panel.chunks_exact_mut(COLS)) {
            let from = &self.w.numbers[row * self.w.cols..][self.cols.clone()];
            for at in (0..COLS).step_by(S::LANES) {
                let len = from.len().saturating_sub(at);
                // SAFETY: `len` elements are left from `at`, none if it is past the end; `to` has a vector.
                unsafe {
                    let v = load_part(s, from.as_ptr().wrapping_add(at), len);
                    s.store(to.as_mut_ptr().add(at), v);
                }
            }
        }
    }
}
