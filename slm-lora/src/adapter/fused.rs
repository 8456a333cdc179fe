//! Adapters of fused projections: PEFT has one for `qkv_proj`, this workspace one per part.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use slm_core::ModelConfig;
use slm_core::config::Family;
use slm_core::nn::{Adapter, Magnitude};

use super::slots::{EMBEDDING, HEAD};
use crate::{Error, Result};

/// A projection of a checkpoint: the parts it is made of, with their rows.
pub(super) struct Module {
    pub(super) path: String,
    pub(super) input: usize,
    pub(super) parts: Vec<(String, usize)>,
}

/// How PEFT names the tensors of an update.
pub(super) struct Names {
    pub(super) a: String,
    pub(super) b: String,
    pub(super) magnitude: String,
}

impl Module {
    pub(super) fn names(&self, prefix: &str) -> Names {
        let path = format!("{prefix}{}", self.path);
        let magnitude = format!("{path}.lora_magnitude_vector");
        let name = |part: &str| match self.path.as_str() {
            EMBEDDING => format!("{path}.lora_embedding_{part}"),
            _ => format!("{path}.lora_{part}.weight"),
        };
        Names { a: name("A"), b: name("B"), magnitude }
    }

    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows).sum()
    }

    /// Shares `A` among the parts and cuts `B` and the magnitudes by rows.
    pub(super) fn split(&self, whole: &Adapter) -> Vec<(String, Adapter)> {
        let rank = whole.a.dims()[0];
        let mut start = 0;
        let cut = |(path, rows): &(String, usize)| {
            let part = |t: &Tensor<1>| t.clone().narrow(0, start, *rows);
            let b = whole.b.clone().slice([start..start + rows, 0..rank]);
            let magnitude = whole.magnitude.as_ref();
            let magnitude = magnitude.map(|m| Magnitude { weight: part(&m.weight), norm: part(&m.norm) });
            start += rows;
            (path.clone(), Adapter { b, magnitude, ..whole.clone() })
        };
        self.parts.iter().map(cut).collect()
    }

    /// Stacks the parts' `A` and puts their `B` on a diagonal of blocks, each scaled to the first one's
    /// scale: the same product, of the sum of the ranks. `None` where no part is adapted.
    ///
    /// # Errors
    /// When some parts have magnitudes and others have not.
    pub(super) fn join(
        &self,
        layers: &BTreeMap<String, Adapter>,
        device: &Device,
    ) -> Result<Option<Adapter>> {
        let present: Vec<&Adapter> = self.parts.iter().filter_map(|(path, _)| layers.get(path)).collect();
        let Some(&first) = present.first() else { return Ok(None) };
        if self.parts.len() == 1 {
            return Ok(Some(first.clone()));
        }
        let magnitudes: Vec<Tensor<1>> =
            present.iter().filter_map(|p| p.magnitude.as_ref()).map(|m| m.weight.clone()).collect();
        if !magnitudes.is_empty() && magnitudes.len() < self.parts.len() {
            let reason = format!("{}: all its parts need a magnitude, or none", self.path);
            return Err(Error::Config { field: "dora", reason });
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
        let mut joined = Adapter::new(a, Tensor::cat(rows, 0), first.scale);
        if !magnitudes.is_empty() {
            let weight = Tensor::cat(magnitudes, 0);
            joined.magnitude = Some(Magnitude { norm: weight.clone(), weight });
        }
        Ok(Some(joined))
    }
}

/// The modules that can be updated, of a checkpoint of this configuration, as PEFT sees them.
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
    let vocab = c.vocab_size;
    all.push(Module { path: EMBEDDING.into(), input: vocab, parts: vec![(EMBEDDING.into(), h)] });
    all.push(Module { path: HEAD.into(), input: h, parts: vec![(HEAD.into(), vocab)] });
    all
}
