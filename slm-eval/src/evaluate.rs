//! Asking a model every question of a suite: [`evaluate`].

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use slm_core::model::write_atomically;
use slm_core::{ChatRequest, Citation, FinishReason, GenerationConfig, LanguageModel, Message, Role, Usage};
use slm_data::Example;

use crate::cost::{Cost, CostModel};
use crate::latency::LatencyStats;
use crate::metrics::{Interval, Metric, mean_ci};
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

/// What came back for a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered, or said that it will not.
    Answered {
        /// The answer.
        answer: String,
        /// Why it ended; [`FinishReason::Abstained`] where the model withheld an answer.
        finish_reason: FinishReason,
        /// Tokens read and written.
        usage: Usage,
        /// Sources the model gave.
        citations: Vec<Citation>,
        /// Until the first piece of text; `None` where there was no text.
        first_text_seconds: Option<f64>,
    },
    /// The request failed.
    Failed {
        /// The error with its causes.
        error: String,
    },
}

/// One example and what the model made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The last turn before the answer.
    pub question: String,
    /// The expected answer.
    pub gold: String,
    /// The example's `source`.
    pub source: String,
    /// What came back.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// 0 (wrong, or failed) to 1 (right).
    pub score: f64,
    /// Whether the answer is right with no part marks ([`Metric::is_exact`]).
    pub correct: bool,
    /// From the request to its last token, or to its failure.
    pub seconds: f64,
}

impl Row {
    /// The answer; `None` where the request failed.
    pub fn answer(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered { answer, .. } => Some(answer),
            Outcome::Failed { .. } => None,
        }
    }

    /// Whether the model withheld an answer.
    pub fn abstained(&self) -> bool {
        matches!(self.outcome, Outcome::Answered { finish_reason: FinishReason::Abstained, .. })
    }

    /// Whether the request failed.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// The rows in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Questions asked.
    pub count: usize,
    /// Mean score; a failed request counts as 0.
    pub score: f64,
    /// Confidence interval of [`score`](Self::score) over questions, see [`mean_ci`].
    pub interval: Interval,
    /// Mean score where the model neither withheld its answer nor failed; `None` where it always did.
    pub score_when_answered: Option<f64>,
    /// Answers that are right with no part marks.
    pub correct: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Answers withheld.
    pub abstained: usize,
    /// `abstained / count`.
    pub abstention_rate: f64,
    /// Seconds per request, failed ones included.
    pub latency: LatencyStats,
    /// Seconds until the first piece of text, of the requests that gave any.
    pub first_text: Option<LatencyStats>,
    /// Tokens read and written, all requests together.
    pub usage: Usage,
    /// Tokens written per second of the requests that wrote any (reading the prompt included); `None` where
    /// none did.
    pub tokens_per_second: Option<f64>,
    /// The bill; correct queries are those of [`correct`](Self::correct).
    pub cost: Cost,
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
/// The turns before the last assistant turn are the prompt, and that turn is the expected answer. An answer
/// that is withheld scores 1 if the expected answer says the same, else 0, under every metric. A request that
/// fails becomes a row with score 0 and its error. `progress` is called with the number of examples done and
/// of all, after each.
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
    config.cost.check()?;
    let questions: Vec<Question> =
        examples.iter().enumerate().map(|(i, e)| Question::of(i, e, config)).collect::<Result<_>>()?;
    // Wrong settings show here, not after hours of answers.
    mean_ci(&vec![0.0; questions.len()], config.seed, config.level)?;
    let mut rows = Vec::with_capacity(questions.len());
    for question in questions {
        rows.push(ask(model, question, config.metric)?);
        progress(rows.len(), examples.len());
    }
    Evaluation::of(model.name(), rows, config)
}

/// An example, ready to be asked.
struct Question {
    request: ChatRequest,
    gold: String,
    source: String,
}

