//! One block after the other over all sequences, stopping where linear layers read their inputs.
//!
//! The products are those of [`Block`]; what is added is that all sequences wait at each [`Site`] until the layers
//! that read it have got their new weights. So each layer is calibrated on what it will really see, and no product
//! is computed twice.

use burn::tensor::{Tensor, TensorData};
use slm_core::nn::{Block, Pass};
use slm_core::{CausalLm, ModelConfig};

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
/// When a sequence is empty, longer than the model's context, or of unknown tokens.
pub(crate) fn embed(model: &CausalLm, data: &CalibrationData) -> Result<Vec<Tensor<3>>> {
    let one = |ids: &Vec<u32>| {
        let row: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let reading = model.reading(&[ids.len()])?;
        Ok(reading.embed(Tensor::from_data(TensorData::new(row, [1, ids.len()]), &model.device()))?)
    };
    data.sequences.iter().map(one).collect()
}

/// Runs block `index` over all sequences, from its inputs to its outputs.
pub(crate) fn run(
    config: &ModelConfig,
    index: usize,
    block: &mut Block,
    hidden: &mut [Tensor<3>],
    at_site: &mut AtSite<'_>,
) -> Result<()> {
    let pass = |x: &Tensor<3>| Pass::whole(config, x.dims()[1], &x.device());
    let passes: Vec<_> = hidden.iter().map(pass).collect();
    let mut inputs: Vec<_> = hidden.iter().map(|x| block.attention_input(x.clone())).collect();
    at_site(Site::AttentionInput, &inputs, block)?;
    for (input, pass) in inputs.iter_mut().zip(&passes) {
        *input = block.self_attn.heads(input.clone(), index, pass, &mut []);
    }
    at_site(Site::AttentionOutput, &inputs, block)?;
    for ((input, x), pass) in inputs.iter_mut().zip(hidden.iter_mut()).zip(&passes) {
        let attended = block.self_attn.o_proj.forward(input.clone());
        (*x, *input) = block.mlp_input(x.clone(), attended, pass);
    }
    at_site(Site::MlpInput, &inputs, block)?;
    for input in &mut inputs {
        *input = block.mlp.gated(input.clone());
    }
    at_site(Site::MlpHidden, &inputs, block)?;
    for ((input, x), pass) in inputs.into_iter().zip(hidden).zip(&passes) {
        *x = block.output(x.clone(), block.mlp.down_proj.forward(input), pass);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::{Device, Int};

    use super::*;

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
