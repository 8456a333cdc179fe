//! [`GroundedModel`]: a model that answers from passages, and is checked against them.

mod check;
mod config;
mod deliver;
mod marks;
mod prompt;
mod support;

use std::ops::ControlFlow;

pub use check::CheckedSentence;
use check::Judge;
pub use config::{GroundedConfig, Unmarked, Unsupported};
use deliver::{standing, with_marks};
use prompt::Passage;
use slm_core::{ChatRequest, ChatResponse, Citation, Delta, FinishReason, LanguageModel, OnDelta};

use super::extractive::{emit, failed};
use super::knowledge::Knowledge;
use crate::Result;
use crate::verify::SupportPolicy;

/// Puts passages before a model and lets through what they support.
///
/// Each sentence of the answer is checked against the passages that it marks, `[1]`. Without a
/// [policy](Self::with_policy) the check is of words and quantities: it finds facts that were made up, and does not
/// notice a `not` too many. Marks of passages that do not
/// exist are dropped; those that stay are numbered anew, so that `[k]` is the `k`-th citation of the response. The
/// answer streams sentence by sentence once it is complete and checked.
#[derive(Debug, Clone)]
pub struct GroundedModel<M> {
    knowledge: Knowledge,
    model: M,
    config: GroundedConfig,
    policy: Option<SupportPolicy>,
}

/// An answer and how it fared.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GroundedAnswer {
    /// What the caller gets. Usage and log-probabilities are those of the inner model.
    pub response: ChatResponse,
    /// The passages of the prompt, in order.
    pub passages: Vec<Citation>,
    /// Every sentence that the inner model wrote, those that were removed too.
    pub sentences: Vec<CheckedSentence>,
    /// Marks for passages that do not exist.
    pub dropped_marks: usize,
}

impl GroundedAnswer {
    /// Share of the sentences that are supported, 0 where there are none.
    pub fn coverage(&self) -> f64 {
        let supported = self.sentences.iter().filter(|sentence| sentence.supported).count();
        supported as f64 / self.sentences.len().max(1) as f64
    }
}

type OnText<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

