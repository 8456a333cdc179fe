//! Figures for Prometheus, by vLLM's names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Figures;

use crate::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    model_name: String,
    finished_reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    model_name: String,
    route: String,
}

type Histograms = Family<OfModel, Histogram, fn() -> Histogram>;
type Money = Counter<f64, AtomicU64>;

/// Figures for Prometheus.
#[derive(Debug)]
pub struct Metrics {
    figures: Figures,
    running: Family<OfModel, Gauge>,
    waiting: Family<OfModel, Gauge>,
    cache: Family<OfModel, Gauge<f64, AtomicU64>>,
    prompt_tokens: Family<OfModel, Counter>,
    generation_tokens: Family<OfModel, Counter>,
    first_token: Histograms,
    inter_token: Histograms,
    end_to_end: Histograms,
    queue: Histograms,
    success: Family<Ended, Counter>,
    routes: Family<Answered, Counter>,
    cost: Family<OfModel, Money>,
    refused: Family<Ended, Counter>,
}

/// What a finished request adds.
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) model: &'a str,
    pub(crate) route: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) prompt_tokens: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) first_token: Option<Duration>,
    pub(crate) elapsed: Duration,
    pub(crate) queued: Duration,
    pub(crate) cost: f64,
}

fn seconds() -> Histogram {
    Histogram::new([
        0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    ])
}

fn token_seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            figures: Figures::default(),
            running: Family::default(),
            waiting: Family::default(),
            cache: Family::default(),
            prompt_tokens: Family::default(),
            generation_tokens: Family::default(),
            first_token: Family::new_with_constructor(seconds),
            inter_token: Family::new_with_constructor(token_seconds),
            end_to_end: Family::new_with_constructor(seconds),
            queue: Family::new_with_constructor(seconds),
            success: Family::default(),
            routes: Family::default(),
            cost: Family::default(),
            refused: Family::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    fn register(&mut self) {
        let f = &mut self.figures;
        f.register("vllm:num_requests_running", "Requests being answered", self.running.clone());
        f.register("vllm:num_requests_waiting", "Requests in the queue", self.waiting.clone());
        f.register("vllm:kv_cache_usage_perc", "Share of the cache in use, 0 to 1", self.cache.clone());
        f.register("vllm:prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        f.register("vllm:generation_tokens", "Tokens generated", self.generation_tokens.clone());
        f.register("vllm:time_to_first_token_seconds", "Time to the first text", self.first_token.clone());
        f.register("vllm:inter_token_latency_seconds", "Time between texts", self.inter_token.clone());
        f.register("vllm:e2e_request_latency_seconds", "Time of a whole request", self.end_to_end.clone());
        f.register("vllm:request_queue_time_seconds", "Time in the queue", self.queue.clone());
        f.register("vllm:request_success", "Requests answered", self.success.clone());
        f.register("slm:requests_by_route", "Requests by who answered", self.routes.clone());
        f.register("slm:cost", "What the answers cost, in the currency of the prices", self.cost.clone());
        f.register("slm:request_refused", "Requests that were not answered", self.refused.clone());
    }

    /// A piece of text came `gap` after the one before it.
    pub(crate) fn gap(&self, model: &str, gap: Duration) {
        self.inter_token.get_or_create(&of(model)).observe(gap.as_secs_f64());
    }

    pub(crate) fn finished(&self, done: &Finished<'_>) {
        let model = of(done.model);
        self.prompt_tokens.get_or_create(&model).inc_by(done.prompt_tokens as u64);
        self.generation_tokens.get_or_create(&model).inc_by(done.completion_tokens as u64);
        if let Some(first) = done.first_token {
            self.first_token.get_or_create(&model).observe(first.as_secs_f64());
        }
        self.end_to_end.get_or_create(&model).observe(done.elapsed.as_secs_f64());
        self.queue.get_or_create(&model).observe(done.queued.as_secs_f64());
        self.cost.get_or_create(&model).inc_by(done.cost);
        let (model_name, finished_reason) = (done.model.to_owned(), done.reason.to_owned());
        self.success.get_or_create(&Ended { model_name, finished_reason }).inc();
        let (model_name, route) = (done.model.to_owned(), done.route.to_owned());
        self.routes.get_or_create(&Answered { model_name, route }).inc();
    }

    /// A request was refused or failed, for a reason of few kinds.
    pub(crate) fn refused(&self, model: &str, reason: &str) {
        let labels = Ended { model_name: model.to_owned(), finished_reason: reason.to_owned() };
        self.refused.get_or_create(&labels).inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self, registry: &Registry) -> String {
        for (name, engine) in &registry.engines {
            let (status, model) = (engine.status(), of(name));
            self.running.get_or_create(&model).set(status.running as i64);
            self.waiting.get_or_create(&model).set(status.waiting as i64);
            let share = status.cached_tokens as f64 / status.cache_limit.max(1) as f64;
            self.cache.get_or_create(&model).set(share);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.figures);
        text
    }
}

fn of(model: &str) -> OfModel {
    OfModel { model_name: model.to_owned() }
}
