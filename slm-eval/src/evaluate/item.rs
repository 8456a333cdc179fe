//! What is asked and what is accepted: [`Item`].

use slm_core::{Citation, Message, Role};
use slm_data::Example;

use crate::metrics::Metric;

/// A question and what is known about its answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// The turns before the answer.
    pub messages: Vec<Message>,
    /// Accepted answers, the one that reports show first. None: the question has no answer, and withholding one is
    /// right.
    pub golds: Vec<String>,
    /// Spans that hold the evidence, where that is known: citations are scored against them.
    pub evidence: Option<Vec<Citation>>,
    /// Where it comes from; scores are summed up by it.
    pub source: String,
}

impl Item {
    /// A single question with its accepted answers.
    pub fn new(
        question: impl Into<String>,
        golds: impl IntoIterator<Item = impl Into<String>>,
        source: impl Into<String>,
    ) -> Self {
        Self {
            messages: vec![Message::user(question)],
            golds: golds.into_iter().map(Into::into).collect(),
            evidence: None,
            source: source.into(),
        }
    }

    /// The turns of an example before its last answer, which is the one that is accepted.
    pub(crate) fn of(example: &Example) -> Result<Self, String> {
        let is_answer = |m: &slm_data::Message| m.role == slm_data::Role::Assistant;
        let last = example.messages.iter().rposition(is_answer);
        let last = last.ok_or("it has no assistant turn to compare with")?;
        Ok(Self {
            messages: example.messages[..last].iter().map(to_message).collect(),
            golds: vec![example.messages[last].content.clone()],
            evidence: None,
            source: example.source.clone(),
        })
    }

    /// Refuses what cannot be asked, or not scored by `metric`.
    pub(super) fn check(&self, metric: Metric) -> Result<(), String> {
        if self.messages.is_empty() {
            return Err("there is no turn before the answer".into());
        }
        let golds: Vec<&str> = self.golds.iter().map(String::as_str).collect();
        metric.best("", &golds).map(|_| ()).map_err(|e| e.to_string())
    }
}

/// A turn of an example as a turn of a conversation.
pub(crate) fn to_message(message: &slm_data::Message) -> Message {
    let role = match message.role {
        slm_data::Role::System => Role::System,
        slm_data::Role::User => Role::User,
        slm_data::Role::Assistant => Role::Assistant,
        slm_data::Role::Tool => Role::Tool,
    };
    Message::new(role, message.content.clone())
}
