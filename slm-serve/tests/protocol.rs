//! Tools, thoughts, embeddings, and what clients send beside the question.

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slm_serve::ServeConfig;
use slm_serve::config::{EmbedderConfig, LocalEntry, ModelEntry};
use support::{Served, ask, base, config, post, serve};

const CHAT: &str = "/v1/chat/completions";

/// The base under another chat template.
fn with_template(folder: &Path, template: &str) -> Served {
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(base().join(file), folder.join(file)).expect("it is copied");
    }
    std::fs::write(folder.join("chat_template.jinja"), template).expect("it is written");
    let models = vec![ModelEntry::Local(LocalEntry::new("base", folder))];
    serve(&ServeConfig { models, ..config() })
}

const TURNS: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}<|assistant|>";

/// Two tools, of which a call has to name a place and may name a unit.
fn tools() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {
            "place": {"type": "string", "maxLength": 6},
            "unit": {"type": "string", "enum": ["C", "F"]},
        },
        "required": ["place", "unit"],
        "additionalProperties": false,
    });
    json!([
        {"type": "function", "function": {"name": "weather", "parameters": parameters}},
        {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}, "additionalProperties": false}}},
    ])
}

fn forced(choice: Value) -> Value {
    let mut body = ask("How warm is it in Rome?");
    body["max_tokens"] = 200.into();
    body["tools"] = tools();
    body["tool_choice"] = choice;
    body
}

fn called(served: &Served, choice: Value) -> Value {
    let reply = post(served.address, CHAT, &forced(choice)).json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{reply}");
    assert!(choice["message"]["content"].is_null(), "{reply}");
    assert_eq!(choice["message"]["tool_calls"].as_array().map(Vec::len), Some(1), "{reply}");
    choice["message"]["tool_calls"][0].clone()
}

fn is_weather(call: &Value) {
    assert_eq!((&call["function"]["name"], &call["type"]), (&json!("weather"), &json!("function")));
    assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()));
    let arguments = call["function"]["arguments"].as_str().expect("a text");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert!(arguments["place"].is_string(), "{arguments}");
    assert!(["C", "F"].contains(&arguments["unit"].as_str().expect("a unit")), "{arguments}");
}

#[test]
fn a_tool_that_has_to_be_called_is_called() {
    // Hermes, Qwen3-Coder, Llama 3.1, and Hermes behind thoughts that the prompt opens.
    let hint = "{#- <tool_call> #}";
    for template in [
        format!("{hint}{TURNS}"),
        format!("{hint}{{#- <parameter= #}}{TURNS}"),
        format!("{{#- <|python_tag|> #}}{TURNS}"),
        format!("{hint}{TURNS}<think>\n"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let served = with_template(folder.path(), &template);
        let mut named = json!({"type": "function", "function": {"name": "weather"}});
        if template.ends_with("<think>\n") {
            // The base has never seen the end of a thought: nothing but the limit ends it.
            let reply = post(served.address, CHAT, &forced(named)).json();
            assert_eq!(reply["choices"][0]["finish_reason"], "length", "{reply}");
            continue;
        }
        is_weather(&called(&served, named.clone()));
        let any = called(&served, json!("required"));
        assert!(["weather", "stop"].contains(&any["function"]["name"].as_str().expect("a name")), "{any}");
        named["function"]["name"] = "nobody".into();
        let reply = post(served.address, CHAT, &forced(named));
        assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (400, json!("tool_choice")));
    }
}

#[test]
fn a_streamed_call_is_that_of_the_whole_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = with_template(folder.path(), &format!("{{#- <tool_call> #}}{TURNS}"));
    let whole = called(&served, json!("required"));
    let mut body = forced(json!("required"));
    body["stream"] = true.into();
    let chunks = post(served.address, CHAT, &body).chunks();
    let calls: Vec<&Value> =
        chunks.iter().filter_map(|c| c["choices"][0]["delta"]["tool_calls"].get(0)).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!((&calls[0]["function"], &calls[0]["index"]), (&whole["function"], &json!(0)));
    assert_eq!(chunks.last().expect("chunks")["choices"][0]["finish_reason"], "tool_calls");
    // The model of the repository knows no tools.
    let plain = serve(&config());
    assert_eq!(post(plain.address, CHAT, &forced(json!("required"))).status, 400);
    assert_eq!(post(plain.address, CHAT, &forced(json!("auto"))).status, 200);
}

