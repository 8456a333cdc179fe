//! What a model is, as data: [`ModelConfig`], read from a Hugging Face `config.json` and checked once.

mod family;
mod fields;
mod parse;
mod rope;
mod scaling;
mod write;

use std::path::Path;

pub use family::Family;
pub(crate) use fields::Fields;
pub(crate) use parse::{MAX_LAYERS, ids_of};
pub use rope::{RopeConfig, RopeScaling};

use crate::{Error, Result};

/// A decoder-only transformer: blocks of grouped-query attention and a gated MLP on a residual stream.
///
/// The families differ in these fields alone.
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
    /// Longest sequence, in tokens, that the checkpoint declares.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every RMSNorm.
    pub rms_norm_eps: f64,
    /// The head is the transposed embedding.
    pub tie_word_embeddings: bool,
    /// Where each block normalises.
    pub norms: NormPlacement,
    /// How norms store their weights.
    pub norm_weight: NormWeight,
    /// RMSNorm over queries and keys.
    pub qk_norm: QkNorm,
    /// Biases on the attention projections.
    pub attention_bias: AttentionBias,
    /// Biases on the MLP projections.
    pub mlp_bias: bool,
    /// Of the gate in the MLP.
    pub activation: Activation,
    /// Constants that the checkpoint was trained with.
    pub multipliers: Multipliers,
    /// Attention of each block.
    pub layers: Vec<LayerConfig>,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// Rotary position embedding of the layers with [`LayerRope::Local`] (Gemma 3).
    pub local_rope: Option<RopeConfig>,
    /// First token of a text, where the tokenizer adds one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and before the MLP (Llama and most others).
    Pre,
    /// After attention and after the MLP, before each is added to the residual stream (OLMo 2).
    Post,
    /// Before and after both (Gemma 2 and 3).
    Both,
}

/// How norms store their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormWeight {
    /// The factor itself.
    Factor,
    /// Its distance from one (Gemma).
    OffsetFromOne,
}

/// RMSNorm over queries and keys, before they turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    None,
    /// Over each head (Qwen3, Gemma 3).
    PerHead,
    /// Over all heads together (OLMo 2).
    Whole,
}

/// Biases on the attention projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionBias {
    /// None.
    None,
    /// On queries, keys and values (Qwen2).
    Inputs,
    /// On all four projections.
    All,
}

/// Activation of the gate in the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · σ(x)`.
    Silu,
    /// GELU by its tanh approximation (Hendrycks and Gimpel 2016).
    GeluTanh,
}

/// Constants that a checkpoint was trained with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multipliers {
    /// Of the embeddings.
    pub embedding: f64,
    /// Of the attention scores; `1 / √head_dim` unless the family says otherwise.
    pub attention: f64,
    /// Of what each half of a block adds to the residual stream.
    pub residual: f64,
    /// Divisor of the logits.
    pub logits_divisor: f64,
    /// `c · tanh(s / c)` of the attention scores.
    pub attention_softcap: Option<f64>,
    /// `c · tanh(l / c)` of the logits.
    pub logits_softcap: Option<f64>,
}

/// Attention of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerConfig {
    /// Each token sees itself and the `w - 1` before it.
    pub window: Option<usize>,
    /// Which positions turn queries and keys.
    pub rope: LayerRope,
}

/// Which rotary embedding a block uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRope {
    /// [`ModelConfig::rope`].
    Global,
    /// [`ModelConfig::local_rope`].
    Local,
    /// None at all (NoPE, Kazemnejad et al. 2023; SmolLM3).
    None,
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
        write::to_value(self)
    }

    /// Number of query heads that share one key and value head.
    pub fn heads_per_group(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// Longest sequence, in tokens, that the model reads: what the checkpoint declares, or more where its
    /// rotary scaling is made for more (`dynamic`, `yarn`).
    pub fn context_length(&self) -> usize {
        self.rope.reach(self.max_position_embeddings)
    }

    /// Number of weights.
    pub fn num_parameters(&self) -> usize {
        crate::model::layout(self).iter().map(|stored| stored.shape.iter().product::<usize>()).sum()
    }

    /// The rotary embedding of a kind of layer; none for [`LayerRope::None`].
    pub(crate) fn rope_of(&self, kind: LayerRope) -> Option<&RopeConfig> {
        match kind {
            LayerRope::Global => Some(&self.rope),
            LayerRope::Local => self.local_rope.as_ref(),
            LayerRope::None => None,
        }
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
        // Far above any model, far below where products of sizes overflow.
        const LIMIT: usize = 1 << 28;
        for (field, value) in positive {
            if value == 0 || value > LIMIT {
                return Err(Error::config(field, format!("{value} is not between 1 and {LIMIT}")));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (kv, heads) = (self.num_key_value_heads, self.num_attention_heads);
            let reason = format!("{kv} does not divide num_attention_heads {heads}");
            return Err(Error::config("num_key_value_heads", reason));
        }
        if !self.head_dim.is_multiple_of(2) {
            let reason = format!("{} is odd; rotary embedding needs pairs", self.head_dim);
            return Err(Error::config("head_dim", reason));
        }
        if self.layers.iter().any(|l| l.window == Some(0)) {
            return Err(Error::config("sliding_window", "must be positive or null"));
        }
        let m = &self.multipliers;
        let factors = [
            ("rms_norm_eps", self.rms_norm_eps),
            ("attention_multiplier", m.attention),
            ("embedding_multiplier", m.embedding),
            ("residual_multiplier", m.residual),
            ("logits_scaling", m.logits_divisor),
            ("attn_logit_softcapping", m.attention_softcap.unwrap_or(1.0)),
            ("final_logit_softcapping", m.logits_softcap.unwrap_or(1.0)),
        ];
        for (field, value) in factors {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(field, format!("{value} is not a positive number")));
            }
        }
        self.rope.check(self.head_dim)?;
        self.local_rope.as_ref().map_or(Ok(()), |rope| rope.check(self.head_dim))
    }
}
