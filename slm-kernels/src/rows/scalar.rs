//! The reference: one number at a time, in order. For tests, and to read what the kernels compute.

use super::{Gate, Heads, check_rows};
use crate::Result;
use crate::packed::check_length;

/// What [`rms_norm`](super::rms_norm) computes.
///
/// # Errors
///
/// As there.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) -> Result<()> {
    check_rows("x", weight.len(), x.len())?;
    check_length("y", x.len(), y.len())?;
    let width = weight.len().max(1);
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        let mean = x.iter().map(|v| v * v).sum::<f32>() / width as f32;
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x / (mean + epsilon).sqrt() * weight;
        }
    }
    Ok(())
}

/// What [`rotate`](super::rotate) computes, of checked lengths.
///
/// # Panics
///
/// On lengths that [`rotate`](super::rotate) refuses.
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32], heads: Heads) {
    let half = heads.rotary / 2;
    let tokens = cos.len().checked_div(half).unwrap_or(1);
    for (at, x) in x.chunks_exact_mut(heads.dim).enumerate() {
        let token = at / heads.heads % tokens;
        for i in 0..half {
            let (cos, sin) = (cos[token * half + i], sin[token * half + i]);
            (x[i], x[i + half]) = (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin);
        }
    }
}

/// What [`gated`](super::gated) computes.
///
/// # Errors
///
/// As there.
pub fn gated(gate: &mut [f32], up: &[f32], kind: Gate) -> Result<()> {
    check_length("up", gate.len(), up.len())?;
    for (gate, up) in gate.iter_mut().zip(up) {
        let g = *gate;
        let act = match kind {
            Gate::Silu => g / (1.0 + (-g).exp()),
            Gate::GeluTanh => {
                let u = std::f32::consts::FRAC_2_PI.sqrt() * (g + 0.044_715 * g * g * g);
                g / 2.0 * (1.0 + u.tanh())
            }
        };
        *gate = act * up;
    }
    Ok(())
}
