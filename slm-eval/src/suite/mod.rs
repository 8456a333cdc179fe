//! What is measured, as data: one file names the tasks, and the gates that their results must pass.
//!
//! ```toml
//! name = "support desk"
//!
//! [[task]]
//! name = "facts"
//! rows = "facts.jsonl"                       # JSON lines, or gzip of them; beside this file
//! kind = "answers"
//! prompt = "Answer in a word.\n{{ question }}"
//! answers = "answer"                         # an expression over the row's fields: a text, or a list of texts
//! metrics = ["exact_match", "token_f1"]
//!
//! [[task]]
//! name = "choices"
//! rows = "choices.jsonl"
//! kind = "choices"
//! prompt = "Question: {{ question }}\nAnswer:"
//! choices = "[a, b, c, d]"
//! answer = "right"                           # the place of the right choice, counted from 0, or its text
//!
//! [[gate]]
//! task = "facts"
//! measure = "exact_match"
//! min = 0.6
//! max_regression = 0.02
//! ```
//!
//! Prompts are templates and the rest are expressions of Jinja, over the fields of each row.

mod gate;
mod page;
mod result;
mod rows;
mod run;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slm_core::GenerationConfig;

pub use self::gate::{Gate, Proof, Verdict};
pub use self::result::{Measure, SuiteResult, TaskResult};
pub use self::run::Subject;
use crate::cost::CostModel;
use crate::metrics::Metric;
use crate::{Error, Result};

/// Tasks and gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// How answers are generated.
    #[serde(default)]
    pub generation: GenerationConfig,
    /// Prices for the bill.
    #[serde(default)]
    pub cost: CostModel,
    /// Confidence level of intervals and gates.
    #[serde(default = "default_level")]
    pub level: f64,
    /// Seed of the bootstrap.
    #[serde(default)]
    pub seed: u64,
    /// What is measured, in this order.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
    /// What results must pass.
    #[serde(default, rename = "gate")]
    pub gates: Vec<Gate>,
}

fn default_level() -> f64 {
    0.95
}

/// Rows, and what is made of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, by which gates and baselines know it.
    pub name: String,
    /// The file of rows: JSON lines, or gzip of them. A relative path begins at the suite's file.
    pub rows: PathBuf,
    /// The first so many rows only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What is made of a row.
    #[serde(flatten)]
    pub kind: TaskKind,
}

/// What is made of a row. Templates and expressions are Jinja's, over its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TaskKind {
    /// A question that the model answers in its own words.
    Answers {
        /// Template of the question.
        prompt: String,
        /// Template of the instructions before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
        /// Expression of the accepted answers: a text, a list of texts, or none where withholding is right.
        answers: String,
        /// Expression of the evidence: a list of `{source, start, end}`, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
        /// Template of the part of the task that the row belongs to; reports sum up by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// How answers are scored.
        metrics: Vec<Metric>,
        /// A JSON schema that answers are held against.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<serde_json::Value>,
    },
    /// Texts to choose from by their likelihood; for a local model.
    Choices {
        /// Template of what stands before the choice.
        prompt: String,
        /// Expression of the list of choices.
        choices: String,
        /// Expression of the right one: its place, counted from 0, or its text.
        answer: String,
    },
    /// Texts whose likelihood is measured; for a local model.
    Texts {
        /// Template of the text.
        text: String,
    },
    /// Rows of IFEval: a prompt, and instructions that its answer shall follow.
    Instructions,
}

impl Suite {
    /// Reads a suite: TOML, or JSON where the name ends so.
    ///
    /// # Errors
    /// When the file cannot be read or is not a suite: the message says where and why.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| slm_core::Error::io(path, e))?;
        let bad = |reason: String| Error::Suite { path: path.into(), reason };
        let mut suite: Self = match path.extension().is_some_and(|e| e == "json") {
            true => serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?,
            false => toml::from_str(&text).map_err(|e| bad(e.to_string()))?,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        suite.tasks.iter_mut().for_each(|task| task.rows = folder.join(&task.rows));
        let mut names: Vec<&str> = suite.tasks.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad(format!("two tasks are named `{}`", pair[0])));
        }
        for gate in &suite.gates {
            gate.check(&names).map_err(bad)?;
        }
        Ok(suite)
    }
}
