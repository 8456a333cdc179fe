//! OpenAI's protocol, as a client sees it.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::json;
use slm_core::{ChatRequest, GenerationConfig, LanguageModel, LocalModel};
use slm_serve::config::{KeyConfig, ModelEntry};
use slm_serve::{ServeConfig, digest};
use support::{ask, base, config, get, post, read, send, serve};

/// What the model says without a server.
fn alone(question: &str) -> String {
    let model = LocalModel::load(&base(), &Device::default()).expect("the base loads");
    let generation = GenerationConfig {
        max_new_tokens: 24,
        kv_cache: slm_core::nn::KvCacheType::F16,
        ..GenerationConfig::default()
    };
    let request = ChatRequest { generation, ..ChatRequest::question(question) };
    model.chat(&request).expect("an answer").text
}

#[test]
fn an_answer_is_the_models_own_whole_or_in_pieces() {
    let server = serve(&config());
    let expected = alone("Name a colour.");
    let reply = post(server.address, "/v1/chat/completions", &ask("Name a colour."));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = reply.json();
    assert_eq!(body["choices"][0]["message"]["content"], json!(expected));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["slm"]["route"], "base");
    assert_eq!(body["slm"]["model_hash"].as_str().map(str::len), Some(64));
    assert!(body["slm"]["confidence"]["mean_logprob"].as_f64().expect("a confidence") <= 0.0);
    let tokens = |field: &str| body["usage"][field].as_u64().expect("a count");
    assert_eq!(tokens("total_tokens"), tokens("prompt_tokens") + tokens("completion_tokens"));

    let mut streamed = ask("Name a colour.");
    streamed["stream"] = true.into();
    streamed["stream_options"] = json!({"include_usage": true});
    let reply = post(server.address, "/v1/chat/completions", &streamed);
    assert!(reply.head.contains("content-type: text/event-stream"), "{}", reply.head);
    assert_eq!(reply.streamed(), expected);
    let chunks = reply.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().expect("chunks")["usage"], body["usage"]);
}

#[test]
fn many_clients_at_once_get_what_each_would_alone() {
    let server = serve(&config());
    let questions: Vec<String> = (0..12).map(|i| format!("What is {i} and {}?", i * 7)).collect();
    let expected: Vec<String> = questions.iter().map(|q| alone(q)).collect();
    let address = server.address;
    let threads: Vec<_> = questions
        .into_iter()
        .map(|q| std::thread::spawn(move || post(address, "/v1/chat/completions", &ask(&q)).json()))
        .collect();
    for (thread, expected) in threads.into_iter().zip(expected) {
        let body = thread.join().expect("a reply");
        assert_eq!(body["choices"][0]["message"]["content"], json!(expected));
    }
}

#[test]
fn errors_have_openais_shape() {
    let server = serve(&config());
    let chat = "/v1/chat/completions";
    let bad = |body: serde_json::Value, status: u16, code: &str| {
        let reply = post(server.address, chat, &body);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        let error = &reply.json()["error"];
        assert_eq!(error["code"], code, "{body}");
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
    };
    bad(json!({"messages": []}), 400, "invalid_request");
    bad(json!({"model": "other", "messages": [{"role": "user", "content": "x"}]}), 404, "model_not_found");
    let with = |field: &str, value: serde_json::Value| {
        let mut body = ask("x");
        body[field] = value;
        body
    };
    bad(with("temperature", json!(-1.0)), 400, "invalid_request");
    bad(with("n", json!(99)), 400, "invalid_request");
    bad(with("tool_choice", json!("required")), 400, "invalid_request");
    bad(
        with("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}])),
        400,
        "invalid_request",
    );
    bad(with("messages", json!([{"role": "user", "content": "long ".repeat(4000)}])), 400, "invalid_request");
    let reply = read(send(server.address, "POST", chat, "", "{\"model\": "));
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (400, json!("invalid_request")));
    for (method, path) in [("GET", "/v1/nothing"), ("GET", chat), ("DELETE", "/v1/models")] {
        let reply = read(send(server.address, method, path, "", ""));
        assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (404, json!("not_found")));
    }
}

