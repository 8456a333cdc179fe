//! A decoder on a GPU: tokens per second of a prompt and of what follows it, and of steps of fine-tuning, in one process for
//! each line of JSON. Weights are random, of the shape of a `config.json`; `tools/bench_device.py` lets transformers and PEFT
//! take turns on the same card.
//!
//! ```console
//! cargo bench --features vulkan --bench device -- decode config.json weights=f16
//! cargo bench --features vulkan --bench device -- train config.json steps=5
//! cargo bench --features vulkan --bench device -- operations config.json
//! ```
//!
//! `operations` says what an operation of a layer takes, and how much of it the host, which only begins it.
//!
//! `weights`: `f32`, `f16`, `bf16`, `int8-g64`, `int4-g32` and the like.

#[cfg(feature = "wgpu")]
mod gpu {
    use std::collections::HashMap;
    use std::error::Error;
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::time::Instant;

    use burn::tensor::{DType, Device, DeviceKind, Distribution, Int, Tensor, TensorData};
    use serde_json::{Value, json};
    use slm::core::model::FloatType;
    use slm::core::text::TrainingText;
    use slm::core::{CausalLm, KvCache, ModelConfig};
    use slm::lora::{LoraAdapter, LoraConfig, Schedule, TrainConfig, Trainer};
    use slm::quant::{Format, PackedTensor, QuantConfig, quantize_model};
    use slm_kernels::ops::{self, AttentionOptions, Gate};

    type Outcome<T> = Result<T, Box<dyn Error>>;

