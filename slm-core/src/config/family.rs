//! What tells the families apart, as data.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Fields;
use super::{
    Activation, AttentionBias, LayerConfig, LayerRope, Multipliers, NormPlacement, NormWeight, QkNorm,
};
use crate::{Error, Result};

/// The family of a checkpoint: decides how its `config.json` is read and how its tensors are named, nothing in
/// the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// Llama 2, 3.0 to 3.3, SmolLM2, and models of the same shape.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen3: normalised queries and keys.
    Qwen3,
    /// Phi-3, Phi-3.5 and Phi-4-mini: fused projections, longrope, partial rotation.
    Phi3,
    /// Gemma 2: capped scores and logits, alternating windows.
    Gemma2,
    /// Gemma 3 (text): normalised queries and keys, local layers with a rotation of their own.
    Gemma3,
    /// SmolLM3: every fourth layer without positions.
    SmolLm3,
    /// OLMo 2: norms after attention and MLP.
    Olmo2,
    /// Granite 3: four multipliers.
    Granite,
}

/// All families with their `model_type` and architecture.
const NAMES: [(Family, &str, &str); 10] = [
    (Family::Llama, "llama", "LlamaForCausalLM"),
    (Family::Mistral, "mistral", "MistralForCausalLM"),
    (Family::Qwen2, "qwen2", "Qwen2ForCausalLM"),
    (Family::Qwen3, "qwen3", "Qwen3ForCausalLM"),
    (Family::Phi3, "phi3", "Phi3ForCausalLM"),
    (Family::Gemma2, "gemma2", "Gemma2ForCausalLM"),
    (Family::Gemma3, "gemma3_text", "Gemma3ForCausalLM"),
    (Family::SmolLm3, "smollm3", "SmolLM3ForCausalLM"),
    (Family::Olmo2, "olmo2", "Olmo2ForCausalLM"),
    (Family::Granite, "granite", "GraniteForCausalLM"),
];

