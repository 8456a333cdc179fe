//! What can go wrong when weights are quantized, saved or loaded.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when weights are quantized, saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is not a readable safetensors file.
    #[error(
        "{path} is not a valid safetensors file\nhint: copy or write it again; a truncated transfer is the usual cause"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: safetensors::SafeTensorError,
    },
    /// The file's description of its packed tensors is missing or unreadable.
    #[error(
        "{path}: metadata `slm.quant`: {reason}\nhint: load a checkpoint that was never quantized as a plain one"
    )]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written in a format this version does not know.
    #[error(
        "{path}: format version {found}, expected {supported}\nhint: update slm, or quantize the model again"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: u64,
        /// Version this crate reads.
        supported: u64,
    },
    /// A tensor of a file is missing, of the wrong type or shape, or has a name that cannot be stored.
    #[error("{path}: tensor `{name}`: {reason}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// What is wrong, with expected and found.
        reason: String,
    },
    /// The model or its configuration.
    #[error(transparent)]
    Core(#[from] slm_core::Error),
    /// The configuration leaves nothing to quantize.
    #[error(
        "no layer can be packed in groups of {group_size}\nhint: choose a group size that divides the layers' input widths ({widths:?}), and look at the skip patterns"
    )]
    NothingToPack {
        /// The requested group size.
        group_size: usize,
        /// Input widths of the model's layers.
        widths: Vec<usize>,
    },
    /// A matrix cannot be packed.
    #[error(transparent)]
    Pack(#[from] slm_kernels::Error),
}
