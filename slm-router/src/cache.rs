//! [`CachedModel`]: answers that were given before.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, OnDelta, Usage};

use crate::cascade::CascadeRoute;
use crate::router::deliver;
use crate::{Clock, Error, Result, SharedModel, SystemClock};

/// How much a [`CachedModel`] remembers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Most answers that are kept; the one that was not asked for the longest goes first.
    pub answers: usize,
    /// Seconds for which an answer holds.
    pub seconds: f64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { answers: 1000, seconds: 3600.0 }
    }
}

/// How a cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheStats {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that the model was asked.
    pub misses: u64,
    /// Answers in memory.
    pub answers: usize,
}

/// A model that is asked the same only once.
///
/// Two requests are the same if all they hold is the same, seed and tools included; the order of fields in JSON does
/// not count. Only whole answers are kept: none that was cancelled or withheld, or stood in for one that failed, no call of
/// a tool, no failure. An answer from memory has used no tokens, costs nothing and takes the
/// [route](ChatResponse::route) `cache`.
pub struct CachedModel {
    model: SharedModel,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Memory {
    answers: HashMap<String, Kept>,
    /// Keys by when they were last asked for.
    order: BTreeMap<u64, String>,
    turn: u64,
}

struct Kept {
    response: ChatResponse,
    until: Duration,
    turn: u64,
}

impl std::fmt::Debug for CachedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedModel")
            .field("model", &self.model.name())
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl CachedModel {
    /// A memory in front of `model`.
    ///
    /// # Errors
    /// When it is to hold no answer, or for no time.
    pub fn new(model: impl LanguageModel + Send + Sync + 'static, config: CacheConfig) -> Result<Self> {
        if config.answers == 0 {
            return Err(Error::config("answers", "expected at least 1, got 0"));
        }
        if !(config.seconds > 0.0 && config.seconds <= 1e9) {
            return Err(Error::config("seconds", format!("expected up to 1e9, got {}", config.seconds)));
        }
        Ok(Self {
            model: Box::new(model),
            config,
            clock: Arc::new(SystemClock),
            memory: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// The same on another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// How often memory sufficed so far.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            answers: self.memory().answers.len(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn through(
        &self,
        request: &ChatRequest,
        ask: impl FnOnce() -> slm_core::Result<ChatResponse>,
    ) -> slm_core::Result<(ChatResponse, bool)> {
        let key = key(request)?;
        let found = self.memory().recall(&key, self.clock.now());
        if let Some(response) = found {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok((response, true));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let response = ask()?;
        let is_whole = matches!(response.finish_reason, FinishReason::Stop | FinishReason::Length);
        let stands_in = CascadeRoute::LocalAfterFailure.name();
        if is_whole && response.route.as_ref().is_none_or(|route| !route.contains(stands_in)) {
            let until = self.clock.now() + Duration::from_secs_f64(self.config.seconds);
            self.memory().keep(key, response.clone(), until, self.config.answers);
        }
        Ok((response, false))
    }
}

impl Memory {
    fn recall(&mut self, key: &str, now: Duration) -> Option<ChatResponse> {
        let kept = self.answers.get_mut(key)?;
        self.order.remove(&kept.turn);
        if now >= kept.until {
            self.answers.remove(key);
            return None;
        }
        self.turn += 1;
        kept.turn = self.turn;
        self.order.insert(self.turn, key.to_owned());
        let cost = kept.response.cost.map(|_| 0.0);
        let route = Some("cache".to_owned());
        Some(ChatResponse { usage: Usage::default(), cost, route, ..kept.response.clone() })
    }

    fn keep(&mut self, key: String, response: ChatResponse, until: Duration, limit: usize) {
        self.turn += 1;
        let turn = self.turn;
        if let Some(before) = self.answers.insert(key.clone(), Kept { response, until, turn }) {
            self.order.remove(&before.turn);
        }
        self.order.insert(turn, key);
        while self.answers.len() > limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.answers.remove(&oldest);
        }
    }
}

/// A request as text, the fields of JSON in order.
fn key(request: &ChatRequest) -> slm_core::Result<String> {
    let mut value = serde_json::to_value(request).map_err(|error| slm_core::Error::Request {
        reason: format!("cannot be written as JSON: {error}"),
    })?;
    value.sort_all_objects();
    Ok(Value::to_string(&value))
}

impl LanguageModel for CachedModel {
    fn name(&self) -> &str {
        self.model.name()
    }

    crate::router::text_of_deltas!();

    fn stream_deltas(
        &self,
        request: &ChatRequest,
        on_delta: &mut OnDelta<'_>,
    ) -> slm_core::Result<ChatResponse> {
        let (response, from_memory) =
            self.through(request, || self.model.stream_deltas(request, on_delta))?;
        Ok(if from_memory { deliver(response, on_delta) } else { response })
    }

    fn chat(&self, request: &ChatRequest) -> slm_core::Result<ChatResponse> {
        Ok(self.through(request, || self.model.chat(request))?.0)
    }
}
