//! What a suite found: [`SuiteResult`], which is the baseline of a later one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::Result;
use crate::evaluate::Evaluation;
use crate::metrics::{Interval, mean_ci, weighted_bootstrap_ci};
use crate::results::{load_json, save_json};

/// Results of all tasks, and how they passed the gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// Name of the suite.
    pub suite: String,
    /// Name of the model.
    pub model: String,
    /// The tasks, in the suite's order.
    pub tasks: Vec<TaskResult>,
    /// The gates, in the suite's order.
    pub verdicts: Vec<Verdict>,
}

/// Results of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Its name.
    pub name: String,
    /// Checksum of what was asked and accepted: results are compared row by row only where it is the same.
    pub fingerprint: String,
    /// What was measured, by name.
    pub measures: BTreeMap<String, Measure>,
    /// The answers, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
}

/// A figure, and what it is the mean of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The figure.
    pub value: f64,
    /// Whether a lower figure is the better one.
    pub lower_is_better: bool,
    /// Confidence interval over rows, where the figure is a mean over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The figure of each row; empty where it is no mean over rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<f64>,
    /// How much each row counts; empty where all count the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
}

impl Measure {
    /// A figure that is no mean over rows, lower being better.
    pub(super) fn lower(value: f64) -> Self {
        Self { value, lower_is_better: true, interval: None, rows: Vec::new(), weights: Vec::new() }
    }

    /// A figure that is no mean over rows, higher being better.
    pub(super) fn higher(value: f64) -> Self {
        Self { lower_is_better: false, ..Self::lower(value) }
    }

    /// The mean of scores, higher being better.
    pub(super) fn mean(rows: Vec<f64>, seed: u64, level: f64) -> Result<Self> {
        let interval = Some(mean_ci(&rows, seed, level)?);
        let value = rows.iter().sum::<f64>() / rows.len() as f64;
        Ok(Self { rows, interval, ..Self::higher(value) })
    }

    /// The weighted mean of losses, lower being better.
    pub(super) fn weighted_loss(rows: Vec<f64>, weights: Vec<f64>, seed: u64, level: f64) -> Result<Self> {
        let interval = Some(weighted_bootstrap_ci(&rows, &weights, seed, level)?);
        let sum: f64 = rows.iter().zip(&weights).map(|(row, weight)| row * weight).sum();
        Ok(Self { interval, ..Self { rows, ..Self::lower(sum / weights.iter().sum::<f64>()) } }
            .weighted(weights))
    }

    fn weighted(self, weights: Vec<f64>) -> Self {
        Self { weights, ..self }
    }
}

impl SuiteResult {
    /// Whether every gate was passed.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.passed)
    }

    /// The results of a task.
    pub fn task(&self, name: &str) -> Option<&TaskResult> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// Writes the results as JSON, beside their place first and then renamed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_json(self, "suite result", path)
    }

    /// Reads results that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        load_json("suite result", path)
    }
}
