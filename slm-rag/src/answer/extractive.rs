//! [`ExtractiveModel`]: answers in the words of the documents.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_data::Document;

use super::knowledge::Knowledge;
use crate::index::Evidence;
use crate::{Error, Result};

/// How an [`ExtractiveModel`] answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractiveConfig {
    /// Its name in reports.
    pub name: String,
    /// Chunks to look for sentences in.
    pub top_chunks: usize,
    /// Most sentences of an answer.
    pub max_sentences: usize,
    /// Lowest score of a further sentence as a share of the best one's, 0 to 1.
    pub min_share: f64,
    /// Lowest [coverage](Evidence::coverage) of the question with which it answers, 0 to 1; below it abstains.
    pub min_coverage: f64,
    /// What it says when it abstains.
    pub abstain_text: String,
}

impl Default for ExtractiveConfig {
    /// One sentence out of the best three chunks, if these have half of what the question asks for.
    fn default() -> Self {
        Self {
            name: "extractive".to_owned(),
            top_chunks: 3,
            max_sentences: 1,
            min_share: 0.9,
            min_coverage: 0.5,
            abstain_text: "The documents do not answer this.".to_owned(),
        }
    }
}

impl ExtractiveConfig {
    fn check(&self) -> Result<()> {
        for (field, value) in [("top_chunks", self.top_chunks), ("max_sentences", self.max_sentences)] {
            if value == 0 {
                return Err(Error::config(field, "expected at least 1, got 0"));
            }
        }
        for (field, value) in [("min_share", self.min_share), ("min_coverage", self.min_coverage)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(field, format!("expected 0 to 1, got {value}")));
            }
        }
        Ok(())
    }
}

/// Answers with the sentences of the documents that fit the question best, word for word and with their source,
/// or abstains. It needs no model, and what it says stands in a document; whether that answers the question,
/// the coverage of its words only suggests.
#[derive(Debug, Clone)]
pub struct ExtractiveModel {
    knowledge: Knowledge,
    config: ExtractiveConfig,
}

impl ExtractiveModel {
    /// A model over a retriever, an index, which may be shared, or a [collection](crate::Collection).
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(knowledge: impl Into<Knowledge>, config: ExtractiveConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { knowledge: knowledge.into(), config })
    }

    /// The sentences it would answer with, best first, before it looks at their coverage. Use it to choose
    /// [`min_coverage`](ExtractiveConfig::min_coverage) on questions whose answer is known.
    ///
    /// # Errors
    /// When the search fails.
    pub fn evidence(&self, question: &str) -> Result<Vec<Evidence>> {
        let hits = self.knowledge.search(question, self.config.top_chunks)?;
        let mut evidence = self.knowledge.best_sentences(&hits, question, self.config.max_sentences)?;
        let floor = evidence.first().map_or(0.0, |best| best.score * self.config.min_share);
        evidence.retain(|further| further.score >= floor);
        Ok(evidence)
    }

    /// A document it answers from; `None` where there is none of this name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn document(&self, id: &str) -> Result<Option<Document>> {
        self.knowledge.document(id)
    }
}

impl LanguageModel for ExtractiveModel {
    fn name(&self) -> &str {
        &self.config.name
    }

    /// Answers the last user turn, a sentence at a time. It counts no tokens, and refuses to be forced to call a tool.
    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        if !request.tool_choice.is_auto() {
            let reason = format!("tool_choice: `{}` quotes documents and calls no tools", self.config.name);
            return Err(slm_core::Error::Request { reason });
        }
        let evidence =
            self.evidence(request.last_user()).map_err(|error| failed(&self.config.name, error))?;
        let mut response = ChatResponse::abstained(&self.config.name, "");
        if evidence.first().is_none_or(|best| best.coverage < self.config.min_coverage) {
            // The only piece: whether the caller wants more does not matter.
            let _ = emit(&mut response, &self.config.abstain_text, on_text);
            return Ok(response);
        }
        response.finish_reason = FinishReason::Stop;
        response.usage = Usage::default();
        for Evidence { citation, .. } in evidence {
            let piece =
                if response.text.is_empty() { citation.text.clone() } else { format!("\n{}", citation.text) };
            response.citations.push(citation);
            if emit(&mut response, &piece, on_text).is_break() {
                break;
            }
        }
        Ok(response)
    }
}

/// An error of this crate as one of a model.
pub(super) fn failed(model: &str, error: Error) -> slm_core::Error {
    match error {
        Error::Model(error) => error,
        other => slm_core::Error::model(model, other),
    }
}

/// Adds a piece to a response and hands it over.
pub(super) fn emit(
    response: &mut ChatResponse,
    piece: &str,
    on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    response.text.push_str(piece);
    if !piece.is_empty() && on_text(piece).is_break() {
        response.finish_reason = FinishReason::Cancelled;
        return ControlFlow::Break(());
    }
    ControlFlow::Continue(())
}
