//! A server in the test's own process, and a client that speaks plain HTTP.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};
use slm_serve::config::{LocalEntry, ModelEntry};
use slm_serve::{App, Registry, ServeConfig, Server};
use tokio::sync::oneshot;

/// The model that comes with the repository.
pub(crate) fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/base")
}

/// A configuration that serves it as `base` on a free port.
pub(crate) fn config() -> ServeConfig {
    ServeConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        models: vec![ModelEntry::Local(LocalEntry::new("base", &base()))],
        ..ServeConfig::default()
    }
}

/// A server under test; ends when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(crate) fn serve(config: &ServeConfig) -> Served {
    serve_app(config, App::new(config, Registry::load(config).expect("everything loads")))
}

pub(crate) fn serve_app(config: &ServeConfig, app: App) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let (bound, binding) = channel();
    let config = config.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let server = Server::bind(&config, app).await.expect("a free port");
            bound.send((server.address().expect("an address"), server.app())).expect("the test waits");
            server
                .run(async {
                    let _ = stopped.await;
                })
                .await;
        });
    });
    let (address, app) = binding.recv().expect("the server starts");
    Served { address, app, stop: Some(stop), thread: Some(thread) }
}

impl Served {
    /// Asks for the end without waiting for it.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends in order");
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The chunks of a stream, without its end mark, which has to be there.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut data: Vec<&str> = self.body.lines().filter_map(|l| l.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.body);
        data.iter().map(|d| serde_json::from_str(d).expect("a chunk is JSON")).collect()
    }

    /// The text of a streamed chat.
    pub(crate) fn streamed(&self) -> String {
        self.chunks()
            .iter()
            .filter_map(|c| c["choices"][0]["delta"]["content"].as_str().map(String::from))
            .collect()
    }
}

/// Opens a connection and sends a request; the reply is still to be read.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("the request is taken");
    stream
}

pub(crate) fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the reply ends");
    let text = String::from_utf8(bytes).expect("a reply is UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let head = head.to_lowercase();
    let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
    Reply { status, head, body }
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        whole.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap_or("");
    }
    whole
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    read(send(address, "GET", path, "", ""))
}

pub(crate) fn post(address: SocketAddr, path: &str, body: &Value) -> Reply {
    read(send(address, "POST", path, "content-type: application/json\r\n", &body.to_string()))
}

/// A chat of one question.
pub(crate) fn ask(question: &str) -> Value {
    json!({"model": "base", "messages": [{"role": "user", "content": question}], "max_tokens": 24})
}
