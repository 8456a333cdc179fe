//! `tool_choice`: which tool has to be called, and the grammar that makes the model call it.

use serde_json::{Value, json};
use slm_core::generate::Constraint;
use slm_core::text::ToolCallFormat;
use slm_core::{ChatTemplate, LocalModel};

use super::error::ApiError;
use super::thoughts::{CALL, of_schema};
use crate::registry::Entry;

/// What a request says about the use of its tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToolChoice {
    /// The model chooses.
    Auto,
    /// It has none.
    None,
    /// It calls any of them.
    Required,
    /// It calls the one of this name.
    Function(String),
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::parameter("tool_choice", message)
}

impl ToolChoice {
    /// Reads `tool_choice`, as a word or as `{"type": "function", "function": {"name": ..}}`.
    pub(super) fn read(choice: Option<&Value>) -> Result<Self, ApiError> {
        let Some(choice) = choice else { return Ok(Self::Auto) };
        match (choice.as_str(), choice["function"]["name"].as_str()) {
            (Some("auto"), _) => Ok(Self::Auto),
            (Some("none"), _) => Ok(Self::None),
            (Some("required"), _) => Ok(Self::Required),
            (None, Some(name)) if choice["type"] == "function" => Ok(Self::Function(name.to_owned())),
            _ => {
                let expected =
                    "`auto`, `none`, `required` or {\"type\": \"function\", \"function\": {\"name\": ..}}";
                Err(refused(format!("{choice} is none of {expected}")))
            }
        }
    }

    /// The grammar of exactly one call of a tool that may be called, as `entry` writes it; `None` where the model
    /// chooses itself.
    pub(super) fn constraint(&self, tools: &[Value], entry: &Entry) -> Result<Option<Constraint>, ApiError> {
        let called: Vec<&Value> = match self {
            Self::Auto | Self::None => return Ok(None),
            Self::Required => tools.iter().collect(),
            Self::Function(name) => {
                tools.iter().filter(|tool| tool["function"]["name"] == name.as_str()).collect()
            }
        };
        if called.is_empty() {
            return Err(refused("there is no such tool in `tools`"));
        }
        let Some(engine) = &entry.engine else {
            let message = format!("`{}` is no single local model, and chooses itself (`auto`)", entry.name);
            return Err(refused(message));
        };
        let source = engine.local().template.as_ref().map_or("", ChatTemplate::source);
        let Some(format) = ToolCallFormat::detect(source) else {
            return Err(refused(format!("the chat template of `{}` knows no calls of tools", entry.name)));
        };
        Ok(Some(Constraint::Grammar(grammar(format, source, &called, engine.local())?)))
    }
}

/// One call, in llguidance's variant of the Lark syntax.
fn grammar(
    format: ToolCallFormat,
    source: &str,
    tools: &[&Value],
    model: &LocalModel,
) -> Result<String, ApiError> {
    let calls: Vec<String> = (0..tools.len()).map(|i| format!("call_{i}")).collect();
    let mut lark = format!("{CALL}{}\n", calls.join(" | "));
    for (index, tool) in tools.iter().enumerate() {
        let function = &tool["function"];
        let Some(name) = function["name"].as_str() else {
            return Err(ApiError::parameter("tools", "a tool without `function.name`"));
        };
        let schema = match &function["parameters"] {
            Value::Null => json!({"type": "object"}),
            schema => schema.clone(),
        };
        if format == ToolCallFormat::QwenXml {
            lark += &tagged_call(index, name, &schema, model);
            continue;
        }
        let (before, after) = around(format, source, name);
        let (before, after) = (literal(&before, model), literal(after, model));
        lark +=
            &format!("call_{index}: {before} args_{index} {after}\nargs_{index}: {}\n", of_schema(schema));
    }
    Ok(lark)
}

