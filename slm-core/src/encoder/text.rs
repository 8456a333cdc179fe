//! Texts to vectors: [`TextEncoder`].

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use tokenizers::{TruncationParams, TruncationStrategy};

use super::{Encoder, Segment};
use crate::chat::Embedder;
use crate::generate::to_values;
use crate::model::LoadOptions;
use crate::text::{Tokenizer, read_json};
use crate::{Error, Result};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean (MiniLM, E5).
    Mean,
    /// The first token's (BGE).
    Cls,
}

/// A sentence embedder: a directory of `sentence-transformers` with a BERT inside, as an [`Embedder`].
#[derive(Debug, Clone)]
pub struct TextEncoder {
    /// The transformer.
    pub encoder: Encoder,
    /// How tokens become a text.
    pub pooling: Pooling,
    /// Longest text, in tokens; what is beyond is cut.
    pub max_length: usize,
    /// Texts put before what is embedded, by the name of their use (`query`, `passage`).
    pub prompts: BTreeMap<String, String>,
    /// Put before each text.
    pub prompt: String,
    tokenizer: tokenizers::Tokenizer,
}

/// Tokens read in one pass: enough to fill the processor, few enough to stay in its cache.
const TOKENS: usize = 2048;

impl TextEncoder {
    /// Loads a directory of `sentence-transformers`, or a bare BERT, which is then pooled by its mean.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others, or the directory asks for a module that is not
    /// known.
    pub fn load(directory: &Path, device: &Device) -> Result<Self> {
        Self::load_with(directory, LoadOptions::default(), device)
    }

    /// Loads a directory, with its weights as `options` say.
    ///
    /// # Errors
    /// As [`TextEncoder::load`].
    pub fn load_with(directory: &Path, options: LoadOptions, device: &Device) -> Result<Self> {
        let encoder = Encoder::load(directory, options, device)?;
        let optional = |name: &str| {
            let path = directory.join(name);
            if path.exists() { read_json(&path) } else { Ok(Value::Null) }
        };
        let modules = optional("modules.json")?;
        let mut pooling = Pooling::Mean;
        for module in modules.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or_default();
            match kind.rsplit('.').next() {
                Some("Transformer" | "Normalize") => {}
                Some("Pooling") => {
                    let path = module["path"].as_str().unwrap_or("1_Pooling");
                    pooling = pooling_of(&optional(&format!("{path}/config.json"))?)?;
                }
                _ => return Err(Error::config("modules.json", format!("unknown module \"{kind}\""))),
            }
        }
        let limit = encoder.config.max_position_embeddings;
        let declared = optional("sentence_bert_config.json")?["max_seq_length"]
            .as_u64()
            .or(optional("tokenizer_config.json")?["model_max_length"].as_u64());
        let max_length = declared.and_then(|n| usize::try_from(n).ok()).map_or(limit, |n| n.min(limit));
        let used = optional("config_sentence_transformers.json")?;
        let prompts: BTreeMap<String, String> = match &used["prompts"] {
            Value::Object(all) => all
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
                .collect(),
            _ => BTreeMap::new(),
        };
        let default = used["default_prompt_name"].as_str().and_then(|name| prompts.get(name).cloned());
        let tokenizer = Tokenizer::load_directory(directory)?;
        let tokenizer = truncating(&tokenizer, max_length)?;
        Ok(Self { encoder, pooling, max_length, prompts, prompt: default.unwrap_or_default(), tokenizer })
    }

    /// The same encoder with one of its prompts before each text: E5 wants `query` and `passage`.
    ///
    /// # Errors
    /// When the model has no such prompt.
    pub fn with_prompt(&self, name: &str) -> Result<Self> {
        let Some(prompt) = self.prompts.get(name) else {
            let known: Vec<&String> = self.prompts.keys().collect();
            return Err(Error::Request { reason: format!("no prompt \"{name}\"; known: {known:?}") });
        };
        Ok(Self { prompt: prompt.clone(), ..self.clone() })
    }

    /// The tokens of texts, the prompt included, cut where they are too long.
    ///
    /// # Errors
    /// When a text cannot be tokenized.
    pub fn segments(&self, texts: &[&str]) -> Result<Vec<Segment>> {
        segments(&self.tokenizer, texts.iter().map(|text| format!("{}{text}", self.prompt)).collect())
    }

    /// Unit vectors of tokenized texts, for training: differentiable in the weights on an autodiff device. To embed, use
    /// [`Embedder::embed`], whose vectors do not depend on what else is in the batch.
    ///
    /// # Shapes
    /// To `[texts, hidden]`.
    ///
    /// # Errors
    /// As [`Encoder::hidden`].
    pub fn vectors(&self, segments: &[Segment]) -> Result<Tensor<2>> {
        let hidden = self.encoder.hidden(segments)?;
        let tokens = hidden.dims()[0];
        // One product pools all texts: a row of shares for each.
        let mut shares = vec![0.0_f32; segments.len() * tokens];
        let mut start = 0;
        for (segment, row) in segments.iter().zip(shares.chunks_mut(tokens)) {
            let length = segment.ids.len();
            let read = if self.pooling == Pooling::Mean { length } else { 1 };
            row[start..start + read].fill(1.0 / read as f32);
            start += length;
        }
        let shares = TensorData::new(shares, [segments.len(), tokens]);
        let pooled = Tensor::<2>::from_data(shares, &hidden.device()).matmul(hidden);
        let square = (pooled.clone() * pooled.clone()).sum_dim(1);
        Ok(pooled / square.add_scalar(1e-24).sqrt())
    }

    /// Unit vectors of tokenized texts.
    fn pooled(&self, segments: &[Segment]) -> Result<Vec<Vec<f32>>> {
        let hidden = self.encoder.hidden(segments)?;
        let width = self.encoder.config.hidden_size;
        let mut start = 0;
        let rows: Vec<Tensor<2>> = segments
            .iter()
            .map(|segment| {
                let own = hidden.clone().narrow(0, start, segment.ids.len());
                start += segment.ids.len();
                match self.pooling {
                    Pooling::Mean => own.mean_dim(0),
                    Pooling::Cls => own.narrow(0, 0, 1),
                }
            })
            .collect();
        let values = to_values(Tensor::cat(rows, 0))?;
        Ok(values.chunks_exact(width).map(unit).collect())
    }
}

