//! Learning from preferences, [`Aligner`], and from rewards, [`Grpo`].

mod aligner;
mod grpo;
mod judge;
mod objective;

pub use aligner::{AlignLog, Aligner, Preference, Preferences, Rated};
pub use grpo::{Grpo, GrpoConfig, GrpoLog, Normalization, Reward, Rollout};
pub use objective::{DpoLoss, Objective};
