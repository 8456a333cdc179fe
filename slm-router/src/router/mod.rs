//! [`Router`]: who answers a request.

mod config;
mod counters;
mod decision;
mod detector;

use std::ops::ControlFlow;

pub use config::{Delivery, RouteConfig, RouterConfig};
use counters::Counters;
pub use counters::RouterStats;
pub use decision::{Decision, Escalation, RouteKind, RouteScore, Routed};
use detector::VectorsOf;
pub use detector::{RouteDetector, SharedEmbedder};
use slm_core::{ChatRequest, ChatResponse, Delta, FinishReason, LanguageModel, OnDelta, Usage};

use crate::{Error, Result};

/// A model that a router may call, also from several threads.
pub type SharedModel = Box<dyn LanguageModel + Send + Sync>;

/// A model and the detector of the questions it is good at.
pub struct Route {
    name: String,
    detector: RouteDetector,
    model: SharedModel,
    config: RouteConfig,
}

impl Route {
    /// A route with the default configuration: an answer is held until it is certain to stand, and
    /// every answer that is not an abstention stands.
    ///
    /// # Errors
    /// When the detector is not calibrated.
    pub fn new(
        name: impl Into<String>,
        detector: impl Into<RouteDetector>,
        model: impl LanguageModel + Send + Sync + 'static,
    ) -> Result<Self> {
        let (name, detector) = (name.into(), detector.into());
        if detector.threshold().is_none() {
            return Err(Error::NotCalibrated { route: Some(name) });
        }
        Ok(Self { name, detector, model: Box::new(model), config: RouteConfig::default() })
    }

    /// The same route with another configuration.
    ///
    /// # Errors
    /// When the floor is not a number of at most 0, or asks to withdraw an answer that was already streamed.
    pub fn with_config(self, config: RouteConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { config, ..self })
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("model", &self.model.name())
            .field("detector", &self.detector)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Sends each request to the route whose domain it belongs to, else to the larger model, else says that it
/// does not know.
///
/// The last user turn decides. Of the routes that it passes the threshold of, the one with the largest
/// [margin](RouteScore::margin) answers. That answer is withdrawn in favour of the larger model if the
/// route's model abstains or is less certain than [`RouteConfig::min_mean_logprob`]. A model that fails is an
/// error and not a reason to ask another.
pub struct Router {
    routes: Vec<Route>,
    larger: Option<SharedModel>,
    config: RouterConfig,
    counters: Counters,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes)
            .field("larger", &self.larger.as_ref().map(|model| model.name()))
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What a route's model said, or why that does not stand.
enum Attempt {
    Stands(Box<ChatResponse>),
    Withdrawn(Escalation, Usage),
}

pub(crate) type OnText<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

impl Router {
    /// A router over `routes`, without a larger model.
    ///
    /// # Errors
    /// When two routes have the same name.
    pub fn new(routes: Vec<Route>, config: RouterConfig) -> Result<Self> {
        let mut names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(Error::DuplicateRoute { name: (*name).to_owned() });
        }
        let counters = Counters::new(routes.len());
        Ok(Self { routes, larger: None, config, counters })
    }

    /// The same router, which asks `model` where no route is sure.
    #[must_use]
    pub fn with_larger(mut self, model: impl LanguageModel + Send + Sync + 'static) -> Self {
        self.larger = Some(Box::new(model));
        self
    }

    /// Who would be asked first about `text`, and why. Asks no model but the embedders of detectors by vectors, and counts
    /// nothing.
    ///
    /// # Errors
    /// When an embedder fails, or its vectors do not fit the detector.
    pub fn route(&self, text: &str) -> slm_core::Result<Decision> {
        let mut vectors = VectorsOf::default();
        let scores = self.routes.iter().map(|r| r.detector.score(&r.name, text, &mut vectors));
        let scores: Vec<RouteScore> = scores.collect::<slm_core::Result<_>>()?;
        let mut best: Option<(usize, f64)> = None;
        for (index, score) in scores.iter().enumerate().filter(|(_, score)| score.margin > 0.0) {
            if best.is_none_or(|(_, margin)| score.margin > margin) {
                best = Some((index, score.margin));
            }
        }
        let route = best.map_or_else(|| self.last_resort(), |(index, _)| RouteKind::Route(index));
        Ok(Decision { route, scores })
    }

