//! Smaller and measurably as good: quantizes a model on text of its domain by every method, holds the best against a
//! budget, exports it as GGUF for llama.cpp and Ollama, and answers from that file.
//!
//! ```console
//! cargo run --release --example smaller
//! cargo run --release --example smaller -- out/expert/merged int4-g32
//! ```
//!
//! Without a directory it takes the embedded base; after `domain_expert`, `out/expert/merged` is the expert. A second
//! argument names the format (`q4_0`, `int8-g32`, `q4_K`, ..). It prints one row for each method and leaves
//! `out/smaller/model.gguf` with a `Modelfile` beside it. A model that breaks the budget is refused, with its figures.

use std::error::Error;
use std::path::Path;

use burn::tensor::Device;
use slm::core::gguf::GgufOptions;
use slm::core::{ChatRequest, LanguageModel, LocalModel};
use slm::lora::training_texts;
use slm::quant::{Budget, CalibrationData, Method, QualityReport, QuantConfig, Reference};
use slm::quant::{quantize_calibrated, quantize_model};
use slm::{progress, sandbox};

/// What a smaller model may cost.
const BUDGET: Budget = Budget {
    max_kl_mean: Some(0.03),
    max_kl_p99: None,
    min_same_top: Some(0.93),
    max_perplexity_rise: None,
    max_score_loss: None,
    max_bytes: None,
    max_bits_per_weight: None,
    min_tokens_per_second: None,
};

/// Questions with answers as the model reads them, of both what it knows and the domain.
fn texts(model: &LocalModel, count: usize, seed: u64) -> Result<CalibrationData, Box<dyn Error>> {
    let template = model.template.as_ref().ok_or("the model has no chat template")?;
    let mut pairs = sandbox::general_examples(count, seed);
    pairs.extend(sandbox::domain_examples(count, seed));
    let texts = training_texts(&pairs, &model.tokenizer, template)?;
    Ok(CalibrationData { sequences: texts.into_iter().map(|text| text.ids).collect(), bytes: 0 })
}

fn quantized(
    base: &LocalModel,
    config: &QuantConfig,
    data: &CalibrationData,
) -> Result<LocalModel, Box<dyn Error>> {
    let mut small = base.clone();
    if config.method.calibrates() {
        let bar = progress::bar(&format!("{:?}", config.method), 0);
        quantize_calibrated(&mut small.model, config, data, &mut |at| {
            bar.set_length(at.total as u64);
            bar.set_position(at.done as u64);
        })?;
        bar.finish_and_clear();
    } else {
        quantize_model(&mut small.model, config)?;
    }
    Ok(small)
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let mut arguments = std::env::args().skip(1);
    let base = match arguments.next() {
        Some(directory) => LocalModel::load(Path::new(&directory), &device)?,
        None => slm::base::embedded(&device)?,
    };
    let format = arguments.next().as_deref().unwrap_or("q4_0").parse()?;
    // Embedding and head too, whatever the default leaves alone.
    let config = QuantConfig { format, skip: vec!["*norm*".into()], ..QuantConfig::default() };
    let (calibration, test) = (texts(&base, 200, 1)?, texts(&base, 60, 2)?);
    let reference = Reference::new(&base.model, &test)?;

    println!("{format}; {} tokens to calibrate, {} to measure", calibration.tokens(), test.tokens());
    println!("{:<10} {:>10} {:>10} {:>9} {:>6}", "method", "mean KL", "p99 KL", "same top", "bits");
    let mut best: Option<(LocalModel, QualityReport)> = None;
    for method in Method::ALL {
        let small = quantized(&base, &QuantConfig { method, ..config.clone() }, &calibration)?;
        let report = reference.compare(&small.model)?;
        println!(
            "{:<10} {:>10.6} {:>10.5} {:>8.2}% {:>6.2}",
            format!("{method:?}"),
            report.kl_mean,
            report.kl_p99,
            100.0 * report.same_top,
            report.bits_per_weight,
        );
        if best.as_ref().is_none_or(|(_, other)| report.kl_mean < other.kl_mean) {
            best = Some((small, report));
        }
    }
    let (small, report) = best.ok_or("there is no method")?;
    println!("{} bytes of weights", report.bytes);
    BUDGET.check(&report)?;

    let path = Path::new("out/smaller/model.gguf");
    let options = GgufOptions { name: format!("{}-{format}", base.name), ..GgufOptions::default() };
    let export = small.save_gguf(path, &options)?;
    small.save_modelfile(path)?;
    println!("{}: {:?}", path.display(), export.tensors);

    let served = LocalModel::load(path, &device)?;
    for example in sandbox::general_suite(3, 3) {
        let answer = served.chat(&ChatRequest::question(example.question()))?.text;
        println!("\n{}\n-> {answer} (expected {})", example.question(), example.answer());
    }
    Ok(())
}
