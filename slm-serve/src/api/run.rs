//! A model at work for a request: on a thread that may wait, with its text passed on as it comes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slm_core::{ChatResponse, Delta, FinishReason, OnDelta, Usage};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use super::App;
use super::error::ApiError;
use crate::access::Caller;
use crate::engine::{Meter, Metered};
use crate::journal::Record;
use crate::metrics::Finished;
use crate::registry::{Entry, now};
use crate::spans::Answered;

/// What comes of a request, by the index of the answer.
#[derive(Debug)]
pub(super) enum Piece {
    Text(usize, String),
    Reasoning(usize, String),
    Done(usize, Box<Result<Outcome, ApiError>>),
}

/// A finished answer.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) response: ChatResponse,
    /// Of each token of the prompt but the first, where they were asked for.
    pub(super) prompt_logprobs: Vec<f32>,
    pub(super) info: Value,
    /// Thoughts were sent before the answer.
    pub(super) reasoned: bool,
}

/// What a model gives back.
pub(super) struct Answer {
    pub(super) response: ChatResponse,
    pub(super) prompt_logprobs: Vec<f32>,
}

impl From<ChatResponse> for Answer {
    fn from(response: ChatResponse) -> Self {
        Self { response, prompt_logprobs: Vec::new() }
    }
}

/// One answer to be made.
pub(super) struct Task {
    pub(super) app: Arc<App>,
    pub(super) entry: Entry,
    pub(super) caller: Caller,
    /// `chat` or `text_completion`.
    pub(super) operation: &'static str,
    pub(super) traceparent: Option<String>,
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) pieces: UnboundedSender<Piece>,
    /// Given back when the answer is finished.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// What is seen of an answer while it comes.
struct Watch {
    began: Instant,
    first: Option<Duration>,
    last: Instant,
    late: bool,
    reasoned: bool,
}

