#![doc = include_str!("../README.md")]

pub mod answer;
pub mod chunk;
mod error;
mod folder;
pub mod index;
pub mod text;

pub use answer::{
    CheckedSentence, ExtractiveConfig, ExtractiveModel, GroundedAnswer, GroundedConfig, GroundedModel,
    Unmarked, Unsupported,
};
pub use chunk::{Chunk, ChunkConfig, Sections, chunk};
pub use error::{Error, Result};
pub use folder::read_folder;
pub use index::{Bm25Index, Evidence, Hit, IndexConfig};
pub use text::{Stemming, StopWords};
