//! Activation-aware scaling (AWQ, Lin et al. 2023): inputs that matter get larger weights, which lose less.
//!
//! Before the codes are chosen, the columns of a layer are multiplied by factors, and what makes the layer's inputs is
//! divided by them: a norm, or the rows of the layer before. The model stays what it was, in the same architecture.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use slm_core::config::{ModelConfig, NormPlacement, NormWeight};
use slm_core::nn::{Block, Linear, RmsNorm, Weight};
use slm_kernels::packed::Format;

use crate::Result;
use crate::calibrate::{InputStatistics, Site, read};
use crate::round::{Search, encode};

/// Powers of the inputs' magnitude that are tried as factors, in twentieths.
const TWENTIETHS: usize = 20;
/// Rows of a layer that the trial looks at.
const ROWS: usize = 128;

/// Scales the layers that read at `site`; `format` says how a layer will be packed. Layers whose inputs cannot be
/// divided (no norm before them, or already packed) stay as they are.
pub(crate) fn scale(
    config: &ModelConfig,
    block: &mut Block,
    site: Site,
    inputs: &InputStatistics,
    format: &dyn Fn(&str, [usize; 2]) -> Option<Format>,
) -> Result<()> {
    if !can_divide(config, block, site) {
        return Ok(());
    }
    let mut trials = Vec::new();
    for (name, linear) in block.linears() {
        if !site.linears().contains(&name) {
            continue;
        }
        let Weight::Dense(weight) = &linear.weight else { return Ok(()) };
        let [rows, cols] = weight.dims();
        if let Some(format) = format(name, [rows, cols]) {
            let step = rows.div_ceil(ROWS).max(1);
            let all = read(weight.clone())?;
            let rows: Vec<f32> = all.chunks_exact(cols).step_by(step).flatten().copied().collect();
            trials.push((rows, format));
        }
    }
    if trials.is_empty() {
        return Ok(());
    }
    let shared = shared_magnitudes(config, site, &inputs.mean_magnitude());
    let Some(factors) = search(&trials, inputs, &shared)? else { return Ok(()) };
    apply(config, block, site, &factors);
    Ok(())
}

/// Magnitudes of inputs that must have one factor: of the query heads that share a value head.
fn shared_magnitudes(config: &ModelConfig, site: Site, magnitudes: &[f32]) -> Vec<f32> {
    if site != Site::AttentionOutput {
        return magnitudes.to_vec();
    }
    let (width, group) = (config.head_dim, config.num_attention_heads / config.num_key_value_heads.max(1));
    let of = |at: usize| {
        let (head, within) = (at / width, at % width);
        let first = head / group * group;
        (first..first + group).map(|head| magnitudes[head * width + within]).sum::<f32>() / group as f32
    };
    (0..magnitudes.len()).map(of).collect()
}

/// The factors that lose least, `None` where none is better than no factors.
fn search(
    trials: &[(Vec<f32>, Format)],
    inputs: &InputStatistics,
    magnitudes: &[f32],
) -> Result<Option<Vec<f32>>> {
    let h: Vec<f32> = inputs.second_moment().into_iter().map(|x| x as f32).collect();
    let mean_square = inputs.mean_square();
    let mut best = (f64::INFINITY, None);
    for twentieth in 0..=TWENTIETHS {
        let factors = factors(magnitudes, twentieth as f32 / TWENTIETHS as f32);
        let importance: Vec<f32> = mean_square.iter().zip(&factors).map(|(m, f)| m / (f * f)).collect();
        let mut loss = 0.0;
        for (weights, format) in trials {
            loss += trial(weights, *format, &factors, (&importance, &h))?;
        }
        if loss < best.0 {
            best = (loss, (twentieth > 0).then_some(factors));
        }
    }
    Ok(best.1)
}

/// `magnitude^power`, around 1.
fn factors(magnitudes: &[f32], power: f32) -> Vec<f32> {
    let raw: Vec<f32> = magnitudes.iter().map(|m| m.max(1e-6).powf(power)).collect();
    let (low, high) = raw.iter().fold((f32::INFINITY, 0.0_f32), |(l, h), x| (l.min(*x), h.max(*x)));
    let middle = (low * high).sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| (x / middle).clamp(1e-3, 1e3)).collect()
}

