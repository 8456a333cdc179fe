#![doc = include_str!("../README.md")]

pub mod comparison;
pub mod cost;
mod error;
pub mod evaluate;
pub mod forgetting;
pub mod instructions;
pub mod latency;
pub mod likelihood;
pub mod load;
pub mod metrics;
pub mod payback;
pub mod perplexity;
pub mod report;
pub mod resources;
mod results;
pub mod suite;

pub use comparison::{Comparison, Contender};
pub use cost::{Cost, CostModel};
pub use error::{Error, Result};
pub use evaluate::{EvalConfig, Evaluation, Item, Outcome, Row, Summary, evaluate, evaluate_items};
pub use forgetting::Forgetting;
pub use latency::LatencyStats;
pub use load::{LoadConfig, LoadReport, measure_load};
pub use metrics::Metric;
pub use payback::{CloudBill, Investment, Payback};
pub use perplexity::{Perplexity, PerplexityConfig, answer_perplexity, perplexity};
pub use report::{Report, Section};
pub use suite::{Suite, SuiteResult};
