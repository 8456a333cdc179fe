//! [`DetectorConfig`]: what a detector looks at.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a [`DomainDetector`](super::DomainDetector) looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorConfig {
    /// Shortest character n-gram, in characters; a mark at each end of a word counts as one.
    pub min_gram: usize,
    /// Longest character n-gram, in characters.
    pub max_gram: usize,
    /// Share of words and pairs of words in the similarity of two texts, 0 to 1; character n-grams have
    /// the rest.
    pub word_share: f64,
    /// In-domain texts to compare with: the score is the mean cosine to the nearest of this many.
    pub neighbours: usize,
    /// Inverse strength of the penalty on the weights of the classifier that background texts train
    /// (`C` of LIBLINEAR); larger fits closer.
    pub inverse_regularization: f64,
}

impl Default for DetectorConfig {
    /// N-grams of 3 to 5 characters with a share of 0.7, 8 neighbours, `C` = 3.
    fn default() -> Self {
        Self { min_gram: 3, max_gram: 5, word_share: 0.3, neighbours: 8, inverse_regularization: 3.0 }
    }
}

impl DetectorConfig {
    pub(crate) fn check(&self) -> Result<()> {
        if self.min_gram == 0 || self.min_gram > self.max_gram {
            let reason =
                format!("expected 1 <= min_gram <= max_gram, got {} and {}", self.min_gram, self.max_gram);
            return Err(Error::config("min_gram", reason));
        }
        if !(0.0..=1.0).contains(&self.word_share) {
            return Err(Error::config("word_share", format!("expected 0 to 1, got {}", self.word_share)));
        }
        if self.neighbours == 0 {
            return Err(Error::config("neighbours", "expected at least 1, got 0"));
        }
        if !(self.inverse_regularization > 0.0 && self.inverse_regularization.is_finite()) {
            let reason = format!("expected a positive number, got {}", self.inverse_regularization);
            return Err(Error::config("inverse_regularization", reason));
        }
        Ok(())
    }
}
