//! From a GGUF file's metadata to [`ModelConfig`].
//!
//! The metadata is read as the `config.json` that it stands for, so that one parser checks both.

use serde_json::{Map, Value as Json, json};

use super::names::{ARCHITECTURES, architecture};
use super::rope::{self, FREQUENCIES, LONG_FACTORS, SHORT_FACTORS};
use super::{GgufFile, metadata};
use crate::config::ModelConfig;
use crate::{Error, Result};

/// Where slm keeps the configuration of which the other keys are a part.
pub(super) const CONFIG: &str = "slm.config";

/// Windows alternate with a full view in Gemma 2, and take five of six layers in Gemma 3, unless a file says
/// otherwise.
pub(super) fn usual_period(architecture: &str) -> u64 {
    if architecture == "gemma3" { 6 } else { 2 }
}

/// The keys of one architecture.
pub(super) struct Keys<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let name = self.name(key);
        let Some(value) = self.file.value(&name) else { return Ok(None) };
        let number = value.as_f64().filter(|n| n.is_finite());
        number.map(Some).ok_or_else(|| self.file.error(format!("{name}: expected a number, got {value:?}")))
    }

    /// An integer, or an array of which all elements are the same.
    pub(super) fn size(&self, key: &str) -> Result<Option<u64>> {
        let name = self.name(key);
        let Some(value) = self.file.value(&name) else { return Ok(None) };
        let alike = || {
            let all = value.as_sizes()?;
            all.first().copied().filter(|first| all.iter().all(|v| v == first))
        };
        value.as_u64().or_else(alike).map(Some).ok_or_else(|| {
            self.file.error(format!("{name}: expected one integer for all layers, got {value:?}"))
        })
    }

    fn required(&self, key: &str) -> Result<u64> {
        self.size(key)?.ok_or_else(|| self.file.error(format!("{} is missing", self.name(key))))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.file.value(&self.name(key))?.as_str()
    }

    fn has(&self, tensor: &str) -> bool {
        self.file.header().tensors.contains_key(tensor)
    }
}

/// What the file is a model of.
///
/// # Errors
/// When its architecture is not one of ours, a key is missing or makes no sense.
pub(super) fn read(file: &GgufFile) -> Result<ModelConfig> {
    if let Some(parts) = file.value("split.count").and_then(|v| v.as_u64()).filter(|parts| *parts > 1) {
        let hint = "join them with llama.cpp's llama-gguf-split --merge";
        return Err(file.error(format!("this is one of {parts} parts of a model\nhint: {hint}")));
    }
    let of_keys = ModelConfig::from_value(config_json(file)?).map_err(|e| in_file(file, &e))?;
    // Another program may have changed a key since: then the keys are right.
    let full = file.value(CONFIG).and_then(|v| v.as_str()).and_then(|text| serde_json::from_str(text).ok());
    let full = full.and_then(|json| ModelConfig::from_value(json).ok());
    Ok(full.filter(|full| agrees(file, full, &of_keys)).unwrap_or(of_keys))
}

fn in_file(file: &GgufFile, e: &Error) -> Error {
    file.error(e.to_string())
}

fn agrees(file: &GgufFile, full: &ModelConfig, of_keys: &ModelConfig) -> bool {
    let shapes = |c: &ModelConfig| (c.vocab_size, c.tie_word_embeddings, c.attention_bias, c.mlp_bias);
    let prefix = format!("{}.", architecture(full.family));
    let mut expected: Vec<_> = metadata::of_config(full);
    expected.retain(|(key, _)| key.starts_with(&prefix));
    let own = file.header().metadata.keys().filter(|key| key.starts_with(&prefix)).count();
    own == expected.len()
        && expected.iter().all(|(key, value)| file.value(key) == Some(value))
        && shapes(full) == shapes(of_keys)
        && rope::agrees(file, full)
}

