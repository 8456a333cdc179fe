//! [`SelfConsistency`]: several answers, and the one that most agree on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, ChatResponse, Delta, FinishReason, LanguageModel, OnDelta};

use super::Spent;
use crate::router::deliver;
use crate::{Error, Result, SharedModel};

/// How [`SelfConsistency`] draws and counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfConsistencyConfig {
    /// Answers to draw.
    pub samples: usize,
    /// Temperature at which they are drawn, above 0.
    pub temperature: f32,
    /// Share of the answers that must agree, 0 to 1; below it, the answer is withheld.
    pub min_agreement: f32,
}

impl Default for SelfConsistencyConfig {
    fn default() -> Self {
        Self { samples: 5, temperature: 0.7, min_agreement: 0.0 }
    }
}

/// Draws several answers and gives the one that most agree on (Wang et al. 2022).
///
/// Two answers agree if they are the same but for case, punctuation and articles: ask for short ones, or put a
/// [`ChainOfThought`](super::ChainOfThought) inside. Of the answers that agree, the one with the largest mean
/// log-probability is given; its [agreement](ChatResponse::agreement) is their share. Answers that the model withheld
/// count as one more kind of answer.
pub struct SelfConsistency {
    model: SharedModel,
    config: SelfConsistencyConfig,
}

impl std::fmt::Debug for SelfConsistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfConsistency")
            .field("model", &self.model.name())
            .field("config", &self.config)
            .finish()
    }
}

impl SelfConsistency {
    /// The strategy around `model`.
    ///
    /// # Errors
    /// When it is to draw fewer than two answers, at a temperature of 0, or the agreement is not from 0 to 1.
    pub fn new(
        model: impl LanguageModel + Send + Sync + 'static,
        config: SelfConsistencyConfig,
    ) -> Result<Self> {
        if config.samples < 2 {
            return Err(Error::config("samples", format!("expected at least 2, got {}", config.samples)));
        }
        if !(config.temperature > 0.0 && config.temperature.is_finite()) {
            let reason = format!("expected above 0, or all answers are the same; got {}", config.temperature);
            return Err(Error::config("temperature", reason));
        }
        if !(0.0..=1.0).contains(&config.min_agreement) {
            return Err(Error::config(
                "min_agreement",
                format!("expected 0 to 1, got {}", config.min_agreement),
            ));
        }
        Ok(Self { model: Box::new(model), config })
    }
}

impl LanguageModel for SelfConsistency {
    fn name(&self) -> &str {
        self.model.name()
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        if !request.tool_choice.is_auto() {
            return self.model.stream_deltas(request, on_delta);
        }
        let mut asked = request.clone();
        asked.generation.temperature = self.config.temperature;
        let (mut spent, mut groups) =
            (Spent::default(), BTreeMap::<Option<String>, Vec<ChatResponse>>::new());
        for sample in 0..self.config.samples {
            // The caller may cancel between answers.
            if sample > 0 && on_delta(Delta::Text("")).is_break() {
                let cancelled = ChatResponse::new("", self.name(), FinishReason::Cancelled, spent.usage);
                return Ok(spent.book(cancelled));
            }
            asked.generation.seed = request.generation.seed.wrapping_add(sample as u64);
            let response = self.model.chat(&asked)?;
            spent.add(&response);
            let withheld = response.finish_reason == FinishReason::Abstained;
            groups.entry((!withheld).then(|| normalised(&response.text))).or_default().push(response);
        }
        let certainty = |response: &ChatResponse| response.mean_logprob().unwrap_or(f32::NEG_INFINITY);
        let weight = |group: &[ChatResponse]| group.iter().map(certainty).fold(f32::NEG_INFINITY, f32::max);
        let winner = groups
            .into_values()
            .max_by(|a, b| a.len().cmp(&b.len()).then(weight(a).total_cmp(&weight(b))))
            .unwrap_or_default();
        let agreement = winner.len() as f32 / self.config.samples as f32;
        let best = winner.into_iter().max_by(|a, b| certainty(a).total_cmp(&certainty(b)));
        let mut response = best.unwrap_or_else(|| ChatResponse::abstained(self.name(), ""));
        response.agreement = Some(agreement);
        if agreement < self.config.min_agreement && response.finish_reason != FinishReason::Abstained {
            response = ChatResponse {
                agreement: Some(agreement),
                ..ChatResponse::abstained(self.name(), "I don't know.")
            };
        }
        Ok(deliver(spent.book(response), on_delta))
    }
}

/// An answer without what does not change its meaning.
fn normalised(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let word = word.to_lowercase();
        word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '+' | '%' | '$' | '€'))
            .to_owned()
    });
    let kept: Vec<String> =
        words.filter(|word| !word.is_empty() && !matches!(word.as_str(), "a" | "an" | "the")).collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn what_does_not_change_the_meaning() {
        assert_eq!(normalised("The  answer is: 42."), normalised("the answer is 42"));
        assert_ne!(normalised("-42"), normalised("42"));
        assert_ne!(normalised("4.2"), normalised("42"));
    }
}
