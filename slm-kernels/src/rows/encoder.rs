//! What an encoder of the BERT family does to rows: [`layer_norm`], [`add_layer_norm`], [`gelu`] and [`add_bias`].

use super::{PER_TASK, check_rows};
use crate::Result;
use crate::output::{Output, for_each_task};
use crate::packed::check_length;
use crate::simd::{Kernel, Level, Simd, exp, load_part, store_part};

/// Weight, bias and the number added to the variance of a [`layer_norm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal<'a> {
    /// `[width]`.
    pub weight: &'a [f32],
    /// `[width]`.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// `x = (x - mean) / √(variance + epsilon) * weight + bias` for each row, in place
/// (<https://arxiv.org/abs/1607.06450>).
///
/// # Shapes
///
/// `x`: `[rows, width]`.
///
/// # Errors
///
/// `x` is not whole rows, or the bias is of another length than the weight.
pub fn layer_norm(x: &mut [f32], normal: Normal<'_>) -> Result<()> {
    check_length("bias", normal.weight.len(), normal.bias.len())?;
    check_rows("x", normal.weight.len(), x.len())?;
    layer_norm_at(Level::best(), Output::new(x), normal);
    Ok(())
}

/// [`layer_norm`] of `x + residual`, in one pass.
///
/// # Shapes
///
/// `x` and `residual`: `[rows, width]`.
///
/// # Errors
///
/// As [`layer_norm`], and another length of the residual.
pub fn add_layer_norm(x: &mut [f32], residual: &[f32], normal: Normal<'_>) -> Result<()> {
    check_length("bias", normal.weight.len(), normal.bias.len())?;
    check_rows("x", normal.weight.len(), x.len())?;
    check_length("residual", x.len(), residual.len())?;
    add_layer_norm_at(Level::best(), Output::new(x), residual, normal);
    Ok(())
}

/// `x = x / 2 * (1 + erf(x / √2))`, in place (<https://arxiv.org/abs/1606.08415>), within 2e-7 of the true value or
/// of its size.
pub fn gelu(x: &mut [f32]) {
    gelu_at(Level::best(), Output::new(x));
}

/// `x = x + bias` for each row, in place.
///
/// # Shapes
///
/// `x`: `[rows, width]`, `bias`: `[width]`.
///
/// # Errors
///
/// `x` is not whole rows.
pub fn add_bias(x: &mut [f32], bias: &[f32]) -> Result<()> {
    check_rows("x", bias.len(), x.len())?;
    add_bias_at(Level::best(), Output::new(x), bias);
    Ok(())
}

/// Runs `task` on runs of whole rows: where they start, and how many numbers they have.
fn for_rows(len: usize, width: usize, task: impl Fn(usize, usize) + Send + Sync) {
    let run = (PER_TASK.checked_div(width).unwrap_or(0).max(1)) * width.max(1);
    for_each_task(len.div_ceil(run), len, |index| task(index * run, run.min(len - index * run)));
}

/// [`layer_norm`] of checked lengths.
pub(crate) fn layer_norm_at(level: Level, x: Output<'_>, normal: Normal<'_>) {
    let norm = |at, len| level.run(Norm { x, at, len, normal, residual: None });
    for_rows(x.len(), normal.weight.len(), norm);
}

/// [`add_layer_norm`] of checked lengths.
pub(crate) fn add_layer_norm_at(level: Level, x: Output<'_>, residual: &[f32], normal: Normal<'_>) {
    assert_eq!(x.len(), residual.len(), "unchecked length");
    let norm = |at, len| level.run(Norm { x, at, len, normal, residual: Some(&residual[at..at + len]) });
    for_rows(x.len(), normal.weight.len(), norm);
}

struct Norm<'a> {
    x: Output<'a>,
    at: usize,
    len: usize,
    normal: Normal<'a>,
    /// Of these rows.
    residual: Option<&'a [f32]>,
}

impl Kernel for Norm<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        let width = self.normal.weight.len();
        let zero = s.splat(0.0);
        for row in (0..self.len).step_by(width.max(1)) {
            let residual = self.residual.map(|residual| &residual[row..row + width]);
            // SAFETY: tasks have disjoint rows; vectors are cut to the row, and `load_part` fills with zeros.
            unsafe {
                let x = self.x.at(self.at + row, width);
                let mut sum = zero;
                for k in (0..width).step_by(S::LANES) {
                    let mut part = load_part(s, x.add(k), width - k);
                    if let Some(residual) = residual {
                        part = s.add(part, load_part(s, residual.as_ptr().add(k), width - k));
                        store_part(s, x.add(k), width - k, part);
                    }
                    sum = s.add(sum, part);
                }
                let mean = s.sum(sum) / width as f32;
                // Loaded like the row, so that the lanes beyond it have no distance.
                let means = [mean; 16];
                let mut squares = zero;
                for k in (0..width).step_by(S::LANES) {
                    let mean = load_part(s, means.as_ptr(), width - k);
                    let distance = s.sub(load_part(s, x.add(k), width - k), mean);
                    squares = s.fma(distance, distance, squares);
                }
                let variance = s.sum(squares) / width as f32;
                let scale = s.splat(1.0 / (variance + self.normal.epsilon).sqrt());
                for k in (0..width).step_by(S::LANES) {
                    let distance = s.sub(load_part(s, x.add(k), width - k), s.splat(mean));
                    let weight = load_part(s, self.normal.weight.as_ptr().add(k), width - k);
                    let bias = load_part(s, self.normal.bias.as_ptr().add(k), width - k);
                    store_part(s, x.add(k), width - k, s.fma(s.mul(distance, scale), weight, bias));
                }
            }
        }
    }
}

