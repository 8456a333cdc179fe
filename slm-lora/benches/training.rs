//! Fine-tuning with LoRA. Each run measures one task in a process of its own and prints one line of JSON;
//! `tools/bench_training.py` makes it and PEFT take turns and writes what `docs/benchmarks.md` shows.
//!
//! ```console
//! cargo bench -p slm-lora --bench training -- step CHECKPOINT sequence=256 batch=4 rank=16 steps=3
//! cargo bench -p slm-lora --bench training -- epoch CHECKPOINT data=TEXTS.jsonl batch=4 rank=16
//! ```
//!
//! `step` learns random tokens; its first step is a warm-up. `epoch` passes once over tokenized texts, a line of
//! `{"ids": [..], "learned": [..]}` each. `checkpointing=blocks` keeps the inputs of blocks alone. A directory of packed
//! weights makes it QLoRA. The number of threads is `RAYON_NUM_THREADS`.

#[path = "../../slm-core/benches/support/mod.rs"]
mod support;

use std::time::Instant;

use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use slm_core::CausalLm;
use slm_core::text::TrainingText;
use slm_lora::{
    Batching, Checkpointing, Estimate, LoraAdapter, LoraConfig, Schedule, StepLog, TrainConfig, Trainer,
};
use support::{Arguments, Outcome, memory, seconds};

fn main() -> Outcome<()> {
    let Some(arguments) = Arguments::read()? else {
        println!("usage: cargo bench -p slm-lora --bench training -- step|epoch DIRECTORY [name=value ..]");
        return Ok(());
    };
    let figures = match arguments.task.as_str() {
        "step" => step(&arguments)?,
        "epoch" => epoch(&arguments)?,
        other => return Err(format!("unknown task {other}").into()),
    };
    println!("{figures}");
    Ok(())
}

fn step(arguments: &Arguments) -> Outcome<Value> {
    let (sequence, batch) = (arguments.get("sequence", 256)?, arguments.get("batch", 4)?);
    let steps: usize = arguments.get("steps", 3)?;
    let model = CausalLm::load(&arguments.directory, &Device::flex())?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut text = || TrainingText {
        ids: (0..sequence).map(|_| rng.random_range(0..model.config.vocab_size as u32)).collect(),
        learned: vec![true; sequence],
    };
    let texts = (0..batch * (steps + 1)).map(|_| text()).collect();
    let config = TrainConfig { steps: steps + 1, ..config(arguments)? };
    let mut trainer = trainer(model, texts, arguments, config)?;
    let Run { estimate, logs, seconds: whole } = run(&mut trainer, arguments)?;
    let time: f64 = logs.iter().skip(1).map(|log| log.seconds).sum();
    Ok(json!({
        "engine": "slm", "sequence": sequence, "batch": batch, "trainable": trainer.plan().trainable_parameters,
        "tokens_per_s": (sequence * batch * steps) as f64 / time, "step_s": time / steps as f64, "whole_s": whole,
        "estimate": estimate, "peak_bytes": memory("VmHWM")?, "own_bytes": memory("RssAnon")?,
        "losses": logs.iter().map(|log| log.loss).collect::<Vec<_>>(),
    }))
}

struct Run {
    estimate: Option<Estimate>,
    logs: Vec<StepLog>,
    seconds: f64,
}

fn run(trainer: &mut Trainer, arguments: &Arguments) -> Outcome<Run> {
    let estimate = match arguments.get("estimate", false)? {
        true => Some(trainer.estimate()?),
        false => None,
    };
    let begin = Instant::now();
    let logs = trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
    Ok(Run { estimate, logs, seconds: seconds(begin) })
}

#[derive(Deserialize)]
struct Line {
    ids: Vec<u32>,
    learned: Vec<bool>,
}

fn epoch(arguments: &Arguments) -> Outcome<Value> {
    let path = arguments.text("data").ok_or("data=TEXTS.jsonl is missing")?;
    let lines = std::fs::read_to_string(path)?;
    let text = |line: &str| {
        let Line { ids, learned } = serde_json::from_str(line)?;
        Ok(TrainingText { ids, learned })
    };
    let texts: Vec<TrainingText> = lines.lines().map(text).collect::<Outcome<_>>()?;
    let (count, model) = (texts.len(), CausalLm::load(&arguments.directory, &Device::flex())?);
    let config = config(arguments)?;
    let fitting = texts.iter().filter(|text| text.ids.len() <= config.max_length).count();
    let config = TrainConfig { steps: fitting.div_ceil(config.batch_size), ..config };
    let mut trainer = trainer(model, texts, arguments, config)?;
    let Run { estimate, logs, seconds: time } = run(&mut trainer, arguments)?;
    let tokens: usize = logs.iter().map(|log| log.tokens).sum();
    let last = logs.len().saturating_sub(20);
    let end: f32 = logs[last..].iter().map(|log| log.loss).sum::<f32>() / (logs.len() - last).max(1) as f32;
    Ok(json!({
        "engine": "slm", "examples": count, "too_long": trainer.plan().too_long, "tokens": tokens, "epoch_s": time,
        "tokens_per_s": tokens as f64 / time, "estimate": estimate, "peak_bytes": memory("VmHWM")?,
        "loss_of_the_last_20": end,
    }))
}

fn trainer(
    mut model: CausalLm,
    texts: Vec<TrainingText>,
    arguments: &Arguments,
    config: TrainConfig,
) -> Outcome<Trainer> {
    let rank: usize = arguments.get("rank", 16)?;
    let lora = LoraConfig { rank, alpha: 2.0 * rank as f32, ..LoraConfig::default() };
    LoraAdapter::init(&model, &lora)?.attach(&mut model)?;
    Ok(Trainer::new(model, texts, config)?)
}

fn config(arguments: &Arguments) -> Outcome<TrainConfig> {
    let blocks = arguments.text("checkpointing") == Some("blocks");
    let packed = arguments.text("batching") == Some("packed");
    Ok(TrainConfig {
        batch_size: arguments.get("batch", 4)?,
        max_length: arguments.get("max_length", 1024)?,
        checkpointing: if blocks { Checkpointing::Blocks } else { Checkpointing::None },
        batching: if packed { Batching::Packed } else { Batching::Padded },
        max_logits: arguments.get("max_logits", TrainConfig::default().max_logits)?,
        learning_rate: 2e-4,
        warmup_steps: 0,
        schedule: Schedule::Constant,
        max_gradient_norm: 0.0,
        ..TrainConfig::default()
    })
}
