//! A decoder on a GPU: tokens per second of a prompt and of what follows it, and of steps of fine-tuning, in one process for
//! each line of JSON. Weights are random, of the shape of a `config.json`; `tools/bench_device.py` lets transformers and PEFT
//! take turns on the same card.
//!
//! ```console
//! cargo bench --no-default-features --features vulkan --bench device -- decode config.json weights=f16
//! cargo bench --no-default-features --features vulkan --bench device -- train config.json steps=5
//! ```
//!
//! `weights`: `f32`, `f16`, `bf16`, `int8-g64`, `int4-g32` and the like.

#[cfg(feature = "wgpu")]
mod gpu {
    use std::collections::HashMap;
    use std::error::Error;
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::time::Instant;

    use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
    use serde_json::{Value, json};
    use slm::core::text::TrainingText;
    use slm::core::model::FloatType;
    use slm::core::{CausalLm, KvCache, ModelConfig};
    use slm::lora::{LoraAdapter, LoraConfig, Schedule, TrainConfig, Trainer};
    use slm::quant::{Format, QuantConfig, quantize_model};

    type Outcome<T> = Result<T, Box<dyn Error>>;

    pub(super) fn main() -> Outcome<()> {
        let mut all = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
        let Some((task, config)) = all.next().zip(all.next()) else {
            println!("usage: cargo bench --features vulkan --bench device -- decode|train CONFIG [name=value ..]");
            return Ok(());
        };
        let named: HashMap<String, String> =
            all.filter_map(|a| a.split_once('=').map(|(name, value)| (name.into(), value.into()))).collect();
        let config = ModelConfig::from_file(Path::new(&config))?;
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let figures = match task.as_str() {
            "decode" => decode(config, &named, &device)?,
            "train" => train(config, &named, &device)?,
            other => return Err(format!("unknown task {other}").into()),
        };
        println!("{figures}");
        Ok(())
    }

    fn number(named: &HashMap<String, String>, name: &str, default: usize) -> Outcome<usize> {
        Ok(named.get(name).map_or(Ok(default), |text| text.parse())?)
    }

    fn decode(config: ModelConfig, named: &HashMap<String, String>, device: &Device) -> Outcome<Value> {
        let (length, generate) = (number(named, "prompt", 512)?, number(named, "generate", 128)?);
        let weights = named.get("weights").map_or("f16", String::as_str);
        let words = config.vocab_size as u32;
        let model = held(CausalLm::init(config, 0, device)?, weights)?;
        let prompt: Vec<u32> = (0..length as u32).map(|i| i * 7919 % words).collect();
        // The first round compiles kernels and fills the memory that later ones use again.
        let (mut prefill, mut answer) = (Vec::new(), Vec::new());
        for _ in 0..1 + number(named, "rounds", 3)? {
            let mut cache = KvCache::new();
            let start = Instant::now();
            let mut logits = read(&model, &prompt, &mut cache, device)?;
            prefill.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            for _ in 0..generate {
                logits = read(&model, &[best(&logits)], &mut cache, device)?;
            }
            answer.push(start.elapsed().as_secs_f64());
        }
        let (prefill, answer) = (fastest(&prefill[1..]), fastest(&answer[1..]));
        Ok(json!({
            "engine": "slm", "weights": weights, "prompt": length, "generate": generate, "prefill_s": prefill,
            "prefill_tok_s": length as f64 / prefill, "decode_tok_s": generate as f64 / answer,
        }))
    }

    fn fastest(times: &[f64]) -> f64 {
        times.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The model with its matrices as `weights` says.
    fn held(mut model: CausalLm, weights: &str) -> Outcome<CausalLm> {
        let float = match weights {
            "f32" => FloatType::F32,
            "f16" => FloatType::F16,
            "bf16" => FloatType::Bf16,
            format => {
                let format: Format = format.parse()?;
                quantize_model(&mut model, &QuantConfig { format, ..QuantConfig::default() })?;
                return Ok(model);
            }
        };
        Ok(model.cast(float))
    }

    /// Logits after `ids`.
    fn read(model: &CausalLm, ids: &[u32], cache: &mut KvCache, device: &Device) -> Outcome<Vec<f32>> {
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [1, ids.len()]), device);
        model.next_logits(ids, cache)?.try_into_vec_as::<f32>().map_err(|e| format!("{e:?}").into())
    }

    fn best(logits: &[f32]) -> u32 {
        let largest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        largest.map_or(0, |(index, _)| index as u32)
    }

    fn train(config: ModelConfig, named: &HashMap<String, String>, device: &Device) -> Outcome<Value> {
        let (sequence, batch) = (number(named, "sequence", 256)?, number(named, "batch", 4)?);
        let steps = number(named, "steps", 5)?;
        let words = config.vocab_size as u32;
        let mut model = CausalLm::init(config, 0, device)?;
        let text = |index: u32| TrainingText {
            ids: (0..sequence as u32).map(|i| (i * 7919 + index * 104_729) % words).collect(),
            learned: vec![true; sequence],
        };
        let texts = (0..(batch * (steps + 1)) as u32).map(text).collect();
        let lora = LoraConfig { rank: 16, alpha: 32.0, ..LoraConfig::default() };
        LoraAdapter::init(&model, &lora)?.attach(&mut model)?;
        let config = TrainConfig {
            steps: steps + 1,
            batch_size: batch,
            learning_rate: 2e-4,
            warmup_steps: 0,
            schedule: Schedule::Constant,
            max_gradient_norm: 0.0,
            ..TrainConfig::default()
        };
        let logs = Trainer::new(model, texts, config)?.run(&mut |_, _| ControlFlow::Continue(()))?;
        let time: f64 = logs.iter().skip(1).map(|log| log.seconds).sum();
        Ok(json!({
            "engine": "slm", "sequence": sequence, "batch": batch, "step_s": time / steps as f64,
            "tokens_per_s": (sequence * batch * steps) as f64 / time,
            "losses": logs.iter().map(|log| log.loss).collect::<Vec<_>>(),
        }))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "wgpu")]
    gpu::main()?;
    #[cfg(not(feature = "wgpu"))]
    println!("build with --features vulkan or wgpu");
    Ok(())
}
