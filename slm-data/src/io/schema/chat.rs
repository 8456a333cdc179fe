//! Conversations: `messages` of OpenAI and `conversations` of ShareGPT.
//!
//! Tool calls are text here, in the form that Hermes and Qwen models learn: a `<tool_call>` element with the
//! name and arguments as JSON in the assistant's turn, a `tool` turn with the result, and the definitions in
//! `<tools>` at the end of the system turn.

use serde_json::{Value, json};

use super::Record;
use crate::{Message, Role};

/// The turns of a record with `messages` or `conversations`; `None` where it has neither.
pub(super) fn conversation(record: &Record) -> Option<Result<Vec<Message>, String>> {
    let name = ["messages", "conversations", "conversation"].into_iter().find(|n| record.contains_key(*n))?;
    Some(with_tools(record, name))
}

fn with_tools(record: &Record, name: &str) -> Result<Vec<Message>, String> {
    let mut messages = turns(record.get(name).unwrap_or(&Value::Null), name)?;
    if let Some(Value::String(system)) = record.get("system").filter(|_| messages[0].role != Role::System)
        && !system.trim().is_empty()
    {
        messages.insert(0, Message::new(Role::System, system.as_str()));
    }
    let tools = definitions(record.get("tools").or_else(|| record.get("functions")))?;
    if !tools.is_empty() {
        let text = format!("<tools>\n{}\n</tools>", tools.join("\n"));
        match messages.first_mut().filter(|first| first.role == Role::System) {
            Some(system) => system.content = format!("{}\n\n{text}", system.content),
            None => messages.insert(0, Message::new(Role::System, text)),
        }
    }
    Ok(messages)
}

/// The turns of a list of messages, at least one.
pub(super) fn turns(value: &Value, name: &str) -> Result<Vec<Message>, String> {
    let list = value.as_array().ok_or_else(|| format!("`{name}` is not a list"))?;
    if list.is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    list.iter().map(turn).collect()
}

/// A turn with `role` and `content`, or with `from` and `value`.
pub(super) fn turn(value: &Value) -> Result<Message, String> {
    let (who, what) = if value.get("from").is_some() { ("from", "value") } else { ("role", "content") };
    let speaker = value.get(who).and_then(Value::as_str);
    let speaker = speaker.ok_or_else(|| format!("a message has no text `{who}`"))?;
    let (role, call) = match speaker {
        "system" | "developer" => (Role::System, false),
        "user" | "human" => (Role::User, false),
        "assistant" | "gpt" | "chatgpt" | "model" | "bot" => (Role::Assistant, false),
        "function_call" | "tool_call" => (Role::Assistant, true),
        "tool" | "function" | "observation" | "tool_response" => (Role::Tool, false),
        other => return Err(format!("role `{other}` is not system, user, assistant or tool")),
    };
    let mut parts = calls(value)?;
    let text = content(value.get(what)).ok_or_else(|| format!("a message has no text `{what}`"));
    match text {
        Ok(text) if call => parts.push(element(text.trim())),
        Ok(text) if parts.is_empty() => parts.push(text),
        Ok(text) if !text.is_empty() => parts.insert(0, text),
        Err(reason) if parts.is_empty() => return Err(reason),
        Ok(_) | Err(_) => {}
    }
    Ok(Message::new(role, parts.join("\n")))
}

/// A text, or the texts of OpenAI's parts.
fn content(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) if !parts.is_empty() => parts
            .iter()
            .map(|part| part.get("text")?.as_str())
            .collect::<Option<Vec<_>>>()
            .map(|t| t.concat()),
        _ => None,
    }
}

/// The calls of an assistant's turn, each as an element.
fn calls(message: &Value) -> Result<Vec<String>, String> {
    let single = message.get("function_call").filter(|call| call.is_object());
    let many = message.get("tool_calls").and_then(Value::as_array);
    let all = many.into_iter().flatten().map(|call| call.get("function").unwrap_or(call)).chain(single);
    all.map(|function| {
        let name = function.get("name").and_then(Value::as_str).ok_or("a tool call has no `name`")?;
        let arguments = match function.get("arguments") {
            // OpenAI sends arguments as JSON within a text.
            Some(Value::String(text)) => {
                serde_json::from_str(text).map_err(|error| format!("arguments of `{name}`: {error}"))?
            }
            Some(value) => value.clone(),
            None => json!({}),
        };
        Ok(element(&json!({"name": name, "arguments": arguments}).to_string()))
    })
    .collect()
}

fn element(call: &str) -> String {
    format!("<tool_call>\n{call}\n</tool_call>")
}

/// Definitions of tools, one JSON each; a text that holds the list as JSON is one too.
fn definitions(value: Option<&Value>) -> Result<Vec<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(tools)) => Ok(tools.iter().map(Value::to_string).collect()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => {
            let tools: Value = serde_json::from_str(text).map_err(|error| format!("`tools`: {error}"))?;
            if tools.is_string() {
                Err("`tools` is not a list".to_owned())
            } else {
                definitions(Some(&tools))
            }
        }
        Some(tool @ Value::Object(_)) => Ok(vec![tool.to_string()]),
        Some(_) => Err("`tools` is not a list".to_owned()),
    }
}
