//! Chats whose thoughts are handed out as they come.

use std::ops::ControlFlow;

use slm_core::text::{ReasoningSplitter, ReasoningTags};
use slm_core::{ChatRequest, ChatResponse, ChatTemplate, FinishReason, LanguageModel};

use super::EngineModel;

/// A piece of what a model writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta<'a> {
    /// Of its thoughts, which come before the answer.
    Reasoning(&'a str),
    /// Of the answer; may be empty, as a sign of life.
    Text(&'a str),
}

/// Called with each piece; [`ControlFlow::Break`] cancels.
pub type OnDelta<'a> = dyn FnMut(Delta<'_>) -> ControlFlow<()> + 'a;

impl EngineModel {
    /// Answers as [`LanguageModel::stream`], and hands out thoughts, too, as they come. Where tools are given, thoughts
    /// are in the response alone.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    pub fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        let local = self.local();
        let source = local.template.as_ref().map_or("", ChatTemplate::source);
        let Some(tags) = ReasoningTags::detect(source).filter(|_| request.tools.is_empty()) else {
            return self.stream(request, &mut |text| on_delta(Delta::Text(text)));
        };
        let prompt = local.prompt(request)?;
        let opened = tags.opened_by(&prompt);
        let ids = local.tokenizer.encode(&prompt, false)?;
        let mut splitter = ReasoningSplitter::new(tags.clone(), opened);
        let mut made = self.generate(ids, &request.generation, request.user.as_deref(), &mut |text| {
            let split = splitter.push(text);
            if !split.reasoning.is_empty() {
                on_delta(Delta::Reasoning(&split.reasoning))?;
            }
            on_delta(Delta::Text(&split.content))
        })?;
        if made.finish_reason != FinishReason::Cancelled {
            let rest = splitter.finish();
            for delta in [Delta::Reasoning(&rest.reasoning), Delta::Text(&rest.content)] {
                if on_delta(delta).is_break() {
                    made.finish_reason = FinishReason::Cancelled;
                }
            }
        }
        let split = tags.split(&made.text, opened);
        made.text = split.content;
        made.reasoning = Some(split.reasoning).filter(|r| !r.is_empty());
        Ok(made.into_response(self.name()))
    }
}
