//! The whole road as one call: from raw pairs and documents to an expert that answers, cites and refuses.
//!
//! [`build`] gathers the [`Material`], curates it, tunes an adapter (and, to compare, one on the raw data), aligns it by its own
//! answers, merges and quantizes, indexes the documents, fits the [`Guard`], measures every stage and writes everything to
//! one folder, from which [`Expert::load`] answers. Each stage is a call of the crate that owns it; take them
//! apart where your road differs.

mod align;
mod artifact;
mod config;
mod export;
mod guard;
mod material;
mod measure;
mod outcome;
mod pack;
mod report;
mod stages;
mod tune;

pub use align::{Aligned, align};
pub use artifact::{DOCUMENTS, DOMAIN, Expert};
pub use config::{AlignConfig, ExpertConfig};
pub use guard::{Guard, GuardReport};
pub use material::{DocumentQuestion, Material};
pub use measure::{CitationScores, Scores, measure, measure_citations};
pub use outcome::Outcome;
pub use pack::{Packed, Trial, pack};
pub use stages::build;
pub use tune::{Tuned, tune, tune_alone};
