//! [`Index`]: documents searched by words and by vectors.

mod bm25;
mod config;
mod evidence;
mod file;
mod metadata;
mod ranking;
mod segment;
mod widen;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub use config::IndexConfig;
pub use evidence::Evidence;
pub(crate) use evidence::best_sentences;
pub(crate) use file::write_whole;
pub use metadata::{Filter, Metadata, Value};
pub(crate) use ranking::Ranked;
#[cfg(any(feature = "postgres", feature = "qdrant"))]
pub(crate) use segment::{Cut, cut};
pub(crate) use segment::{Segment, SegmentBuilder, Sentence, merge};
use slm_core::{Citation, Embedder};
use slm_data::Document;

use crate::chunk::{Chunk, Chunker};
use crate::text::word_count;
use crate::{Error, Result};

/// An index of chunks, exact for words (BM25) and exact or approximate for vectors.
///
/// It does not change: what a [`Store`](crate::Store) adds or deletes is in the index that it gives out afterwards.
/// An index may be shared between threads. One that was built in memory holds its documents; that of a store
/// reads them where they are needed.
#[derive(Debug, Clone)]
pub struct Index {
    config: IndexConfig,
    parts: Vec<Part>,
    /// Chunks that can be found.
    chunks: usize,
    /// Terms of these chunks together.
    total_length: u64,
}

/// A segment as it is now.
#[derive(Debug, Clone)]
struct Part {
    segment: Arc<Segment>,
    /// Number of its first chunk.
    first: usize,
    /// Deleted documents, in order.
    dead: Arc<Vec<u32>>,
    /// Which chunks can be found, where not all can.
    alive: Option<Vec<bool>>,
}

/// A chunk found, best first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Number of the chunk in the index.
    pub id: usize,
    /// Where it is.
    pub chunk: Chunk,
    /// What it says.
    pub text: String,
    /// Its score: larger is better, comparable within one search only.
    pub score: f64,
    /// What may be quoted of it.
    pub(crate) sentences: Vec<Sentence>,
}

impl Hit {
    /// The whole chunk as a citation.
    pub fn citation(&self) -> Citation {
        let Chunk { source, start, end, .. } = &self.chunk;
        Citation { source: source.clone(), start: *start, end: *end, text: self.text.clone() }
    }

    /// Bytes of its document, within the chunk.
    pub(crate) fn span(&self, start: usize, end: usize) -> &str {
        let from = |at: usize| at.checked_sub(self.chunk.start);
        from(start).zip(from(end)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or("")
    }

    /// The beginning of the chunk, at most `max_words` long, to the end of a sentence; all of it where it fits.
    pub(crate) fn excerpt(&self, max_words: usize) -> Option<Citation> {
        let whole = self.citation();
        if word_count(&whole.text) <= max_words {
            return Some(whole);
        }
        let up_to = |sentence: &Sentence| self.span(whole.start, sentence.end);
        let last = self.sentences.iter().rev().find(|sentence| word_count(up_to(sentence)) <= max_words)?;
        Some(Citation { end: last.end, text: up_to(last).to_owned(), ..whole })
    }
}

impl Index {
    /// Cuts and indexes documents, in memory, by their words.
    ///
    /// # Errors
    /// When there is no document or none has a word, two have one identifier, or the configuration is out of
    /// range.
    pub fn build(documents: &[Document], config: &IndexConfig) -> Result<Self> {
        Self::build_from(documents, config, None, None)
    }

    /// As [`build`](Self::build), and a vector for each chunk, of its text and the headings above it.
    ///
    /// # Errors
    /// As [`build`](Self::build), and when the embedder fails.
    pub fn build_with_vectors(
        documents: &[Document],
        config: &IndexConfig,
        embedder: &dyn Embedder,
    ) -> Result<Self> {
        Self::build_from(documents, config, None, Some(embedder))
    }

    /// As [`build`](Self::build), with documents cut by `chunker` in place of `config.chunk`, and with vectors where there
    /// is an embedder.
    ///
    /// # Errors
    /// As [`build`](Self::build), and when the chunker or the embedder fails.
    pub fn build_with_chunker(
        documents: &[Document],
        config: &IndexConfig,
        chunker: &dyn Chunker,
        embedder: Option<&dyn Embedder>,
    ) -> Result<Self> {
        Self::build_from(documents, config, Some(chunker), embedder)
    }

