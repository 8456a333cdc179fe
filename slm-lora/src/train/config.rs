//! [`TrainConfig`]: how a run goes.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which weights learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// The attached adapters; the base is frozen.
    Adapters,
    /// Every full-precision weight.
    All,
}

/// How the learning rate falls after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// On a straight line to zero.
    Linear,
    /// On half a cosine to zero (Loshchilov and Hutter 2017).
    Cosine,
}

/// How the examples of a forward pass lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batching {
    /// Padded to the longest of the batch.
    Padded,
    /// Behind one another without padding; each starts at position 0 and sees itself alone.
    Packed,
}

/// What a pass keeps for the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// Everything.
    None,
    /// The input of each block; the rest is computed again: less memory, about 1.4 times the time.
    Blocks,
}

/// How gradients become updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// `AdamW` (Loshchilov and Hutter 2019).
    AdamW,
    /// `AdamW` whose moments are kept in 8 bits, in blocks of 256 (Dettmers et al. 2022): a quarter of the state.
    #[serde(rename = "adam_w_8bit")]
    AdamW8bit,
    /// The sign of a mean gradient (Chen et al. 2023): half the state; takes about a tenth of `AdamW`'s learning rate.
    Lion,
    /// Orthogonal updates of matrices (Jordan 2024), at rates that suit `AdamW`; vectors by `AdamW`.
    Muon,
}

/// How a run goes. The default suits LoRA on a few hundred examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Which weights learn.
    pub trainable: Trainable,
    /// Modules that learn in full beside the adapters, by the end of their path: those of
    /// [`LoraConfig::modules_to_save`](crate::LoraConfig::modules_to_save).
    pub modules_to_save: Vec<String>,
    /// How much faster the `B` of an adapter learn than the `A` (LoRA+, Hayou et al. 2024); 1 is off.
    pub lora_plus_ratio: f64,
    /// Optimizer steps; the data is repeated, shuffled anew each time, for as long as they last.
    pub steps: usize,
    /// Examples of one forward pass.
    pub batch_size: usize,
    /// Forward passes of one step; the gradient is that of all their tokens together.
    pub gradient_accumulation: usize,
    /// How examples lie in memory.
    pub batching: Batching,
    /// What a pass keeps for the way back.
    pub checkpointing: Checkpointing,
    /// Logits held at a time, as numbers (128 MiB by default): a large vocabulary does not decide the memory of a step, but
    /// one row is always held. The head is read from memory once for each such part.
    pub max_logits: usize,
    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// Noise on the embedded tokens (NEFTune, Jain et al. 2023): its α, 5 to 15; 0 is off.
    pub neftune: f32,
    /// Decay of a running mean of the weights, such as 0.99; 0 is off.
    pub ema: f32,
    /// Longest example, in tokens; longer ones are left out and counted.
    pub max_length: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from zero.
    pub warmup_steps: usize,
    /// What follows.
    pub schedule: Schedule,
    /// AdamW's decay of matrices; norms and biases have none (Loshchilov and Hutter 2019).
    pub weight_decay: f32,
    /// AdamW's decay of the mean gradient.
    pub beta_1: f32,
    /// AdamW's decay of the mean squared gradient.
    pub beta_2: f32,
    /// AdamW's guard against division by zero.
    pub epsilon: f32,
    /// Gradients with a longer global norm are scaled down to it; 0 is off.
    pub max_gradient_norm: f32,
    /// Order of the examples.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            trainable: Trainable::Adapters,
            modules_to_save: Vec::new(),
            lora_plus_ratio: 1.0,
            steps: 200,
            batch_size: 8,
            gradient_accumulation: 1,
            batching: Batching::Padded,
            checkpointing: Checkpointing::None,
            max_logits: 1 << 25,
            optimizer: OptimizerKind::AdamW,
            neftune: 0.0,
            ema: 0.0,
            max_length: 512,
            learning_rate: 2e-3,
            warmup_steps: 10,
            schedule: Schedule::Cosine,
            weight_decay: 0.0,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            max_gradient_norm: 1.0,
            seed: 0,
        }
    }
}

impl TrainConfig {
    /// Learning rate of a step, counted from 0.
    pub fn learning_rate_at(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let length = self.steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / length as f64).min(1.0);
        self.learning_rate
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::Linear => 1.0 - progress,
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let positive = [
            ("batch_size", self.batch_size),
            ("gradient_accumulation", self.gradient_accumulation),
            ("steps", self.steps),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::Config { field, reason: "must be positive".into() });
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0) {
            let reason = format!("{} is not a positive number", self.learning_rate);
            return Err(Error::Config { field: "learning_rate", reason });
        }
        if !(self.neftune.is_finite() && self.neftune >= 0.0) {
            let reason = format!("{} is negative or no number", self.neftune);
            return Err(Error::Config { field: "neftune", reason });
        }
        if !(self.lora_plus_ratio.is_finite() && self.lora_plus_ratio > 0.0) {
            let reason = format!("{} is not a positive number", self.lora_plus_ratio);
            return Err(Error::Config { field: "lora_plus_ratio", reason });
        }
        for (field, beta) in [("beta_1", self.beta_1), ("beta_2", self.beta_2), ("ema", self.ema)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::Config { field, reason: format!("{beta} is not within 0 and 1") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let config =
            TrainConfig { steps: 110, warmup_steps: 10, learning_rate: 1.0, ..TrainConfig::default() };
        assert!((config.learning_rate_at(0) - 0.1).abs() < 1e-12);
        assert!((config.learning_rate_at(9) - 1.0).abs() < 1e-12);
        assert!((config.learning_rate_at(60) - 0.5).abs() < 1e-12);
        assert!(config.learning_rate_at(109) < 1e-3);
        let linear = TrainConfig { schedule: Schedule::Linear, ..config.clone() };
        assert!((linear.learning_rate_at(35) - 0.75).abs() < 1e-12);
        let constant = TrainConfig { schedule: Schedule::Constant, ..config };
        assert!((constant.learning_rate_at(1000) - 1.0).abs() < 1e-12);
    }
}
