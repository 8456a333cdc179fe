//! Downloads from a server in this process that plays the hub, and breaks off when told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use slm_core::hub::{Downloaded, HubOptions, Network, fetch};
use slm_core::{CausalLm, Error};

const REPOSITORY: &str = "team/expert";

/// Serves the files of one repository.
struct Hub {
    address: String,
    /// Breaks off in the middle of the weights.
    breaks: Arc<AtomicBool>,
    /// Bodies of weights that were sent whole.
    sent: Arc<AtomicUsize>,
}

fn commit(revision: &str) -> Option<String> {
    match revision {
        "main" | "v1" => Some(if revision == "v1" { "1" } else { "2" }.repeat(40)),
        sha if sha.len() == 40 && sha.bytes().all(|b| b == b'1' || b == b'2') => Some(sha.to_owned()),
        _ => None,
    }
}

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/linear");
        let read = |name: &str| (name.to_owned(), std::fs::read(golden.join(name)).expect("golden"));
        let mut files: BTreeMap<String, Vec<u8>> =
            ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map(read).into();
        files.insert("original/consolidated.00.pth".into(), vec![0; 10]);
        files.insert("model-q4.gguf".into(), vec![0; 10]);
        let (breaks, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let state = (Arc::new(files), breaks.clone(), sent.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, breaks, sent) = state.clone();
                std::thread::spawn(move || serve(&stream, &files, &breaks, &sent));
            }
        });
        Self { address, breaks, sent }
    }

    fn options(&self, cache: &Path) -> HubOptions {
        HubOptions {
            endpoint: Some(self.address.clone()),
            cache: Some(cache.into()),
            token: Some("secret".into()),
            ..HubOptions::default()
        }
    }
}

fn serve(stream: &TcpStream, files: &BTreeMap<String, Vec<u8>>, breaks: &AtomicBool, sent: &AtomicUsize) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
    let mut parts = request.split(' ');
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, mut extra, body) =
        if headers.iter().any(|h| h.to_lowercase() == "authorization: bearer secret") {
            answer(path, files)
        } else {
            ("401 Unauthorized", String::new(), Vec::new())
        };
    extra.push_str("Connection: close\r\n");
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len());
    let mut out = stream;
    if out.write_all(head.as_bytes()).is_err() || method == "HEAD" {
        return;
    }
    if path.ends_with("model.safetensors") {
        if breaks.load(Ordering::SeqCst) {
            // Half of it, and the connection closes.
            let _ = out.write_all(&body[..body.len() / 2]);
            return;
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    let _ = out.write_all(&body);
}

fn answer(path: &str, files: &BTreeMap<String, Vec<u8>>) -> (&'static str, String, Vec<u8>) {
    let json = |text: String| ("200 OK", "Content-Type: application/json\r\n".to_owned(), text.into_bytes());
    let missing = |what: &str| ("404 Not Found", format!("X-Error-Code: {what}\r\n"), Vec::new());
    if let Some(rest) = path.strip_prefix(&format!("/api/models/{REPOSITORY}/")) {
        let (kind, revision) = rest.split_once('/').unwrap_or((rest, ""));
        let revision = revision.trim_end_matches('/');
        let Some(sha) = commit(revision) else { return missing("RevisionNotFound") };
        return match kind {
            "revision" => json(format!(r#"{{"id":"{REPOSITORY}","sha":"{sha}"}}"#)),
            _ => {
                let entry = |(name, bytes): (&String, &Vec<u8>)| {
                    let size = bytes.len();
                    format!(r#"{{"type":"file","path":"{name}","size":{size},"oid":"{sha}"}}"#)
                };
                json(format!("[{}]", files.iter().map(entry).collect::<Vec<_>>().join(",")))
            }
        };
    }
    let Some(rest) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/")) else {
        return missing("RepoNotFound");
    };
    let (revision, name) = rest.split_once('/').unwrap_or((rest, ""));
    match (commit(revision), files.get(name)) {
        (Some(sha), Some(bytes)) => {
            let headers =
                format!("ETag: \"{}-{}\"\r\nX-Repo-Commit: {sha}\r\n", name.replace('/', "-"), bytes.len());
            ("200 OK", headers, bytes.clone())
        }
        _ => missing("EntryNotFound"),
    }
}

fn quiet(_: Downloaded) {}

#[test]
fn a_model_is_downloaded_once_and_then_found_offline() {
    let (hub, cache) = (Hub::start(), tempfile::tempdir().expect("folder"));
    let options = hub.options(cache.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let folder =
        fetch(REPOSITORY, &options, move |d| record.lock().expect("lock").push(d)).expect("downloads");
    assert!(CausalLm::load(&folder, &Device::flex()).is_ok(), "the folder is a model");
    assert!(!folder.join("original").exists() && !folder.join("model-q4.gguf").exists());
    let seen = seen.lock().expect("lock").clone();
    let last = seen.last().expect("progress");
    assert!(last.bytes == last.total && last.total > 100_000, "{last:?}");
    assert!(seen.is_sorted_by_key(|d| d.bytes), "{seen:?}");

    assert_eq!(fetch(REPOSITORY, &options, quiet).expect("cached"), folder);
    assert_eq!(hub.sent.load(Ordering::SeqCst), 1, "the weights came once");
    let offline =
        HubOptions { network: Network::Offline, endpoint: Some("http://127.0.0.1:1".into()), ..options };
    assert_eq!(fetch(REPOSITORY, &offline, quiet).expect("offline"), folder);
}

#[test]
fn revisions_are_apart_and_unknown_ones_are_named() {
    let (hub, cache) = (Hub::start(), tempfile::tempdir().expect("folder"));
    let at = |revision: &str| HubOptions { revision: Some(revision.into()), ..hub.options(cache.path()) };
    let main = fetch(REPOSITORY, &hub.options(cache.path()), quiet).expect("main");
    let tagged = fetch(REPOSITORY, &at("v1"), quiet).expect("tag");
    assert_ne!(main, tagged);
    assert_eq!(fetch(REPOSITORY, &at(&"1".repeat(40)), quiet).expect("commit"), tagged);
    let error = fetch(REPOSITORY, &at("v9"), quiet).expect_err("unknown").to_string();
    assert!(error.contains(REPOSITORY) && error.contains("hint:"), "{error}");
    let error = fetch("no-owner", &at("main"), quiet).expect_err("a name").to_string();
    assert!(error.contains("owner/name"), "{error}");
    let stranger = HubOptions { token: Some("wrong".into()), ..hub.options(cache.path()) };
    let error = fetch("team/other", &stranger, quiet).expect_err("refused").to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
}

#[test]
fn an_interrupted_download_leaves_nothing_that_looks_whole() {
    let (hub, cache) = (Hub::start(), tempfile::tempdir().expect("folder"));
    let options = hub.options(cache.path());
    hub.breaks.store(true, Ordering::SeqCst);
    let error = fetch(REPOSITORY, &options, quiet).expect_err("broken off");
    assert!(matches!(&error, Error::Hub { hint, .. } if hint.contains("try again")), "{error}");
    let offline = HubOptions { network: Network::Offline, ..options.clone() };
    let error = fetch(REPOSITORY, &offline, quiet).expect_err("a part").to_string();
    assert!(error.contains("hint:") && error.contains("online"), "{error}");

    hub.breaks.store(false, Ordering::SeqCst);
    let folder = fetch(REPOSITORY, &options, quiet).expect("the second time");
    assert!(CausalLm::load(&folder, &Device::flex()).is_ok());
}
