//! [`Cascade`]: the local model first, the larger one where the answer cannot be trusted.

mod config;
mod counters;

use std::fmt::Write as _;

pub use config::{CascadeConfig, Fallback};
pub use counters::CascadeStats;
use counters::Counters;
use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, ChatResponse, Delta, FinishReason, LanguageModel, OnDelta, Usage};

use crate::router::deliver;
use crate::trust::{AnswerSignals, TrustModel};
use crate::{Error, Result, SharedModel};

/// Who answered in a [`Cascade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CascadeRoute {
    /// The local model, and its answer can be trusted.
    Local,
    /// The larger model.
    Larger,
    /// The local model, because the larger one failed.
    LocalAfterFailure,
    /// Nobody.
    Abstained,
}

impl CascadeRoute {
    /// Its name in [`ChatResponse::route`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Larger => "larger",
            Self::LocalAfterFailure => "local after failure",
            Self::Abstained => "abstained",
        }
    }
}

/// An answer of a [`Cascade`], and how it came about.
#[derive(Debug)]
pub struct Cascaded {
    /// The answer. Its usage and cost are those of both models together.
    pub response: ChatResponse,
    /// Who answered.
    pub route: CascadeRoute,
    /// Probability that the local answer is right; `None` where the local model was not asked or withheld.
    pub trust: Option<f64>,
    /// The failure of the larger model, where there was one.
    pub failure: Option<slm_core::Error>,
    /// Why, in one sentence.
    pub reason: String,
}

type Straight = dyn Fn(&ChatRequest) -> bool + Send + Sync;

/// Asks the local model, and the larger one where the local answer cannot be trusted at the stated risk.
///
/// The local answer is held until it stands; the larger model's streams through. Where the larger model fails before it
/// has said anything, [`CascadeConfig::fallback`] decides; once it has, the failure is an error.
/// Each answer says in [`route`](ChatResponse::route) who gave it and in [`cost`](ChatResponse::cost) what it cost.
pub struct Cascade {
    local: SharedModel,
    larger: SharedModel,
    trust: TrustModel,
    threshold: f64,
    config: CascadeConfig,
    straight: Option<Box<Straight>>,
    counters: Counters,
}

impl std::fmt::Debug for Cascade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cascade")
            .field("local", &self.local.name())
            .field("larger", &self.larger.name())
            .field("threshold", &self.threshold)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What the local model said, if it was asked and did not withhold.
struct Held {
    was_asked: bool,
    response: Option<ChatResponse>,
    trust: Option<f64>,
    usage: Usage,
    cost: Option<f64>,
    reason: String,
}

impl Cascade {
    /// A cascade whose local answers stand where `trust` says so.
    ///
    /// # Errors
    /// When `trust` is not calibrated.
    pub fn new(
        local: impl LanguageModel + Send + Sync + 'static,
        larger: impl LanguageModel + Send + Sync + 'static,
        trust: TrustModel,
        config: CascadeConfig,
    ) -> Result<Self> {
        let (_, report) = trust.calibration().ok_or(Error::NotCalibrated { route: None })?;
        Ok(Self {
            local: Box::new(local),
            larger: Box::new(larger),
            trust,
            threshold: report.threshold,
            config,
            straight: None,
            counters: Counters::default(),
        })
    }

    /// The same, which asks the larger model straight away where `straight` says so, such as a router that foresees that
    /// the local model will fail.
    #[must_use]
    pub fn with_straight(self, straight: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static) -> Self {
        Self { straight: Some(Box::new(straight)), ..self }
    }

    /// How requests went so far.
    pub fn stats(&self) -> CascadeStats {
        self.counters.stats()
    }

