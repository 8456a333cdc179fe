//! What an encoder is, as data.

use std::path::Path;

use serde_json::Value;

use crate::config::{Fields, MAX_LAYERS};
use crate::text::read_json;
use crate::{Error, Result};

/// A BERT encoder (Devlin et al. 2019): post-norm blocks with absolute positions.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of a token's vector.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Number of segment types.
    pub type_vocab_size: usize,
    /// Added to the variance in every normalisation.
    pub layer_norm_eps: f64,
    /// Labels of a classification head; 1 for the score of a cross-encoder.
    pub num_labels: usize,
}

/// Fields that do not change inference.
const IGNORED: &[&str] = &[
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "classifier_dropout",
    "dtype",
    "eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "initializer_range",
    "label2id",
    "model_type",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "directionality",
    "sentence_transformers",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

impl EncoderConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is no BERT, or a field is missing, unknown or contradicts another.
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::from_value(read_json(path)?)
    }

    /// Reads and checks the parsed content of a `config.json`.
    ///
    /// # Errors
    /// When it is no BERT, or a field is missing, unknown or contradicts another; the error names it.
    pub fn from_value(value: Value) -> Result<Self> {
        let mut f = Fields::of("(root)", value)?;
        let kind = f.text("model_type")?.unwrap_or_else(|| "bert".into());
        if kind != "bert" {
            return Err(Error::config(
                "model_type",
                format!("expected an encoder \"bert\", found \"{kind}\""),
            ));
        }
        only(&mut f, "hidden_act", "gelu")?;
        only(&mut f, "position_embedding_type", "absolute")?;
        if f.flag("is_decoder")? == Some(true) {
            return Err(Error::config("is_decoder", "expected an encoder"));
        }
        let labels = f.take("id2label").and_then(|v| v.as_object().map(serde_json::Map::len));
        let config = Self {
            vocab_size: f.required_size("vocab_size")?,
            hidden_size: f.required_size("hidden_size")?,
            num_hidden_layers: f.required_size("num_hidden_layers")?,
            num_attention_heads: f.required_size("num_attention_heads")?,
            intermediate_size: f.required_size("intermediate_size")?,
            max_position_embeddings: f.required_size("max_position_embeddings")?,
            type_vocab_size: f.size("type_vocab_size")?.unwrap_or(2),
            layer_norm_eps: f.number("layer_norm_eps")?.unwrap_or(1e-12),
            num_labels: f.size("num_labels")?.or(labels).unwrap_or(2),
        };
        f.finish("", IGNORED)?;
        config.check()?;
        Ok(config)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        const LIMIT: usize = 1 << 24;
        for (field, value) in sizes {
            if value == 0 || value > LIMIT {
                return Err(Error::config(field, format!("{value} is not between 1 and {LIMIT}")));
            }
        }
        if self.num_hidden_layers > MAX_LAYERS {
            let reason = format!("{} is more than {MAX_LAYERS}", self.num_hidden_layers);
            return Err(Error::config("num_hidden_layers", reason));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let reason = format!("does not divide hidden_size {}", self.hidden_size);
            return Err(Error::config("num_attention_heads", reason));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            return Err(Error::config("layer_norm_eps", format!("{} is not positive", self.layer_norm_eps)));
        }
        Ok(())
    }
}

/// A text field that may be absent, but must be `expected` where it is there.
fn only(f: &mut Fields, name: &str, expected: &str) -> Result<()> {
    match f.text(name)? {
        Some(found) if found != expected => {
            Err(Error::config(name, format!("expected \"{expected}\", found \"{found}\"")))
        }
        _ => Ok(()),
    }
}
