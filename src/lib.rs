#![doc = include_str!("../README.md")]

pub mod base;
mod error;
pub mod expert;
pub mod progress;
pub mod sandbox;

pub use error::{Error, Result};
pub use slm_core as core;
pub use slm_data as data;
pub use slm_eval as eval;
pub use slm_lora as lora;
pub use slm_quant as quant;
pub use slm_rag as rag;
pub use slm_router as router;
