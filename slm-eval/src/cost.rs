//! What answers cost.

use serde::{Deserialize, Serialize};
use slm_core::Usage;

use crate::{Error, Result};

/// Prices: of a machine by the hour, of an API by the token, or both. The default is free of charge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostModel {
    /// Price of an hour of the machine that answers.
    pub per_hour: f64,
    /// Price of a million tokens read.
    pub per_million_prompt_tokens: f64,
    /// Price of a million tokens written.
    pub per_million_completion_tokens: f64,
    /// Unit of the prices, for reports.
    pub currency: String,
}

impl Default for CostModel {
    fn default() -> Self {
        Self {
            per_hour: 0.0,
            per_million_prompt_tokens: 0.0,
            per_million_completion_tokens: 0.0,
            currency: "USD".into(),
        }
    }
}

impl CostModel {
    /// The price of `seconds` of the machine and the tokens of `usage`.
    pub fn cost(&self, seconds: f64, usage: Usage) -> f64 {
        seconds / 3600.0 * self.per_hour
            + usage.prompt_tokens as f64 / 1e6 * self.per_million_prompt_tokens
            + usage.completion_tokens as f64 / 1e6 * self.per_million_completion_tokens
    }

    /// The bill for `queries` of which `correct` were right.
    ///
    /// # Errors
    /// When there are no queries or a price is negative or not finite.
    pub fn bill(&self, seconds: f64, usage: Usage, queries: usize, correct: usize) -> Result<Cost> {
        self.check()?;
        if queries == 0 {
            return Err(Error::Empty { what: "queries" });
        }
        let total = self.cost(seconds, usage);
        Ok(Cost {
            total,
            per_query: total / queries as f64,
            per_correct: (correct > 0).then(|| total / correct as f64),
            currency: self.currency.clone(),
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let prices = [
            ("per_hour", self.per_hour),
            ("per_million_prompt_tokens", self.per_million_prompt_tokens),
            ("per_million_completion_tokens", self.per_million_completion_tokens),
        ];
        match prices.into_iter().find(|(_, price)| !(price.is_finite() && *price >= 0.0)) {
            Some((name, price)) => {
                Err(Error::Setting { name, expected: "a price of 0 or more", got: price.to_string() })
            }
            None => Ok(()),
        }
    }
}

/// A bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// All queries together.
    pub total: f64,
    /// Per query asked.
    pub per_query: f64,
    /// Per query answered rightly: what a useful answer costs. `None` where none was right.
    pub per_correct: Option<f64>,
    /// Unit of the above.
    pub currency: String,
}

impl Cost {
    /// The bill with what others charged for the same queries.
    pub(crate) fn plus(self, charged: f64, queries: usize, correct: usize) -> Self {
        let total = self.total + charged;
        let per_correct = (correct > 0).then(|| total / correct as f64);
        Self { total, per_query: total / queries.max(1) as f64, per_correct, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_by_hand() -> Result<()> {
        let model = CostModel {
            per_hour: 3.6,
            per_million_prompt_tokens: 2.0,
            per_million_completion_tokens: 10.0,
            currency: "EUR".into(),
        };
        let usage = Usage { prompt_tokens: 500_000, completion_tokens: 100_000 };
        let bill = model.bill(1000.0, usage, 10, 4)?;
        // 1000 s of 3.6 an hour is 1; half a million at 2 is 1; a tenth of a million at 10 is 1.
        assert!((bill.total - 3.0).abs() < 1e-12 && (bill.per_query - 0.3).abs() < 1e-12);
        assert!((bill.per_correct.unwrap_or(f64::NAN) - 0.75).abs() < 1e-12);
        assert_eq!(bill.currency, "EUR");
        assert_eq!(model.bill(1000.0, usage, 10, 0)?.per_correct, None);
        Ok(())
    }

    #[test]
    fn prices_are_checked() {
        for price in [-1.0, f64::NAN, f64::INFINITY] {
            let model = CostModel { per_million_prompt_tokens: price, ..CostModel::default() };
            let error = model.bill(1.0, Usage::default(), 1, 1).expect_err("a bad price");
            assert!(error.to_string().contains("per_million_prompt_tokens"), "{error}");
        }
        assert!(CostModel::default().bill(1.0, Usage::default(), 0, 0).is_err());
    }
}
