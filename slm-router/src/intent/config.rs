//! [`IntentConfig`]: what an intent detector looks at.

use serde::{Deserialize, Serialize};

use crate::detector::DetectorConfig;
use crate::{Error, Result};

/// What an [`IntentDetector`](super::IntentDetector) looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntentConfig {
    /// Words, pairs of words and character n-grams that the classifier sees beside the vector; `None` for the vector
    /// alone. `neighbours` and `inverse_regularization` of it are not used.
    pub words: Option<DetectorConfig>,
    /// Length of the words' part; the vector has length one.
    pub word_weight: f32,
    /// Texts that a word or n-gram must occur in.
    pub least_texts: usize,
    /// Inverse strength of the penalty on the classifier's weights (`C` of LIBLINEAR).
    pub inverse_regularization: f64,
    /// Most steps of training.
    pub steps: usize,
    /// Texts per intent that are kept to compare with.
    pub exemplars: usize,
    /// The nearest of these that count.
    pub neighbours: usize,
    /// What says whether a text belongs to any of the intents.
    pub signal: Signal,
}

impl Default for IntentConfig {
    fn default() -> Self {
        Self {
            words: Some(DetectorConfig::default()),
            word_weight: 1.0,
            least_texts: 2,
            inverse_regularization: 10.0,
            steps: 100,
            exemplars: 20,
            neighbours: 5,
            signal: Signal::default(),
        }
    }
}

impl IntentConfig {
    pub(super) fn check(&self) -> Result<()> {
        if let Some(words) = &self.words {
            words.check()?;
        }
        if !(self.word_weight > 0.0 && self.word_weight.is_finite()) {
            return Err(Error::config("word_weight", format!("expected above 0, got {}", self.word_weight)));
        }
        if !(self.inverse_regularization > 0.0 && self.inverse_regularization.is_finite()) {
            let reason = format!("expected above 0, got {}", self.inverse_regularization);
            return Err(Error::config("inverse_regularization", reason));
        }
        for (field, value) in
            [("steps", self.steps), ("exemplars", self.exemplars), ("neighbours", self.neighbours)]
        {
            if value == 0 {
                return Err(Error::config(field, "expected at least 1, got 0"));
            }
        }
        Ok(())
    }
}

/// What says whether a text belongs to any of the intents. Each is larger for a text that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Logarithm of the sum of the classifier's exponentiated logits (Liu et al. 2020).
    Energy,
    /// The classifier's largest probability (Hendrycks & Gimpel 2017).
    MaxProbability,
    /// Minus the least Mahalanobis distance to an intent's mean, squared (Lee et al. 2018).
    Mahalanobis,
    /// Mean cosine to the nearest exemplars (Sun et al. 2022).
    Neighbours,
    /// Mean of energy, Mahalanobis and neighbours, each over its spread in the domain.
    #[default]
    Combined,
}