#[test]
fn thoughts_come_before_the_answer_as_they_are_thought() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = with_template(folder.path(), &format!("{TURNS}<think>\n"));
    let mut body = ask("Why?");
    body["max_tokens"] = 200.into();
    body["guided_regex"] = "[a-z]{4,9} [a-z]{4,9} [a-z]{4,9}</think>\n\n(yes|no)".into();
    let message = post(served.address, CHAT, &body).json()["choices"][0]["message"].clone();
    let thoughts = message["reasoning_content"].as_str().expect("thoughts");
    assert_eq!(thoughts.split(' ').count(), 3, "{message}");
    assert!(["yes", "no"].contains(&message["content"].as_str().expect("an answer")), "{message}");

    body["stream"] = true.into();
    let chunks = post(served.address, CHAT, &body).chunks();
    let of = |field: &str| -> Vec<(usize, String)> {
        let text = |(at, c): (usize, &Value)| {
            Some((at, c["choices"][0]["delta"][field].as_str().filter(|t| !t.is_empty())?.to_owned()))
        };
        chunks.iter().enumerate().filter_map(text).collect()
    };
    let (reasoning, content) = (of("reasoning_content"), of("content"));
    assert!(reasoning.len() > 2, "in pieces: {reasoning:?}");
    let joined = |pieces: &[(usize, String)]| pieces.iter().map(|(_, t)| t.as_str()).collect::<String>();
    assert_eq!(joined(&reasoning), thoughts);
    assert_eq!(json!(joined(&content)), message["content"]);
    assert!(reasoning.iter().all(|(at, _)| *at < content[0].0));

    // Where tools are given, too.
    let folder = tempfile::tempdir().expect("a folder");
    let served = with_template(folder.path(), &format!("{{#- <tool_call> #}}{TURNS}<think>\n"));
    body["tools"] = tools();
    let chunks = post(served.address, CHAT, &body).chunks();
    let pieces = chunks.iter().filter(|c| c["choices"][0]["delta"]["reasoning_content"].is_string());
    assert!(pieces.count() > 2, "{chunks:?}");

    // A schema is for the answer, not for the thoughts.
    let mut body = ask("Why?");
    body["max_tokens"] = 30.into();
    body["response_format"] = json!({"type": "json_object"});
    let reply = post(served.address, CHAT, &body);
    let message = reply.json()["choices"][0]["message"].clone();
    let thoughts = message["reasoning_content"].as_str();
    assert!(thoughts.is_some_and(|t| !t.trim_start().starts_with('{')), "{}", reply.body);
}

