//! The loop.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Tensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use slm_core::CausalLm;
use slm_core::text::TrainingText;

use super::interpolate::interpolated;
use super::pull::{Anchor, base_of};
use super::{Point, Retained, RetentionConfig, RetentionData};
use crate::train::{Batch, Batching, StepLog, TrainConfig, Trainer, Weights, hidden};
use crate::{Error, Result};

/// How strongly the weight of the divergence follows what is forgotten: by `e^½` where it is all that is allowed, by its inverse
/// where nothing is.
const STEERING: f32 = 1.0;
/// Largest change of the weight at a measurement, as a factor, and its range.
const MOST: f32 = 4.0;
const WEIGHTS: [f32; 2] = [1e-3, 1e3];

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetentionLog {
    /// Loss on the domain (and on what is replayed), rate, tokens and time.
    pub step: StepLog,
    /// Divergence of the base from the model on the step's general texts, in nats per token; `None` where it was not taken.
    pub divergence: Option<f32>,
    /// Its weight.
    pub kl_weight: f32,
}

/// Trains a [`CausalLm`] under a constraint: what it loses on general texts. Besides the steps of a [`Trainer`] there are replay,
/// the divergence from the base on general texts, pulls of the weights, measurements during the run, and
/// interpolation after it, as a [`RetentionConfig`] says.
///
/// With adapters the base is the model with its adapters off: no second copy is held. Where all weights learn
/// ([`Trainable::All`](crate::Trainable::All)) the first step makes one.
#[derive(Debug)]
pub struct Retainer {
    trainer: Trainer,
    config: RetentionConfig,
    data: RetentionData,
    base: CausalLm,
    start: Vec<Tensor<1>>,
    anchor: Option<Anchor>,
    kl_weight: f32,
}

impl Retainer {
    /// A retainer of `model`.
    ///
    /// # Errors
    /// When a setting is out of range, or one of the four sets of texts is needed and has none that fits.
    pub fn new(
        model: CausalLm,
        data: RetentionData,
        train: TrainConfig,
        config: RetentionConfig,
    ) -> Result<Self> {
        config.check()?;
        let mut data = data;
        let max_length = train.max_length;
        data.general.retain(|text| text.ids.len() <= max_length && text.learned.iter().skip(1).any(|l| *l));
        let general = config.kl_weight > 0.0 || config.replay_ratio > 0.0;
        if general && data.general.is_empty() {
            let reason = format!("no general text fits {max_length} tokens");
            return Err(Error::Config { field: "general", reason });
        }
        let base = base_of(&model);
        let mut trainer = Trainer::new(model, data.mixed(config.replay_ratio), train)?;
        let anchor = Anchor::new(&mut trainer, config.pull, &data.general)?;
        let start = trainer.descent.weights();
        let kl_weight = config.kl_weight;
        Ok(Self { trainer, config, data, base, start, anchor, kl_weight })
    }

