//! The client of a remote model against a server that misbehaves on purpose.
#![cfg(feature = "cloud")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_router::cloud::{BreakerConfig, RetryConfig};
use slm_router::{ApiKey, Budget, Clock, CloudConfig, CloudModel, Error, Prices};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What the server does with one request.
#[derive(Clone)]
enum Play {
    /// These events, and the end.
    Events(Vec<String>),
    /// These events, and then nothing, for this long.
    Stall(Vec<String>, Duration),
    /// A status, further headers, a body.
    Status(u16, &'static str, String),
    /// Hangs up without a word.
    HangUp,
}

/// A request as it arrived: its head, in lower case, and its body.
type Seen = Arc<Mutex<Vec<(String, Value)>>>;

struct Server {
    url: String,
    seen: Seen,
}

impl Server {
    /// Plays one act per request, in order.
    fn start(acts: Vec<Play>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let seen = Seen::default();
        let noted = seen.clone();
        std::thread::spawn(move || {
            for (act, stream) in acts.into_iter().zip(listener.incoming()) {
                // A client that has gone away is part of the play.
                let _ = stream.and_then(|stream| play(act, stream, &noted));
            }
        });
        Ok(Self { url, seen })
    }

    fn seen(&self) -> Vec<(String, Value)> {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}

fn play(act: Play, mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let Ok(mut seen) = seen.lock() {
        seen.push((head, serde_json::from_slice(&body)?));
    }
    let (events, stall) = match act {
        Play::HangUp => return Ok(()),
        Play::Status(status, headers, body) => {
            let length = body.len();
            return write!(
                stream,
                "HTTP/1.1 {status} X\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
        Play::Events(events) => (events, Duration::ZERO),
        Play::Stall(events, stall) => (events, stall),
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
    )?;
    for event in events {
        write!(stream, "data: {event}\n\n")?;
        stream.flush()?;
    }
    std::thread::sleep(stall);
    Ok(())
}

fn piece(text: &str) -> String {
    json!({"choices": [{"delta": {"content": text}}]}).to_string()
}

/// An answer of two pieces with 1000 tokens read and 200 written.
fn answer() -> Vec<String> {
    vec![
        piece("four"),
        piece(" legs"),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}).to_string(),
        json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 200}}).to_string(),
        "[DONE]".to_owned(),
    ]
}

fn status(status: u16) -> Play {
    Play::Status(status, "", json!({"error": {"message": "not now"}}).to_string())
}

/// Time that passes only by sleeping, and at once.
#[derive(Default)]
struct Sleeper {
    now: Mutex<Duration>,
    pauses: Mutex<Vec<Duration>>,
}

impl Clock for Sleeper {
    fn now(&self) -> Duration {
        self.now.lock().map(|now| *now).unwrap_or_default()
    }

    fn sleep(&self, pause: Duration) {
        if let (Ok(mut now), Ok(mut pauses)) = (self.now.lock(), self.pauses.lock()) {
            *now += pause;
            pauses.push(pause);
        }
    }
}

impl Sleeper {
    fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().map(|pauses| pauses.clone()).unwrap_or_default()
    }
}

const KEY: &str = "sk-very-secret-7";

fn config(server: &Server) -> CloudConfig {
    let mut config = CloudConfig::new(&server.url, "large");
    config.api_key = Some(ApiKey::new(KEY));
    config.prices = Prices { per_million_prompt_tokens: 1.0, per_million_completion_tokens: 10.0 };
    config
}

fn client(server: &Server) -> slm_router::Result<(CloudModel, Arc<Sleeper>)> {
    let clock = Arc::new(Sleeper::default());
    Ok((CloudModel::new(config(server))?.with_clock(clock.clone()), clock))
}

fn ask(model: &CloudModel) -> (slm_core::Result<ChatResponse>, Vec<String>) {
    let mut pieces = Vec::new();
    let response = model.stream(&ChatRequest::question("How many legs has a cat?"), &mut |piece| {
        pieces.extend((!piece.is_empty()).then(|| piece.to_owned()));
        ControlFlow::Continue(())
    });
    (response, pieces)
}

/// All that an error says, its causes included.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn failure(model: &CloudModel) -> String {
    ask(model).0.err().map(|error| told(&error)).unwrap_or_default()
}

