//! [`QuantConfig`]: which weights are quantized, to what, and how.

use serde::{Deserialize, Serialize};
use slm_kernels::packed::Format;

use crate::GptqConfig;

/// How codes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Round to nearest, scales from the largest weight of each group; where the format has no such rounding
    /// (K-quants), scales by search.
    #[default]
    Nearest,
    /// Scales by search, improved half-quadratically (HQQ); no data.
    Hqq,
    /// Scales by search, errors weighted by the mean square of their input (an importance matrix).
    Weighted,
    /// Inputs scaled (AWQ), then as [`Weighted`](Self::Weighted).
    Awq,
    /// GPTQ.
    Gptq,
    /// Inputs scaled (AWQ), then GPTQ.
    AwqGptq,
}

impl Method {
    /// All methods, simplest first.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Hqq, Self::Weighted, Self::Awq, Self::Gptq, Self::AwqGptq];

    /// Whether codes depend on text that the model reads.
    pub fn calibrates(self) -> bool {
        !matches!(self, Self::Nearest | Self::Hqq)
    }

    pub(crate) fn scales_inputs(self) -> bool {
        matches!(self, Self::Awq | Self::AwqGptq)
    }
}

/// A format for the tensors of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Name of a tensor; `*` stands for any text, also none.
    pub pattern: String,
    /// What to pack it as; `None` leaves it alone.
    #[serde(default, with = "optional_name")]
    pub format: Option<Format>,
}

/// Which weights are quantized, to what, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantConfig {
    /// What to pack weights as, by name, such as `"int4-g64"` or `"q4_K"`. Smaller groups are closer to the original
    /// and larger in memory.
    #[serde(with = "name")]
    pub format: Format,
    /// How codes are chosen.
    pub method: Method,
    /// Names of tensors to leave alone; `*` stands for any text, also none.
    pub skip: Vec<String>,
    /// Other formats for some tensors; the first that matches counts, before [`skip`](Self::skip).
    pub overrides: Vec<Override>,
    /// Of [`Method::Gptq`].
    pub gptq: GptqConfig,
    /// Minimums of [`Format::Int4Asym`] are whole multiples of their scales, so that
    /// [`CausalLm::save_gptq`](slm_core::CausalLm::save_gptq) can write them.
    pub whole_zeros: bool,
}

impl Default for QuantConfig {
    /// 4 bits in groups of 64, rounded to nearest; embeddings, the output head and norms stay as they are.
    fn default() -> Self {
        let skip = ["*embed*", "lm_head*", "*norm*"].map(String::from).to_vec();
        Self {
            format: Format::Int4 { group_size: 64 },
            method: Method::Nearest,
            skip,
            overrides: Vec::new(),
            gptq: GptqConfig::default(),
            whole_zeros: false,
        }
    }
}

impl QuantConfig {
    /// What the tensor `name` is to be packed as; `None` where it is left alone: it is no matrix, its rows do not fit
    /// the format, or its name matches [`skip`](Self::skip).
    pub fn format_of(&self, name: &str, shape: &[usize]) -> Option<Format> {
        let chosen = match self.overrides.iter().find(|o| matches(&o.pattern, name)) {
            Some(found) => found.format?,
            None if self.skip.iter().any(|pattern| matches(pattern, name)) => return None,
            None => self.format,
        };
        match shape {
            [_, cols] if chosen.check(*cols).is_ok() => Some(chosen),
            _ => None,
        }
    }

    /// Whether the tensor `name` is to be quantized; see [`format_of`](Self::format_of).
    pub fn applies_to(&self, name: &str, shape: &[usize]) -> bool {
        self.format_of(name, shape).is_some()
    }
}

/// Whether `name` is `pattern`, where `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or("");
    // Taking the first place where each part occurs leaves the most room for those after it.
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

/// Serializes a [`Format`] by its name.
mod name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use slm_kernels::packed::Format;

    pub(super) fn serialize<S: Serializer>(format: &Format, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(format)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Serializes a [`Format`] that may be absent by its name.
mod optional_name {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use slm_kernels::packed::Format;

    #[expect(clippy::ref_option, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        format: &Option<Format>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        format.map(|format| format.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Format>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map(|name| name.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("lm_head.weight", "lm_head.weight", true),
            ("lm_head", "lm_head.weight", false),
            ("lm_head*", "lm_head.weight", true),
            ("*norm*", "model.layers.0.input_layernorm.weight", true),
            ("*norm*", "model.layers.0.mlp.up_proj.weight", false),
            ("model.*.up_proj.*", "model.layers.0.mlp.up_proj.weight", true),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("*ab*ab", "abab", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn only_matrices_the_group_divides() {
        let config = QuantConfig::default();
        assert!(config.applies_to("model.layers.0.mlp.up_proj.weight", &[7, 128]));
        assert!(!config.applies_to("model.layers.0.mlp.up_proj.weight", &[7, 96]));
        assert!(!config.applies_to("model.layers.0.mlp.up_proj.bias", &[128]));
        assert!(!config.applies_to("model.embed_tokens.weight", &[7, 128]));
    }

    #[test]
    fn config_json() -> serde_json::Result<()> {
        let config: QuantConfig = serde_json::from_str(
            r#"{"format": "int8-g32", "method": "awq-gptq",
            "overrides": [{"pattern": "*down*", "format": "q6_K"}, {"pattern": "*v_proj*"}]}"#,
        )?;
        let down = Format::Block(slm_kernels::packed::BlockType::Q6K);
        let expected = QuantConfig {
            format: Format::Int8 { group_size: 32 },
            method: Method::AwqGptq,
            overrides: vec![
                Override { pattern: "*down*".into(), format: Some(down) },
                Override { pattern: "*v_proj*".into(), format: None },
            ],
            ..QuantConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(config.format_of("model.layers.0.mlp.down_proj.weight", &[8, 256]), Some(down));
        assert_eq!(config.format_of("model.layers.0.mlp.down_proj.weight", &[8, 128]), None);
        assert_eq!(config.format_of("model.layers.0.self_attn.v_proj.weight", &[8, 256]), None);
        assert_eq!(serde_json::from_str::<QuantConfig>(&serde_json::to_string(&config)?)?, config);
        for bad in [r#"{"format": "int5"}"#, r#"{"groupsize": 32}"#] {
            assert!(serde_json::from_str::<QuantConfig>(bad).is_err(), "{bad} was accepted");
        }
        Ok(())
    }
}
