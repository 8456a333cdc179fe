//! The HTTP interface: OpenAI's protocol, health, metrics and the page.

mod chat;
mod completions;
mod encoders;
mod error;
mod logprobs;
mod messages;
mod parameters;
mod request;
mod run;
mod service;
mod stream;
mod tool_choice;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{HeaderValue, Method, header};
use axum::routing::{get, post};
use error::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::cors::CorsLayer;

use crate::access::Access;
use crate::config::{Limits, ServeConfig};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::registry::{Entry, Registry};
use crate::spans::Spans;
use crate::{Error, Result};

/// Everything that requests share.
#[derive(Debug)]
pub struct App {
    registry: ArcSwap<Registry>,
    access: Access,
    limits: Limits,
    cors: Vec<String>,
    log_texts: bool,
    metrics: Metrics,
    journal: Journal,
    spans: Option<Box<dyn Spans>>,
    permits: Arc<Semaphore>,
    draining: AtomicBool,
    requests: AtomicU64,
    /// Makes ids of this run differ from those of another.
    run: u32,
    /// Where a reload reads from.
    source: Option<PathBuf>,
}

impl App {
    /// Serves `registry` with the keys and limits of `config`.
    pub fn new(config: &ServeConfig, registry: Registry) -> Self {
        Self {
            registry: ArcSwap::from_pointee(registry),
            access: Access::new(&config.keys),
            limits: config.limits,
            cors: config.cors.origins.clone(),
            log_texts: config.log.texts,
            metrics: Metrics::default(),
            journal: Journal::default(),
            spans: None,
            permits: Arc::new(Semaphore::new(config.limits.max_requests)),
            draining: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            run: rand::random(),
            source: None,
        }
    }

    /// The same, which can be told to read its models anew from the configuration at `path`.
    #[must_use]
    pub fn with_source(self, path: impl Into<PathBuf>) -> Self {
        Self { source: Some(path.into()), ..self }
    }

    /// The same, which sends spans as `config` says.
    ///
    /// # Errors
    /// When the endpoint is no address, or this build has no feature `otel`.
    pub fn with_spans(self, config: &crate::config::OtelConfig) -> Result<Self> {
        Ok(Self { spans: Some(crate::spans::start(config)?), ..self })
    }

    /// What is served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// The limits of requests.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Loads models, adapters and indexes anew and puts them in the place of the old ones, which end with their last
    /// requests. Keys and limits stay as they are.
    ///
    /// # Errors
    /// When there is no configuration file, or what it names cannot be loaded; the old ones then stay.
    pub fn reload(&self) -> Result<Arc<Registry>> {
        let missing = || Error::Config { field: "config".into(), reason: "there is no file to read".into() };
        let config = ServeConfig::load(self.source.as_deref().ok_or_else(missing)?)?;
        let new = Arc::new(Registry::load(&config)?);
        self.registry.store(Arc::clone(&new));
        Ok(new)
    }

    /// Takes no more requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.limits.max_requests - self.permits.available_permits()
    }

    fn entry(&self, name: &str) -> Result<Entry, ApiError> {
        let registry = self.registry();
        registry.model(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = registry.models.iter().map(|e| e.name.as_str()).collect();
            self.metrics.refused("", "model_not_found");
            ApiError::no_model(name, &known)
        })
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            self.metrics.refused("", "overloaded");
            ApiError::overloaded("too many requests are under way", Duration::from_secs(1))
        })
    }

    fn new_id(&self, kind: &str) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{kind}-{:08x}{number:08x}", self.run)
    }
}

/// The routes of the server.
pub fn router(app: Arc<App>) -> Router {
    let origins: Vec<HeaderValue> = app.cors.iter().filter_map(|o| o.parse().ok()).collect();
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allow_origin(origins.clone());
    let routes = Router::new()
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/embeddings", post(encoders::embeddings))
        .route("/v1/rerank", post(encoders::rerank))
        .route("/v1/models", get(service::models))
        .route("/v1/models/{id}", get(service::model))
        .route("/v1/stats", get(service::stats))
        .route("/v1/feedback", post(service::feedback))
        .route("/v1/reload", post(service::reload))
        .route("/health", get(service::health))
        .route("/ready", get(service::ready))
        .route("/metrics", get(service::metrics))
        .route("/", get(service::page))
        .fallback(service::unknown)
        .method_not_allowed_fallback(service::unknown)
        .with_state(app);
    if origins.is_empty() { routes } else { routes.layer(cors) }
}
