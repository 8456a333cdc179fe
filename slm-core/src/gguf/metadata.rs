//! From [`ModelConfig`] to a GGUF file's metadata, and what llama.cpp cannot be told.

use super::config::{CONFIG, usual_period};
use super::names::architecture;
use super::rope;
use super::{GgufArray, GgufValue};
use crate::config::{Family, LayerRope, ModelConfig, RopeScaling};

/// All ids that end a text, where the format has one key for each kind.
pub(super) const END_IDS: &str = "slm.eos_token_ids";

/// The keys of a model.
pub(super) fn of_config(c: &ModelConfig) -> Vec<(String, GgufValue)> {
    let name = architecture(c.family);
    let mut all = vec![("general.architecture".to_owned(), GgufValue::from(name))];
    let mut set = |key: &str, value: GgufValue| all.push((format!("{name}.{key}"), value));
    let size = |value: usize| GgufValue::U32(u32::try_from(value).unwrap_or(u32::MAX));
    set("block_count", size(c.num_hidden_layers));
    set("context_length", size(c.max_position_embeddings));
    set("embedding_length", size(c.hidden_size));
    set("feed_forward_length", size(c.intermediate_size));
    set("attention.head_count", size(c.num_attention_heads));
    set("attention.head_count_kv", size(c.num_key_value_heads));
    set("attention.key_length", size(c.head_dim));
    set("attention.value_length", size(c.head_dim));
    set("attention.layer_norm_rms_epsilon", (c.rms_norm_eps as f32).into());
    set("vocab_size", size(c.vocab_size));
    rope::keys(c, &mut set);
    family(c, &mut set);
    let json = c.to_value().to_string();
    all.push((CONFIG.into(), json.into()));
    all
}

fn family(c: &ModelConfig, set: &mut dyn FnMut(&str, GgufValue)) {
    let window = c.layers.iter().find_map(|l| l.window).map(|w| u32::try_from(w).unwrap_or(u32::MAX));
    let m = &c.multipliers;
    match c.family {
        Family::Gemma2 | Family::Gemma3 => {
            set("attention.sliding_window", window.unwrap_or(0).into());
            for (key, cap) in [
                ("attn_logit_softcapping", m.attention_softcap),
                ("final_logit_softcapping", m.logits_softcap),
            ] {
                if let Some(cap) = cap {
                    set(key, (cap as f32).into());
                }
            }
            let slides: Vec<bool> = c.layers.iter().map(|l| l.window.is_some()).collect();
            match period(&slides) {
                Some(period) if period == usual_period(architecture(c.family)) => {}
                Some(period) => set("attention.sliding_window_pattern", (period as u32).into()),
                None => {
                    let flags = GgufValue::Array(GgufArray::Bool(slides));
                    set("attention.sliding_window_pattern", flags);
                }
            }
        }
        Family::Granite => {
            set("attention.scale", (m.attention as f32).into());
            set("embedding_scale", (m.embedding as f32).into());
            set("residual_scale", (m.residual as f32).into());
            set("logit_scale", (m.logits_divisor as f32).into());
        }
        Family::Mistral | Family::Phi3 => {
            if let Some(window) = window {
                set("attention.sliding_window", window.into());
            }
        }
        _ => {}
    }
}

/// The number of layers after which the pattern repeats, if its last layer alone sees everything.
fn period(slides: &[bool]) -> Option<u64> {
    let first_full = slides.iter().position(|s| !s).map_or(slides.len() + 1, |i| i + 1);
    let repeats = slides.iter().enumerate().all(|(i, s)| *s != (i + 1).is_multiple_of(first_full));
    // Without a full layer, any longer period says the same; zero is how the format says "all".
    repeats.then_some(if first_full > slides.len() { 0 } else { first_full as u64 })
}

/// What llama.cpp computes otherwise, in words; empty where it computes the same.
pub(super) fn differences(c: &ModelConfig) -> Vec<String> {
    let mut all = Vec::new();
    let window = c.layers.iter().find_map(|l| l.window).filter(|w| *w < c.context_length());
    if let (Some(window), false) = (window, matches!(c.family, Family::Gemma2 | Family::Gemma3)) {
        all.push(format!(
            "llama.cpp knows no window for this architecture: texts of more than {window} tokens differ"
        ));
    }
    if let RopeScaling::Dynamic { original_max_position_embeddings: original, .. } = &c.rope.scaling {
        all.push(format!("llama.cpp knows no dynamic scaling: texts of more than {original} tokens differ"));
    }
    if matches!(c.rope.scaling, RopeScaling::LongRope { .. }) {
        all.push(
            "llama.cpp chooses between the factors by the context that it was started with, not by the text"
                .into(),
        );
    }
    let usual = |index: usize| (index + 1).is_multiple_of(4);
    if c.family == Family::SmolLm3
        && c.layers.iter().enumerate().any(|(i, l)| (l.rope == LayerRope::None) != usual(i))
    {
        all.push("llama.cpp turns all but every fourth layer of this architecture: all texts differ".into());
    }
    all
}
