//! How a router and its routes behave.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a [`Router`](super::Router) behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// Its name in reports; also the model name of an answer that it withholds.
    pub name: String,
    /// What it says where nobody is sure and there is no larger model.
    pub abstain_text: String,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self { name: "router".to_owned(), abstain_text: "I don't know.".to_owned() }
    }
}

/// When the words of a route's model reach the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// When the answer is finished and stands; until then the router may still ask the larger model.
    #[default]
    Held,
    /// As they come. The answer always stands, also if the model abstains.
    Streamed,
}

/// When the answer of a [`Route`](super::Route) stands.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// When the answer is handed over.
    pub delivery: Delivery,
    /// Lowest mean natural-log probability per token, at most 0, with which an answer stands; `None` accepts
    /// any. The router asks the model for log-probabilities itself.
    pub min_mean_logprob: Option<f32>,
}

impl RouteConfig {
    pub(super) fn check(&self) -> Result<()> {
        let Some(floor) = self.min_mean_logprob else {
            return Ok(());
        };
        if floor.is_nan() || floor > 0.0 {
            return Err(Error::config(
                "min_mean_logprob",
                format!("expected a number of at most 0, got {floor}"),
            ));
        }
        if self.delivery == Delivery::Streamed {
            let reason =
                "an answer that was streamed cannot be withdrawn\nhint: use `Delivery::Held` with a floor";
            return Err(Error::config("delivery", reason));
        }
        Ok(())
    }
}
