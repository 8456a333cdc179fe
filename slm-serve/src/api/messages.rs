//! Turns of a conversation as clients send them.

use serde_json::Value;
use slm_core::{Message, Role};

use super::error::ApiError;

/// Reads the turns: contents may be lists of text parts, `developer` is `system`, and the result of a tool gets the
/// name of the call that it answers, which templates ask for.
pub(super) fn messages(values: Vec<Value>) -> Result<Vec<Message>, ApiError> {
    if values.is_empty() {
        return Err(ApiError::parameter("messages", "there is no message"));
    }
    let mut read: Vec<Message> = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let mut message = message(index, value)?;
        if message.role == Role::Tool && message.name.is_none() {
            let calls = read.iter().rev().flat_map(|m| &m.tool_calls);
            let answered = calls.filter(|c| Some(&c.id) == message.tool_call_id.as_ref());
            message.name = answered.map(|c| c.name.clone()).next();
        }
        read.push(message);
    }
    Ok(read)
}

fn message(index: usize, value: Value) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{index}]{field}");
    let Value::Object(mut fields) = value else {
        return Err(ApiError::parameter(&at(""), "expected an object with `role` and `content`"));
    };
    if fields.get("role").and_then(Value::as_str) == Some("developer") {
        fields.insert("role".into(), "system".into());
    }
    if let Some(Value::Array(parts)) = fields.get("content") {
        let texts = parts.iter().map(text_of).collect::<Result<Vec<_>, _>>();
        let text = texts.map_err(|e| ApiError::parameter(&at(".content"), e))?.concat();
        fields.insert("content".into(), text.into());
    }
    serde_json::from_value(Value::Object(fields)).map_err(|e| ApiError::parameter(&at(""), e.to_string()))
}

fn text_of(part: &Value) -> Result<&str, String> {
    match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text"), Some(text)) => Ok(text),
        (kind, _) => Err(format!("a part of type {kind:?}: this server reads text alone")),
    }
}
