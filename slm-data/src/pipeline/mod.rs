//! A curation in named steps: from one TOML file or in code, cached by content, resumable.

mod cache;
mod config;
mod files;
mod run;
mod stage;

pub use config::{InputConfig, OutputConfig, PipelineConfig, StepConfig, StepKind};
pub(crate) use files::{each_dropped, each_row};
#[cfg(feature = "datafusion")]
pub(crate) use run::{DroppedLine, each_input};
pub use run::{Pipeline, PipelineReport, StepRun};
#[cfg(feature = "datafusion")]
pub(crate) use stage::BuiltIn;
pub use stage::{Outcome, Stage};
