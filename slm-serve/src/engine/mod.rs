//! [`Engine`]: one local model and its adapters, answering many requests at once on a thread of its own.

mod job;
mod meter;
mod pace;
mod queue;
mod scheduler;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use job::{Job, Ticket};
pub use meter::{Meter, Metered};
use queue::FairQueue;
use scheduler::Gauges;
use serde::{Deserialize, Serialize};
use slm_core::generate::{Generated, PrefixCache, Prepared};
use slm_core::nn::KvCacheType;
use slm_core::{ChatRequest, ChatResponse, GenerationConfig, LanguageModel, LocalModel, OnDelta};
use slm_lora::LoraAdapter;

use crate::{Error, Result};

/// How many requests an [`Engine`] takes, and the memory that it may use for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Most requests answered at once.
    pub max_running: usize,
    /// Most requests that wait; one more is refused.
    pub max_waiting: usize,
    /// Memory for keys and values of the requests that run, in MiB. A request waits until all that it may come to
    /// need is free.
    pub kv_cache_mib: usize,
    /// How keys and values are kept.
    pub kv_cache: KvCacheType,
    /// Tokens of past texts whose keys and values are kept, for prompts that begin alike. Beyond `kv_cache_mib`.
    pub prefix_tokens: usize,
    /// Most tokens of prompts read in one pass.
    pub prompt_part: usize,
    /// About the longest that a pass may take beside answers that run, in milliseconds: as many tokens of prompts are read
    /// in it as fit by what passes took so far; and never for less time than the answers take, so that prompts get on.
    /// Shorter makes answers run more evenly, longer reads prompts sooner. 0: prompts are read by `prompt_part` alone.
    pub max_pass_ms: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_running: 16,
            max_waiting: 256,
            kv_cache_mib: 2048,
            kv_cache: KvCacheType::F16,
            prefix_tokens: 8192,
            prompt_part: 256,
            max_pass_ms: 250,
        }
    }
}

impl EngineConfig {
    fn check(&self) -> Result<()> {
        let counts = [
            ("max_running", self.max_running),
            ("kv_cache_mib", self.kv_cache_mib),
            ("prompt_part", self.prompt_part),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::config(*name, "expected at least 1, got 0")),
            None => Ok(()),
        }
    }
}

/// One local model and its adapters, answering many requests at once on a thread of its own.
///
/// Requests join and leave between passes over the weights ([`Batch`](slm_core::generate::Batch)). Who waits is
/// served by fair shares of tokens, and admitted when the keys and values that it may need fit in memory. Dropped,
/// it answers what it has taken in, and its thread ends.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    config: EngineConfig,
    /// The model without and with each adapter; all share the weights.
    variants: Vec<Arc<LocalModel>>,
    bytes_per_token: usize,
}

/// What callers and the engine's thread share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    gauges: Gauges,
}

#[derive(Debug, Default)]
struct State {
    queue: FairQueue,
    /// No request will come any more.
    closing: bool,
    /// The thread has ended.
    dead: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an engine is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EngineStatus {
    /// Requests being answered.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Tokens that running requests have in the cache.
    pub cached_tokens: usize,
    /// Most tokens that the cache may hold.
    pub cache_limit: usize,
    /// Whether it still answers.
    pub alive: bool,
}

impl Engine {
    /// Starts a thread for `model` and its `adapters`, by name.
    ///
    /// # Errors
    /// When a setting is out of range, an adapter does not fit the model, or no thread can be had.
    pub fn start(
        mut model: LocalModel,
        adapters: &[(String, LoraAdapter)],
        config: EngineConfig,
    ) -> Result<Self> {
        config.check()?;
        let prefixes = || (config.prefix_tokens > 0).then(|| PrefixCache::new(config.prefix_tokens));
        model.prefixes = prefixes();
        let mut variants = vec![Arc::new(model.clone())];
        for (name, adapter) in adapters {
            // Keys and values differ with the adapter: each variant keeps prefixes of its own.
            let mut variant = LocalModel { name: name.clone(), prefixes: prefixes(), ..model.clone() };
            adapter.attach(&mut variant.model)?;
            variants.push(Arc::new(variant));
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            gauges: Gauges::default(),
        });
        let bytes_per_token = bytes_per_token(&model, config.kv_cache);
        let engine = Self { shared, config, variants, bytes_per_token };
        let scheduler = scheduler::Scheduler::new(&engine);
        std::thread::Builder::new()
            .name(format!("engine {}", model.name))
            .spawn(move || scheduler.run())
            .map_err(|source| Error::Io { path: Path::new("thread").into(), source })?;
        Ok(engine)
    }