    /// Answers as [`LanguageModel::stream`], and tells who answered and why.
    ///
    /// # Errors
    /// When the model asked fails, or does not report the log-probabilities that its route's floor needs.
    pub fn answer(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> slm_core::Result<Routed> {
        let decision = self.route(request.last_user())?;
        let chosen = match decision.route {
            RouteKind::Route(index) => self.routes.get(index).map(|route| (index, route)),
            RouteKind::Larger | RouteKind::Abstain => None,
        };
        let (mut escalation, mut usage) = (None, Usage::default());
        if let Some((index, route)) = chosen {
            match route.attempt(request, on_delta)? {
                Attempt::Stands(response) => {
                    let response = *response;
                    let answered_by = RouteKind::Route(index);
                    return Ok(self.counted(Routed { response, decision, answered_by, escalation: None }));
                }
                Attempt::Withdrawn(reason, spent) => (escalation, usage) = (Some(reason), spent),
            }
        }
        let mut response = match &self.larger {
            Some(model) => model.stream_deltas(request, on_delta)?,
            None => deliver(ChatResponse::abstained(&self.config.name, &self.config.abstain_text), on_delta),
        };
        response.usage += usage;
        Ok(self.counted(Routed { response, decision, answered_by: self.last_resort(), escalation }))
    }

    /// How many requests each route, the larger model and nobody has answered so far.
    pub fn stats(&self) -> RouterStats {
        self.counters.stats(self.routes.iter().map(|route| route.name.as_str()))
    }

    fn last_resort(&self) -> RouteKind {
        if self.larger.is_some() { RouteKind::Larger } else { RouteKind::Abstain }
    }

    fn counted(&self, mut routed: Routed) -> Routed {
        let name = match routed.answered_by {
            RouteKind::Route(index) => self.routes.get(index).map_or("", |route| route.name.as_str()),
            RouteKind::Larger => "larger",
            RouteKind::Abstain => "nobody",
        };
        routed.response.route.get_or_insert_with(|| name.to_owned());
        self.counters.count(&routed);
        routed
    }
}

impl Route {
    fn attempt(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> slm_core::Result<Attempt> {
        if self.config.delivery == Delivery::Streamed {
            return self
                .model
                .stream_deltas(request, on_delta)
                .map(|response| Attempt::Stands(Box::new(response)));
        }
        let mut response = match self.config.min_mean_logprob {
            None => self.model.chat(request)?,
            Some(_) => {
                let mut request = request.clone();
                request.generation.logprobs = true;
                self.model.chat(&request)?
            }
        };
        if response.finish_reason == FinishReason::Abstained {
            return Ok(Attempt::Withdrawn(Escalation::Abstained, response.usage));
        }
        if let Some(floor) = self.config.min_mean_logprob {
            let mean_logprob = self.certainty(&response)?;
            if mean_logprob.is_nan() || mean_logprob < floor {
                return Ok(Attempt::Withdrawn(
                    Escalation::LowConfidence { mean_logprob, floor },
                    response.usage,
                ));
            }
        }
        if !request.generation.logprobs {
            response.logprobs = None;
        }
        Ok(Attempt::Stands(Box::new(deliver(response, on_delta))))
    }

    /// Mean log-probability of an answer; an answer without a token has none, and counts as the least certain.
    fn certainty(&self, response: &ChatResponse) -> slm_core::Result<f32> {
        if response.logprobs.is_none() {
            let reason = format!(
                "route {} has a floor for the mean log-probability, but its model reports none\n\
                 hint: set `min_mean_logprob` to `None` for this route",
                self.name
            );
            return Err(slm_core::Error::model(self.model.name(), reason));
        }
        Ok(response.mean_logprob().unwrap_or(f32::NEG_INFINITY))
    }
}

/// The text of what `stream_deltas` hands out, as `LanguageModel::stream`.
macro_rules! text_of_deltas {
    () => {
        fn stream(
            &self,
            request: &slm_core::ChatRequest,
            on_text: crate::router::OnText<'_>,
        ) -> slm_core::Result<slm_core::ChatResponse> {
            self.stream_deltas(request, &mut |delta| on_text(delta.text()))
        }
    };
}
pub(crate) use text_of_deltas;

/// Hands over a finished answer, its thoughts first.
pub(crate) fn deliver(mut response: ChatResponse, on_delta: &mut OnDelta<'_>) -> ChatResponse {
    let thoughts = response.reasoning.as_deref().unwrap_or_default();
    let pieces = [(thoughts, Delta::Reasoning(thoughts)), (&response.text, Delta::Text(&response.text))];
    if pieces.into_iter().any(|(text, piece)| !text.is_empty() && on_delta(piece).is_break()) {
        response.finish_reason = FinishReason::Cancelled;
    }
    response
}

impl LanguageModel for Router {
    fn name(&self) -> &str {
        &self.config.name
    }

    text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        self.answer(request, on_delta).map(|routed| routed.response)
    }
}
