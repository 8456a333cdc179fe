//! A model as one file for llama.cpp and Ollama, with a `Modelfile` beside it.
//!
//! ```console
//! cargo run --release -p slm-core --example export_gguf -- MODEL_DIRECTORY model.gguf [f32|f16|bf16]
//! ollama create my-model -f Modelfile
//! ```
//!
//! It prints how many tensors the file has of each type, and what llama.cpp is known to compute otherwise: nothing, for
//! most models.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use slm_core::LocalModel;
use slm_core::gguf::GgufOptions;
use slm_core::model::FloatType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name a model directory or a GGUF file")?);
    let path = PathBuf::from(arguments.next().ok_or("name the file to write")?);
    let float = match arguments.next().as_deref() {
        None | Some("f16") => FloatType::F16,
        Some("bf16") => FloatType::Bf16,
        Some("f32") => FloatType::F32,
        Some(other) => return Err(format!("{other} is none of f32, f16 and bf16").into()),
    };
    let model = LocalModel::load(&directory, &Device::default())?;
    let export = model.save_gguf(&path, &GgufOptions { float, name: model.name.clone() })?;
    model.save_modelfile(&path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    println!("{} and {}: {:?}", path.display(), folder.join("Modelfile").display(), export.tensors);
    for difference in export.differences {
        println!("note: {difference}");
    }
    Ok(())
}
