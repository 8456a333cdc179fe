//! The same function in the constants that llama.cpp assumes.

use std::path::Path;
use std::sync::Arc;

use half::f16;
use slm_kernels::{Format, PackedTensor};

use crate::config::{Family, ModelConfig};
use crate::nn::{RmsNorm, Weight};
use crate::{CausalLm, Error, Result};

/// The scale of Gemma's scores that llama.cpp assumes; `None` for families whose files say it.
fn assumed(c: &ModelConfig) -> Option<f64> {
    let width = match (c.family, c.num_hidden_layers) {
        // Known by their depth: the 27B models.
        (Family::Gemma2, 46) | (Family::Gemma3, 62) => c.hidden_size / c.num_attention_heads,
        (Family::Gemma2 | Family::Gemma3, _) => c.head_dim,
        _ => return None,
    };
    Some(1.0 / (width as f64).sqrt())
}

/// What queries have to be multiplied with, so that the assumed scale is right.
pub(super) fn query_factor(c: &ModelConfig) -> Option<f32> {
    let factor = (c.multipliers.attention / assumed(c)?) as f32;
    Some(factor).filter(|f| (f - 1.0).abs() >= 1e-6)
}

/// Whether the factor goes into a norm, where no adapter is concerned.
pub(super) fn in_norm(model: &CausalLm) -> bool {
    model.layers.iter().all(|block| block.self_attn.q_norm.is_some())
}

/// Gemma's scores are scaled by a constant of the checkpoint, for which the format has no key: what llama.cpp does not
/// assume goes into the queries.
pub(super) fn for_llama_cpp(mut model: CausalLm, path: &Path) -> Result<CausalLm> {
    let factor = query_factor(&model.config);
    if let Some(assumed) = assumed(&model.config) {
        model.config.multipliers.attention = assumed;
    }
    let Some(factor) = factor else { return Ok(model) };
    for block in &mut model.layers {
        let attention = &mut block.self_attn;
        if let Some(norm) = &mut attention.q_norm {
            scale_norm(norm, factor);
            continue;
        }
        match &mut attention.q_proj.weight {
            Weight::Dense(w) => *w = w.clone().mul_scalar(factor),
            Weight::Packed(w) => *w = scaled(w, factor, path)?,
        }
    }
    Ok(model)
}

/// The same codes with other scales.
fn scaled(w: &PackedTensor, factor: f32, path: &Path) -> Result<PackedTensor> {
    if matches!(w.format(), Format::Block(_)) || w.input_order().is_some() {
        let reason = "the constant that scales the scores cannot be put into blocks of queries\nhint: export the model \
                      before it is packed";
        return Err(Error::gguf(path, reason));
    }
    let times = |numbers: &[f16]| -> Arc<[f16]> {
        numbers.iter().map(|n| f16::from_f32(n.to_f32() * factor)).collect()
    };
    let (scales, minimums) = (times(w.scales()), w.minimums().map(times));
    PackedTensor::from_parts(w.codes().to_vec(), scales, minimums, [w.rows(), w.cols()], w.format())
        .map_err(|e| Error::gguf(path, e.to_string()))
}

/// The norm's weight is its distance from one.
fn scale_norm(norm: &mut RmsNorm, factor: f32) {
    norm.weight = norm.weight.clone().add_scalar(1.0).mul_scalar(factor).sub_scalar(1.0);
}
