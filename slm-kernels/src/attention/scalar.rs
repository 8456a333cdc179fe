//! The reference: one query and one head at a time. For tests, and to read what the kernels compute.

use super::{AttentionOptions, Shape};

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
