//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use slm_core::{ChatRequest, ChatResponse, LanguageModel};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::App;
use super::error::ApiError;
use super::logprobs;
use super::messages;
use super::parameters::{Parameters, UsageBody, or_default};
use super::request::Incoming;
use super::run::{Answer, Outcome, Piece, Task, wire_reason};
use super::stream::{Frames, event_stream};
use super::tool_choice;
use crate::registry::{Entry, now};

#[derive(Debug, Deserialize)]
struct ChatBody {
    #[serde(flatten)]
    parameters: Parameters,
    messages: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    tools: Vec<Value>,
    tool_choice: Option<Value>,
    functions: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    logprobs: bool,
    #[serde(default, deserialize_with = "or_default")]
    top_logprobs: usize,
    chat_template_kwargs: Option<Map<String, Value>>,
}

/// What the bodies of a response share.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) entry: Entry,
    /// Whether log-probabilities were asked for.
    pub(super) logprobs: bool,
    pub(super) include_usage: bool,
}

pub(super) async fn chat(State(app): State<Arc<App>>, incoming: Incoming) -> Result<Response, ApiError> {
    let mut body: ChatBody = incoming.json()?;
    let parameters = &body.parameters;
    let entry = app.entry(parameters.model())?;
    let answers = parameters.answers()?;
    let mut generation = parameters.generation(&entry, &app.limits)?;
    generation.logprobs |= body.logprobs;
    if body.top_logprobs > 20 {
        return Err(ApiError::parameter("top_logprobs", "expected at most 20"));
    }
    generation.top_logprobs = if body.logprobs { body.top_logprobs } else { 0 };
    if body.functions.is_some() {
        return Err(ApiError::parameter("functions", "superseded by `tools`"));
    }
    let tool_choice = tool_choice::read(body.tool_choice.as_ref(), &mut body.tools)?;
    let request = ChatRequest {
        messages: messages::messages(body.messages)?,
        tools: body.tools,
        tool_choice,
        template_variables: body.chat_template_kwargs.unwrap_or_default(),
        user: Some(incoming.tenant(parameters.user.as_deref())),
        generation,
    };
    let head = Head {
        id: app.new_id("chatcmpl"),
        created: now(),
        entry,
        logprobs: body.logprobs,
        include_usage: parameters.include_usage(),
    };
    let (stream, mut pieces) = (parameters.stream, start(&app, &incoming, &head, &request, answers)?);
    if stream {
        let first = first_piece(&mut pieces).await?;
        return Ok(event_stream(pieces, first, Box::new(ChatFrames { head, answers })));
    }
    let outcomes = collect(&mut pieces, answers).await?;
    Ok(axum::Json(whole(&head, &outcomes)).into_response())
}

/// Starts the answers, each with a seed of its own.
fn start(
    app: &Arc<App>,
    incoming: &Incoming,
    head: &Head,
    request: &ChatRequest,
    answers: usize,
) -> Result<UnboundedReceiver<Piece>, ApiError> {
    let (sender, pieces) = unbounded_channel();
    for index in 0..answers {
        let task = Task {
            app: Arc::clone(app),
            entry: head.entry.clone(),
            caller: incoming.caller.clone(),
            operation: "chat",
            traceparent: incoming.traceparent.clone(),
            id: head.id.clone(),
            index,
            pieces: sender.clone(),
            _permit: app.permit()?,
        };
        let mut request = request.clone();
        request.generation.seed = request.generation.seed.wrapping_add(index as u64);
        let model = Arc::clone(&head.entry.model);
        task.start(move |on_delta| Ok(Answer::from(model.stream_deltas(&request, on_delta)?)));
    }
    Ok(pieces)
}

/// The first piece, so that a request that fails at once gets a status of its own instead of a broken stream.
pub(super) async fn first_piece(pieces: &mut UnboundedReceiver<Piece>) -> Result<Piece, ApiError> {
    match pieces.recv().await {
        Some(Piece::Done(index, result)) => result.map(|o| Piece::Done(index, Box::new(Ok(o)))),
        Some(piece) => Ok(piece),
        None => Err(ApiError::internal("the model ended without an answer")),
    }
}

