//! [`IndexConfig`]: how documents are cut, read and scored.

use serde::{Deserialize, Serialize};

use crate::chunk::ChunkConfig;
use crate::text::{Stemming, StopWords};
use crate::vectors::VectorConfig;
use crate::{Error, Result};

/// How documents are cut, read and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexConfig {
    /// How documents are cut.
    pub chunk: ChunkConfig,
    /// Reduction of words to stems.
    pub stemming: Stemming,
    /// Words that are never looked up.
    pub stop_words: StopWords,
    /// How many times more a word in the headings of a chunk counts than one in its text.
    pub heading_weight: u32,
    /// BM25's saturation of repeated terms, 0 (a term counts once) or more.
    pub k1: f64,
    /// BM25's normalisation by length, 0 (none) to 1 (full).
    pub b: f64,
    /// How vectors are kept and searched, where there are any.
    pub vectors: VectorConfig,
}

impl Default for IndexConfig {
    /// English, `k1` = 1.2, `b` = 0.75, headings count three times.
    fn default() -> Self {
        Self {
            chunk: ChunkConfig::default(),
            stemming: Stemming::English,
            stop_words: StopWords::English,
            heading_weight: 3,
            k1: 1.2,
            b: 0.75,
            vectors: VectorConfig::default(),
        }
    }
}

impl IndexConfig {
    pub(crate) fn check(&self) -> Result<()> {
        self.chunk.check()?;
        if !(1..=100).contains(&self.heading_weight) {
            return Err(Error::config(
                "heading_weight",
                format!("expected 1 to 100, got {}", self.heading_weight),
            ));
        }
        if !(self.k1 >= 0.0 && self.k1.is_finite()) {
            return Err(Error::config("k1", format!("expected 0 or more, got {}", self.k1)));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(Error::config("b", format!("expected 0 to 1, got {}", self.b)));
        }
        self.vectors.check()
    }
}
