//! Questions with one answer, and with a good and a bad one.

use serde_json::Value;

use super::{Record, chat};
use crate::{Message, Role};

/// Names of question and answer.
const PAIRS: [(&str, &str); 7] = [
    ("instruction", "output"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("query", "response"),
    ("nl", "cmd"),
];

/// The turns of a pair; `None` where the record has no known names.
pub(super) fn pair(record: &Record) -> Result<Option<Vec<Message>>, String> {
    let has = |name: &str| record.contains_key(name);
    let Some((ask, reply)) = PAIRS.into_iter().find(|(ask, reply)| has(ask) && has(reply)) else {
        return Ok(None);
    };
    let mut messages = question(record, ask)?;
    match record.get(reply) {
        Some(Value::String(text)) => messages.push(Message::new(Role::Assistant, text.as_str())),
        Some(Value::Array(_)) => messages.extend(chat::turns(&record[reply], reply)?),
        _ => return Err(format!("`{reply}` is not a text")),
    }
    Ok(Some(messages))
}

/// System and user turns: a text, with `system` before and `input` or `context` after it, or a list of turns.
fn question(record: &Record, ask: &str) -> Result<Vec<Message>, String> {
    let value = record.get(ask).unwrap_or(&Value::Null);
    if value.is_array() {
        return chat::turns(value, ask);
    }
    let mut text = value.as_str().ok_or_else(|| format!("`{ask}` is not a text"))?.to_owned();
    let input = ["input", "context"].into_iter().find(|name| record.get(*name).is_some_and(|v| !v.is_null()));
    if let Some(name) = input.filter(|_| ask == "instruction") {
        let input = record[name].as_str().ok_or_else(|| format!("`{name}` is not a text"))?;
        if !input.trim().is_empty() {
            text = if text.trim().is_empty() { input.to_owned() } else { format!("{text}\n\n{input}") };
        }
    }
    let mut messages = Vec::with_capacity(3);
    if let Some(Value::String(system)) = record.get("system").filter(|_| ask != "question")
        && !system.trim().is_empty()
    {
        messages.push(Message::new(Role::System, system.as_str()));
    }
    messages.push(Message::new(Role::User, text));
    Ok(messages)
}

/// The turns before the answers, the good answer and the bad one.
///
/// The turns are those of `prompt` (or another name of a question) or of a conversation. Where there is
/// neither, both sides are whole conversations that differ in the last turn, as lists or as the
/// `Human:`/`Assistant:` text of Anthropic's sets.
pub(super) fn preference(record: &Record) -> Result<(Vec<Message>, String, String), String> {
    let (mut good, mut bad) = (side(record, "chosen")?, side(record, "rejected")?);
    let (Some(chosen), Some(rejected)) = (good.pop(), bad.pop()) else {
        return Err("`chosen` or `rejected` is empty".to_owned());
    };
    if chosen.role != Role::Assistant || rejected.role != Role::Assistant {
        return Err("`chosen` or `rejected` does not end with an answer".to_owned());
    }
    let ask = ["prompt", "instruction", "question", "query"].into_iter().find(|n| record.contains_key(*n));
    let prompt = match (chat::conversation(record), ask) {
        (Some(messages), _) => messages?,
        // Lists often repeat the prompt, with a system turn that the field lacks.
        (None, Some(_)) if !good.is_empty() && good == bad => good,
        (None, Some(ask)) => question(record, ask)?,
        (None, None) if good.is_empty() => {
            return Err("no `prompt` beside `chosen` and `rejected`".to_owned());
        }
        (None, None) if good != bad => {
            return Err("`chosen` and `rejected` answer different turns".to_owned());
        }
        (None, None) => good,
    };
    Ok((prompt, chosen.content, rejected.content))
}

/// A text, one turn, or a list of turns.
fn side(record: &Record, name: &str) -> Result<Vec<Message>, String> {
    match record.get(name) {
        Some(Value::String(text)) => Ok(dialogue(text)),
        Some(list @ Value::Array(_)) => chat::turns(list, name),
        Some(one @ Value::Object(_)) => Ok(vec![chat::turn(one)?]),
        _ => Err(format!("`{name}` is neither a text nor a conversation")),
    }
}

/// The turns of a text with `Human:` and `Assistant:` at the start of paragraphs; any other text is one answer.
fn dialogue(text: &str) -> Vec<Message> {
    const SPEAKERS: [(&str, Role); 2] = [("\n\nHuman:", Role::User), ("\n\nAssistant:", Role::Assistant)];
    if !text.starts_with(SPEAKERS[0].0) {
        return vec![Message::new(Role::Assistant, text)];
    }
    let mut marks: Vec<(usize, usize, Role)> = SPEAKERS
        .iter()
        .flat_map(|(mark, role)| text.match_indices(mark).map(move |(at, _)| (at, at + mark.len(), *role)))
        .collect();
    marks.sort_by_key(|(at, ..)| *at);
    let ends = marks.iter().skip(1).map(|(at, ..)| *at).chain([text.len()]);
    marks
        .iter()
        .zip(ends)
        .map(|((_, start, role), end)| Message::new(*role, text[*start..end].trim()))
        .collect()
}