/// All answers, in order.
pub(super) async fn collect(
    pieces: &mut UnboundedReceiver<Piece>,
    answers: usize,
) -> Result<Vec<Outcome>, ApiError> {
    let mut outcomes = Vec::with_capacity(answers);
    while outcomes.len() < answers {
        match pieces.recv().await {
            Some(Piece::Done(index, result)) => outcomes.push((index, (*result)?)),
            Some(Piece::Text(..) | Piece::Reasoning(..)) => {}
            None => return Err(ApiError::internal("the model ended without an answer")),
        }
    }
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn whole(head: &Head, outcomes: &[Outcome]) -> Value {
    let choices = outcomes.iter().enumerate().map(|(index, outcome)| {
        let r = &outcome.response;
        let mut message = json!({"role": "assistant", "content": r.text});
        if let Some(reasoning) = &r.reasoning {
            message["reasoning_content"] = json!(reasoning);
        }
        if !r.tool_calls.is_empty() {
            message["tool_calls"] = json!(calls(&head.id, r));
            if r.text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        json!({
            "index": index,
            "message": message,
            "logprobs": logprobs::of_chat(head, r),
            "finish_reason": wire_reason(r.finish_reason),
            "slm": outcome.info,
        })
    });
    let usages: Vec<_> = outcomes.iter().map(|o| o.response.usage).collect();
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.entry.name,
        "choices": choices.collect::<Vec<_>>(),
        "usage": UsageBody::of(&usages),
        "slm": outcomes.first().map(|o| &o.info),
    })
}

/// The calls of tools, each with an id.
fn calls(id: &str, response: &ChatResponse) -> Vec<slm_core::ToolCall> {
    let mut calls = response.tool_calls.clone();
    let tail = id.rsplit('-').next().unwrap_or_default();
    for (index, call) in calls.iter_mut().enumerate().filter(|(_, c)| c.id.is_empty()) {
        call.id = format!("call-{tail}-{index}");
    }
    calls
}

/// The chunks of a chat.
struct ChatFrames {
    head: Head,
    answers: usize,
}

impl ChatFrames {
    fn chunk(&self, choices: &[Value]) -> Value {
        json!({
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.entry.name,
            "choices": choices,
        })
    }

    fn delta(&self, index: usize, delta: &Value) -> Value {
        self.chunk(&[json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null})])
    }
}

impl Frames for ChatFrames {
    fn begin(&self) -> Vec<Value> {
        let role = json!({"role": "assistant", "content": ""});
        (0..self.answers).map(|index| self.delta(index, &role)).collect()
    }

    fn text(&self, index: usize, text: &str) -> Value {
        self.delta(index, &json!({"content": text}))
    }

    fn reasoning(&self, index: usize, text: &str) -> Value {
        self.delta(index, &json!({"reasoning_content": text}))
    }

    fn done(&self, index: usize, outcome: &Outcome) -> Vec<Value> {
        let r = &outcome.response;
        let mut frames = Vec::new();
        if let Some(reasoning) = r.reasoning.as_ref().filter(|_| !outcome.reasoned) {
            frames.push(self.reasoning(index, reasoning));
        }
        if !r.tool_calls.is_empty() {
            let calls = calls(&self.head.id, r).into_iter().enumerate().map(|(at, call)| {
                let mut call = json!(call);
                call["index"] = json!(at);
                call
            });
            frames.push(self.delta(index, &json!({"tool_calls": calls.collect::<Vec<_>>()})));
        }
        let mut last = self.chunk(&[json!({
            "index": index,
            "delta": {},
            "logprobs": logprobs::of_chat(&self.head, r),
            "finish_reason": wire_reason(r.finish_reason),
        })]);
        last["slm"] = outcome.info.clone();
        frames.push(last);
        frames
    }

    fn end(&self, usages: &[slm_core::Usage]) -> Vec<Value> {
        if !self.head.include_usage {
            return Vec::new();
        }
        let mut chunk = self.chunk(&[]);
        chunk["usage"] = json!(UsageBody::of(usages));
        vec![chunk]
    }

    fn answers(&self) -> usize {
        self.answers
    }
}
