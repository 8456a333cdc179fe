//! Cross-entropy where there is something to learn, and nowhere else.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use slm_core::CausalLm;

use super::batch::Batch;
use crate::Result;

/// Logits held at a time: `[rows, vocab]` of at most this many numbers, so that a large vocabulary does not
/// decide the memory of a step.
const MAX_LOGITS: usize = 1 << 24;

/// Sum over the learned tokens of their negative log-probability, in nats, divided by `total`.
///
/// The head is applied to the positions that predict a learned token, not to the prompt or the padding.
pub(super) fn loss(model: &CausalLm, batch: &Batch, total: usize) -> Result<Tensor<1>> {
    let hidden = model.hidden(batch.ids.clone(), None)?;
    let [rows, length, width] = hidden.dims();
    let hidden = hidden.reshape([rows * length, width]);
    let device = hidden.device();
    let indices = |values: &[i32]| Tensor::<1, Int>::from_data(TensorData::from(values), &device);
    let chunk = (MAX_LOGITS / model.config.vocab_size).max(1);
    let mut sum = Tensor::<1>::zeros([1], &device);
    for (positions, targets) in batch.positions.chunks(chunk).zip(batch.targets.chunks(chunk)) {
        let logits = model.logits(hidden.clone().select(0, indices(positions))); // [chunk, vocab]
        let chosen = log_softmax(logits, 1).gather(1, indices(targets).unsqueeze_dim(1));
        sum = sum - chosen.sum();
    }
    Ok(sum.div_scalar(total as f32))
}
