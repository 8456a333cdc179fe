//! What can go wrong when weights are quantized, calibrated or measured.

use slm_kernels::packed::Format;

use crate::{Method, QualityReport};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when weights are quantized, calibrated or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model or its configuration.
    #[error(transparent)]
    Core(#[from] slm_core::Error),
    /// The configuration leaves nothing to quantize.
    #[error(
        "no layer can be packed as {format}\nhint: choose a format whose group divides the layers' input widths ({widths:?}), and look at the skip patterns"
    )]
    NothingToPack {
        /// The requested format.
        format: Format,
        /// Input widths of the model's layers.
        widths: Vec<usize>,
    },
    /// A column's importance is negative or not a number.
    #[error("importance of column {column}: expected a number of at least 0, got {value}")]
    Importance {
        /// The column.
        column: usize,
        /// What was given.
        value: f32,
    },
    /// The method needs text, and none was given.
    #[error("method {method:?} needs calibration data\nhint: call quantize_calibrated")]
    NoCalibration {
        /// The method.
        method: Method,
    },
    /// Calibration or measurement has nothing usable to work on.
    #[error("inputs: {reason}")]
    Inputs {
        /// What is wrong with them.
        reason: String,
    },
    /// The inputs' second moment cannot be factored.
    #[error(
        "the second moment of {width} inputs over {tokens} tokens is singular\nhint: calibrate on more text"
    )]
    Singular {
        /// Inputs of the layer.
        width: usize,
        /// Tokens seen.
        tokens: usize,
    },
    /// No assignment of formats meets the target.
    #[error("no plan meets the target: {reason}\nhint: loosen the target, or offer other formats")]
    NoPlan {
        /// The best that was found, in figures.
        reason: String,
    },
    /// The quantized model breaks its budget.
    #[error("the quantized model breaks its budget: {}\nhint: take more bits or a calibrated method, or loosen the budget", .broken.join("; "))]
    Budget {
        /// Each broken limit with the figure found.
        broken: Vec<String>,
        /// All figures.
        report: Box<QualityReport>,
    },
    /// A matrix cannot be packed.
    #[error(transparent)]
    Pack(#[from] slm_kernels::Error),
}
