//! The trainer: adapters on a frozen base, or all weights, with the same loop.

mod batch;
mod checkpoint;
mod config;
mod loss;
mod parameters;
mod trainer;

pub use batch::{Plan, training_texts};
pub use config::{Schedule, TrainConfig, Trainable};
pub use trainer::{StepLog, Trainer};
