//! The loop of [`Objective`]s.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Tensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use slm_core::CausalLm;
use slm_core::text::TrainingText;

use super::Objective;
use super::judge::{Data, Figures, Item, items};
use crate::retain::base_of;
use crate::train::{Passed, StepLog, TrainConfig, Trainer, Weights};
use crate::{Error, Result};

/// Two answers to the same prompt; the learned tokens are the answers.
#[derive(Debug, Clone)]
pub struct Preference {
    /// With the better answer.
    pub chosen: TrainingText,
    /// With the worse one.
    pub rejected: TrainingText,
}

/// An answer that is good or bad.
#[derive(Debug, Clone)]
pub struct Rated {
    /// Its learned tokens are the answer.
    pub text: TrainingText,
    /// Whether it is good.
    pub good: bool,
}

/// What to learn from.
#[derive(Debug, Clone)]
pub enum Preferences {
    /// Pairs; for [`Objective::Kto`], all better answers as good ones and then all worse ones as bad ones.
    Pairs(Vec<Preference>),
    /// Single answers, for [`Objective::Kto`].
    Rated(Vec<Rated>),
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlignLog {
    /// Loss, rate, tokens and time.
    pub step: StepLog,
    /// Mean reward of the better answers.
    pub chosen_reward: f64,
    /// Mean reward of the worse answers.
    pub rejected_reward: f64,
    /// Fraction of pairs whose better answer has the higher reward; of rated answers, those on the right side of zero.
    pub accuracy: f64,
    /// Mean log-ratio of the better answers to the reference, in nats; of rated answers, the divergence that the loss
    /// subtracts.
    pub divergence: f64,
}

/// Trains a [`CausalLm`] on preferences, with the optimizer, the schedules and the checkpoints of a [`Trainer`]. The reference
/// is the model without its adapter, which shares its weights.
#[derive(Debug)]
pub struct Aligner {
    trainer: Trainer,
    reference: CausalLm,
    objective: Objective,
    items: Vec<Item>,
    left_out: usize,
}

impl Aligner {
    /// An aligner of `model`. The batch size of `config` counts pairs, or rated answers.
    ///
    /// # Errors
    /// When a setting is out of range, rated answers are given to an objective of pairs, or there is nothing to learn from.
    /// Preferences with a text that is too long, or without an answer, are left out and counted ([`Aligner::left_out`]).
    pub fn new(
        model: CausalLm,
        data: Preferences,
        objective: Objective,
        config: TrainConfig,
    ) -> Result<Self> {
        objective.check()?;
        let reference = base_of(&model);
        let given = match &data {
            Preferences::Pairs(pairs) if matches!(objective, Objective::Kto { .. }) => 2 * pairs.len(),
            Preferences::Pairs(pairs) => pairs.len(),
            Preferences::Rated(rated) => rated.len(),
        };
        let items = items(data, objective, config.max_length)?;
        let left_out = given - items.len();
        let texts = items.iter().flat_map(|item| match item {
            Item::Pair(p) => vec![p.chosen.clone(), p.rejected.clone()],
            Item::Rated(r, _) => vec![r.text.clone()],
        });
        let trainer = Trainer::new(model, texts.collect(), config)?;
        Ok(Self { trainer, reference, objective, items, left_out })
    }

    /// Steps of the run.
    pub fn steps(&self) -> usize {
        self.trainer.descent.config.steps
    }

    /// Pairs, or rated answers, that have a text that is too long or nothing to learn.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Runs one step.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step(&mut self) -> Result<AlignLog> {
        let start = Instant::now();
        let (passed, figures) = self.pass()?;
        let examples = self.chosen_items();
        let step = self.trainer.apply(passed, start, examples)?;
        let [better, worse] = figures.counts.map(|count| count.max(1.0));
        let (answers, groups) = match self.items.first() {
            Some(Item::Rated(..)) => (figures.counts.iter().sum::<f64>(), figures.groups),
            _ => (figures.counts[0], figures.counts[0]),
        };
        Ok(AlignLog {
            step,
            chosen_reward: figures.rewards[0] / better,
            rejected_reward: figures.rewards[1] / worse,
            accuracy: figures.right / answers.max(1.0),
            divergence: figures.divergence / groups.max(1.0),
        })
    }

