//! One run of candle on the checkpoint that `slm-core/benches/model.rs` reads, of the Qwen3 family, in a process of its own;
//! prints one line of JSON.
//!
//! ```console
//! RAYON_NUM_THREADS=2 RUSTFLAGS="-C target-cpu=native" cargo run --release -- DIRECTORY f32|f16|bf16 [PROMPT GENERATE]
//! ```

use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::qwen3::{Config, ModelForCausalLM};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, float, rest @ ..] = arguments.as_slice() else {
        bail!("usage: bench_candle DIRECTORY f32|f16|bf16 [PROMPT GENERATE]")
    };
    let number = |index: usize, default: usize| rest.get(index).map_or(Ok(default), |text| text.parse());
    let (length, generate) = (number(0, 512)?, number(1, 128)?);
    let dtype = match float.as_str() {
        "f32" => DType::F32,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        other => bail!("no type {other}"),
    };
    let start = Instant::now();
    let mut about: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(format!("{directory}/config.json"))?)?;
    let fields = about.as_object_mut().context("config.json is an object")?;
    for (name, value) in [("max_window_layers", 28.into()), ("use_sliding_window", false.into())] {
        fields.entry(name).or_insert(value);
    }
    let config: Config = serde_json::from_value(about)?;
    let file = std::fs::read(format!("{directory}/model.safetensors"))?;
    let weights = VarBuilder::from_buffered_safetensors(file, dtype, &Device::Cpu)?;
    let mut model = ModelForCausalLM::new(&config, weights)?;
    let load = start.elapsed().as_secs_f64();

    let ids = |count: usize| -> Vec<u32> { (0..count).map(|i| ((i * 7919 + 13) % 151_643) as u32).collect() };
    next(&mut model, &ids(16), 0)?;
    let first_token = start.elapsed().as_secs_f64();
    model.clear_kv_cache();
    let prompt = ids(length);
    let start = Instant::now();
    let mut token = next(&mut model, &prompt, 0)?;
    let prefill = start.elapsed().as_secs_f64();
    let start = Instant::now();
    for at in 0..generate {
        token = next(&mut model, &[token], length + at)?;
    }
    let decode = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "engine": "candle", "weights": float, "load_s": load, "first_token_s": first_token, "prefill_s": prefill,
            "prefill_tok_s": length as f64 / prefill, "decode_tok_s": generate as f64 / decode,
            "peak_bytes": peak_bytes()?,
        })
    );
    Ok(())
}

/// The likeliest token after `ids`.
fn next(model: &mut ModelForCausalLM, ids: &[u32], offset: usize) -> Result<u32> {
    let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
    let logits = model.forward(&input, offset)?.flatten_all()?.to_dtype(DType::F32)?;
    Ok(logits.argmax(0)?.to_scalar()?)
}

/// The most memory that this process ever held.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
