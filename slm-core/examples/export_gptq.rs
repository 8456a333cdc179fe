//! A packed model as a directory in the layout of GPTQ, for `transformers` and vLLM.
//!
//! ```console
//! cargo run --release -p slm-quant --example quantize -- MODEL PACKED int4-g32 gptq domain.txt 128
//! cargo run --release -p slm-core --example export_gptq -- PACKED OUT
//! ```

use std::path::PathBuf;

use burn::tensor::Device;
use slm_core::LocalModel;
use slm_core::model::FloatType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let directory = arguments.next().ok_or("name the directory of a packed model")?;
    let target = arguments.next().ok_or("name the directory to write")?;
    std::fs::create_dir_all(&target)?;
    let model = LocalModel::load(&directory, &Device::default())?;
    model.model.save_gptq(&target, FloatType::F16)?;
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        let file = directory.join(name);
        if file.exists() {
            std::fs::copy(file, target.join(name))?;
        }
    }
    Ok(())
}
