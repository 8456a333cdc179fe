//! The finished model for other engines: GGUF files for llama.cpp and Ollama.

use std::path::Path;

use slm_core::gguf::GgufOptions;
use slm_core::{LocalModel, Result};

/// Writes `expert.gguf` with a `Modelfile` beside it, and what was tuned alone as `adapter.gguf`, into `folder`.
///
/// # Errors
/// When the format has no name for the model's tokenizer, or a file cannot be written.
pub(super) fn export(packed: &LocalModel, tuned: &LocalModel, folder: &Path) -> Result<()> {
    let path = folder.join("expert.gguf");
    packed.save_gguf(&path, &GgufOptions { name: packed.name.clone(), ..GgufOptions::default() })?;
    packed.save_modelfile(&path)?;
    tuned.model.save_gguf_adapter(&folder.join("adapter.gguf"))
}
