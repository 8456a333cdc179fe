#![doc = include_str!("../README.md")]

pub mod audit;
mod cache;
pub mod calibrate;
pub mod cascade;
mod clock;
#[cfg(feature = "cloud")]
pub mod cloud;
pub mod complexity;
pub mod cost;
pub mod detector;
mod error;
mod file;
pub mod intent;
mod linear;
pub mod outcome;
pub mod router;
pub mod strategy;
pub mod triage;
pub mod trust;

pub use audit::{AuditConfig, AuditLimits, AuditReport, Fit, LogRecord, PolicyCost, audit, read_log};
pub use cache::{CacheConfig, CacheStats, CachedModel};
pub use calibrate::{
    Calibration, DetectorReport, Drift, DriftWatch, RiskLimit, SelectiveReport, auroc, false_positive_rate_at,
};
pub use cascade::{Cascade, CascadeConfig, CascadeRoute, CascadeStats, Cascaded, Fallback};
pub use clock::{Clock, SystemClock};
#[cfg(feature = "cloud")]
pub use cloud::{ApiKey, CloudConfig, CloudModel};
pub use complexity::{Complexity, TaskKind};
pub use cost::{Budget, Prices, Reservation, Spending};
pub use detector::{DetectorConfig, DomainDetector};
pub use error::{Error, Result};
pub use intent::{Assessment, IntentConfig, IntentDetector, Sample, Signal};
pub use outcome::{Outcome, OutcomeConfig, OutcomeRouter, RoutingCurve};
pub use router::{
    Decision, Delivery, Escalation, Route, RouteConfig, RouteDetector, RouteKind, RouteScore, Routed, Router,
    RouterConfig, RouterStats, SharedEmbedder, SharedModel,
};
pub use strategy::{
    ChainOfThought, Decompose, DecomposeConfig, Planner, SelfConsistency, SelfConsistencyConfig,
    split_question,
};
pub use triage::{Action, Triage, TriageModel, TriageScores, Triaged};
pub use trust::{AnswerSignals, TrustModel};
