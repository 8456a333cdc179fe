//! Forward and backward over one batch.

use burn::tensor::{Gradients, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_core::CausalLm;
use slm_core::model::Reading;

use super::batch::Batch;
use super::loss::Weights;
use super::{Checkpointing, TrainConfig, loss};
use crate::Result;

/// Half-width of `NEFTune`'s noise, and its seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    pub(super) alpha: f32,
    pub(super) seed: u64,
}

/// Loss of a batch. `each` is given gradients, several times; what it sums up is the
/// gradient of the loss.
///
/// # Errors
/// When the batch does not fit the model or a number cannot be read back.
pub(super) fn backward(
    model: &CausalLm,
    (batch, weights): (&Batch, &Weights<'_>),
    config: &TrainConfig,
    noise: Option<Noise>,
    each: &mut dyn FnMut(&Gradients),
) -> Result<f32> {
    match config.checkpointing {
        Checkpointing::None => {
            let reading = model.reading(&batch.lengths)?;
            let mut x = begin(&reading, batch, noise)?;
            for index in 0..reading.blocks() {
                x = reading.block(index, x);
            }
            let hidden = rows(reading.norm(x));
            let (loss, gradient) =
                loss::with_gradient(model, &hidden, (batch, weights, config.max_logits), each)?;
            go_back(hidden, gradient, each);
            Ok(loss)
        }
        Checkpointing::Blocks => replayed(model, (batch, weights, config.max_logits), noise, each),
    }
}

/// Keeps the input of each block alone, and computes the block again on the way back.
fn replayed(
    model: &CausalLm,
    (batch, weights, max_logits): (&Batch, &Weights<'_>, usize),
    noise: Option<Noise>,
    each: &mut dyn FnMut(&Gradients),
) -> Result<f32> {
    // On the autodiff device, as packed weights are multiplied in another precision elsewhere, but of constants: the tape of a
    // block would stay until the first way back.
    let constant = model.clone().inner().autodiff();
    let forward = constant.reading(&batch.lengths)?;
    let mut inputs = vec![begin(&forward, batch, noise)?.inner()];
    for index in 0..forward.blocks() {
        let last = inputs.last().cloned();
        inputs.extend(last.map(|x| forward.block(index, x.autodiff()).inner()));
    }
    let reading = model.reading(&batch.lengths)?;
    let Some(last) = inputs.pop() else { return Ok(0.0) };
    let last = last.autodiff().require_grad();
    let hidden = rows(reading.norm(last.clone()));
    let (loss, gradient) = loss::with_gradient(model, &hidden, (batch, weights, max_logits), each)?;
    let gradients = product(hidden, gradient).backward();
    each(&gradients);
    let mut gradient = last.grad(&gradients).unwrap_or_else(|| last.inner().zeros_like());
    for (index, input) in inputs.into_iter().enumerate().rev() {
        let input = input.autodiff().require_grad();
        let output = reading.block(index, input.clone());
        let gradients = product(output, gradient.clone()).backward();
        each(&gradients);
        gradient = input.grad(&gradients).unwrap_or_else(|| gradient.zeros_like());
    }
    // What the embedding itself learns; nothing where it is frozen.
    let x = begin(&reading, batch, noise)?;
    go_back(x, gradient, each);
    Ok(loss)
}

/// Loss of nothing but a forward pass, as a sum over the learned tokens.
///
/// # Errors
/// As [`backward`].
pub(super) fn measure(model: &CausalLm, batch: &Batch, max_logits: usize) -> Result<f32> {
    loss::sum(model, &hidden(model, batch)?, batch, max_logits)
}

/// The log-probability of each learned token, in nats.
///
/// # Errors
/// As [`backward`].
pub(crate) fn log_probabilities(model: &CausalLm, batch: &Batch, max_logits: usize) -> Result<Vec<f32>> {
    loss::log_probabilities(model, &hidden(model, batch)?, batch, max_logits)
}

/// What the head is applied to, one row for each position in the flattened batch.
///
/// # Errors
/// As [`backward`].
pub(crate) fn hidden(model: &CausalLm, batch: &Batch) -> Result<Tensor<2>> {
    let reading = model.reading(&batch.lengths)?;
    let mut x = begin(&reading, batch, None)?;
    for index in 0..reading.blocks() {
        x = reading.block(index, x);
    }
    Ok(rows(reading.norm(x)))
}

/// The embedded tokens, with `NEFTune`'s noise (Jain et al. 2023): uniform within `±α / √(length · hidden)`.
fn begin(reading: &Reading<'_>, batch: &Batch, noise: Option<Noise>) -> Result<Tensor<3>> {
    let x = reading.embed(batch.ids.clone())?;
    let Some(noise) = noise else { return Ok(x) };
    let [count, length, hidden] = x.dims();
    let mut rng = ChaCha8Rng::seed_from_u64(noise.seed);
    // Of each row's own length: one row may hold several sequences.
    let widths: Vec<f32> = match batch.lengths.len() {
        1 => vec![noise.alpha / ((length * hidden) as f32).sqrt(); count * length],
        _ => batch
            .lengths
            .iter()
            .flat_map(|own| std::iter::repeat_n(noise.alpha / ((own * hidden) as f32).sqrt(), *own))
            .collect(),
    };
    let values: Vec<f32> = widths
        .into_iter()
        .flat_map(|width| std::iter::repeat_n(width, hidden))
        .map(|width| width * (2.0 * rng.random::<f32>() - 1.0))
        .collect();
    Ok(x.clone() + Tensor::from_data(TensorData::new(values, [count, length, hidden]), &x.device()))
}

fn rows(hidden: Tensor<3>) -> Tensor<2> {
    let [batch, length, width] = hidden.dims();
    hidden.reshape([batch * length, width])
}

/// The gradients of what `value` was computed from; none where nothing of that learns.
fn go_back<const D: usize>(value: Tensor<D>, gradient: Tensor<D>, each: &mut dyn FnMut(&Gradients)) {
    if value.is_tracked() {
        each(&product(value, gradient).backward());
    }
}

/// A number whose gradient is `gradient`'s product with that of `value`.
fn product<const D: usize>(value: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    (value * gradient.autodiff()).sum()
}