#[test]
fn an_answer_streams_through_with_its_usage_and_its_price() -> Outcome {
    let server = Server::start(vec![Play::Events(answer())])?;
    let (response, pieces) = ask(&client(&server)?.0);
    let response = response?;
    assert_eq!(pieces, ["four", " legs"]);
    assert_eq!((response.text.as_str(), response.finish_reason), ("four legs", FinishReason::Stop));
    assert_eq!(response.usage, Usage { prompt_tokens: 1000, completion_tokens: 200 });
    assert!((response.cost.unwrap_or_default() - 0.003).abs() < 1e-12);
    let (head, body) = server.seen().pop().ok_or("nothing was asked")?;
    assert!(head.starts_with("post /v1/chat/completions "), "{head}");
    assert!(head.contains(&format!("authorization: bearer {KEY}")));
    assert_eq!(body["stream_options"]["include_usage"], true);
    assert_eq!(body["messages"][0]["content"], "How many legs has a cat?");
    Ok(())
}

#[test]
fn a_server_that_does_not_stream_is_understood() -> Outcome {
    let body = json!({"choices": [{"message": {"content": "four"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1}});
    let server = Server::start(vec![Play::Status(200, "", body.to_string())])?;
    let (response, pieces) = ask(&client(&server)?.0);
    assert_eq!(pieces, ["four"]);
    assert_eq!(response?.finish_reason, FinishReason::Length);
    Ok(())
}

#[test]
fn what_may_pass_is_tried_again_and_after_the_pause_that_was_asked_for() -> Outcome {
    let limited = Play::Status(429, "retry-after: 7\r\n", "{}".into());
    let server = Server::start(vec![Play::HangUp, limited, status(503), Play::Events(answer())])?;
    let (model, clock) = client(&server)?;
    assert_eq!(ask(&model).0?.text, "four legs");
    let pauses = clock.pauses();
    assert_eq!(pauses.len(), 3);
    assert!(pauses[1] >= Duration::from_secs(7) && pauses[0] <= Duration::from_millis(500), "{pauses:?}");
    Ok(())
}

#[test]
fn what_will_not_pass_is_not_tried_again() -> Outcome {
    let quota = json!({"error": {"message": "no money", "code": "insufficient_quota"}}).to_string();
    for act in [
        status(400),
        status(401),
        status(404),
        Play::Status(429, "", quota),
        Play::Status(429, "retry-after: 3600\r\n", "{}".into()),
        Play::Status(307, "location: http://127.0.0.1:9/elsewhere\r\n", "{}".into()),
    ] {
        let server = Server::start(vec![act, Play::Events(answer())])?;
        let (model, clock) = client(&server)?;
        let error = failure(&model);
        assert!(error.contains("status "), "{error}");
        assert_eq!((server.seen().len(), clock.pauses().len()), (1, 0), "{error}");
    }
    Ok(())
}

#[test]
fn tries_end() -> Outcome {
    let server = Server::start(vec![status(500); 9])?;
    let mut config = config(&server);
    config.retry = RetryConfig { tries: 3, ..RetryConfig::default() };
    let model = CloudModel::new(config)?.with_clock(Arc::new(Sleeper::default()));
    assert!(failure(&model).contains("large: status 500: not now"));
    assert_eq!(server.seen().len(), 3);
    Ok(())
}

#[test]
fn a_stream_that_breaks_off_is_an_error_once_text_is_out_and_a_new_try_while_it_is_held() -> Outcome {
    let broken = Play::Events(vec![piece("four"), piece(" le")]);
    let server = Server::start(vec![broken.clone(), Play::Events(answer())])?;
    let (response, pieces) = ask(&client(&server)?.0);
    assert_eq!(pieces, ["four", " le"]);
    assert!(told(&response.err().ok_or("half an answer passed for a whole one")?).contains("broke off"));
    assert_eq!(server.seen().len(), 1);

    let overloaded = Play::Events(vec![piece("fo"), json!({"error": {"message": "overloaded"}}).to_string()]);
    let server = Server::start(vec![broken, overloaded, Play::Events(answer())])?;
    let response = client(&server)?.0.chat(&ChatRequest::question("How many legs?"))?;
    assert_eq!(response.text, "four legs");
    assert!(response.usage.prompt_tokens > 1000, "tries in vain are on the bill: {:?}", response.usage);
    Ok(())
}

#[test]
fn silence_ends_by_the_clock() -> Outcome {
    let stall = Play::Stall(vec![piece("four")], Duration::from_secs(20));
    let server = Server::start(vec![stall])?;
    let mut config = config(&server);
    config.timeouts.idle = 0.3;
    let start = Instant::now();
    let (response, pieces) = ask(&CloudModel::new(config)?);
    assert_eq!(pieces, ["four"]);
    assert!(told(&response.err().ok_or("silence passed for an end")?).contains("timeout"));
    assert!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}

#[test]
fn callers_may_cancel_between_pieces_and_between_tries() -> Outcome {
    let server = Server::start(vec![Play::Events(answer())])?;
    let response = client(&server)?.0.stream(&ChatRequest::question("?"), &mut |_| ControlFlow::Break(()))?;
    assert_eq!((response.text.as_str(), response.finish_reason), ("four", FinishReason::Cancelled));

    let server = Server::start(vec![status(503); 4])?;
    let (model, clock) = client(&server)?;
    let response = model.stream(&ChatRequest::question("?"), &mut |_| ControlFlow::Break(()))?;
    assert_eq!((response.finish_reason, clock.pauses().len()), (FinishReason::Cancelled, 0));
    Ok(())
}

#[test]
fn a_server_that_keeps_failing_is_left_alone_for_a_while() -> Outcome {
    let mut acts = vec![status(500); 3];
    acts.push(Play::Events(answer()));
    let server = Server::start(acts)?;
    let mut config = config(&server);
    config.retry.tries = 1;
    config.breaker = BreakerConfig { failures: 3, cool_down: 60.0 };
    let clock = Arc::new(Sleeper::default());
    let model = CloudModel::new(config)?.with_clock(clock.clone());
    for _ in 0..3 {
        assert!(failure(&model).contains("500"));
    }
    assert!(model.is_resting());
    assert!(failure(&model).contains("not asked for another 60 s"));
    assert_eq!(server.seen().len(), 3, "nothing was sent");
    clock.sleep(Duration::from_secs(61));
    assert_eq!(ask(&model).0?.text, "four legs");
    assert!(!model.is_resting());
    Ok(())
}

#[test]
fn a_budget_ends_with_the_day() -> Outcome {
    let server = Server::start(vec![Play::Events(answer()), Play::Events(answer())])?;
    let clock = Arc::new(Sleeper::default());
    // A request may cost 256 tokens at 10 per million and a few of its own; an answer does cost 0.003.
    let budget = Arc::new(Budget::new(0.005)?.with_clock(clock.clone()));
    let model = CloudModel::new(config(&server))?.with_clock(clock.clone()).with_budget(budget.clone());
    ask(&model).0?;
    assert!((budget.spent_today() - 0.003).abs() < 1e-12);
    let error = ask(&model).0.err().ok_or("the budget was overdrawn")?;
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::BudgetSpent { .. })), "{cause:?}");
    assert_eq!(server.seen().len(), 1);
    clock.sleep(Duration::from_secs(24 * 60 * 60));
    ask(&model).0?;
    Ok(())
}

