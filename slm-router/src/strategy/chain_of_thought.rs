//! [`ChainOfThought`]: think first, then answer.

use slm_core::{ChatRequest, ChatResponse, LanguageModel, OnDelta};

use super::with_question;
use crate::SharedModel;
use crate::router::deliver;

/// Asks a model to think step by step and to mark its answer (Wei et al. 2022; Kojima et al. 2022).
///
/// The text of the response is what follows the last mark; what comes before it becomes the
/// [reasoning](ChatResponse::reasoning). An answer without a mark stays whole.
pub struct ChainOfThought {
    model: SharedModel,
    instruction: String,
    mark: String,
}

impl std::fmt::Debug for ChainOfThought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainOfThought").field("model", &self.model.name()).finish_non_exhaustive()
    }
}

impl ChainOfThought {
    /// The strategy around `model`, with instructions in English.
    pub fn new(model: impl LanguageModel + Send + Sync + 'static) -> Self {
        let instruction = "Think step by step. Then write the final answer alone on a last line that begins with \"Answer:\".";
        Self { model: Box::new(model), instruction: instruction.to_owned(), mark: "Answer:".to_owned() }
    }

    /// The same with another instruction, which asks for `mark` before the answer.
    #[must_use]
    pub fn with_instruction(self, instruction: impl Into<String>, mark: impl Into<String>) -> Self {
        Self { instruction: instruction.into(), mark: mark.into(), ..self }
    }
}

impl LanguageModel for ChainOfThought {
    fn name(&self) -> &str {
        self.model.name()
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        if !request.tool_choice.is_auto() {
            return self.model.stream_deltas(request, on_delta);
        }
        let asked = with_question(request, format!("{}\n\n{}", request.last_user(), self.instruction));
        let mut response = self.model.chat(&asked)?;
        if let Some((thoughts, answer)) = response.text.rsplit_once(&self.mark) {
            let answer = answer.trim_matches(|c: char| c.is_whitespace() || c == '*').to_owned();
            let before =
                response.reasoning.take().map_or_else(String::new, |reasoning| format!("{reasoning}\n"));
            response.reasoning = Some(format!("{before}{}", thoughts.trim()));
            response.text = answer;
        }
        Ok(deliver(response, on_delta))
    }
}
