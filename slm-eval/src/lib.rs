#![doc = include_str!("../README.md")]

pub mod cost;
mod error;
pub mod evaluate;
pub mod forgetting;
pub mod instructions;
pub mod latency;
pub mod likelihood;
pub mod metrics;
pub mod perplexity;
pub mod report;

pub use cost::{Cost, CostModel};
pub use error::{Error, Result};
pub use evaluate::{EvalConfig, Evaluation, Item, Outcome, Row, Summary, evaluate, evaluate_items};
pub use forgetting::Forgetting;
pub use latency::LatencyStats;
pub use metrics::Metric;
pub use perplexity::{Perplexity, PerplexityConfig, answer_perplexity, perplexity};
pub use report::{Report, Section};
