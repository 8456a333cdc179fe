//! [`CloudModel`]: a larger model behind an OpenAI-compatible server.

mod answer;
mod breaker;
mod config;
mod events;
mod exchange;
mod retry;
mod wire;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use breaker::Breaker;
pub use breaker::BreakerConfig;
pub use config::{ApiKey, CloudConfig, Timeouts, TokenLimit};
use exchange::{Exchange, Failure, Retry};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
pub use retry::RetryConfig;
use serde_json::Value;
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use wire::Redactor;

use crate::cost::Reservation;
use crate::router::OnText;
use crate::{Budget, Clock, Error, Result, SystemClock};

/// A model behind an OpenAI-compatible server (`POST /chat/completions`), asked with streaming.
///
/// Failures that may pass are tried again, as long as no text was handed over; a server that fails in a row is left
/// alone for a while. Each answer carries its [cost](ChatResponse::cost) by the configured prices, and with
/// log-probabilities its [confidence](ChatResponse::confidence) (token ids stay unknown, so
/// [`logprobs`](ChatResponse::logprobs) is `None`). Samplers that the protocol lacks, such as top-k, do not travel.
/// Redirects are not followed, so that neither key nor text goes where they were not sent.
pub struct CloudModel {
    config: CloudConfig,
    exchange: Exchange,
    breaker: Breaker,
    budget: Option<Arc<Budget>>,
    redact: Box<Redactor>,
    clock: Arc<dyn Clock>,
    rng: Mutex<ChaCha8Rng>,
}

impl std::fmt::Debug for CloudModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudModel")
            .field("config", &self.config)
            .field("breaker", &self.breaker)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// Whether text that was handed over is gone for good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Live,
    Held,
}

impl CloudModel {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration is out of range, the key is not to be found, or it would travel without encryption.
    pub fn new(config: CloudConfig) -> Result<Self> {
        let key = config.key()?;
        config.check(key.is_some())?;
        Ok(Self {
            exchange: Exchange::new(&config, key),
            breaker: Breaker::new(config.breaker),
            budget: None,
            redact: Box::new(str::to_owned),
            clock: Arc::new(SystemClock),
            rng: Mutex::new(ChaCha8Rng::from_rng(&mut rand::rng())),
            config,
        })
    }

    /// The same, which passes every text of a conversation through `redact` before it leaves the machine.
    #[must_use]
    pub fn with_redactor(self, redact: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self { redact: Box::new(redact), ..self }
    }

    /// The same under a budget, which several models may share.
    #[must_use]
    pub fn with_budget(self, budget: Arc<Budget>) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// The same on another clock. The timeouts of a connection stay those of the machine.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Whether requests would be refused now, because the server failed too often.
    pub fn is_resting(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    fn answer(
        &self,
        request: &ChatRequest,
        on_text: OnText<'_>,
        delivery: Delivery,
    ) -> slm_core::Result<ChatResponse> {
        let body = wire::body(request, &self.config, &self.redact)?;
        let answered = self.reserve(&body, request).and_then(|reserved| {
            let response = self.try_repeatedly(&body, on_text, delivery, reserved.as_ref())?;
            let prices = self.config.prices;
            let cost = (!prices.is_free()).then(|| prices.cost(response.usage));
            Ok(ChatResponse { cost, ..response })
        });
        answered.map_err(|error| slm_core::Error::model(&self.config.model, error))
    }

    fn reserve(&self, body: &Value, request: &ChatRequest) -> Result<Option<Reservation<'_>>> {
        let expected = Usage {
            prompt_tokens: wire::expected_prompt_tokens(body),
            completion_tokens: request.generation.max_new_tokens,
        };
        let cost = self.config.prices.cost(expected);
        self.budget.as_ref().map(|budget| budget.reserve(cost)).transpose()
    }

    /// The answer, with the tokens of all tries together.
    fn try_repeatedly(
        &self,
        body: &Value,
        on_text: OnText<'_>,
        delivery: Delivery,
        reserved: Option<&Reservation<'_>>,
    ) -> Result<ChatResponse> {
        let book =
            |usage| reserved.map_or(Ok(()), |reserved| reserved.charge(self.config.prices.cost(usage)));
        let mut wasted = Usage::default();
        for failed in 1.. {
            let resting = |wait| Error::CircuitOpen { model: self.config.model.clone(), wait };
            self.breaker.admit(self.clock.now()).map_err(resting)?;
            let failure = match self.exchange.run(body, on_text, self.clock.now()) {
                Ok(mut response) => {
                    self.breaker.succeeded();
                    book(response.usage)?;
                    response.usage += wasted;
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            book(failure.usage)?;
            wasted += failure.usage;
            let Some(pause) = self.after(&failure, failed, delivery) else {
                return Err(failure.error);
            };
            if on_text("").is_break() {
                break;
            }
            self.clock.sleep(pause);
        }
        Ok(ChatResponse::new("", &self.config.model, FinishReason::Cancelled, wasted))
    }

    /// Notes a failure, and says how long to wait before the next try, if there is to be one.
    fn after(&self, failure: &Failure, failed: u32, delivery: Delivery) -> Option<std::time::Duration> {
        if failure.is_of_the_server {
            self.breaker.failed(self.clock.now());
        } else {
            self.breaker.succeeded();
        }
        let Retry::After(asked) = failure.retry else {
            return None;
        };
        if failure.handed_over && delivery == Delivery::Live {
            return None;
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.retry.pause(failed, asked, &mut *rng)
    }
}

impl LanguageModel for CloudModel {
    fn name(&self) -> &str {
        &self.config.model
    }

    fn stream(&self, request: &ChatRequest, on_text: OnText<'_>) -> slm_core::Result<ChatResponse> {
        self.answer(request, on_text, Delivery::Live)
    }

    fn chat(&self, request: &ChatRequest) -> slm_core::Result<ChatResponse> {
        self.answer(request, &mut |_| ControlFlow::Continue(()), Delivery::Held)
    }
}
