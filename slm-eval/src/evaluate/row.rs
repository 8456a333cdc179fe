//! One question and what became of it: [`Row`].

use serde::{Deserialize, Serialize};
use slm_core::{Citation, Confidence, FinishReason, Usage};

use crate::Result;
use crate::metrics::{CitationScore, Metric};

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
        /// How sure the model was, where the configuration asks for log-probabilities and the model can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confidence: Option<Confidence>,
        /// What the model said it cost; tokens of such an answer are not charged again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        charged: Option<f64>,
        /// Which way it took, where a router or a cascade chose one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<String>,
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
    /// The expected answer; empty where none is, and withholding is right.
    pub gold: String,
    /// Answers that are as right as [`gold`](Self::gold).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_right: Vec<String>,
    /// The example's `source`.
    pub source: String,
    /// What came back.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// 0 (wrong, or failed) to 1 (right).
    pub score: f64,
    /// Whether the answer is right with no part marks ([`Metric::is_exact`]).
    pub correct: bool,
    /// How well the answer's citations point at the evidence, where the item says where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citation_score: Option<CitationScore>,
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

    /// The score under any metric, with the rules of [`evaluate_items`](super::evaluate_items).
    ///
    /// # Errors
    /// When the metric cannot compare with the accepted answers.
    pub fn score_under(&self, metric: Metric) -> Result<f64> {
        match self.answer() {
            Some(answer) if !self.abstained() && !self.has_no_answer() => metric.best(answer, &self.golds()),
            _ => Ok(f64::from(u8::from(self.is_exact_under(metric)?))),
        }
    }

    /// Whether the answer is right with no part marks.
    ///
    /// # Errors
    /// When the metric cannot compare with the accepted answers.
    pub fn is_exact_under(&self, metric: Metric) -> Result<bool> {
        match self.answer() {
            None => Ok(false),
            Some(_) if self.has_no_answer() => Ok(self.abstained()),
            Some(answer) => {
                let exact: Result<Vec<bool>> =
                    self.golds().into_iter().map(|gold| metric.is_exact(answer, gold)).collect();
                Ok(exact?.contains(&true))
            }
        }
    }

    /// Whether no answer is accepted.
    pub fn has_no_answer(&self) -> bool {
        self.gold.is_empty() && self.also_right.is_empty()
    }

    fn golds(&self) -> Vec<&str> {
        std::iter::once(&self.gold).chain(&self.also_right).map(String::as_str).collect()
    }

    /// The geometric mean of the probabilities of the answer's tokens, 0 to 1; `None` where the model did not say.
    pub fn confidence(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Answered { confidence: Some(confidence), .. } => {
                Some(f64::from(confidence.mean_logprob).exp().min(1.0))
            }
            _ => None,
        }
    }
}
