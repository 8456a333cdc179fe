//! A `tokenizer.json` with the decisions that surround it: special tokens and streaming.

use std::path::{Path, PathBuf};

use super::template::{read_json, special_token};
use crate::{Error, Result};

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
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| Error::Tokenizer { path: path.into(), reason: e.to_string() })?;
        Ok(Self { inner, path: path.into(), bos: None })
    }

    /// Parses the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not a tokenizer.
    pub fn from_json(json: &str) -> Result<Self> {
        let path = PathBuf::from("(memory)");
        match json.parse() {
            Ok(inner) => Ok(Self { inner, path, bos: None }),
            Err(e) => Err(Error::Tokenizer { path, reason: format!("{e}") }),
        }
    }

    /// Reads `tokenizer.json` of a model directory, and `add_bos_token` of its `tokenizer_config.json`.
    ///
    /// # Errors
    /// When a file is unreadable, or the token to add is not one of the tokenizer's.
    pub fn load_directory(directory: &Path) -> Result<Self> {
        let mut tokenizer = Self::load(&directory.join("tokenizer.json"))?;
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

    /// Decodes token by token what follows `before`: with it, the first token keeps a space that it would
    /// lose at the beginning of a text.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn stream(&self, before: &[u32]) -> Result<TextStream<'_>> {
        let ids = before[before.len().saturating_sub(CONTEXT)..].to_vec();
        let emitted = self.decode(&ids)?.len();
        Ok(TextStream { tokenizer: self, ids, start: 0, emitted })
    }

    fn error(&self, reason: &impl ToString) -> Error {
        Error::Tokenizer { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// Tokens decoded again with the next one, for their spacing.
const CONTEXT: usize = 8;

/// Decodes a growing sequence into text that is never cut inside a character.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// First token of the window that is decoded anew; one word of context keeps its spacing right.
    start: usize,
    /// Bytes of the window's text already handed out.
    emitted: usize,
}

impl TextStream<'_> {
    /// Adds a token and returns the text that is final with it, possibly empty.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids[self.start..])?;
        // An unfinished multi-byte character decodes to U+FFFD: wait for the rest of it.
        if text.ends_with('\u{FFFD}') || text.len() <= self.emitted {
            return Ok(String::new());
        }
        let new = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        self.slide()?;
        Ok(new)
    }

    /// The text held back, once no token follows.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn finish(&mut self) -> Result<String> {
        let text = self.tokenizer.decode(&self.ids[self.start..])?;
        let rest = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        Ok(rest)
    }

    /// Keeps the window short, so that a long answer is not decoded anew for each token.
    fn slide(&mut self) -> Result<()> {
        const WINDOW: usize = 32;
        if self.ids.len() - self.start > WINDOW {
            self.start = self.ids.len() - CONTEXT;
            self.emitted = self.tokenizer.decode(&self.ids[self.start..])?.len();
        }
        Ok(())
    }
}
