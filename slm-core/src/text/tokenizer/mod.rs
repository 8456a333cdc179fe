//! Tokenizers of every file format that models come with, and streaming.

mod directory;
mod gguf;
mod gguf_write;
mod sentencepiece;
mod spec;
mod stream;
mod tiktoken;

use std::path::{Path, PathBuf};

use super::gguf::GgufVocab;
use super::template::{read_json, special_token};
use crate::{Error, Result};
pub use stream::TextStream;

/// A Hugging Face tokenizer.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    /// Put before a text where the tokenizer itself does not do it.
    bos: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file is missing or not a tokenizer.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&bytes, path.into())
    }

    /// Parses the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not a tokenizer.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::parse(json.as_bytes(), PathBuf::from("(memory)"))
    }

    fn parse(json: &[u8], path: PathBuf) -> Result<Self> {
        // `tokenizers` panics on what is no JSON in some places.
        let valid = serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|e| e.to_string());
        match valid.and_then(|_| tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string())) {
            Ok(inner) => Ok(Self { inner, path, bos: None }),
            Err(reason) => Err(Error::Tokenizer { path, reason }),
        }
    }

    /// Reads the tokenizer of a model directory, and `add_bos_token` of its `tokenizer_config.json`.
    ///
    /// Takes the first that is there: `tokenizer.json`; `vocab.json` with `merges.txt` (GPT-2, Qwen);
    /// `tokenizer.model` (SentencePiece, or tiktoken's text as Llama 3 has it); `*.tiktoken`; `vocab.txt` (BERT);
    /// `*.gguf`.
    ///
    /// # Errors
    /// When there is none, a file is unreadable or damaged, or the token to add is not one of the tokenizer's.
    pub fn load_directory(directory: &Path) -> Result<Self> {
        let mut tokenizer = directory::load(directory)?;
        let path = directory.join("tokenizer_config.json");
        if path.exists() {
            let config = read_json(&path)?;
            if config["add_bos_token"] == true {
                let token = special_token(&config["bos_token"]);
                let id = tokenizer.token_id(&token).ok_or_else(|| Error::Tokenizer {
                    path,
                    reason: format!("add_bos_token is set, but bos_token {token:?} is not a token"),
                })?;
                tokenizer.bos = Some(id);
            }
        }
        Ok(tokenizer)
    }

    /// The tokenizer of a GGUF file.
    ///
    /// # Errors
    /// When its kind of tokenizer or its pre-tokenizer is not known, or its tables contradict each other.
    pub fn from_gguf(vocab: &GgufVocab) -> Result<Self> {
        let path = PathBuf::from("(gguf)");
        match gguf::spec(vocab).and_then(spec::Spec::build) {
            Ok(inner) => Ok(Self { inner, path, bos: None }),
            Err(reason) => Err(Error::Tokenizer { path, reason }),
        }
    }

    /// Wraps a tokenizer made in memory.
    pub fn from_inner(inner: tokenizers::Tokenizer) -> Self {
        Self { inner, path: PathBuf::from("(memory)"), bos: None }
    }

    /// The `tokenizers` crate's own type.
    pub fn as_inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.inner.to_string(true).map_err(|e| self.error(&e))?;
        crate::model::write_atomically(path, text.as_bytes())
    }

    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Token ids of `text`; `special` adds what the tokenizer puts around a text, such as BOS.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, special).map_err(|e| self.error(&e))?;
        let mut ids = encoding.get_ids().to_vec();
        if let Some(bos) = self.bos.filter(|bos| special && ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// Token ids of `text` without anything around them, and the bytes of it that each stands for.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<std::ops::Range<usize>>)> {
        let encoding = self.inner.encode(text, false).map_err(|e| self.error(&e))?;
        let offsets = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
        Ok((encoding.get_ids().to_vec(), offsets))
    }

    /// The text of `ids` with special tokens, which some formats of tool calls are made of.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, false).map_err(|e| self.error(&e))
    }

    /// The text of `ids`, without special tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| self.error(&e))
    }

    /// The id of a token such as `</s>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token that is put before a text because `tokenizer_config.json` says so.
    pub(crate) fn added_bos(&self) -> Option<String> {
        self.inner.id_to_token(self.bos?)
    }

    fn error(&self, reason: &impl ToString) -> Error {
        Error::Tokenizer { path: self.path.clone(), reason: reason.to_string() }
    }
}
