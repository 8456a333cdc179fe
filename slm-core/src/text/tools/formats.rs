//! The grammar of each format. Errors are reasons; the caller adds the text.

use serde_json::{Map, Value as Json, json};

use super::{ParsedCalls, ToolCallFormat, call_of};
use crate::chat::ToolCall;

type Parsed = Result<ParsedCalls, String>;

pub(super) fn parse(text: &str, format: ToolCallFormat) -> Parsed {
    match format {
        ToolCallFormat::Hermes => blocks(text, "<tool_call>", "</tool_call>", json_calls),
        ToolCallFormat::QwenXml => blocks(text, "<tool_call>", "</tool_call>", xml_call),
        ToolCallFormat::Llama3Json => llama3(text),
        ToolCallFormat::Mistral => mistral(text),
        ToolCallFormat::FunctionTags => function_tags(text),
        ToolCallFormat::Recipients => recipients(text),
        ToolCallFormat::DeepSeek => deep_seek(text),
        ToolCallFormat::Functools => after_marker(text, "functools"),
        ToolCallFormat::Phi4 => match text.contains("<|tool_call|>") {
            true => blocks(text, "<|tool_call|>", "<|/tool_call|>", json_calls),
            false => bare_list(text),
        },
        ToolCallFormat::CommandR => command_r(text),
        ToolCallFormat::CommandR7b => blocks(text, "<|START_ACTION|>", "<|END_ACTION|>", json_calls),
    }
}

/// The JSON value at the beginning of `text`, and what follows it.
fn leading_json(text: &str) -> Result<(Json, &str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    match values.next() {
        Some(Ok(value)) => Ok((value, &text[values.byte_offset()..])),
        Some(Err(e)) => Err(format!("the JSON of a call is malformed: {e}")),
        None => Err("a call without JSON".into()),
    }
}

/// One call, or a list of them, and nothing else.
fn json_calls(text: &str) -> Result<Vec<ToolCall>, String> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (value, after) = leading_json(rest)?;
        match value {
            Json::Array(items) => {
                for item in &items {
                    calls.push(call_of(item)?);
                }
            }
            value => calls.push(call_of(&value)?),
        }
        rest = after.trim_start();
    }
    if calls.is_empty() { Err("an empty call".into()) } else { Ok(calls) }
}

/// Calls between tags; the last may lack its closing tag, which a stop token takes the place of.
fn blocks(text: &str, open: &str, close: &str, read: fn(&str) -> Result<Vec<ToolCall>, String>) -> Parsed {
    let mut parsed = ParsedCalls::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        parsed.content.push_str(before.trim_matches('\n'));
        let (block, after) = after.split_once(close).unwrap_or((after, ""));
        parsed.calls.extend(read(block)?);
        rest = after;
    }
    parsed.content.push_str(rest);
    Ok(parsed)
}

fn xml_call(block: &str) -> Result<Vec<ToolCall>, String> {
    let (_, call) = block.split_once("<function=").ok_or("a call without <function=..>")?;
    let (name, body) = call.split_once('>').ok_or("a function whose name does not end")?;
    let mut arguments = Map::new();
    let mut rest = body;
    while let Some((_, parameter)) = rest.split_once("<parameter=") {
        let (key, value) = parameter.split_once('>').ok_or("a parameter whose name does not end")?;
        let (value, after) =
            value.split_once("</parameter>").ok_or_else(|| format!("parameter `{key}` does not end"))?;
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        // The format does not tell a number from the text of one; what reads as JSON is taken for it.
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        arguments.insert(key.trim().into(), value);
        rest = after;
    }
    Ok(vec![ToolCall::new(name.trim(), arguments.into())])
}

