//! Cross-entropy where there is something to learn, and nowhere else, in chunks.

use burn::tensor::{Gradients, Int, Tensor, TensorData};
use slm_core::CausalLm;
use slm_kernels::ops;

use super::batch::Batch;
use super::scalar;
use crate::Result;

/// Sum over the learned tokens of their negative log-probability, in nats; `hidden` is `[rows, hidden]`, one row for each
/// position in the flattened batch. The head is applied to the positions that predict a learned token alone.
///
/// # Errors
/// When a sum cannot be read back.
pub(super) fn sum(model: &CausalLm, hidden: &Tensor<2>, batch: &Batch, max_logits: usize) -> Result<f32> {
    let mut sum = 0.0;
    for (positions, targets) in chunks(model, batch, max_logits) {
        let rows = hidden.clone().select(0, indices(positions, &hidden.device()));
        sum += scalar(chosen(model, rows, targets).sum().neg())?;
    }
    Ok(sum)
}

/// A loss, and its derivative with the other sign with respect to each of the log-probabilities that it is given.
type Judge<'a> = dyn Fn(&[f32]) -> Result<(f32, Vec<f32>)> + 'a;

/// How the log-probabilities of a batch's learned tokens become a loss.
pub(crate) enum Weights<'a> {
    /// The negative sum, divided by this.
    Equal(usize),
    /// What this makes of them.
    Judged(&'a Judge<'a>),
    /// Not used: the loss is how far the base diverges from the model where a token is learned.
    Divergence {
        /// Its head is applied to `hidden`.
        base: &'a CausalLm,
        /// `[rows, hidden]` of the base, off the autodiff device.
        hidden: &'a Tensor<2>,
        /// Of a token.
        weight: f32,
    },
}

/// The log-probability of each learned token, in nats.
///
/// # Errors
/// When the numbers cannot be read back.
pub(super) fn log_probabilities(
    model: &CausalLm,
    hidden: &Tensor<2>,
    batch: &Batch,
    max_logits: usize,
) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for (positions, targets) in chunks(model, batch, max_logits) {
        let rows = hidden.clone().select(0, indices(positions, &hidden.device()));
        let own: Vec<f32> = chosen(model, rows, targets)
            .detach()
            .try_into_vec_as()
            .map_err(|e| slm_core::Error::Device { reason: format!("{e:?}") })?;
        all.extend(own);
    }
    Ok(all)
}

/// The loss, and its gradient with respect to `hidden`; chunk by chunk, so that no tape holds the logits of
/// two. `each` is given the gradients of every chunk: those of the head's own weights.
///
/// # Errors
/// When a sum cannot be read back.
pub(super) fn with_gradient(
    model: &CausalLm,
    hidden: &Tensor<2>,
    (batch, weights, max_logits): (&Batch, &Weights<'_>, usize),
    each: &mut dyn FnMut(&Gradients),
) -> Result<(f32, Tensor<2>)> {
    let hidden = hidden.clone().inner();
    let device = hidden.device();
    let (judged, mut sum) = match weights {
        Weights::Judged(judge) => {
            let own = log_probabilities(model, &hidden.clone().autodiff(), batch, max_logits)?;
            let (loss, weights) = judge(&own)?;
            (weights, loss)
        }
        _ => (Vec::new(), 0.0),
    };
    let (mut gradient, mut start) = (hidden.zeros_like(), 0);
    for (positions, targets) in chunks(model, batch, max_logits) {
        let at = indices(positions, &device);
        let rows = hidden.clone().select(0, at.clone()).autodiff().require_grad();
        let loss = match weights {
            Weights::Judged(_) => {
                let chosen = chosen(model, rows.clone(), targets);
                let own = judged.get(start..start + targets.len()).unwrap_or_default();
                start += targets.len();
                let own = Tensor::<1>::from_data(TensorData::from(own), &chosen.device());
                (chosen * own).sum().neg()
            }
            Weights::Equal(total) => {
                chosen(model, rows.clone(), targets).sum().neg().div_scalar(*total as f32)
            }
            Weights::Divergence { base, hidden, weight } => {
                // By the kernels that the model is read with: packed weights are multiplied otherwise elsewhere.
                let reference = base.logits((*hidden).clone().select(0, at.clone()).autodiff());
                ops::kl_divergence(reference, model.logits(rows.clone())).sum().mul_scalar(*weight)
            }
        };
        if !matches!(weights, Weights::Judged(_)) {
            sum += scalar(loss.clone().inner())?;
        }
        let gradients = loss.backward();
        if let Some(own) = rows.grad(&gradients) {
            gradient = gradient.select_assign(0, at, own, burn::tensor::IndexingUpdateOp::Add);
        }
        each(&gradients);
    }
    Ok((sum, gradient))
}

/// # Shapes
/// `[rows, hidden]` and as many targets to `[rows]`.
fn chosen(model: &CausalLm, rows: Tensor<2>, targets: &[i32]) -> Tensor<1> {
    ops::log_prob(model.logits(rows), targets)
}

fn chunks<'a>(
    model: &CausalLm,
    batch: &'a Batch,
    max_logits: usize,
) -> impl Iterator<Item = (&'a [i32], &'a [i32])> {
    let rows = (max_logits / model.config.vocab_size).max(1);
    batch.positions.chunks(rows).zip(batch.targets.chunks(rows))
}

fn indices(values: &[i32], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values), device)
}
