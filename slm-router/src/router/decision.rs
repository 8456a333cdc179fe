//! Who was asked, and why.

use serde::{Deserialize, Serialize};
use slm_core::ChatResponse;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// The route of this index.
    Route(usize),
    /// The larger model.
    Larger,
    /// Nobody: the router says that it does not know.
    Abstain,
}

/// How a text looked to one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteScore {
    /// Name of the route.
    pub name: String,
    /// The detector's score: of words, 0 to 1; of vectors, in the units of its signal.
    pub score: f64,
    /// The detector's threshold.
    pub threshold: f64,
    /// Distance above the threshold as a share of the room above it, so that routes with different
    /// thresholds compare: 1 at the largest score, 0 at the threshold, negative below or for an intent that is another
    /// route's. For vectors, `1 - exp(-d)` with the distance `d` in spreads of the domain's own scores.
    pub margin: f64,
}

/// Who is asked first, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Who is asked.
    pub route: RouteKind,
    /// One per route, in order.
    pub scores: Vec<RouteScore>,
}

impl Decision {
    /// Name of the chosen route; `None` for the larger model or nobody.
    pub fn route_name(&self) -> Option<&str> {
        match self.route {
            RouteKind::Route(index) => self.scores.get(index).map(|score| score.name.as_str()),
            RouteKind::Larger | RouteKind::Abstain => None,
        }
    }
}

/// Why the answer of a route was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escalation {
    /// The route's model abstained.
    Abstained,
    /// The route's model was less certain than its floor.
    LowConfidence {
        /// Mean natural-log probability per token of its answer.
        mean_logprob: f32,
        /// The least that was asked for.
        floor: f32,
    },
}

/// An answer and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routed {
    /// The answer. Its usage includes the tokens of an answer that was withdrawn.
    pub response: ChatResponse,
    /// Who was asked first.
    pub decision: Decision,
    /// Who answered in the end.
    pub answered_by: RouteKind,
    /// Why that is not the same, where it is not.
    pub escalation: Option<Escalation>,
}