impl Question {
    fn of(index: usize, example: &Example, config: &EvalConfig) -> Result<Self> {
        let error = |reason: String| Error::Example { index, origin: example.source.clone(), reason };
        let is_answer = |m: &slm_data::Message| m.role == slm_data::Role::Assistant;
        let Some(last) = example.messages.iter().rposition(is_answer) else {
            return Err(error("it has no assistant turn to compare with".into()));
        };
        let messages: Vec<Message> = example.messages[..last].iter().map(to_message).collect();
        if messages.is_empty() {
            return Err(error("there is no turn before the answer".into()));
        }
        let gold = example.messages[last].content.clone();
        config.metric.score("", &gold).map_err(|e| error(e.to_string()))?;
        let request =
            ChatRequest { messages, generation: config.generation.clone(), ..ChatRequest::default() };
        Ok(Self { request, gold, source: example.source.clone() })
    }
}

/// A turn of an example as a turn of a conversation.
pub(crate) fn to_message(message: &slm_data::Message) -> Message {
    let role = match message.role {
        slm_data::Role::System => Role::System,
        slm_data::Role::User => Role::User,
        slm_data::Role::Assistant => Role::Assistant,
        slm_data::Role::Tool => Role::Tool,
    };
    Message::new(role, message.content.clone())
}

fn ask(model: &dyn LanguageModel, question: Question, metric: Metric) -> Result<Row> {
    let start = Instant::now();
    let mut first_text_seconds = None;
    let response = model.stream(&question.request, &mut |text| {
        if !text.is_empty() {
            first_text_seconds.get_or_insert_with(|| start.elapsed().as_secs_f64());
        }
        ControlFlow::Continue(())
    });
    let seconds = start.elapsed().as_secs_f64();
    let (outcome, score, correct) = match response {
        Ok(response) => {
            let correct = metric.is_exact(&response.text, &question.gold)?;
            let score = match response.finish_reason {
                FinishReason::Abstained => f64::from(u8::from(correct)),
                _ => metric.score(&response.text, &question.gold)?,
            };
            let outcome = Outcome::Answered {
                answer: response.text,
                finish_reason: response.finish_reason,
                usage: response.usage,
                citations: response.citations,
                first_text_seconds,
            };
            (outcome, score, correct)
        }
        Err(error) => (Outcome::Failed { error: with_causes(&error) }, 0.0, false),
    };
    let asked = question.request.messages.last().map_or_else(String::new, |m| m.content.clone());
    Ok(Row {
        question: asked,
        gold: question.gold,
        source: question.source,
        outcome,
        score,
        correct,
        seconds,
    })
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
        let json = serde_json::to_vec_pretty(self).map_err(|source| Error::Parse {
            path: path.into(),
            what: "evaluation",
            source,
        })?;
        Ok(write_atomically(path, &json)?)
    }

    /// Reads an evaluation that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| slm_core::Error::io(path, e))?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Parse {
            path: path.into(),
            what: "evaluation",
            source,
        })
    }
}

impl Summary {
    fn of(rows: &[Row], config: &EvalConfig) -> Result<Self> {
        let scores: Vec<f64> = rows.iter().map(|r| r.score).collect();
        let seconds: Vec<f64> = rows.iter().map(|r| r.seconds).collect();
        let interval = mean_ci(&scores, config.seed, config.level)?;
        let count_of = |keep: fn(&Row) -> bool| rows.iter().filter(|r| keep(r)).count();
        let (correct, abstained) = (count_of(|r| r.correct), count_of(Row::abstained));
        let (mut usage, mut writing, mut first) = (Usage::default(), 0.0, Vec::new());
        for row in rows {
            if let Outcome::Answered { usage: used, first_text_seconds, .. } = &row.outcome {
                usage += *used;
                writing += if used.completion_tokens > 0 { row.seconds } else { 0.0 };
                first.extend(*first_text_seconds);
            }
        }
        let answered: Vec<f64> =
            rows.iter().filter(|r| !r.failed() && !r.abstained()).map(|r| r.score).collect();
        Ok(Self {
            count: rows.len(),
            score: mean(&scores),
            interval,
            score_when_answered: (!answered.is_empty()).then(|| mean(&answered)),
            correct,
            failed: count_of(Row::failed),
            abstained,
            abstention_rate: abstained as f64 / rows.len() as f64,
            latency: LatencyStats::of(&seconds)?,
            first_text: if first.is_empty() { None } else { Some(LatencyStats::of(&first)?) },
            usage,
            tokens_per_second: (writing > 0.0).then(|| usage.completion_tokens as f64 / writing),
            cost: config.cost.bill(seconds.iter().sum(), usage, rows.len(), correct)?,
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
