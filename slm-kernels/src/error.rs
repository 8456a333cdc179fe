//! What can go wrong with a packed tensor, a mapped file or a call of a kernel.

use crate::{BlockType, Format};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a packed tensor, a mapped file or a call of a kernel.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The group size is not supported or does not divide the row.
    #[error(
        "{format}: group size {group_size} does not fit rows of {cols} weights\nhint: use 32, 64 or 128, and one that divides the row; q4_K, q5_K and q6_K need rows of a multiple of 256 weights"
    )]
    GroupSize {
        /// The requested format.
        format: Format,
        /// The requested group size.
        group_size: usize,
        /// Weights per row.
        cols: usize,
    },
    /// A buffer does not have the length its shape implies.
    #[error("{what}: expected {expected} elements, got {got}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Length implied by the shape.
        expected: usize,
        /// Length found.
        got: usize,
    },
    /// There is no format of this name.
    #[error(
        "no weight format is called `{name}`\nhint: int8-g32, int4-g64, int4a-g64 or nf4-g64 (with any group size), q8_0, q4_0, q4_1, q5_0, q5_1, q4_K, q5_K, q6_K or iq4_nl"
    )]
    UnknownFormat {
        /// The name.
        name: String,
    },
    /// Weights cannot be rounded to this block type.
    #[error("{block} has no plain rounding\nhint: its codes are searched for; see `slm-quant`")]
    NoEncoder {
        /// The block type.
        block: BlockType,
    },
    /// The order of the inputs is not a permutation.
    #[error("input order: expected a permutation of {cols} columns, got {got} numbers that are none")]
    InputOrder {
        /// Columns of the matrix.
        cols: usize,
        /// Length of the order.
        got: usize,
    },
    /// A weight or a scale is NaN or infinite.
    #[error("{what} of row {row} is not finite: {value}")]
    NotFinite {
        /// `"weight"`, `"scale"` or `"minimum"`.
        what: &'static str,
        /// Row of the matrix.
        row: usize,
        /// The value found.
        value: f32,
    },
    /// Numbers of a file do not start at a multiple of their size.
    #[error("numbers of {size} bytes at byte {offset} of the file are not aligned\nhint: copy them")]
    Alignment {
        /// Where they start in the file.
        offset: usize,
        /// Bytes of a number.
        size: usize,
    },
    /// A tensor's last dimension is not the layer's input size.
    #[error("linear layer: expected {expected} input features, got {got}")]
    Features {
        /// Input features of the layer.
        expected: usize,
        /// Last dimension of the tensor.
        got: usize,
    },
}