/// What some rows of a layer lose with these factors: `tr(Δ H Δᵀ)`.
fn trial(weights: &[f32], format: Format, factors: &[f32], (importance, h): (&[f32], &[f32])) -> Result<f64> {
    let cols = factors.len();
    let scaled: Vec<f32> =
        weights.chunks_exact(cols).flat_map(|row| row.iter().zip(factors).map(|(w, f)| w * f)).collect();
    let search = Search { importance: Some(importance), ..Search::default() };
    let dense = encode(&scaled, [weights.len() / cols, cols], format, &search)?.dequantize();
    let row = |(weights, dense): (&[f32], &[f32])| {
        let errors: Vec<f32> = weights.iter().zip(dense).zip(factors).map(|((w, d), f)| w - d / f).collect();
        let term = |(e, h): (&f32, &[f32])| f64::from(*e) * f64::from(dot(&errors, h));
        errors.iter().zip(h.chunks_exact(cols)).map(term).sum::<f64>()
    };
    let losses: Vec<f64> =
        weights.par_chunks_exact(cols).zip(dense.par_chunks_exact(cols)).map(row).collect();
    Ok(losses.into_iter().sum())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail: f32 = a16.remainder().iter().zip(b16.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a16.zip(b16) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum::<f32>() + tail
}

/// The norm whose output is read at `site`.
fn norm_before<'a>(config: &ModelConfig, block: &'a mut Block, site: Site) -> Option<&'a mut RmsNorm> {
    match (site, config.norms) {
        (Site::AttentionInput, _) => block.input_layernorm.as_mut(),
        (Site::MlpInput, NormPlacement::Pre) => Some(&mut block.post_attention_layernorm),
        (Site::MlpInput, _) => block.pre_feedforward_layernorm.as_mut(),
        _ => None,
    }
}

/// The layer whose rows are the inputs at `site`.
fn layer_before(block: &mut Block, site: Site) -> Option<&mut Linear> {
    match site {
        Site::AttentionOutput => Some(&mut block.self_attn.v_proj),
        Site::MlpHidden => Some(&mut block.mlp.up_proj),
        _ => None,
    }
}

fn can_divide(config: &ModelConfig, block: &mut Block, site: Site) -> bool {
    let adapters = block.linears().iter().any(|(_, linear)| linear.adapter.is_some());
    let dense = layer_before(block, site).is_some_and(|l| matches!(l.weight, Weight::Dense(_)));
    !adapters && (dense || norm_before(config, block, site).is_some())
}

fn apply(config: &ModelConfig, block: &mut Block, site: Site, factors: &[f32]) {
    let device = block.post_attention_layernorm.weight.device();
    let vector =
        |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &device);
    let columns = vector(factors);
    for (name, linear) in block.linears_mut() {
        if let (true, Weight::Dense(weight)) = (site.linears().contains(&name), &mut linear.weight) {
            let wide = weight.clone().cast(burn::tensor::FloatDType::F32);
            *weight = wide * columns.clone().unsqueeze_dim(0);
        }
    }
    if let Some(norm) = norm_before(config, block, site) {
        norm.weight = match norm.kind {
            NormWeight::Factor => norm.weight.clone() / columns,
            NormWeight::OffsetFromOne => (norm.weight.clone() + 1.0) / columns - 1.0,
        };
        return;
    }
    let (width, group) = (config.head_dim, config.num_attention_heads / config.num_key_value_heads.max(1));
    let rows: Vec<f32> = match site {
        // One query head of each group stands for its value head.
        Site::AttentionOutput => factors.chunks(width).step_by(group).flatten().copied().collect(),
        _ => factors.to_vec(),
    };
    let rows = vector(&rows);
    if let Some(Linear { weight: Weight::Dense(weight), bias, .. }) = layer_before(block, site) {
        let wide = weight.clone().cast(burn::tensor::FloatDType::F32);
        *weight = wide / rows.clone().unsqueeze_dim(1);
        if let Some(bias) = bias {
            *bias = bias.clone() / rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::{Device, Int};
    use slm_core::CausalLm;

    use super::*;

    /// Whatever the factors are, the dense model stays the function that it was.
    #[test]
    fn scaling_changes_nothing_before_packing() -> Result<()> {
        for family in ["llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "olmo2", "granite"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
            let original = CausalLm::load(&path, &Device::flex())?;
            let mut model = original.clone();
            for block in &mut model.layers {
                for site in Site::ALL {
                    let linears = block.linears();
                    let width = linears.iter().find(|(n, _)| site.linears().contains(n));
                    let width = width.map_or(0, |(_, linear)| linear.weight.dims()[1]);
                    let raw: Vec<f32> =
                        (0..width).map(|i| 0.3 + (i as f32 * 0.7).sin().abs() * 3.0).collect();
                    let factors = shared_magnitudes(&original.config, site, &raw);
                    if can_divide(&original.config, block, site) {
                        apply(&original.config, block, site, &factors);
                    }
                }
            }
            let ids =
                || Tensor::<2, Int>::from_data(TensorData::from([[1, 5, 9, 40, 7, 2]]), &Device::flex());
            let want = read(original.hidden(ids(), None)?)?;
            let got = read(model.hidden(ids(), None)?)?;
            let scale = want.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-3 * scale, "{family}: {got} {want}");
            }
        }
        Ok(())
    }
}
