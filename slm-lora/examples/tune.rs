//! Tunes an adapter for a model of a Hugging Face directory on pairs in JSON lines.
//!
//! ```console
//! cargo run --release -p slm-lora --example tune -- <directory> <pairs.jsonl> <adapter directory> 200
//! ```
//!
//! The last argument is the number of steps. A checkpoint every 50 steps lets an interrupted run continue.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use slm_core::{ChatTemplate, LocalModel};
use slm_data::read_examples;
use slm_lora::{LoraAdapter, LoraConfig, TrainConfig, Trainer, training_texts};

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
    let config = TrainConfig { steps: steps.parse()?, ..TrainConfig::default() };
    let mut trainer = Trainer::new(model, texts, config)?;
    println!("{:?}", trainer.plan());
    let checkpoint = target.join("checkpoint.safetensors");
    if checkpoint.exists() {
        trainer.resume(&checkpoint)?;
        println!("continued from step {}", trainer.steps_done());
    }
    let mut saved = Ok(());
    trainer.run(&mut |trainer, log| {
        if log.step.is_multiple_of(50) {
            println!(
                "step {} of {}: loss {:.3}, norm {:.2}",
                log.step, log.steps, log.loss, log.gradient_norm
            );
            saved = trainer.save_checkpoint(&checkpoint);
        }
        if saved.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    saved?;
    let mut tuned = trainer.into_model();
    let adapter = LoraAdapter::detach(&mut tuned, &lora);
    adapter.save(target, &tuned.config, &directory.to_string_lossy())?;
    println!("{} trained weights in {}", adapter.num_parameters(), target.display());
    Ok(())
}
