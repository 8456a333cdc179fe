//! Fine-tuning of an encoder, so that its vectors know a domain.

mod batch;
mod config;
mod data;
mod loss;
mod pupil;
mod trainer;

pub use config::{EncoderTrainConfig, LabelLoss};
pub use data::{EncoderData, EncoderPlan, LabelledText, TextPair};
pub use trainer::EncoderTrainer;
