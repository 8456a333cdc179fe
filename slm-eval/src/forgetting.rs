//! What a model lost and won by training: [`Forgetting`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Evaluation, Row};
use crate::metrics::{Metric, PairedComparison, compare_paired};
use crate::{Error, Result};

/// Two evaluations of the same examples, compared example by example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgetting {
    /// Name of the model before.
    pub before: String,
    /// Name of the model after.
    pub after: String,
    /// How answers were scored.
    pub metric: Metric,
    /// All examples.
    pub overall: PairedComparison,
    /// The examples of each `source`.
    pub groups: BTreeMap<String, PairedComparison>,
    /// Right before, wrong after.
    pub lost: Vec<Changed>,
    /// Wrong before, right after.
    pub won: Vec<Changed>,
}

/// An example whose answer became wrong or right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Its place in the suite, counted from 0.
    pub index: usize,
    /// Its `source`.
    pub source: String,
    /// The question.
    pub question: String,
    /// The expected answer.
    pub gold: String,
    /// The answer before; `None` where the request failed.
    pub before: Option<String>,
    /// The answer after; `None` where the request failed.
    pub after: Option<String>,
}

impl Forgetting {
    /// Compares `after` with `before`. Confidence level and seed are those of `before`.
    ///
    /// # Errors
    /// When the two differ in metric or examples, or have none.
    pub fn compare(before: &Evaluation, after: &Evaluation) -> Result<Self> {
        check_same("metric", &before.config.metric, &after.config.metric)?;
        check_same("number of examples", &before.rows.len(), &after.rows.len())?;
        let pairs: Vec<(&Row, &Row)> = before.rows.iter().zip(&after.rows).collect();
        let mut sources: BTreeMap<&str, Vec<(&Row, &Row)>> = BTreeMap::new();
        for (index, (b, a)) in pairs.iter().enumerate() {
            check_same(&format!("question of example {index}"), &b.question, &a.question)?;
            check_same(&format!("expected answer of example {index}"), &b.gold, &a.gold)?;
            check_same(&format!("source of example {index}"), &b.source, &a.source)?;
            sources.entry(&b.source).or_default().push((b, a));
        }
        let compare = |pairs: &[(&Row, &Row)]| {
            let (b, a): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(b, a)| (b.score, a.score)).unzip();
            compare_paired(&b, &a, before.config.seed, before.config.level)
        };
        let changed = |was: bool| {
            let keep = |(_, (b, a)): &(usize, &(&Row, &Row))| b.correct == was && a.correct != was;
            pairs.iter().enumerate().filter(keep).map(|(index, (b, a))| Changed::of(index, b, a)).collect()
        };
        Ok(Self {
            before: before.model.clone(),
            after: after.model.clone(),
            metric: before.config.metric,
            overall: compare(&pairs)?,
            groups: sources
                .iter()
                .map(|(source, pairs)| Ok(((*source).to_owned(), compare(pairs)?)))
                .collect::<Result<_>>()?,
            lost: changed(true),
            won: changed(false),
        })
    }
}

impl Changed {
    fn of(index: usize, before: &Row, after: &Row) -> Self {
        Self {
            index,
            source: before.source.clone(),
            question: before.question.clone(),
            gold: before.gold.clone(),
            before: before.answer().map(str::to_owned),
            after: after.answer().map(str::to_owned),
        }
    }
}

fn check_same<T: PartialEq + std::fmt::Debug>(what: &str, before: &T, after: &T) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let (before, after) = (format!("{before:?}"), format!("{after:?}"));
    Err(Error::Unpaired { what: what.into(), before, after })
}
