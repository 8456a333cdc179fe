//! Learning without forgetting: [`Retainer`].

mod config;
mod interpolate;
mod pull;
mod retainer;
mod run;

pub(crate) use pull::base_of;

pub use config::{Pull, RetentionConfig, RetentionData};
pub use retainer::{Retainer, RetentionLog};
pub use run::{Point, Retained, pareto_front};
