//! Models from the Hugging Face hub, by `hf-hub`: downloaded once, kept in the cache that Python's tools share.
//!
//! A file appears in the cache whole or not at all: an interrupted download leaves none that a later call would take
//! for complete.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hf_hub::HFClient;
use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use serde_json::Value;

use crate::text::read_json;
use crate::{Error, Result};

/// What is read of a repository: configuration, tokenizer, templates and safetensors.
const WANTED: [&str; 6] = ["*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.safetensors"];

/// Other forms of the same weights.
const UNWANTED: [&str; 6] =
    ["original/*", "consolidated*.safetensors", "onnx/*", "openvino/*", "*.gguf", "*adapter_model*"];

/// Where from and where to.
#[derive(Debug, Clone, Default)]
pub struct HubOptions {
    /// Branch, tag or commit; `None` is `main`. A commit never changes.
    pub revision: Option<String>,
    /// Whether to ask the hub at all.
    pub network: Network,
    /// Address of the hub; `None` is `HF_ENDPOINT`, or huggingface.co.
    pub endpoint: Option<String>,
    /// Folder of the cache; `None` is `HF_HUB_CACHE` or the default of `huggingface_hub`.
    pub cache: Option<PathBuf>,
    /// For repositories that are not public; `None` is `HF_TOKEN` or the token that Python's tools saved.
    pub token: Option<String>,
}

/// Whether to ask the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Yes, unless `HF_HUB_OFFLINE` is set to anything but 0.
    #[default]
    Auto,
    /// No: only what is in the cache.
    Offline,
}

/// How far a download has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes received of all files.
    pub bytes: u64,
    /// Bytes of all files that were not in the cache.
    pub total: u64,
}

/// The folder of a model: downloads what is not in the cache, and calls `on_progress` as bytes arrive, from another
/// thread.
///
/// ```no_run
/// use slm_core::{LocalModel, hub};
///
/// let folder = hub::fetch("Qwen/Qwen3-0.6B", &hub::HubOptions::default(), |done| {
///     eprint!("\r{} of {} MB", done.bytes / 1_000_000, done.total / 1_000_000);
/// })?;
/// let model = LocalModel::load(&folder, &burn::tensor::Device::flex())?;
/// # Ok::<(), slm_core::Error>(())
/// ```
///
/// # Errors
/// When the repository or revision does not exist or may not be read, the connection fails, or, offline, the cache
/// does not hold all of the model.
pub fn fetch(
    repository: &str,
    options: &HubOptions,
    on_progress: impl Fn(Downloaded) + Send + Sync + 'static,
) -> Result<PathBuf> {
    let fail = |e: hf_hub::HFError| refused(repository, &e);
    let Some((owner, name)) = repository.split_once('/').filter(|(o, n)| !o.is_empty() && !n.is_empty())
    else {
        let reason = format!("expected \"owner/name\", found \"{repository}\"");
        return Err(Error::Request { reason });
    };
    let mut client = HFClient::builder().user_agent(concat!("slm-core/", env!("CARGO_PKG_VERSION")));
    if let Some(endpoint) = &options.endpoint {
        client = client.endpoint(endpoint);
    }
    if let Some(cache) = &options.cache {
        client = client.cache_dir(cache);
    }
    if let Some(token) = &options.token {
        client = client.token(token);
    }
    let client = client.build_sync().map_err(fail)?;
    let offline = options.network == Network::Offline || offline_by_environment();
    let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let snapshot = client
        .model(owner, name)
        .snapshot_download()
        .maybe_revision(options.revision.clone())
        .allow_patterns(list(&WANTED))
        .ignore_patterns(list(&UNWANTED))
        .local_files_only(offline)
        .progress(Progress::new(Meter { on_progress, files: Mutex::default() }))
        .send()
        .map_err(fail)?;
    check_complete(repository, &snapshot)?;
    Ok(snapshot)
}

fn offline_by_environment() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !matches!(v.as_str(), "" | "0"))
}

/// Whether all weights that the index names are there; an interrupted download may have brought a part.
fn check_complete(repository: &str, snapshot: &Path) -> Result<()> {
    let index = snapshot.join("model.safetensors.index.json");
    let mut files = vec!["config.json".to_owned()];
    if index.exists() {
        let shards = read_json(&index)?;
        let names = shards["weight_map"].as_object().into_iter().flat_map(|m| m.values());
        files.extend(names.filter_map(Value::as_str).map(str::to_owned));
    } else {
        files.push("model.safetensors".into());
    }
    match files.iter().find(|file| !snapshot.join(file).exists()) {
        None => Ok(()),
        Some(file) => Err(Error::Hub {
            repository: repository.into(),
            reason: format!("{file} is not in {}", snapshot.display()),
            hint: "fetch it online; an interrupted download leaves a part".into(),
        }),
    }
}

fn refused(repository: &str, e: &hf_hub::HFError) -> Error {
    let hint = match e {
        hf_hub::HFError::LocalEntryNotFound { .. } => "fetch it online once",
        hf_hub::HFError::AuthRequired { .. } | hf_hub::HFError::Forbidden { .. } => {
            "set HF_TOKEN, and accept the model's licence on its page"
        }
        hf_hub::HFError::RepoNotFound { .. } | hf_hub::HFError::RevisionNotFound { .. } => {
            "check the spelling; a private repository needs HF_TOKEN"
        }
        _ => "try again; what is complete is kept",
    };
    let mut reason = e.to_string();
    let mut source = std::error::Error::source(e);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Error::Hub { repository: repository.into(), reason, hint: hint.into() }
}

/// Adds up the files of a download.
struct Meter<F> {
    on_progress: F,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    total: u64,
    received: std::collections::BTreeMap<String, u64>,
    /// Of files whose storage reports all of them together.
    together: u64,
}

impl<F: Fn(Downloaded) + Send + Sync> ProgressHandler for Meter<F> {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            DownloadEvent::Start { total_bytes, .. } => files.total = files.total.max(*total_bytes),
            DownloadEvent::Progress { files: changed } => {
                for file in changed {
                    files.received.insert(file.filename.clone(), file.bytes_completed);
                }
            }
            DownloadEvent::AggregateProgress { bytes_completed, .. } => files.together = *bytes_completed,
            DownloadEvent::Complete => {}
        }
        let bytes = files.received.values().sum::<u64>().max(files.together);
        let (bytes, total) = (bytes, files.total.max(bytes));
        drop(files);
        (self.on_progress)(Downloaded { bytes, total });
    }
}
