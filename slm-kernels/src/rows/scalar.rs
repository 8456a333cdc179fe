//! The reference: one number at a time, in order. For tests, and to read what the kernels compute.

use super::{Gate, Heads, NormForward, Normal, Truth, check_rows};
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

/// What [`rms_norm_backward`](super::rms_norm_backward) computes, of checked lengths: the gradients of input and
/// weight.
pub fn rms_norm_backward(forward: NormForward<'_>) -> [Vec<f32>; 2] {
    let width = forward.weight.len().max(1);
    let (mut dx, mut dweight) = (Vec::with_capacity(forward.x.len()), vec![0.0; forward.weight.len()]);
    for (x, dy) in forward.x.chunks_exact(width).zip(forward.dy.chunks_exact(width)) {
        let square = x.iter().map(|v| v * v).sum::<f32>() / width as f32 + forward.epsilon;
        let products: f32 = x.iter().zip(dy).zip(forward.weight).map(|((x, dy), w)| x * dy * w).sum();
        for (i, (x, dy)) in x.iter().zip(dy).enumerate() {
            let away = x * products / (width as f32 * square);
            dx.push((dy * forward.weight[i] - away) / square.sqrt());
            dweight[i] += dy * x / square.sqrt();
        }
    }
    [dx, dweight]
}

/// What [`gated_backward`](super::gated_backward) computes, of checked lengths, by the slope of each activation.
pub fn gated_backward([gate, up]: [&[f32]; 2], dy: &[f32], kind: Gate) -> [Vec<f32>; 2] {
    let both = |(g, dy): (&f32, f32)| {
        let (act, slope) = match kind {
            Gate::Silu => {
                let sigma = 1.0 / (1.0 + (-g).exp());
                (g * sigma, sigma + g * sigma * (1.0 - sigma))
            }
            Gate::GeluTanh => {
                let root = std::f32::consts::FRAC_2_PI.sqrt();
                let curve = (root * (g + 0.044_715 * g * g * g)).tanh();
                let inner = root * (1.0 + 3.0 * 0.044_715 * g * g);
                (g / 2.0 * (1.0 + curve), (1.0 + curve) / 2.0 + g / 2.0 * (1.0 - curve * curve) * inner)
            }
        };
        (dy * slope, dy * act)
    };
    let pairs = gate.iter().zip(up).zip(dy).map(|((g, up), dy)| (both((g, dy * up)).0, both((g, *dy)).1));
    let (dgate, dup) = pairs.unzip();
    [dgate, dup]
}

/// What [`layer_norm`](super::layer_norm) computes, of checked lengths.
pub fn layer_norm(x: &mut [f32], normal: Normal<'_>) {
    let width = normal.weight.len().max(1);
    for row in x.chunks_exact_mut(width) {
        let mean = row.iter().sum::<f32>() / width as f32;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / width as f32;
        for ((x, weight), bias) in row.iter_mut().zip(normal.weight).zip(normal.bias) {
            *x = (*x - mean) / (variance + normal.epsilon).sqrt() * weight + bias;
        }
    }
}

/// What [`gelu`](super::gelu) computes, by the series of erf in `f64`, all of whose terms are positive.
pub fn gelu(x: &mut [f32]) {
    for x in x {
        let z = f64::from(x.abs()) / 2f64.sqrt();
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * z * z / (2.0 * n + 1.0);
            sum += term;
        }
        let erf = (2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp() * sum).min(1.0);
        *x = (f64::from(*x) / 2.0 * (1.0 + erf.copysign(f64::from(*x)))) as f32;
    }
}

/// What [`add_bias`](super::add_bias) computes, of checked lengths.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len().max(1)) {
        row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
    }
}

/// The logarithms of the probabilities of one row.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, x| most.max(f64::from(*x)));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - most).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - most - sum.ln()).collect()
}

/// What [`entropy`](super::entropy) computes.
pub fn entropy(logits: &[f32]) -> [f32; 2] {
    let own = log_softmax(logits);
    let (at, most) =
        logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &f32::NEG_INFINITY));
    let entropy = own.iter().filter(|p| p.is_finite()).map(|p| -p.exp() * p).sum::<f64>();
    [(f64::from(*most) - own.get(at).copied().unwrap_or(0.0)) as f32, entropy as f32]
}

/// What [`log_prob`](super::log_prob) and [`kl_divergence`](super::kl_divergence) compute, and the gradients of
/// [`likelihood_backward`](super::likelihood_backward) for slopes of 1.
///
/// # Panics
///
/// On lengths that these refuse.
pub fn likelihood(logits: &[f32], width: usize, truth: Truth<'_>) -> [Vec<f32>; 2] {
    let (mut values, mut gradients) = (Vec::new(), Vec::new());
    for (row, logits) in logits.chunks_exact(width).enumerate() {
        let own = log_softmax(logits);
        match truth {
            Truth::Tokens(tokens) => {
                let token = tokens[row] as usize;
                values.push(own[token] as f32);
                let slope = |(at, q): (usize, &f64)| f64::from(u8::from(at == token)) - q.exp();
                gradients.extend(own.iter().enumerate().map(|q| slope(q) as f32));
            }
            Truth::Logits(reference) => {
                let right = log_softmax(&reference[row * width..][..width]);
                let pairs = || own.iter().zip(&right);
                values.push(pairs().map(|(q, p)| p.exp() * (p - q)).sum::<f64>() as f32);
                gradients.extend(pairs().map(|(q, p)| (q.exp() - p.exp()) as f32));
            }
        }
    }
    [values, gradients]
}