#[test]
fn bodies_that_are_large_or_slow_are_refused() {
    let mut config = config();
    config.limits.max_body_bytes = 1000;
    config.limits.read_seconds = 1;
    let server = serve(&config);
    let reply = post(server.address, "/v1/chat/completions", &ask(&"x".repeat(2000)));
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (413, json!("request_too_large")));
    let mut slow = TcpStream::connect(server.address).expect("a connection");
    slow.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    slow.write_all(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{",
    )
    .expect("it begins");
    assert_eq!(read(slow).status, 408);
    // One that never ends its head is hung up on.
    let mut slower = TcpStream::connect(server.address).expect("a connection");
    slower.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    slower.write_all(b"GET /health HT").expect("it begins");
    let mut rest = Vec::new();
    let _ = slower.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    assert_eq!(get(server.address, "/health").status, 200);
}

#[test]
fn a_key_opens_and_runs_out() {
    let key = |name: &str, secret: &str| KeyConfig {
        name: name.into(),
        sha256: digest(secret),
        requests_per_minute: None,
        tokens_per_minute: None,
        budget_per_day: None,
        admin: false,
    };
    let keys = vec![
        KeyConfig { requests_per_minute: Some(2), ..key("reader", "sk-reader") },
        KeyConfig { admin: true, ..key("admin", "sk-admin") },
    ];
    let server = serve(&ServeConfig { keys, ..config() });
    let with = |secret: &str, method: &str, path: &str| {
        let header = format!("authorization: Bearer {secret}\r\n");
        read(send(server.address, method, path, &header, &ask("Hi.").to_string()))
    };
    let chat = "/v1/chat/completions";
    let reply = with("sk-other", "POST", chat);
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (401, json!("invalid_api_key")));
    assert_eq!(get(server.address, "/v1/models").status, 401);
    assert_eq!(get(server.address, "/health").status, 200);
    assert_eq!([with("sk-reader", "POST", chat).status, with("sk-reader", "POST", chat).status], [200, 200]);
    let reply = with("sk-reader", "POST", chat);
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (429, json!("rate_limit_exceeded")));
    assert!(reply.head.contains("retry-after: "), "{}", reply.head);
    assert_eq!(with("sk-admin", "POST", chat).status, 200);
    assert_eq!(with("sk-reader", "POST", "/v1/reload").status, 403);
    assert_eq!(with("sk-admin", "POST", "/v1/reload").status, 500, "there is no file to reload");
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let mut config = config();
    let ModelEntry::Local(local) = &mut config.models[0] else { unreachable!("the base is local") };
    local.engine.max_running = 1;
    local.engine.max_waiting = 1;
    let server = serve(&config);
    let address = server.address;
    let mut long = ask("Write.");
    long["max_tokens"] = 300.into();
    long["guided_regex"] = "[a-z ]{400}".into();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let body = long.clone();
            std::thread::spawn(move || post(address, "/v1/chat/completions", &body))
        })
        .collect();
    let replies: Vec<_> = threads.into_iter().map(|t| t.join().expect("a reply")).collect();
    let refused = replies.iter().filter(|r| r.status == 429).count();
    assert!(replies.iter().all(|r| r.status == 200 || r.status == 429));
    assert!((1..=5).contains(&refused), "{refused} of 6");
    for reply in replies.iter().filter(|r| r.status == 429) {
        assert_eq!(reply.json()["error"]["code"], "overloaded");
        assert!(reply.head.contains("retry-after: "));
    }
}

