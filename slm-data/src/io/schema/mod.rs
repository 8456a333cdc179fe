//! Which schema a record has, and the row that it is.
//!
//! Recognised, in this order: preference pairs (`chosen` and `rejected`), judged answers (`label` beside a
//! conversation), conversations (`messages` of OpenAI, `conversations` of ShareGPT, with tool calls), pairs
//! (alpaca, prompt and completion, question and answer), and raw text.

mod chat;
mod pairs;
mod write;

use serde_json::{Map, Value};

use crate::{Document, Example, Feedback, Preference, Row};

pub use write::Layout;
pub(super) use write::to_record;

/// A record by its keys.
type Record = Map<String, Value>;

/// The row of a record, or why there is none.
pub(super) fn to_row(value: Value, default_source: impl Fn() -> String) -> Result<Row, String> {
    let Value::Object(record) = value else {
        return Err("not a JSON object".to_owned());
    };
    let label_of = Labels::of(&record, default_source)?;
    if record.contains_key("chosen") && record.contains_key("rejected") {
        let (prompt, chosen, rejected) = pairs::preference(&record)?;
        let Labels { source, group, licence } = label_of;
        return Ok(Row::Preference(Preference { prompt, chosen, rejected, source, group, licence }));
    }
    let messages = match chat::conversation(&record) {
        Some(messages) => Some(messages?),
        None => pairs::pair(&record)?,
    };
    let Labels { source, group, licence } = label_of;
    if let Some(messages) = messages {
        let example = Example { messages, source, group, licence };
        return Ok(match judgement(&record)? {
            Some(label) => Row::Feedback(Feedback { example, label }),
            None => Row::Conversation(example),
        });
    }
    match record.get("text").or_else(|| record.get("content")) {
        Some(Value::String(text)) => {
            let id = label(&record, "id")?.or(label(&record, "path")?);
            Ok(Row::Document(Document { id: id.unwrap_or(source), text: text.clone() }))
        }
        _ => Err(format!("no known schema in the keys [{}]", keys(&record))),
    }
}

pub(super) fn keys(record: &Record) -> String {
    record.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Where a row comes from.
#[derive(Debug)]
struct Labels {
    source: String,
    group: Option<String>,
    licence: Option<String>,
}

impl Labels {
    fn of(record: &Record, default_source: impl Fn() -> String) -> Result<Self, String> {
        let source = label(record, "source")?.filter(|source| !source.is_empty());
        Ok(Self {
            source: source.unwrap_or_else(default_source),
            group: label(record, "group")?.filter(|group| !group.is_empty()),
            licence: label(record, "licence")?.or(label(record, "license")?).filter(|name| !name.is_empty()),
        })
    }
}

/// Whether an answer is desirable: `label` or `kto_tag`, a truth value or one as CSV writes it.
fn judgement(record: &Record) -> Result<Option<bool>, String> {
    let Some((name, value)) = ["kto_tag", "label"].into_iter().find_map(|n| Some((n, record.get(n)?))) else {
        return Ok(None);
    };
    match value {
        Value::Bool(label) => Ok(Some(*label)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        // Labels of classes are nothing to learn from here.
        Value::Null | Value::String(_) | Value::Number(_) if name == "label" => Ok(None),
        _ => Err(format!("`{name}` is neither true nor false")),
    }
}

/// A text or a number, as text.
fn label(record: &Record, name: &str) -> Result<Option<String>, String> {
    match record.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("`{name}` is neither a text nor a number")),
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
