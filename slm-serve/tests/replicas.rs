//! Two replicas behind a proxy share nothing but files: one is killed, and no question is lost or answered wrongly.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{ask, base, get, post};

/// A server in a process of its own.
struct Replica {
    process: Child,
    address: SocketAddr,
}

impl Replica {
    fn start(config: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_slm-serve"))
            .args(["run", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(process.stderr.take().expect("its log"));
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a line") > 0, "it ended");
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "listening" {
                break line["address"].as_str().and_then(|a| a.parse().ok()).expect("an address");
            }
        };
        // Nobody reads on: what it logs must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A proxy that asks replicas in turn, and the next one where one does not answer to the end, as nginx does with
/// `proxy_next_upstream error`.
#[derive(Clone)]
struct Proxy {
    replicas: Arc<RwLock<Vec<SocketAddr>>>,
    turn: Arc<AtomicUsize>,
    /// Answers of each replica.
    answered: Arc<Mutex<Vec<(SocketAddr, usize)>>>,
    retried: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(replicas: &[SocketAddr]) -> (Self, SocketAddr) {
        let proxy = Self {
            replicas: Arc::new(RwLock::new(replicas.to_vec())),
            turn: Arc::default(),
            answered: Arc::default(),
            retried: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (proxy, stream) = (serving.clone(), stream.expect("a connection"));
                std::thread::spawn(move || proxy.pass_on(stream));
            }
        });
        (proxy, address)
    }

    fn pass_on(&self, mut client: TcpStream) {
        let request = whole(&mut client).expect("a request");
        let replicas = self.replicas.read().expect("replicas").clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for attempt in 0..replicas.len() {
            let next = replicas[(turn + attempt) % replicas.len()];
            let reply = TcpStream::connect(next).and_then(|mut server| {
                server.write_all(&request)?;
                whole(&mut server)
            });
            if let Ok(reply) = reply {
                self.retried.fetch_add(attempt, Ordering::Relaxed);
                let mut answered = self.answered.lock().expect("counts");
                match answered.iter_mut().find(|(address, _)| *address == next) {
                    Some((_, count)) => *count += 1,
                    None => answered.push((next, 1)),
                }
                drop(answered);
                client.write_all(&reply).expect("the client waits");
                return;
            }
        }
        client
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\n{}")
            .expect("the client waits");
    }

    fn answered_by(&self, address: SocketAddr) -> usize {
        let answered = self.answered.lock().expect("counts");
        answered.iter().find(|(other, _)| *other == address).map_or(0, |(_, count)| *count)
    }
}

/// A head and as many bytes behind it as it says.
fn whole(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
            if bytes.len() >= at + 4 + length.and_then(|l| l.parse().ok()).unwrap_or(0) {
                return Ok(bytes);
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn question(number: usize) -> Value {
    let mut body = ask(&format!("What is {number} plus {}?", number * 7 % 11));
    body["max_tokens"] = 120.into();
    body["guided_regex"] = "[a-z ]{100}".into();
    body
}

fn said(address: SocketAddr, number: usize) -> String {
    let reply = post(address, "/v1/chat/completions", &question(number));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

#[test]
fn a_replica_that_is_killed_costs_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("serve.toml");
    let text = format!("[[models]]\nkind = \"local\"\nname = \"base\"\npath = {:?}\n", base());
    std::fs::write(&config, text).expect("it is written");
    let (mut first, second) = (Replica::start(&config), Replica::start(&config));
    let expected: Vec<String> = (0..12).map(|n| said(first.address, n)).collect();
    assert!((0..12).all(|n| said(second.address, n) == expected[n]), "the same files give the same answers");

    let (proxy, address) = Proxy::start(&[first.address, second.address]);
    let done = AtomicUsize::new(0);
    let (clients, each) = (6, 40);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (done, expected) = (&done, &expected);
            scope.spawn(move || {
                for round in 0..each {
                    let number = (client * 5 + round) % 12;
                    assert_eq!(said(address, number), expected[number]);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // In the midst of it, with answers under way.
        while done.load(Ordering::Relaxed) < clients * each / 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while get(first.address, "/v1/stats").json()["in_flight"] == 0 && Instant::now() < deadline {}
        first.process.kill().expect("it is killed");
    });
    assert_eq!(done.load(Ordering::Relaxed), clients * each, "no question is lost");
    let (of_first, of_second) = (proxy.answered_by(first.address), proxy.answered_by(second.address));
    assert!(of_first > 10 && of_second > of_first, "{of_first} {of_second}");
    assert!(proxy.retried.load(Ordering::Relaxed) > 0, "the next replica took over");

    // One that takes its place serves from the same files.
    let again = Replica::start(&config);
    proxy.replicas.write().expect("replicas")[0] = again.address;
    (0..12).for_each(|n| assert_eq!(said(address, n), expected[n]));
    assert!(proxy.answered_by(again.address) > 0);
}
