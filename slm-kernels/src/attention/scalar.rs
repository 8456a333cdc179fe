//! The reference: one query and one head at a time. For tests, and to read what the kernels compute.

use super::{AttentionOptions, Forward, Shape};

/// What [`attention`](super::attention) computes, of sizes that fit.
///
/// # Panics
///
/// On sizes that [`attention`](super::attention) refuses.
pub fn attention(q: &[f32], [k, v]: [&[f32]; 2], shape: Shape, options: &AttentionOptions, out: &mut [f32]) {
    let Shape { heads, kv_heads, dim } = shape;
    let (new, all) = (q.len() / (heads * dim), k.len() / (kv_heads * dim));
    for i in 0..new {
        for head in 0..heads {
            let query = &q[(i * heads + head) * dim..][..dim];
            let kv_head = head / (heads / kv_heads);
            let seen = options.visible(all - new + i, all);
            let score = |j: usize| {
                let key = &k[(j * kv_heads + kv_head) * dim..][..dim];
                let score = query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() * options.scale;
                options.softcap.map_or(score, |cap| cap * (score / cap).tanh())
            };
            let scores: Vec<f32> = seen.clone().map(score).collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f32 = weights.iter().sum();
            for d in 0..dim {
                let weighted = |(w, j): (&f32, usize)| w * v[(j * kv_heads + kv_head) * dim + d];
                let sum: f32 = weights.iter().zip(seen.clone()).map(weighted).sum();
                out[(i * heads + head) * dim + d] = sum / total;
            }
        }
    }
}

/// What [`attention_backward`](super::attention_backward) computes for one sequence: the gradients of queries,
/// keys and values.
///
/// # Panics
///
/// On sizes that [`attention_backward`](super::attention_backward) refuses.
pub fn attention_backward(forward: Forward<'_>, shape: Shape, options: &AttentionOptions) -> [Vec<f32>; 3] {
    let Forward { q, k, v, dy } = forward;
    let Shape { heads, kv_heads, dim } = shape;
    let (new, all) = (q.len() / (heads * dim), k.len() / (kv_heads * dim));
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for i in 0..new {
        for head in 0..heads {
            let query = (i * heads + head) * dim..(i * heads + head + 1) * dim;
            let key = |j: usize| (j * kv_heads + head / (heads / kv_heads)) * dim;
            let seen = options.visible(all - new + i, all);
            let (q, dy) = (&q[query.clone()], &dy[query.clone()]);
            let scores: Vec<f32> =
                seen.clone().map(|j| dot(q, &k[key(j)..][..dim]) * options.scale).collect();
            let capped = |score: &f32| options.softcap.map_or(*score, |cap| cap * (score / cap).tanh());
            let largest = scores.iter().map(capped).fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (capped(score) - largest).exp()).collect();
            let total: f32 = weights.iter().sum();
            let slopes: Vec<f32> = seen.clone().map(|j| dot(dy, &v[key(j)..][..dim])).collect();
            let mean = dot(&weights, &slopes) / total;
            for (at, j) in seen.enumerate() {
                let weight = weights[at] / total;
                let bend = options.softcap.map_or(1.0, |cap| 1.0 - (scores[at] / cap).tanh().powi(2));
                let slope = weight * (slopes[at] - mean) * options.scale * bend;
                for d in 0..dim {
                    dv[key(j) + d] += weight * dy[d];
                    dk[key(j) + d] += slope * q[d];
                    dq[query.start + d] += slope * k[key(j) + d];
                }
            }
        }
    }
    [dq, dk, dv]
}
