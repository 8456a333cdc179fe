//! Constraints on the answers of models that think first.

use serde_json::json;
use slm_core::generate::Constraint;
use slm_core::text::ReasoningTags;
use slm_core::{ChatRequest, ChatTemplate};

use super::error::ApiError;
use crate::registry::Entry;

/// Where the prompt of a chat ends inside the model's thoughts, its constraint holds for what comes behind them. One that
/// is a regular expression or the client's own grammar holds for all of the text.
pub(super) fn behind_thoughts(request: &mut ChatRequest, entry: &Entry) -> Result<(), ApiError> {
    let Some(engine) = entry.engine.as_ref().filter(|_| request.generation.constraint.is_some()) else {
        return Ok(());
    };
    let source = engine.local().template.as_ref().map_or("", ChatTemplate::source);
    let Some(tags) = ReasoningTags::detect(source) else { return Ok(()) };
    if !tags.opened_by(&engine.local().prompt(request)?) {
        return Ok(());
    }
    let thoughts = format!("thoughts[lazy]: /(.|\\n)*{}\\s*/\n", escaped(&tags.close));
    let behind = match request.generation.constraint.take() {
        Some(Constraint::JsonObject) => of_json(&thoughts, &json!({"type": "object"})),
        Some(Constraint::JsonSchema(schema)) => of_json(&thoughts, &schema),
        Some(Constraint::Grammar(lark)) if lark.starts_with(CALL) => {
            Constraint::Grammar(lark.replacen(CALL, "start: thoughts call\ncall: ", 1) + &thoughts)
        }
        Some(other) => other,
        None => return Ok(()),
    };
    request.generation.constraint = Some(behind);
    Ok(())
}

/// How the grammar of a forced call begins.
pub(super) const CALL: &str = "start: call\ncall: ";

fn of_json(thoughts: &str, schema: &serde_json::Value) -> Constraint {
    Constraint::Grammar(format!("start: thoughts answer\n{thoughts}answer: {}\n", of_schema(schema.clone())))
}

/// JSON of a schema, in llguidance's variant of the Lark syntax. Any amount of space may stand in JSON, and a small model
/// may never stop writing it.
pub(super) fn of_schema(mut schema: serde_json::Value) -> String {
    if let serde_json::Value::Object(fields) = &mut schema {
        fields.entry("x-guidance").or_insert_with(|| json!({"whitespace_pattern": r" |\n[ \t]{0,16}"}));
    }
    format!("%json {schema}")
}

/// A text in a regular expression between slashes.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| [r"\/.+*?()|[]{}^$".contains(c).then_some('\\'), Some(c)]).flatten().collect()
}