    fn build_from(
        documents: &[Document],
        config: &IndexConfig,
        chunker: Option<&dyn Chunker>,
        embedder: Option<&dyn Embedder>,
    ) -> Result<Self> {
        config.check()?;
        let mut ids = BTreeSet::new();
        if let Some(twice) = documents.iter().find(|document| !ids.insert(&document.id)) {
            return Err(Error::DuplicateDocument { id: twice.id.clone() });
        }
        let none = Metadata::new();
        let mut builder = SegmentBuilder::new(config, Vec::new(), embedder)?.with_chunker(chunker);
        let bare: Vec<(&Document, &Metadata)> = documents.iter().map(|document| (document, &none)).collect();
        builder.add(&bare)?;
        if builder.is_wordless() {
            let hint = "give at least one document with words other than stop words";
            return Err(Error::NoText { documents: documents.len(), hint });
        }
        let segment = Segment::from_bytes(builder.finish()?, Path::new("(memory)"))?;
        Ok(Self::of(config.clone(), vec![(Arc::new(segment), Arc::default())]))
    }

    /// An index of segments, each with its deleted documents.
    pub(crate) fn of(config: IndexConfig, segments: Vec<(Arc<Segment>, Arc<Vec<u32>>)>) -> Self {
        let mut index = Self { config, parts: Vec::new(), chunks: 0, total_length: 0 };
        let mut first = 0;
        for (segment, dead) in segments {
            let alive = (!dead.is_empty()).then(|| alive(&segment, &dead));
            let count = segment.len();
            for entry in 0..count {
                if alive.as_ref().is_none_or(|alive| alive.get(entry) == Some(&true)) {
                    index.chunks += 1;
                    index.total_length += u64::from(segment.length(entry as u32));
                }
            }
            index.parts.push(Part { segment, first, dead, alive });
            first += count;
        }
        index
    }

    /// A document, as it was given; `None` where there is none of this name.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn document(&self, id: &str) -> Result<Option<Document>> {
        let found = self.rows().find(|(_, row)| row.id == id);
        found.map(|(segment, row)| Ok(Document { id: row.id.clone(), text: segment.text(row)? })).transpose()
    }

    /// What is known of a document besides its text.
    pub fn metadata(&self, id: &str) -> Option<&Metadata> {
        self.rows().find(|(_, row)| row.id == id).map(|(_, row)| &row.metadata)
    }

    /// The identifiers of the documents, in the order in which they were added.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        self.rows().map(|(_, row)| row.id.as_str())
    }

    fn rows(&self) -> impl Iterator<Item = (&Segment, &segment::DocumentRow)> {
        self.parts.iter().flat_map(|part| {
            let rows = (0_u32..).zip(&part.segment.documents);
            rows.filter(|(n, _)| part.dead.binary_search(n).is_err()).map(|(_, row)| (&*part.segment, row))
        })
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> usize {
        self.chunks
    }

    /// The chunks, in the order of the documents, with a score of 0.
    ///
    /// # Errors
    /// Each, when it cannot be read or is damaged.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Hit>> {
        self.parts.iter().flat_map(move |part| {
            let entries = 0..part.segment.len();
            entries.filter(|&entry| part.is_alive(entry)).map(|entry| self.hit(part.first + entry, 0.0))
        })
    }

    /// Whether every segment has vectors, of which length.
    pub fn dimension(&self) -> Option<usize> {
        let mut dimensions = self.parts.iter().map(|p| p.segment.vectors.as_ref().map(|v| v.dimension()));
        let first = dimensions.next().flatten()?;
        dimensions.all(|dimension| dimension == Some(first)).then_some(first)
    }

    /// Mean number of terms of a chunk, those of the headings above it as often as they count.
    pub fn mean_length(&self) -> f64 {
        self.total_length as f64 / self.chunks.max(1) as f64
    }

    /// How the index was built.
    pub fn config(&self) -> &IndexConfig {
        &self.config
    }

    pub(crate) fn hit(&self, id: usize, score: f64) -> Result<Hit> {
        let part = self.parts.get(self.parts.partition_point(|part| part.first <= id).saturating_sub(1));
        let part = part.ok_or_else(|| Error::config("id", format!("expected a chunk, got {id}")))?;
        let segment::Entry { chunk, text, sentences } = part.segment.entry((id - part.first) as u32)?;
        Ok(Hit { id, chunk, text, score, sentences })
    }
}

impl Part {
    fn is_alive(&self, entry: usize) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.get(entry) == Some(&true))
    }
}

fn alive(segment: &Segment, dead: &[u32]) -> Vec<bool> {
    let mut alive = vec![true; segment.len()];
    for row in dead.iter().filter_map(|n| segment.documents.get(*n as usize)) {
        let entries = row.first_entry as usize..(row.first_entry + row.entries) as usize;
        alive.get_mut(entries).into_iter().flatten().for_each(|alive| *alive = false);
    }
    alive
}