    /// Runs the steps that are left, telling `observe` of each; it may stop the run.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn run(
        &mut self,
        observe: &mut dyn FnMut(&Self, &AlignLog) -> ControlFlow<()>,
    ) -> Result<Vec<AlignLog>> {
        let mut logs = Vec::new();
        while self.trainer.descent.step < self.trainer.descent.config.steps {
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
    /// As [`Trainer::step`].
    pub fn gradients(&mut self) -> Result<Vec<(String, Tensor<1>)>> {
        let (passed, _) = self.pass()?;
        let names = self.trainer.descent.names();
        Ok(names.into_iter().zip(passed.gradients).collect())
    }

    /// Fraction of other pairs whose better answer the model, as it is now, gives the higher reward.
    ///
    /// # Errors
    /// When there is no pair, or the model fails.
    pub fn accuracy(&self, pairs: &[Preference]) -> Result<f64> {
        if pairs.is_empty() {
            return Err(Error::Config { field: "pairs", reason: "there is none to measure".into() });
        }
        let model = self.trainer.autodiff_model();
        let items: Vec<Item> = pairs.iter().cloned().map(Item::Pair).collect();
        let data = Data { items: &items, reference: &self.reference, objective: self.objective };
        let mut right = 0.0;
        for index in 0..items.len() {
            right += data.measure(&[index], &model, &self.trainer.descent.config)?.right;
        }
        Ok(right / pairs.len() as f64)
    }

    /// Writes a checkpoint, as [`Trainer::save_checkpoint`].
    ///
    /// # Errors
    /// As [`Trainer::save_checkpoint`].
    pub fn save_checkpoint(&self, path: &Path) -> Result<()> {
        self.trainer.descent.save(path, Some(self.named(path)?))
    }

    /// Continues from a checkpoint, as [`Trainer::resume`]; the model given to [`Aligner::new`] is still the reference.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let objective = self.named(path)?;
        self.trainer.descent.resume(path, Some(&objective))
    }

    /// The objective as a checkpoint names it.
    fn named(&self, path: &Path) -> Result<serde_json::Value> {
        let json = serde_json::to_value(self.objective);
        Ok(json.map_err(|source| slm_core::Error::Json { path: path.into(), source })?)
    }

    /// The model, off the autodiff device.
    pub fn into_model(self) -> CausalLm {
        self.trainer.into_model()
    }

    /// Indices of the items of the next step: an order for each pass over the data.
    fn chosen_items(&self) -> Vec<usize> {
        let config = &self.trainer.descent.config;
        let per_step = config.batch_size * config.gradient_accumulation;
        let steps = self.items.len().div_ceil(per_step);
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream((self.trainer.descent.step / steps) as u64);
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.shuffle(&mut rng);
        order.into_iter().skip(self.trainer.descent.step % steps * per_step).take(per_step).collect()
    }

    /// Loss, gradients and figures of the next step.
    fn pass(&mut self) -> Result<(Passed, Figures)> {
        let chosen = self.chosen_items();
        let config = self.trainer.descent.config.clone();
        let data = Data { items: &self.items, reference: &self.reference, objective: self.objective };
        let total = data.total(&chosen);
        let (mut sums, mut loss, mut tokens, mut figures) = (Vec::new(), 0.0, 0, Figures::default());
        for (index, part) in chosen.chunks(config.batch_size).enumerate() {
            let judged = data.judge(part, &self.trainer.autodiff_model(), &config, total)?;
            let found = Cell::new(Figures::default());
            let weigh = |own: &[f32]| {
                let (loss, weights, figures) = judged.weigh(own);
                found.set(figures);
                Ok((loss, weights))
            };
            loss += self.trainer.backward(index, &judged.batch, &Weights::Judged(&weigh), &mut sums)?;
            figures.add(found.get());
            tokens += judged.batch.tokens;
        }
        let gradients = self.trainer.complete(sums);
        Ok((Passed { loss, gradients, tokens }, figures))
    }
}
