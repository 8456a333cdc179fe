//! The walk over the columns, in blocks: errors are spread within a block at once and to the rest when it is done.

use rayon::prelude::*;

use super::Choice;
use crate::grid::{Grid, Unit};

/// Rows that share a read of the factor.
const ROWS: usize = 8;
/// Columns of the rest that are updated while they are in the nearest cache.
const STRIP: usize = 256;

/// What all rows share.
struct Walk<'a> {
    grid: Grid,
    u: &'a [f32],
    order: &'a [usize],
    importance: &'a [f32],
    /// Whether units were fitted before the walk.
    fitted: bool,
    block: usize,
}

/// Chooses all codes of `choice`; `u` and `order` are the factor and the order of the columns.
pub(super) fn walk(
    choice: &mut Choice,
    weights: &[f32],
    (u, order): (&[f32], &[usize]),
    importance: &[f32],
    fitted: bool,
) {
    let grid = choice.grid;
    let block = match grid.unit {
        unit if unit <= 128 => 128 / unit * unit,
        unit if unit.is_multiple_of(128) => 128,
        unit => unit,
    };
    let walk = Walk { grid, u, order, importance, fitted, block };
    let (rows, units) = (ROWS * grid.cols, ROWS * grid.cols / grid.unit);
    weights
        .par_chunks(rows)
        .zip(choice.codes.par_chunks_mut(rows))
        .zip(choice.units.par_chunks_mut(units))
        .for_each(|((weights, codes), units)| walk.rows(weights, codes, units));
}

impl Walk<'_> {
    fn rows(&self, weights: &[f32], codes: &mut [i8], units: &mut [Unit]) {
        let (n, per_row) = (self.grid.cols, self.grid.cols / self.grid.unit);
        let mut w: Vec<f32> = weights
            .chunks_exact(n)
            .flat_map(|row| self.order.iter().map(move |column| row[*column]))
            .collect();
        if self.fitted {
            let given = weights
                .chunks_exact(n)
                .flat_map(|row| row.chunks(self.grid.unit).zip(self.importance.chunks(self.grid.unit)));
            for ((w, importance), unit) in given.zip(units.iter_mut()) {
                *unit = self.grid.fit(w, importance);
            }
        }
        let count = weights.len() / n;
        let mut errors = vec![0.0_f32; count * self.block];
        for start in (0..n).step_by(self.block) {
            let end = (start + self.block).min(n);
            for row in 0..count {
                self.block(
                    start..end,
                    &mut w[row * n..(row + 1) * n],
                    &mut errors[row * self.block..(row + 1) * self.block],
                    (&mut codes[row * n..(row + 1) * n], &mut units[row * per_row..(row + 1) * per_row]),
                );
            }
            self.spread(start..end, &mut w, &errors);
        }
    }

    /// Chooses the codes of a block of one row, and leaves the errors to be spread.
    fn block(
        &self,
        block: std::ops::Range<usize>,
        w: &mut [f32],
        errors: &mut [f32],
        (codes, units): (&mut [i8], &mut [Unit]),
    ) {
        let (n, unit_size, part_size) = (self.grid.cols, self.grid.unit, self.grid.part);
        for at in block.clone() {
            let column = self.order[at];
            if !self.fitted && at.is_multiple_of(unit_size) {
                let range = at..at + unit_size;
                units[at / unit_size] = self.grid.fit(&w[range.clone()], &self.importance[range]);
            }
            let level = self.grid.level(&units[column / unit_size], column % unit_size / part_size);
            let (code, value) = level.nearest(w[at]);
            codes[column] = code;
            let factor = &self.u[at * n..at * n + block.end];
            let error = (w[at] - value) / factor[at];
            errors[at - block.start] = error;
            for (w, factor) in w[at + 1..block.end].iter_mut().zip(&factor[at + 1..]) {
                *w -= error * factor;
            }
        }
    }

    /// Folds a block's errors into the columns after it.
    fn spread(&self, block: std::ops::Range<usize>, w: &mut [f32], errors: &[f32]) {
        let n = self.grid.cols;
        for strip in (block.end..n).step_by(STRIP) {
            let end = (strip + STRIP).min(n);
            for (w, errors) in w.chunks_exact_mut(n).zip(errors.chunks_exact(self.block)) {
                let w = &mut w[strip..end];
                let mut at = block.start;
                let factor = |at: usize| &self.u[at * n + strip..at * n + end];
                while at + 4 <= block.end {
                    let e = &errors[at - block.start..at - block.start + 4];
                    let (f0, f1, f2, f3) = (factor(at), factor(at + 1), factor(at + 2), factor(at + 3));
                    for ((((w, a), b), c), d) in w.iter_mut().zip(f0).zip(f1).zip(f2).zip(f3) {
                        *w -= e[0] * a + e[1] * b + (e[2] * c + e[3] * d);
                    }
                    at += 4;
                }
                for at in at..block.end {
                    let error = errors[at - block.start];
                    w.iter_mut().zip(factor(at)).for_each(|(w, f)| *w -= error * f);
                }
            }
        }
    }
}
