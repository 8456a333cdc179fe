//! Pulls of weights to where they began.

use burn::tensor::Tensor;
use slm_core::CausalLm;
use slm_core::text::TrainingText;

use super::Pull;
use crate::Result;
use crate::train::{Batch, Batching, Trainer, Weights};

/// Where the weights began, and how much each of them matters; flattened, in the order of the gradients.
#[derive(Debug)]
pub(super) struct Anchor {
    start: Vec<Tensor<1>>,
    /// None where all matter alike.
    importance: Option<Vec<Tensor<1>>>,
    weight: f32,
}

impl Anchor {
    /// Of a trainer that has not begun; `None` where nothing pulls.
    ///
    /// # Errors
    /// When a batch of general texts fails.
    pub(super) fn new(trainer: &mut Trainer, pull: Pull, general: &[TrainingText]) -> Result<Option<Self>> {
        let (weight, batches) = match pull {
            Pull::None => return Ok(None),
            Pull::L2Sp { weight } => (weight, None),
            Pull::Ewc { weight, batches } => (weight, Some(batches)),
        };
        let start = trainer.descent.weights();
        let importance = match batches {
            Some(batches) => Some(importance(trainer, general, batches)?),
            None => None,
        };
        Ok(Some(Self { start, importance, weight }))
    }

    /// Adds the pull to the gradients of a step.
    pub(super) fn add(&self, trainer: &Trainer, gradients: &mut [Tensor<1>]) {
        let now = trainer.descent.weights();
        for (index, (gradient, (now, start))) in
            gradients.iter_mut().zip(now.into_iter().zip(&self.start)).enumerate()
        {
            let mut away = (now - start.clone()).mul_scalar(self.weight);
            if let Some(importance) = self.importance.as_ref().and_then(|all| all.get(index)) {
                away = away * importance.clone();
            }
            *gradient = gradient.clone() + away;
        }
    }
}

/// Mean squared gradients over batches of general texts, divided by the mean of all of them.
fn importance(trainer: &mut Trainer, general: &[TrainingText], batches: usize) -> Result<Vec<Tensor<1>>> {
    let device = trainer.device();
    let fits: Vec<&TrainingText> =
        general.iter().filter(|text| text.ids.len() <= trainer.descent.config.max_length).collect();
    let mut squares: Vec<Tensor<1>> = Vec::new();
    for part in fits.chunks(trainer.descent.config.batch_size).take(batches.max(1)) {
        let batch = Batch::new(part, Batching::Padded, &device);
        let mut sums = Vec::new();
        trainer.backward(0, &batch, &Weights::Equal(batch.learned().max(1)), &mut sums)?;
        let own = trainer.complete(sums).into_iter().map(|gradient| gradient.powi_scalar(2));
        squares = if squares.is_empty() {
            own.collect()
        } else {
            squares.into_iter().zip(own).map(|(sum, own)| sum + own).collect()
        };
    }
    let count: usize = squares.iter().map(|t| t.dims()[0]).sum();
    let parts: Vec<Tensor<1>> = squares.iter().map(|t| t.clone().sum()).collect();
    let total = if parts.is_empty() { 0.0 } else { crate::train::scalar(Tensor::cat(parts, 0).sum())? };
    let mean = (total / count.max(1) as f32).max(f32::MIN_POSITIVE);
    Ok(squares.into_iter().map(|t| t.div_scalar(mean)).collect())
}

/// The model that a trainer began with, as it diverges from it: adapters off, or a copy where all weights learn.
pub(crate) fn base_of(model: &CausalLm) -> CausalLm {
    let mut base = model.clone().inner();
    crate::adapter::switch_off(&mut base);
    // Where the model that learns is: packed weights are multiplied in another precision elsewhere.
    base.autodiff()
}
