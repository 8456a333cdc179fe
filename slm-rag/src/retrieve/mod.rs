//! [`Retriever`]: from a question to the chunks that may answer it.

mod config;
mod fusion;
mod rewrite;

use std::sync::Arc;

pub use config::{Fusion, QueryWords, RetrieveConfig, SearchMode};
#[cfg(any(feature = "postgres", feature = "qdrant"))]
pub(crate) use fusion::{by_places, by_scores};
pub use rewrite::QueryWriter;
use slm_core::{CrossEncoder, Embedder};

use crate::index::{Filter, Hit, Index, Ranked};
use crate::{Error, Result};

/// Reads a query and texts together and says how well they fit: slower and better than comparing vectors.
pub trait Reranker {
    /// A score per text, higher is better.
    ///
    /// # Errors
    /// When the model fails.
    fn score(&self, query: &str, texts: &[&str]) -> slm_core::Result<Vec<f32>>;
}

impl Reranker for CrossEncoder {
    fn score(&self, query: &str, texts: &[&str]) -> slm_core::Result<Vec<f32>> {
        Self::score(self, query, texts)
    }
}

/// An embedder that can be shared.
pub type SharedEmbedder = Arc<dyn Embedder + Send + Sync>;
/// A reranker that can be shared.
pub type SharedReranker = Arc<dyn Reranker + Send + Sync>;

/// Searches an index by words and, where there is an embedder, by vectors, fuses both, and orders the best again.
///
/// Without an embedder it searches by words, and everything else works as before. An [`Index`] becomes one by `into()`.
#[derive(Clone)]
pub struct Retriever {
    index: Arc<Index>,
    embedder: Option<SharedEmbedder>,
    reranker: Option<SharedReranker>,
    config: RetrieveConfig,
}

/// The constant of reciprocal rank fusion for several forms of one question.
const FUSION_OF_QUERIES: f64 = 60.0;
/// How many times the candidates are scored by words before scores are added.
pub(crate) const DEPTH: usize = 10;

fn vector(embedder: &SharedEmbedder, query: &str) -> Result<Vec<f32>> {
    embedder.embed(&[query])?.pop().ok_or(Error::NoVectors)
}

impl std::fmt::Debug for Retriever {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, embedder, reranker, config } = self;
        f.debug_struct("Retriever")
            .field("chunks", &index.chunk_count())
            .field("embedder", &embedder.is_some())
            .field("reranker", &reranker.is_some())
            .field("config", config)
            .finish()
    }
}

impl From<Index> for Retriever {
    fn from(index: Index) -> Self {
        Self::from(Arc::new(index))
    }
}

impl From<Arc<Index>> for Retriever {
    fn from(index: Arc<Index>) -> Self {
        Self { index, embedder: None, reranker: None, config: RetrieveConfig::default() }
    }
}

