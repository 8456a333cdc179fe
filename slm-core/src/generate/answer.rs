//! The text of an answer, taken apart: thoughts, what is said, and calls of tools.

use std::ops::ControlFlow;

use crate::Result;
use crate::chat::{ChatRequest, Delta, OnDelta, ToolCall};
use crate::text::{ChatTemplate, ReasoningSplitter, ReasoningTags, ToolCallFormat, parse_tool_calls};

/// Takes an answer apart while it comes.
#[derive(Debug)]
pub(super) struct AnswerText {
    splitter: Option<ReasoningSplitter>,
    format: Option<ToolCallFormat>,
    reasoning: String,
    /// What is behind the thoughts, calls included.
    content: String,
    /// Bytes of `content` that were handed out.
    shown: usize,
}

/// What a piece of text adds to what is handed out.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Added to the thoughts, which come first.
    pub(super) reasoning: String,
    /// Added to the answer.
    pub(super) text: String,
}

impl Shown {
    pub(super) fn text(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.text.is_empty()
    }

    /// Calls `on_delta` with what there is, or with an empty text.
    pub(super) fn hand_out(&self, on_delta: &mut OnDelta<'_>) -> ControlFlow<()> {
        if !self.reasoning.is_empty() {
            on_delta(Delta::Reasoning(&self.reasoning))?;
            if self.text.is_empty() {
                return ControlFlow::Continue(());
            }
        }
        on_delta(Delta::Text(&self.text))
    }
}

/// The parts of a whole answer.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The end of the answer, which was held back.
    pub(super) rest: Shown,
    /// All of the text.
    pub(super) text: String,
    pub(super) reasoning: Option<String>,
    pub(super) tool_calls: Vec<ToolCall>,
}

impl AnswerText {
    /// For a model with `template`, which rendered `prompt` for `request`.
    pub(super) fn new(template: Option<&ChatTemplate>, request: &ChatRequest, prompt: &str) -> Self {
        let source = template.map_or("", ChatTemplate::source);
        let splitter = ReasoningTags::detect(source).map(|tags| {
            let opened = tags.opened_by(prompt);
            ReasoningSplitter::new(tags, opened)
        });
        let format = if request.tools.is_empty() { None } else { ToolCallFormat::detect(source) };
        Self { splitter, format, reasoning: String::new(), content: String::new(), shown: 0 }
    }

    /// Whether calls are looked for, whose marks may be special tokens.
    pub(super) fn expects_calls(&self) -> bool {
        self.format.is_some()
    }

    /// Adds text; returns what can be shown.
    pub(super) fn push(&mut self, piece: &str) -> Shown {
        let reasoning = match &mut self.splitter {
            Some(splitter) => {
                let split = splitter.push(piece);
                self.reasoning.push_str(&split.reasoning);
                self.content.push_str(&split.content);
                split.reasoning
            }
            None => {
                self.content.push_str(piece);
                String::new()
            }
        };
        let end = self.format.map_or(self.content.len(), |f| f.hold_from(&self.content));
        let text = self.content.get(self.shown..end).unwrap_or_default().to_owned();
        self.shown = self.shown.max(end);
        Shown { reasoning, text }
    }

    /// The parts, once no text follows. A call that was cut short is text.
    ///
    /// # Errors
    /// When something begins as a call, is `whole`, and is not one.
    pub(super) fn finish(mut self, whole: bool) -> Result<Parts> {
        let mut parts = Parts::default();
        if let Some(splitter) = &mut self.splitter {
            let split = splitter.finish();
            self.reasoning.push_str(&split.reasoning);
            self.content.push_str(&split.content);
            parts.rest.reasoning = split.reasoning;
        }
        let shown = self.content.get(..self.shown).unwrap_or_default().to_owned();
        let unsaid = self.content.get(self.shown..).unwrap_or_default();
        parts.rest.text = match self.format.filter(|_| whole) {
            Some(format) => {
                let parsed = parse_tool_calls(&self.content, format)?;
                parts.tool_calls = parsed.calls;
                match (parts.tool_calls.is_empty(), parsed.content.strip_prefix(shown.trim())) {
                    (true, _) => unsaid.to_owned(),
                    (false, Some(more)) => more.to_owned(),
                    (false, None) => String::new(),
                }
            }
            None => unsaid.to_owned(),
        };
        parts.text = shown + &parts.rest.text;
        parts.reasoning = self.splitter.map(|_| self.reasoning).filter(|r| !r.is_empty());
        Ok(parts)
    }
}