impl<M: LanguageModel> GroundedModel<M> {
    /// A model over a retriever, an index, which may be shared, or a [collection](crate::Collection).
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(knowledge: impl Into<Knowledge>, model: M, config: GroundedConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { knowledge: knowledge.into(), model, config, policy: None })
    }

    /// The same with a policy: every claim of an answer must pass it, in place of
    /// [`min_support`](GroundedConfig::min_support). A claim is a sentence or a clause that can stand on its own;
    /// [`unsupported`](GroundedConfig::unsupported) says whether the claim is dropped, flagged, or the answer withheld.
    #[must_use]
    pub fn with_policy(self, policy: SupportPolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// Answers as [`LanguageModel::stream`], and tells which sentence rests on what.
    ///
    /// # Errors
    /// When the inner model fails, or no sentence of the best passage fits in
    /// [`max_passage_words`](GroundedConfig::max_passage_words).
    pub fn answer(&self, request: &ChatRequest, on_text: OnText<'_>) -> slm_core::Result<GroundedAnswer> {
        let passages = self.passages(request.last_user())?;
        let mut answer = GroundedAnswer {
            response: ChatResponse::abstained(&self.config.name, ""),
            passages: passages.iter().map(|passage| passage.citation.clone()).collect(),
            sentences: Vec::new(),
            dropped_marks: 0,
        };
        if passages.is_empty() {
            self.abstain(&mut answer.response, on_text);
            return Ok(answer);
        }
        let asked = prompt::prompt(request, &passages, &self.config.instructions);
        self.ask(&asked, &passages, &mut answer)?;
        if self.config.repair
            && answer.response.finish_reason == FinishReason::Stop
            && answer.sentences.iter().any(|sentence| !sentence.supported)
        {
            self.repair(&asked, &passages, &mut answer)?;
        }
        answer.response.text.clear();
        answer.response.citations.clear();
        answer.response.support = Some(answer.coverage() as f32);
        let all_supported = answer.sentences.iter().all(|sentence| sentence.supported);
        let stands = match self.config.unsupported {
            Unsupported::Abstain => all_supported && !answer.sentences.is_empty(),
            Unsupported::Remove => answer.sentences.iter().any(|sentence| sentence.supported),
            Unsupported::Flag => !answer.sentences.is_empty(),
        };
        if stands && answer.response.finish_reason != FinishReason::Abstained {
            self.deliver(&mut answer, on_text);
        } else {
            self.abstain(&mut answer.response, on_text);
        }
        Ok(answer)
    }

    /// Lets the inner model answer, and checks what it says.
    fn ask(
        &self,
        asked: &ChatRequest,
        passages: &[Passage],
        answer: &mut GroundedAnswer,
    ) -> slm_core::Result<()> {
        answer.response = self.model.chat(asked)?;
        let unmarked = marks::unmark(&answer.response.text, passages.len());
        answer.dropped_marks = unmarked.dropped;
        let judge = Judge {
            stemming: self.knowledge.stemming(),
            passages,
            config: &self.config,
            policy: self.policy.as_ref(),
        };
        answer.sentences = judge.check(&unmarked).map_err(|error| failed(&self.config.name, error))?;
        Ok(())
    }

    /// Asks once more, and keeps the answer of which the larger share is supported.
    fn repair(
        &self,
        asked: &ChatRequest,
        passages: &[Passage],
        answer: &mut GroundedAnswer,
    ) -> slm_core::Result<()> {
        let mut second = answer.clone();
        self.ask(&prompt::repair(asked, answer, passages), passages, &mut second)?;
        let usage = answer.response.usage;
        if second.coverage() > answer.coverage() {
            *answer = second;
            answer.response.usage += usage;
        } else {
            answer.response.usage += second.response.usage;
        }
        Ok(())
    }

    fn passages(&self, question: &str) -> slm_core::Result<Vec<Passage>> {
        let found = self.knowledge.search(question, self.config.top_chunks);
        let hits = found.map_err(|error| failed(&self.config.name, error))?;
        let passages = prompt::passages(&hits, self.config.max_passage_words);
        if passages.is_empty() && !hits.is_empty() {
            let reason = format!(
                "no sentence of the best passage fits in `max_passage_words` = {}\nhint: raise it, or index smaller chunks",
                self.config.max_passage_words
            );
            return Err(slm_core::Error::model(&self.config.name, reason));
        }
        Ok(passages)
    }

    fn abstain(&self, response: &mut ChatResponse, on_text: OnText<'_>) {
        response.finish_reason = FinishReason::Abstained;
        // The only piece: whether the caller wants more does not matter.
        let _ = emit(response, &self.config.abstain_text, on_text);
    }

    fn deliver(&self, answer: &mut GroundedAnswer, on_text: OnText<'_>) {
        let GroundedAnswer { response, passages, sentences, .. } = answer;
        let mut numbers: Vec<usize> = Vec::new();
        for (n, sentence) in sentences.iter().enumerate() {
            let text = standing(sentences, n, self.config.unsupported);
            let said = match (sentence.supported, self.config.unsupported) {
                (true, _) => with_marks(&text, &sentence.passages, &mut numbers),
                (false, Unsupported::Flag) => format!("{text} {}", self.config.flag_text),
                (false, Unsupported::Remove | Unsupported::Abstain) => continue,
            };
            let before =
                if response.text.is_empty() { sentence.before.trim_start() } else { &sentence.before };
            response.citations =
                numbers.iter().filter_map(|&passage| passages.get(passage).cloned()).collect();
            if emit(response, &format!("{before}{said}"), on_text).is_break() {
                break;
            }
        }
    }
}

impl<M: LanguageModel> LanguageModel for GroundedModel<M> {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn stream(&self, request: &ChatRequest, on_text: OnText<'_>) -> slm_core::Result<ChatResponse> {
        self.stream_deltas(request, &mut |delta| on_text(delta.text()))
    }

    /// A request that forces the call of a tool goes to the model as it is: a call states nothing.
    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        if !request.tool_choice.is_auto() {
            return self.model.stream_deltas(request, on_delta);
        }
        self.answer(request, &mut |text| on_delta(Delta::Text(text))).map(|answer| answer.response)
    }
}