#[test]
fn nothing_leaves_unredacted() -> Outcome {
    let server = Server::start(vec![Play::Events(answer())])?;
    let model = client(&server)?.0.with_redactor(|text| text.replace("cat", "[animal]"));
    ask(&model).0?;
    let (_, body) = server.seen().pop().ok_or("nothing was asked")?;
    assert_eq!(body["messages"][0]["content"], "How many legs has a [animal]?");
    Ok(())
}

#[test]
fn the_key_shows_nowhere() -> Outcome {
    let echo = json!({"error": {"message": format!("Incorrect API key provided: {KEY}")}}).to_string();
    let server = Server::start(vec![Play::Status(401, "", echo)])?;
    let config = config(&server);
    let written = serde_json::to_string(&config)?;
    let model = CloudModel::new(config)?;
    let error = ask(&model).0.err().ok_or("a wrong key passed")?;
    for text in [told(&error), format!("{error:?}"), format!("{model:?}"), written] {
        assert!(!text.contains(KEY), "{text}");
    }
    assert!(told(&error).contains("[key]") && told(&error).contains("hint: check the API key"));
    Ok(())
}

#[test]
fn keys_do_not_travel_in_the_open_and_must_be_there() {
    let refused = |config: &CloudConfig| {
        CloudModel::new(config.clone()).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let mut config = CloudConfig::new("http://models.example.org/v1", "m");
    assert_eq!(refused(&config), "", "no key, no secret");
    config.api_key_variable = Some("SLM_A_VARIABLE_THAT_NOBODY_SETS".into());
    assert!(refused(&config).contains("SLM_A_VARIABLE_THAT_NOBODY_SETS"));
    config.api_key = Some(ApiKey::new(KEY));
    for (url, works) in [
        ("http://models.example.org/v1", false),
        ("http://localhost@models.example.org/v1", false),
        ("http://localhost.example.org/v1", false),
        ("https://models.example.org/v1", true),
        ("http://localhost:8080/v1", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080/v1", true),
        ("ftp://localhost", false),
    ] {
        config.base_url = url.into();
        assert_eq!(refused(&config).is_empty(), works, "{url}");
    }
    config.base_url = "http://models.example.org/v1".into();
    config.allow_plain_http = true;
    assert_eq!(refused(&config), "");
    config.api_key = Some(ApiKey::new("two words"));
    assert!(refused(&config).contains("api_key"));
}
