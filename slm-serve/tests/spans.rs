//! Spans, as a collector gets them.
#![cfg(feature = "otel")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use slm_serve::config::OtelConfig;
use slm_serve::{App, Registry};
use support::{ask, config, post, read, send, serve_app};

/// Takes what is sent to it: heads and bodies.
fn collector() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let head = head.to_lowercase();
                    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
                    if body.len() >= length.and_then(|l| l.parse().ok()).unwrap_or(0) {
                        let body = serde_json::from_str(body).expect("JSON");
                        sender.send((head, body)).expect("the test waits");
                        break;
                    }
                }
                let count = stream.read(&mut buffer).expect("a request");
                bytes.extend_from_slice(&buffer[..count]);
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    (format!("http://{address}"), received)
}

fn attribute(span: &Value, name: &str) -> Value {
    let all = span["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|a| a["key"] == name).map(|a| &a["value"]);
    let value = found.and_then(Value::as_object).and_then(|v| v.values().next());
    value.unwrap_or_else(|| panic!("no {name}: {span}")).clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
}

#[test]
fn a_collector_gets_a_span_of_each_answer() {
    let (endpoint, received) = collector();
    let headers = [("x-team".to_owned(), "library".to_owned())].into();
    let otel = OtelConfig { endpoint, service: "expert".into(), headers };
    let config = config();
    let registry = Registry::load(&config).expect("it loads");
    let app = App::new(&config, registry).with_spans(&otel).expect("an exporter");
    let served = serve_app(&config, app);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let header = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n");
    let body = ask("Name a colour.").to_string();
    let reply = read(send(served.address, "POST", "/v1/chat/completions", &header, &body)).json();
    let completion = json!({"prompt": "one", "max_tokens": 2});
    assert_eq!(post(served.address, "/v1/completions", &completion).status, 200);
    let long = ask(&"long ".repeat(4000));
    assert_eq!(post(served.address, "/v1/chat/completions", &long).status, 400);
    drop(served);

    let mut spans = Vec::new();
    while spans.len() < 3 {
        let (head, body) = received.recv_timeout(Duration::from_secs(20)).expect("spans arrive");
        assert!(head.starts_with("post /v1/traces ") && head.contains("x-team: library"), "{head}");
        let resource = &body["resourceSpans"][0];
        assert!(resource["resource"].to_string().contains("expert"), "{resource}");
        for scope in resource["scopeSpans"].as_array().expect("scopes") {
            spans.extend(scope["spans"].as_array().expect("spans").clone());
        }
    }
    let of = |name: &str| spans.iter().find(|s| s["name"] == name && s["status"]["code"] != 2);
    let chat = of("chat base").expect("the chat's span");
    assert_eq!((&chat["traceId"], &chat["parentSpanId"]), (&json!(trace), &json!("b7ad6b7169203331")));
    assert_eq!(attribute(chat, "gen_ai.response.id"), reply["id"]);
    assert_eq!(attribute(chat, "gen_ai.response.model"), "base");
    assert_eq!(attribute(chat, "slm.route"), reply["slm"]["route"]);
    for (name, field) in
        [("gen_ai.usage.input_tokens", "prompt_tokens"), ("gen_ai.usage.output_tokens", "completion_tokens")]
    {
        assert_eq!(number(&attribute(chat, name)), number(&reply["usage"][field]));
    }
    let nanos = |field: &str| number(&chat[field]);
    let seconds = (nanos("endTimeUnixNano") - nanos("startTimeUnixNano")) / 1e9;
    assert!((seconds - number(&reply["slm"]["seconds"]["total"])).abs() < 0.1, "{seconds}");
    assert!(!spans.iter().any(|s| s.to_string().contains("Name a colour")), "what was asked is not sent");
    assert_eq!(
        attribute(of("text_completion base").expect("its span"), "gen_ai.operation.name"),
        "text_completion"
    );
    let failed = spans.iter().find(|s| s["status"]["code"] == 2).expect("the failure's span");
    assert_eq!(attribute(failed, "error.type"), "invalid_request");
}
