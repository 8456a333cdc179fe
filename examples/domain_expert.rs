//! The whole road: from raw pairs and documents to an expert that answers, cites and refuses.
//!
//! ```console
//! cargo run --release --example domain_expert
//! cargo run --release --example domain_expert -- --ask "Triage: 2026-03-14 09:26:53 web-03 auth[417] ERROR E4102 /var/data is 97% full"
//! cargo run --release --example domain_expert -- --model <HF directory> --data <pairs.jsonl> --docs <folder>
//! ```
//!
//! Without options it takes the embedded base and generated, dirty log questions through curation, LoRA, INT4,
//! retrieval and routing in a few minutes, and prints one table. `--ask` answers from what an earlier run left in
//! `--out` (`out/expert`). `--steps`, `--rate`, `--replay`, `--tokens`, `--test` and `--seed` change
//! training and test.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use slm::expert::{Expert, ExpertConfig, build};

struct Arguments {
    config: ExpertConfig,
    ask: Option<String>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut config = ExpertConfig::default();
    let mut ask = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name}: a value must follow"))?;
        match name.as_str() {
            "--model" => config.model = Some(PathBuf::from(value)),
            "--data" => config.data = Some(PathBuf::from(value)),
            "--docs" => config.documents = Some(PathBuf::from(value)),
            "--out" => config.out = PathBuf::from(value),
            "--ask" => ask = Some(value),
            "--steps" => config.train.steps = value.parse()?,
            "--rate" => config.train.learning_rate = value.parse()?,
            "--replay" => config.replay = value.parse()?,
            "--test" => config.test_questions = value.parse()?,
            "--tokens" => config.max_new_tokens = value.parse()?,
            "--seed" => config.seed = value.parse()?,
            _ => {
                return Err(format!(
                    "unknown option {name}\nhint: see the head of examples/domain_expert.rs"
                )
                .into());
            }
        }
    }
    Ok(Arguments { config, ask })
}

fn run() -> Result<(), Box<dyn Error>> {
    let Arguments { config, ask } = arguments()?;
    let device = Device::flex();
    let Some(question) = ask else {
        println!("\n{}", build(&config, &device)?);
        return Ok(());
    };
    let routed = Expert::load(&config.out, &device)?.ask(&question)?;
    println!("{}", routed.response.text);
    for citation in &routed.response.citations {
        println!("  [{} bytes {}..{}]", citation.source, citation.start, citation.end);
    }
    for score in &routed.decision.scores {
        println!("  {}: score {:.3}, threshold {:.3}", score.name, score.score, score.threshold);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(error.as_ref());
            while let Some(e) = cause {
                eprintln!("error: {e}");
                cause = e.source();
            }
            ExitCode::FAILURE
        }
    }
}