fn llama3(text: &str) -> Parsed {
    if let Some((before, call)) = text.split_once("<|python_tag|>") {
        let call = call.trim();
        let calls = match call.starts_with('{') || call.starts_with('[') {
            true => separated(call)?,
            false => vec![code(call)?],
        };
        return Ok(ParsedCalls { content: before.into(), calls });
    }
    let call = text.trim();
    // An answer may be JSON without being a call.
    let is_call = match leading_json(call) {
        Ok((value, _)) => {
            value.get("name").is_some() && value.get("parameters").or(value.get("arguments")).is_some()
        }
        Err(_) => call.starts_with("{\"name\"") || call.starts_with("{\"type\": \"function\""),
    };
    match call.starts_with('{') && is_call {
        true => Ok(ParsedCalls { content: String::new(), calls: separated(call)? }),
        false => Ok(ParsedCalls { content: text.into(), calls: Vec::new() }),
    }
}

/// Calls with `;` or white space between.
fn separated(text: &str) -> Result<Vec<ToolCall>, String> {
    let mut calls = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (value, after) = leading_json(rest)?;
        match value {
            Json::Array(items) => calls.extend(items.iter().map(call_of).collect::<Result<Vec<_>, _>>()?),
            value => calls.push(call_of(&value)?),
        }
        rest = after.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
    }
    Ok(calls)
}

/// A built-in tool, `NAME.call(KEY="..", ..)`, or else a program.
fn code(text: &str) -> Result<ToolCall, String> {
    let call =
        text.split_once(".call(").and_then(|(name, rest)| Some((name, rest.trim_end().strip_suffix(')')?)));
    let Some((name, mut rest)) =
        call.filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    else {
        return Ok(ToolCall::new("code_interpreter", json!({"code": text})));
    };
    let mut arguments = Map::new();
    while let Some((key, value)) = rest.split_once('=') {
        let (value, after) = leading_json(value.trim_start())?;
        arguments.insert(key.trim().into(), value);
        rest = after.trim_start().strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(ToolCall::new(name, arguments.into()))
}

fn mistral(text: &str) -> Parsed {
    let Some((before, mut rest)) = text.split_once("[TOOL_CALLS]") else { return bare_list(text) };
    let mut parsed = ParsedCalls { content: before.into(), calls: Vec::new() };
    loop {
        rest = rest.trim_start();
        if rest.starts_with('[') || rest.starts_with('{') {
            let (value, after) = leading_json(rest)?;
            let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            parsed.calls.extend(list.iter().map(call_of).collect::<Result<Vec<_>, _>>()?);
            rest = after;
        } else {
            let at = rest.find('{').ok_or("a call without arguments after [TOOL_CALLS]")?;
            let name = rest[..at].trim();
            let name = name.strip_suffix("[ARGS]").unwrap_or(name);
            let (name, id) = name.split_once("[CALL_ID]").unwrap_or((name, ""));
            let (arguments, after) = leading_json(&rest[at..])?;
            parsed.calls.push(ToolCall { id: id.into(), ..ToolCall::new(name.trim(), arguments) });
            rest = after;
        }
        match rest.split_once("[TOOL_CALLS]") {
            Some((between, after)) => {
                parsed.content.push_str(between);
                rest = after;
            }
            None => {
                parsed.content.push_str(rest);
                return Ok(parsed);
            }
        }
    }
}

/// A list of calls whose marker was a special token and is not part of the text.
fn bare_list(text: &str) -> Parsed {
    let list = text.trim();
    let is_call = list.strip_prefix('[').is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.starts_with("{\"name\"") || rest.starts_with("{\"arguments\"") || rest.starts_with("{\"id\"")
    });
    if !is_call {
        return Ok(ParsedCalls { content: text.into(), calls: Vec::new() });
    }
    let (value, after) = leading_json(list)?;
    let calls = value.as_array().into_iter().flatten().map(call_of).collect::<Result<_, _>>()?;
    Ok(ParsedCalls { content: after.into(), calls })
}

fn function_tags(text: &str) -> Parsed {
    if let Some((before, program)) = text.split_once("<|python_tag|>") {
        let call = ToolCall::new("python", json!({"code": program}));
        return Ok(ParsedCalls { content: before.into(), calls: vec![call] });
    }
    let mut parsed = ParsedCalls::default();
    let mut rest = text;
    while let Some((before, call)) = rest.split_once("<function=") {
        parsed.content.push_str(before);
        let (name, body) = call.split_once('>').ok_or("a function whose name does not end")?;
        let (arguments, after) = leading_json(body.trim_start())?;
        parsed.calls.push(ToolCall::new(name.trim(), arguments));
        rest = after.trim_start().strip_prefix("</function>").unwrap_or(after);
    }
    parsed.content.push_str(rest);
    Ok(parsed)
}

