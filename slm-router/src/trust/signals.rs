//! [`AnswerSignals`]: what an answer tells of its own quality.

use serde::{Deserialize, Serialize};
use slm_core::ChatResponse;

/// What an answer tells of its own quality; `None` where the model cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerSignals {
    /// Mean log-probability of a token, in nats.
    pub mean_logprob: Option<f32>,
    /// Log-probability of the least likely token, in nats.
    pub min_logprob: Option<f32>,
    /// Mean distance between the two most likely tokens' probabilities, 0 to 1.
    pub mean_margin: Option<f32>,
    /// Mean entropy of the next token, in nats.
    pub mean_entropy: Option<f32>,
    /// How well sources support it, 0 to 1.
    pub support: Option<f32>,
    /// Share of the answers drawn that agree, 0 to 1.
    pub agreement: Option<f32>,
    /// Tokens of the answer.
    pub tokens: Option<f32>,
}

impl AnswerSignals {
    /// The signals of an answer.
    pub fn of(response: &ChatResponse) -> Self {
        let confidence = response.confidence.as_ref();
        let tokens = response.usage.completion_tokens;
        Self {
            mean_logprob: response.mean_logprob(),
            min_logprob: confidence.map(|c| c.min_logprob),
            mean_margin: confidence.map(|c| c.mean_margin),
            mean_entropy: confidence.map(|c| c.mean_entropy),
            support: response.support,
            agreement: response.agreement,
            tokens: (tokens > 0).then_some(tokens as f32),
        }
    }

    /// Whether nothing is known but the length.
    pub fn is_silent(&self) -> bool {
        *self == Self { tokens: self.tokens, ..Self::default() }
    }

    /// Numbers for a classifier: each signal, with 0 for one that is missing, and whether it is missing.
    pub(crate) fn features(&self) -> Vec<f32> {
        let length = self.tokens.map(|tokens| (1.0 + tokens).ln());
        let signals = [
            self.mean_logprob,
            self.min_logprob,
            self.mean_margin,
            self.mean_entropy,
            self.support,
            self.agreement,
            length,
        ];
        let known = |signal: Option<f32>| signal.filter(|x| x.is_finite());
        let values = signals.iter().map(|&signal| known(signal).unwrap_or(0.0));
        values.chain(signals.iter().map(|&signal| f32::from(known(signal).is_none()))).collect()
    }
}
