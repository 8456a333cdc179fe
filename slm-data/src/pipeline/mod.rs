//! A curation in named steps: from one TOML file or in code, cached by content, resumable.

mod cache;
mod config;
mod files;
mod run;
mod stage;

pub use config::{InputConfig, OutputConfig, PipelineConfig, StepConfig, StepKind};
pub(crate) use files::{each_dropped, each_row};
pub use run::{Pipeline, PipelineReport, StepRun};
pub use stage::{Outcome, Stage};
