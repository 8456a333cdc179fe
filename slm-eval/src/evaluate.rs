//! Asking a model every question of a suite: [`evaluate`].

mod item;
mod row;
mod summary;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, Citation, GenerationConfig, LanguageModel};
use slm_data::Example;

pub use self::item::Item;
pub(crate) use self::item::to_message;
pub use self::row::{Outcome, Row};
pub use self::summary::Summary;
use crate::cost::CostModel;
use crate::metrics::{Metric, citation_score, mean_ci};
use crate::results::{load_json, save_json};
use crate::{Error, Result};

/// How a suite is asked and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// How answers are scored.
    pub metric: Metric,
    /// How answers are generated.
    pub generation: GenerationConfig,
    /// Prices for the bill.
    pub cost: CostModel,
    /// Confidence level of the intervals.
    pub level: f64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for EvalConfig {
    /// Exact match of greedy answers, free of charge, with 95 % intervals.
    fn default() -> Self {
        Self {
            metric: Metric::default(),
            generation: GenerationConfig::default(),
            cost: CostModel::default(),
            level: 0.95,
            seed: 0,
        }
    }
}

/// A model's answers to a suite, with their scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the model.
    pub model: String,
    /// How it was asked and scored.
    pub config: EvalConfig,
    /// The rows in figures.
    pub summary: Summary,
    /// One row per example, in the order of the examples.
    pub rows: Vec<Row>,
}

/// Asks `model` every example and scores the answers.
///
/// The turns before the last assistant turn are the prompt, and that turn is the expected answer. See
/// [`evaluate_items`] for the scores. `progress` is called with the number of examples done and of all, after each.
///
/// # Errors
/// Before anything is asked: when there are no examples, one has no answer or no turn before it or an answer
/// that the metric cannot compare with, or a setting is out of range.
pub fn evaluate(
    model: &dyn LanguageModel,
    examples: &[Example],
    config: &EvalConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    let items = examples.iter().enumerate().map(|(index, example)| {
        Item::of(example).map_err(|reason| Error::Example { index, origin: example.source.clone(), reason })
    });
    evaluate_items(model, &items.collect::<Result<Vec<_>>>()?, config, progress)
}

/// Asks `model` every item and scores the answers.
///
/// Of several accepted answers the one counts that the answer fits best. An answer that is withheld scores 1 if
/// no answer is accepted or the accepted one says the same, else 0, under every metric; any other answer to a
/// question that has none scores 0. A request that fails becomes a row with score 0 and its error.
///
/// # Errors
/// Before anything is asked: when there are no items, one has nothing to ask or an answer that the metric cannot
/// compare with, or a setting is out of range.
pub fn evaluate_items(
    model: &dyn LanguageModel,
    items: &[Item],
    config: &EvalConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    config.cost.check()?;
    for (index, item) in items.iter().enumerate() {
        item.check(config.metric).map_err(|reason| Error::Example {
            index,
            origin: item.source.clone(),
            reason,
        })?;
    }
    // Wrong settings show here, not after hours of answers.
    mean_ci(&vec![0.0; items.len()], config.seed, config.level)?;
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        rows.push(ask(model, item, config)?);
        progress(rows.len(), items.len());
    }
    Evaluation::of(model.name(), rows, config)
}

fn ask(model: &dyn LanguageModel, item: &Item, config: &EvalConfig) -> Result<Row> {
    let generation = config.generation.clone();
    let request = ChatRequest { messages: item.messages.clone(), generation, ..ChatRequest::default() };
    let start = Instant::now();
    let mut first_text_seconds = None;
    let response = model.stream(&request, &mut |text| {
        if !text.is_empty() {
            first_text_seconds.get_or_insert_with(|| start.elapsed().as_secs_f64());
        }
        ControlFlow::Continue(())
    });
    let seconds = start.elapsed().as_secs_f64();
    let mut golds = item.golds.iter().cloned();
    let mut row = Row {
        question: item.messages.last().map_or_else(String::new, |m| m.content.clone()),
        gold: golds.next().unwrap_or_default(),
        also_right: golds.collect(),
        source: item.source.clone(),
        outcome: Outcome::Failed { error: String::new() },
        score: 0.0,
        correct: false,
        citation_score: None,
        seconds,
    };
    match response {
        Ok(response) => {
            let cited = |evidence: &Vec<Citation>| citation_score(&response.citations, evidence);
            row.citation_score = item.evidence.as_ref().map(cited);
            row.outcome = Outcome::Answered {
                answer: response.text,
                finish_reason: response.finish_reason,
                usage: response.usage,
                citations: response.citations,
                first_text_seconds,
                confidence: response.confidence,
                charged: response.cost,
                route: response.route,
            };
        }
        Err(error) => row.outcome = Outcome::Failed { error: with_causes(&error) },
    }
    row.score = row.score_under(config.metric)?;
    row.correct = row.is_exact_under(config.metric)?;
    Ok(row)
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl Evaluation {
    /// Sums up `rows`, however they were made.
    ///
    /// # Errors
    /// When there are no rows, a number in them is not finite, or a setting is out of range.
    pub fn of(model: &str, rows: Vec<Row>, config: &EvalConfig) -> Result<Self> {
        let summary = Summary::of(&rows, config)?;
        Ok(Self { model: model.into(), config: config.clone(), summary, rows })
    }

    /// Writes the evaluation as JSON, beside its place first and then renamed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_json(self, "evaluation", path)
    }

    /// Reads an evaluation that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        load_json("evaluation", path)
    }
}
