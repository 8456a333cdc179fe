//! What can go wrong when a model is measured or a report is written.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a model is measured or a report is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to measure.
    #[error("no {what} to measure")]
    Empty {
        /// What there is none of.
        what: &'static str,
    },
    /// A number that is not one.
    #[error("{what} {index} is {value}; expected a finite number")]
    NotFinite {
        /// What the number is.
        what: &'static str,
        /// Its place, counted from 0.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A setting out of its range.
    #[error("`{name}` is {got}; expected {expected}")]
    Setting {
        /// Name of the field.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// An example that cannot be asked or scored.
    #[error("example {index} ({origin}): {reason}")]
    Example {
        /// Its place, counted from 0.
        index: usize,
        /// Its `source` field.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An expected answer that a JSON metric cannot compare with.
    #[error("the expected answer is not JSON: {gold:?}\nhint: use a text metric, such as exact match")]
    Gold {
        /// The expected answer.
        gold: String,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// Two series of measurements that are not of the same things.
    #[error(
        "the two sides differ in {what}: {before} before, {after} after\nhint: evaluate both models on the same examples, in the same order, with the same metric"
    )]
    Unpaired {
        /// What differs.
        what: String,
        /// The side before.
        before: String,
        /// The side after.
        after: String,
    },
    /// A model without a chat template has no chat answers to score.
    #[error("model {model} has no chat template\nhint: measure a base model on plain texts")]
    NoTemplate {
        /// Name of the model.
        model: String,
    },
    /// A task that asks for likelihoods of a model that only answers.
    #[error(
        "task {task} measures likelihoods, which {model} does not tell\nhint: run it on a model of this machine"
    )]
    NoLikelihood {
        /// Name of the model.
        model: String,
        /// Name of the task.
        task: String,
    },
    /// A file that is no suite.
    #[error("{path}: {reason}")]
    Suite {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A row that does not fit its task.
    #[error("{path}:{line}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of a report that cannot be drawn.
    #[error("report: {part}: {reason}")]
    Report {
        /// Title of the table or chart.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is not what it should be.
    #[error("{path} is not a saved {what}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// The cause, with line and column.
        source: serde_json::Error,
    },
    /// The model failed, or a file could not be read or written.
    #[error(transparent)]
    Core(#[from] slm_core::Error),
}
