#![doc = include_str!("../README.md")]

mod config;

mod model;

mod rtn;

mod stats;

mod store;

mod error;

pub use config::{Bits, QuantConfig};
pub use error::{Error, Result};
pub use model::{QuantReport, dequantize_model, load_model, quantize_model, save_model};
pub use rtn::quantize_matrix;
pub use slm_kernels::{Format, PackedTensor};
pub use stats::QuantStats;
pub use store::{FORMAT_VERSION, Stored, Values, load_packed, save_packed};
