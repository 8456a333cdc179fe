//! What can go wrong with adapters and training.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with adapters and training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, the tokenizer or a file of theirs.
    #[error(transparent)]
    Core(#[from] slm_core::Error),
    /// A setting is out of its range or names nothing.
    #[error("`{field}`: {reason}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An adapter's files are not what this version reads.
    #[error("{path}: {reason}")]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What is wrong, with expected and found.
        reason: String,
    },
    /// The adapter's tensors are not those of the model.
    #[error("{path} does not fit the model: {}", problems.join("; "))]
    Tensors {
        /// The adapter.
        path: PathBuf,
        /// One line per surplus or misshapen tensor, with expected and found shapes.
        problems: Vec<String>,
    },
    /// An adapter cannot be merged into a packed weight.
    #[error(
        "{layer} is packed\nhint: keep the adapter on top of the packed weight, or merge it before quantization"
    )]
    Packed {
        /// The layer.
        layer: String,
    },
    /// There is nothing to learn from.
    #[error(
        "no example has an assistant token within {max_length} tokens ({too_long} are longer)\nhint: raise max_length or shorten the examples"
    )]
    NoData {
        /// Longest example allowed, in tokens.
        max_length: usize,
        /// Examples that are longer.
        too_long: usize,
    },
    /// The loss or a gradient is not a number any more.
    #[error(
        "the loss is {loss} and the gradient norm {gradient_norm} at step {step} (examples {examples:?})\nhint: lower the learning rate, or look at these examples; the weights of the step before are kept"
    )]
    Diverged {
        /// Step that failed.
        step: usize,
        /// Its loss, nats per token.
        loss: f32,
        /// Its global gradient norm.
        gradient_norm: f32,
        /// Indices of the examples of the step.
        examples: Vec<usize>,
    },
    /// A checkpoint belongs to another run.
    #[error(
        "{path} is a checkpoint of another run: {reason}\nhint: resume with the same data and settings, or start anew in an empty folder"
    )]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}