fn config_json(file: &GgufFile) -> Result<Json> {
    let name = file.value("general.architecture").and_then(|v| v.as_str()).unwrap_or_default();
    let Some(architecture) = ARCHITECTURES.into_iter().find(|a| *a == name) else {
        let known = ARCHITECTURES.join(", ");
        return Err(file.error(format!("general.architecture is {name:?}; expected one of {known}")));
    };
    let keys = Keys { file, architecture };
    let vocab = file.tensor("token_embd.weight")?;
    let heads = keys.required("attention.head_count")?;
    let hidden = keys.required("embedding_length")?;
    let head_dim = match keys.size("attention.key_length")? {
        Some(length) => length,
        None if heads > 0 => hidden / heads,
        None => 0,
    };
    if keys.size("attention.value_length")?.is_some_and(|length| length != head_dim) {
        return Err(file.error(format!("{architecture}.attention.value_length differs from key_length")));
    }
    let id = |name: &str| file.value(&format!("tokenizer.ggml.{name}_token_id")).and_then(|v| v.as_u64());
    let mut config = json!({
        "model_type": if architecture == "gemma3" { "gemma3_text" } else { architecture },
        "vocab_size": vocab.shape[0], "hidden_size": hidden,
        "intermediate_size": keys.required("feed_forward_length")?,
        "num_hidden_layers": keys.required("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.size("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.required("context_length")?,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon")?,
        "tie_word_embeddings": !keys.has("output.weight"),
        "rope_theta": keys.number("rope.freq_base")?.unwrap_or(10_000.0),
        "bos_token_id": id("bos"), "eos_token_id": end_ids(file),
    });
    let object = config.as_object_mut().ok_or_else(|| file.error("no configuration"))?;
    rope::read(&keys, head_dim, object)?;
    family(&keys, head_dim, object)?;
    Ok(config)
}

/// The ids that end a text or a turn.
pub(super) fn end_ids(file: &GgufFile) -> Vec<u64> {
    if let Some(ids) = file.value(metadata::END_IDS).and_then(super::GgufValue::as_sizes) {
        return ids;
    }
    let mut ids: Vec<u64> = Vec::new();
    for name in ["eos", "eot", "eom"] {
        let id = file.value(&format!("tokenizer.ggml.{name}_token_id")).and_then(|v| v.as_u64());
        ids.extend(id.filter(|id| !ids.contains(id)));
    }
    ids
}

/// The fields that one family alone has.
fn family(keys: &Keys<'_>, head_dim: u64, config: &mut Map<String, Json>) -> Result<()> {
    let mut set = |name: &str, value: Json| {
        config.insert(name.into(), value);
    };
    let window = keys.size("attention.sliding_window")?.filter(|w| *w > 0);
    match keys.architecture {
        "llama" => {
            // The same tensors; only the window tells them apart.
            if let Some(window) = window {
                set("model_type", "mistral".into());
                set("sliding_window", window.into());
            }
        }
        "phi3" => set("sliding_window", json!(window)),
        "gemma2" | "gemma3" => gemma(keys, head_dim, window, &mut set)?,
        "granite" => {
            set("attention_multiplier", json!(keys.number("attention.scale")?));
            set("embedding_multiplier", json!(keys.number("embedding_scale")?));
            set("residual_multiplier", json!(keys.number("residual_scale")?));
            set("logits_scaling", json!(keys.number("logit_scale")?));
        }
        _ => {}
    }
    if keys.architecture != "qwen2" && keys.has("blk.0.attn_q.bias") {
        if !keys.has("blk.0.attn_output.bias") {
            let reason = "biases on queries, keys and values alone are not known for this architecture";
            return Err(keys.file.error(reason));
        }
        set("attention_bias", true.into());
    }
    if keys.has("blk.0.ffn_down.bias") {
        set("mlp_bias", true.into());
    }
    Ok(())
}

fn gemma(keys: &Keys<'_>, head_dim: u64, window: Option<u64>, set: &mut dyn FnMut(&str, Json)) -> Result<()> {
    let (layers, hidden) = (keys.required("block_count")?, keys.required("embedding_length")?);
    let heads = keys.required("attention.head_count")?.max(1);
    // The 27B models alone scale by the width for each head; llama.cpp knows them by their depth.
    let large = matches!((keys.architecture, layers), ("gemma2", 46) | ("gemma3", 62));
    set("query_pre_attn_scalar", (if large { hidden / heads } else { head_dim }).into());
    set("hidden_activation", "gelu_pytorch_tanh".into());
    set("sliding_window", window.unwrap_or(4096).into());
    let cap = |key: &str, usual: Option<f64>| keys.number(key).map(|cap| json!(cap.or(usual)));
    if keys.architecture == "gemma2" {
        set("attn_logit_softcapping", cap("attn_logit_softcapping", Some(50.0))?);
        set("final_logit_softcapping", cap("final_logit_softcapping", Some(30.0))?);
    } else {
        set("final_logit_softcapping", cap("final_logit_softcapping", None)?);
        set("rope_local_base_freq", json!(keys.number("rope.freq_base_swa")?.unwrap_or(10_000.0)));
    }
    let name = format!("{}.attention.sliding_window_pattern", keys.architecture);
    let value = keys.file.value(&name);
    let slides: Vec<bool> = match value.and_then(super::GgufValue::as_sizes) {
        Some(flags) => flags.into_iter().map(|flag| flag != 0).collect(),
        None => {
            let period = value.and_then(|v| v.as_u64()).unwrap_or_else(|| usual_period(keys.architecture));
            // A file may claim any number of layers; the parser refuses those that cannot be.
            let count = layers.min(crate::config::MAX_LAYERS as u64);
            (1..=count).map(|layer| period == 0 || layer % period != 0).collect()
        }
    };
    let kind = |slides: bool| if slides { "sliding_attention" } else { "full_attention" };
    set("layer_types", slides.into_iter().map(kind).collect());
    Ok(())
}

/// Tensors that belong to the configuration.
pub(super) const CONFIG_TENSORS: [&str; 3] = [FREQUENCIES, LONG_FACTORS, SHORT_FACTORS];
