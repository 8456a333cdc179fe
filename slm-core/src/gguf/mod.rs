//! GGUF, the files of llama.cpp and Ollama: models with their tokenizer and chat template in one file.
//!
//! Reading keeps weights where they are: in the memory map, in the blocks that the file has. What a file claims is
//! held against its length before memory is taken; a damaged file is an error that says where.
//!
//! The format's dimensions run fastest first; here, as everywhere in this crate, a matrix is `[rows, cols]`.

mod adapter;
mod config;
mod file;
mod fold;
mod load;
mod metadata;
mod names;
mod ollama;
mod reader;
mod rope;
mod save;
mod tensor_type;
mod tensors;
mod value;
mod write;

pub use file::{GgufFile, GgufHeader, GgufTensor};
pub use save::{GgufExport, GgufOptions};
pub use tensor_type::GgufType;
pub use value::{GgufArray, GgufValue};
pub use write::GgufWriter;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::config::ModelConfig;
use crate::text::gguf::GgufVocab;

/// The GGUF file that `path` means: itself, or the only one of a directory without a `config.json`.
pub(crate) fn file_at(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.into());
    }
    if path.join("config.json").exists() {
        return None;
    }
    let entries = std::fs::read_dir(path).ok()?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files = files.filter(|file| file.extension().is_some_and(|e| e == "gguf"));
    files.next().filter(|_| files.next().is_none())
}

impl GgufFile {
    /// What the file is a model of.
    ///
    /// # Errors
    /// When its architecture is not one of ours, or a key is missing or makes no sense.
    pub fn model_config(&self) -> Result<ModelConfig> {
        config::read(self)
    }

    /// The tokenizer and the chat templates of the file.
    ///
    /// # Errors
    /// When the file has none, or they contradict themselves.
    pub fn vocabulary(&self) -> Result<GgufVocab> {
        GgufVocab::from_metadata(&self.header().metadata).map_err(|reason| self.error(reason))
    }

    /// The tokens that end a text or a turn.
    pub fn end_tokens(&self) -> Vec<u32> {
        config::end_ids(self).into_iter().filter_map(|id| u32::try_from(id).ok()).collect()
    }
}
