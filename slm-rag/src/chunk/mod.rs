//! Documents cut into chunks that are searched and quoted on their own.

mod blocks;
mod chunkers;
#[cfg(feature = "code")]
mod code;
mod measure;
mod outline;
mod pack;
mod semantic;

use std::ops::Range;

pub use chunkers::{Chunker, SentenceChunker, SizedChunker};
#[cfg(feature = "code")]
pub use code::CodeChunker;
use measure::Measure;
pub(crate) use outline::{Statement, statements};
pub use semantic::{SemanticChunker, SemanticConfig};
use serde::{Deserialize, Serialize};
use slm_data::Document;

use crate::{Error, Result};

/// Whether a chunk may go on past a heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sections {
    /// Short sections share a chunk, as far as they fit.
    #[default]
    Join,
    /// Every heading begins a new chunk.
    Split,
}

/// How documents are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkConfig {
    /// Most words of a chunk (Unicode words, without punctuation), at least 1; with a [counter](SizedChunker) the most
    /// of what it counts.
    pub max_size: usize,
    /// Sentences at the end of a chunk that the next one repeats, where a section had to be cut.
    pub overlap_sentences: usize,
    /// Whether headings separate.
    pub sections: Sections,
}

impl Default for ChunkConfig {
    /// 200 words, one sentence of overlap, short sections together.
    fn default() -> Self {
        Self { max_size: 200, overlap_sentences: 1, sections: Sections::Join }
    }
}

impl ChunkConfig {
    /// One chunk per document, whatever its length.
    pub fn whole() -> Self {
        Self { max_size: usize::MAX, overlap_sentences: 0, sections: Sections::Join }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.max_size == 0 {
            return Err(Error::config("max_size", "expected at least 1, got 0"));
        }
        Ok(())
    }
}

/// A stretch of a document: its text is `document.text[start..end]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Identifier of the document.
    pub source: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The headings above its first words, outermost first.
    pub heading: Vec<String>,
    /// How many of those, counted from the outermost, stand before `start`; the others are in the chunk.
    pub inherited: usize,
}

impl Chunk {
    /// The bytes of the chunk in its document.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The text of the chunk after the headings that stand before it, for who reads it on its own.
    pub fn with_context(&self, text: &str) -> String {
        let above: Vec<&str> = self.heading.iter().take(self.inherited).map(String::as_str).collect();
        if above.is_empty() { text.to_owned() } else { format!("{}\n{text}", above.join(" > ")) }
    }
}

/// Cuts a document, Markdown or plain text, into chunks, in order.
///
/// Lists, tables, paragraphs, fenced code and sentences stay whole where they fit in
/// [`max_size`](ChunkConfig::max_size), in that order of preference; what is longer is cut at the next
/// smaller unit, in the end between words. Every word is in a chunk; a text without a visible character has none.
///
/// ```
/// use slm_data::Document;
/// use slm_rag::{ChunkConfig, chunk};
///
/// let text = "# Pumps\n\n## Start\n\nOpen the valve. Press start.\n".to_owned();
/// let document = Document { id: "pumps.md".into(), text };
/// let chunks = chunk(&document, &ChunkConfig::default());
/// assert_eq!(chunks.len(), 1);
/// assert_eq!(chunks[0].heading, ["Pumps", "Start"]);
/// assert!(document.text[chunks[0].range()].ends_with("Press start."));
/// ```
pub fn chunk(document: &Document, config: &ChunkConfig) -> Vec<Chunk> {
    cut(document, config, Measure::Words)
}

fn cut(document: &Document, config: &ChunkConfig, measure: Measure<'_>) -> Vec<Chunk> {
    pack::pack(document, &outline::outline(&document.text, measure), config, measure)
}
