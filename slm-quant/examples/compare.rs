//! Methods and formats side by side: what each costs in bits and loses in divergence.
//!
//! ```console
//! cargo run --release -p slm-quant --example compare -- MODEL CALIBRATION.txt TEST.txt int4-g32,q4_K [FILE.gguf ..]
//! ```
//!
//! MODEL is a Hugging Face directory. Calibration and test are different texts of the domain. Each GGUF file is the
//! same model as llama.cpp quantized it (`tools/llama_dense.py` makes some); beside it stand our methods with the very formats
//! of its tensors, and with a plan of our own at no more bits. Rows are tab-separated: format, method, bits per weight
//! of the whole model, mean and 99th percentile of the KL divergence in nats, share of the same top token, perplexity,
//! bits per byte, seconds.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use slm_core::{CausalLm, LocalModel, model::FloatType, nn::Weight};
use slm_quant::{
    CalibrationConfig, CalibrationData, Method, Override, PlanConfig, QualityReport, QuantConfig, Reference,
    Target, plan, quantize_calibrated, quantize_model,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, calibration, test, formats, files @ ..] = arguments.as_slice() else {
        return Err("usage: compare MODEL CALIBRATION.txt TEST.txt FORMATS [FILE.gguf ..]".into());
    };
    let device = Device::flex();
    let local = LocalModel::load(Path::new(model), &device)?;
    let original = local.model.clone().cast(FloatType::F32);
    let length = 256.min(original.config.context_length());
    let cut = |sequences| CalibrationConfig { sequences, length, seed: 0 };
    let text = |path: &String| std::fs::read_to_string(path);
    let data = CalibrationData::from_texts(&local.tokenizer, &[&text(calibration)?], &cut(128))?;
    let test = CalibrationData::consecutive(&local.tokenizer, &text(test)?, &cut(64))?;
    println!("# calibration {} tokens, test {} tokens, context {length}", data.tokens(), test.tokens());
    let reference = Reference::new(&original, &test)?;
    row("f32", "original", &reference.compare(&original)?, 0.0);
    let all = |name: &str, config: &QuantConfig| {
        for method in Method::ALL {
            let config = QuantConfig { method, ..config.clone() };
            match quantize(&original, &config, &data) {
                Ok((model, seconds)) => {
                    row(name, &format!("{method:?}"), &reference.compare(&model)?, seconds);
                }
                Err(e) => println!("# {name} {method:?}: {e}"),
            }
        }
        Outcome::Ok(())
    };
    for path in files {
        let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        let theirs = CausalLm::load_gguf(Path::new(path), &device)?;
        let report = reference.compare(&theirs)?;
        row(&name, "llama.cpp", &report, 0.0);
        all(&format!("{name} formats"), &formats_of(&theirs))?;
        let few = CalibrationData { sequences: data.sequences.iter().take(8).cloned().collect(), bytes: 0 };
        let (start, target) = (Instant::now(), Target::BitsPerWeight(report.bits_per_weight));
        let plan = plan(&original, &few, &PlanConfig::new(target), &mut |_| ())?;
        println!("# plan: {:.1} s, predicted KL {:.6}", start.elapsed().as_secs_f64(), plan.predicted_kl);
        all(&format!("{name} plan"), &plan.applied_to(&QuantConfig::default()))?;
    }
    for format in formats.split(',').filter(|f| !f.is_empty()) {
        all(format, &QuantConfig { format: format.parse()?, ..QuantConfig::default() })?;
    }
    Ok(())
}

/// The formats that a model's weights have.
fn formats_of(model: &CausalLm) -> QuantConfig {
    let linears = model.linears().map(|(path, linear)| (format!("{path}.weight"), &linear.weight));
    let all = linears.chain([("model.embed_tokens.weight".to_owned(), &model.embed_tokens)]);
    let overrides = all.filter_map(|(pattern, weight)| match weight {
        Weight::Packed(packed) => Some(Override { pattern, format: Some(packed.format()) }),
        _ => None,
    });
    QuantConfig { overrides: overrides.collect(), skip: vec!["*".into()], ..QuantConfig::default() }
}

/// A quantized copy.
fn quantize(original: &CausalLm, config: &QuantConfig, data: &CalibrationData) -> Outcome<(CausalLm, f64)> {
    let mut model = original.clone();
    let start = Instant::now();
    if config.method.calibrates() {
        quantize_calibrated(&mut model, config, data, &mut |_| ())?;
    } else {
        quantize_model(&mut model, config)?;
    }
    Ok((model, start.elapsed().as_secs_f64()))
}

fn row(format: &str, method: &str, r: &QualityReport, seconds: f64) {
    let (bits, bytes) = (r.bits_per_weight, r.quantized.bits_per_byte.unwrap_or(f64::NAN));
    let (mean, p99, same, perplexity) = (r.kl_mean, r.kl_p99, r.same_top, r.quantized.perplexity);
    println!(
        "{format}\t{method}\t{bits:.3}\t{mean:.6}\t{p99:.5}\t{same:.4}\t{perplexity:.4}\t{bytes:.5}\t{seconds:.1}"
    );
}
