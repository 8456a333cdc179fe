//! [`QuantConfig`]: which weights are quantized, and how.

use serde::{Deserialize, Serialize};
use slm_kernels::Format;

/// Width of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bits {
    /// Two weights per byte.
    Int4,
    /// One weight per byte.
    Int8,
}

impl Bits {
    /// Bits of a code: 4 or 8.
    pub const fn width(self) -> usize {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }

    /// The variant of `width` bits, if there is one.
    pub const fn from_width(width: usize) -> Option<Self> {
        match width {
            4 => Some(Self::Int4),
            8 => Some(Self::Int8),
            _ => None,
        }
    }

    /// The format with codes of this width.
    pub const fn format(self, group_size: usize) -> Format {
        match self {
            Self::Int4 => Format::Int4 { group_size },
            Self::Int8 => Format::Int8 { group_size },
        }
    }
}

/// Which weights are quantized, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantConfig {
    /// Bits per code: 4 or 8.
    #[serde(with = "width")]
    pub bits: Bits,
    /// Weights that share a scale: 32, 64 or 128. Smaller is closer to the original and larger in memory.
    pub group_size: usize,
    /// Names of tensors to leave alone; `*` stands for any text, also none.
    pub skip: Vec<String>,
}

impl Default for QuantConfig {
    /// 4 bits in groups of 64; embeddings, the output head and norms stay as they are.
    fn default() -> Self {
        let skip = ["*embed*", "lm_head*", "*norm*"].map(String::from).to_vec();
        Self { bits: Bits::Int4, group_size: 64, skip }
    }
}

impl QuantConfig {
    /// Whether the tensor `name` is to be quantized: a matrix whose rows the group size divides, and whose
    /// name no pattern of [`skip`](Self::skip) matches.
    pub fn applies_to(&self, name: &str, shape: &[usize]) -> bool {
        let fits = match shape {
            [_, cols] => *cols > 0 && self.group_size > 0 && cols.is_multiple_of(self.group_size),
            _ => false,
        };
        fits && !self.skip.iter().any(|pattern| matches(pattern, name))
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

/// Serializes [`Bits`] as a number.
pub(crate) mod width {
    use super::Bits;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(crate) fn serialize<S: Serializer>(bits: &Bits, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(bits.width() as u64)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bits, D::Error> {
        let width = usize::deserialize(deserializer)?;
        Bits::from_width(width).ok_or_else(|| D::Error::custom(format!("bits: expected 4 or 8, got {width}")))
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
        let config: QuantConfig = serde_json::from_str(r#"{"bits": 8}"#)?;
        assert_eq!(config, QuantConfig { bits: Bits::Int8, ..QuantConfig::default() });
        assert_eq!(serde_json::from_str::<QuantConfig>(&serde_json::to_string(&config)?)?, config);
        for bad in [r#"{"bits": 5}"#, r#"{"groupsize": 32}"#] {
            assert!(serde_json::from_str::<QuantConfig>(bad).is_err(), "{bad} was accepted");
        }
        Ok(())
    }
}