impl Task {
    /// Starts `work` on a thread of its own.
    pub(super) fn start(
        self,
        work: impl FnOnce(&mut OnDelta<'_>) -> slm_core::Result<Answer> + Send + 'static,
    ) {
        tokio::task::spawn_blocking(move || {
            let index = self.index;
            let pieces = self.pieces.clone();
            let result = self.run(work);
            // Nobody may be there to hear it.
            let _ = pieces.send(Piece::Done(index, Box::new(result)));
        });
    }

    fn run(
        self,
        work: impl FnOnce(&mut OnDelta<'_>) -> slm_core::Result<Answer>,
    ) -> Result<Outcome, ApiError> {
        let limit = self.app.limits.request_time();
        let began = Instant::now();
        let mut watch = Watch { began, first: None, last: began, late: false, reasoned: false };
        Meter::reset();
        let result = work(&mut |delta| self.on_delta(delta, &mut watch, limit));
        let metered = Meter::read();
        let result = match result {
            Ok(_) if watch.late => Err(ApiError::timeout(limit)),
            Ok(answer) => Ok(answer),
            Err(e) => Err(ApiError::from(e)),
        };
        match result {
            Ok(answer) => Ok(self.finish(answer, &watch, metered)),
            Err(error) => {
                self.fail(&error, &watch, metered);
                Err(error)
            }
        }
    }

    fn on_delta(&self, delta: Delta<'_>, watch: &mut Watch, limit: Duration) -> ControlFlow<()> {
        let now = Instant::now();
        if now - watch.began > limit {
            watch.late = true;
            return ControlFlow::Break(());
        }
        if self.pieces.is_closed() {
            return ControlFlow::Break(());
        }
        let (text, piece) = match delta {
            Delta::Text(text) => (text, Piece::Text(self.index, text.to_owned())),
            Delta::Reasoning(text) => (text, Piece::Reasoning(self.index, text.to_owned())),
        };
        if !text.is_empty() {
            watch.reasoned |= matches!(delta, Delta::Reasoning(_));
            match watch.first {
                None => watch.first = Some(now - watch.began),
                Some(_) => self.app.metrics.gap(&self.entry.name, now - watch.last),
            }
            watch.last = now;
            let _ = self.pieces.send(piece);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, answer: Answer, watch: &Watch, metered: Metered) -> Outcome {
        let Answer { response, prompt_logprobs } = answer;
        let cost = self.cost(&response, metered);
        let reason = reason(response.finish_reason);
        self.app.metrics.finished(&Finished {
            model: &self.entry.name,
            route: route(&response),
            reason,
            prompt_tokens: response.usage.prompt_tokens,
            completion_tokens: response.usage.completion_tokens,
            first_token: watch.first,
            elapsed: watch.began.elapsed(),
            queued: metered.queued,
            cost,
        });
        self.app.access.settle(&self.caller, total(response.usage), cost);
        self.record(reason, Some(&response), watch, cost);
        let info = self.info(&response, watch, metered, cost);
        Outcome { response, prompt_logprobs, info, reasoned: watch.reasoned }
    }

    /// The machine's time and tokens, and what others charged.
    fn cost(&self, response: &ChatResponse, metered: Metered) -> f64 {
        let own = self.entry.prices.cost(metered.busy.as_secs_f64(), response.usage);
        own + response.cost.unwrap_or(0.0)
    }

    fn fail(&self, error: &ApiError, watch: &Watch, metered: Metered) {
        let cost = self.entry.prices.cost(metered.busy.as_secs_f64(), Usage::default());
        self.app.metrics.refused(&self.entry.name, error.code);
        self.app.access.settle(&self.caller, 0, cost);
        self.record(error.code, None, watch, cost);
    }

    fn record(&self, outcome: &str, response: Option<&ChatResponse>, watch: &Watch, cost: f64) {
        let usage = response.map_or(Usage::default(), |r| r.usage);
        let record = Record {
            id: self.id.clone(),
            time: now(),
            model: self.entry.name.clone(),
            route: response.map_or_else(String::new, |r| route(r).to_owned()),
            outcome: outcome.to_owned(),
            first_token: watch.first.map(|d| d.as_secs_f64()),
            seconds: watch.began.elapsed().as_secs_f64(),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cost,
            confidence: response.and_then(|r| r.confidence).map(|c| f64::from(c.mean_logprob).exp()),
            good: None,
        };
        tracing::info!(
            id = record.id,
            caller = self.caller.name,
            "gen_ai.request.model" = record.model,
            "gen_ai.response.model" = record.route,
            "gen_ai.usage.input_tokens" = record.prompt_tokens,
            "gen_ai.usage.output_tokens" = record.completion_tokens,
            outcome,
            seconds = record.seconds,
            first_token = record.first_token,
            cost,
            answer = response.filter(|_| self.app.log_texts).map(|r| r.text.as_str()),
            "answered"
        );
        if let Some(spans) = &self.app.spans {
            spans.record(&Answered {
                operation: self.operation,
                parent: self.traceparent.as_deref(),
                model: response.map(|r| r.model.as_str()),
                caller: &self.caller.name,
                record: &record,
            });
        }
        self.app.journal.push(record);
    }

    /// What this server tells beyond OpenAI's protocol.
    fn info(&self, response: &ChatResponse, watch: &Watch, metered: Metered, cost: f64) -> Value {
        json!({
            "route": route(response),
            "model": response.model,
            "kind": self.entry.kind,
            "abstained": response.finish_reason == FinishReason::Abstained,
            "confidence": response.confidence,
            "support": response.support,
            "agreement": response.agreement,
            "citations": response.citations,
            "cost": {"amount": cost, "currency": self.entry.prices.currency},
            "model_hash": self.entry.model_hash,
            "adapter_hash": self.entry.adapter_hash,
            "seconds": {
                "total": watch.began.elapsed().as_secs_f64(),
                "first_token": watch.first.map(|d| d.as_secs_f64()),
                "queued": metered.queued.as_secs_f64(),
                "busy": metered.busy.as_secs_f64(),
            },
        })
    }
}

/// Which way an answer took: the router's word for it, else the model that wrote it.
fn route(response: &ChatResponse) -> &str {
    response.route.as_deref().unwrap_or(&response.model)
}

fn total(usage: Usage) -> usize {
    usage.prompt_tokens + usage.completion_tokens
}

/// OpenAI's name of a reason.
pub(super) fn reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Abstained => "abstained",
        FinishReason::Cancelled => "cancelled",
        _ => "stop",
    }
}

/// The reason as clients of the protocol know it.
pub(super) fn wire_reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        _ => "stop",
    }
}
