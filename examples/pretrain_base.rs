//! Pretrains the embedded base model from nothing: tokenizer, weights and model card.
//!
//! ```console
//! cargo run --release --example pretrain_base -- assets/base 4000
//! ```
//!
//! The second argument is the number of steps. A checkpoint every 200 steps lets an interrupted run
//! continue. The model card beside the weights says what came out.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use slm::base::recipe;
use slm::core::model::{FloatType, write_atomically};
use slm::core::text::TrainingText;
use slm::core::{CausalLm, ChatRequest, LanguageModel, LocalModel};
use slm::data::Example;
use slm::lora::{TrainConfig, Trainer, training_texts};
use slm::sandbox::{GeneralTask, general_examples, general_suite};

const EXAMPLES: usize = 200_000;
const COPYING_STEPS: usize = 600;
const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "out/base".into()));
    let steps = arguments.next().map_or(Ok(4000), |s| s.parse())?;
    let start = Instant::now();

    let examples = general_examples(EXAMPLES, SEED);
    let corpus: Vec<String> =
        examples[..20_000].iter().flat_map(|e| [e.question().to_owned(), e.answer().to_owned()]).collect();
    let (tokenizer, template) = (recipe::tokenizer(&corpus)?, recipe::template()?);
    let model = CausalLm::init(recipe::config()?, SEED, &Device::flex())?;
    println!("{} weights", model.config.num_parameters());

    let copies = recipe::copies(&tokenizer, 40_000, SEED);
    let model = phase("copying", model, copies, recipe::copying(COPYING_STEPS, SEED), &folder)?.into_model();
    let mut texts = training_texts(&conversations(&examples), &tokenizer, &template)?;
    texts.extend(recipe::copies(&tokenizer, texts.len() / 10, SEED + 1));
    let held_out = training_texts(&general_suite(700, SEED + 1), &tokenizer, &template)?;
    let trainer = phase("skills", model, texts, recipe::skills(steps, SEED), &folder)?;
    let held_out_loss = trainer.evaluate(held_out)?;

    let model = LocalModel::new("slm-base", trainer.into_model(), tokenizer);
    let model = LocalModel { template: Some(template), ..model };
    save(&model, &folder)?;
    let skills = skills(&model)?;
    let card = card(&format!(
        "| training examples | {EXAMPLES} |\n| steps | {COPYING_STEPS} of copying random tokens, {steps} of 40 conversations |\n\
         | held-out loss | {held_out_loss:.4} nats per answer token |\n\
         | time | {:.0} s on two busy cores |\n\nExact match on 50 unseen questions of each skill:\n\n\
         | skill | share right |\n|---|---|\n{skills}",
        start.elapsed().as_secs_f64()
    ));
    println!("{card}");
    write_atomically(&folder.join("README.md"), card.as_bytes())?;
    Ok(())
}

/// One phase of training, with a checkpoint to continue from.
fn phase(
    name: &str,
    model: CausalLm,
    texts: Vec<TrainingText>,
    config: TrainConfig,
    folder: &Path,
) -> Result<Trainer, Box<dyn Error>> {
    let mut trainer = Trainer::new(model, texts, config)?;
    println!("{name}: {:?}", trainer.plan());
    let checkpoint = folder.join(format!("{name}.checkpoint.tmp"));
    if checkpoint.exists() {
        trainer.resume(&checkpoint)?;
    }
    let bar = slm::progress::bar(name, trainer.plan().steps);
    let mut saved = Ok(());
    let (mut loss, start) = (0.0, Instant::now());
    trainer.run(&mut |trainer, log| {
        loss += log.loss;
        bar.set_position(log.step as u64);
        bar.set_prefix(format!("loss {:.3}, {:.0} tokens/s", log.loss, log.tokens as f64 / log.seconds));
        if log.step.is_multiple_of(100) || log.step == log.steps {
            println!(
                "{name} {:5}: loss {:.4}, {:.0} s",
                log.step,
                loss / 100.0,
                start.elapsed().as_secs_f64()
            );
            loss = 0.0;
            saved = trainer.save_checkpoint(&checkpoint);
        }
        if saved.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    bar.finish();
    saved?;
    Ok(trainer)
}

/// Every other example alone, the rest in conversations of two and three turns: later domains have longer
/// prompts than a single task, and what is copied must be found at any distance.
fn conversations(examples: &[Example]) -> Vec<Example> {
    let mut rest = examples;
    let mut all = Vec::new();
    for turns in [1, 2, 1, 3].into_iter().cycle() {
        let Some((own, after)) = rest.split_at_checked(turns) else { return all };
        let messages = own.iter().flat_map(|e| e.messages.clone()).collect();
        all.push(Example { messages, ..own[0].clone() });
        rest = after;
    }
    all
}

fn save(model: &LocalModel, folder: &Path) -> slm::core::Result<()> {
    model.model.save(folder, FloatType::F16)?;
    model.tokenizer.save(&folder.join("tokenizer.json"))?;
    write_atomically(&folder.join("chat_template.jinja"), recipe::TEMPLATE.as_bytes())?;
    let config = format!("{{\n  \"eos_token\": \"{}\"\n}}\n", recipe::END);
    write_atomically(&folder.join("tokenizer_config.json"), config.as_bytes())
}

fn skills(model: &LocalModel) -> slm::core::Result<String> {
    let suite = general_suite(350, 99);
    let mut lines = String::new();
    for task in GeneralTask::ALL {
        let own: Vec<_> = suite.iter().filter(|e| GeneralTask::of(e) == Some(task)).collect();
        let mut right = 0;
        for example in &own {
            let answer = model.chat(&ChatRequest::question(example.question()))?;
            right += usize::from(answer.text.trim() == example.answer());
        }
        lines += &format!("| {} | {right} of {} |\n", task.name(), own.len());
    }
    Ok(lines)
}

fn card(figures: &str) -> String {
    format!(
        "# slm-base\n\nA model of 1.8 million weights in the shape of Qwen3, pretrained by `examples/pretrain_base.rs` \
         on synthetic text of the project's own (`src/sandbox/general.rs`): copy, reverse, extract, find, look up, \
         facts, select. It knows no domain and no facts about the world; it serves to show, offline and in minutes, \
         what the workspace does with a base model.\n\n| | |\n|---|---|\n{figures}"
    )
}
