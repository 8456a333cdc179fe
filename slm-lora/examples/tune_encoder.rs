//! Fine-tunes an encoder on labelled texts in JSON lines, so that its vectors know a domain.
//!
//! ```console
//! cargo run --release -p slm-lora --example tune_encoder -- <encoder directory> <texts.jsonl> <new directory> [epochs=3] [seed=0]
//! ```
//!
//! Lines are `{"text": "where is my card?", "label": "card_arrival"}`, or `{"query": .., "passage": ..}` for pairs. The time is
//! estimated first; a checkpoint every 100 steps lets an interrupted run continue. What is written is a directory like the one
//! that was read, for whatever takes an encoder.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use slm_core::TextEncoder;
use slm_lora::{EncoderData, EncoderTrainConfig, EncoderTrainer, JsonLog};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options: BTreeMap<&str, &str> = arguments.iter().filter_map(|a| a.split_once('=')).collect();
    let plain: Vec<&Path> = arguments.iter().filter(|a| !a.contains('=')).map(Path::new).collect();
    let [source, texts, target] = plain.as_slice() else {
        return Err("usage: tune_encoder <encoder> <texts.jsonl> <new directory> [epochs=3] [seed=0]".into());
    };
    std::fs::create_dir_all(target)?;
    if target.canonicalize()?.starts_with(source.canonicalize()?) {
        return Err("the new directory is the encoder's own, or within it".into());
    }
    let encoder = TextEncoder::load(source, &Device::flex())?;
    let mut trainer = EncoderTrainer::new(encoder, data(texts)?, config(&options)?)?;
    println!("{:?}", trainer.plan());
    let checkpoint = target.join("checkpoint.slm");
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
    let mut lines = JsonLog::open(&target.join("log.jsonl"))?;
    let (mut loss, mut seconds, mut written) = (0.0, 0.0, Ok(()));
    trainer.run(&mut |trainer, log| {
        (loss, seconds) = (loss + log.loss / 100.0, seconds + log.seconds);
        written = lines.write(log);
        if written.is_ok() && log.step.is_multiple_of(100) {
            println!("step {} of {}: loss {loss:.3} over the last 100, {seconds:.0} s", log.step, log.steps);
            loss = 0.0;
            written = trainer.save_checkpoint(&checkpoint);
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    trainer.save_checkpoint(&checkpoint)?;
    trainer.encoder().save(source, target)?;
    std::fs::remove_file(&checkpoint).ok();
    println!("{} after {seconds:.0} s", target.display());
    Ok(())
}

/// The default settings, with those that are named changed: any field of the settings by its name.
fn config(options: &BTreeMap<&str, &str>) -> Result<EncoderTrainConfig, Box<dyn Error>> {
    let mut settings = serde_json::to_value(EncoderTrainConfig::default())?;
    for (name, value) in options {
        let field = settings.get_mut(*name).ok_or_else(|| format!("no setting `{name}`"))?;
        *field = serde_json::from_str(value).unwrap_or_else(|_| (*value).into());
    }
    Ok(serde_json::from_value(settings)?)
}

/// Lines with labels, or pairs, as the first line is.
fn data(path: &Path) -> Result<EncoderData, Box<dyn Error>> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = std::io::BufReader::new(file).lines().collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
    if lines.first().is_some_and(|line| line.contains("\"passage\"")) {
        return Ok(EncoderData::Pairs(parsed(path, &lines)?));
    }
    Ok(EncoderData::Labelled(parsed(path, &lines)?))
}

fn parsed<T: DeserializeOwned>(path: &Path, lines: &[String]) -> Result<Vec<T>, Box<dyn Error>> {
    let parse = |(number, line): (usize, &String)| {
        serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), number + 1))
    };
    Ok(lines.iter().enumerate().map(parse).collect::<Result<_, _>>()?)
}
