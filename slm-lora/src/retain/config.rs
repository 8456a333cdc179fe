//! [`RetentionConfig`]: what is done against forgetting, and how much of it is allowed.

use serde::{Deserialize, Serialize};
use slm_core::text::TrainingText;

use crate::{Error, Result};

/// A pull of the weights to where they began, added to their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// None.
    None,
    /// `weight / 2 · ‖θ − θ₀‖²` (L2-SP, Li et al. 2018).
    L2Sp {
        /// Of the penalty.
        weight: f32,
    },
    /// `weight / 2 · Σ F (θ − θ₀)²` with the mean squared gradients `F` of general texts at the start (EWC, Kirkpatrick et al.
    /// 2017), divided by their mean: the weight is that of [`Pull::L2Sp`].
    Ewc {
        /// Of the penalty.
        weight: f32,
        /// Batches of general texts from which `F` is measured.
        batches: usize,
    },
}

/// What is done against forgetting. The default is replay, and a divergence whose weight follows what is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How much the loss on general texts may rise above that of the base, in nats per learned token (ε).
    pub max_general_loss_increase: f32,
    /// Weight of the divergence of the base from the model on general texts, at the start; 0 leaves it out.
    pub kl_weight: f32,
    /// Whether the weight is raised where too much is forgotten, and lowered where more may be.
    pub steer: bool,
    /// General texts of a step, on which the divergence is taken.
    pub general_batch_size: usize,
    /// Fraction of the examples that are general texts, learned as those of the domain are.
    pub replay_ratio: f64,
    /// A pull of the weights to where they began.
    pub pull: Pull,
    /// Steps from one measurement to the next.
    pub every: usize,
    /// Fractions of the way from the base to the trained weights that are measured at the end (WiSE-FT, Wortsman et al. 2022).
    pub scales: Vec<f32>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            max_general_loss_increase: 0.05,
            kl_weight: 1.0,
            steer: true,
            general_batch_size: 4,
            replay_ratio: 0.1,
            pull: Pull::None,
            every: 25,
            scales: vec![0.2, 0.4, 0.6, 0.8],
        }
    }
}

impl RetentionConfig {
    /// Nothing is done: plain fine-tuning, measured as the others are.
    pub fn off() -> Self {
        Self { kl_weight: 0.0, steer: false, replay_ratio: 0.0, scales: Vec::new(), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let weight = match self.pull {
            Pull::None => 0.0,
            Pull::L2Sp { weight } | Pull::Ewc { weight, .. } => weight,
        };
        let positive = [
            ("max_general_loss_increase", self.max_general_loss_increase),
            ("kl_weight", self.kl_weight),
            ("pull", weight),
        ];
        for (field, value) in positive {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::Config { field, reason: format!("{value} is negative or no number") });
            }
        }
        if !(0.0..1.0).contains(&self.replay_ratio) {
            let reason = format!("{} is not within 0 and 1", self.replay_ratio);
            return Err(Error::Config { field: "replay_ratio", reason });
        }
        if self.every == 0 || self.general_batch_size == 0 {
            let field = if self.every == 0 { "every" } else { "general_batch_size" };
            return Err(Error::Config { field, reason: "must be positive".into() });
        }
        if let Some(scale) = self.scales.iter().find(|scale| !(0.0..=1.0).contains(*scale)) {
            return Err(Error::Config { field: "scales", reason: format!("{scale} is not within 0 and 1") });
        }
        Ok(())
    }
}

/// Texts of the domain and others, to learn from and to measure on.
#[derive(Debug, Clone, Default)]
pub struct RetentionData {
    /// To learn.
    pub domain: Vec<TrainingText>,
    /// What the domain's loss is measured on.
    pub domain_validation: Vec<TrainingText>,
    /// Not to forget.
    pub general: Vec<TrainingText>,
    /// What forgetting is measured on.
    pub general_validation: Vec<TrainingText>,
}

impl RetentionData {
    /// The domain's texts with enough of the others, from the first on and around, to be `ratio` of all.
    pub(super) fn mixed(&self, ratio: f64) -> Vec<TrainingText> {
        let wanted = (self.domain.len() as f64 * ratio / (1.0 - ratio)).round() as usize;
        let replayed = self.general.iter().cycle().take(if self.general.is_empty() { 0 } else { wanted });
        self.domain.iter().chain(replayed).cloned().collect()
    }
}
