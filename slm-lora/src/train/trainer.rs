//! The loop.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Gradients, Tensor};
use serde::Serialize;
use slm_core::CausalLm;
use slm_core::model::FloatType;
use slm_core::text::TrainingText;

use super::batch::{Batch, Batches, Plan};
use super::loss::Weights;
use super::pass::{self, Noise};
use super::{Descent, Passed, TrainConfig, Trainable};
use crate::{Error, Result};

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepLog {
    /// Steps done, this one included.
    pub step: usize,
    /// Steps of the run.
    pub steps: usize,
    /// Passes over the data done.
    pub epoch: f64,
    /// Mean loss of the learned tokens before the update, in nats.
    pub loss: f32,
    /// Learning rate.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    pub gradient_norm: f32,
    /// Tokens read, without padding.
    pub tokens: usize,
    /// Wall-clock time.
    pub seconds: f64,
}

/// Trains a [`CausalLm`] on tokenized conversations.
///
/// A step is a function of the data, the settings and the weights alone: the same run gives the same bits,
/// and a run resumed from a checkpoint continues as if it had not been interrupted.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) descent: Descent<CausalLm>,
    pub(super) batches: Batches,
    plan: Plan,
}

impl Trainer {
    /// A trainer of `model` on `texts`.
    ///
    /// # Errors
    /// When a setting is out of range, no text can be learned from, or there is nothing to train.
    pub fn new(model: CausalLm, texts: Vec<TrainingText>, config: TrainConfig) -> Result<Self> {
        config.check()?;
        let (batches, mut plan) = Batches::new(texts, &config)?;
        if config.max_length > model.config.context_length() {
            let reason = format!("{} is more than the model's context", config.max_length);
            return Err(Error::Config { field: "max_length", reason });
        }
        // Weights that learn are kept exact; a frozen base may be in half precision.
        let model = match config.trainable {
            Trainable::All => model.cast(FloatType::F32),
            Trainable::Adapters => model,
        };
        let data = (batches.steps_per_epoch(), batches.fingerprint());
        let descent = Descent::new(model.autodiff(), config, data);
        plan.trainable_parameters = descent.size;
        if plan.trainable_parameters == 0 {
            let reason = match descent.config.trainable {
                Trainable::Adapters => "the model has no adapter attached",
                Trainable::All => "the model has no full-precision weight",
            };
            return Err(Error::Config { field: "trainable", reason: reason.into() });
        }
        Ok(Self { descent, batches, plan })
    }

