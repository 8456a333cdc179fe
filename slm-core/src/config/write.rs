//! From [`ModelConfig`] to a `config.json` that `transformers` reads.

use serde_json::{Value, json};

use super::{Activation, AttentionBias, Family, LayerRope, ModelConfig, RopeConfig, RopeScaling};

pub(super) fn to_value(c: &ModelConfig) -> Value {
    let window = c.layers.iter().find_map(|l| l.window);
    let activation = match c.activation {
        Activation::Silu => "silu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    };
    let mut value = json!({
        "architectures": [c.family.architecture()], "model_type": c.family.model_type(),
        "vocab_size": c.vocab_size, "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size, "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads, "num_key_value_heads": c.num_key_value_heads,
        "head_dim": c.head_dim, "max_position_embeddings": c.max_position_embeddings,
        "rms_norm_eps": c.rms_norm_eps, "tie_word_embeddings": c.tie_word_embeddings,
        "mlp_bias": c.mlp_bias, "sliding_window": window,
        "rope_theta": c.rope.theta, "rope_scaling": scaling(&c.rope),
        "bos_token_id": c.bos_token_id, "eos_token_id": c.eos_token_ids,
    });
    value[if c.family.is_gemma() { "hidden_activation" } else { "hidden_act" }] = activation.into();
    if c.family != Family::Qwen2 {
        value["attention_bias"] = (c.attention_bias == AttentionBias::All).into();
    }
    match &c.rope.scaling {
        RopeScaling::LongRope { original_max_position_embeddings, .. } => {
            value["original_max_position_embeddings"] = json!(original_max_position_embeddings);
        }
        RopeScaling::Yarn { original_max_position_embeddings, .. } => {
            value["rope_scaling"]["original_max_position_embeddings"] =
                json!(original_max_position_embeddings);
        }
        _ => {}
    }
    if c.rope.rotary_dim != c.head_dim {
        value["partial_rotary_factor"] = json!(c.rope.rotary_dim as f64 / c.head_dim as f64);
    }
    family(c, window, &mut value);
    value
}

/// The fields that one family alone has.
fn family(c: &ModelConfig, window: Option<usize>, value: &mut Value) {
    let slides = |w: Option<usize>| if w.is_some() { "sliding_attention" } else { "full_attention" };
    let types: Vec<&str> = c.layers.iter().map(|l| slides(l.window)).collect();
    match c.family {
        Family::Qwen2 | Family::Qwen3 | Family::SmolLm3 => {
            value["use_sliding_window"] = window.is_some().into();
            value["layer_types"] = json!(types);
        }
        Family::Gemma2 | Family::Gemma3 => {
            value["layer_types"] = json!(types);
            value["query_pre_attn_scalar"] = json!(c.multipliers.attention.powi(-2).round());
            value["attn_logit_softcapping"] = json!(c.multipliers.attention_softcap);
            value["final_logit_softcapping"] = json!(c.multipliers.logits_softcap);
            if let Some(local) = &c.local_rope {
                value["rope_local_base_freq"] = json!(local.theta);
            }
        }
        Family::Granite => {
            value["embedding_multiplier"] = json!(c.multipliers.embedding);
            value["attention_multiplier"] = json!(c.multipliers.attention);
            value["residual_multiplier"] = json!(c.multipliers.residual);
            value["logits_scaling"] = json!(c.multipliers.logits_divisor);
        }
        Family::Llama | Family::Mistral | Family::Phi3 | Family::Olmo2 => {}
    }
    if c.family == Family::SmolLm3 {
        let turns: Vec<u8> = c.layers.iter().map(|l| u8::from(l.rope != LayerRope::None)).collect();
        value["no_rope_layers"] = json!(turns);
    }
}

fn scaling(rope: &RopeConfig) -> Value {
    match &rope.scaling {
        RopeScaling::Default => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Dynamic { factor, .. } => json!({"rope_type": "dynamic", "factor": factor}),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, attention_factor, .. } => json!({
            "rope_type": "yarn", "factor": factor, "beta_fast": beta_fast, "beta_slow": beta_slow,
            "truncate": truncate, "attention_factor": attention_factor,
        }),
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
    }
}
