//! What collections on servers share: what they are, the words of a query, how both ways of searching become one ranking.

use std::collections::BTreeMap;

use slm_data::Document;

use crate::index::{Cut, Filter, IndexConfig, Metadata, Ranked, cut};
use crate::retrieve::{
    DEPTH, Fusion, QueryWords, RetrieveConfig, SearchMode, SharedEmbedder, by_places, by_scores,
};
use crate::text::{for_each_word, is_question_word, stemmed, term_of};
use crate::{Error, Result};

/// What a collection is, apart from its connection.
pub(super) struct About {
    pub(super) name: String,
    pub(super) config: IndexConfig,
    pub(super) retrieve: RetrieveConfig,
    pub(super) embedder: Option<SharedEmbedder>,
}

/// What a server is asked for.
pub(super) trait Candidates {
    /// The best `k` for terms, each with how often it is asked for, by BM25.
    fn by_words(&mut self, terms: &BTreeMap<String, u32>, k: usize, filter: &Filter) -> Result<Vec<Ranked>>;

    /// The `k` nearest to a vector.
    fn by_vector(&mut self, vector: &[f32], k: usize, filter: &Filter) -> Result<Vec<Ranked>>;

    /// How near each of these is to a vector.
    fn similarities(&mut self, vector: &[f32], of: &[Ranked]) -> Result<BTreeMap<usize, f64>>;
}

impl About {
    /// # Errors
    /// When the name is not of small letters, digits and `_`, or the configuration is out of range.
    pub(super) fn new(name: &str, config: &IndexConfig, embedder: Option<SharedEmbedder>) -> Result<Self> {
        config.check()?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || name.len() > 40
            || !name.chars().all(is_plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let reason = format!("expected up to 40 small letters, digits and _, got {name:?}");
            return Err(Error::config("name", reason));
        }
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            retrieve: RetrieveConfig::default(),
            embedder,
        })
    }

    pub(super) fn dimension(&self) -> Option<usize> {
        self.embedder.as_ref().map(|embedder| embedder.dimension())
    }

    /// Whether a collection that was made with `config` and vectors of `dimension` is this one.
    pub(super) fn check_made(&self, same_config: bool, dimension: Option<usize>) -> Result<()> {
        if !same_config {
            return Err(Error::config("config", "the collection was made with another configuration"));
        }
        if dimension != self.dimension() {
            let reason = format!("the collection has vectors of {dimension:?}, got {:?}", self.dimension());
            return Err(Error::config("embedder", reason));
        }
        Ok(())
    }

    /// Candidates of both ways of searching, fused as by a [`Retriever`](crate::Retriever).
    pub(super) fn ranked(
        &self,
        server: &mut dyn Candidates,
        query: &str,
        k: usize,
        filter: &Filter,
    ) -> Result<Vec<Ranked>> {
        let RetrieveConfig { mode, fusion, candidates, .. } = self.retrieve;
        let candidates = candidates.max(k);
        let embedder = self.embedder.as_ref().filter(|_| mode != SearchMode::Words);
        let vector = match embedder {
            Some(embedder) => embedder.embed(&[query])?.pop(),
            None if mode == SearchMode::Vectors => return Err(Error::NoVectors),
            None => None,
        };
        let terms = self.terms(query);
        let Some(vector) = vector else {
            return server.by_words(&terms, candidates, filter);
        };
        let near = server.by_vector(&vector, candidates, filter)?;
        if mode == SearchMode::Vectors {
            return Ok(near);
        }
        match fusion {
            Fusion::ReciprocalRank { constant } => {
                Ok(by_places(&[server.by_words(&terms, candidates, filter)?, near], constant))
            }
            Fusion::Scores { weight } => {
                let worded = server.by_words(&terms, DEPTH * candidates, filter)?;
                let known = server.similarities(&vector, &worded)?;
                let similarity = |id: usize| known.get(&id).copied().unwrap_or(0.0);
                Ok(by_scores(&worded, &near, candidates, (weight, &similarity)))
            }
        }
    }

    /// The terms that a query looks up, and how often each.
    fn terms(&self, query: &str) -> BTreeMap<String, u32> {
        let IndexConfig { stemming, stop_words, .. } = self.config;
        let mut counts = BTreeMap::new();
        for_each_word(query, |word| {
            let term = match self.retrieve.words {
                QueryWords::Content => (!is_question_word(word)).then(|| stemmed(word, stemming)),
                QueryWords::All => term_of(word, stemming, stop_words),
            };
            if let Some(term) = term {
                *counts.entry(term).or_insert(0) += 1;
            }
        });
        counts
    }

    /// The chunks of a document, each with its vector where there is an embedder.
    pub(super) fn cuts(&self, document: &Document) -> Result<Vec<(Cut, Option<Vec<f32>>)>> {
        let cuts = cut(document, &self.config, &self.config.chunk)?;
        let texts: Vec<&str> = cuts.iter().map(|cut| cut.text.as_str()).collect();
        let vectors = match &self.embedder {
            Some(embedder) => embedder.embed(&texts)?.into_iter().map(Some).collect(),
            None => vec![None; cuts.len()],
        };
        Ok(cuts.into_iter().zip(vectors).collect())
    }

    /// How often a chunk has each term.
    pub(super) fn counts(&self, cut: &Cut) -> BTreeMap<String, u32> {
        let IndexConfig { stemming, stop_words, .. } = self.config;
        let mut counts = BTreeMap::new();
        for (word, times) in cut.words.iter() {
            if let Some(term) = term_of(word, stemming, stop_words) {
                *counts.entry(term).or_insert(0) += times;
            }
        }
        counts
    }
}

/// The last of each name: what would be there if they were put one by one.
pub(super) fn last_of_each(documents: &[(Document, Metadata)]) -> Vec<(&Document, &Metadata)> {
    let last: BTreeMap<&str, (&Document, &Metadata)> =
        documents.iter().map(|(document, metadata)| (document.id.as_str(), (document, metadata))).collect();
    last.into_values().collect()
}
