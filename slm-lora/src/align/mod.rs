//! Learning from preferences: [`Aligner`].

mod aligner;
mod judge;
mod objective;

pub use aligner::{AlignLog, Aligner, Preference, Preferences, Rated};
pub use objective::{DpoLoss, Objective};
