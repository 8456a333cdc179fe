//! Packs a model of a Hugging Face directory and shows what that loses.
//!
//! ```console
//! cargo run --release -p slm-quant --example quantize -- <directory> <output directory> int4-g64
//! cargo run --release -p slm-quant --example quantize -- <directory> <output directory> int4-g32 gptq domain.txt 128
//! ```
//!
//! Without a method, weights are rounded to nearest. `gptq`, `awq`, `awq-gptq` and `weighted` calibrate on as many sequences
//! of 512 tokens of a text of the domain as the last argument says. A last word `whole-zeros` makes `int4a` as GPTQ's files hold
//! it.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use slm_core::LocalModel;
use slm_core::model::FloatType;
use slm_quant::{
    CalibrationConfig, CalibrationData, Method, QuantConfig, quantize_calibrated, quantize_model,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, format, rest @ ..] = arguments.as_slice() else {
        return Err("usage: quantize <directory> <output directory> <int4-g64, q4_K, ..> [<method> <text> <sequences>] [whole-zeros]".into());
    };
    let (rest, whole_zeros) = match rest {
        [rest @ .., last] if last == "whole-zeros" => (rest, true),
        all => (all, false),
    };
    let mut config = QuantConfig { format: format.parse()?, whole_zeros, ..QuantConfig::default() };
    let mut model = LocalModel::load(Path::new(source), &Device::flex())?;
    let start = Instant::now();
    let report = match rest {
        [method, text, sequences] => {
            let named = |m: &Method| serde_json::to_value(m).is_ok_and(|name| name == method.as_str());
            config.method =
                Method::ALL.into_iter().find(named).ok_or_else(|| format!("no method {method}"))?;
            let cut = CalibrationConfig { sequences: sequences.parse()?, ..CalibrationConfig::default() };
            let data =
                CalibrationData::from_texts(&model.tokenizer, &[&std::fs::read_to_string(text)?], &cut)?;
            println!("{} tokens", data.tokens());
            quantize_calibrated(&mut model.model, &config, &data, &mut |at| {
                eprint!("\r{} of {} steps, {:.0} s ", at.done, at.total, start.elapsed().as_secs_f64());
            })?
        }
        _ => quantize_model(&mut model.model, &config)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    for (layer, stats) in &report.layers {
        println!("{layer}: {:.1} dB, {:.2} bits per weight", stats.snr_db, stats.bits_per_weight);
    }
    for layer in &report.left {
        println!("{layer}: left as it was");
    }
    model.save(Path::new(target), FloatType::F16)?;
    let bytes = std::fs::metadata(Path::new(target).join("model.safetensors"))?.len();
    println!("{bytes} bytes for {} weights, packed in {seconds:.1} s", model.model.config.num_parameters());
    Ok(())
}
