//! Quantized models on disk, and back in full precision.

use std::path::Path;

use burn::tensor::Device;
use slm_core::CausalLm;
use slm_core::model::FloatType;
use slm_core::nn::Weight;

use crate::Result;

/// Expands every packed weight to full precision: the same function, at the speed and size of `f32`.
pub fn dequantize_model(model: &mut CausalLm) {
    let device = model.device();
    let expand = |weight: &mut Weight| {
        if let Weight::Packed(_) = weight {
            *weight = Weight::Dense(weight.to_dense(&device));
        }
    };
    model.for_each_linear(&mut |_, linear| expand(&mut linear.weight));
    if let Some(head) = &mut model.lm_head {
        expand(&mut head.weight);
    }
    expand(&mut model.embed_tokens);
}

/// Writes `config.json` and `model.safetensors` with packed weights as they are, and the rest in f16: what
/// [`CausalLm::save`] does.
///
/// # Errors
/// When a layer has an adapter, a tensor cannot be read back or a file cannot be written.
pub fn save_model(model: &CausalLm, directory: &Path) -> Result<()> {
    Ok(model.save(directory, FloatType::F16)?)
}

/// Loads a directory; packed weights stay packed: what [`CausalLm::load`] does.
///
/// # Errors
/// When a file is missing or corrupt, or does not fit its configuration.
pub fn load_model(directory: &Path, device: &Device) -> Result<CausalLm> {
    Ok(CausalLm::load(directory, device)?)
}
