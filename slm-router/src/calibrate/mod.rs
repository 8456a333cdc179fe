//! From scores to thresholds with a guarantee, and whether they still hold.

mod conformal;
mod curve;
mod drift;
mod report;
mod risk;

pub use conformal::Calibration;
pub use curve::{auroc, false_positive_rate_at};
pub use drift::{Drift, DriftWatch};
pub use report::DetectorReport;
pub use risk::{RiskLimit, SelectiveReport};
