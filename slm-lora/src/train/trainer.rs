//! The loop.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::{Device, Gradients, Tensor};
use serde::Serialize;
use slm_core::model::{FloatType, Parameter};
use slm_core::text::TrainingText;
use slm_core::{CausalLm, Error as CoreError};

use super::batch::{Batch, Batches, Plan};
use super::loss::Weights;
use super::optimizer::{Updater, flat};
use super::parameters::{accumulate, complete, require_gradients, size, visit};
use super::pass::{self, Noise};
use super::{TrainConfig, Trainable};
use crate::adapter::measure;
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
    pub(crate) config: TrainConfig,
    pub(super) model: CausalLm,
    pub(super) batches: Batches,
    pub(super) updater: Updater,
    pub(crate) step: usize,
    /// Running means of the trainable weights, flattened; empty where there are none.
    pub(super) ema: Vec<Tensor<1>>,
    plan: Plan,
    /// The last field, so that it is dropped when all others are.
    _memory: Release,
}

/// Gives the memory of training back.
#[derive(Debug)]
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        slm_kernels::release_memory();
    }
}

/// What a pass over the batches of a step gave.
pub(crate) struct Passed {
    pub(crate) loss: f32,
    pub(crate) gradients: Vec<Tensor<1>>,
    pub(crate) tokens: usize,
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
        let mut model = model.autodiff();
        require_gradients(&mut model, &config);
        visit(&mut model, &config, &mut |_, p| plan.trainable_parameters += size(&p));
        if plan.trainable_parameters == 0 {
            let reason = match config.trainable {
                Trainable::Adapters => "the model has no adapter attached",
                Trainable::All => "the model has no full-precision weight",
            };
            return Err(Error::Config { field: "trainable", reason: reason.into() });
        }
        Ok(Self {
            updater: Updater::new(&config),
            config,
            model,
            batches,
            step: 0,
            ema: Vec::new(),
            plan,
            _memory: Release,
        })
    }

    /// What the run is about to do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
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
        let Passed { loss: total, gradients, tokens } = passed;
        let norm = global_norm(&gradients)?;
        if !(total.is_finite() && norm.is_finite()) {
            return Err(Error::Diverged { step: self.step + 1, loss: total, gradient_norm: norm, examples });
        }
        let limit = self.config.max_gradient_norm;
        let scale = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        let learning_rate = self.config.learning_rate_at(self.step);
        self.updater.update(&mut self.model, &self.config, gradients, (learning_rate, scale));
        measure(&mut self.model)?;
        self.average();
        self.step += 1;
        Ok(StepLog {
            step: self.step,
            steps: self.config.steps,
            epoch: self.batches.epoch_at(self.step),
            loss: total,
            learning_rate,
            gradient_norm: norm,
            tokens,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Loss and gradients of a step, which moves nothing.
    pub(super) fn pass(&mut self) -> Result<Passed> {
        let (sums, passed) = self.pass_sums()?;
        Ok(Passed { gradients: self.complete(sums), ..passed })
    }

    /// The same with the gradients as sums that more can be added to.
    pub(crate) fn pass_sums(&mut self) -> Result<(Vec<Option<Tensor<1>>>, Passed)> {
        let (batches, learned) = self.batches.step(self.step, &self.model.device());
        let (mut sums, mut loss, mut tokens) = (Vec::new(), 0.0, 0);
        for (index, batch) in batches.iter().enumerate() {
            loss += self.backward(index, batch, &Weights::Equal(learned), &mut sums)?;
            tokens += batch.tokens;
        }
        Ok((sums, Passed { loss, gradients: Vec::new(), tokens }))
    }

    /// Indices of the examples of the next step.
    pub(crate) fn examples(&mut self) -> Vec<usize> {
        self.batches.examples(self.step)
    }

    /// The trainable weights as they are, flattened, in the order of the gradients; off the autodiff device.
    pub(crate) fn weights(&self) -> Vec<Tensor<1>> {
        let mut all = Vec::new();
        visit(&mut self.model(), &self.config, &mut |_, parameter| {
            all.push(match parameter {
                Parameter::Vector(t) => t.clone(),
                Parameter::Matrix(t) => flat(t.clone()),
            });
        });
        all
    }

    /// Where the model is.
    pub(crate) fn device(&self) -> Device {
        self.model.device()
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
        let (model, config) = (self.model.clone(), &self.config);
        let seed = [self.step as u64, index as u64, 0].into_iter().fold(config.seed, mix);
        let noise = (config.neftune > 0.0).then_some(Noise { alpha: config.neftune, seed });
        let mut each = |grads: &Gradients| accumulate(&mut self.model, config, grads, sums);
        let loss = pass::backward(&model, (batch, weights), config, noise, &mut each);
        self.choose_dropout(None);
        loss
    }

    /// The gradients of a step from the sums of its batches.
    pub(crate) fn complete(&mut self, sums: Vec<Option<Tensor<1>>>) -> Vec<Tensor<1>> {
        complete(&mut self.model, &self.config, sums)
    }

    /// Names of the trainable weights, in the order of the gradients.
    pub(crate) fn trainable_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        visit(&mut self.model.clone(), &self.config, &mut |name, _| names.push(name.to_owned()));
        names
    }

    /// Moves the running means of the weights.
    fn average(&mut self) {
        let decay = self.config.ema;
        if decay == 0.0 {
            return;
        }
        let mut old = std::mem::take(&mut self.ema).into_iter();
        let mut means = Vec::new();
        visit(&mut self.model, &self.config, &mut |_, parameter| {
            let now = match parameter {
                Parameter::Vector(t) => t.clone().inner(),
                Parameter::Matrix(t) => flat(t.clone().inner()),
            };
            means.push(match old.next() {
                Some(mean) => mean.mul_scalar(decay) + now.mul_scalar(1.0 - decay),
                None => now,
            });
        });
        self.ema = means;
    }

    /// The model with the running means of its weights ([`TrainConfig::ema`]), off the autodiff device; the model as it is
    /// where there are none.
    ///
    /// # Errors
    /// When a packed weight cannot be expanded.
    pub fn averaged_model(&self) -> Result<CausalLm> {
        let mut model = self.model();
        let mut means = self.ema.iter();
        visit(&mut model, &self.config, &mut |_, parameter| {
            let Some(mean) = means.next() else { return };
            match parameter {
                Parameter::Vector(t) => *t = mean.clone(),
                Parameter::Matrix(t) => *t = mean.clone().reshape(t.dims()),
            }
        });
        measure(&mut model)?;
        Ok(model)
    }

    /// Gives each adapter's dropout the seed of a forward pass of this step, or none.
    fn choose_dropout(&mut self, pass: Option<usize>) {
        let mut layer = 0_u64;
        let (seed, step) = (self.config.seed, self.step as u64);
        self.model.for_each_adapter(&mut |_, adapter| {
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
        while self.step < self.config.steps {
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
        mean_loss(model, texts, &self.config)
    }

    /// The model as it is now, off the autodiff device.
    pub fn model(&self) -> CausalLm {
        self.model.clone().inner()
    }

    /// The same on the autodiff device, where nothing of it learns.
    pub(crate) fn autodiff_model(&self) -> CausalLm {
        self.model().autodiff()
    }

    /// The trained model, off the autodiff device.
    pub fn into_model(self) -> CausalLm {
        self.model.inner()
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

pub(crate) fn scalar(t: Tensor<1>) -> Result<f32> {
    let values: Vec<f32> = t.try_into_vec_as().map_err(|e| CoreError::Device { reason: format!("{e:?}") })?;
    Ok(values.first().copied().unwrap_or(f32::NAN))
}

/// Length of all gradients as one vector.
fn global_norm(gradients: &[Tensor<1>]) -> Result<f32> {
    let squares: Vec<Tensor<1>> = gradients.iter().map(|g| g.clone().powi_scalar(2).sum()).collect();
    if squares.is_empty() {
        return Ok(0.0);
    }
    Ok(scalar(Tensor::cat(squares, 0).sum())?.sqrt())
}
