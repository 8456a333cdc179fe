//! The seam between everything that answers: [`LanguageModel`], and what goes in and out of it.
//!
//! A local model, a retrieval pipeline, a router and a client of a remote model all implement
//! [`LanguageModel`], so that each can stand wherever another does.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::generate::GenerationConfig;

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn of a conversation, in the shape of OpenAI's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; empty where a turn only calls tools.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content: String,
    /// What the model thought before it answered, where it is kept apart from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that the assistant makes in this turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's turn: which call it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Name of the speaker; of a tool's turn: the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A call of a tool that a model asks for.
///
/// Serialized as OpenAI does: `{"id", "type": "function", "function": {"name", "arguments"}}` with the arguments
/// as JSON inside a string. Reads arguments as an object, too, and a call without the `function` around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireCall", into = "WireCall")]
pub struct ToolCall {
    /// Which call a later result answers; empty where the model gives none.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// The arguments, usually an object.
    pub arguments: serde_json::Value,
}

impl ToolCall {
    /// A call without an id.
    pub fn new(name: impl Into<String>, arguments: serde_json::Value) -> Self {
        Self { id: String::new(), name: name.into(), arguments }
    }
}

#[derive(Serialize, Deserialize)]
struct WireCall {
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    id: String,
    #[serde(rename = "type", default = "function")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<WireFunction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    arguments: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    arguments: serde_json::Value,
}

fn function() -> String {
    "function".into()
}

fn null_as_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl TryFrom<WireCall> for ToolCall {
    type Error = String;

    fn try_from(wire: WireCall) -> std::result::Result<Self, String> {
        let (name, arguments) = match (wire.function, wire.name) {
            (Some(function), _) => (function.name, function.arguments),
            (None, Some(name)) => (name, wire.arguments),
            (None, None) => return Err("a tool call needs `function` with a `name`".into()),
        };
        let arguments = match arguments {
            serde_json::Value::String(text) if text.trim().is_empty() => serde_json::json!({}),
            serde_json::Value::String(text) => serde_json::from_str(&text)
                .map_err(|e| format!("the arguments of tool call `{name}` are not JSON: {e}"))?,
            serde_json::Value::Null => serde_json::json!({}),
            other => other,
        };
        Ok(Self { id: wire.id, name, arguments })
    }
}

impl From<ToolCall> for WireCall {
    fn from(call: ToolCall) -> Self {
        let arguments = serde_json::Value::String(call.arguments.to_string());
        let function = Some(WireFunction { name: call.name, arguments });
        Self {
            id: call.id,
            kind: "function".into(),
            function,
            name: None,
            arguments: serde_json::Value::Null,
        }
    }
}

impl Message {
    /// A turn of the given role.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// A turn of the person who asks.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Instructions for the whole conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// The result of a call of the tool `name`.
    pub fn tool(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::new(Role::Tool, content) }
    }
}

/// Whether a tool has to be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model chooses.
    #[default]
    Auto,
    /// It calls any of them, once.
    Required,
    /// It calls the one of this name, once.
    Function(String),
}

impl ToolChoice {
    /// Whether the model chooses.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What is asked of a [`LanguageModel`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation so far, oldest turn first.
    pub messages: Vec<Message>,
    /// How to generate the answer.
    #[serde(default)]
    pub generation: GenerationConfig,
    /// Tools that the model may call, each `{"type": "function", "function": {..}}` with a JSON schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<serde_json::Value>,
    /// Whether one of them has to be called.
    #[serde(default, skip_serializing_if = "ToolChoice::is_auto")]
    pub tool_choice: ToolChoice,
    /// Further variables of the chat template, such as `enable_thinking`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub template_variables: serde_json::Map<String, serde_json::Value>,
    /// Who asks, for limits and fair shares; no part of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl ChatRequest {
    /// A single question with default (greedy) generation.
    pub fn question(text: impl Into<String>) -> Self {
        Self { messages: vec![Message::user(text)], ..Self::default() }
    }

    /// The tools of which one has to be called; `None` where the model chooses.
    ///
    /// # Errors
    /// When a tool has to be called that is not among [`ChatRequest::tools`].
    pub fn forced_tools(&self) -> Result<Option<Vec<&serde_json::Value>>> {
        let called: Vec<&serde_json::Value> = match &self.tool_choice {
            ToolChoice::Auto => return Ok(None),
            ToolChoice::Required => self.tools.iter().collect(),
            ToolChoice::Function(name) => {
                self.tools.iter().filter(|tool| tool["function"]["name"] == name.as_str()).collect()
            }
        };
        if called.is_empty() {
            let reason = "tool_choice: a tool has to be called that is not there".into();
            return Err(crate::Error::Request { reason });
        }
        Ok(Some(called))
    }

    /// The content of the last user turn, or an empty string where there is none.
    pub fn last_user(&self) -> &str {
        self.messages.iter().rev().find(|m| m.role == Role::User).map_or("", |m| m.content.as_str())
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// An end-of-sequence token or a stop string.
    Stop,
    /// The token limit of the request or of the context.
    Length,
    /// The model asks for tools to be called.
    ToolCalls,
    /// The caller cancelled while streaming.
    Cancelled,
    /// The model withheld an answer ("I don't know").
    Abstained,
}

/// Tokens read and written for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// A generated token and its natural-log probability under the unmodified model distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of the token's probability.
    pub logprob: f32,
    /// The most likely tokens at this place, most likely first, where the request asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<TopLogprob>,
}

