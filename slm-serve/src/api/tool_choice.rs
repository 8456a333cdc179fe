//! `tool_choice`: which tool has to be called.

use serde_json::Value;
use slm_core::ToolChoice;

use super::error::ApiError;

/// Reads `tool_choice`, as a word or as `{"type": "function", "function": {"name": ..}}`. With `none`, the request keeps
/// none of its `tools`.
pub(super) fn read(choice: Option<&Value>, tools: &mut Vec<Value>) -> Result<ToolChoice, ApiError> {
    let Some(choice) = choice else { return Ok(ToolChoice::Auto) };
    let chosen = match (choice.as_str(), choice["function"]["name"].as_str()) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("none"), _) => {
            tools.clear();
            ToolChoice::Auto
        }
        (Some("required"), _) => ToolChoice::Required,
        (None, Some(name)) if choice["type"] == "function" => ToolChoice::Function(name.to_owned()),
        _ => {
            let expected =
                "`auto`, `none`, `required` or {\"type\": \"function\", \"function\": {\"name\": ..}}";
            return Err(refused(format!("{choice} is none of {expected}")));
        }
    };
    let is_there = match &chosen {
        ToolChoice::Required => !tools.is_empty(),
        ToolChoice::Function(name) => tools.iter().any(|tool| tool["function"]["name"] == name.as_str()),
        _ => true,
    };
    if is_there { Ok(chosen) } else { Err(refused("there is no such tool in `tools`")) }
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::parameter("tool_choice", message)
}