    pub(super) fn main() -> Outcome<()> {
        let mut all = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
        let Some((task, config)) = all.next().zip(all.next()) else {
            println!(
                "usage: cargo bench --features vulkan --bench device -- decode|train CONFIG [name=value ..]"
            );
            return Ok(());
        };
        let named: HashMap<String, String> =
            all.filter_map(|a| a.split_once('=').map(|(name, value)| (name.into(), value.into()))).collect();
        let config = ModelConfig::from_file(Path::new(&config))?;
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let figures = match task.as_str() {
            "decode" => decode(config, &named, &device)?,
            "train" => train(config, &named, &device)?,
            "operations" => operations(&config, &device)?,
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
        let (mut prefill, mut answer, mut host) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + number(named, "rounds", 3)? {
            let mut cache = KvCache::new();
            let start = Instant::now();
            let mut logits = read(&model, &prompt, &mut cache, device)?.0;
            prefill.push(start.elapsed().as_secs_f64());
            let (start, mut launching) = (Instant::now(), 0.0);
            for _ in 0..generate {
                let (next, launched) = read(&model, &[best(&logits)], &mut cache, device)?;
                launching += launched;
                logits = next;
            }
            answer.push(start.elapsed().as_secs_f64());
            host.push(launching);
        }
        let (prefill, answer) = (fastest(&prefill[1..]), fastest(&answer[1..]));
        Ok(json!({
            "engine": "slm", "weights": weights, "prompt": length, "generate": generate, "prefill_s": prefill,
            "prefill_tok_s": length as f64 / prefill, "decode_tok_s": generate as f64 / answer,
            "launch_ms": 1e3 * fastest(&host[1..]) / generate as f64,
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

    /// Logits after `ids`, and the seconds until all that makes them was launched.
    fn read(model: &CausalLm, ids: &[u32], cache: &mut KvCache, device: &Device) -> Outcome<(Vec<f32>, f64)> {
        let start = Instant::now();
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [1, ids.len()]), device);
        let logits = model.next_logits(ids, cache)?;
        let launched = start.elapsed().as_secs_f64();
        Ok((logits.try_into_vec_as::<f32>().map_err(|e| format!("{e:?}"))?, launched))
    }

    fn best(logits: &[f32]) -> u32 {
        let largest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        largest.map_or(0, |(index, _)| index as u32)
    }

    /// Microseconds of each operation, on the host and until all are done.
    fn operations(config: &ModelConfig, device: &Device) -> Outcome<Value> {
        let (hidden, inner, dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let matrix = |rows, cols| Tensor::<2>::random([rows, cols], Distribution::Default, device);
        let states =
            |tokens, heads| Tensor::<4>::random([1, tokens, heads, dim], Distribution::Default, device);
        let numbers: Vec<f32> = (0..inner * hidden).map(|i| (i as f32 * 0.0731).sin()).collect();
        let mut rows = Vec::new();
        let words = config.vocab_size;
        let head: Vec<f32> = (0..words * hidden).map(|i| (i as f32 * 0.0731).sin()).collect();
        let x = matrix(1, hidden);
        let dense =
            Tensor::<2>::from_data(TensorData::new(head.clone(), [words, hidden]), device).cast(DType::F16);
        let mut heads_of = |what: &str, run: &dyn Fn() -> Tensor<2>| -> Outcome<()> {
            let figures = timed(run)?;
            rows.push(json!({"tokens": 1, "operation": what, "host_us": figures[0], "us": figures[1]}));
            Ok(())
        };
        heads_of("head, F16", &|| ops::dense_linear(x.clone(), &dense))?;
        for format in ["int8-g64", "int4-g32"] {
            let w = PackedTensor::quantize(&head, words, hidden, format.parse()?)?;
            heads_of(&format!("head, {format}"), &|| {
                ops::linear(x.clone(), &w).unwrap_or_else(|_| x.clone())
            })?;
        }
        for tokens in [1, 512] {
            let (x, w) = (matrix(tokens, hidden), matrix(inner, hidden));
            let mut time = |what: &str, run: &dyn Fn() -> Tensor<2>| -> Outcome<()> {
                let figures = timed(run)?;
                rows.push(
                    json!({"tokens": tokens, "operation": what, "host_us": figures[0], "us": figures[1]}),
                );
                Ok(())
            };
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                if device.supports_dtype(dtype) {
                    let w = w.clone().cast(dtype);
                    time(&format!("product, {dtype:?}"), &|| ops::dense_linear(x.clone(), &w))?;
                    let narrow = x.clone().cast(dtype);
                    time(&format!("burn's product, {dtype:?}"), &|| {
                        narrow.clone().matmul(w.clone().transpose())
                    })?;
                }
            }
            for format in ["int8-g64", "int4-g32", "nf4-g64"] {
                let w = PackedTensor::quantize(&numbers, inner, hidden, format.parse()?)?;
                time(&format!("product, {format}"), &|| {
                    ops::linear(x.clone(), &w).unwrap_or_else(|_| x.clone())
                })?;
            }
            let weight = Tensor::<1>::ones([hidden], device);
            time("norm", &|| ops::rms_norm(x.clone(), &weight, 1e-6))?;
            let up = matrix(tokens, inner);
            time("gate", &|| ops::gated(up.clone(), up.clone(), Gate::Silu))?;
            time("addition", &|| x.clone() + x.clone())?;
            let (q, angles) = (states(tokens, heads), matrix(tokens, dim / 2));
            time("rotation", &|| ops::rotate(q.clone(), &angles, &angles).reshape([tokens, heads * dim]))?;
            let options = AttentionOptions { scale: 0.1, ..AttentionOptions::default() };
            for keys in [512, 4096] {
                let (k, v) = (states(keys, kv_heads), states(keys, kv_heads));
                time(&format!("attention, {keys} keys"), &|| {
                    ops::attention(q.clone(), k.clone(), v.clone(), &options).reshape([tokens, heads * dim])
                })?;
            }
        }
        Ok(json!({"engine": "slm", "rows": rows}))
    }

    fn timed(run: &dyn Fn() -> Tensor<2>) -> Outcome<[f64; 2]> {
        const TIMES: u32 = 100;
        let read =
            |y: Tensor<2>| y.slice([0..1, 0..1]).try_into_vec_as::<f32>().map_err(|e| format!("{e:?}"));
        for _ in 0..10 {
            read(run())?;
        }
        let start = Instant::now();
        let mut last = run();
        for _ in 1..TIMES {
            last = run();
        }
        let host = start.elapsed();
        read(last)?;
        Ok([host, start.elapsed()].map(|time| time.as_secs_f64() * 1e6 / f64::from(TIMES)))
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
