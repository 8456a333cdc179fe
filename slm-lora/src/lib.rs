#![doc = include_str!("../README.md")]

mod adapter;
mod align;
mod encoder;
mod error;
mod retain;
mod train;

pub use adapter::{AdapterSet, Combination, Init, LoraAdapter, LoraConfig, SavedWeight, Targets, combine};
pub use align::{
    AlignLog, Aligner, DpoLoss, Grpo, GrpoConfig, GrpoLog, Normalization, Objective, Preference, Preferences,
    Rated, Reward, Rollout,
};
pub use encoder::{
    EncoderData, EncoderPlan, EncoderTrainConfig, EncoderTrainer, LabelLoss, LabelledText, TextPair,
};
pub use error::{Error, Result};
pub use retain::{
    Point, Pull, Retained, Retainer, RetentionConfig, RetentionData, RetentionLog, pareto_front,
};
pub use train::{
    Batching, Checkpointing, Estimate, JsonLog, Measured, OptimizerKind, Patience, Plan, Schedule, StepLog,
    TensorBoardLog, TrainConfig, Trainable, Trainer, Validated, mean_loss, training_texts,
};
