//! The seam between everything that answers: [`LanguageModel`], and what goes in and out of it.
//!
//! A local model, a retrieval pipeline, a router and a client of a remote model all implement
//! [`LanguageModel`], so that each can stand wherever another does.

use std::ops::ControlFlow;

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

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of the given role.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
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
}

/// What is asked of a [`LanguageModel`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation so far, oldest turn first.
    pub messages: Vec<Message>,
    /// How to generate the answer.
    #[serde(default)]
    pub generation: GenerationConfig,
}

impl ChatRequest {
    /// A single question with default (greedy) generation.
    pub fn question(text: impl Into<String>) -> Self {
        Self { messages: vec![Message::user(text)], generation: GenerationConfig::default() }
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
    /// Sources of the answer; empty where the model does not retrieve.
    #[serde(default)]
    pub citations: Vec<Citation>,
}

impl ChatResponse {
    /// An answer that withholds: `text` says so to the reader.
    pub fn abstained(model: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            model: model.into(),
            finish_reason: FinishReason::Abstained,
            usage: Usage::default(),
            logprobs: None,
            citations: Vec::new(),
        }
    }

    /// Mean log-probability per generated token, a cheap confidence; `None` without log-probabilities.
    pub fn mean_logprob(&self) -> Option<f32> {
        let l = self.logprobs.as_ref().filter(|l| !l.is_empty())?;
        Some(l.iter().map(|t| t.logprob).sum::<f32>() / l.len() as f32)
    }
}

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

    /// Answers `request` in one piece.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    fn chat(&self, request: &ChatRequest) -> Result<ChatResponse> {
        self.stream(request, &mut |_| ControlFlow::Continue(()))
    }
}

impl<M: LanguageModel + ?Sized> LanguageModel for &M {
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
}

impl<M: LanguageModel + ?Sized> LanguageModel for Box<M> {
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
}

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
