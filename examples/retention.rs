//! What a domain gains and what the base forgets: plain LoRA beside LoRA with retention, over seeds.
//!
//! ```console
//! cargo run --release --example retention -- --data pairs.jsonl --name medquad --out out/retention
//! ```
//!
//! Each seed draws its own questions and starts its own adapter on the embedded base. Both ways take the same steps on
//! the same data; the retained one may raise the loss on general texts by at most half of what plain LoRA forgot. The
//! table, `NAME.json` with all measurements and `NAME.html` with their plot land in `--out`. `--steps`, `--rate`, `--pairs` and `--seeds` change the runs.

use std::error::Error;
use std::path::PathBuf;

use burn::tensor::Device;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use slm::core::LocalModel;
use slm::core::model::write_atomically;
use slm::core::text::TrainingText;
use slm::data::{Example, read_examples};
use slm::eval::report::{LineChart, Report, Section};
use slm::lora::{
    Batching, LoraAdapter, LoraConfig, Point, Retained, Retainer, RetentionConfig, RetentionData,
    TrainConfig, pareto_front, training_texts,
};
use slm::{progress, sandbox};

struct Arguments {
    data: PathBuf,
    name: String,
    out: PathBuf,
    steps: usize,
    rate: f64,
    pairs: usize,
    seeds: u64,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut a = Arguments {
        data: PathBuf::new(),
        name: "domain".into(),
        out: "out/retention".into(),
        steps: 150,
        rate: 2e-3,
        pairs: 500,
        seeds: 3,
    };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        let value = all.next().ok_or_else(|| format!("{name}: a value must follow"))?;
        match name.as_str() {
            "--data" => a.data = value.into(),
            "--name" => a.name = value,
            "--out" => a.out = value.into(),
            "--steps" => a.steps = value.parse()?,
            "--rate" => a.rate = value.parse()?,
            "--pairs" => a.pairs = value.parse()?,
            "--seeds" => a.seeds = value.parse()?,
            _ => {
                return Err(
                    format!("unknown option {name}\nhint: see the head of examples/retention.rs").into()
                );
            }
        }
    }
    Ok(a)
}

/// Longest text, in tokens.
const LONGEST: usize = 256;
/// Texts that losses are measured on.
const MEASURED: usize = 150;

/// The seed's share of the pairs, and general texts that the base was trained to know.
fn data(
    base: &LocalModel,
    pairs: &[Example],
    a: &Arguments,
    seed: u64,
) -> Result<RetentionData, Box<dyn Error>> {
    let template = base.template.as_ref().ok_or("the base has a template")?;
    let texts = |examples: &[Example]| training_texts(examples, &base.tokenizer, template);
    let mut domain: Vec<TrainingText> =
        texts(pairs)?.into_iter().filter(|t| t.ids.len() <= LONGEST).collect();
    domain.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    if domain.len() < a.pairs + MEASURED {
        return Err(format!(
            "{} pairs fit {LONGEST} tokens, {} are needed",
            domain.len(),
            a.pairs + MEASURED
        )
        .into());
    }
    let domain_validation = domain.split_off(domain.len() - MEASURED);
    domain.truncate(a.pairs);
    Ok(RetentionData {
        domain,
        domain_validation,
        general: texts(&sandbox::general_examples(1000, 100 + seed))?,
        general_validation: texts(&sandbox::general_suite(MEASURED, 200 + seed))?,
    })
}

fn run(
    base: &LocalModel,
    data: &RetentionData,
    (a, seed): (&Arguments, u64),
    config: RetentionConfig,
) -> Result<Retained, Box<dyn Error>> {
    let mut model = base.model.clone();
    let lora = LoraConfig { seed, ..LoraConfig::default() };
    LoraAdapter::init(&model, &lora)?.attach(&mut model)?;
    let train = TrainConfig {
        steps: a.steps,
        learning_rate: a.rate,
        max_length: LONGEST,
        batching: Batching::Packed,
        seed,
        ..TrainConfig::default()
    };
    let what = if config.kl_weight > 0.0 { "retained" } else { "plain" };
    let mut retainer = Retainer::new(model, data.clone(), train, config)?;
    let run = progress::retain(&format!("{what}, seed {seed}"), &mut retainer)?;
    Ok(run)
}

fn main() -> Result<(), Box<dyn Error>> {
    let a = arguments()?;
    let base = slm::base::embedded(&Device::flex())?;
    let pairs = read_examples(&a.data)?.items;
    println!("{} pairs", pairs.len());
    let (mut rows, mut lines, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..a.seeds {
        let data = data(&base, &pairs, &a, seed)?;
        let plain = run(&base, &data, (&a, seed), RetentionConfig::off())?;
        let last = *plain.points.last().ok_or("a run has measurements")?;
        let forgotten = last.general_loss - plain.base.general_loss;
        let allowed = RetentionConfig {
            max_general_loss_increase: forgotten.max(0.0) / 2.0,
            ..RetentionConfig::default()
        };
        let kept = run(&base, &data, (&a, seed), allowed)?;
        let gain = plain.base.domain_loss - last.domain_loss;
        lines.push(format!(
            "| {seed} | {gain:.3} | {forgotten:+.3} | {:.3} | {:+.3} | {:.2} | {:.2} |",
            kept.domain_gain(),
            kept.forgetting(),
            kept.domain_gain() / gain,
            kept.forgetting() / forgotten
        ));
        println!("{}", lines.last().map_or("", String::as_str));
        rows.push(
            json!({ "seed": seed, "plain": plain.points, "retained": kept.points, "chosen": kept.chosen }),
        );
        runs.push([plain, kept]);
    }
    println!(
        "\n| seed | plain gain | forgotten | retained gain | forgotten | gain kept | forgetting left |\n|---|---|---|---|---|---|---|"
    );
    lines.iter().for_each(|line| println!("{line}"));
    std::fs::create_dir_all(&a.out)?;
    let result = json!({ "data": a.name, "steps": a.steps, "rate": a.rate, "pairs": a.pairs, "runs": rows });
    write_atomically(&a.out.join(format!("{}.json", a.name)), &serde_json::to_vec_pretty(&result)?)?;
    Ok(page(&a, &runs).write_html(&a.out.join(format!("{}.html", a.name)))?)
}

/// Gain against forgetting, with all measurements.
fn page(a: &Arguments, runs: &[[Retained; 2]]) -> Report {
    let mut chart =
        LineChart::new("Gain against forgetting", "rise of the general loss, nats", "domain gain, nats");
    for (seed, pair) in runs.iter().enumerate() {
        for (run, way) in pair.iter().zip(["plain", "retained"]) {
            let at = |p: &Point| {
                (
                    f64::from(p.general_loss - run.base.general_loss),
                    f64::from(run.base.domain_loss - p.domain_loss),
                )
            };
            chart = chart.series(format!("{way}, seed {seed}"), pareto_front(&run.points).iter().map(at));
        }
    }
    let subtitle = format!("{}: {} pairs, {} steps", a.name, a.pairs, a.steps);
    Report::new("What a domain gains and what the base forgets", subtitle)
        .with(Section::new("All seeds").with(chart))
}