    /// A handle on the model without an adapter, or with the one of that name.
    pub fn model(self: &Arc<Self>, adapter: Option<&str>) -> Option<EngineModel> {
        let variant = match adapter {
            None => 0,
            Some(name) => 1 + self.variants.iter().skip(1).position(|v| v.name == name)?,
        };
        Some(EngineModel { engine: Arc::clone(self), variant })
    }

    /// How it was set up.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// What it is doing now.
    pub fn status(&self) -> EngineStatus {
        let state = self.shared.lock();
        EngineStatus {
            running: self.shared.gauges.running.load(Ordering::Relaxed),
            waiting: state.queue.len(),
            cached_tokens: self.shared.gauges.cached_tokens.load(Ordering::Relaxed),
            cache_limit: self.cache_limit(),
            alive: !state.dead,
        }
    }

    /// Tokens whose keys and values fit in the memory set aside.
    fn cache_limit(&self) -> usize {
        self.config.kv_cache_mib * (1 << 20) / self.bytes_per_token.max(1)
    }

    fn submit(&self, variant: usize, request: Prepared, tenant: &str) -> Result<Ticket> {
        let (tokens, limit) = (request.max_tokens(), self.cache_limit());
        if tokens > limit {
            return Err(Error::TooLong { tokens, limit });
        }
        let (job, ticket) = Job::new(variant, request);
        let mut state = self.shared.lock();
        if state.dead || state.closing {
            return Err(Error::Stopped { name: self.variants[0].name.clone() });
        }
        let waiting = state.queue.len();
        if waiting >= self.config.max_waiting {
            let retry_after = self.shared.gauges.time_of(state.queue.tokens());
            return Err(Error::Overloaded { waiting, retry_after });
        }
        state.queue.push(tenant, job);
        drop(state);
        self.shared.wake.notify_one();
        Ok(ticket)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

/// Memory of a token's keys and values over all layers.
fn bytes_per_token(model: &LocalModel, kind: KvCacheType) -> usize {
    let config = &model.model.config;
    let per_head = match kind {
        KvCacheType::F32 => 4 * config.head_dim,
        KvCacheType::F16 => 2 * config.head_dim,
        // A code each, and a scale.
        KvCacheType::Int8 => config.head_dim + 4,
    };
    2 * config.num_hidden_layers * config.num_key_value_heads * per_head
}

/// A model of an [`Engine`], for one request after another from any thread.
#[derive(Debug, Clone)]
pub struct EngineModel {
    engine: Arc<Engine>,
    variant: usize,
}

impl EngineModel {
    /// The model behind it: tokenizer, template and configuration.
    pub fn local(&self) -> &LocalModel {
        &self.engine.variants[self.variant]
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Continues a text, as [`LocalModel::generate`], on behalf of `user`.
    ///
    /// # Errors
    /// As [`LocalModel::generate`], and when the engine is overloaded or has stopped.
    pub fn generate(
        &self,
        ids: Vec<u32>,
        config: &GenerationConfig,
        user: Option<&str>,
        on_text: &mut dyn FnMut(&str) -> std::ops::ControlFlow<()>,
    ) -> slm_core::Result<Generated> {
        let request = self.local().prepare_ids(ids, &self.configured(config))?;
        self.answer(request, user, &mut |delta| on_text(delta.text()))
    }

    fn configured(&self, config: &GenerationConfig) -> GenerationConfig {
        GenerationConfig { kv_cache: self.engine.config.kv_cache, ..config.clone() }
    }

    fn answer(
        &self,
        request: Prepared,
        user: Option<&str>,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<Generated> {
        let name = self.name();
        let ticket = self.engine.submit(self.variant, request, user.unwrap_or_default());
        let ticket = ticket.map_err(|e| e.of_model(name))?;
        ticket.wait(on_delta).unwrap_or_else(|| Err(Error::Stopped { name: name.into() }.of_model(name)))
    }
}

impl LanguageModel for EngineModel {
    fn name(&self) -> &str {
        &self.local().name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> std::ops::ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        self.stream_deltas(request, &mut |delta| on_text(delta.text()))
    }

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        let request = ChatRequest { generation: self.configured(&request.generation), ..request.clone() };
        let prepared = self.local().prepare(&request)?;
        let made = self.answer(prepared, request.user.as_deref(), on_delta)?;
        Ok(made.into_response(self.name()))
    }
}

/// How long a caller waits between two looks at whether its client is still there.
const LOOK: Duration = Duration::from_millis(100);
