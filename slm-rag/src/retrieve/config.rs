//! [`RetrieveConfig`]: how a [`Retriever`](super::Retriever) searches.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What chunks are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchMode {
    /// Words and vectors where there is an embedder and the index has vectors, words otherwise.
    #[default]
    Best,
    /// Words alone (BM25).
    Words,
    /// Vectors alone.
    Vectors,
}

/// Which words of a query are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryWords {
    /// Those that say what it is about, without `what`, `how` or `should I` (English).
    #[default]
    Content,
    /// All but the index's stop words.
    All,
}

/// How what words find and what vectors find becomes one ranking.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// By scores: `weight · cosine + (1 - weight) · BM25 / the best BM25` (a convex combination, Bruch, Gai & Ingber
    /// 2023). It keeps how much better one chunk is than the next, which ranks forget.
    Scores {
        /// Weight of the vectors, 0 to 1.
        weight: f64,
    },
    /// By places: the sum of `1 / (constant + place)` (reciprocal rank fusion, Cormack, Clarke & Büttcher 2009).
    ReciprocalRank {
        /// How little the first places count more than the others; 60 in the paper.
        constant: f64,
    },
}

/// How a [`Retriever`](super::Retriever) searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrieveConfig {
    /// What chunks are found by.
    pub mode: SearchMode,
    /// Which words of a query are looked up.
    pub words: QueryWords,
    /// How many chunks each way of searching proposes; at least as many as are wanted in the end are taken.
    pub candidates: usize,
    /// How what words find and what vectors find becomes one ranking.
    pub fusion: Fusion,
    /// How many of the best candidates the reranker reads, where there is one.
    pub reranked: usize,
    /// How much a chunk loses by being like one found before it, 0 (nothing) to 1: maximal marginal relevance.
    pub diversity: f64,
    /// Words up to which a chunk that was found grows by the chunks around it in its document (small to big, parent and
    /// child); 0 leaves it as it is. Index small chunks then: they are found by what they say, and read in context.
    pub parent_words: usize,
}

impl Default for RetrieveConfig {
    /// Words and vectors, 100 candidates of each, fused by scores with a weight of 0.6 (which does best, as a round
    /// number, on the worst of Cranfield, CACM and Vaswani with MiniLM); the reranker reads 20; no diversity,
    /// no parents.
    fn default() -> Self {
        Self {
            mode: SearchMode::Best,
            words: QueryWords::Content,
            candidates: 100,
            fusion: Fusion::Scores { weight: 0.6 },
            reranked: 20,
            diversity: 0.0,
            parent_words: 0,
        }
    }
}

impl RetrieveConfig {
    pub(crate) fn check(&self) -> Result<()> {
        for (field, value) in [("candidates", self.candidates), ("reranked", self.reranked)] {
            if value == 0 {
                return Err(Error::config(field, "expected at least 1, got 0"));
            }
        }
        let fits = match self.fusion {
            Fusion::Scores { weight } => (0.0..=1.0).contains(&weight),
            Fusion::ReciprocalRank { constant } => constant >= 0.0 && constant.is_finite(),
        };
        if !fits {
            let reason =
                format!("expected a weight of 0 to 1 or a constant of 0 or more, got {:?}", self.fusion);
            return Err(Error::config("fusion", reason));
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return Err(Error::config("diversity", format!("expected 0 to 1, got {}", self.diversity)));
        }
        Ok(())
    }
}
