//! Causal grouped-query attention.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use slm_kernels::ops::{self, AttentionOptions};

use super::{KvCache, Linear, RmsNorm, Rotations};
use crate::config::{ModelConfig, QkNorm};

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
    /// Over the queries, see [`QkNorm`].
    pub q_norm: Option<RmsNorm>,
    /// Over the keys, see [`QkNorm`].
    pub k_norm: Option<RmsNorm>,
}

/// What all layers of one forward pass share.
#[derive(Debug)]
pub struct Pass<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) rotations: Rotations,
    /// Tokens of each sequence, where several lie behind one another in one row; else empty.
    pub(crate) lengths: Vec<usize>,
}

impl<'a> Pass<'a> {
    /// Over runs of positions, one for each sequence, behind one another in one row or a batch.
    pub(crate) fn new(config: &'a ModelConfig, runs: &[Range<usize>], device: &Device) -> Self {
        let lengths = runs.iter().map(ExactSizeIterator::len).collect();
        Self { config, rotations: Rotations::new(config, runs, device), lengths }
    }

    /// Over one sequence, or a batch of the same length, from its beginning.
    pub fn whole(config: &'a ModelConfig, length: usize, device: &Device) -> Self {
        Self::new(config, std::slice::from_ref(&(0..length)), device)
    }
}

impl Attention {
    /// `caches` is empty or holds one for each sequence of the pass.
    ///
    /// # Shapes
    /// `[batch, new, hidden]` to the same.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        pass: &Pass<'_>,
        caches: &mut [&mut KvCache],
    ) -> Tensor<3> {
        self.o_proj.forward(self.heads(x, layer, pass, caches))
    }

    /// What the heads gather, before the last projection; `caches` as in `forward`.
    ///
    /// # Shapes
    /// `[batch, new, hidden]` to `[batch, new, heads · head_dim]`.
    pub fn heads(
        &self,
        x: Tensor<3>,
        layer: usize,
        pass: &Pass<'_>,
        caches: &mut [&mut KvCache],
    ) -> Tensor<3> {
        let c = pass.config;
        let [batch, new, _] = x.dims();
        let heads = |y: Tensor<3>, n: usize| y.reshape([batch, new, n, c.head_dim]);
        let q = self.q_proj.forward(x.clone());
        let k = self.k_proj.forward(x.clone());
        let v = heads(self.v_proj.forward(x), c.num_key_value_heads);
        let normed = |y: Tensor<3>, n: usize, norm: &Option<RmsNorm>| match (norm, c.qk_norm) {
            (Some(norm), QkNorm::Whole) => heads(norm.forward(y), n),
            (Some(norm), _) => norm.forward(heads(y, n)),
            (None, _) => heads(y, n),
        };
        let kind = c.layers[layer].rope;
        let q = pass.rotations.apply(normed(q, c.num_attention_heads, &self.q_norm), kind);
        let k = pass.rotations.apply(normed(k, c.num_key_value_heads, &self.k_norm), kind);
        let y = attend([q, k, v], layer, pass, caches);
        y.reshape([batch, new, c.num_attention_heads * c.head_dim])
    }
}

/// Each sequence of the pass attends to itself and to its own past.
///
/// # Shapes
/// Queries, keys and values `[batch, new, heads, head_dim]` to the shape of the queries.
fn attend(qkv: [Tensor<4>; 3], layer: usize, pass: &Pass<'_>, caches: &mut [&mut KvCache]) -> Tensor<4> {
    let c = pass.config;
    let options = AttentionOptions {
        scale: c.multipliers.attention as f32,
        causal: true,
        window: c.layers[layer].window,
        softcap: c.multipliers.attention_softcap.map(|s| s as f32),
    };
    let one = |[q, k, v]: [Tensor<4>; 3], cache: Option<&mut &mut KvCache>| match cache {
        Some(cache) => cache.attend(layer, [q, k, v], &options),
        None => ops::attention(q, k, v, &options),
    };
    if pass.lengths.len() <= 1 {
        return one(qkv, caches.first_mut());
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(pass.lengths.len());
    for (index, length) in pass.lengths.iter().enumerate() {
        let part = qkv.each_ref().map(|t| t.clone().narrow(1, start, *length));
        parts.push(one(part, caches.get_mut(index)));
        start += length;
    }
    Tensor::cat(parts, 1)
}