/// [`gelu`].
pub(crate) fn gelu_at(level: Level, x: Output<'_>) {
    for_rows(x.len(), 1, |at, len| level.run(Gelu { x, at, len }));
}

struct Gelu<'a> {
    x: Output<'a>,
    at: usize,
    len: usize,
}

impl Kernel for Gelu<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        for k in (0..self.len).step_by(S::LANES) {
            // SAFETY: tasks have disjoint ranges; vectors are cut to the range.
            unsafe {
                let at = self.x.at(self.at + k, (self.len - k).min(S::LANES));
                store_part(s, at, self.len - k, gelu_vector(s, load_part(s, at, self.len - k)));
            }
        }
    }
}

/// [`gelu`] of a vector: erfc by formula 7.1.26 of Abramowitz and Stegun, without the cancellation that erf would have on
/// the left.
#[inline(always)]
pub(crate) fn gelu_vector<S: Simd>(s: S, x: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let z = s.mul(s.at_least(x, s.sub(zero, x)), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(one, s.fma(z, s.splat(0.327_591_1), one));
    let mut p = s.splat(1.061_405_4);
    p = s.fma(p, t, s.splat(-1.453_152));
    p = s.fma(p, t, s.splat(1.421_413_8));
    p = s.fma(p, t, s.splat(-0.284_496_74));
    p = s.fma(p, t, s.splat(0.254_829_6));
    let tail = s.mul(s.mul(p, t), exp(s, s.sub(zero, s.mul(z, z))));
    let part = s.mul(s.mul(x, s.splat(0.5)), tail);
    s.less(x, zero, part, s.sub(x, part))
}

/// [`add_bias`] of checked lengths.
pub(crate) fn add_bias_at(level: Level, x: Output<'_>, bias: &[f32]) {
    for_rows(x.len(), bias.len(), |at, len| level.run(Bias { x, at, len, bias }));
}

struct Bias<'a> {
    x: Output<'a>,
    at: usize,
    len: usize,
    bias: &'a [f32],
}

impl Kernel for Bias<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        let width = self.bias.len();
        for row in (0..self.len).step_by(width.max(1)) {
            for k in (0..width).step_by(S::LANES) {
                // SAFETY: tasks have disjoint rows; vectors are cut to the row.
                unsafe {
                    let x = self.x.at(self.at + row, width).add(k);
                    let bias = load_part(s, self.bias.as_ptr().add(k), width - k);
                    store_part(s, x, width - k, s.add(load_part(s, x, width - k), bias));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::scalar;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 101) as f32 * 0.61).sin() * 3.0 + 0.4).collect()
    }

    proptest! {
        #[test]
        fn rows_equal_their_scalar_twins(rows in 0usize..40, width in 1usize..70, seed in 0usize..99) {
            let (weight, bias) = (numbers(width, seed + 1), numbers(width, seed + 2));
            let normal = Normal { weight: &weight, bias: &bias, epsilon: 1e-5 };
            let x = numbers(rows * width, seed);
            for level in Level::available() {
                let (mut got, mut want) = (x.clone(), x.clone());
                layer_norm_at(level, Output::new(&mut got), normal);
                scalar::layer_norm(&mut want, normal);
                for (got, want) in got.iter().zip(&want) {
                    prop_assert!((got - want).abs() < 2e-4 * want.abs().max(1.0), "{level:?}: {got} {want}");
                }
                let residual = numbers(x.len(), seed + 3);
                let (mut fused, mut want) = (x.clone(), x.clone());
                want.iter_mut().zip(&residual).for_each(|(x, residual)| *x += residual);
                layer_norm_at(level, Output::new(&mut want), normal);
                add_layer_norm_at(level, Output::new(&mut fused), &residual, normal);
                prop_assert_eq!(fused, want);
                let (mut got, mut want) = (x.clone(), x.clone());
                add_bias_at(level, Output::new(&mut got), &bias);
                scalar::add_bias(&mut want, &bias);
                prop_assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn gelu_is_close_to_the_true_value() {
        let xs: Vec<f32> = (-12_003..12_000).map(|i| i as f32 * 0.001).collect();
        for level in Level::available() {
            let (mut got, mut want) = (xs.clone(), xs.clone());
            gelu_at(level, Output::new(&mut got));
            scalar::gelu(&mut want);
            for ((x, got), want) in xs.iter().zip(&got).zip(&want) {
                assert!(
                    (got - want).abs() < 3e-7 * want.abs().max(1.0),
                    "{level:?}: gelu({x}) = {want}, got {got}"
                );
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let normal = Normal { weight: &[1.0; 4], bias: &[0.0; 3], epsilon: 1e-5 };
        assert!(layer_norm(&mut [0.0; 8], normal).is_err());
        assert!(layer_norm(&mut [0.0; 7], Normal { bias: &[0.0; 4], ..normal }).is_err());
        let normal = Normal { bias: &[0.0; 4], ..normal };
        assert!(add_layer_norm(&mut [0.0; 8], &[0.0; 4], normal).is_err());
        assert!(add_layer_norm(&mut [0.0; 8], &[0.0; 8], normal).is_ok());
        assert!(add_bias(&mut [0.0; 7], &[0.0; 4]).is_err());
    }
}
