//! [`Encoder`]: an embedder, and the tokens that it reads.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use slm_core::generate::PrefillState;
use slm_core::{Embedder, TextEncoder, Tokenizer};

use crate::Result;

/// An embedder that is shared.
pub type SharedEmbedder = Arc<dyn Embedder + Send + Sync>;

/// An embedder, and how many tokens it reads of a text.
#[derive(Clone)]
pub struct Encoder {
    /// What makes the vectors.
    pub model: SharedEmbedder,
    counter: Option<Arc<Counter>>,
}

/// How many tokens are read of a text.
type Counter = dyn Fn(&str) -> slm_core::Result<usize> + Send + Sync;

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("dimension", &self.model.dimension()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An embedder of the embedding program, whose tokens are not counted.
    pub fn new(model: SharedEmbedder) -> Self {
        Self { model, counter: None }
    }

    /// Loads a sentence-transformers directory.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let encoder = TextEncoder::load(path, device)?;
        let tokenizer = Tokenizer::load_directory(path)?;
        let (prompt, max_length) = (encoder.prompt.clone(), encoder.max_length);
        let counter = move |text: &str| {
            let ids = tokenizer.encode(&format!("{prompt}{text}"), true)?;
            Ok(ids.len().min(max_length))
        };
        Ok(Self { model: Arc::new(encoder), counter: Some(Arc::new(counter)) })
    }

    /// The states of a model that answers anyway.
    pub fn of_states(states: PrefillState) -> Self {
        let states = Arc::new(states);
        let counted = Arc::clone(&states);
        Self { model: states, counter: Some(Arc::new(move |text: &str| counted.tokens(text))) }
    }

    /// Tokens read of all `texts` together; 0 where the embedder counts none.
    ///
    /// # Errors
    /// When a text cannot be tokenized.
    pub fn tokens(&self, texts: &[&str]) -> slm_core::Result<usize> {
        let Some(counter) = &self.counter else { return Ok(0) };
        texts.iter().map(|text| counter(text)).sum()
    }
}
