//! Methods and formats side by side: what each costs in bits and loses in divergence.
//!
//! ```console
//! cargo run --release -p slm-quant --example compare -- MODEL CALIBRATION.txt TEST.txt int4-g32,q4_K [DENSE ..]
//! ```
//!
//! MODEL is a Hugging Face directory. Calibration and test are different texts of the domain. Each further directory
//! is a row of its own: dense weights of the same model as another quantizer left them, with `bits.txt` beside them
//! (`tools/llama_dense.py` makes them from llama.cpp's files). Rows are tab-separated: format, method, bits per weight of
//! the whole model, mean and 99th percentile of the KL divergence in nats, share of the same top token, perplexity,
//! bits per byte, seconds.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use slm_core::{CausalLm, LocalModel, model::FloatType};
use slm_quant::{
    CalibrationConfig, CalibrationData, Method, PlanConfig, QualityReport, QuantConfig, Reference, Target, plan,
    quantize_calibrated, quantize_model,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, calibration, test, formats, dense @ ..] = arguments.as_slice() else {
        return Err("usage: compare MODEL CALIBRATION.txt TEST.txt FORMATS [DENSE ..]".into());
    };
    let device = Device::flex();
    let local = LocalModel::load(Path::new(model), &device)?;
    let original = local.model.clone().cast(FloatType::F32);
    let length = 256.min(original.config.context_length());
    let cut = |sequences| CalibrationConfig { sequences, length, seed: 0 };
    let text = |path: &String| std::fs::read_to_string(path);
    let calibration = CalibrationData::from_texts(&local.tokenizer, &[&text(calibration)?], &cut(128))?;
    let test = CalibrationData::consecutive(&local.tokenizer, &text(test)?, &cut(64))?;
    println!("# calibration {} tokens, test {} tokens, context {length}", calibration.tokens(), test.tokens());
    let reference = Reference::new(&original, &test)?;
    row("f32", "original", None, &reference.compare(&original)?, 0.0);
    for path in dense {
        let path = Path::new(path);
        let bits: f64 = std::fs::read_to_string(path.join("bits.txt"))?.trim().parse()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let model = CausalLm::load(path, &device)?;
        row(&name, "llama.cpp", Some(bits), &reference.compare(&model)?, 0.0);
        // Our own formats at no more bits.
        let small = CalibrationData { sequences: calibration.sequences[..8.min(calibration.sequences.len())].to_vec(), bytes: 0 };
        let start = Instant::now();
        let plan = plan(&original, &small, &PlanConfig::new(Target::BitsPerWeight(bits)), &mut |_| ())?;
        println!("# planned in {:.1} s: {:.3} bits, predicted KL {:.5}", start.elapsed().as_secs_f64(), plan.bits_per_weight, plan.predicted_kl);
        for method in Method::ALL {
            let config = plan.applied_to(QuantConfig { method, ..QuantConfig::default() });
            let name = format!("plan<={name}");
            let (report, seconds) = measure(&original, &config, &calibration, &reference)?;
            row(&name, &format!("{method:?}"), Some(plan.bits_per_weight), &report, seconds);
        }
    }
    for format in formats.split(',').filter(|f| !f.is_empty()) {
        for method in Method::ALL {
            let config = QuantConfig { format: format.parse()?, method, ..QuantConfig::default() };
            match measure(&original, &config, &calibration, &reference) {
                Ok((report, seconds)) => row(format, &format!("{method:?}"), None, &report, seconds),
                Err(e) => println!("# {format}: {e}"),
            }
        }
    }
    Ok(())
}

/// Quantizes a copy and measures it.
fn measure(
    original: &CausalLm,
    config: &QuantConfig,
    calibration: &CalibrationData,
    reference: &Reference<'_>,
) -> Outcome<(QualityReport, f64)> {
    let mut model = original.clone();
    let start = Instant::now();
    if config.method.calibrates() {
        quantize_calibrated(&mut model, config, calibration, &mut |_| ())?;
    } else {
        quantize_model(&mut model, config)?;
    }
    Ok((reference.compare(&model)?, start.elapsed().as_secs_f64()))
}

fn row(format: &str, method: &str, bits: Option<f64>, r: &QualityReport, seconds: f64) {
    let bits = bits.unwrap_or(r.bits_per_weight);
    let bytes = r.quantized.bits_per_byte.unwrap_or(f64::NAN);
    let (mean, p99, same, perplexity) = (r.kl_mean, r.kl_p99, r.same_top, r.quantized.perplexity);
    println!("{format}\t{method}\t{bits:.3}\t{mean:.6}\t{p99:.5}\t{same:.4}\t{perplexity:.4}\t{bytes:.5}\t{seconds:.1}");
}