    /// What the run is about to do.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Runs one step.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step(&mut self) -> Result<RetentionLog> {
        let start = Instant::now();
        let (mut sums, mut passed) = self.trainer.pass_sums()?;
        let divergence = match self.kl_weight > 0.0 {
            true => Some(self.diverge(&mut sums, &mut passed.tokens)?),
            false => None,
        };
        passed.gradients = self.trainer.complete(sums);
        if let Some(anchor) = &self.anchor {
            anchor.add(&self.trainer, &mut passed.gradients);
        }
        let examples = self.trainer.examples();
        let step = self.trainer.apply(passed, start, examples)?;
        Ok(RetentionLog { step, divergence, kl_weight: self.kl_weight })
    }

    /// Adds the gradient of the divergence on some general texts; the divergence.
    fn diverge(&mut self, sums: &mut Vec<Option<Tensor<1>>>, tokens: &mut usize) -> Result<f32> {
        let texts = self.general_texts();
        let batch = Batch::new(&texts, Batching::Padded, &self.trainer.device());
        let hidden = hidden(&self.base, &batch)?.inner();
        let weights = Weights::Divergence {
            base: &self.base,
            hidden: &hidden,
            weight: self.kl_weight / batch.learned().max(1) as f32,
        };
        *tokens += batch.tokens;
        // Not one of the step's own batches: other choices of dropout.
        let index = self.trainer.descent.config.gradient_accumulation;
        Ok(self.trainer.backward(index, &batch, &weights, sums)? / self.kl_weight)
    }

    /// Those of the next step: an order for each pass over them.
    fn general_texts(&self) -> Vec<&TrainingText> {
        let size = self.config.general_batch_size.min(self.data.general.len());
        let steps = self.data.general.len().div_ceil(size.max(1));
        let step = self.trainer.steps_done();
        let mut rng = ChaCha8Rng::seed_from_u64(self.trainer.descent.config.seed);
        rng.set_stream(u64::MAX - (step / steps) as u64);
        let mut order: Vec<usize> = (0..self.data.general.len()).collect();
        order.shuffle(&mut rng);
        order.iter().skip(step % steps * size).take(size).map(|at| &self.data.general[*at]).collect()
    }

    /// Both losses of a model, with the steps done.
    fn measure(&self, model: &CausalLm, scale: f32) -> Result<Point> {
        let loss = |texts: &[TrainingText]| self.trainer.loss_of(model, texts.to_vec());
        Ok(Point {
            step: self.trainer.steps_done(),
            scale,
            kl_weight: self.kl_weight,
            domain_loss: loss(&self.data.domain_validation)?,
            general_loss: loss(&self.data.general_validation)?,
        })
    }

    /// Moves the weight of the divergence by how much of what is allowed is forgotten.
    fn steer(&mut self, increase: f32) {
        let allowed = self.config.max_general_loss_increase.max(1e-6);
        let factor = (STEERING * (increase / allowed - 0.5)).exp().clamp(1.0 / MOST, MOST);
        self.kl_weight = (self.kl_weight * factor).clamp(WEIGHTS[0], WEIGHTS[1]);
    }

    /// Runs the steps that are left, telling `observe` of each; it may stop the run. Measures before the first, every few
    /// and after the last, and then on the way from the base to the last weights.
    ///
    /// # Errors
    /// As [`Trainer::step`] and [`Trainer::evaluate`].
    pub fn run(
        &mut self,
        observe: &mut dyn FnMut(&Self, &RetentionLog) -> ControlFlow<()>,
    ) -> Result<Retained> {
        let model = self.trainer.averaged_model()?;
        let base = self.measure(&self.base.clone().inner(), 0.0)?;
        let mut run = Retained { model, base, chosen: base, points: vec![base], logs: Vec::new() };
        while self.trainer.steps_done() < self.trainer.descent.config.steps {
            let log = self.step()?;
            let stop = observe(self, &log).is_break();
            let last = stop || log.step.step == log.step.steps;
            run.logs.push(log);
            if last || self.trainer.steps_done().is_multiple_of(self.config.every) {
                let model = self.trainer.averaged_model()?;
                let point = self.measure(&model, 1.0)?;
                if self.config.steer && self.kl_weight > 0.0 {
                    self.steer(point.general_loss - base.general_loss);
                }
                self.consider(&mut run, point, model);
            }
            if stop {
                break;
            }
        }
        self.look_back(&mut run)?;
        Ok(run)
    }

    /// Takes `point` if it is the best that is allowed.
    fn consider(&self, run: &mut Retained, point: Point, model: CausalLm) {
        let forgotten = point.general_loss - run.base.general_loss;
        if forgotten <= self.config.max_general_loss_increase && point.domain_loss < run.chosen.domain_loss {
            (run.chosen, run.model) = (point, model);
        }
        run.points.push(point);
    }

    /// Measures the way from the base to the last weights.
    fn look_back(&self, run: &mut Retained) -> Result<()> {
        let last = self.trainer.averaged_model()?;
        for scale in self.config.scales.iter().filter(|scale| **scale < 1.0) {
            let model = interpolated(&self.trainer, (&last, &self.start), *scale)?;
            let point = self.measure(&model, *scale)?;
            self.consider(run, point, model);
        }
        Ok(())
    }
}