fn recipients(text: &str) -> Parsed {
    let mut parsed = ParsedCalls::default();
    // The prompt ends with the first `>>>`, so that an answer may begin with the recipient.
    let begins = text.strip_prefix(">>>").unwrap_or(text);
    if !text.starts_with(">>>")
        && !begins.starts_with("all\n")
        && !text.contains("\n>>>")
        && !names_call(text)
    {
        return Ok(ParsedCalls { content: text.into(), calls: Vec::new() });
    }
    for part in begins.split(">>>") {
        let (recipient, body) = part.split_once('\n').unwrap_or((part, ""));
        match recipient.trim() {
            "all" => parsed.content.push_str(body),
            "" => {}
            name if name == "python" && !body.trim_start().starts_with('{') => {
                parsed.calls.push(ToolCall::new(name, json!({"code": body.trim_end()})));
            }
            name => {
                let (arguments, _) = leading_json(body.trim())?;
                parsed.calls.push(ToolCall::new(name, arguments));
            }
        }
    }
    Ok(parsed)
}

/// Whether a text is a name, a line end and an object.
fn names_call(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(name, body)| {
        let name = name.trim();
        let word =
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        word && body.trim_start().starts_with('{')
    })
}

fn deep_seek(text: &str) -> Parsed {
    let begin = text.find("<｜tool▁calls▁begin｜>").or_else(|| text.find("<｜tool▁call▁begin｜>"));
    let Some(begin) = begin else { return Ok(ParsedCalls { content: text.into(), calls: Vec::new() }) };
    let mut parsed = ParsedCalls { content: text[..begin].into(), calls: Vec::new() };
    let mut rest = &text[begin..];
    while let Some((_, call)) = rest.split_once("<｜tool▁call▁begin｜>") {
        let (call, after) = call.split_once("<｜tool▁call▁end｜>").unwrap_or((call, ""));
        let (kind, body) = call.split_once("<｜tool▁sep｜>").ok_or("a call without <｜tool▁sep｜>")?;
        // `function<sep>NAME` and a fence, or `NAME<sep>{..}` since version 3.1.
        let (name, body) = match body.split_once("```json") {
            Some((name, fenced)) => (name, fenced.split("```").next().unwrap_or_default()),
            None => (kind, body),
        };
        let (arguments, _) = leading_json(body.trim())?;
        parsed.calls.push(ToolCall::new(name.trim(), arguments));
        rest = after;
    }
    if parsed.calls.is_empty() { Err("calls begin, but there is none".into()) } else { Ok(parsed) }
}

fn after_marker(text: &str, marker: &str) -> Parsed {
    match text.find(&format!("{marker}[")) {
        Some(at) => {
            let (value, after) = leading_json(&text[at + marker.len()..])?;
            let calls = value.as_array().into_iter().flatten().map(call_of).collect::<Result<_, _>>()?;
            Ok(ParsedCalls { content: format!("{}{after}", &text[..at]), calls })
        }
        None => Ok(ParsedCalls { content: text.into(), calls: Vec::new() }),
    }
}

fn command_r(text: &str) -> Parsed {
    let Some((before, action)) = text.split_once("Action:") else {
        return Ok(ParsedCalls { content: text.into(), calls: Vec::new() });
    };
    let (_, fenced) = action.split_once("```json").ok_or("an action without a fence of JSON")?;
    let (list, after) = leading_json(fenced)?;
    let calls = list.as_array().into_iter().flatten().map(call_of).collect::<Result<Vec<_>, _>>()?;
    let after = after.trim_start().strip_prefix("```").unwrap_or(after);
    // The tool that means: answer directly.
    let calls = calls.into_iter().filter(|call| call.name != "directly_answer").collect();
    Ok(ParsedCalls { content: format!("{before}{after}"), calls })
}
