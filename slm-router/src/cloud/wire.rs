//! A request in OpenAI's protocol.

use serde_json::{Map, Value, json};
use slm_core::generate::{Constraint, GenerationConfig};
use slm_core::{ChatRequest, Message, ToolChoice};

use super::CloudConfig;

/// What may be done to a text before it leaves the machine.
pub(super) type Redactor = dyn Fn(&str) -> String + Send + Sync;

/// The body of a request, every text of the conversation redacted.
pub(super) fn body(
    request: &ChatRequest,
    config: &CloudConfig,
    redact: &Redactor,
) -> slm_core::Result<Value> {
    let messages = request.messages.iter().map(|message| outgoing(message, redact));
    let messages = messages.collect::<serde_json::Result<Vec<Value>>>().map_err(|error| not_json(&error))?;
    let mut body = Map::new();
    body.insert("model".into(), json!(config.model));
    body.insert("messages".into(), json!(messages));
    body.insert("stream".into(), json!(true));
    body.insert("stream_options".into(), json!({"include_usage": true}));
    body.insert(config.token_limit.field().into(), json!(request.generation.max_new_tokens));
    sampling(&request.generation, &mut body);
    if request.generation.logprobs || config.confidence {
        body.insert("logprobs".into(), json!(true));
        body.insert("top_logprobs".into(), json!(request.generation.top_logprobs.clamp(2, 20)));
    }
    if let Some(constraint) = &request.generation.constraint {
        body.insert("response_format".into(), response_format(constraint)?);
    }
    request.forced_tools()?;
    if !request.tools.is_empty() {
        body.insert("tools".into(), json!(request.tools));
        tool_choice(&request.tool_choice, &mut body);
    }
    for (field, value) in &config.extra {
        body.insert(field.clone(), value.clone());
    }
    body.retain(|field, _| !config.omit.contains(field));
    Ok(Value::Object(body))
}

fn not_json(error: &serde_json::Error) -> slm_core::Error {
    slm_core::Error::Request { reason: format!("a message cannot be written as JSON: {error}") }
}

/// The samplers that the protocol knows; a field at its default is left to the server.
fn sampling(generation: &GenerationConfig, body: &mut Map<String, Value>) {
    // As decimal numbers: 0.7_f32 would travel as 0.699999988079071.
    let decimal = |x: f32| x.to_string().parse().unwrap_or(f64::from(x));
    body.insert("temperature".into(), json!(decimal(generation.temperature)));
    for (field, value, default) in [
        ("top_p", generation.top_p, 1.0),
        ("presence_penalty", generation.presence_penalty, 0.0),
        ("frequency_penalty", generation.frequency_penalty, 0.0),
    ] {
        if value != default {
            body.insert(field.into(), json!(decimal(value)));
        }
    }
    if generation.temperature > 0.0 {
        body.insert("seed".into(), json!(generation.seed));
    }
    if !generation.stop.is_empty() {
        body.insert("stop".into(), json!(generation.stop));
    }
}

fn tool_choice(choice: &ToolChoice, body: &mut Map<String, Value>) {
    let choice = match choice {
        ToolChoice::Required => json!("required"),
        ToolChoice::Function(name) => json!({"type": "function", "function": {"name": name}}),
        _ => return,
    };
    body.insert("tool_choice".into(), choice);
}

fn response_format(constraint: &Constraint) -> slm_core::Result<Value> {
    match constraint {
        Constraint::JsonObject => Ok(json!({"type": "json_object"})),
        Constraint::JsonSchema(schema) => {
            Ok(json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}))
        }
        other => Err(slm_core::Error::Request {
            reason: format!(
                "a remote model cannot be held to {other:?}\nhint: constrain it by a JSON schema"
            ),
        }),
    }
}

/// A message as it leaves. Thoughts stay here: servers refuse or ignore them.
fn outgoing(message: &Message, redact: &Redactor) -> serde_json::Result<Value> {
    let mut message = message.clone();
    message.reasoning_content = None;
    message.content = redact(&message.content);
    for call in &mut message.tool_calls {
        redact_strings(&mut call.arguments, redact);
    }
    serde_json::to_value(message)
}

fn redact_strings(value: &mut Value, redact: &Redactor) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_strings(item, redact)),
        Value::Object(fields) => fields.values_mut().for_each(|field| redact_strings(field, redact)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The most tokens that a prompt of this body can be expected to have: one per three bytes. A guess, used only until
/// the server has said how many there were.
pub(super) fn expected_prompt_tokens(body: &Value) -> usize {
    let length = |field: &str| body.get(field).map_or(0, |value| value.to_string().len());
    (length("messages") + length("tools")).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slm_core::ToolCall;

    #[test]
    fn every_text_of_the_conversation_is_redacted() -> slm_core::Result<()> {
        let mut call = Message::assistant("I look up ann@x.org.");
        call.reasoning_content = Some("ann@x.org again".into());
        call.tool_calls = vec![ToolCall::new("mail", json!({"to": ["ann@x.org"], "n": 1}))];
        let messages = vec![
            Message::system("You serve ann@x.org."),
            Message::user("Write to ann@x.org!"),
            call,
            Message::tool("mail", "ann@x.org: sent"),
        ];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let redact = |text: &str| text.replace("ann@x.org", "[mail]");
        let sent = body(&request, &CloudConfig::new("https://a", "m"), &redact)?.to_string();
        assert!(!sent.contains("ann"), "{sent}");
        assert_eq!(sent.matches("[mail]").count(), 5);
        Ok(())
    }

    #[test]
    fn a_request_in_the_words_of_the_protocol() -> slm_core::Result<()> {
        let mut request = ChatRequest::question("Hi");
        request.generation = GenerationConfig {
            temperature: 0.7,
            seed: 3,
            stop: vec!["\n".into()],
            ..GenerationConfig::default()
        };
        request.generation.constraint = Some(Constraint::JsonObject);
        let mut config = CloudConfig::new("https://a", "m");
        config.token_limit = super::super::TokenLimit::MaxCompletionTokens;
        config.extra.insert("reasoning_effort".into(), json!("low"));
        config.omit = vec!["seed".into()];
        assert_eq!(
            body(&request, &config, &str::to_owned)?,
            json!({
                "model": "m", "messages": [{"role": "user", "content": "Hi"}],
                "stream": true, "stream_options": {"include_usage": true},
                "max_completion_tokens": 256, "temperature": 0.7, "stop": ["\n"],
                "response_format": {"type": "json_object"}, "reasoning_effort": "low",
            })
        );
        request.tools = vec![json!({"type": "function", "function": {"name": "look"}})];
        for (choice, sent) in [
            (ToolChoice::Auto, Value::Null),
            (ToolChoice::Required, json!("required")),
            (ToolChoice::Function("look".into()), json!({"type": "function", "function": {"name": "look"}})),
        ] {
            request.tool_choice = choice;
            assert_eq!(body(&request, &config, &str::to_owned)?["tool_choice"], sent);
        }
        request.tool_choice = ToolChoice::Function("other".into());
        assert!(
            body(&request, &config, &str::to_owned).is_err_and(|e| e.to_string().contains("tool_choice"))
        );
        request.tool_choice = ToolChoice::Auto;
        request.generation.constraint = Some(Constraint::Regex("a+".into()));
        assert!(body(&request, &config, &str::to_owned).is_err());
        Ok(())
    }
}
