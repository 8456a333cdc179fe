//! What a model is, as data: [`ModelConfig`], read from a Hugging Face `config.json` and checked once.

mod parse;
mod rope;

use std::path::Path;

pub(crate) use parse::ids_of;
pub use rope::{RopeConfig, RopeScaling};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The family of a checkpoint: decides its quirks of naming, nothing in the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// Llama 2, 3.0 to 3.3, and models of the same shape.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen3: normalised queries and keys.
    Qwen3,
    /// Phi-3 and Phi-3.5: fused projections, longrope.
    Phi3,
}

impl Family {
    /// The `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen3 => "qwen3",
            Self::Phi3 => "phi3",
        }
    }

    /// The `architectures` entry of `config.json`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Phi3 => "Phi3ForCausalLM",
        }
    }
}

/// A decoder-only transformer: pre-norm blocks of grouped-query attention and a gated SiLU MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Naming of the checkpoint.
    pub family: Family,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides `num_attention_heads` (grouped-query attention, Ainslie et al. 2023).
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every RMSNorm.
    pub rms_norm_eps: f64,
    /// The head is the transposed embedding.
    pub tie_word_embeddings: bool,
    /// RMSNorm over each query and key head (Qwen3).
    pub qk_norm: bool,
    /// Biases on the attention projections.
    pub attention_bias: bool,
    /// Biases on the MLP projections.
    pub mlp_bias: bool,
    /// Each token sees itself and the `w - 1` before it.
    pub sliding_window: Option<usize>,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// First token of a text, where the tokenizer adds one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, or a field is missing, unknown or contradicts another.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let value =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })?;
        Self::from_value(value)
    }

    /// Reads and checks the parsed content of a `config.json`.
    ///
    /// # Errors
    /// When a field is missing, unknown or contradicts another; the error names it.
    pub fn from_value(value: serde_json::Value) -> Result<Self> {
        let config = parse::parse(value)?;
        config.check()?;
        Ok(config)
    }

    /// The content of a `config.json` that [`ModelConfig::from_value`] and `transformers` read.
    pub fn to_value(&self) -> serde_json::Value {
        parse::to_value(self)
    }

    /// Number of query heads that share one key and value head.
    pub fn heads_per_group(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// Number of weights.
    pub fn num_parameters(&self) -> usize {
        let (h, q, kv) = (
            self.hidden_size,
            self.num_attention_heads * self.head_dim,
            self.num_key_value_heads * self.head_dim,
        );
        let attention = h * (q + 2 * kv) + q * h + if self.qk_norm { 2 * self.head_dim } else { 0 };
        let biases = if self.attention_bias { q + 2 * kv + h } else { 0 }
            + if self.mlp_bias { 2 * self.intermediate_size + h } else { 0 };
        let block = attention + biases + 3 * h * self.intermediate_size + 2 * h;
        let embeddings = self.vocab_size * h * if self.tie_word_embeddings { 1 } else { 2 };
        embeddings + self.num_hidden_layers * block + h
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::config(field, "must be positive"));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(Error::config(
                "num_key_value_heads",
                format!(
                    "{} does not divide num_attention_heads {}",
                    self.num_key_value_heads, self.num_attention_heads
                ),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::config(
                "head_dim",
                format!("{} is odd; rotary embedding needs pairs", self.head_dim),
            ));
        }
        if self.sliding_window == Some(0) {
            return Err(Error::config("sliding_window", "must be positive or null"));
        }
        self.rope.check(self.head_dim)
    }
}
