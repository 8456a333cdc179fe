//! One block after the other over all sequences, stopping where linear layers read their inputs.
//!
//! The products are those of [`Block`]; what is added is that all sequences wait at each [`Site`] until the layers
//! that read it have got their new weights. So each layer is calibrated on what it will really see, and no product
//! is computed twice.

use burn::tensor::{Device, Int, Tensor, TensorData};
use slm_core::config::{Activation, LayerRope, ModelConfig, NormPlacement, QkNorm};
use slm_core::nn::{Block, RmsNorm, Rotation, Weight};
use slm_core::{CausalLm, Error as CoreError};
use slm_kernels::ops::{self, AttentionOptions, Gate};

use super::CalibrationData;
use crate::Result;

/// A place in a block where linear layers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Site {
    AttentionInput,
    AttentionOutput,
    MlpInput,
    MlpHidden,
}

impl Site {
    pub(crate) const ALL: [Self; 4] =
        [Self::AttentionInput, Self::AttentionOutput, Self::MlpInput, Self::MlpHidden];

    /// The layers that read here, by their names within the block.
    pub(crate) fn linears(self) -> &'static [&'static str] {
        match self {
            Self::AttentionInput => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            Self::AttentionOutput => &["self_attn.o_proj"],
            Self::MlpInput => &["mlp.gate_proj", "mlp.up_proj"],
            Self::MlpHidden => &["mlp.down_proj"],
        }
    }
}

/// What happens at a site: the inputs of all sequences, and the block to be changed.
pub(crate) type AtSite<'a> = dyn FnMut(Site, &[Tensor<3>], &mut Block) -> Result<()> + 'a;

/// The inputs of the first block, `[1, tokens, hidden]` for each sequence.
///
/// # Errors
/// When a sequence is empty or longer than the model's context.
pub(crate) fn embed(model: &CausalLm, data: &CalibrationData) -> Result<Vec<Tensor<3>>> {
    let limit = model.config.context_length();
    let one = |ids: &Vec<u32>| {
        if ids.is_empty() || ids.len() > limit {
            let reason = format!("a sequence of {} tokens; the context holds 1 to {limit}", ids.len());
            return Err(CoreError::Request { reason }.into());
        }
        let x = lookup(&model.embed_tokens, ids, &model.device())?;
        Ok(x.mul_scalar(model.config.multipliers.embedding as f32).unsqueeze())
    };
    data.sequences.iter().map(one).collect()
}

/// Rows of the embedding.
fn lookup(embedding: &Weight, ids: &[u32], device: &Device) -> Result<Tensor<2>> {
    let packed = match embedding {
        Weight::Packed(packed) => packed,
        dense => {
            let row: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
            let ids = Tensor::<1, Int>::from_data(TensorData::new(row, [ids.len()]), device);
            return Ok(dense.to_dense(device).select(0, ids).cast(burn::tensor::FloatDType::F32));
        }
    };
    let mut values = vec![0.0; ids.len() * packed.cols()];
    for (id, row) in ids.iter().zip(values.chunks_exact_mut(packed.cols())) {
        let id = *id as usize;
        packed.dequantize_rows(id..id + 1, row)?;
    }
    Ok(Tensor::from_data(TensorData::new(values, [ids.len(), packed.cols()]), device))
}

/// Runs block `index` over all sequences, from its inputs to its outputs.
pub(crate) fn run(
    config: &ModelConfig,
    index: usize,
    block: &mut Block,
    hidden: &mut [Tensor<3>],
    at_site: &mut AtSite<'_>,
) -> Result<()> {
    let normed = |norm: &Option<RmsNorm>, x: &Tensor<3>| match norm {
        Some(norm) => norm.forward(x.clone()),
        None => x.clone(),
    };
    let add = |x: &Tensor<3>, y: Tensor<3>| x.clone() + y.mul_scalar(config.multipliers.residual as f32);

    let mut inputs: Vec<_> = hidden.iter().map(|x| normed(&block.input_layernorm, x)).collect();
    at_site(Site::AttentionInput, &inputs, block)?;
    for input in &mut inputs {
        *input = attend(config, index, block, input.clone());
    }
    at_site(Site::AttentionOutput, &inputs, block)?;
    for (input, x) in inputs.iter_mut().zip(hidden.iter_mut()) {
        let y = block.self_attn.o_proj.forward(input.clone());
        if config.norms == NormPlacement::Pre {
            *x = add(x, y);
            *input = block.post_attention_layernorm.forward(x.clone());
        } else {
            *x = add(x, block.post_attention_layernorm.forward(y));
            *input = normed(&block.pre_feedforward_layernorm, x);
        }
    }
    at_site(Site::MlpInput, &inputs, block)?;
    let gate = match config.activation {
        Activation::Silu => Gate::Silu,
        Activation::GeluTanh => Gate::GeluTanh,
    };
    for input in &mut inputs {
        let (x, mlp) = (input.clone(), &block.mlp);
        *input = ops::gated(mlp.gate_proj.forward(x.clone()), mlp.up_proj.forward(x), gate);
    }
    at_site(Site::MlpHidden, &inputs, block)?;
    for (input, x) in inputs.into_iter().zip(hidden) {
        let y = block.mlp.down_proj.forward(input);
        *x = add(x, normed(&block.post_feedforward_layernorm, &y));
    }
    Ok(())
}

