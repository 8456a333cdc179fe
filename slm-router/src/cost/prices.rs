//! [`Prices`] of a model by the token.

use serde::{Deserialize, Serialize};
use slm_core::Usage;

use crate::{Error, Result};

/// Prices of a model by the token. The default is free of charge.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// Price of a million tokens read.
    pub per_million_prompt_tokens: f64,
    /// Price of a million tokens written.
    pub per_million_completion_tokens: f64,
}

impl Prices {
    /// What `usage` costs, in the currency of the prices.
    pub fn cost(&self, usage: Usage) -> f64 {
        let million = |tokens: usize| tokens as f64 / 1e6;
        million(usage.prompt_tokens) * self.per_million_prompt_tokens
            + million(usage.completion_tokens) * self.per_million_completion_tokens
    }

    /// Whether nothing costs anything.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (field, price) in [
            ("per_million_prompt_tokens", self.per_million_prompt_tokens),
            ("per_million_completion_tokens", self.per_million_completion_tokens),
        ] {
            if !(price.is_finite() && price >= 0.0) {
                return Err(Error::config(field, format!("expected a price of 0 or more, got {price}")));
            }
        }
        Ok(())
    }
}
