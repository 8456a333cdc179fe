//! What can go wrong on the whole road.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong on the whole road: a failure of one of the crates, or material that does not suffice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model or its files.
    #[error(transparent)]
    Core(#[from] slm_core::Error),
    /// The data.
    #[error(transparent)]
    Data(#[from] slm_data::Error),
    /// Fine-tuning.
    #[error(transparent)]
    Lora(#[from] slm_lora::Error),
    /// Quantization.
    #[error(transparent)]
    Quant(#[from] slm_quant::Error),
    /// Retrieval.
    #[error(transparent)]
    Rag(#[from] slm_rag::Error),
    /// Routing.
    #[error(transparent)]
    Router(#[from] slm_router::Error),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] slm_eval::Error),
    /// Too little is left to go on with.
    #[error("{what}: {found}, at least {needed} are needed\nhint: {hint}")]
    TooLittle {
        /// What there is too little of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        needed: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A folder is no domain expert made by this version.
    #[error("{path}: {reason}\nhint: make the expert first: cargo run --release --example domain_expert")]
    NoExpert {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
