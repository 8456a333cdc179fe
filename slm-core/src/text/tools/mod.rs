//! Calls of tools in what a model writes.

mod formats;

use serde_json::Value as Json;

use super::reasoning::partial_end;
use crate::chat::ToolCall;
use crate::{Error, Result};

/// How a family of models writes its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolCallFormat {
    /// `<tool_call>{"name": .., "arguments": ..}</tool_call>`, once per call: Hermes, Qwen 2.5, Qwen3.
    Hermes,
    /// `<tool_call><function=NAME><parameter=KEY>..</parameter></function></tool_call>`: Qwen3-Coder.
    QwenXml,
    /// `{"name": .., "parameters": ..}` as the whole answer, or after `<|python_tag|>`: Llama 3.1 to 3.3.
    Llama3Json,
    /// `[TOOL_CALLS][{"name": .., "arguments": ..}]`, or `[TOOL_CALLS]NAME[ARGS]{..}`: Mistral.
    Mistral,
    /// `<function=NAME>{..}</function>`: Functionary 3.1.
    FunctionTags,
    /// `>>>NAME`, a line end and the arguments; `>>>all` is text: Functionary 3.2.
    Recipients,
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME` and the arguments in a fence of JSON: DeepSeek.
    DeepSeek,
    /// `functools[{"name": .., "arguments": ..}]`: FireFunction.
    Functools,
    /// `<|tool_call|>[{"name": .., "arguments": ..}]<|/tool_call|>`: Phi-4-mini.
    Phi4,
    /// `Action:` and a fence of JSON with `tool_name` and `parameters`: Command-R.
    CommandR,
    /// `<|START_ACTION|>[..]<|END_ACTION|>` with `tool_name` and `parameters`: Command-R7B.
    CommandR7b,
}

/// What a model wrote, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedCalls {
    /// The text around the calls, without white space at its ends.
    pub content: String,
    /// The calls, in order.
    pub calls: Vec<ToolCall>,
}

impl ToolCallFormat {
    /// The format that a chat template teaches; `None` for one that knows no calls.
    pub fn detect(template: &str) -> Option<Self> {
        use ToolCallFormat as F;
        let has = |text: &str| template.contains(text);
        let hints: [(bool, Self); 12] = [
            (has("<tool_call>") && has("<parameter="), F::QwenXml),
            (has("<tool_call>"), F::Hermes),
            (has("[TOOL_CALLS]"), F::Mistral),
            (has("tool▁call"), F::DeepSeek),
            (has("functools["), F::Functools),
            (has("<function="), F::FunctionTags),
            (has(">>>all") || has(">>>' + "), F::Recipients),
            (has("<|START_ACTION|>"), F::CommandR7b),
            (has("<|tool_call|>") || has("<|/tool|>"), F::Phi4),
            (has("Action:") && has("tool_name"), F::CommandR),
            (has("<|python_tag|>"), F::Llama3Json),
            (has("tool_calls") && has("parameters"), F::Llama3Json),
        ];
        hints.into_iter().find(|(hit, _)| *hit).map(|(_, format)| format)
    }

    /// What calls begin with in this format.
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Hermes | Self::QwenXml => &["<tool_call>"],
            Self::Llama3Json => &["<|python_tag|>", "{\"name\"", "{\"type\""],
            Self::Mistral => &["[TOOL_CALLS]", "[{\"name\""],
            Self::FunctionTags => &["<function=", "<|python_tag|>"],
            Self::Recipients => &[">>>"],
            Self::DeepSeek => &["<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁calls|>"],
            Self::Functools => &["functools["],
            Self::Phi4 => &["<|tool_call|>", "[{\"name\""],
            Self::CommandR => &["Action:"],
            Self::CommandR7b => &["<|START_ACTION|>"],
        }
    }

    /// The byte from which `text`, as far as it is written, is a call or may become one: what is before can be shown.
    pub fn hold_from(self, text: &str) -> usize {
        // The prompt ends with the first marker: whom an answer is for is known only at its end.
        if self == Self::Recipients {
            return 0;
        }
        let whole = self.markers().iter().filter_map(|m| text.find(m)).min();
        whole.unwrap_or_else(|| {
            let longest = self.markers().iter().map(|m| partial_end(text, m)).max();
            text.len() - longest.unwrap_or(0)
        })
    }
}

/// Takes the calls out of a whole answer.
///
/// # Errors
/// When something begins as a call and is not one: the JSON is malformed, or a name is missing.
pub fn parse_tool_calls(text: &str, format: ToolCallFormat) -> Result<ParsedCalls> {
    let parsed = formats::parse(text, format);
    let mut parsed = parsed.map_err(|reason| Error::ToolCall { text: text.into(), reason })?;
    parsed.content = parsed.content.trim().to_owned();
    Ok(parsed)
}

/// A call as JSON, under the names that the formats use.
fn call_of(value: &Json) -> Result<ToolCall, String> {
    let inner = if value["function"].is_object() { &value["function"] } else { value };
    let first = |names: &[&str], of: &Json| names.iter().find_map(|name| of.get(*name).cloned());
    let name = match first(&["name", "tool_name", "function"], inner) {
        Some(Json::String(name)) if !name.is_empty() => name,
        _ => return Err(format!("a call without a name: {value}")),
    };
    let arguments = match first(&["arguments", "parameters", "args"], inner) {
        Some(Json::String(text)) if text.trim().is_empty() => Json::Object(serde_json::Map::new()),
        Some(Json::String(text)) => {
            serde_json::from_str(&text).map_err(|e| format!("the arguments of `{name}` are not JSON: {e}"))?
        }
        Some(Json::Null) | None => Json::Object(serde_json::Map::new()),
        Some(other) => other,
    };
    let id = match first(&["id", "tool_call_id", "call_id"], value) {
        Some(Json::String(id)) => id,
        Some(Json::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    Ok(ToolCall { id, name, arguments })
}
