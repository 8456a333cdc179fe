#![doc = include_str!("../README.md")]

pub mod detector;
mod error;
pub mod router;

pub use detector::{Calibration, DetectorConfig, DetectorReport, DomainDetector, auroc};
pub use error::{Error, Result};
pub use router::{
    Decision, Delivery, Escalation, Route, RouteConfig, RouteKind, RouteScore, Routed, Router, RouterConfig,
    RouterStats, SharedModel,
};