#[test]
fn who_leaves_frees_the_place() {
    let mut config = config();
    let ModelEntry::Local(local) = &mut config.models[0] else { unreachable!("the base is local") };
    local.engine.max_running = 1;
    let server = serve(&config);
    let mut long = ask("Write.");
    long["max_tokens"] = 300.into();
    long["guided_regex"] = "[a-z ]{400}".into();
    long["stream"] = true.into();
    for _ in 0..20 {
        let mut stream = send(server.address, "POST", "/v1/chat/completions", "", &long.to_string());
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the reply begins");
    }
    let begun = Instant::now();
    assert_eq!(post(server.address, "/v1/chat/completions", &ask("Hi.")).status, 200);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.app.in_flight() > 0 {
        assert!(Instant::now() < deadline, "{} requests are stuck", server.app.in_flight());
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = server.app.registry().engines[0].1.status();
    assert_eq!((status.running, status.waiting), (0, 0));
}

#[test]
fn a_shutdown_lets_answers_finish() {
    let mut server = serve(&config());
    let mut long = ask("Write.");
    long["max_tokens"] = 200.into();
    long["guided_regex"] = "[a-z ]{400}".into();
    long["stream"] = true.into();
    let mut stream = send(server.address, "POST", "/v1/chat/completions", "", &long.to_string());
    let mut begun = vec![0; 15];
    stream.read_exact(&mut begun).expect("the reply begins");
    server.begin_stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the reply goes on");
    assert!(rest.contains("data: [DONE]"), "{rest}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

#[test]
fn answers_match_a_schema_and_several_come_at_once() {
    let server = serve(&config());
    let mut body = ask("Describe a person.");
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": false,
    });
    body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
    body["n"] = 3.into();
    body["temperature"] = json!(0.9);
    body["seed"] = 5.into();
    body["max_tokens"] = 64.into();
    let reply = post(server.address, "/v1/chat/completions", &body).json();
    let texts: Vec<&str> =
        (0..3).map(|i| reply["choices"][i]["message"]["content"].as_str().expect("a text")).collect();
    for text in &texts {
        let person: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(person["name"].is_string() && person["age"].is_u64(), "{person}");
    }
    assert!(texts.iter().any(|t| *t != texts[0]), "each has a seed of its own: {texts:?}");
    let again = post(server.address, "/v1/chat/completions", &body).json();
    assert_eq!(again["choices"][0]["message"], reply["choices"][0]["message"], "a seed is kept");
}

#[test]
fn completions_tell_the_probability_of_all_of_the_text() {
    let server = serve(&config());
    let body =
        json!({"model": "base", "prompt": "one two three", "max_tokens": 3, "echo": true, "logprobs": 2});
    let reply = post(server.address, "/v1/completions", &body).json();
    let choice = &reply["choices"][0];
    assert!(choice["text"].as_str().expect("a text").contains("one two three"), "{choice}");
    let columns = &choice["logprobs"];
    let logprobs = columns["token_logprobs"].as_array().expect("an array");
    assert!(logprobs[0].is_null());
    let model = LocalModel::load(&base(), &Device::default()).expect("the base loads");
    let ids = model.tokenizer.encode("one two three", true).expect("ids");
    let scores = model.score(&ids).expect("scores");
    for (reported, score) in logprobs[1..].iter().zip(&scores) {
        let difference = reported.as_f64().expect("a number") - f64::from(*score);
        assert!(difference.abs() < 1e-2, "{reported} {score}");
    }
    let count = columns["tokens"].as_array().map(Vec::len);
    assert_eq!(count, Some(logprobs.len()));
    assert_eq!(reply["usage"]["prompt_tokens"], json!(ids.len()));
}

#[test]
fn figures_and_judgements_are_kept() {
    let server = serve(&config());
    let body = post(server.address, "/v1/chat/completions", &ask("Hi.")).json();
    let text = get(server.address, "/metrics").body;
    for name in [
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:num_requests_running",
    ] {
        assert!(text.contains(&format!("{name}{{")), "{name}: {text}");
    }
    let judged = post(server.address, "/v1/feedback", &json!({"id": body["id"], "good": true}));
    assert_eq!(judged.status, 204);
    assert_eq!(post(server.address, "/v1/feedback", &json!({"id": "other", "good": true})).status, 404);
    let stats = get(server.address, "/v1/stats").json();
    assert_eq!(stats["last"][0]["id"], body["id"]);
    assert_eq!(stats["last"][0]["good"], true);
    assert_eq!(stats["minutes"][0]["good"], 1.0);
    assert!(!stats.to_string().contains("Hi."), "what was asked is not kept");
    assert_eq!([get(server.address, "/ready").status, get(server.address, "/").status], [200, 200]);
}
