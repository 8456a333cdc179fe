//! [`EncoderTrainConfig`]: how an encoder is fine-tuned.

use serde::{Deserialize, Serialize};

use crate::train::{OptimizerKind, Schedule, TrainConfig, Trainable};
use crate::{Error, Result};

/// What texts with labels are drawn together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelLoss {
    /// Cross-entropy over the cosines to one learned vector per label, which begins as the label's mean (Snell et al. 2017 for
    /// prototypes, Wang et al. 2018 for the cosine).
    Prototypes,
    /// Texts of a label against all others of the batch (supervised contrastive loss, Khosla et al. 2020).
    SupervisedContrastive,
}

/// How an encoder is fine-tuned. The default suits a MiniLM and some thousand short texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderTrainConfig {
    /// What texts with labels learn; pairs learn by [`EncoderData::Pairs`](super::EncoderData::Pairs).
    pub label_loss: LabelLoss,
    /// What cosines are multiplied by: the inverse of a temperature.
    pub scale: f32,
    /// Share of the target that goes to all labels alike (Szegedy et al. 2016), with [`LabelLoss::Prototypes`]; 0 is off.
    pub label_smoothing: f32,
    /// Texts of one label that stand beside one another, with [`LabelLoss::SupervisedContrastive`]; the border of a batch may
    /// part them.
    pub texts_per_label: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Texts or pairs of a step.
    pub batch_size: usize,
    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// Highest learning rate of the encoder.
    pub learning_rate: f64,
    /// Share of the steps in which the learning rate rises from zero.
    pub warmup: f64,
    /// What follows.
    pub schedule: Schedule,
    /// Decay of matrices; norms and biases have none.
    pub weight_decay: f32,
    /// Gradients with a longer global norm are scaled down to it; 0 is off.
    pub max_gradient_norm: f32,
    /// Order of the texts.
    pub seed: u64,
}

impl Default for EncoderTrainConfig {
    fn default() -> Self {
        Self {
            label_loss: LabelLoss::Prototypes,
            scale: 20.0,
            label_smoothing: 0.0,
            texts_per_label: 2,
            epochs: 3,
            batch_size: 32,
            optimizer: OptimizerKind::AdamW,
            learning_rate: 1e-4,
            warmup: 0.1,
            schedule: Schedule::Linear,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            seed: 0,
        }
    }
}

impl EncoderTrainConfig {
    pub(super) fn check(&self) -> Result<()> {
        for (field, value, least) in [
            ("epochs", self.epochs, 1),
            ("batch_size", self.batch_size, 2),
            ("texts_per_label", self.texts_per_label, 2),
        ] {
            if value < least {
                return Err(Error::Config { field, reason: format!("{value} is less than {least}") });
            }
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            let reason = format!("{} is not a positive number", self.scale);
            return Err(Error::Config { field: "scale", reason });
        }
        for (field, value) in [("label_smoothing", f64::from(self.label_smoothing)), ("warmup", self.warmup)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Config { field, reason: format!("{value} is not within 0 and 1") });
            }
        }
        Ok(())
    }

    /// The same for the loop, where an epoch has so many steps.
    pub(super) fn steps(&self, steps_per_epoch: usize) -> TrainConfig {
        let steps = self.epochs * steps_per_epoch;
        TrainConfig {
            trainable: Trainable::All,
            steps,
            batch_size: self.batch_size,
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            warmup_steps: (self.warmup * steps as f64).round() as usize,
            schedule: self.schedule,
            weight_decay: self.weight_decay,
            max_gradient_norm: self.max_gradient_norm,
            seed: self.seed,
            ..TrainConfig::default()
        }
    }
}
