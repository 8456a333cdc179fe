//! What a step is in code, and the built-in ones.

use std::path::Path;

use serde_json::json;

use super::config::StepKind;
use crate::curate::{CurateConfig, DropReason, Dropped, Verdict, Verdicts, curate, near_on_disk};
use crate::select::{RuleScore, Scorer, lexical_vectors, select};
use crate::{Error, Example, Result};

/// Places of the vectors that selection compares rows by.
const WIDTH: usize = 256;

/// What a step made of rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The rows that are left, in their order.
    pub kept: Vec<Example>,
    /// The others, with reasons. `kept` and `dropped` are all rows together.
    pub dropped: Vec<Dropped>,
    /// Rows whose text was changed, kept or not.
    pub changed: usize,
    /// Further sets to be written beside the rows, such as controls.
    pub beside: Vec<(String, Vec<Example>)>,
}

/// A step of a pipeline.
pub trait Stage {
    /// Everything that the outcome depends on besides the rows: name, settings, versions. Another text makes
    /// the cache forget what the step did.
    fn fingerprint(&self) -> String;

    /// Does the step.
    ///
    /// # Errors
    /// When a setting is out of range, or a model that is lent fails.
    fn apply(&mut self, rows: Vec<Example>) -> Result<Outcome>;

    /// Looks at all rows, which lie in a file, before they come. `scratch` is a folder for what does not fit into memory;
    /// it is removed after the step. By default there is nothing to do.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    fn prepare(&mut self, rows: &Path, scratch: &Path) -> Result<()> {
        let _ = (rows, scratch);
        Ok(())
    }

    /// Whether each row is judged alone, or all were seen in [`prepare`](Self::prepare); such a step is given a few thousand rows at a time.
    fn by_row(&self) -> bool {
        false
    }
}

/// A step from the configuration.
pub(crate) struct BuiltIn {
    kind: StepKind,
    evaluation: Vec<Example>,
    /// Bytes of rows above which files are used.
    memory: u64,
    /// What was found through files.
    verdicts: Option<Verdicts>,
}

impl BuiltIn {
    pub(crate) fn new(kind: StepKind, evaluation: Vec<Example>, memory: u64) -> Self {
        Self { kind, evaluation, memory, verdicts: None }
    }
}

impl Stage for BuiltIn {
    fn fingerprint(&self) -> String {
        let needs_evaluation = matches!(self.kind, StepKind::Decontamination(_) | StepKind::Curate(_));
        let evaluation = if needs_evaluation { json!(self.evaluation) } else { json!(null) };
        json!({"version": env!("CARGO_PKG_VERSION"), "kind": self.kind, "evaluation": evaluation}).to_string()
    }

    fn prepare(&mut self, rows: &Path, scratch: &Path) -> Result<()> {
        self.verdicts = None;
        let size = std::fs::metadata(rows).map_err(|source| Error::io(rows, source))?.len();
        if let StepKind::NearDuplicates(config) = &self.kind
            && size > self.memory
        {
            self.verdicts = Some(near_on_disk(rows, scratch, config)?);
        }
        Ok(())
    }

    fn by_row(&self) -> bool {
        self.kind.by_row() || self.verdicts.is_some()
    }

    fn apply(&mut self, rows: Vec<Example>) -> Result<Outcome> {
        if let Some(verdicts) = &mut self.verdicts {
            return judged(rows, verdicts);
        }
        if let Some(config) = self.kind.curation() {
            return curated(rows, &self.evaluation, &config);
        }
        match &self.kind {
            StepKind::MinScore(least) => {
                let scores = RuleScore.score(&rows)?;
                let details = scores
                    .iter()
                    .map(|score| (score < least).then(|| format!("scores {score:.2}, below {least}")));
                Ok(divided(rows, details.collect(), DropReason::LowScore))
            }
            StepKind::Select(config) => {
                let scores = RuleScore.score(&rows)?;
                let questions: Vec<&str> = rows.iter().map(Example::question).collect();
                let found = select(&rows, &scores, &lexical_vectors(&questions, WIDTH), config)?;
                let of = |indices: &[usize]| indices.iter().map(|&at| rows[at].clone()).collect::<Vec<_>>();
                let beside = vec![
                    ("random".to_owned(), of(&found.random)),
                    ("length_matched".to_owned(), of(&found.length_matched)),
                ];
                let mut details =
                    vec![Some(format!("not among the {} selected", found.chosen.len())); rows.len()];
                found.chosen.iter().for_each(|&at| details[at] = None);
                Ok(Outcome { beside, ..divided(rows, details, DropReason::NotSelected) })
            }
            _ => Ok(Outcome { kept: rows, ..Outcome::default() }),
        }
    }
}

fn curated(rows: Vec<Example>, evaluation: &[Example], config: &CurateConfig) -> Result<Outcome> {
    let curated = curate(rows, evaluation, config)?;
    let changed = curated.report.cleaned_rows + curated.report.redacted_rows;
    Ok(Outcome { kept: curated.kept, dropped: curated.dropped, changed, beside: Vec::new() })
}

/// Rows with a verdict are dropped.
fn judged(rows: Vec<Example>, verdicts: &mut Verdicts) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for example in rows {
        match verdicts.of_next(&example)? {
            None => outcome.kept.push(example),
            Some(Verdict { reason, detail, of }) => {
                outcome.dropped.push(Dropped { example, reason, detail, of });
            }
        }
    }
    Ok(outcome)
}

/// Rows with a detail are dropped.
pub(super) fn divided(rows: Vec<Example>, details: Vec<Option<String>>, reason: DropReason) -> Outcome {
    let mut outcome = Outcome::default();
    for (example, detail) in rows.into_iter().zip(details) {
        match detail {
            None => outcome.kept.push(example),
            Some(detail) => outcome.dropped.push(Dropped { example, reason, detail, of: None }),
        }
    }
    outcome
}

/// A closure as a step.
pub(super) struct Closure<F> {
    pub(super) version: String,
    pub(super) judge: F,
}

impl<F: FnMut(&[Example]) -> Result<Vec<Option<String>>>> Stage for Closure<F> {
    fn fingerprint(&self) -> String {
        self.version.clone()
    }

    fn apply(&mut self, rows: Vec<Example>) -> Result<Outcome> {
        let mut details = (self.judge)(&rows)?;
        details.resize(rows.len(), None);
        Ok(divided(rows, details, DropReason::Custom))
    }
}

/// A closure that scores toxicity as a step.
pub(super) struct Toxicity<F> {
    pub(super) version: String,
    pub(super) most: f64,
    pub(super) score: F,
}

impl<F: FnMut(&[Example]) -> Result<Vec<f64>>> Stage for Toxicity<F> {
    fn fingerprint(&self) -> String {
        json!({"toxicity": self.version, "most": self.most}).to_string()
    }

    fn by_row(&self) -> bool {
        true
    }

    fn apply(&mut self, rows: Vec<Example>) -> Result<Outcome> {
        let scores = (self.score)(&rows)?;
        if scores.len() != rows.len() || scores.iter().any(|score| score.is_nan()) {
            let reason = format!("expected {} numbers, got {scores:?}", rows.len());
            return Err(Error::Model { what: "the score of toxicity", reason });
        }
        let above =
            |score: &f64| (*score > self.most).then(|| format!("scores {score:.2}, above {}", self.most));
        Ok(divided(rows, scores.iter().map(above).collect(), DropReason::Toxic))
    }
}