/// A token that might have come, and its log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of the token's probability.
    pub logprob: f32,
}

/// How sure the model was of an answer, under its unmodified distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Mean log-probability of a token, in nats.
    pub mean_logprob: f32,
    /// Log-probability of the least likely token, in nats.
    pub min_logprob: f32,
    /// Mean distance between the two most likely tokens' probabilities, from 0 to 1.
    pub mean_margin: f32,
    /// Mean entropy of the next token, in nats.
    pub mean_entropy: f32,
}

/// Where a statement of an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// Identifier of the document (its path relative to the indexed folder).
    pub source: String,
    /// First byte of the cited span in the original document.
    pub start: usize,
    /// One past the last byte of the cited span.
    pub end: usize,
    /// The cited text, equal to the document's bytes `start..end`.
    pub text: String,
}

/// The answer of a [`LanguageModel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatResponse {
    /// The answer.
    pub text: String,
    /// Name of the model that wrote it (of the innermost one, when models nest).
    pub model: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens read and written.
    pub usage: Usage,
    /// Per generated token, where the request asked for them and the model can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<TokenLogprob>>,
    /// How sure the model was, where the request asked for log-probabilities and the model can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Sources of the answer; empty where the model does not retrieve.
    #[serde(default)]
    pub citations: Vec<Citation>,
    /// What the model thought before it answered, where it was split off from `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Calls of tools that the model asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Probability or share, from 0 to 1, with which sources support what the answer says, where that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<f32>,
    /// Share of the answers drawn that agree with this one, from 0 to 1, where several were drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f32>,
    /// Which way the answer took, where a router or a cascade chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What it cost, in the currency of whoever set the prices; `None` where nothing is charged by the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl ChatResponse {
    /// An answer of plain text.
    pub fn new(
        text: impl Into<String>,
        model: impl Into<String>,
        finish_reason: FinishReason,
        usage: Usage,
    ) -> Self {
        Self {
            text: text.into(),
            model: model.into(),
            finish_reason,
            usage,
            logprobs: None,
            confidence: None,
            citations: Vec::new(),
            reasoning: None,
            tool_calls: Vec::new(),
            support: None,
            agreement: None,
            route: None,
            cost: None,
        }
    }

    /// An answer that withholds: `text` says so to the reader.
    pub fn abstained(model: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(text, model, FinishReason::Abstained, Usage::default())
    }

    /// Mean log-probability per generated token, a cheap confidence; `None` where the model cannot tell.
    pub fn mean_logprob(&self) -> Option<f32> {
        match self.logprobs.as_ref().filter(|logprobs| !logprobs.is_empty()) {
            Some(l) => Some(l.iter().map(|t| t.logprob).sum::<f32>() / l.len() as f32),
            None => self.confidence.map(|confidence| confidence.mean_logprob),
        }
    }
}

/// A piece of what a model writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta<'a> {
    /// Of its thoughts, which come before the answer.
    Reasoning(&'a str),
    /// Of the answer; may be empty, as a sign of life.
    Text(&'a str),
}

impl<'a> Delta<'a> {
    /// What it adds to the answer; nothing where it is a thought.
    pub fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Reasoning(_) => "",
        }
    }
}

/// Called with each piece; [`ControlFlow::Break`] cancels.
pub type OnDelta<'a> = dyn FnMut(Delta<'_>) -> ControlFlow<()> + 'a;

/// Something that answers a chat request.
pub trait LanguageModel {
    /// A short name for reports and logs.
    fn name(&self) -> &str;

    /// Answers `request`, handing each piece of text to `on_text` as soon as it is final.
    ///
    /// Pieces may be empty: a local model calls `on_text` after each token, so that it can be cancelled at each.
    /// `on_text` returns [`ControlFlow::Break`] to cancel; the response then holds what was generated
    /// so far with [`FinishReason::Cancelled`]. The pieces concatenate to the response's `text`.
    ///
    /// # Errors
    /// When the request cannot be rendered or the model fails.
    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatResponse>;

    /// Answers as [`LanguageModel::stream`], and hands out thoughts, too, as they come. A model that does not tell them
    /// apart hands out its text alone; its thoughts, if any, are in the response.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    fn stream_deltas(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> Result<ChatResponse> {
        self.stream(request, &mut |text| on_delta(Delta::Text(text)))
    }

    /// Answers `request` in one piece.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    fn chat(&self, request: &ChatRequest) -> Result<ChatResponse> {
        self.stream(request, &mut |_| ControlFlow::Continue(()))
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<M: LanguageModel + ?Sized> LanguageModel for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn stream(
                &self,
                request: &ChatRequest,
                on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
            ) -> Result<ChatResponse> {
                (**self).stream(request, on_text)
            }

            fn stream_deltas(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> Result<ChatResponse> {
                (**self).stream_deltas(request, on_delta)
            }

            fn chat(&self, request: &ChatRequest) -> Result<ChatResponse> {
                (**self).chat(request)
            }
        }
    )*};
}

forward!(&M, Box<M>, Arc<M>);

/// Turns texts into unit-length vectors whose dot product is their similarity.
pub trait Embedder {
    /// Length of each vector.
    fn dimension(&self) -> usize;

    /// One vector per text, in order.
    ///
    /// # Errors
    /// When a text cannot be tokenized or the model fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}
