//! The factor of an inverse that GPTQ walks along: `H⁻¹ = Uᵀ U` with `U` upper triangular.

use rayon::prelude::*;

/// Columns that are eliminated together.
const PANEL: usize = 64;

/// `U` of `H⁻¹ = Uᵀ U`, row-major; `None` where `h` (symmetric, `[n, n]`) is not positive definite.
///
/// Read backwards, `H = L Lᵀ` is `R Rᵀ` with `R` upper triangular, so that `U = R⁻¹`: one factorization and one
/// triangular inverse instead of the usual two factorizations and an inverse.
pub(crate) fn inverse_factor(h: &[f64], n: usize) -> Option<Vec<f32>> {
    let mut l: Vec<f64> = h.iter().rev().copied().collect();
    factor(&mut l, n)?;
    let inverse = invert_lower(&l, n);
    Some(inverse.into_iter().rev().collect())
}

/// Overwrites the lower triangle of `a` with its Cholesky factor.
fn factor(a: &mut [f64], n: usize) -> Option<()> {
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        let (done, rest) = a.split_at_mut(start * n);
        let _ = done;
        let (panel, below) = rest.split_at_mut((end - start) * n);
        // What earlier columns explain, then the panel's own triangle.
        for row in 0..end - start {
            for column in 0..=row {
                let (top, this) = panel.split_at_mut(row * n);
                let other = if column == row { &this[..n] } else { &top[column * n..(column + 1) * n] };
                let sum = this[start + column] - dot(&this[..start + column], &other[..start + column]);
                this[start + column] = if column < row {
                    sum / top[column * n + start + column]
                } else if sum > 0.0 && sum.is_finite() {
                    sum.sqrt()
                } else {
                    return None;
                };
            }
        }
        let panel = &*panel;
        below.par_chunks_mut(n).for_each(|this| {
            for column in start..end {
                let other = &panel[(column - start) * n..(column - start + 1) * n];
                this[column] = (this[column] - dot(&this[..column], &other[..column])) / other[column];
            }
        });
    }
    Some(())
}

/// The inverse of a lower triangle, in single precision; zero above the diagonal.
fn invert_lower(l: &[f64], n: usize) -> Vec<f32> {
    let starts: Vec<usize> = (0..n).step_by(PANEL).collect();
    let columns: Vec<Vec<f64>> = starts
        .par_iter()
        .map(|&start| {
            let width = PANEL.min(n - start);
            // Rows from `start` on of these columns.
            let mut m = vec![0.0_f64; (n - start) * width];
            for row in start..n {
                let (above, this) = m.split_at_mut((row - start) * width);
                let this = &mut this[..width];
                if row < start + width {
                    this[row - start] = 1.0;
                }
                for (k, above) in (start..row).zip(above.chunks_exact(width)) {
                    let factor = l[row * n + k];
                    this.iter_mut().zip(above).for_each(|(x, a)| *x -= factor * a);
                }
                let diagonal = l[row * n + row];
                this.iter_mut().for_each(|x| *x /= diagonal);
            }
            m
        })
        .collect();
    let mut out = vec![0.0_f32; n * n];
    for (&start, m) in starts.iter().zip(&columns) {
        let width = PANEL.min(n - start);
        for (row, values) in (start..n).zip(m.chunks_exact(width)) {
            for (out, value) in out[row * n + start..row * n + start + width].iter_mut().zip(values) {
                *out = *value as f32;
            }
        }
    }
    out
}

/// A dot product in eight sums, so that it can be done in vectors.
#[inline]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_inverts() {
        for n in [1, 5, 64, 150] {
            let x: Vec<f64> = (0..2 * n * n).map(|i| ((i * i) as f64 * 0.618).sin()).collect();
            let entry = |i: usize, j: usize| {
                let sum: f64 = (0..2 * n).map(|t| x[t * n + i] * x[t * n + j]).sum();
                sum + if i == j { 0.1 } else { 0.0 }
            };
            let h: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n)).collect();
            let u = inverse_factor(&h, n).expect("positive definite");
            for i in 0..n {
                for j in 0..n {
                    assert!(j >= i || u[i * n + j] == 0.0, "below the diagonal");
                    // (H Uᵀ U)ij
                    let hu = |k: usize| (0..n).map(|m| h[i * n + m] * f64::from(u[k * n + m])).sum::<f64>();
                    let got: f64 = (0..n).map(|k| hu(k) * f64::from(u[k * n + j])).sum();
                    let want = f64::from(i == j);
                    assert!((got - want).abs() < 1e-4, "{n}: {i} {j}: {got}");
                }
            }
        }
        assert_eq!(inverse_factor(&[1.0, 2.0, 2.0, 1.0], 2), None);
    }
}
