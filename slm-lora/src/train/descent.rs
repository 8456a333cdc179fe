//! [`Descent`]: a model and what moves its weights, whatever they learn.

use std::time::Instant;

use burn::tensor::{Gradients, Tensor};
use slm_core::Error as CoreError;
use slm_core::model::Parameter;

use super::optimizer::Updater;
use super::parameters::{self, Learner, numbers, require_gradients};
use super::{StepLog, TrainConfig};
use crate::{Error, Result};

/// What a pass over the batches of a step gave.
pub(crate) struct Passed {
    pub(crate) loss: f32,
    pub(crate) gradients: Vec<Tensor<1>>,
    pub(crate) tokens: usize,
}

/// A model under way: settings, weights, the optimizer's memory and the step.
#[derive(Debug)]
pub(crate) struct Descent<M> {
    pub(crate) config: TrainConfig,
    pub(crate) model: M,
    pub(super) updater: Updater,
    pub(crate) step: usize,
    /// Running means of the trainable weights, flattened; empty where there are none.
    pub(super) ema: Vec<Tensor<1>>,
    steps_per_epoch: usize,
    /// Identifies the data: a checkpoint of other data must not be resumed.
    pub(super) fingerprint: u64,
    /// Trainable weights.
    pub(crate) size: usize,
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

impl<M: Learner> Descent<M> {
    /// Of a model that is on an autodiff device.
    pub(crate) fn new(
        mut model: M,
        config: TrainConfig,
        (steps_per_epoch, fingerprint): (usize, u64),
    ) -> Self {
        let size = require_gradients(&mut model, &config);
        Self {
            updater: Updater::new(&config),
            config,
            model,
            step: 0,
            ema: Vec::new(),
            steps_per_epoch,
            fingerprint,
            size,
            _memory: Release,
        }
    }

    /// Adds the gradients of one backward pass to `sums`.
    pub(crate) fn accumulate(&mut self, grads: &Gradients, sums: &mut Vec<Option<Tensor<1>>>) {
        parameters::accumulate(&mut self.model, &self.config, grads, sums);
    }

    /// The gradients of a step from the sums of its batches.
    pub(crate) fn complete(&mut self, sums: Vec<Option<Tensor<1>>>) -> Vec<Tensor<1>> {
        parameters::complete(&mut self.model, &self.config, sums)
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
        self.model.refresh()?;
        self.average();
        self.step += 1;
        Ok(StepLog {
            step: self.step,
            steps: self.config.steps,
            epoch: self.step as f64 / self.steps_per_epoch as f64,
            loss: total,
            learning_rate,
            gradient_norm: norm,
            tokens,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// The trainable weights as they are, flattened, in the order of the gradients; off the autodiff device.
    pub(crate) fn weights(&self) -> Vec<Tensor<1>> {
        let mut all = Vec::new();
        self.model.clone().visit(&self.config, &mut |_, parameter| all.push(numbers(&parameter)));
        all
    }

    /// Bytes of the optimizer's memory that are still to come.
    pub(super) fn missing_state(&self) -> usize {
        if self.updater.states.is_empty() { self.updater.bytes_per_weight() * self.size } else { 0 }
    }

    /// Names of the trainable weights, in the order of the gradients.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.model.clone().visit(&self.config, &mut |name, _| names.push(name.to_owned()));
        names
    }

    /// Moves the running means of the weights.
    fn average(&mut self) {
        let decay = self.config.ema;
        if decay == 0.0 {
            return;
        }
        let mut old = std::mem::take(&mut self.ema).into_iter();
        let mean = |now: Tensor<1>| match old.next() {
            Some(mean) => mean.mul_scalar(decay) + now.mul_scalar(1.0 - decay),
            None => now,
        };
        self.ema = self.weights().into_iter().map(mean).collect();
    }

    /// The model with the running means of its weights, off the autodiff device; the model as it is where there are none.
    pub(crate) fn averaged(&self) -> Result<M> {
        let mut model = self.model.clone().inner();
        let mut means = self.ema.iter();
        model.visit(&self.config, &mut |_, parameter| {
            let Some(mean) = means.next() else { return };
            match parameter {
                Parameter::Vector(t) => *t = mean.clone(),
                Parameter::Matrix(t) => *t = mean.clone().reshape(t.dims()),
            }
        });
        model.refresh()?;
        Ok(model)
    }
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
