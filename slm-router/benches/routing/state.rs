//! [`PrefillState`]: what the answering model has made of a question, as the question's vector.

use burn::tensor::{Int, Tensor, TensorData};
use slm_core::{ChatRequest, Embedder, Error, LocalModel, Result};

/// How the states of a prompt's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatePooling {
    /// Their mean.
    Mean,
    /// That of the last token, from which the answer goes on.
    Last,
}

/// The state of a local model after it has read a question, as a vector for detectors and routers: no second model is
/// needed.
///
/// The question is put into the model's chat template as it is for an answer, and the last layer's states are pooled. The
/// prompt is read once for the vector and again for the answer. Longer prompts than the context are cut at their beginning.
#[derive(Debug, Clone)]
pub(crate) struct PrefillState {
    model: LocalModel,
    pooling: StatePooling,
}

impl PrefillState {
    /// The states of `model`, which shares its weights with its clones.
    pub(crate) fn new(model: LocalModel, pooling: StatePooling) -> Self {
        Self { model, pooling }
    }

    fn state(&self, text: &str) -> Result<Vec<f32>> {
        let mut ids = self.model.prompt_ids(&ChatRequest::question(text))?;
        let context = self.model.model.config.context_length();
        ids.drain(..ids.len().saturating_sub(context));
        let count = ids.len();
        if count == 0 {
            return Err(Error::Request { reason: "a text without a token has no state".into() });
        }
        let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let device = self.model.model.device();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(values, [1, count]), &device);
        // `[1, count, hidden]`
        let states = self.model.model.hidden(ids, None)?;
        let width = self.dimension();
        let pooled = match self.pooling {
            StatePooling::Mean => states.mean_dim(1),
            StatePooling::Last => states.narrow(1, count - 1, 1),
        };
        let values = pooled.reshape([width]).try_into_vec_as::<f32>();
        let mut vector: Vec<f32> = values.map_err(|e| Error::Device { reason: format!("{e:?}") })?;
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x /= length);
        Ok(vector)
    }
}

impl Embedder for PrefillState {
    fn dimension(&self) -> usize {
        self.model.model.config.hidden_size
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        texts.iter().map(|text| self.state(text)).collect()
    }
}
