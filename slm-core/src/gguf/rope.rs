//! Rotary scalings: as keys, or as tensors of one divisor for each frequency.

use serde_json::{Map, Value as Json, json};

use super::config::Keys;
use super::{GgufFile, GgufType, GgufValue};
use crate::Result;
use crate::config::{ModelConfig, RopeConfig, RopeScaling};

/// Divisors of the frequencies, whatever the length (Llama 3.1).
pub(super) const FREQUENCIES: &str = "rope_freqs.weight";
/// Divisors beyond the original length (Phi-3).
pub(super) const LONG_FACTORS: &str = "rope_factors_long.weight";
/// Divisors up to it.
pub(super) const SHORT_FACTORS: &str = "rope_factors_short.weight";

/// Adds the scaling to a `config.json`.
pub(super) fn read(keys: &Keys<'_>, head_dim: u64, config: &mut Map<String, Json>) -> Result<()> {
    let turned = keys.size("rope.dimension_count")?.unwrap_or(head_dim);
    if turned != head_dim && head_dim > 0 {
        config.insert("partial_rotary_factor".into(), json!(turned as f64 / head_dim as f64));
    }
    let context = config.get("max_position_embeddings").and_then(Json::as_u64).unwrap_or(1);
    let original = keys.size("rope.scaling.original_context_length")?;
    let tensors = &keys.file.header().tensors;
    // A factor without a type is linear; files from before types have it under another name.
    let factor = match keys.number("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.number("rope.scale_linear")?,
    };
    let without = if factor.is_some_and(|f| f != 1.0 && f != 0.0) { "linear" } else { "none" };
    let kind = keys.text("rope.scaling.type").unwrap_or(without);
    let scaling = if tensors.contains_key(LONG_FACTORS) {
        let original = original.unwrap_or(context);
        config.insert("original_max_position_embeddings".into(), original.into());
        json!({
            "type": "longrope", "short_factor": floats(keys.file, SHORT_FACTORS)?,
            "long_factor": floats(keys.file, LONG_FACTORS)?,
            "attention_factor": keys.number("rope.scaling.attn_factor")?.unwrap_or_else(|| {
                let factor = context as f64 / original as f64;
                if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() }
            }),
        })
    } else if tensors.contains_key(FREQUENCIES) {
        let theta = config.get("rope_theta").and_then(Json::as_f64).unwrap_or(10_000.0);
        let divisors = floats(keys.file, FREQUENCIES)?;
        llama3(&divisors, theta, (original, context)).unwrap_or_else(|| {
            config.insert("original_max_position_embeddings".into(), context.into());
            json!({
                "type": "longrope", "short_factor": divisors, "long_factor": divisors, "attention_factor": 1.0,
            })
        })
    } else {
        match kind {
            "none" => Json::Null,
            "linear" => json!({"rope_type": "linear", "factor": factor}),
            "yarn" => yarn(keys, original)?,
            other => {
                let reason = format!("rope.scaling.type {other:?} is not known, or lacks its tensors");
                return Err(keys.file.error(reason));
            }
        }
    };
    config.insert("rope_scaling".into(), scaling);
    Ok(())
}

fn yarn(keys: &Keys<'_>, original: Option<u64>) -> Result<Json> {
    let factor = keys.number("rope.scaling.factor")?.unwrap_or(1.0);
    let own = keys.number("rope.scaling.attn_factor")?.unwrap_or(1.0);
    Ok(json!({
        "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original,
        "attention_factor": own * usual_yarn_factor(factor),
        "beta_fast": keys.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
        "beta_slow": keys.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
    }))
}

/// What YaRN multiplies cosine and sine with, unless it is told otherwise.
fn usual_yarn_factor(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

fn floats(file: &GgufFile, name: &str) -> Result<Vec<f64>> {
    let tensor = file.tensor(name)?;
    if tensor.kind != GgufType::F32 {
        return Err(file.error(format!("{name}: expected F32, got {}", tensor.kind)));
    }
    let (numbers, _) = file.bytes(tensor).as_chunks::<4>();
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).map(shortest).collect())
}