    /// Answers as [`LanguageModel::stream`], and tells who answered and why.
    ///
    /// # Errors
    /// When the local model fails, it does not report any signal, or the larger one fails and cannot be replaced.
    pub fn answer(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> slm_core::Result<Cascaded> {
        let held = if self.straight.as_ref().is_some_and(|straight| straight(request)) {
            let reason = "asked the larger model straight away".to_owned();
            Held {
                was_asked: false,
                response: None,
                trust: None,
                usage: Usage::default(),
                cost: None,
                reason,
            }
        } else {
            self.ask_locally(request)?
        };
        let cascaded = match held {
            Held { response: Some(response), trust: Some(trust), reason, .. } if trust >= self.threshold => {
                let response = deliver(response, on_delta);
                Cascaded { response, route: CascadeRoute::Local, trust: Some(trust), failure: None, reason }
            }
            held => self.escalate(request, held, on_delta)?,
        };
        let cascaded = with_route(cascaded);
        self.counters.count(&cascaded);
        Ok(cascaded)
    }

    fn ask_locally(&self, request: &ChatRequest) -> slm_core::Result<Held> {
        let mut asked = request.clone();
        asked.generation.logprobs = true;
        let mut response = self.local.chat(&asked)?;
        let (usage, cost) = (response.usage, response.cost);
        if response.finish_reason == FinishReason::Abstained {
            let reason = "the local model does not know".to_owned();
            return Ok(Held { was_asked: true, response: None, trust: None, usage, cost, reason });
        }
        let signals = AnswerSignals::of(&response);
        if signals.is_silent() {
            let reason = "reports neither log-probabilities nor support nor agreement\nhint: a cascade needs one of them";
            return Err(slm_core::Error::model(self.local.name(), reason));
        }
        if !request.generation.logprobs {
            response.logprobs = None;
        }
        let trust = self.trust.probability(&signals);
        let relation = if trust >= self.threshold { "reaches" } else { "is below" };
        let reason = format!(
            "the local answer is right with a probability of {trust:.2}, which {relation} the threshold of {:.2}",
            self.threshold
        );
        Ok(Held { was_asked: true, response: Some(response), trust: Some(trust), usage, cost, reason })
    }

    fn escalate(
        &self,
        request: &ChatRequest,
        held: Held,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<Cascaded> {
        let mut handed_over = false;
        let asked = self.larger.stream_deltas(request, &mut |piece| {
            handed_over |= piece != Delta::Text("");
            on_delta(piece)
        });
        let failure = match asked {
            Ok(mut response) => {
                response.usage += held.usage;
                response.cost = sum(response.cost, held.cost);
                let Held { trust, reason, .. } = held;
                return Ok(Cascaded { response, route: CascadeRoute::Larger, trust, failure: None, reason });
            }
            Err(failure) if handed_over || self.config.fallback == Fallback::Fail => return Err(failure),
            Err(failure) => failure,
        };
        let held = if held.was_asked || self.config.fallback != Fallback::Local {
            held
        } else {
            let asked = self.ask_locally(request)?;
            Held { reason: format!("{}; {}", held.reason, asked.reason), ..asked }
        };
        let mut reason = held.reason;
        let _ = write!(reason, "; the larger model failed");
        let (response, route) = match held.response {
            Some(response) if self.config.fallback == Fallback::Local => {
                (response, CascadeRoute::LocalAfterFailure)
            }
            _ => {
                let withheld = ChatResponse::abstained(&self.config.name, &self.config.abstain_text);
                let response = ChatResponse { usage: held.usage, cost: held.cost, ..withheld };
                (response, CascadeRoute::Abstained)
            }
        };
        let response = deliver(response, on_delta);
        Ok(Cascaded { response, route, trust: held.trust, failure: Some(failure), reason })
    }
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
    }
}

/// Names the way in the response, before the way that an inner model took.
fn with_route(mut cascaded: Cascaded) -> Cascaded {
    let name = cascaded.route.name();
    let inner = cascaded.response.route.take();
    cascaded.response.route = Some(inner.map_or_else(|| name.to_owned(), |inner| format!("{name}: {inner}")));
    cascaded
}

impl LanguageModel for Cascade {
    fn name(&self) -> &str {
        &self.config.name
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        self.answer(request, on_delta).map(|cascaded| cascaded.response)
    }
}
