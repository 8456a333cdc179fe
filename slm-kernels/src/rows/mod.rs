//! What a model does to rows between its matrix products, in one pass each: [`rms_norm`], [`rotate`] and [`gated`] of
//! a decoder, [`layer_norm`] and [`gelu`] of an encoder, [`add_bias`] of both; and after the last one, [`log_prob`] and
//! [`kl_divergence`]. A row has the same bits whatever the other rows are. [`scalar`] is the reference.

mod backward;
mod encoder;
mod likelihood;
pub mod scalar;

#[cfg(test)]
mod tests;

pub use backward::{NormForward, gated_backward, rms_norm_backward};
#[cfg(feature = "flex")]
pub(crate) use backward::{gated_backward_into, rms_norm_backward_into};
pub(crate) use encoder::gelu_vector;
pub use encoder::{Normal, add_bias, add_layer_norm, gelu, layer_norm};
#[cfg(feature = "flex")]
pub(crate) use encoder::{add_bias_at, add_layer_norm_at, gelu_at, layer_norm_at};
#[cfg(test)]
use likelihood::Entropy;
pub use likelihood::{Truth, entropy, kl_divergence, likelihood_backward, log_prob};
#[cfg(feature = "flex")]
pub(crate) use likelihood::{likelihood_backward_at, likelihood_into};

use crate::output::{Output, for_each_task};
use crate::packed::check_length;
use crate::simd::{Kernel, Level, Simd, load_part, sigmoid, store_part};
use crate::{Error, Result};

/// Elements of a task.
const PER_TASK: usize = 1 << 14;

/// The activation of a gated layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `g / (1 + exp(-g))` (SwiGLU, <https://arxiv.org/abs/2002.05202>).
    Silu,
    /// `g / 2 * (1 + tanh(√(2/π) (g + 0.044715 g³)))`: GELU by its approximation with tanh (GeGLU).
    GeluTanh,
}

/// `y = x / √(mean(x²) + epsilon) * weight` for each row (<https://arxiv.org/abs/1910.07467>).
///
/// # Shapes
///
/// `weight`: `[width]`, `x` and `y`: `[rows, width]`; `y` is overwritten.
///
/// # Errors
///
/// `x` is not whole rows, or `y` is of another length.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) -> Result<()> {
    check_rows("x", weight.len(), x.len())?;
    check_length("y", x.len(), y.len())?;
    rms_norm_into(Level::best(), x, weight, epsilon, Output::new(y));
    Ok(())
}

/// Turns of heads: what [`rotate`] needs to know besides the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads of a token.
    pub heads: usize,
    /// Numbers of a head.
    pub dim: usize,
    /// Leading numbers of a head that turn, even and at most `dim`.
    pub rotary: usize,
}

/// Turns, in place, the pairs `(i, i + rotary / 2)` of each head by the angles of its token (rotary position
/// embedding, <https://arxiv.org/abs/2104.09864>, in the half-split order of Llama); the rest of a head stays.
///
/// # Shapes
///
/// `x`: `[batch, tokens, heads, dim]`, `cos`, `sin`: `[tokens, rotary / 2]`.
///
/// # Errors
///
/// A buffer of another length, or a `rotary` that is odd or above `dim`.
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32], heads: Heads) -> Result<()> {
    let half = heads.rotary / 2;
    if !heads.rotary.is_multiple_of(2) || heads.rotary > heads.dim {
        return Err(Error::Length { what: "rotary part of a head", expected: heads.dim, got: heads.rotary });
    }
    check_length("sin", cos.len(), sin.len())?;
    check_rows("cos", half, cos.len())?;
    let tokens = cos.len().checked_div(half).unwrap_or(1);
    check_rows("x", tokens * heads.heads * heads.dim, x.len())?;
    rotate_at(Level::best(), Output::new(x), [cos, sin], heads);
    Ok(())
}

/// `gate = act(gate) * up`, in place.
///
/// # Errors
///
/// `up` is of another length than `gate`.
pub fn gated(gate: &mut [f32], up: &[f32], kind: Gate) -> Result<()> {
    check_length("up", gate.len(), up.len())?;
    gated_at(Level::best(), None, Output::new(gate), up, kind);
    Ok(())
}

/// Whether `got` elements are whole rows of `width`.
fn check_rows(what: &'static str, width: usize, got: usize) -> Result<()> {
    let expected = if width == 0 { 0 } else { got.next_multiple_of(width) };
    check_length(what, expected, got)
}

/// [`rms_norm`] of checked lengths: writes all of `y`.
pub(crate) fn rms_norm_into(level: Level, x: &[f32], weight: &[f32], epsilon: f32, y: Output<'_>) {
    let width = weight.len();
    let rows_per_task = PER_TASK.checked_div(width).unwrap_or(0).max(1);
    let len = rows_per_task * width.max(1);
    for_each_task(x.len().div_ceil(len), x.len(), |task| {
        let x = &x[task * len..((task + 1) * len).min(x.len())];
        level.run(Norm { x, weight, epsilon, y, at: task * len });
    });
}

