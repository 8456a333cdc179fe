//! Causal grouped-query attention.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::{KvCache, Linear, RmsNorm, Rotation};
use crate::config::ModelConfig;

/// Attention of a block, with its projections.
#[derive(Debug, Clone)]
pub struct Attention {
    /// `[heads · head_dim, hidden]`.
    pub q_proj: Linear,
    /// `[kv_heads · head_dim, hidden]`.
    pub k_proj: Linear,
    /// `[kv_heads · head_dim, hidden]`.
    pub v_proj: Linear,
    /// `[hidden, heads · head_dim]`.
    pub o_proj: Linear,
    /// Over each query head (Qwen3).
    pub q_norm: Option<RmsNorm>,
    /// Over each key head (Qwen3).
    pub k_norm: Option<RmsNorm>,
}

/// What all layers of one forward pass share.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) rotation: Rotation,
    /// `[1, 1, new, all]`, added to the scores; `None` where every key is visible.
    pub(crate) mask: Option<Tensor<4>>,
}

impl Attention {
    /// # Shapes
    /// `[batch, new, hidden]` to the same.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        pass: &Pass<'_>,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let c = pass.config;
        let [batch, new, _] = x.dims();
        let heads = |y: Tensor<3>, n: usize| y.reshape([batch, new, n, c.head_dim]).swap_dims(1, 2);
        let norm = |y: Tensor<4>, n: &Option<RmsNorm>| match n {
            Some(n) => n.forward(y),
            None => y,
        };
        let q = heads(self.q_proj.forward(x.clone()), c.num_attention_heads);
        let k = heads(self.k_proj.forward(x.clone()), c.num_key_value_heads);
        let v = heads(self.v_proj.forward(x), c.num_key_value_heads);
        let q = pass.rotation.apply(norm(q, &self.q_norm));
        let k = pass.rotation.apply(norm(k, &self.k_norm));
        let (k, v) = match cache {
            Some(cache) => cache.append(layer, k, v),
            None => (k, v),
        };
        let y = attend(q, k, v, pass.mask.as_ref()); // [batch, heads, new, head_dim]
        let y = y.swap_dims(1, 2).reshape([batch, new, c.num_attention_heads * c.head_dim]);
        self.o_proj.forward(y)
    }
}

/// Softmax attention without expanding keys and values: the queries of a group are stacked.
fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<&Tensor<4>>) -> Tensor<4> {
    let [batch, heads, new, width] = q.dims();
    let [_, groups, all, _] = k.dims();
    let stacked = heads / groups * new;
    let q = q.mul_scalar((width as f32).sqrt().recip()).reshape([batch, groups, stacked, width]);
    let mut scores = q.matmul(k.swap_dims(2, 3)).reshape([batch, heads, new, all]);
    if let Some(mask) = mask {
        scores = scores + mask.clone();
    }
    let weights = softmax(scores, 3).reshape([batch, groups, stacked, all]);
    weights.matmul(v).reshape([batch, heads, new, width])
}

/// The additive mask of `new` tokens after `past` ones: causal, within the sliding window.
pub(crate) fn causal_mask(
    past: usize,
    new: usize,
    window: Option<usize>,
    device: &Device,
) -> Option<Tensor<4>> {
    let all = past + new;
    if new == 1 && window.is_none_or(|w| all <= w) {
        return None;
    }
    let mut values = Vec::with_capacity(new * all);
    for query in past..all {
        let first = window.map_or(0, |w| (query + 1).saturating_sub(w));
        values.extend((0..all).map(|key| if (first..=query).contains(&key) { 0.0 } else { -1e30_f32 }));
    }
    Some(Tensor::from_data(TensorData::new(values, [1, 1, new, all]), device))
}
