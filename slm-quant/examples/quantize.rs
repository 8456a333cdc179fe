//! Packs a model of a Hugging Face directory and shows what that loses.
//!
//! ```console
//! cargo run --release -p slm-quant --example quantize -- <directory> <output directory> int4-g64
//! ```

use std::error::Error;
use std::path::Path;

use burn::tensor::Device;
use slm_core::LocalModel;
use slm_core::model::FloatType;
use slm_quant::{QuantConfig, quantize_model};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, format] = arguments.as_slice() else {
        return Err("usage: quantize <directory> <output directory> <int4-g64, int8-g32, ..>".into());
    };
    let config = QuantConfig { format: format.parse()?, ..QuantConfig::default() };
    let mut model = LocalModel::load(Path::new(source), &Device::flex())?;
    let report = quantize_model(&mut model.model, &config)?;
    for (layer, stats) in &report.layers {
        println!("{layer}: {:.1} dB, {:.2} bits per weight", stats.snr_db, stats.bits_per_weight);
    }
    for layer in &report.left {
        println!("{layer}: left as it was");
    }
    model.save(Path::new(target), FloatType::F16)?;
    let bytes = std::fs::metadata(Path::new(target).join("model.safetensors"))?.len();
    println!("{bytes} bytes for {} weights", model.model.config.num_parameters());
    Ok(())
}