impl Embedder for TextEncoder {
    fn dimension(&self) -> usize {
        self.encoder.config.hidden_size
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let segments = self.segments(texts)?;
        let mut vectors = Vec::with_capacity(texts.len());
        for part in parts(&segments) {
            vectors.extend(self.pooled(part)?);
        }
        Ok(vectors)
    }
}

/// A tokenizer that cuts at `max_length`, special tokens included, and never pads.
pub(super) fn truncating(tokenizer: &Tokenizer, max_length: usize) -> Result<tokenizers::Tokenizer> {
    let mut inner = tokenizer.as_inner().clone();
    let strategy = TruncationStrategy::LongestFirst;
    let cut = TruncationParams { max_length, strategy, ..TruncationParams::default() };
    let cut = inner.with_truncation(Some(cut)).map(|_| ());
    cut.map_err(|e| Error::config("max_seq_length", e.to_string()))?;
    inner.with_padding(None);
    Ok(inner)
}

pub(super) fn segments<'s, I>(tokenizer: &tokenizers::Tokenizer, inputs: Vec<I>) -> Result<Vec<Segment>>
where
    I: Into<tokenizers::EncodeInput<'s>> + Send,
{
    let encoded = tokenizer
        .encode_batch(inputs, true)
        .map_err(|e| Error::Tokenizer { path: "(encoder)".into(), reason: e.to_string() })?;
    let segment =
        |e: tokenizers::Encoding| Segment { ids: e.get_ids().to_vec(), types: e.get_type_ids().to_vec() };
    Ok(encoded.into_iter().map(segment).collect())
}

/// Segments in runs of at most [`TOKENS`] tokens, in order.
pub(super) fn parts(segments: &[Segment]) -> impl Iterator<Item = &[Segment]> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|s| {
            tokens += s.ids.len();
            tokens <= TOKENS
        });
        let count = fits.count().max(1).min(rest.len());
        let (part, after) = rest.split_at(count);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

fn pooling_of(config: &Value) -> Result<Pooling> {
    let flag = |name: &str| config[name] == true;
    let named = config["pooling_mode"].as_str();
    let others = ["max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"];
    let other = others.iter().find(|o| flag(&format!("pooling_mode_{o}")));
    let (cls, mean) = (flag("pooling_mode_cls_token"), flag("pooling_mode_mean_tokens"));
    match (named, cls, mean, other) {
        (Some("mean"), ..) | (None, false, true, None) => Ok(Pooling::Mean),
        (Some("cls"), ..) | (None, true, false, None) => Ok(Pooling::Cls),
        _ => Err(Error::config("pooling_mode", format!("expected mean or cls, found {config}"))),
    }
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter().map(|x| (f64::from(*x) / norm) as f32).collect()
}
