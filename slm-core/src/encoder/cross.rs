//! Pairs of texts to scores: [`CrossEncoder`].

use std::path::Path;

use burn::tensor::{Device, Tensor};
use slm_kernels::ops::Activation;

use super::load::Tensors;
use super::text::{parts, segments, truncating};
use super::{Affine, Encoder, EncoderConfig};
use crate::generate::to_values;
use crate::model::{LoadOptions, TensorFile};
use crate::text::{Tokenizer, read_json};
use crate::{Error, Result};

/// A BERT that reads two texts together and says how well they fit (Nogueira and Cho 2019), to order again what a
/// search found: a `BertForSequenceClassification` of one label.
#[derive(Debug, Clone)]
pub struct CrossEncoder {
    /// The transformer.
    pub encoder: Encoder,
    /// `[hidden, hidden]`, of the first token, with a hyperbolic tangent.
    pub pooler: Affine,
    /// `[1, hidden]`.
    pub classifier: Affine,
    tokenizer: tokenizers::Tokenizer,
}

impl CrossEncoder {
    /// Loads a Hugging Face directory.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others, or the head has more than one label.
    pub fn load(directory: &Path, device: &Device) -> Result<Self> {
        let config = EncoderConfig::from_file(&directory.join("config.json"))?;
        if config.num_labels != 1 {
            let reason = format!("expected one label, found {}", config.num_labels);
            return Err(Error::config("num_labels", reason));
        }
        let file = TensorFile::open(&directory.join("model.safetensors"))?;
        let mut tensors = Tensors::new(&file, LoadOptions::default(), device)?;
        let hidden = config.hidden_size;
        let encoder = tensors.encoder(&config)?;
        let pooler = format!("{}pooler.dense", tensors.prefix());
        let pooler = tensors.outer_affine(&pooler, hidden, hidden)?;
        let classifier = tensors.outer_affine("classifier", 1, hidden)?;
        tensors.finish()?;
        let path = directory.join("tokenizer_config.json");
        let declared = if path.exists() { read_json(&path)?["model_max_length"].as_u64() } else { None };
        let limit = config.max_position_embeddings;
        let max_length = declared.and_then(|n| usize::try_from(n).ok()).map_or(limit, |n| n.min(limit));
        let tokenizer = truncating(&Tokenizer::load_directory(directory)?, max_length)?;
        Ok(Self { encoder, pooler, classifier, tokenizer })
    }

    /// How well each text fits the query, as the head's raw output: higher is better, and `σ` of it is between
    /// 0 and 1.
    ///
    /// # Errors
    /// When a text cannot be tokenized or the model fails.
    pub fn score(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        let pairs: Vec<(String, String)> =
            texts.iter().map(|t| (query.to_owned(), (*t).to_owned())).collect();
        let segments = segments(&self.tokenizer, pairs)?;
        let mut scores = Vec::with_capacity(texts.len());
        for part in parts(&segments) {
            let hidden = self.encoder.hidden(part)?;
            let mut start = 0;
            let first: Vec<Tensor<2>> = part
                .iter()
                .map(|segment| {
                    let row = hidden.clone().narrow(0, start, 1);
                    start += segment.ids.len();
                    row
                })
                .collect();
            let pooled = self.pooler.forward(Tensor::cat(first, 0), Activation::Identity).tanh();
            scores.extend(to_values(self.classifier.forward(pooled, Activation::Identity))?);
        }
        Ok(scores)
    }
}
