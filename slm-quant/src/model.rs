//! Quantized models, back in full precision.

use slm_core::CausalLm;
use slm_core::nn::Weight;

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
