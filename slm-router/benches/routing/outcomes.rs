//! Which questions need the stronger model: RouteLLM's records of Mixtral 8x7B and GPT-4 on MMLU.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use slm_router::{DetectorConfig, Outcome as Record, OutcomeConfig, OutcomeRouter, RoutingCurve, Sample};

use super::{Outcome, Sets, field};

const FOLDS: usize = 5;

pub(super) fn run(sets: &Sets, only: &str) -> Outcome {
    let records = sets.records("routellm/mmlu_outcomes.jsonl.gz")?;
    let prompts = field(&records, "prompt")?;
    let vectors = sets.embed("routellm", &prompts)?;
    let by_text: BTreeMap<&str, &str> = prompts.iter().copied().zip(field(&records, "subject")?).collect();
    let outcomes = outcomes(&records, &prompts, &vectors)?;
    if only == "subjects" {
        return other_subjects(&by_text, &outcomes);
    }
    let words = Some(DetectorConfig::default());
    let plain = OutcomeConfig { words: None, complexity_weight: 0.0, ..OutcomeConfig::default() };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let random: Vec<f64> = outcomes.iter().map(|_| rng.random()).collect();
    print("random", &RoutingCurve::new(&random, &outcomes)?);
    let bare: Vec<Record<'_>> =
        outcomes.iter().map(|o| Record { sample: Sample { vector: &[], ..o.sample }, ..*o }).collect();
    for (name, outcomes, config) in [
        ("complexity alone", &bare, OutcomeConfig { complexity_weight: 0.1, ..plain.clone() }),
        ("words alone", &bare, OutcomeConfig { words: words.clone(), ..plain.clone() }),
        ("vectors alone", &outcomes, plain.clone()),
        ("words and vectors", &outcomes, OutcomeConfig { words, ..plain }),
        ("all", &outcomes, OutcomeConfig::default()),
    ] {
        let start = Instant::now();
        let gains = held_out(outcomes, &config, &|n| n % FOLDS)?;
        print(name, &RoutingCurve::new(&gains, outcomes)?);
        println!("    {:.0} s for {FOLDS} folds", start.elapsed().as_secs_f64());
    }
    other_subjects(&by_text, &outcomes)?;
    speed(&outcomes)
}

fn outcomes<'a>(records: &[Value], prompts: &[&'a str], vectors: &'a [Vec<f32>]) -> Outcome<Vec<Record<'a>>> {
    let is_right = |record: &Value, model: &str| record[model].as_bool().ok_or("a record without an outcome");
    let mut outcomes = Vec::new();
    for ((record, text), vector) in records.iter().zip(prompts).zip(vectors) {
        outcomes.push(Record {
            sample: Sample { vector, text },
            local_is_right: is_right(record, "mixtral_correct")?,
            larger_is_right: is_right(record, "gpt4_correct")?,
        });
    }
    outcomes.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    Ok(outcomes)
}

/// Subjects never seen: each is in one fold only.
fn other_subjects(by_text: &BTreeMap<&str, &str>, outcomes: &[Record<'_>]) -> Outcome {
    let mut subjects: Vec<&str> = by_text.values().copied().collect();
    subjects.sort_unstable();
    subjects.dedup();
    let fold = |n: usize| {
        let subject = by_text.get(outcomes[n].sample.text).copied().unwrap_or_default();
        subjects.binary_search(&subject).unwrap_or(0) % FOLDS
    };
    let gains = held_out(outcomes, &OutcomeConfig::default(), &fold)?;
    print("all, other subjects", &RoutingCurve::new(&gains, outcomes)?);
    Ok(())
}

/// The gain of each query by a router that was fitted to the other folds.
fn held_out(
    outcomes: &[Record<'_>],
    config: &OutcomeConfig,
    fold_of: &dyn Fn(usize) -> usize,
) -> Outcome<Vec<f64>> {
    let mut gains = vec![0.0; outcomes.len()];
    for fold in 0..FOLDS {
        let others: Vec<Record<'_>> = outcomes
            .iter()
            .enumerate()
            .filter(|(n, _)| fold_of(*n) != fold)
            .map(|(_, outcome)| *outcome)
            .collect();
        let router = OutcomeRouter::fit(&others, config)?;
        for (n, outcome) in outcomes.iter().enumerate().filter(|(n, _)| fold_of(*n) == fold) {
            gains[n] = router.gain(outcome.sample)?;
        }
    }
    Ok(gains)
}

fn print(name: &str, curve: &RoutingCurve) {
    let calls = curve.calls_for_accuracy(0.95 * curve.larger());
    println!(
        "{name}: APGR {:.3}, CPT(50 %) {:.1} %, CPT(80 %) {:.1} %, calls saved at 95 % of the strong model's accuracy {:.1} %",
        curve.apgr(),
        100.0 * curve.calls_for_gap(0.5),
        100.0 * curve.calls_for_gap(0.8),
        100.0 * (1.0 - calls)
    );
}

fn speed(outcomes: &[Record<'_>]) -> Outcome {
    let router = OutcomeRouter::fit(outcomes, &OutcomeConfig::default())?;
    let start = Instant::now();
    for outcome in outcomes {
        router.gain(outcome.sample)?;
    }
    println!("{:.0} µs a decision", 1e6 * start.elapsed().as_secs_f64() / outcomes.len() as f64);
    Ok(())
}
