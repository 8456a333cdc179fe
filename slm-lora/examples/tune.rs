//! Tunes an adapter for a model of a Hugging Face directory on pairs in JSON lines.
//!
//! ```console
//! cargo run --release -p slm-lora --example tune -- <directory> <pairs.jsonl> <adapter directory> 200
//! ```
//!
//! The last argument is the number of steps. Time and memory are estimated first. A checkpoint every 20 steps lets an
//! interrupted run continue; `log.jsonl` and, for TensorBoard, `events` beside the adapter hold what each step did.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use slm_core::{ChatTemplate, LocalModel};
use slm_data::read_examples;
use slm_lora::{
    Batching, JsonLog, LoraAdapter, LoraConfig, TensorBoardLog, TrainConfig, Trainer, training_texts,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, pairs, target, steps] = arguments.as_slice() else {
        return Err("usage: tune <directory> <pairs.jsonl> <adapter directory> <steps>".into());
    };
    let (directory, target) = (Path::new(directory), Path::new(target));
    let base = LocalModel::load(directory, &Device::flex())?;
    let template = match base.template {
        Some(template) => template,
        None => ChatTemplate::plain(directory)?,
    };
    let pairs = read_examples(pairs)?;
    println!("{} pairs, {} lines skipped", pairs.items.len(), pairs.skipped.len());
    let texts = training_texts(&pairs.items, &base.tokenizer, &template)?;

    let lora = LoraConfig::default();
    let mut model = base.model;
    LoraAdapter::init(&model, &lora)?.attach(&mut model)?;
    let config = TrainConfig {
        steps: steps.parse()?,
        batch_size: 4,
        batching: Batching::Packed,
        learning_rate: 2e-4,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(model, texts, config)?;
    println!("{:?}", trainer.plan());
    let checkpoint = target.join("checkpoint.safetensors");
    if checkpoint.exists() {
        trainer.resume(&checkpoint)?;
        println!("continued from step {}", trainer.steps_done());
    }
    let estimate = trainer.estimate()?;
    println!(
        "about {:.0} s for {} tokens, {:.1} GiB",
        estimate.time.as_secs_f64(),
        estimate.tokens,
        estimate.peak_memory.unwrap_or(0) as f64 / (1 << 30) as f64
    );
    std::fs::create_dir_all(target)?;
    let mut lines = JsonLog::open(&target.join("log.jsonl"))?;
    let mut board = TensorBoardLog::create(&target.join("events"))?;
    let start = Instant::now();
    let mut written = Ok(());
    trainer.run(&mut |trainer, log| {
        println!(
            "step {} of {}: loss {:.3}, norm {:.2}, {:.0} tokens/s",
            log.step,
            log.steps,
            log.loss,
            log.gradient_norm,
            log.tokens as f64 / log.seconds
        );
        written = lines.write(log).and_then(|()| board.step(log));
        if written.is_ok() && log.step.is_multiple_of(20) {
            written = trainer.save_checkpoint(&checkpoint);
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    println!("{:.0} s", start.elapsed().as_secs_f64());
    let mut tuned = trainer.into_model();
    let adapter = LoraAdapter::detach(&mut tuned, &lora);
    adapter.save(target, &tuned.config, &directory.to_string_lossy())?;
    println!("{} trained weights in {}", adapter.num_parameters(), target.display());
    Ok(())
}
