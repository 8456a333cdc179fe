//! Rows in figures: [`Summary`].

use serde::{Deserialize, Serialize};
use slm_core::Usage;

use super::{EvalConfig, Outcome, Row};
use crate::Result;
use crate::cost::Cost;
use crate::latency::LatencyStats;
use crate::metrics::{Interval, mean_ci};

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
    /// The bill, with what models charged themselves; correct queries are those of [`correct`](Self::correct).
    pub cost: Cost,
}

impl Summary {
    pub(super) fn of(rows: &[Row], config: &EvalConfig) -> Result<Self> {
        let scores: Vec<f64> = rows.iter().map(|r| r.score).collect();
        let seconds: Vec<f64> = rows.iter().map(|r| r.seconds).collect();
        let interval = mean_ci(&scores, config.seed, config.level)?;
        let count_of = |keep: fn(&Row) -> bool| rows.iter().filter(|r| keep(r)).count();
        let (correct, abstained) = (count_of(|r| r.correct), count_of(Row::abstained));
        let (mut usage, mut writing, mut first) = (Usage::default(), 0.0, Vec::new());
        let (mut priced, mut charged) = (Usage::default(), 0.0);
        for row in rows {
            if let Outcome::Answered { usage: used, first_text_seconds, charged: cost, .. } = &row.outcome {
                usage += *used;
                match cost {
                    Some(cost) => charged += cost,
                    None => priced += *used,
                }
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
            cost: config.cost.bill(seconds.iter().sum(), priced, rows.len(), correct)?.plus(
                charged,
                rows.len(),
                correct,
            ),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
