//! From Hugging Face's `config.json` to [`ModelConfig`], and back.

use serde_json::{Map, Value, json};

use super::{Family, ModelConfig, RopeConfig, RopeScaling};
use crate::{Error, Result};

/// Fields that do not change inference: dropout, initialisation, bookkeeping of `transformers`.
const IGNORED: &[&str] = &[
    "_name_or_path",
    "_attn_implementation",
    "architectures",
    "attention_dropout",
    "auto_map",
    "chunk_size_feed_forward",
    "dtype",
    "embd_pdrop",
    "id2label",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
    "max_window_layers",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "problem_type",
    "resid_pdrop",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "layer_types",
    "unsloth_version",
    "use_return_dict",
];

/// Reads fields and remembers which remain.
struct Fields(Map<String, Value>);

impl Fields {
    /// The field, unless it is absent or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    fn size(&mut self, name: &str) -> Result<Option<usize>> {
        self.take(name)
            .map(|v| {
                v.as_u64()
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or_else(|| Error::config(name, format!("expected a non-negative integer, found {v}")))
            })
            .transpose()
    }

    fn required_size(&mut self, name: &str) -> Result<usize> {
        self.size(name)?.ok_or_else(|| Error::config(name, "is missing"))
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.take(name)
            .map(|v| v.as_f64().ok_or_else(|| Error::config(name, format!("expected a number, found {v}"))))
            .transpose()
    }

    fn required_number(&mut self, name: &str) -> Result<f64> {
        self.number(name)?.ok_or_else(|| Error::config(name, "is missing"))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.take(name)
            .map(|v| {
                v.as_bool().ok_or_else(|| Error::config(name, format!("expected true or false, found {v}")))
            })
            .transpose()
    }

    fn numbers(&mut self, name: &str) -> Result<Vec<f64>> {
        let value = self.take(name).ok_or_else(|| Error::config(name, "is missing"))?;
        let items = value.as_array().and_then(|a| a.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        items.ok_or_else(|| Error::config(name, "expected a list of numbers"))
    }

    fn finish(self, prefix: &str, ignored: &[&str]) -> Result<()> {
        match self.0.into_iter().find(|(k, v)| !ignored.contains(&k.as_str()) && !v.is_null()) {
            None => Ok(()),
            Some((field, _)) => Err(Error::config(
                format!("{prefix}{field}"),
                "unknown to this version of slm-core; it might change the model's output\nhint: remove the field if it does not",
            )),
        }
    }
}

pub(super) fn parse(value: Value) -> Result<ModelConfig> {
    let Value::Object(map) = value else { return Err(Error::config("(root)", "expected a JSON object")) };
    let family = family(&map)?;
    let mut f = Fields(map);
    match f.take("hidden_act") {
        Some(Value::String(s)) if s == "silu" || s == "swish" => {}
        None => {}
        Some(other) => return Err(Error::config("hidden_act", format!("expected \"silu\", found {other}"))),
    }
    let hidden_size = f.required_size("hidden_size")?;
    let num_attention_heads = f.required_size("num_attention_heads")?;
    let head_dim = match f.size("head_dim")? {
        Some(d) => d,
        None if num_attention_heads > 0 && hidden_size.is_multiple_of(num_attention_heads) => {
            hidden_size / num_attention_heads
        }
        None => {
            let reason = format!(
                "{num_attention_heads} does not divide hidden_size {hidden_size}, and head_dim is absent"
            );
            return Err(Error::config("num_attention_heads", reason));
        }
    };
    let max_position_embeddings = f.required_size("max_position_embeddings")?;
    let sliding_window = sliding_window(family, &mut f)?;
    if let Some(share) = f.number("partial_rotary_factor")?
        && share != 1.0
    {
        return Err(Error::config(
            "partial_rotary_factor",
            format!("{share} is not supported yet, only 1.0"),
        ));
    }
    let config = ModelConfig {
        family,
        vocab_size: f.required_size("vocab_size")?,
        hidden_size,
        intermediate_size: f.required_size("intermediate_size")?,
        num_hidden_layers: f.required_size("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads: f.size("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim,
        max_position_embeddings,
        rms_norm_eps: f.number("rms_norm_eps")?.unwrap_or(1e-6),
        tie_word_embeddings: f.flag("tie_word_embeddings")?.unwrap_or(false),
        qk_norm: family == Family::Qwen3,
        attention_bias: f.flag("attention_bias")?.unwrap_or(false),
        mlp_bias: f.flag("mlp_bias")?.unwrap_or(false),
        sliding_window,
        rope: rope(&mut f, max_position_embeddings)?,
        bos_token_id: token_ids(&mut f, "bos_token_id")?.first().copied(),
        eos_token_ids: token_ids(&mut f, "eos_token_id")?,
    };
    f.finish("", IGNORED)?;
    Ok(config)
}

fn family(map: &Map<String, Value>) -> Result<Family> {
    let model_type = map
        .get("model_type")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::config("model_type", "is missing"))?;
    match model_type {
        "llama" => Ok(Family::Llama),
        "mistral" => Ok(Family::Mistral),
        "qwen3" => Ok(Family::Qwen3),
        "phi3" => Ok(Family::Phi3),
        other => Err(Error::config(
            "model_type",
            format!("unknown architecture \"{other}\"; known: llama, mistral, qwen3, phi3"),
        )),
    }
}

