//! Adapters of fused projections: PEFT has one for `qkv_proj`, this workspace one per part.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use slm_core::ModelConfig;
use slm_core::config::Family;
use slm_core::nn::Adapter;

/// A projection of a checkpoint: the parts it is made of, with their rows.
pub(super) struct Module {
    pub(super) path: String,
    pub(super) input: usize,
    pub(super) parts: Vec<(String, usize)>,
}

impl Module {
    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows).sum()
    }

    /// Shares `A` among the parts and cuts `B` by rows.
    pub(super) fn split(&self, whole: &Adapter) -> Vec<(String, Adapter)> {
        let rank = whole.a.dims()[0];
        let mut start = 0;
        let cut = |(path, rows): &(String, usize)| {
            let b = whole.b.clone().slice([start..start + rows, 0..rank]);
            start += rows;
            (path.clone(), Adapter { a: whole.a.clone(), b, scale: whole.scale })
        };
        self.parts.iter().map(cut).collect()
    }

    /// Stacks the parts' `A` and puts their `B` on a diagonal of blocks, each scaled to the first one's
    /// scale: the same product, of the sum of the ranks. `None` where no part is adapted.
    pub(super) fn join(&self, layers: &BTreeMap<String, Adapter>, device: &Device) -> Option<Adapter> {
        let present: Vec<&Adapter> = self.parts.iter().filter_map(|(path, _)| layers.get(path)).collect();
        let first = *present.first()?;
        if self.parts.len() == 1 {
            return Some(first.clone());
        }
        let rank: usize = present.iter().map(|p| p.a.dims()[0]).sum();
        let mut before = 0;
        let mut rows = Vec::new();
        for (path, height) in &self.parts {
            let Some(part) = layers.get(path) else {
                rows.push(Tensor::zeros([*height, rank], device));
                continue;
            };
            let own = part.a.dims()[0];
            let b = part.b.clone().mul_scalar(part.scale / first.scale);
            let (left, right) = (before, rank - before - own);
            let zeros = |n: usize| (n > 0).then(|| Tensor::zeros([*height, n], device));
            rows.push(Tensor::cat([zeros(left), Some(b), zeros(right)].into_iter().flatten().collect(), 1));
            before += own;
        }
        let a = Tensor::cat(present.iter().map(|p| p.a.clone()).collect(), 0);
        Some(Adapter { a, b: Tensor::cat(rows, 0), scale: first.scale })
    }
}

/// The linear modules of a checkpoint of this configuration, as PEFT sees them.
pub(super) fn modules(c: &ModelConfig) -> Vec<Module> {
    let (h, m) = (c.hidden_size, c.intermediate_size);
    let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
    let mut all = Vec::new();
    for layer in 0..c.num_hidden_layers {
        let path = |name: &str| format!("model.layers.{layer}.{name}");
        let mut push = |name: &str, input: usize, parts: &[(&str, usize)]| {
            let parts = parts.iter().map(|(n, rows)| (path(n), *rows)).collect();
            all.push(Module { path: path(name), input, parts });
        };
        let attention = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
        let gated = [("mlp.gate_proj", m), ("mlp.up_proj", m)];
        if c.family == Family::Phi3 {
            push("self_attn.qkv_proj", h, &attention);
            push("mlp.gate_up_proj", h, &gated);
        } else {
            for part in attention.into_iter().chain(gated) {
                push(part.0, h, &[part]);
            }
        }
        push("self_attn.o_proj", q, &[("self_attn.o_proj", h)]);
        push("mlp.down_proj", m, &[("mlp.down_proj", h)]);
    }
    all
}