/// What stands before and behind the arguments of a call.
fn around(format: ToolCallFormat, source: &str, name: &str) -> (String, &'static str) {
    use ToolCallFormat as F;
    let quoted = Value::from(name);
    let object = format!("{{\"name\": {quoted}, \"arguments\": ");
    match format {
        F::Llama3Json => (format!("{{\"name\": {quoted}, \"parameters\": "), "}"),
        F::Mistral if source.contains("[ARGS]") => (format!("[TOOL_CALLS]{name}[ARGS]"), ""),
        F::Mistral => (format!("[TOOL_CALLS][{object}"), "}]"),
        F::FunctionTags => (format!("<function={name}>"), "</function>"),
        F::Recipients => (format!("{name}\n"), ""),
        F::DeepSeek if source.contains("```json") => {
            let begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>";
            (format!("{begin}{name}\n```json\n"), "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>")
        }
        F::DeepSeek => (
            format!("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{name}<｜tool▁sep｜>"),
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        F::Functools => (format!("functools[{object}"), "}]"),
        F::Phi4 => (format!("<|tool_call|>[{object}"), "}]<|/tool_call|>"),
        F::CommandR => (format!("Action: ```json\n[{{\"tool_name\": {quoted}, \"parameters\": "), "}]\n```"),
        F::CommandR7b => {
            let begin = "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": ";
            (format!("{begin}{quoted}, \"parameters\": "), "}]<|END_ACTION|>")
        }
        // The tags that most templates teach.
        _ => (format!("<tool_call>\n{object}"), "}\n</tool_call>"),
    }
}

/// A call of Qwen3-Coder: each argument between tags, a text as it is and all else as JSON.
fn tagged_call(index: usize, name: &str, schema: &Value, model: &LocalModel) -> String {
    let begin = literal(&format!("<tool_call>\n<function={name}>\n"), model);
    let end = literal("</function>\n</tool_call>", model);
    let required = |key: &str| schema["required"].as_array().is_some_and(|all| all.contains(&key.into()));
    let (mut parts, mut rules) = (String::new(), String::new());
    for (n, (key, of)) in schema["properties"].as_object().into_iter().flatten().enumerate() {
        parts += &format!(" part_{index}_{n}{}", if required(key) { "" } else { "?" });
        let value = tagged_value(of);
        let tag = literal(&format!("<parameter={key}>\n"), model);
        rules += &format!("part_{index}_{n}: {tag} value_{index}_{n} \"\\n</parameter>\\n\"\n");
        rules += &format!("value_{index}_{n}: {value}\n");
    }
    format!("call_{index}: {begin}{parts} {end}\n{rules}")
}

/// An argument between tags.
fn tagged_value(schema: &Value) -> String {
    if schema["type"] != "string" {
        return of_schema(schema.clone());
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    let most = schema["maxLength"].as_u64().map_or_else(|| "*".to_owned(), |most| format!("{{0,{most}}}"));
    format!("/([^<]|<[^\\/]){most}/")
}

/// A text in Lark, with special tokens by their ids.
fn literal(text: &str, model: &LocalModel) -> String {
    let added = model.tokenizer.as_inner().get_added_tokens_decoder();
    let special: Vec<(u32, &str)> =
        added.iter().filter(|(_, t)| t.special).map(|(id, t)| (*id, t.content.as_str())).collect();
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let first = special
            .iter()
            .filter_map(|(id, content)| Some((rest.find(content)?, *id, content.len())))
            .filter(|(_, _, length)| *length > 0)
            .min_by_key(|(at, _, length)| (*at, usize::MAX - length));
        let (at, token) = first.map_or((rest.len(), None), |(at, id, length)| (at, Some((id, length))));
        if at > 0 {
            parts.push(Value::from(&rest[..at]).to_string());
        }
        rest = &rest[at..];
        if let Some((id, length)) = token {
            parts.push(format!("<[{id}]>"));
            rest = &rest[length..];
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use slm_core::text::parse_tool_calls;

    use super::*;

    const FORMATS: [(ToolCallFormat, &str); 12] = [
        (ToolCallFormat::Hermes, ""),
        (ToolCallFormat::Llama3Json, ""),
        (ToolCallFormat::Mistral, ""),
        (ToolCallFormat::Mistral, "[ARGS]"),
        (ToolCallFormat::FunctionTags, ""),
        (ToolCallFormat::Recipients, ""),
        (ToolCallFormat::DeepSeek, "```json"),
        (ToolCallFormat::DeepSeek, ""),
        (ToolCallFormat::Functools, ""),
        (ToolCallFormat::Phi4, ""),
        (ToolCallFormat::CommandR, ""),
        (ToolCallFormat::CommandR7b, ""),
    ];

    #[test]
    fn what_is_around_the_arguments_is_read_as_a_call() {
        for (format, source) in FORMATS {
            let (before, after) = around(format, source, "look_up");
            let text = format!("{before}{{\"word\": \"a b\"}}{after}");
            let parsed = parse_tool_calls(&text, format).expect("a call");
            assert_eq!(parsed.calls.len(), 1, "{format:?}: {text}");
            assert_eq!(
                (parsed.calls[0].name.as_str(), parsed.content.as_str()),
                ("look_up", ""),
                "{format:?}"
            );
            assert_eq!(parsed.calls[0].arguments, json!({"word": "a b"}), "{format:?}");
        }
    }

    #[test]
    fn special_tokens_stand_by_their_ids() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/base");
        let model = LocalModel::load(&base, &Device::default()).expect("the base loads");
        let end = model.eos[0];
        assert_eq!(literal("a\n<|end|>\"b\"", &model), format!("\"a\\n\" <[{end}]> \"\\\"b\\\"\""));
    }
}
