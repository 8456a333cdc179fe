//! The rotary fields of a `config.json`, in their old and their new spelling.

use serde_json::{Value, json};

use super::fields::Fields;
use super::{Family, RopeConfig, RopeScaling};
use crate::{Error, Result};

/// Base of the frequencies where a configuration is silent.
const THETA: f64 = 10_000.0;

/// What the object of a scaling cannot tell by itself.
#[derive(Clone, Copy)]
struct Around {
    family: Family,
    theta: Option<f64>,
    share: Option<f64>,
    original: Option<usize>,
    head_dim: usize,
    max_positions: usize,
}

/// The global and the local embedding. Both spellings: `rope_theta` with `rope_scaling`, and the
/// `rope_parameters` of transformers 5, which Gemma 3 has once for each kind of layer.
pub(super) fn rope(
    family: Family,
    f: &mut Fields,
    head_dim: usize,
    max_positions: usize,
) -> Result<(RopeConfig, Option<RopeConfig>)> {
    let around = Around {
        family,
        theta: f.number("rope_theta")?,
        share: f.number("partial_rotary_factor")?,
        original: f.size("original_max_position_embeddings")?,
        head_dim,
        max_positions,
    };
    let local_theta = f.number("rope_local_base_freq")?;
    let (prefix, value) = match (f.take("rope_scaling"), f.take("rope_parameters")) {
        (Some(_), Some(_)) => {
            return Err(Error::config("rope_parameters", "contradicts rope_scaling; keep one"));
        }
        (Some(v), None) => ("rope_scaling", v),
        (None, Some(v)) => ("rope_parameters", v),
        (None, None) => ("rope_scaling", json!({"rope_type": "default"})),
    };
    let mut fields = Fields::of(prefix, value)?;
    let local = Around { theta: Some(local_theta.unwrap_or(THETA)), ..around };
    if let Some(global) = fields.take("full_attention") {
        let sliding = fields.take("sliding_attention").unwrap_or_else(default);
        fields.finish(&format!("{prefix}."), &[])?;
        let global = one(&format!("{prefix}.full_attention"), global, around)?;
        let local = one(&format!("{prefix}.sliding_attention"), sliding, local)?;
        return Ok((global, (family == Family::Gemma3).then_some(local)));
    }
    let global = scaled(prefix, fields, around)?;
    let local = (family == Family::Gemma3).then(|| one(prefix, default(), local)).transpose()?;
    Ok((global, local))
}

fn default() -> Value {
    json!({"rope_type": "default"})
}

fn one(prefix: &str, value: Value, around: Around) -> Result<RopeConfig> {
    scaled(prefix, Fields::of(prefix, value)?, around)
}

fn scaled(prefix: &str, mut s: Fields, around: Around) -> Result<RopeConfig> {
    let default_theta = if around.family == Family::Gemma3 { 1e6 } else { THETA };
    let theta = s.number("rope_theta")?.or(around.theta).unwrap_or(default_theta);
    let share = s.number("partial_rotary_factor")?.or(around.share).unwrap_or(1.0);
    let (new, old) = (s.text("rope_type")?, s.text("type")?);
    let kind = new.or(old);
    let given = s.size("original_max_position_embeddings")?.or(around.original);
    let original = given.unwrap_or(around.max_positions);
    let scaling = match kind.as_deref() {
        None | Some("default") => RopeScaling::Default,
        Some("linear") => RopeScaling::Linear { factor: s.required_number("factor")? },
        Some("dynamic") => RopeScaling::Dynamic {
            factor: s.required_number("factor")?,
            original_max_position_embeddings: around.max_positions,
        },
        // Early Phi-3 checkpoints name the same scaling "su" or "yarn".
        Some("longrope" | "su") => longrope(&mut s, given, around.max_positions)?,
        Some("yarn") if around.family == Family::Phi3 => longrope(&mut s, given, around.max_positions)?,
        Some("yarn") => yarn(&mut s, original, around.max_positions)?,
        Some("llama3") => RopeScaling::Llama3 {
            factor: s.required_number("factor")?,
            low_freq_factor: s.required_number("low_freq_factor")?,
            high_freq_factor: s.required_number("high_freq_factor")?,
            original_max_position_embeddings: given.ok_or_else(|| {
                Error::config(format!("{prefix}.original_max_position_embeddings"), "is missing")
            })?,
        },
        Some(other) => {
            let reason =
                format!("unknown kind \"{other}\"; known: default, linear, dynamic, yarn, llama3, longrope");
            return Err(Error::config(format!("{prefix}.rope_type"), reason));
        }
    };
    s.finish(&format!("{prefix}."), &[])?;
    let rotary_dim = (around.head_dim as f64 * share) as usize;
    Ok(RopeConfig { theta, rotary_dim, scaling })
}

fn yarn(s: &mut Fields, original: usize, max_positions: usize) -> Result<RopeScaling> {
    let factor = s.number("factor")?.unwrap_or(max_positions as f64 / original as f64);
    let scale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let (m, all) = (s.number("mscale")?.unwrap_or(0.0), s.number("mscale_all_dim")?.unwrap_or(0.0));
    let computed = if m != 0.0 && all != 0.0 { scale(m) / scale(all) } else { scale(1.0) };
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast: s.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: s.number("beta_slow")?.unwrap_or(1.0),
        truncate: s.flag("truncate")?.unwrap_or(true),
        original_max_position_embeddings: original,
        attention_factor: s.number("attention_factor")?.unwrap_or(computed),
    })
}

fn longrope(s: &mut Fields, original: Option<usize>, max_positions: usize) -> Result<RopeScaling> {
    let original = original.filter(|o| *o > 1).ok_or_else(|| {
        Error::config("original_max_position_embeddings", "is missing or too small; longrope needs it")
    })?;
    let factor = s.number("factor")?.unwrap_or(max_positions as f64 / original as f64);
    let computed = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
    Ok(RopeScaling::LongRope {
        short_factor: s.numbers("short_factor")?,
        long_factor: s.numbers("long_factor")?,
        original_max_position_embeddings: original,
        attention_factor: s.number("attention_factor")?.unwrap_or(computed),
    })
}
