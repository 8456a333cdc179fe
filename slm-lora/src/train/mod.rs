//! The trainer: adapters on a frozen base, or all weights, with the same loop.

mod batch;
mod board;
mod checkpoint;
mod config;
mod descent;
mod estimate;
mod log;
mod loss;
mod moments;
mod optimizer;
mod parameters;
mod pass;
mod trainer;
mod validation;

pub(crate) use batch::{Batch, fingerprint};
pub(crate) use descent::{Descent, Passed, scalar};
pub(crate) use estimate::estimate;
pub(crate) use loss::Weights;
pub(crate) use parameters::Learner;
pub(crate) use pass::{hidden, log_probabilities};

pub use batch::{Plan, training_texts};
pub use board::TensorBoardLog;
pub use config::{Batching, Checkpointing, OptimizerKind, Schedule, TrainConfig, Trainable};
pub use estimate::Estimate;
pub use log::JsonLog;
pub use trainer::{StepLog, Trainer, mean_loss};
pub use validation::{Measured, Patience, Validated};