impl Retriever {
    /// A retriever over an index, which may be shared.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(index: impl Into<Arc<Index>>, config: RetrieveConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { config, ..Self::from(index.into()) })
    }

    /// The same with an embedder of queries: that with which the index was built.
    ///
    /// # Errors
    /// When its vectors have another length than those of the index, or the index has none.
    pub fn with_embedder(self, embedder: SharedEmbedder) -> Result<Self> {
        let expected = self.index.dimension().ok_or(Error::NoVectors)?;
        let got = embedder.dimension();
        if got != expected {
            return Err(Error::config("embedder", format!("expected vectors of {expected}, got {got}")));
        }
        Ok(Self { embedder: Some(embedder), ..self })
    }

    /// The same with a reranker.
    #[must_use]
    pub fn with_reranker(self, reranker: SharedReranker) -> Self {
        Self { reranker: Some(reranker), ..self }
    }

    /// The same over another index, such as a newer one of the same store.
    #[must_use]
    pub fn with_index(self, index: impl Into<Arc<Index>>) -> Self {
        Self { index: index.into(), ..self }
    }

    /// What it searches.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The best `k` chunks for a query, best first.
    ///
    /// # Errors
    /// When the index cannot be read, or a model fails.
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Hit>> {
        self.search_among(query, k, &Filter::Any)
    }

    /// As [`search`](Self::search), among the documents that `filter` accepts.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn search_among(&self, query: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>> {
        self.search_all(&[query], k, filter)
    }

    /// The best chunks for several forms of one question, fused; the reranker reads them with the first form.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn search_all(&self, queries: &[&str], k: usize, filter: &Filter) -> Result<Vec<Hit>> {
        let mut lists = Vec::new();
        for query in queries {
            let wanted = if queries.len() > 1 { self.config.candidates.max(k) } else { self.pool(k) };
            lists.push(self.ranked(query, wanted, filter)?);
        }
        let ranked = match lists.as_mut_slice() {
            [only] => std::mem::take(only),
            lists => fusion::by_places(lists, FUSION_OF_QUERIES),
        };
        let Some(first) = queries.first().filter(|_| k > 0) else {
            return Ok(Vec::new());
        };
        self.finish(first, ranked, k)
    }

    /// How many are read to find the best `k`.
    fn pool(&self, k: usize) -> usize {
        let pool = if self.reranker.is_some() { self.config.reranked.max(k) } else { k };
        let more = self.config.diversity > 0.0 || self.config.parent_words > 0;
        if more { pool.max(4 * k) } else { pool }
    }

    fn ranked(&self, query: &str, wanted: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let candidates = self.config.candidates.max(wanted);
        match (self.config.mode, &self.embedder) {
            (SearchMode::Words, _) | (SearchMode::Best, None) => self.by_words(query, wanted, filter),
            (SearchMode::Vectors, None) => Err(Error::NoVectors),
            (SearchMode::Vectors, Some(embedder)) => {
                self.index.ranked_by_vector(&vector(embedder, query)?, candidates, filter)
            }
            (SearchMode::Best, Some(embedder)) => {
                let vector = vector(embedder, query)?;
                let near = self.index.ranked_by_vector(&vector, candidates, filter)?;
                match self.config.fusion {
                    Fusion::ReciprocalRank { constant } => {
                        let worded = self.by_words(query, candidates, filter)?;
                        Ok(fusion::by_places(&[worded, near], constant))
                    }
                    Fusion::Scores { weight } => {
                        // Deep enough that what is near has its score by words, too.
                        let worded = self.by_words(query, DEPTH * candidates, filter)?;
                        let similarity = |id| self.index.similarity(&vector, id);
                        Ok(fusion::by_scores(&worded, &near, candidates, (weight, &similarity)))
                    }
                }
            }
        }
    }

    fn by_words(&self, query: &str, candidates: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let terms = match self.config.words {
            QueryWords::Content => self.index.content(query),
            QueryWords::All => self.index.terms(query),
        };
        self.index.ranked(terms, candidates, filter)
    }

    /// Reranks, spreads and reads.
    fn finish(&self, query: &str, mut ranked: Vec<Ranked>, k: usize) -> Result<Vec<Hit>> {
        ranked.truncate(self.pool(k));
        let (spread, widen) = (self.config.diversity > 0.0, self.config.parent_words > 0);
        let mut hits = self.index.hits(ranked)?;
        if let Some(reranker) = &self.reranker {
            let texts: Vec<String> = hits.iter().map(|hit| hit.chunk.with_context(&hit.text)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for (hit, score) in hits.iter_mut().zip(reranker.score(query, &texts)?) {
                // Between 0 and 1, in the same order.
                hit.score = 1.0 / (1.0 + f64::from(-score).exp());
            }
            hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        if spread {
            let wanted = if widen { hits.len() } else { k };
            hits = fusion::spread(&self.index, hits, wanted, self.config.diversity);
        }
        if widen {
            return self.widened(hits, k);
        }
        hits.truncate(k);
        Ok(hits)
    }

    /// The first `k` hits that are not in one before them, each with what is around it.
    fn widened(&self, hits: Vec<Hit>, k: usize) -> Result<Vec<Hit>> {
        let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
        let mut out = Vec::new();
        for hit in hits {
            if out.len() < k && taken.iter().all(|range| !range.contains(&hit.id)) {
                let (hit, ids) = self.index.widened(hit, self.config.parent_words, &taken)?;
                taken.push(ids);
                out.push(hit);
            }
        }
        Ok(out)
    }
}
