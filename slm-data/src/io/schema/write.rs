//! Rows as records, in the schema that a trainer wants.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Record;
use crate::{Example, Message, Role, Row};

/// The schema of conversations that are written.
///
/// Preference pairs are always `prompt`, `chosen` and `rejected`, with lists of turns; judged answers have a
/// `label` beside the conversation; raw text is `id` and `text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layout {
    /// `messages` with `role` and `content` (OpenAI).
    #[default]
    Messages,
    /// `conversations` with `from` and `value`.
    ShareGpt,
    /// `instruction`, `input` (empty), `output`, and `system` where there is one.
    Alpaca,
    /// `prompt` and `completion`.
    PromptCompletion,
}

/// The record of a row, with `source`, `group` and `licence` last, `null` where they are not known.
pub(in crate::io) fn to_record(row: &Row, layout: Layout) -> Result<Record, String> {
    let mut record = Map::new();
    match row {
        Row::Conversation(example) => conversation(example, layout, &mut record)?,
        Row::Feedback(feedback) => {
            conversation(&feedback.example, layout, &mut record)?;
            record.insert("label".to_owned(), Value::Bool(feedback.label));
        }
        Row::Preference(pair) => {
            let answer = |text: &str| json!([{"role": "assistant", "content": text}]);
            record.insert("prompt".to_owned(), messages(&pair.prompt));
            record.insert("chosen".to_owned(), answer(&pair.chosen));
            record.insert("rejected".to_owned(), answer(&pair.rejected));
            labels(&mut record, &pair.source, pair.group.as_deref(), pair.licence.as_deref());
        }
        Row::Document(document) => {
            record.insert("id".to_owned(), document.id.as_str().into());
            record.insert("text".to_owned(), document.text.as_str().into());
        }
    }
    Ok(record)
}

fn conversation(example: &Example, layout: Layout, record: &mut Record) -> Result<(), String> {
    match layout {
        Layout::Messages => {
            record.insert("messages".to_owned(), messages(&example.messages));
        }
        Layout::ShareGpt => {
            let turn = |m: &Message| json!({"from": sharegpt(m.role), "value": m.content});
            record.insert("conversations".to_owned(), example.messages.iter().map(turn).collect());
        }
        Layout::Alpaca | Layout::PromptCompletion => {
            let (system, question, answer) = single(&example.messages)?;
            let mut text = |name: &str, text: &str| record.insert(name.to_owned(), text.into());
            if layout == Layout::Alpaca {
                text("instruction", question);
                text("input", "");
                text("output", answer);
                text("system", system);
            } else if system.is_empty() {
                text("prompt", question);
                text("completion", answer);
            } else {
                return Err("prompt and completion have no place for a system turn".to_owned());
            }
        }
    }
    labels(record, &example.source, example.group.as_deref(), example.licence.as_deref());
    Ok(())
}

fn labels(record: &mut Record, source: &str, group: Option<&str>, licence: Option<&str>) {
    record.insert("source".to_owned(), source.into());
    record.insert("group".to_owned(), group.into());
    record.insert("licence".to_owned(), licence.into());
}

fn messages(messages: &[Message]) -> Value {
    messages.iter().map(|m| json!({"role": m.role, "content": m.content})).collect()
}

fn sharegpt(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "human",
        Role::Assistant => "gpt",
        Role::Tool => "observation",
    }
}

/// System text, question and answer of a conversation with one of each.
fn single(messages: &[Message]) -> Result<(&str, &str, &str), String> {
    let (system, rest) = match messages {
        [first, rest @ ..] if first.role == Role::System => (first.content.as_str(), rest),
        rest => ("", rest),
    };
    match rest {
        [ask, reply] if ask.role == Role::User && reply.role == Role::Assistant => {
            Ok((system, &ask.content, &reply.content))
        }
        _ => Err(format!("{} turns do not fit into one question and one answer", rest.len())),
    }
}