impl Family {
    /// The `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        NAMES.iter().find(|n| n.0 == self).map_or("", |n| n.1)
    }

    /// The `architectures` entry of `config.json`.
    pub fn architecture(self) -> &'static str {
        NAMES.iter().find(|n| n.0 == self).map_or("", |n| n.2)
    }

    pub(super) fn of(model_type: &str) -> Result<Self> {
        NAMES.iter().find(|n| n.1 == model_type).map(|n| n.0).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|n| n.1).collect();
            let reason = format!("unknown architecture \"{model_type}\"; known: {}", known.join(", "));
            Error::config("model_type", reason)
        })
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    pub(super) fn norms(self) -> NormPlacement {
        match self {
            Self::Gemma2 | Self::Gemma3 => NormPlacement::Both,
            Self::Olmo2 => NormPlacement::Post,
            _ => NormPlacement::Pre,
        }
    }

    pub(super) fn norm_weight(self) -> NormWeight {
        if self.is_gemma() { NormWeight::OffsetFromOne } else { NormWeight::Factor }
    }

    pub(super) fn qk_norm(self) -> QkNorm {
        match self {
            Self::Qwen3 | Self::Gemma3 => QkNorm::PerHead,
            Self::Olmo2 => QkNorm::Whole,
            _ => QkNorm::None,
        }
    }

    pub(super) fn attention_bias(self, f: &mut Fields) -> Result<AttentionBias> {
        let all = f.flag("attention_bias")?;
        Ok(match (self, all) {
            (Self::Qwen2, _) => AttentionBias::Inputs,
            (_, Some(true)) => AttentionBias::All,
            _ => AttentionBias::None,
        })
    }

    pub(super) fn activation(self, f: &mut Fields) -> Result<Activation> {
        let (old, new) = (f.text("hidden_act")?, f.text("hidden_activation")?);
        match new.or(old).as_deref() {
            None => Ok(if self.is_gemma() { Activation::GeluTanh } else { Activation::Silu }),
            Some("silu" | "swish") => Ok(Activation::Silu),
            // Gemma's first configurations say "gelu" and mean the approximation that they were trained with.
            Some("gelu") if self.is_gemma() => Ok(Activation::GeluTanh),
            Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Activation::GeluTanh),
            Some(other) => {
                let reason = format!("expected \"silu\" or \"gelu_pytorch_tanh\", found \"{other}\"");
                Err(Error::config("hidden_act", reason))
            }
        }
    }

    pub(super) fn multipliers(self, f: &mut Fields, hidden: usize, head: usize) -> Result<Multipliers> {
        let mut m = Multipliers {
            embedding: 1.0,
            attention: 1.0 / (head as f64).sqrt(),
            residual: 1.0,
            logits_divisor: 1.0,
            attention_softcap: None,
            logits_softcap: None,
        };
        if self.is_gemma() {
            m.embedding = (hidden as f64).sqrt();
            m.attention = 1.0 / f.number("query_pre_attn_scalar")?.unwrap_or(256.0).sqrt();
            m.attention_softcap = f.number("attn_logit_softcapping")?;
            m.logits_softcap = f.number("final_logit_softcapping")?;
            if f.flag("use_bidirectional_attention")? == Some(true) {
                return Err(Error::config("use_bidirectional_attention", "only causal models are supported"));
            }
        }
        if self == Self::Granite {
            m.embedding = f.number("embedding_multiplier")?.unwrap_or(1.0);
            m.attention = f.number("attention_multiplier")?.unwrap_or(1.0);
            m.residual = f.number("residual_multiplier")?.unwrap_or(1.0);
            m.logits_divisor = f.number("logits_scaling")?.unwrap_or(1.0);
        }
        Ok(m)
    }

    /// Window and rotation of each of `count` layers.
    pub(super) fn layers(self, f: &mut Fields, count: usize) -> Result<Vec<LayerConfig>> {
        let window = self.window(f)?;
        let first_sliding = f.size("max_window_layers")?.unwrap_or(count);
        let pattern = f.size("sliding_window_pattern")?.or(f.size("_sliding_window_pattern")?).unwrap_or(6);
        let turns = self.turns(f, count)?;
        let slides: Vec<bool> = match f.take("layer_types") {
            Some(types) => layer_types(&types, count)?,
            None => (0..count)
                .map(|i| match self {
                    Self::Qwen2 | Self::Qwen3 => i >= first_sliding,
                    Self::Gemma2 => (i + 1) % 2 != 0,
                    Self::Gemma3 => pattern == 0 || (i + 1) % pattern != 0,
                    Self::SmolLm3 => !turns[i],
                    _ => true,
                })
                .collect(),
        };
        if let (None, Some(index)) = (window, slides.iter().position(|s| *s))
            && self.is_gemma()
        {
            let reason = format!("is missing, but layer {index} has one");
            return Err(Error::config("sliding_window", reason));
        }
        let layer = |(slides, turns): (bool, bool)| LayerConfig {
            window: window.filter(|_| slides),
            rope: match (turns, self == Self::Gemma3 && slides) {
                (false, _) => LayerRope::None,
                (true, true) => LayerRope::Local,
                (true, false) => LayerRope::Global,
            },
        };
        Ok(slides.into_iter().zip(turns).map(layer).collect())
    }

    /// Qwen and SmolLM3 carry a window that `use_sliding_window: false` switches off.
    fn window(self, f: &mut Fields) -> Result<Option<usize>> {
        let window = f.size("sliding_window")?;
        let used = f.flag("use_sliding_window")?;
        match (self, window, used) {
            (Self::Qwen2 | Self::Qwen3 | Self::SmolLm3, _, None | Some(false)) => Ok(None),
            (_, None, Some(true)) => {
                Err(Error::config("use_sliding_window", "is true, but sliding_window is absent"))
            }
            (_, window, _) => Ok(window),
        }
    }

    /// Which layers turn queries and keys by their positions.
    fn turns(self, f: &mut Fields, count: usize) -> Result<Vec<bool>> {
        if self != Self::SmolLm3 {
            return Ok(vec![true; count]);
        }
        let interval = f.size("no_rope_layer_interval")?.unwrap_or(4);
        if !f.has("no_rope_layers") {
            return Ok((0..count).map(|i| interval == 0 || (i + 1) % interval != 0).collect());
        }
        let turns: Vec<bool> = f.numbers("no_rope_layers")?.into_iter().map(|n| n != 0.0).collect();
        if turns.len() == count {
            Ok(turns)
        } else {
            let reason = format!("expected one number for each of {count} layers, found {}", turns.len());
            Err(Error::config("no_rope_layers", reason))
        }
    }
}

/// Whether each layer slides.
fn layer_types(value: &Value, count: usize) -> Result<Vec<bool>> {
    let kinds = value.as_array().map(|a| {
        a.iter().map(|v| match v.as_str() {
            Some("full_attention") => Some(false),
            Some("sliding_attention") => Some(true),
            _ => None,
        })
    });
    let slides = kinds.and_then(|k| k.collect::<Option<Vec<bool>>>()).filter(|s| s.len() == count);
    slides.ok_or_else(|| {
        let reason = format!("expected {count} times \"full_attention\" or \"sliding_attention\"");
        Error::config("layer_types", reason)
    })
}