/// Attention up to the inputs of its last projection.
///
/// # Shapes
/// `[1, tokens, hidden]` to `[1, tokens, heads · head_dim]`.
fn attend(config: &ModelConfig, index: usize, block: &Block, x: Tensor<3>) -> Tensor<3> {
    let (c, attention) = (config, &block.self_attn);
    let [batch, tokens, _] = x.dims();
    let layer = c.layers[index];
    let heads = |y: Tensor<3>, n: usize| y.reshape([batch, tokens, n, c.head_dim]);
    let rope = match layer.rope {
        LayerRope::Global => Some(&c.rope),
        LayerRope::Local => c.local_rope.as_ref(),
        LayerRope::None => None,
    };
    let rotation = rope.map(|rope| Rotation::new(rope, std::slice::from_ref(&(0..tokens)), &x.device()));
    let turned = |y: Tensor<3>, n: usize, norm: &Option<RmsNorm>| {
        let y = match (norm, c.qk_norm) {
            (Some(norm), QkNorm::Whole) => heads(norm.forward(y), n),
            (Some(norm), _) => norm.forward(heads(y, n)),
            (None, _) => heads(y, n),
        };
        match &rotation {
            Some(rotation) => rotation.apply(y),
            None => y,
        }
    };
    let q = turned(attention.q_proj.forward(x.clone()), c.num_attention_heads, &attention.q_norm);
    let k = turned(attention.k_proj.forward(x.clone()), c.num_key_value_heads, &attention.k_norm);
    let v = heads(attention.v_proj.forward(x), c.num_key_value_heads);
    let options = AttentionOptions {
        scale: c.multipliers.attention as f32,
        causal: true,
        window: layer.window,
        softcap: c.multipliers.attention_softcap.map(|s| s as f32),
    };
    ops::attention(q, k, v, &options).reshape([batch, tokens, c.num_attention_heads * c.head_dim])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The pass repeats what [`CausalLm`] does, so that it can stop in between: it must not drift from it.
    #[test]
    fn the_pass_gives_the_models_outputs() -> Result<()> {
        let families = [
            "llama", "mistral", "qwen2", "qwen3", "phi3", "phi4", "gemma2", "gemma3", "smollm3", "olmo2",
            "granite", "yarn", "linear", "dynamic",
        ];
        for family in families {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
            let model = CausalLm::load(&path, &Device::flex())?;
            let sequences: Vec<Vec<u32>> = vec![(1..20).collect(), vec![5, 9, 40, 7, 300, 2, 77]];
            let data = CalibrationData { sequences, bytes: 0 };
            let mut hidden = embed(&model, &data)?;
            let mut sites = 0;
            for (index, block) in model.layers.iter().enumerate() {
                run(&model.config, index, &mut block.clone(), &mut hidden, &mut |site, inputs, block| {
                    sites += 1;
                    for (name, linear) in block.linears() {
                        if site.linears().contains(&name) {
                            assert_eq!(inputs[0].dims()[2], linear.weight.dims()[1], "{family} {name}");
                        }
                    }
                    Ok(())
                })?;
            }
            assert_eq!(sites, 4 * model.layers.len());
            for (ids, got) in data.sequences.iter().zip(hidden) {
                let row: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
                let ids = Tensor::<2, Int>::from_data(TensorData::new(row, [1, ids.len()]), &model.device());
                let want = model.hidden(ids, None)?.into_data();
                assert_eq!(model.norm.forward(got).into_data(), want, "{family}");
            }
        }
        Ok(())
    }

    #[test]
    fn sequences_that_do_not_fit_are_refused() -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/qwen3");
        let model = CausalLm::load(&path, &Device::flex())?;
        for sequence in [vec![], vec![1; model.config.context_length() + 1]] {
            let data = CalibrationData { sequences: vec![sequence], bytes: 0 };
            assert!(embed(&model, &data).is_err());
        }
        Ok(())
    }
}
