//! The curation, the model that helps it, and the sets that are trained on.

use std::error::Error;
use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use slm::core::{LocalModel, Message};
use slm::data::{
    CurateConfig, DecontaminationConfig, Example, Method, NearDuplicateConfig, NearRule, Perplexity,
    PointwiseInformation, Scorer, SelectConfig, curate, lexical_vectors, select,
};
use slm::eval::metrics::auroc;
use slm::expert::{ExpertConfig, tune_alone};

use crate::noise::{Fault, Planted};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A set to train on.
pub(crate) struct Arm {
    pub name: &'static str,
    pub rows: Vec<Example>,
}

/// Share of the rows that the two model scores each drop.
const DROPPED: f64 = 0.25;

/// All sets of `count` rows (a tenth of the raw ones), and the larger ones that they are drawn from.
pub(crate) fn arms(planted: &Planted, base: &LocalModel, config: &ExpertConfig) -> Outcome<Vec<Arm>> {
    let raw = &planted.raw;
    let count = raw.len() / 10;
    let by_rules = curate(raw.clone(), &planted.evaluation, &rules())?.kept;
    let (scored, scores) = by_model(&by_rules, planted, (base, config))?;
    let questions: Vec<&str> = scored.iter().map(Example::question).collect();
    let settings = SelectConfig { count, method: Method::FacilityLocation, seed: config.seed };
    let chosen = select(&scored, &scores, &lexical_vectors(&questions, 256), &settings)?;
    let of = |indices: &[usize]| indices.iter().map(|&at| scored[at].clone()).collect::<Vec<_>>();
    let clean: Vec<Example> = raw.iter().filter(|row| planted.fault(row) == Fault::Clean).cloned().collect();
    let (seed, some) = (config.seed, |rows: &[Example], seed| sample(rows, count, seed));
    Ok(vec![
        Arm { name: "raw, at random", rows: some(raw, seed) },
        Arm { name: "raw, ten times as many", rows: raw.clone() },
        Arm { name: "rules, at random", rows: some(&by_rules, seed) },
        Arm { name: "rules and model, at random", rows: of(&chosen.random) },
        Arm { name: "rules and model, as long", rows: of(&chosen.length_matched) },
        Arm { name: "curated: rules, model, selection", rows: of(&chosen.chosen) },
        Arm { name: "all that rules and model keep", rows: scored.clone() },
        Arm { name: "without any fault, at random", rows: some(&clean, seed) },
    ])
}

fn rules() -> CurateConfig {
    let near = NearDuplicateConfig {
        threshold: 0.7,
        rule: NearRule::SimilarQuestion,
        ..NearDuplicateConfig::default()
    };
    let decontamination = DecontaminationConfig { similarity: Some(0.7), ..DecontaminationConfig::default() };
    CurateConfig {
        near_duplicates: Some(near),
        decontamination: Some(decontamination),
        ..CurateConfig::default()
    }
}

fn sample(rows: &[Example], count: usize, seed: u64) -> Vec<Example> {
    let mut rows = rows.to_vec();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    rows.truncate(count);
    rows
}

/// The rows that a model of the other half does not find strange, with scores from 0 to 1: it drops those whose
/// question says least about the answer, and those whose answer it would most have gone on with.
fn by_model(
    rows: &[Example],
    planted: &Planted,
    (base, config): (&LocalModel, &ExpertConfig),
) -> Outcome<(Vec<Example>, Vec<f64>)> {
    let (information, ending) = model_scores(rows, base, config)?;
    for (fault, name) in [(Fault::Wrong, "wrong"), (Fault::Truncated, "truncated")] {
        let of = |wanted: Fault| (0..rows.len()).filter(move |at| planted.fault(&rows[*at]) == wanted);
        for (score, values) in [("information", &information), ("ending", &ending)] {
            let [good, bad] = [Fault::Clean, fault].map(|f| of(f).map(|at| values[at]).collect::<Vec<_>>());
            eprintln!("{score} puts clean rows above {name} ones with AUROC {:.3}", auroc(&good, &bad)?);
        }
    }
    let (information, ending) = (ranks(&information), ranks(&ending));
    let kept = (0..rows.len()).filter(|&at| information[at].min(ending[at]) >= DROPPED);
    Ok(kept.map(|at| (rows[at].clone(), information[at])).unzip())
}

/// Two scores per row, each from a model that was trained on the half of the rows that the row is not in.
pub(crate) fn model_scores(
    rows: &[Example],
    base: &LocalModel,
    config: &ExpertConfig,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    let (start, mut scores) = (Instant::now(), [vec![0.0; rows.len()], vec![0.0; rows.len()]]);
    for half in 0..2 {
        let (own, other): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| at % 2 == half);
        let of = |indices: &[usize]| indices.iter().map(|&at| rows[at].clone()).collect::<Vec<_>>();
        let (model, _) = tune_alone(base, &of(&other), config, "the model that scores")?;
        let all = |pairs: &[(Option<&str>, &str)]| losses(&model, pairs, &mean).map_err(|e| e.to_string());
        let end = |pairs: &[(Option<&str>, &str)]| losses(&model, pairs, &last).map_err(|e| e.to_string());
        let own_rows = of(&own);
        let information = PointwiseInformation { model: Box::new(all) }.score(&own_rows)?;
        let ending = Perplexity { model: Box::new(end) }.score(&own_rows)?;
        for (place, at) in own.into_iter().enumerate() {
            scores[0][at] = information[place];
            scores[1][at] = ending[place];
        }
    }
    let [information, ending] = scores;
    eprintln!(
        "{} rows scored by models of each other's half in {:.0} s",
        rows.len(),
        start.elapsed().as_secs_f64()
    );
    Ok((information, ending))
}

/// Nats of answers, the token that ends them included: what `of` makes of those of their tokens.
pub(crate) fn losses(
    model: &LocalModel,
    pairs: &[(Option<&str>, &str)],
    of: &dyn Fn(&[f64]) -> f64,
) -> Outcome<Vec<f64>> {
    let template = model.template.as_ref().ok_or("the model has no chat template")?;
    let loss = |(question, answer): &(Option<&str>, &str)| {
        let turns = [Message::user(question.unwrap_or_default()), Message::assistant(*answer)];
        let text = template.training_text(&model.tokenizer, &turns)?;
        let length = text.ids.len().min(model.model.config.context_length());
        let scores = model.score(&text.ids[..length])?;
        let learned = scores.iter().zip(&text.learned[1..]).filter(|(_, learned)| **learned);
        Ok(of(&learned.map(|(score, _)| -f64::from(*score)).collect::<Vec<_>>()))
    };
    pairs.iter().map(loss).collect()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or_default()
}

/// The share of the other values that a value is above.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at] = rank as f64 / values.len().max(1) as f64;
    }
    ranks
}
