#![doc = include_str!("../README.md")]

mod config;

mod calibrate;

mod grid;

mod round;

mod hqq;

mod awq;

mod gptq;

mod stats;

mod quantize;

mod plan;

mod quality;

mod model;

mod error;

pub use calibrate::{CalibrationConfig, CalibrationData, InputStatistics};
pub use config::{Method, Override, QuantConfig};
pub use error::{Error, Result};
pub use gptq::{Gptq, GptqConfig};
pub use model::dequantize_model;
pub use plan::{Plan, PlanConfig, Target, plan};
pub use quality::{Budget, Prediction, QualityReport, Reference, measure};
pub use quantize::{Progress, QuantReport, quantize_calibrated, quantize_model};
pub use round::{Search, encode, quantize_matrix};
pub use slm_kernels::packed::{BlockType, Format, PackedTensor};
pub use stats::QuantStats;
