//! [`Summarizer`]: documents longer than a model's context.

mod ask;
mod cache;
mod coverage;
mod run;
mod tree;

use std::path::PathBuf;

use ask::{DoAll, at_once, in_turn};
pub use coverage::SectionCoverage;
use coverage::coverage;
use run::{Done, Run};
use serde::{Deserialize, Serialize};
use slm_core::{LanguageModel, Usage};
use slm_data::Document;

use crate::chunk::{ChunkConfig, Sections, chunk};
use crate::retrieve::SharedEmbedder;
use crate::{Error, Result};

/// In which order a long document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Each part alone, then the summaries in groups, then theirs, until one is left.
    #[default]
    MapReduce,
    /// Part after part, each with the summary of all before it.
    Refine,
    /// Each part alone, then those about one subject together, wherever they stand, then theirs, until one is left (after
    /// RAPTOR, Sarthi et al. 2024). What is alike is found by an [embedder](Summarizer::with_embedder), or by words.
    Tree,
}

/// How a [`Summarizer`] works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummaryConfig {
    /// In which order a document is read.
    pub method: Method,
    /// Most words of text given to the model at once; a token is about three quarters of an English word, and the
    /// instructions and the summary need room, too.
    pub part_words: usize,
    /// About how many words a summary is to have.
    pub summary_words: usize,
    /// What the summary is to be about; empty for everything.
    pub focus: String,
    /// Where summaries are kept, by what they are of: a second run asks the model only for what changed.
    pub cache: Option<PathBuf>,
}

impl Default for SummaryConfig {
    /// For a context of 4096 tokens: parts of 2000 words, summaries of 150.
    fn default() -> Self {
        Self {
            method: Method::MapReduce,
            part_words: 2000,
            summary_words: 150,
            focus: String::new(),
            cache: None,
        }
    }
}

/// How far a summary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryProgress {
    /// Texts that the model has read.
    pub done: usize,
    /// About how many there are to be.
    pub total: usize,
    /// How many of them were in the cache.
    pub cached: usize,
}

/// A summary, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryNode {
    /// The summary.
    pub text: String,
    /// The parts of the document below it, in order, as numbers of [`Summary::coverage`].
    pub parts: Vec<usize>,
}

/// A document in short.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The summary.
    pub text: String,
    /// Summaries of the parts, then of groups of these, and so on up to the summary itself; one list of the states of
    /// the summary with [`Method::Refine`].
    pub levels: Vec<Vec<SummaryNode>>,
    /// What the summary draws on, part by part.
    pub coverage: Vec<SectionCoverage>,
    /// Tokens that the model read and wrote; what came from the cache cost none.
    pub usage: Usage,
}

/// Summarises documents of any length with a model of any context.
///
/// A document is cut at its sections, paragraphs and sentences; memory holds the document and the summaries. What the
/// model wrote is kept by a hash of what it was asked, so that a run that was ended goes on where it was.
#[derive(Clone)]
pub struct Summarizer<M> {
    model: M,
    config: SummaryConfig,
    embedder: Option<SharedEmbedder>,
    workers: usize,
    do_all: DoAll<M, Done>,
}

impl<M: std::fmt::Debug> std::fmt::Debug for Summarizer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, config, embedder, workers, .. } = self;
        f.debug_struct("Summarizer")
            .field("model", model)
            .field("config", config)
            .field("embedder", &embedder.is_some())
            .field("workers", workers)
            .finish_non_exhaustive()
    }
}

impl<M: LanguageModel + Sync> Summarizer<M> {
    /// The same with as many requests at once, for a model that serves several, such as a server's. The summary is the
    /// same; [`Method::Refine`] still reads one part after the other.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers, do_all: at_once, ..self }
    }
}

impl<M: LanguageModel> Summarizer<M> {
    /// A summarizer that asks `model`.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn new(model: M, config: SummaryConfig) -> Result<Self> {
        if config.summary_words == 0 {
            return Err(Error::config("summary_words", "expected at least 1, got 0"));
        }
        if config.part_words < 3 * config.summary_words {
            let reason = format!(
                "expected at least three summaries, {}, got {}",
                3 * config.summary_words,
                config.part_words
            );
            return Err(Error::config("part_words", reason));
        }
        Ok(Self { model, config, embedder: None, workers: 1, do_all: in_turn })
    }

    /// The same with an embedder, by which [`Method::Tree`] finds what is alike.
    #[must_use]
    pub fn with_embedder(self, embedder: SharedEmbedder) -> Self {
        Self { embedder: Some(embedder), ..self }
    }

    /// The model that it asks.
    pub fn into_model(self) -> M {
        self.model
    }

    /// Summarises a document; `on_progress` is called after each text that the model read, on this thread.
    ///
    /// # Errors
    /// When the document has no words, the model fails, or the cache cannot be read or written.
    pub fn summarize(
        &self,
        document: &Document,
        on_progress: &mut dyn FnMut(SummaryProgress),
    ) -> Result<Summary> {
        let config =
            ChunkConfig { max_size: self.config.part_words, overlap_sentences: 0, sections: Sections::Join };
        let chunks = chunk(document, &config);
        if chunks.is_empty() {
            return Err(Error::NoText { documents: 1, hint: "give a document with words" });
        }
        let part = |n: usize| {
            let chunk = chunks.get(n);
            let text =
                |chunk: &crate::Chunk| chunk.with_context(document.text.get(chunk.range()).unwrap_or(""));
            chunk.map(text).unwrap_or_default()
        };
        let mut run = Run::new(self, chunks.len(), on_progress)?;
        let levels = match self.config.method {
            Method::MapReduce | Method::Tree => run.climb(chunks.len(), &part)?,
            Method::Refine => vec![run.refine(chunks.len(), &part)?],
        };
        let usage = run.usage();
        let last = levels.last().and_then(|level| level.last());
        let text = last.map(|node| node.text.clone()).unwrap_or_default();
        let coverage = coverage(&text, document, &chunks);
        Ok(Summary { text, levels, coverage, usage })
    }
}
