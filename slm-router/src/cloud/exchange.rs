//! One request and its answer over HTTP.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;
use slm_core::{ChatResponse, Usage};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::answer::{Answer, Chunk, error_text};
use super::config::{ApiKey, CloudConfig};
use super::events::{Event, Events};
use super::retry::retry_after;
use super::wire;
use crate::Error;
use crate::router::OnText;

/// Most of an answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 20;
/// Most of an error that is read, in bytes, and shown, in characters.
const MAX_ERROR: (u64, usize) = (64 << 10, 400);

/// Whether it makes sense to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    /// And after what pause, where the server says so.
    After(Option<Duration>),
}

/// A try that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) retry: Retry,
    /// Whether the server is to blame, and not the request.
    pub(super) is_of_the_server: bool,
    /// Whether some text had been handed over.
    pub(super) handed_over: bool,
    /// Tokens that will be on the bill nevertheless.
    pub(super) usage: Usage,
}

pub(super) struct Exchange {
    agent: Agent,
    url: String,
    model: String,
    key: Option<ApiKey>,
}

impl Exchange {
    pub(super) fn new(config: &CloudConfig, key: Option<ApiKey>) -> Self {
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        let timeouts = config.timeouts;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("slm/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(seconds(timeouts.connect))
            .timeout_per_read(seconds(timeouts.idle))
            .timeout_per_write(seconds(timeouts.idle))
            .timeout_global(seconds(timeouts.total))
            .build()
            .new_agent();
        let url = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        Self { agent, url, model: config.model.clone(), key }
    }

    /// Sends `body` and hands over the text of the answer as it comes.
    pub(super) fn run(
        &self,
        body: &Value,
        on_text: OnText<'_>,
        now: Duration,
    ) -> Result<ChatResponse, Failure> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        request = request.header("accept", "text/event-stream");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {}", key.0));
        }
        let response = request.send(body.to_string()).map_err(|error| self.not_reached(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response, now));
        }
        let mut answer = Answer::default();
        let read = self.read(response, &mut answer, on_text);
        let usage = answer.usage.unwrap_or_else(|| estimated(body, &answer));
        match read {
            Ok(cancelled) => answer
                .finish(&self.model, cancelled.is_break(), usage)
                .map_err(|reason| self.broken(&reason, usage, Retry::No)),
            Err(reason) => {
                let handed_over = !answer.text.is_empty();
                Err(Failure { handed_over, ..self.broken(&reason, usage, Retry::After(None)) })
            }
        }
    }

    /// Reads the answer to its end, or until the caller wants no more.
    fn read(
        &self,
        response: Response<Body>,
        answer: &mut Answer,
        on_text: OnText<'_>,
    ) -> Result<ControlFlow<()>, String> {
        let is_stream = response.body().mime_type() == Some("text/event-stream");
        let reader = response.into_body().into_with_config().limit(MAX_ANSWER).reader();
        if !is_stream {
            let chunk = serde_json::from_reader(reader).map_err(|error| format!("not an answer: {error}"))?;
            let text = answer.take(chunk)?;
            return Ok(if text.is_empty() { ControlFlow::Continue(()) } else { on_text(&text) });
        }
        let mut events = Events::new(reader);
        loop {
            let text = match events.next() {
                Ok(Some(Event::Data(data))) if data == "[DONE]" => break,
                Ok(Some(Event::Data(data))) => {
                    let chunk: Chunk = serde_json::from_str(&data)
                        .map_err(|error| format!("a piece that is no JSON of the protocol: {error}"))?;
                    answer.take(chunk)?
                }
                Ok(Some(Event::Alive)) => String::new(),
                // Some servers forget to say that they are done.
                Ok(None) if answer.is_complete() => break,
                Ok(None) => return Err("the answer broke off".to_owned()),
                // All is there but the tokens that were used.
                Err(_) if answer.is_complete() => break,
                Err(error) => return Err(format!("the answer broke off: {error}")),
            };
            if on_text(&text).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn error(&self, status: Option<u16>, reason: &str) -> Error {
        let reason = self.key.as_ref().map_or_else(|| reason.to_owned(), |key| key.scrub(reason));
        let reason = reason.chars().take(MAX_ERROR.1).collect();
        Error::Remote { model: self.model.clone(), status, reason }
    }

    fn broken(&self, reason: &str, usage: Usage, retry: Retry) -> Failure {
        let error = self.error(None, reason);
        Failure { error, retry, is_of_the_server: true, handed_over: false, usage }
    }

    fn not_reached(&self, error: &ureq::Error) -> Failure {
        use ureq::Error as E;
        // What is wrong with these will be wrong the next time, too.
        let ours = matches!(error, E::Http(_) | E::BadUri(_) | E::InvalidProxyUrl | E::RequireHttpsOnly(_));
        let retry = if ours { Retry::No } else { Retry::After(None) };
        let failure = self.broken(&format!("no answer: {error}"), Usage::default(), retry);
        Failure { is_of_the_server: !ours, ..failure }
    }

    fn refused(&self, response: Response<Body>, now: Duration) -> Failure {
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let asked = retry_after(header("retry-after"), header("retry-after-ms"), now);
        let mut text = String::new();
        // What can be read of the reason is shown; the status stands without it.
        let _ = response.into_body().into_reader().take(MAX_ERROR.0).read_to_string(&mut text);
        let json: Option<Value> = serde_json::from_str(&text).ok();
        let code = json.as_ref().and_then(|json| json.pointer("/error/code")).and_then(Value::as_str);
        let is_of_the_server = matches!(status, 408 | 429 | 500..);
        let retry = match (status, code) {
            // Waiting does not fill an account.
            (429, Some("insufficient_quota")) => Retry::No,
            (408 | 409 | 425 | 429 | 500 | 502..=504 | 520..=529, _) => Retry::After(asked),
            _ => Retry::No,
        };
        let reason = format!("status {status}: {}", json.map_or(text, |json| error_text(&json)));
        let error = self.error(Some(status), &reason);
        Failure { error, retry, is_of_the_server, handed_over: false, usage: Usage::default() }
    }
}

/// What an answer will have used, where the server does not say: a token per three bytes of the prompt and per piece.
fn estimated(body: &Value, answer: &Answer) -> Usage {
    Usage { prompt_tokens: wire::expected_prompt_tokens(body), completion_tokens: answer.pieces }
}
