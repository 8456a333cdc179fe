//! Checkpoints with packed tensors: one safetensors file.
//!
//! A packed tensor `NAME` is two tensors, `NAME.codes` (U8, `[rows, bytes per row]`) and `NAME.scales` (F16,
//! `[rows, groups]`; F32 is read too), in the layout of [`slm_kernels::packed`]. Others keep name and type.
//! The file's metadata entry `slm.quant` is JSON:
//! `{"version": 1, "tensors": {NAME: {"bits": 4, "group_size": 64}}}`.

mod read;
mod write;

use std::collections::BTreeMap;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use slm_kernels::PackedTensor;

use crate::Bits;

pub use read::load_packed;
pub use write::save_packed;

/// Version of the file format that this crate writes and reads.
pub const FORMAT_VERSION: u64 = 1;

/// Key of the description in the file's metadata.
const METADATA_KEY: &str = "slm.quant";

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Stored {
    /// A tensor as it was.
    Dense {
        /// Dimensions; their product is the number of values.
        shape: Vec<usize>,
        /// Row-major values.
        values: Values,
    },
    /// A quantized matrix.
    Packed(PackedTensor),
}

/// Values of a dense tensor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// Brain floats.
    Bf16(Vec<bf16>),
}

impl Values {
    /// The values in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::F16(values) => values.iter().map(|v| v.to_f32()).collect(),
            Self::Bf16(values) => values.iter().map(|v| v.to_f32()).collect(),
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What `slm.quant` says.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u64,
    tensors: BTreeMap<String, Packing>,
}

/// How one tensor is packed.
#[derive(Debug, Serialize, Deserialize)]
struct Packing {
    #[serde(with = "crate::config::width")]
    bits: Bits,
    group_size: usize,
}

fn codes_name(name: &str) -> String {
    format!("{name}.codes")
}

fn scales_name(name: &str) -> String {
    format!("{name}.scales")
}
