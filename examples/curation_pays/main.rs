//! Does curation pay? Faults are planted in a real set, and the same base learns from as many steps of it raw, cut down
//! at random, and curated.
//!
//! ```console
//! cargo run --release --example curation_pays -- --data DATA/nl2bash/pairs.jsonl.gz
//! ```
//!
//! The set is any file of short pairs. Half of the rows are faulty: wrong answers, truncated ones, repeated rows, rows
//! of the evaluation set. For each seed the rows, the faults, the order and the adapter are drawn anew. It prints a
//! table, and writes `out/curation_pays.json` with what was in each set. `--seeds`, `--steps`, `--rows` and `--out`
//! change what they say.

mod arms;
mod noise;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;
use slm::core::{GenerationConfig, LocalModel};
use slm::data::{Example, read_examples};
use slm::eval::{EvalConfig, Metric, evaluate};
use slm::expert::{ExpertConfig, tune_alone};
use slm::lora::TrainConfig;

use arms::{Arm, arms, losses, mean};
use noise::{Fault, Planted};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Arguments {
    data: PathBuf,
    out: PathBuf,
    seeds: Vec<u64>,
    steps: usize,
    rows: usize,
}

fn arguments() -> Outcome<Arguments> {
    let mut found = Arguments {
        data: PathBuf::new(),
        out: "out/curation_pays.json".into(),
        seeds: vec![1, 2, 3],
        steps: 400,
        rows: 5000,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name}: a value must follow"))?;
        match name.as_str() {
            "--data" => found.data = value.into(),
            "--out" => found.out = value.into(),
            "--seeds" => found.seeds = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--steps" => found.steps = value.parse()?,
            "--rows" => found.rows = value.parse()?,
            _ => return Err(format!("unknown option {name}\nhint: see the head of this example").into()),
        }
    }
    Ok(found)
}

/// A model on the test.
#[derive(Debug, Clone, Serialize)]
struct Score {
    seed: u64,
    arm: &'static str,
    rows: usize,
    faults: BTreeMap<Fault, usize>,
    /// Tokens of all steps, padding not counted.
    tokens: usize,
    /// Nats per token of the right answers.
    loss: f64,
    token_f1: f64,
    /// Share of the answers that begin with the right word: the program.
    first_word: f64,
    exact: usize,
}

fn measure(arm: &Arm, planted: &Planted, (base, config): (&LocalModel, &ExpertConfig)) -> Outcome<Score> {
    let (tuned, logs) = tune_alone(base, &arm.rows, config, arm.name)?;
    let pairs: Vec<_> = planted.test.iter().map(|row| (Some(row.question()), row.answer())).collect();
    let losses = losses(&tuned, &pairs, &mean)?;
    let generation = GenerationConfig { max_new_tokens: 64, ..GenerationConfig::default() };
    let settings = EvalConfig { metric: Metric::TokenF1, generation, ..EvalConfig::default() };
    let evaluation = evaluate(&tuned, &planted.test, &settings, &mut |_, _| ())?;
    let first = |text: &str| text.split_whitespace().next().map(str::to_owned);
    let same = evaluation.rows.iter().filter(|row| first(&row.gold) == row.answer().and_then(first));
    let mut faults = BTreeMap::new();
    arm.rows.iter().for_each(|row| *faults.entry(planted.fault(row)).or_insert(0) += 1);
    Ok(Score {
        seed: config.seed,
        arm: arm.name,
        rows: arm.rows.len(),
        faults,
        tokens: logs.iter().map(|log| log.tokens).sum(),
        loss: mean(&losses),
        token_f1: evaluation.summary.score,
        first_word: same.count() as f64 / planted.test.len() as f64,
        exact: evaluation.summary.correct,
    })
}

fn table(scores: &[Score]) {
    let faults = [Fault::Wrong, Fault::Truncated, Fault::Repeated, Fault::Leaked];
    println!("| set | rows | wrong, truncated, repeated, leaked | tokens | loss | token F1 | first word |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let names: Vec<&str> = scores.iter().filter(|s| s.seed == scores[0].seed).map(|s| s.arm).collect();
    for name in names {
        let of: Vec<&Score> = scores.iter().filter(|score| score.arm == name).collect();
        let mean = |value: &dyn Fn(&Score) -> f64| of.iter().map(|s| value(s)).sum::<f64>() / of.len() as f64;
        let each = |value: &dyn Fn(&Score) -> f64, places: usize| {
            let all: Vec<_> = of.iter().map(|s| format!("{:.places$}", value(s))).collect();
            format!("**{:.places$}** ({})", mean(value), all.join(", "))
        };
        let count = |fault: &Fault| {
            format!("{:.0}", mean(&|s| s.faults.get(fault).copied().unwrap_or_default() as f64))
        };
        println!(
            "| {name} | {:.0} | {} | {:.0} | {} | {} | {} |",
            mean(&|s| s.rows as f64),
            faults.iter().map(count).collect::<Vec<_>>().join(", "),
            mean(&|s| s.tokens as f64),
            each(&|s| s.loss, 3),
            each(&|s| s.token_f1, 3),
            each(&|s| s.first_word, 3),
        );
    }
}

fn main() -> Outcome<()> {
    let arguments = arguments()?;
    let base = slm::base::embedded(&Device::flex())?;
    let pairs: Vec<Example> = read_examples(&arguments.data)?.items;
    let (start, mut scores) = (Instant::now(), Vec::new());
    for &seed in &arguments.seeds {
        let planted = Planted::new(pairs.clone(), arguments.rows, seed)?;
        let defaults = ExpertConfig::default();
        let train = TrainConfig { steps: arguments.steps, max_length: 256, seed, ..defaults.train.clone() };
        let lora = slm::lora::LoraConfig { seed, ..defaults.lora.clone() };
        let config = ExpertConfig { train, lora, seed, ..defaults };
        for arm in arms(&planted, &base, &config)? {
            let score = measure(&arm, &planted, (&base, &config))?;
            eprintln!(
                "{:.0} s, seed {seed}, {}: {} rows {:?}, loss {:.3}, F1 {:.3}, first word {:.3}",
                start.elapsed().as_secs_f64(),
                arm.name,
                score.rows,
                score.faults,
                score.loss,
                score.token_f1,
                score.first_word
            );
            scores.push(score);
        }
    }
    table(&scores);
    if let Some(parent) = arguments.out.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let partial = arguments.out.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec_pretty(&scores)?)?;
    Ok(std::fs::rename(&partial, &arguments.out)?)
}