/// Qwen carries a window that `use_sliding_window: false` switches off.
fn sliding_window(family: Family, f: &mut Fields) -> Result<Option<usize>> {
    let window = f.size("sliding_window")?;
    let used = f.flag("use_sliding_window")?;
    match (family, window, used) {
        (Family::Qwen3, _, None | Some(false)) => Ok(None),
        (Family::Qwen3, Some(_), Some(true)) => {
            Err(Error::config("use_sliding_window", "windows on some layers only are not supported yet"))
        }
        (_, None, Some(true)) => {
            Err(Error::config("use_sliding_window", "is true, but sliding_window is absent"))
        }
        (_, window, _) => Ok(window),
    }
}

/// Both spellings: `rope_theta` with `rope_scaling`, and `rope_parameters` of transformers 5.
fn rope(f: &mut Fields, max_positions: usize) -> Result<RopeConfig> {
    let theta = f.number("rope_theta")?;
    let original = f.size("original_max_position_embeddings")?;
    let old = f.take("rope_scaling");
    let new = f.take("rope_parameters");
    let (prefix, value) = match (old, new) {
        (Some(_), Some(_)) => {
            return Err(Error::config("rope_parameters", "contradicts rope_scaling; keep one"));
        }
        (Some(v), None) => ("rope_scaling.", v),
        (None, Some(v)) => ("rope_parameters.", v),
        (None, None) => ("rope_scaling.", json!({"rope_type": "default"})),
    };
    let Value::Object(map) = value else {
        return Err(Error::config(prefix.trim_end_matches('.'), "expected an object or null"));
    };
    let mut s = Fields(map);
    let theta = s.number("rope_theta")?.or(theta).unwrap_or(10_000.0);
    let kind = s.take("rope_type").or_else(|| s.take("type"));
    s.0.remove("type");
    let original = s.size("original_max_position_embeddings")?.or(original);
    let scaling = match kind.as_ref().and_then(Value::as_str) {
        None | Some("default") => RopeScaling::Default,
        Some("llama3") => RopeScaling::Llama3 {
            factor: s.required_number("factor")?,
            low_freq_factor: s.required_number("low_freq_factor")?,
            high_freq_factor: s.required_number("high_freq_factor")?,
            original_max_position_embeddings: original.ok_or_else(|| {
                Error::config(format!("{prefix}original_max_position_embeddings"), "is missing")
            })?,
        },
        Some("longrope" | "su") => longrope(&mut s, original, max_positions)?,
        Some(other) => {
            let reason = format!("unknown kind \"{other}\"; known: default, llama3, longrope");
            return Err(Error::config(format!("{prefix}rope_type"), reason));
        }
    };
    s.finish(prefix, &[])?;
    Ok(RopeConfig { theta, scaling })
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

fn token_ids(f: &mut Fields, name: &str) -> Result<Vec<u32>> {
    let Some(value) = f.take(name) else { return Ok(Vec::new()) };
    ids_of(&value)
        .ok_or_else(|| Error::config(name, format!("expected a token id or a list of them, found {value}")))
}

/// A token id or a list of token ids.
pub(crate) fn ids_of(value: &Value) -> Option<Vec<u32>> {
    let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Value::Array(items) => items.iter().map(id).collect(),
        single => Some(vec![id(single)?]),
    }
}

pub(super) fn to_value(c: &ModelConfig) -> Value {
    let scaling = match &c.rope.scaling {
        RopeScaling::Default => Value::Null,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
        RopeScaling::LongRope { short_factor, long_factor, attention_factor, .. } => json!({
            "type": "longrope", "short_factor": short_factor, "long_factor": long_factor,
            "attention_factor": attention_factor,
        }),
    };
    let mut value = json!({
        "architectures": [c.family.architecture()], "model_type": c.family.model_type(),
        "hidden_act": "silu", "vocab_size": c.vocab_size, "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size, "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads, "num_key_value_heads": c.num_key_value_heads,
        "head_dim": c.head_dim, "max_position_embeddings": c.max_position_embeddings,
        "rms_norm_eps": c.rms_norm_eps, "tie_word_embeddings": c.tie_word_embeddings,
        "attention_bias": c.attention_bias, "mlp_bias": c.mlp_bias,
        "sliding_window": c.sliding_window, "rope_theta": c.rope.theta, "rope_scaling": scaling,
        "bos_token_id": c.bos_token_id, "eos_token_id": c.eos_token_ids,
    });
    if let RopeScaling::LongRope { original_max_position_embeddings, .. } = &c.rope.scaling {
        value["original_max_position_embeddings"] = json!(original_max_position_embeddings);
    }
    value
}