    /// What the run is about to do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.descent.step
    }

    /// Runs one step.
    ///
    /// # Errors
    /// When the loss or a gradient is not a number; the weights are then those of the step before.
    pub fn step(&mut self) -> Result<StepLog> {
        let start = Instant::now();
        let passed = self.pass()?;
        let examples = self.examples();
        self.apply(passed, start, examples)
    }

    /// Moves the weights; `examples` name the data of the step in an error.
    pub(crate) fn apply(&mut self, passed: Passed, start: Instant, examples: Vec<usize>) -> Result<StepLog> {
        self.descent.apply(passed, start, examples)
    }

    /// Loss and gradients of a step, which moves nothing.
    pub(super) fn pass(&mut self) -> Result<Passed> {
        let (sums, passed) = self.pass_sums()?;
        Ok(Passed { gradients: self.complete(sums), ..passed })
    }

    /// The same with the gradients as sums that more can be added to.
    pub(crate) fn pass_sums(&mut self) -> Result<(Vec<Option<Tensor<1>>>, Passed)> {
        let (batches, learned) = self.batches.step(self.descent.step, &self.descent.model.device());
        let (mut sums, mut loss, mut tokens) = (Vec::new(), 0.0, 0);
        for (index, batch) in batches.iter().enumerate() {
            loss += self.backward(index, batch, &Weights::Equal(learned), &mut sums)?;
            tokens += batch.tokens;
        }
        Ok((sums, Passed { loss, gradients: Vec::new(), tokens }))
    }

    /// Indices of the examples of the next step.
    pub(crate) fn examples(&mut self) -> Vec<usize> {
        self.batches.examples(self.descent.step)
    }

    /// Where the model is.
    pub(crate) fn device(&self) -> Device {
        self.descent.model.device()
    }

    /// Loss of one batch of a step; adds its gradients to `sums`.
    pub(crate) fn backward(
        &mut self,
        index: usize,
        batch: &Batch,
        weights: &Weights<'_>,
        sums: &mut Vec<Option<Tensor<1>>>,
    ) -> Result<f32> {
        self.choose_dropout(Some(index));
        let (model, config) = (self.descent.model.clone(), self.descent.config.clone());
        let seed = [self.descent.step as u64, index as u64, 0].into_iter().fold(config.seed, mix);
        let noise = (config.neftune > 0.0).then_some(Noise { alpha: config.neftune, seed });
        let mut each = |grads: &Gradients| self.descent.accumulate(grads, sums);
        let loss = pass::backward(&model, (batch, weights), &config, noise, &mut each);
        self.choose_dropout(None);
        loss
    }

    /// The gradients of a step from the sums of its batches.
    pub(crate) fn complete(&mut self, sums: Vec<Option<Tensor<1>>>) -> Vec<Tensor<1>> {
        self.descent.complete(sums)
    }

    /// The model with the running means of its weights ([`TrainConfig::ema`]), off the autodiff device; the model as it is
    /// where there are none.
    ///
    /// # Errors
    /// When a packed weight cannot be expanded.
    pub fn averaged_model(&self) -> Result<CausalLm> {
        self.descent.averaged()
    }

    /// Writes a checkpoint: beside its place first, so that an interruption leaves the one before.
    ///
    /// # Errors
    /// When a tensor cannot be read back or the file cannot be written.
    pub fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.descent.save(path, None)
    }

    /// Continues from a checkpoint of the same data and settings.
    ///
    /// # Errors
    /// When the file is missing or corrupt, or belongs to another run; the trainer is then unchanged.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        self.descent.resume(path, None)
    }

    /// Gives each adapter's dropout the seed of a forward pass of this step, or none.
    fn choose_dropout(&mut self, pass: Option<usize>) {
        let mut layer = 0_u64;
        let (seed, step) = (self.descent.config.seed, self.descent.step as u64);
        self.descent.model.for_each_adapter(&mut |_, adapter| {
            layer += 1;
            let own = pass.map(|pass| [step, pass as u64, layer].into_iter().fold(seed, mix));
            adapter.dropout.iter_mut().for_each(|d| d.seed = own);
        });
    }

    /// Runs the steps that are left, telling `observe` of each; it may stop the run.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn run(
        &mut self,
        observe: &mut dyn FnMut(&Self, &StepLog) -> ControlFlow<()>,
    ) -> Result<Vec<StepLog>> {
        let mut logs = Vec::new();
        while self.descent.step < self.descent.config.steps {
            let log = self.step()?;
            let next = observe(self, &log);
            logs.push(log);
            if next.is_break() {
                break;
            }
        }
        Ok(logs)
    }

    /// Mean loss of the learned tokens of other texts, in nats; nothing is trained.
    ///
    /// # Errors
    /// When no text can be measured or the model fails.
    pub fn evaluate(&self, texts: Vec<TrainingText>) -> Result<f32> {
        self.loss_of(&self.model(), texts)
    }

    pub(crate) fn loss_of(&self, model: &CausalLm, texts: Vec<TrainingText>) -> Result<f32> {
        mean_loss(model, texts, &self.descent.config)
    }

    /// The model as it is now, off the autodiff device.
    pub fn model(&self) -> CausalLm {
        self.descent.model.clone().inner()
    }

    /// The same on the autodiff device, where nothing of it learns.
    pub(crate) fn autodiff_model(&self) -> CausalLm {
        self.model().autodiff()
    }

    /// The trained model, off the autodiff device.
    pub fn into_model(self) -> CausalLm {
        self.descent.model.inner()
    }
}

/// Mean loss of the learned tokens of texts, in nats, in batches as `config` has them.
///
/// # Errors
/// When no text can be measured or the model fails.
pub fn mean_loss(model: &CausalLm, texts: Vec<TrainingText>, config: &TrainConfig) -> Result<f32> {
    let (mut batches, plan) = Batches::new(texts, config)?;
    let (mut sum, mut count) = (0.0, 0);
    for step in 0..plan.examples.div_ceil(config.batch_size * config.gradient_accumulation) {
        for batch in batches.step(step, &model.device()).0 {
            sum += pass::measure(model, &batch, config.max_logits)?;
            count += batch.targets.len();
        }
    }
    Ok(sum / count as f32)
}

/// A seed that depends on both (the finaliser of `SplitMix64`, Steele et al. 2014).
fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
