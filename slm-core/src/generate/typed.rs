//! Answers as values of a type.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::constraint::Constraint;
use crate::chat::{ChatRequest, FinishReason, LanguageModel};
use crate::{Error, Result};

/// Asks for an answer that is a `T` in JSON: the schema of `T` constrains the answer of a
/// [`LocalModel`](super::LocalModel), so what comes out always parses, unless it is cut short.
///
/// # Errors
/// When the model fails, the answer is cut by its token limit, or a model that heeds no constraint answers with
/// something else.
///
/// ```no_run
/// use slm_core::{ChatRequest, LocalModel, generate::generate_as};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Incident {
///     service: String,
///     exit_code: Option<i32>,
/// }
///
/// let model = LocalModel::load("Qwen3-0.6B".as_ref(), &burn::tensor::Device::flex())?;
/// let request = ChatRequest::question("Pod api-7f was killed with exit code 137.");
/// let incident: Incident = generate_as(&model, &request)?;
/// # Ok::<(), slm_core::Error>(())
/// ```
pub fn generate_as<T: DeserializeOwned + JsonSchema>(
    model: &dyn LanguageModel,
    request: &ChatRequest,
) -> Result<T> {
    let mut request = request.clone();
    request.generation.constraint = Some(Constraint::JsonSchema(schemars::schema_for!(T).to_value()));
    let answer = model.chat(&request)?;
    serde_json::from_str(&answer.text).map_err(|e| {
        let hint = match answer.finish_reason {
            FinishReason::Length => "\nhint: raise max_new_tokens; the answer was cut",
            _ => "",
        };
        Error::Answer { text: answer.text, reason: format!("{e}{hint}") }
    })
}
