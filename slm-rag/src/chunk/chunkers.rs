//! [`Chunker`]: what cuts documents, and the ways to cut besides [`ChunkConfig`]'s.

use std::fmt;
use std::sync::Arc;

use slm_data::Document;

use super::measure::Measure;
use super::outline::{Node, Section, outline};
use super::{Chunk, ChunkConfig, cut};
use crate::{Error, Result};

/// Cuts documents into chunks.
pub trait Chunker: Send + Sync {
    /// The chunks of a document, in order. Each begins after the one before began, and begins and ends between letters.
    ///
    /// # Errors
    /// When a model that it asks fails, or it cannot read the document.
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>>;
}

impl Chunker for ChunkConfig {
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>> {
        Ok(super::chunk(document, self))
    }
}

/// A size of texts that can be shared.
type SharedSize = Arc<dyn Fn(&str) -> usize + Send + Sync>;

/// Cuts as [`ChunkConfig`] says, with sizes from a counter, such as the tokens of a model.
///
/// ```
/// use slm_data::Document;
/// use slm_rag::{ChunkConfig, Chunker, SizedChunker};
///
/// let letters = |text: &str| text.chars().count();
/// let config = ChunkConfig { max_size: 24, overlap_sentences: 0, ..ChunkConfig::default() };
/// let document = Document { id: "pump".into(), text: "Open the valve. Press start. Wait.".into() };
/// let chunks = SizedChunker::new(config, letters)?.chunk(&document)?;
/// let texts: Vec<&str> = chunks.iter().map(|chunk| &document.text[chunk.range()]).collect();
/// assert_eq!(texts, ["Open the valve.", "Press start. Wait."]);
/// # Ok::<(), slm_rag::Error>(())
/// ```
#[derive(Clone)]
pub struct SizedChunker {
    config: ChunkConfig,
    size: SharedSize,
}

impl SizedChunker {
    /// A chunker whose chunks have at most `config.max_size` of what `size` counts. A single letter that is larger is a
    /// chunk all the same.
    ///
    /// # Errors
    /// When `max_size` is 0.
    pub fn new(config: ChunkConfig, size: impl Fn(&str) -> usize + Send + Sync + 'static) -> Result<Self> {
        config.check()?;
        Ok(Self { config, size: Arc::new(size) })
    }

    #[cfg(feature = "code")]
    pub(super) fn config(&self) -> &ChunkConfig {
        &self.config
    }

    #[cfg(feature = "code")]
    pub(super) fn size(&self, text: &str) -> usize {
        (self.size)(text)
    }
}

impl fmt::Debug for SizedChunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizedChunker").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Chunker for SizedChunker {
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>> {
        Ok(cut(document, &self.config, Measure::Counted(&*self.size)))
    }
}

/// Cuts into sentences: a window of some, that moves on by fewer than it holds where chunks are to overlap. Lines of code and
/// rows of tables are sentences. A window ends with its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceChunker {
    sentences: usize,
    overlap: usize,
}

impl SentenceChunker {
    /// A chunker of `sentences` per chunk, of which `overlap` are those of the chunk before.
    ///
    /// # Errors
    /// When `overlap` is not below `sentences`.
    pub fn new(sentences: usize, overlap: usize) -> Result<Self> {
        if overlap >= sentences {
            let reason = format!("expected fewer than the {sentences} sentences of a chunk, got {overlap}");
            return Err(Error::config("overlap", reason));
        }
        Ok(Self { sentences, overlap })
    }

    fn section(&self, source: &str, section: &Section, chunks: &mut Vec<Chunk>) {
        let mut ranges = Vec::new();
        section.nodes.iter().for_each(|node| leaves(node, &mut ranges));
        // The heading goes with the first sentence.
        if let [heading, first, ..] = ranges.as_mut_slice()
            && heading.1
        {
            first.0.start = heading.0.start;
            ranges.remove(0);
        }
        let mut at = 0;
        while let Some((first, _)) = ranges.get(at) {
            let end = (at + self.sentences).min(ranges.len());
            chunks.push(Chunk {
                source: source.to_owned(),
                start: first.start,
                end: ranges.get(end - 1).map_or(first.end, |(last, _)| last.end),
                heading: section.path.iter().map(|heading| heading.title.clone()).collect(),
                inherited: section.path.iter().filter(|heading| heading.start < first.start).count(),
            });
            if end == ranges.len() {
                break;
            }
            at = end - self.overlap;
        }
    }
}

/// The units of a node, and whether they are headings.
fn leaves(node: &Node, out: &mut Vec<(std::ops::Range<usize>, bool)>) {
    match node {
        Node::Leaf(leaf) => out.push((leaf.range.clone(), leaf.is_heading)),
        Node::Branch { children, .. } => children.iter().for_each(|child| leaves(child, out)),
    }
}

impl Chunker for SentenceChunker {
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        for section in outline(&document.text, Measure::Words) {
            self.section(&document.id, &section, &mut chunks);
        }
        Ok(chunks)
    }
}
