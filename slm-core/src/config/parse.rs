//! From Hugging Face's `config.json` to [`ModelConfig`].

use serde_json::Value;

use super::fields::Fields;
use super::scaling::rope;
use super::{Family, ModelConfig};
use crate::{Error, Result};

/// Fields that do not change inference: dropout, initialisation, bookkeeping of `transformers`.
const IGNORED: &[&str] = &[
    "_name_or_path",
    "_attn_implementation",
    "architectures",
    "attention_dropout",
    "auto_map",
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "embd_pdrop",
    "id2label",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
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
    "unsloth_version",
    "use_return_dict",
];

/// More layers than any small model has; a larger number is a mistake.
pub(crate) const MAX_LAYERS: usize = 4096;

pub(super) fn parse(value: Value) -> Result<ModelConfig> {
    let mut f = Fields::of("(root)", value)?;
    let model_type = f.text("model_type")?.ok_or_else(|| Error::config("model_type", "is missing"))?;
    let family = Family::of(&model_type)?;
    let hidden_size = f.required_size("hidden_size")?;
    let num_attention_heads = f.required_size("num_attention_heads")?;
    let head_dim = head_dim(&mut f, hidden_size, num_attention_heads)?;
    let max_position_embeddings = f.required_size("max_position_embeddings")?;
    let num_hidden_layers = f.required_size("num_hidden_layers")?;
    if num_hidden_layers > MAX_LAYERS {
        let reason = format!("{num_hidden_layers} is more than {MAX_LAYERS}");
        return Err(Error::config("num_hidden_layers", reason));
    }
    let (rope, local_rope) = rope(family, &mut f, head_dim, max_position_embeddings)?;
    let config = ModelConfig {
        family,
        vocab_size: f.required_size("vocab_size")?,
        hidden_size,
        intermediate_size: f.required_size("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: f.size("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim,
        max_position_embeddings,
        rms_norm_eps: f.number("rms_norm_eps")?.unwrap_or(1e-6),
        tie_word_embeddings: f.flag("tie_word_embeddings")?.unwrap_or(family.is_gemma()),
        norms: family.norms(),
        norm_weight: family.norm_weight(),
        qk_norm: family.qk_norm(),
        attention_bias: family.attention_bias(&mut f)?,
        mlp_bias: f.flag("mlp_bias")?.unwrap_or(false),
        activation: family.activation(&mut f)?,
        multipliers: family.multipliers(&mut f, hidden_size, head_dim)?,
        layers: family.layers(&mut f, num_hidden_layers)?,
        rope,
        local_rope,
        bos_token_id: token_ids(&mut f, "bos_token_id")?.first().copied(),
        eos_token_ids: token_ids(&mut f, "eos_token_id")?,
    };
    f.finish("", IGNORED)?;
    Ok(config)
}

fn head_dim(f: &mut Fields, hidden: usize, heads: usize) -> Result<usize> {
    match f.size("head_dim")? {
        Some(d) => Ok(d),
        None if heads > 0 && hidden.is_multiple_of(heads) => Ok(hidden / heads),
        None => {
            let reason = format!("{heads} does not divide hidden_size {hidden}, and head_dim is absent");
            Err(Error::config("num_attention_heads", reason))
        }
    }
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