struct Norm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    y: Output<'a>,
    at: usize,
}

impl Kernel for Norm<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        for (r, row) in self.x.chunks_exact(width).enumerate() {
            // SAFETY: tasks have disjoint rows; vectors are cut to the row.
            unsafe {
                let mut squares = s.splat(0.0);
                for k in (0..width).step_by(S::LANES) {
                    let x = load_part(s, row.as_ptr().add(k), width - k);
                    squares = s.fma(x, x, squares);
                }
                let mean = s.sum(squares) / width as f32;
                let scale = s.splat(1.0 / (mean + self.epsilon).sqrt());
                let y = self.y.at(self.at + r * width, width);
                for k in (0..width).step_by(S::LANES) {
                    let x = load_part(s, row.as_ptr().add(k), width - k);
                    let weight = load_part(s, self.weight.as_ptr().add(k), width - k);
                    store_part(s, y.add(k), width - k, s.mul(s.mul(x, scale), weight));
                }
            }
        }
    }
}

/// [`rotate`] of checked lengths. Without a rotary part there are no angles, and any number of tokens.
pub(crate) fn rotate_at(level: Level, x: Output<'_>, angles: [&[f32]; 2], heads: Heads) {
    let width = heads.heads * heads.dim;
    if heads.rotary == 0 || width == 0 {
        return;
    }
    let tokens = x.len() / width;
    let per_task = (PER_TASK / width).max(1);
    for_each_task(tokens.div_ceil(per_task), x.len(), |task| {
        let tokens = task * per_task..((task + 1) * per_task).min(tokens);
        level.run(Turn { x, angles, heads, tokens });
    });
}

struct Turn<'a> {
    x: Output<'a>,
    angles: [&'a [f32]; 2],
    heads: Heads,
    tokens: std::ops::Range<usize>,
}

impl Kernel for Turn<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        let Heads { heads, dim, rotary } = self.heads;
        let half = rotary / 2;
        let [cos, sin] = self.angles;
        for token in self.tokens {
            let angles = token * half % cos.len();
            let (cos, sin) = (&cos[angles..][..half], &sin[angles..][..half]);
            for head in 0..heads {
                // SAFETY: tasks have disjoint tokens; vectors are cut to each half of the rotary part.
                unsafe {
                    let x = self.x.at((token * heads + head) * dim, dim);
                    for k in (0..half).step_by(S::LANES) {
                        let (first, second, len) = (x.add(k), x.add(half + k), half - k);
                        let (a, b) = (load_part(s, first, len), load_part(s, second, len));
                        let cos = load_part(s, cos.as_ptr().add(k), len);
                        let sin = load_part(s, sin.as_ptr().add(k), len);
                        store_part(s, first, len, s.sub(s.mul(a, cos), s.mul(b, sin)));
                        store_part(s, second, len, s.fma(b, cos, s.mul(a, sin)));
                    }
                }
            }
        }
    }
}

/// [`gated`] of checked lengths: of `gate` to `out`, or in the place of what `out` holds where there is none.
pub(crate) fn gated_at(level: Level, gate: Option<&[f32]>, out: Output<'_>, up: &[f32], kind: Gate) {
    assert!(gate.is_none_or(|gate| gate.len() == up.len()), "unchecked length");
    for_each_task(up.len().div_ceil(PER_TASK), up.len(), |task| {
        let range = task * PER_TASK..((task + 1) * PER_TASK).min(up.len());
        let gate = gate.map(|gate| &gate[range.clone()]);
        level.run(Gated { gate, out, at: range.start, up: &up[range], kind });
    });
}

struct Gated<'a> {
    gate: Option<&'a [f32]>,
    out: Output<'a>,
    at: usize,
    up: &'a [f32],
    kind: Gate,
}

impl Kernel for Gated<'_> {
    type Out = ();

    #[inline(always)]
    #[expect(unsafe_code, reason = "vectors of checked rows")]
    fn run<S: Simd>(self, s: S) {
        let len = self.up.len();
        for k in (0..len).step_by(S::LANES) {
            // SAFETY: tasks have disjoint ranges; vectors are cut to the range.
            unsafe {
                let at = self.out.at(self.at + k, (len - k).min(S::LANES));
                let from = self.gate.map_or(at.cast_const(), |gate| gate.as_ptr().add(k));
                let gate = load_part(s, from, len - k);
                let up = load_part(s, self.up.as_ptr().add(k), len - k);
                let argument = match self.kind {
                    Gate::Silu => gate,
                    Gate::GeluTanh => {
                        // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u))
                        let cubic = s.fma(s.mul(gate, gate), s.splat(0.044_715), s.splat(1.0));
                        s.mul(s.mul(gate, s.splat(1.595_769)), cubic)
                    }
                };
                store_part(s, at, len - k, s.mul(s.mul(gate, sigmoid(s, argument)), up));
            }
        }
    }
}
