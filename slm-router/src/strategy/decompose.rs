//! [`Decompose`]: part by part.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, ChatResponse, Citation, Delta, FinishReason, LanguageModel, OnDelta};

use super::{Spent, split_question, with_question};
use crate::router::deliver;
use crate::{Error, Result, SharedModel};

/// Who splits a question.
pub enum Planner {
    /// The rules of [`split_question`].
    Rules,
    /// A model, which is asked to write one step per line. Where it writes none, the question stays whole.
    Model(SharedModel),
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rules => f.write_str("Rules"),
            Self::Model(model) => write!(f, "Model({})", model.name()),
        }
    }
}

/// How [`Decompose`] asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecomposeConfig {
    /// Most steps; a plan of more is not followed, and the question is asked whole.
    pub max_steps: usize,
    /// What a planning model is told before the question.
    pub plan: String,
    /// What the composing model is told before the question and the answers.
    pub compose: String,
    /// What is said where no step has an answer.
    pub abstain_text: String,
}

impl Default for DecomposeConfig {
    fn default() -> Self {
        Self {
            max_steps: 5,
            plan: "Split the question into the simple questions that must be answered first, one per line, in order. \
                   Write #1 for the answer of the first, and so on. If it is simple already, repeat it."
                .to_owned(),
            compose: "Answer the question from these facts alone. If they do not suffice, say \"I don't know.\"".to_owned(),
            abstain_text: "I don't know.".to_owned(),
        }
    }
}

/// Splits a question, answers each part, and composes the answer (Press et al. 2022; Khot et al. 2022).
///
/// Put a model that retrieves around the parts, and each part is looked up by itself. The steps become the
/// [reasoning](ChatResponse::reasoning) of the response, their sources its citations. A part without an answer is told to
/// the composing model as unknown; where no part has one, the answer is withheld. A question of one step is passed on as it
/// is.
pub struct Decompose {
    planner: Planner,
    parts: SharedModel,
    composer: SharedModel,
    config: DecomposeConfig,
}

impl std::fmt::Debug for Decompose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompose")
            .field("planner", &self.planner)
            .field("parts", &self.parts.name())
            .field("composer", &self.composer.name())
            .field("config", &self.config)
            .finish()
    }
}

/// A step and what came of it.
struct Step {
    question: String,
    answer: Option<String>,
}

impl Decompose {
    /// The strategy with a model that answers the parts and one that composes.
    ///
    /// # Errors
    /// When fewer than two steps are allowed.
    pub fn new(
        planner: Planner,
        parts: impl LanguageModel + Send + Sync + 'static,
        composer: impl LanguageModel + Send + Sync + 'static,
        config: DecomposeConfig,
    ) -> Result<Self> {
        if config.max_steps < 2 {
            return Err(Error::config("max_steps", format!("expected at least 2, got {}", config.max_steps)));
        }
        Ok(Self { planner, parts: Box::new(parts), composer: Box::new(composer), config })
    }

    fn plan(&self, request: &ChatRequest, spent: &mut Spent) -> slm_core::Result<Vec<String>> {
        let question = request.last_user();
        let Planner::Model(model) = &self.planner else {
            return Ok(split_question(question));
        };
        let planned = model.chat(&ChatRequest {
            generation: request.generation.clone(),
            ..ChatRequest::question(format!("{}\n\nQuestion: {question}", self.config.plan))
        })?;
        spent.add(&planned);
        Ok(planned.text.lines().map(without_number).filter(|line| !line.is_empty()).collect())
    }

    /// The answers of the steps, each asked with those before it.
    fn follow(
        &self,
        request: &ChatRequest,
        plan: Vec<String>,
        spent: &mut Spent,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<Option<(Vec<Step>, Vec<Citation>)>> {
        let (mut steps, mut citations) = (Vec::<Step>::new(), Vec::new());
        for step in plan {
            if on_delta(Delta::Text("")).is_break() {
                return Ok(None);
            }
            let question = as_question(&with_answers(&step, &steps));
            // What a step calls would be lost.
            let asked = ChatRequest { tools: Vec::new(), ..with_question(request, question.clone()) };
            let response = self.parts.chat(&asked)?;
            spent.add(&response);
            let answer = (response.finish_reason != FinishReason::Abstained).then_some(response.text);
            citations.extend(response.citations);
            steps.push(Step { question, answer });
        }
        Ok(Some((steps, citations)))
    }
}

impl LanguageModel for Decompose {
    fn name(&self) -> &str {
        self.composer.name()
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        if !request.tool_choice.is_auto() {
            return self.parts.stream_deltas(request, on_delta);
        }
        let mut spent = Spent::default();
        let plan = self.plan(request, &mut spent)?;
        if plan.len() < 2 || plan.len() > self.config.max_steps {
            let response = self.parts.stream_deltas(request, on_delta)?;
            spent.add(&response);
            return Ok(spent.book(response));
        }
        let Some((steps, citations)) = self.follow(request, plan, &mut spent, on_delta)? else {
            let cancelled = ChatResponse::new("", self.name(), FinishReason::Cancelled, spent.usage);
            return Ok(spent.book(cancelled));
        };
        let reasoning = told(&steps);
        if steps.iter().all(|step| step.answer.is_none()) {
            let withheld = ChatResponse::abstained(self.name(), &self.config.abstain_text);
            return Ok(deliver(
                spent.book(ChatResponse { reasoning: Some(reasoning), ..withheld }),
                on_delta,
            ));
        }
        let question = format!("{}\n\n{reasoning}\nQuestion: {}", self.config.compose, request.last_user());
        let composed =
            self.composer.stream(&with_question(request, question), &mut |t| on_delta(Delta::Text(t)))?;
        spent.add(&composed);
        Ok(spent.book(ChatResponse { reasoning: Some(reasoning), citations, ..composed }))
    }
}

/// The steps, a line each.
fn told(steps: &[Step]) -> String {
    let mut text = String::new();
    for (n, step) in steps.iter().enumerate() {
        let answer = step.answer.as_deref().unwrap_or("unknown").trim();
        let _ = writeln!(text, "{}. {} {answer}", n + 1, step.question);
    }
    text
}

/// A step with the answers in place of their marks; an unknown one stays a mark, which no source will know.
fn with_answers(step: &str, steps: &[Step]) -> String {
    let mut text = step.to_owned();
    // The highest first: #1 is the beginning of #10.
    for (n, step) in steps.iter().enumerate().rev() {
        if let Some(answer) = &step.answer {
            text = text.replace(&format!("#{}", n + 1), answer.trim().trim_end_matches('.'));
        }
    }
    text
}

/// The description of a thing as a question for it.
fn as_question(step: &str) -> String {
    let step = step.trim().trim_end_matches(['?', '.']);
    let names_thing = ["the ", "a ", "an "].iter().any(|article| step.starts_with(article));
    if names_thing { format!("What is {step}?") } else { format!("{step}?") }
}

/// A line without the number or bullet before it.
fn without_number(line: &str) -> String {
    let line = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    match line.get(digits..).and_then(|rest| rest.strip_prefix(['.', ')', ':'])) {
        Some(rest) if digits > 0 => rest.trim().to_owned(),
        _ => line.to_owned(),
    }
}
