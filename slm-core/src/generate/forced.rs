//! Calls of tools that have to be made: the grammar that makes a model make one.

use serde_json::{Value, json};

use super::LocalModel;
use super::constraint::lark_json;
use crate::chat::ChatRequest;
use crate::text::{ChatTemplate, ToolCallFormat};
use crate::{Error, Result};

/// Rules in llguidance's variant of the Lark syntax, of which `call` is exactly one call of a tool that may be called, as
/// `model` writes it; `None` where the model chooses itself.
pub(super) fn rules(request: &ChatRequest, model: &LocalModel) -> Result<Option<String>> {
    let Some(called) = request.forced_tools()? else { return Ok(None) };
    let source = model.template.as_ref().map_or("", ChatTemplate::source);
    let Some(format) = ToolCallFormat::detect(source) else {
        let reason = format!("tool_choice: the chat template of `{}` knows no calls of tools", model.name);
        return Err(Error::Request { reason });
    };
    grammar(format, source, &called, model).map(Some)
}

fn grammar(format: ToolCallFormat, source: &str, tools: &[&Value], model: &LocalModel) -> Result<String> {
    let calls: Vec<String> = (0..tools.len()).map(|i| format!("call_{i}")).collect();
    let mut lark = format!("call: {}\n", calls.join(" | "));
    for (index, tool) in tools.iter().enumerate() {
        let function = &tool["function"];
        let Some(name) = function["name"].as_str() else {
            return Err(Error::Request { reason: "tools: one without `function.name`".into() });
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
            &format!("call_{index}: {before} args_{index} {after}\nargs_{index}: {}\n", lark_json(schema));
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
        return lark_json(schema.clone());
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    let most = schema["maxLength"].as_u64().map_or_else(|| "*".to_owned(), |most| format!("{{0,{most}}}"));
    format!("/([^<]|<[^\\/]){most}/")
}

/// A text in Lark, with special tokens by their ids.
pub(super) fn literal(text: &str, model: &LocalModel) -> String {
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

    use super::*;
    use crate::text::parse_tool_calls;
    use burn::tensor::Device;

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
