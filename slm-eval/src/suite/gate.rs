//! What results must pass: [`Gate`].

use serde::{Deserialize, Serialize};

use super::{Measure, SuiteResult};
use crate::Result;
use crate::metrics::{Interval, weighted_bootstrap_ci};

/// Bounds of a measure; those that are not given do not bind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Name of the task.
    pub task: String,
    /// Name of the measure, such as `exact_match`, `p99_seconds` or `cost_per_query`.
    pub measure: String,
    /// The least that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The most by which the measure may be worse than the baseline's, in its own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_regression: Option<f64>,
    /// What must be shown for the gate to close.
    #[serde(default)]
    pub proof: Proof,
}

/// What the comparison with a baseline must show, by a paired bootstrap over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The gate closes where the loss is more than allowed, and its interval shows that there is one: chance alone
    /// seldom closes it.
    #[default]
    OfLoss,
    /// The gate opens only where the interval of the loss shows that it is within what is allowed: too few rows close
    /// it.
    OfNoLoss,
}

/// How a measure fared at a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The gate.
    pub gate: Gate,
    /// Whether it was passed.
    pub passed: bool,
    /// Why, or why not; one sentence for each bound.
    pub reasons: Vec<String>,
}

impl Gate {
    /// Refuses a gate that can never close or asks for an unknown task.
    pub(super) fn check(&self, tasks: &[&str]) -> Result<(), String> {
        if !tasks.contains(&self.task.as_str()) {
            return Err(format!("a gate asks for task `{}`; there are {}", self.task, tasks.join(", ")));
        }
        if self.min.is_none() && self.max.is_none() && self.max_regression.is_none() {
            return Err(format!("the gate of `{}` has no min, max or max_regression", self.measure));
        }
        Ok(())
    }

    /// Holds results against the gate. What is missing closes it: a task, a measure, a baseline, or rows that are
    /// the same in both.
    pub(super) fn judge(
        &self,
        result: &SuiteResult,
        baseline: Option<&SuiteResult>,
        how: (u64, f64),
    ) -> Verdict {
        let measure = find(result, self);
        let mut bounds = Vec::new();
        match measure {
            Err(reason) => bounds.push((false, reason)),
            Ok(measure) => {
                let value = measure.value;
                let name = format!("{} of {}", self.measure, self.task);
                bounds.extend(
                    self.min.map(|min| (value >= min, format!("{name} is {value:.4}; at least {min}"))),
                );
                bounds.extend(
                    self.max.map(|max| (value <= max, format!("{name} is {value:.4}; at most {max}"))),
                );
                if let Some(allowed) = self.max_regression {
                    bounds.push(self.compare(result, measure, baseline, (allowed, how)));
                }
            }
        }
        let (passed, reasons): (Vec<bool>, Vec<String>) = bounds.into_iter().unzip();
        Verdict { gate: self.clone(), passed: !passed.contains(&false), reasons }
    }

    fn compare(
        &self,
        result: &SuiteResult,
        measure: &Measure,
        baseline: Option<&SuiteResult>,
        (allowed, (seed, level)): (f64, (u64, f64)),
    ) -> (bool, String) {
        let Some(baseline) = baseline else {
            return (false, "there is no baseline to compare with".into());
        };
        let before = match find(baseline, self) {
            Ok(before) => before,
            Err(reason) => return (false, format!("baseline: {reason}")),
        };
        let same = |r: &SuiteResult| r.task(&self.task).map(|task| task.fingerprint.clone());
        if same(result) != same(baseline) {
            return (false, format!("task {} asks something else than the baseline's", self.task));
        }
        let sign = if measure.lower_is_better { 1.0 } else { -1.0 };
        // Without a difference it is 0, not -0.
        let loss = sign * (measure.value - before.value) + 0.0;
        let said = format!("worse than {} by {loss:.4}; at most {allowed}", baseline.model);
        if measure.rows.is_empty() || measure.rows.len() != before.rows.len() {
            return (loss <= allowed, said);
        }
        let losses: Vec<f64> = measure.rows.iter().zip(&before.rows).map(|(a, b)| sign * (a - b)).collect();
        let ones = vec![1.0; losses.len()];
        let weights = if measure.weights.is_empty() { &ones } else { &measure.weights };
        match weighted_bootstrap_ci(&losses, weights, seed, level) {
            Err(error) => (false, error.to_string()),
            Ok(Interval { low, high, .. }) => {
                let passed = match self.proof {
                    Proof::OfLoss => loss <= allowed || low <= 0.0,
                    Proof::OfNoLoss => high <= allowed,
                };
                (passed, format!("{said} ({:.0} % interval {low:.4} to {high:.4})", level * 100.0))
            }
        }
    }
}

fn find<'a>(result: &'a SuiteResult, gate: &Gate) -> Result<&'a Measure, String> {
    let task = result.task(&gate.task).ok_or_else(|| format!("there is no task {}", gate.task))?;
    let known = || task.measures.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let missing = || format!("task {} has no measure {}; it has {}", gate.task, gate.measure, known());
    task.measures.get(&gate.measure).ok_or_else(missing)
}
