//! Kernels in plain Rust, for processors without AVX2: one expanded row at a time.
#![expect(unsafe_code, reason = "writes its own columns of a shared matrix")]

use super::Range;
use super::columns::Columns;
use crate::PackedTensor;

/// Lanes of the running sum: what the compiler can keep in vector registers.
const LANES: usize = 8;

/// Fills the columns `rows` of `y = x · Wᵀ`.
pub(super) fn forward(x: &[f32], m: usize, w: &PackedTensor, rows: Range, y: &Columns<'_>) {
    let mut row = vec![0.0; w.cols()];
    for o in rows {
        w.dequantize_row(o, 0, &mut row);
        for (i, x) in x.chunks_exact(w.cols()).enumerate().take(m) {
            // SAFETY: tasks have disjoint `rows`, and the slice ends with the statement.
            unsafe { y.slice_mut(i, o, 1)[0] = dot(x, &row) };
        }
    }
}

/// Adds to the columns `cols` of `dx = dy · W`.
pub(super) fn backward(dy: &[f32], m: usize, w: &PackedTensor, cols: Range, dx: &Columns<'_>) {
    let mut row = vec![0.0; cols.len()];
    for o in 0..w.rows() {
        w.dequantize_row(o, cols.start, &mut row);
        for i in 0..m {
            let dy = dy[i * w.rows() + o];
            // SAFETY: tasks have disjoint `cols`, and the slice ends with the iteration.
            let dx = unsafe { dx.slice_mut(i, cols.start, cols.len()) };
            for (dx, w) in dx.iter_mut().zip(&row) {
                *dx += dy * w;
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{TOLERANCE, scalar};
    use crate::{Bits, Result};

    /// Processors with AVX2 never come here on their own.
    #[test]
    fn portable_kernels_match_the_reference() -> Result<()> {
        let (m, rows, cols) = (5, 7, 384);
        let wave = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        for bits in [Bits::Int4, Bits::Int8] {
            let w = PackedTensor::quantize(&wave(rows * cols, 0.731), rows, cols, bits, 128)?;
            let (x, dy) = (wave(m * cols, 0.37), wave(m * rows, 0.11));

            let (mut y, mut want) = (vec![f32::NAN; m * rows], vec![0.0; m * rows]);
            let columns = Columns::new(&mut y, rows);
            forward(&x, m, &w, 0..3, &columns);
            forward(&x, m, &w, 3..rows, &columns);
            scalar::packed_linear(&x, m, &w, &mut want)?;
            assert_close(&y, &want, cols);

            let (mut dx, mut want) = (vec![0.0; m * cols], vec![0.0; m * cols]);
            let columns = Columns::new(&mut dx, cols);
            backward(&dy, m, &w, 0..256, &columns);
            backward(&dy, m, &w, 256..cols, &columns);
            scalar::packed_linear_dx(&dy, m, &w, &mut want)?;
            assert_close(&dx, &want, rows);
        }
        Ok(())
    }

    /// Every factor is at most about 1, so the number of terms bounds the sum of the absolute products.
    fn assert_close(got: &[f32], want: &[f32], terms: usize) {
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want).abs() <= TOLERANCE * terms as f32, "element {i}: {got} instead of {want}");
        }
    }
}