/// The number that is written with the fewest decimals and rounds to `value`.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// The four numbers of a Llama 3.1 scaling that has these divisors, if there are such: the file has only what they
/// come to.
fn llama3(divisors: &[f64], theta: f64, (original, context): (Option<u64>, u64)) -> Option<Json> {
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    let lengths =
        original.into_iter().chain([8192]).chain((4..=17).map(|n| 1 << n)).filter(|o| *o <= context);
    lengths.into_iter().find_map(|original| {
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: usize::try_from(original).ok()?,
        };
        let rope = RopeConfig { theta, rotary_dim: 2 * divisors.len(), scaling };
        let fits = divisors_of(&rope).iter().zip(divisors).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs());
        fits.then(|| {
            json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": original,
            })
        })
    })
}

fn divisors_of(rope: &RopeConfig) -> Vec<f64> {
    let plain = RopeConfig { scaling: RopeScaling::Default, ..rope.clone() };
    let scaled = rope.inverse_frequencies(1);
    plain.inverse_frequencies(1).into_iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect()
}

/// The tensors of a scaling, and their names.
pub(super) fn tensors(config: &ModelConfig) -> Vec<(&'static str, Vec<f32>)> {
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    match &config.rope.scaling {
        RopeScaling::Llama3 { .. } => vec![(FREQUENCIES, narrow(&divisors_of(&config.rope)))],
        RopeScaling::LongRope { short_factor, long_factor, .. } => {
            vec![(LONG_FACTORS, narrow(long_factor)), (SHORT_FACTORS, narrow(short_factor))]
        }
        _ => Vec::new(),
    }
}

/// Whether the tensors of a file are those of `config`.
pub(super) fn agrees(file: &GgufFile, config: &ModelConfig) -> bool {
    let expected = tensors(config);
    let names = [FREQUENCIES, LONG_FACTORS, SHORT_FACTORS];
    let found = names.iter().filter(|n| file.header().tensors.contains_key(**n)).count();
    found == expected.len()
        && expected.iter().all(|(name, values)| {
            floats(file, name).is_ok_and(|got| got.iter().map(|v| *v as f32).eq(values.iter().copied()))
        })
}

/// The keys of a scaling.
pub(super) fn keys(config: &ModelConfig, set: &mut dyn FnMut(&str, GgufValue)) {
    let rope = &config.rope;
    set("rope.freq_base", (rope.theta as f32).into());
    if let Some(local) = &config.local_rope {
        set("rope.freq_base_swa", (local.theta as f32).into());
    }
    set("rope.dimension_count", (rope.rotary_dim as u32).into());
    match &rope.scaling {
        RopeScaling::Linear { factor } => {
            set("rope.scaling.type", "linear".into());
            set("rope.scaling.factor", (*factor as f32).into());
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_position_embeddings: original,
            attention_factor,
            ..
        } => {
            set("rope.scaling.type", "yarn".into());
            set("rope.scaling.factor", (*factor as f32).into());
            set("rope.scaling.original_context_length", (*original as u32).into());
            let own = attention_factor / usual_yarn_factor(*factor);
            if (own - 1.0).abs() > 1e-9 {
                set("rope.scaling.attn_factor", (own as f32).into());
            }
            set("rope.scaling.yarn_beta_fast", (*beta_fast as f32).into());
            set("rope.scaling.yarn_beta_slow", (*beta_slow as f32).into());
        }
        RopeScaling::LongRope { original_max_position_embeddings: original, attention_factor, .. } => {
            set("rope.scaling.type", "longrope".into());
            set("rope.scaling.original_context_length", (*original as u32).into());
            set("rope.scaling.attn_factor", (*attention_factor as f32).into());
        }
        // Llama 3's is a tensor; llama.cpp has no dynamic scaling.
        RopeScaling::Llama3 { .. } | RopeScaling::Dynamic { .. } | RopeScaling::Default => {}
    }
}
