//! The embedded base: a small model with general skills that the project pretrained itself.
//!
//! It copies, extracts, finds and looks up what stands in a question (see [`crate::sandbox::general_examples`]),
//! and knows nothing of any domain. [`recipe`] is how it was made; `examples/pretrain_base.rs` makes it again.

use std::path::Path;

use burn::tensor::Device;
use slm_core::model::TensorFile;
use slm_core::{CausalLm, ChatTemplate, Error, LocalModel, ModelConfig, Result, Tokenizer};

pub mod recipe;

/// The embedded base model, ready to answer.
///
/// # Errors
/// When the files in the program do not fit each other, which a test of this crate excludes.
pub fn embedded(device: &Device) -> Result<LocalModel> {
    let origin = Path::new("(embedded)");
    let json = |text: &str, name: &str| {
        serde_json::from_str(text).map_err(|source| Error::Json { path: origin.join(name), source })
    };
    let config = ModelConfig::from_value(json(include_str!("../assets/base/config.json"), "config.json")?)?;
    let weights = TensorFile::embedded(
        "(embedded)/model.safetensors",
        include_bytes!("../assets/base/model.safetensors"),
    )?;
    let tokenizer = Tokenizer::from_json(include_str!("../assets/base/tokenizer.json"))?;
    let template = include_str!("../assets/base/chat_template.jinja");
    let model = CausalLm::from_files(config, &[weights], origin, device)?;
    let template = Some(ChatTemplate::new(template, "", recipe::END)?);
    Ok(LocalModel { template, ..LocalModel::new("slm-base", model, tokenizer) })
}
