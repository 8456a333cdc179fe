//! [`PrefillState`]: what a model has made of a question, as the question's vector.

use super::local::ids_tensor;
use super::{LocalModel, to_values};
use crate::chat::{ChatRequest, Embedder};
use crate::nn::{KvCache, KvCacheType};
use crate::{Error, Result};

/// How the states of a prompt's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatePooling {
    /// Their mean.
    #[default]
    Mean,
    /// That of the last token, from which the answer goes on.
    Last,
}

/// The state of a local model after it has read a question, as a vector for detectors and routers: no second model is
/// needed.
///
/// The question is put into the model's chat template as it is for an answer, and the last layer's states are pooled. Where
/// the model keeps prefixes ([`LocalModel::prefixes`]), what was read is kept there, and an answer to the same prompt goes on
/// from it: the prompt is read once for both. Of several texts at once nothing is kept.
///
/// It reads on the caller's thread, one text after the other, with the keys and values of that text beside the weights.
#[derive(Debug, Clone)]
pub struct PrefillState {
    model: LocalModel,
    pooling: StatePooling,
    kv_cache: KvCacheType,
    max_length: usize,
}

impl PrefillState {
    /// Most tokens that are read of a prompt, its last ones.
    pub const MAX_LENGTH: usize = 2048;

    /// The states of `model`, which shares its weights and prefixes with its clones.
    pub fn new(model: LocalModel, pooling: StatePooling) -> Self {
        let max_length = Self::MAX_LENGTH.min(model.model.config.context_length());
        Self { model, pooling, kv_cache: KvCacheType::default(), max_length }
    }

    /// Keeps keys and values as the answers do that shall go on from them.
    #[must_use]
    pub fn with_kv_cache(self, kv_cache: KvCacheType) -> Self {
        Self { kv_cache, ..self }
    }

    /// Tokens that are read of the prompt of a question.
    ///
    /// # Errors
    /// When the template or the tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<usize> {
        Ok(self.ids(text)?.len())
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.model.prompt_ids(&ChatRequest::question(text))?;
        ids.drain(..ids.len().saturating_sub(self.max_length));
        Ok(ids)
    }

    fn state(&self, text: &str, keep: bool) -> Result<Vec<f32>> {
        let ids = self.ids(text)?;
        let count = ids.len();
        if count == 0 {
            return Err(Error::Request { reason: "a text without a token has no state".into() });
        }
        let mut cache = KvCache::with_type(self.kv_cache);
        // `[1, count, hidden]`
        let states =
            self.model.model.hidden(ids_tensor(&ids, &self.model.model.device()), Some(&mut cache))?;
        let pooled = match self.pooling {
            StatePooling::Mean => states.mean_dim(1),
            StatePooling::Last => states.narrow(1, count - 1, 1),
        };
        let mut vector = to_values(pooled)?;
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x /= length);
        if let Some(prefixes) = self.model.prefixes.as_ref().filter(|_| keep) {
            prefixes.put(&ids, cache);
        }
        Ok(vector)
    }
}

impl Embedder for PrefillState {
    fn dimension(&self) -> usize {
        self.model.model.config.hidden_size
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        texts.iter().map(|text| self.state(text, texts.len() == 1)).collect()
    }
}
