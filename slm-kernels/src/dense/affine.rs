//! `act(x · Wᵀ + b)`: what follows the product is done to a few rows at a time, while they are in the cache.
#![expect(unsafe_code, reason = "columns of tasks")]

use std::ops::Range;

use super::{Matrix, linear_then};
use crate::Result;
use crate::output::Output;
use crate::packed::check_length;
use crate::rows::gelu_vector;
use crate::simd::{Kernel, Level, Simd, load_part, store_part};

/// What an [`affine`] layer does to its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// As [`gelu`](crate::rows::gelu).
    Gelu,
}

/// `y = act(x · Wᵀ + b)`, with the bits of [`dense_linear`](super::dense_linear), [`add_bias`](crate::rows::add_bias) and
/// [`gelu`](crate::rows::gelu) after one another.
///
/// # Shapes
///
/// `x`: `[m, cols]`, `bias`: `[rows]`, `y`: `[m, rows]`, row-major; `y` is overwritten.
///
/// # Errors
///
/// A buffer of another length.
pub fn affine(
    x: &[f32],
    m: usize,
    (w, bias): (&Matrix<'_>, &[f32]),
    activation: Activation,
    y: &mut [f32],
) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("bias", w.rows(), bias.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    affine_into(Level::best(), x, m, (w, bias, activation), Output::new(y));
    Ok(())
}

/// [`affine`] of checked lengths: writes all of `y`.
pub(crate) fn affine_into(
    level: Level,
    x: &[f32],
    m: usize,
    (w, bias, activation): (&Matrix<'_>, &[f32], Activation),
    y: Output<'_>,
) {
    assert_eq!(bias.len(), w.rows(), "unchecked length");
    linear_then(level, x, m, w, y, |rows, columns| {
        let bias = &bias[columns.clone()];
        level.run(Finish { y, rows, stride: w.rows(), first: columns.start, bias, activation });
    });
}

/// Some rows of the columns from `first`, as many as there are biases.
struct Finish<'a> {
    y: Output<'a>,
    rows: Range<usize>,
    stride: usize,
    first: usize,
    bias: &'a [f32],
    activation: Activation,
}

impl Kernel for Finish<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.bias.len();
        for row in self.rows {
            for k in (0..width).step_by(S::LANES) {
                let left = width - k;
                // SAFETY: tasks have disjoint columns; vectors are cut to them.
                unsafe {
                    let at = self.y.at(row * self.stride + self.first + k, left.min(S::LANES));
                    let y = s.add(load_part(s, at, left), load_part(s, self.bias.as_ptr().add(k), left));
                    let y = match self.activation {
                        Activation::Identity => y,
                        Activation::Gelu => gelu_vector(s, y),
                    };
                    store_part(s, at, left, y);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::f16;
    use proptest::prelude::*;

    use super::*;
    use crate::dense::{Numbers, linear_into, scalar};
    use crate::rows;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 101) as f32 * 0.61).sin()).collect()
    }

    proptest! {
        #[test]
        fn it_is_product_bias_and_activation(m in 0usize..40, rows in 0usize..150, cols in 0usize..60, seed in 0usize..99) {
            let (x, bias) = (numbers(m * cols, seed), numbers(rows, seed + 1));
            let w: Vec<f16> = numbers(rows * cols, seed + 2).into_iter().map(f16::from_f32).collect();
            let w = Matrix::new(Numbers::F16(&w), rows, cols).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let mut by_hand = vec![0.0; m * rows];
            prop_assert_eq!(scalar::dense_linear(&x, m, &w, &mut by_hand), Ok(()));
            rows::scalar::add_bias(&mut by_hand, &bias);
            rows::scalar::gelu(&mut by_hand);
            for level in Level::available() {
                let (mut got, mut want) = (vec![f32::NAN; m * rows], vec![f32::NAN; m * rows]);
                linear_into(level, &x, m, &w, Output::new(&mut want));
                rows::add_bias_at(level, Output::new(&mut want), &bias);
                affine_into(level, &x, m, (&w, &bias, Activation::Identity), Output::new(&mut got));
                prop_assert_eq!(&got, &want);
                rows::gelu_at(level, Output::new(&mut want));
                affine_into(level, &x, m, (&w, &bias, Activation::Gelu), Output::new(&mut got));
                prop_assert_eq!(&got, &want);
                for (got, want) in got.iter().zip(&by_hand) {
                    prop_assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{level:?}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let (w, mut y) = ([0.0; 6], [0.0; 4]);
        let w = Matrix::new(Numbers::F32(&w), 2, 3).expect("two rows of three");
        assert!(affine(&[0.0; 6], 2, (&w, &[0.0; 2]), Activation::Gelu, &mut y).is_ok());
        assert!(affine(&[0.0; 6], 2, (&w, &[0.0; 3]), Activation::Gelu, &mut y).is_err());
        assert!(affine(&[0.0; 5], 2, (&w, &[0.0; 2]), Activation::Gelu, &mut y).is_err());
    }
}