#[test]
fn what_clients_send_beside_the_question_is_heeded() {
    let served = serve(&config());
    let answer = |more: &[(&str, Value)]| {
        let mut body = ask("Name a colour.");
        more.iter().for_each(|(field, value)| body[*field] = value.clone());
        post(served.address, CHAT, &body)
    };
    let text = |more: &[(&str, Value)]| {
        let reply = answer(more);
        assert_eq!(reply.status, 200, "{more:?}: {}", reply.body);
        reply.json()["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
    };
    let plain = text(&[]);
    let nothing: Vec<(&str, Value)> = "stream logprobs top_logprobs tools tool_choice stop n seed user logit_bias \
        response_format stream_options temperature top_p max_completion_tokens presence_penalty frequency_penalty"
        .split_whitespace()
        .map(|field| (field, Value::Null))
        .collect();
    assert_eq!(text(&nothing), plain, "null says nothing");

    let reply = answer(&[("logprobs", json!(true))]).json();
    let first = reply["choices"][0]["logprobs"]["content"][0]["token"].as_str().expect("a token").to_owned();
    let ids =
        slm_core::Tokenizer::load_directory(&base()).and_then(|t| t.encode(&first, false)).expect("ids");
    assert_eq!(ids.len(), 1, "{first}");
    let other = text(&[("logit_bias", json!({ids[0].to_string(): -100}))]);
    assert!(!other.starts_with(&first), "{other}");
    let only = text(&[("logit_bias", json!({ids[0].to_string(): 100})), ("max_tokens", json!(3))]);
    assert_eq!(only.trim(), first.repeat(3).trim());

    let stop: String = plain.chars().skip(4).take(3).collect();
    let end = plain.find(&stop).expect("it occurs");
    assert_eq!(text(&[("stop", json!(stop))]), plain[..end]);
    assert_eq!(text(&[("stop", json!(["not in it", stop]))]), plain[..end]);
    let several = answer(&[("n", json!(3))]).json();
    assert_eq!(several["choices"].as_array().map(Vec::len), Some(3));
    let one = answer(&[]).json();
    let count = |reply: &Value, field: &str| reply["usage"][field].as_u64().expect("a count");
    assert_eq!(count(&several, "prompt_tokens"), count(&one, "prompt_tokens"));
    assert_eq!(count(&several, "completion_tokens"), 3 * count(&one, "completion_tokens"));

    for (field, value) in [
        ("logit_bias", json!({"99999": 1})),
        ("logit_bias", json!({"a": 1})),
        ("logit_bias", json!({"1": 101})),
        ("functions", json!([])),
        ("tool_choice", json!("some")),
        ("tool_choice", json!("required")),
    ] {
        let reply = answer(&[(field, value.clone())]);
        assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (400, json!(field)), "{value}");
    }
    let legacy = |field: &str, value: Value| {
        let mut body = json!({"prompt": "a", "max_tokens": 1});
        body[field] = value;
        post(served.address, "/v1/completions", &body).status
    };
    assert_eq!([legacy("best_of", json!(3)), legacy("suffix", json!("b"))], [400, 400]);
    assert_eq!([legacy("best_of", json!(1)), legacy("suffix", Value::Null)], [200, 200]);
}

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/encoder-mean")
}

/// Against what sentence-transformers made of the same texts, one of which is longer than the encoder reads.
#[test]
fn embeddings_and_their_tokens_are_those_of_sentence_transformers() {
    let embedders =
        vec![EmbedderConfig { name: "encoder".into(), path: Some(encoder()), ..Default::default() }];
    let served = serve(&ServeConfig { embedders, ..config() });
    let reference = std::fs::read(encoder().join("reference.json")).expect("the golden");
    let reference: Value = serde_json::from_slice(&reference).expect("JSON");
    let body = json!({"model": "encoder", "input": reference["texts"]});
    let reply = post(served.address, "/v1/embeddings", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    let ids = reference["ids"].as_array().expect("ids");
    let tokens: usize = ids.iter().filter_map(|ids| ids.as_array().map(Vec::len)).sum();
    assert_eq!(reply["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    let vector = |value: &Value| -> Vec<f64> {
        value.as_array().expect("a vector").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let vectors = reference["vectors"].as_array().expect("vectors");
    for (item, expected) in reply["data"].as_array().expect("a list").iter().zip(vectors) {
        let (got, expected) = (vector(&item["embedding"]), vector(expected));
        let cosine: f64 = got.iter().zip(&expected).map(|(a, b)| a * b).sum();
        let length = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(cosine / length > 0.9999, "{cosine}");
    }
    let single = post(served.address, "/v1/embeddings", &json!({"input": reference["texts"][0]})).json();
    assert_eq!(single["usage"]["prompt_tokens"], json!(ids[0].as_array().map(Vec::len)));
    let reply = post(served.address, "/v1/embeddings", &json!({"input": [[1, 2], [3]]}));
    assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (400, json!("input")));
}
