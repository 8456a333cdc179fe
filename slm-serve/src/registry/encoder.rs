//! [`Encoder`]: an embedder, and the tokens that it reads.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
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

/// Counts as the encoder reads: with its special tokens and its prompt, up to its longest text.
struct Counter {
    tokenizer: Tokenizer,
    prompt: String,
    max_length: usize,
}

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
        let counter = Counter {
            tokenizer: Tokenizer::load_directory(path)?,
            prompt: encoder.prompt.clone(),
            max_length: encoder.max_length,
        };
        Ok(Self { model: Arc::new(encoder), counter: Some(Arc::new(counter)) })
    }

    /// Tokens read of all `texts` together; 0 where the embedder counts none.
    ///
    /// # Errors
    /// When a text cannot be tokenized.
    pub fn tokens(&self, texts: &[&str]) -> slm_core::Result<usize> {
        let Some(counter) = &self.counter else { return Ok(0) };
        let count = |text: &&str| {
            let ids = counter.tokenizer.encode(&format!("{}{text}", counter.prompt), true)?;
            Ok(ids.len().min(counter.max_length))
        };
        texts.iter().map(count).sum()
    }
}
