//! The loop.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Tensor;
use slm_core::TextEncoder;
use slm_core::model::FloatType;

use super::batch::Order;
use super::data::Examples;
use super::pupil::Pupil;
use super::{EncoderData, EncoderPlan, EncoderTrainConfig};
use crate::Result;
use crate::train::{Descent, Estimate, Learner, Passed, StepLog, estimate, scalar};

/// Fine-tunes a [`TextEncoder`] on texts with labels, or on pairs: questions of one intent come close to each other, or a question
/// to its passage. All weights learn but the tables of the embedding.
///
/// A step is a function of the data, the settings and the weights alone, as with [`Trainer`](crate::Trainer), and a run that
/// is resumed from a checkpoint continues as if it had not been interrupted.
#[derive(Debug)]
pub struct EncoderTrainer {
    descent: Descent<Pupil>,
    config: EncoderTrainConfig,
    examples: Examples,
    order: Order,
    plan: EncoderPlan,
}

impl EncoderTrainer {
    /// A trainer of `encoder`, whose weights become `f32`.
    ///
    /// # Errors
    /// When a setting is out of range, a text is empty or there is nothing to tell apart.
    pub fn new(mut encoder: TextEncoder, data: EncoderData, config: EncoderTrainConfig) -> Result<Self> {
        config.check()?;
        encoder.encoder = encoder.encoder.cast(FloatType::F32);
        let examples = Examples::new(&encoder, data, &config)?;
        let order = Order::new(&examples, &config);
        let limit = encoder.max_length;
        let fingerprint = examples.fingerprint(&encoder)?;
        let pupil = Pupil::new(encoder, &examples, &config)?;
        let per_epoch = order.steps_per_epoch();
        let steps = config.steps(per_epoch);
        steps.check()?;
        let descent = Descent::new(pupil, steps, (per_epoch, fingerprint));
        let plan = EncoderPlan {
            examples: examples.len(),
            labels: examples.names().len(),
            cut: examples.segments().filter(|segment| segment.ids.len() == limit).count(),
            tokens_per_epoch: examples.segments().map(|segment| segment.ids.len()).sum(),
            steps: descent.config.steps,
            trainable_parameters: descent.size,
        };
        Ok(Self { descent, config, examples, order, plan })
    }

    /// What the run is about to do.
    pub fn plan(&self) -> &EncoderPlan {
        &self.plan
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.descent.step
    }

    /// What the run will take: times its largest and its smallest step, without moving a weight.
    ///
    /// # Errors
    /// As [`EncoderTrainer::step`].
    pub fn estimate(&mut self) -> Result<Estimate> {
        let size = |trainer: &mut Self, step| {
            trainer.order.examples(step).iter().map(|index| trainer.examples.tokens(*index)).sum()
        };
        estimate(self, |trainer| &mut trainer.descent, size, |trainer| trainer.pass().map(drop))
    }

    /// Runs one step.
    ///
    /// # Errors
    /// When the loss or a gradient is not a number; the weights are then those of the step before.
    pub fn step(&mut self) -> Result<StepLog> {
        let start = Instant::now();
        let passed = self.pass()?;
        let chosen = self.order.examples(self.descent.step);
        self.descent.apply(passed, start, chosen)
    }

    /// Loss and gradients of a step, which moves nothing.
    fn pass(&mut self) -> Result<Passed> {
        let chosen = self.order.examples(self.descent.step);
        let loss = self.descent.model.loss(&self.examples, &chosen, &self.config)?;
        let value = scalar(loss.clone().inner())?;
        let mut sums = Vec::new();
        self.descent.accumulate(&loss.backward(), &mut sums);
        let tokens = chosen.iter().map(|index| self.examples.tokens(*index)).sum();
        Ok(Passed { loss: value, gradients: self.descent.complete(sums), tokens })
    }

    /// Runs the steps that are left, telling `observe` of each; it may stop the run.
    ///
    /// # Errors
    /// As [`EncoderTrainer::step`].
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

    /// The gradient that the next step will use, by name of the weight, before clipping; nothing moves.
    ///
    /// # Errors
    /// As [`EncoderTrainer::step`].
    pub fn gradients(&mut self) -> Result<Vec<(String, Tensor<1>)>> {
        let passed = self.pass()?;
        Ok(self.descent.names().into_iter().zip(passed.gradients).collect())
    }

    /// Writes a checkpoint, as [`Trainer::save_checkpoint`](crate::Trainer::save_checkpoint).
    ///
    /// # Errors
    /// When a tensor cannot be read back or the file cannot be written.
    pub fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.descent.save(path, Some(self.objective(path)?))
    }

    /// Continues from a checkpoint of the same data and settings.
    ///
    /// # Errors
    /// When the file is missing or corrupt, or belongs to another run; the trainer is then unchanged.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let objective = self.objective(path)?;
        self.descent.resume(path, Some(&objective))
    }

    /// The settings as a checkpoint has them.
    fn objective(&self, path: &Path) -> Result<serde_json::Value> {
        let json = serde_json::to_value(&self.config);
        Ok(json.map_err(|source| slm_core::Error::Json { path: path.into(), source })?)
    }

    /// The encoder as it is now, off the autodiff device: for [`TextEncoder::save`], and as an
    /// [`Embedder`](slm_core::Embedder).
    pub fn encoder(&self) -> TextEncoder {
        self.descent.model.clone().inner().encoder
    }
}
