//! Models that answer from documents.

mod extractive;
pub mod grounded;
mod knowledge;

pub use extractive::{ExtractiveConfig, ExtractiveModel};
pub use grounded::{CheckedSentence, GroundedAnswer, GroundedConfig, GroundedModel, Unmarked, Unsupported};
pub use knowledge::Knowledge;
