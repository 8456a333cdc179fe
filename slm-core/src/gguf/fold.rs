//! The same function in the constants that llama.cpp assumes.

use std::path::Path;

use burn::tensor::Tensor;

use crate::config::Family;
use crate::nn::{RmsNorm, Weight};
use crate::{CausalLm, Error, Result};

/// Gemma's scores are scaled by a constant of the checkpoint, which llama.cpp takes to be `1/√head_dim`: the rest goes
/// into the queries.
pub(super) fn for_llama_cpp(mut model: CausalLm, path: &Path) -> Result<CausalLm> {
    let c = &mut model.config;
    let heads = match (c.family, c.num_hidden_layers) {
        (Family::Gemma2, 46) | (Family::Gemma3, 62) => c.hidden_size / c.num_attention_heads,
        (Family::Gemma2 | Family::Gemma3, _) => c.head_dim,
        _ => return Ok(model),
    };
    let assumed = 1.0 / (heads as f64).sqrt();
    let factor = (c.multipliers.attention / assumed) as f32;
    c.multipliers.attention = assumed;
    if (factor - 1.0).abs() < 1e-6 {
        return Ok(model);
    }
    for block in &mut model.layers {
        let attention = &mut block.self_attn;
        if let Some(norm) = &mut attention.q_norm {
            scale_norm(norm, factor);
            continue;
        }
        match &mut attention.q_proj.weight {
            Weight::Dense(w) => *w = scaled(w, factor),
            Weight::Packed(_) => {
                let reason = "the constant that scales the scores cannot be put into packed queries\nhint: export \
                              before packing";
                return Err(Error::gguf(path, reason));
            }
        }
    }
    Ok(model)
}

fn scaled(w: &Tensor<2>, factor: f32) -> Tensor<2> {
    w.clone().mul_scalar(factor)
}

/// The norm's weight is its distance from one.
fn scale_norm(norm: &mut RmsNorm, factor: f32) {
    norm.weight = norm.weight.clone().add_scalar(1.0).mul_scalar(factor).sub_scalar(1.0);
}
