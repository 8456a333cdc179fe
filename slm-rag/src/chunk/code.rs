//! [`CodeChunker`]: source code cut at its syntax.

use std::fmt;

use slm_data::Document;
use text_splitter::{ChunkConfig as SplitConfig, ChunkSizer, CodeSplitter};

use super::{Chunk, ChunkConfig, Chunker, SizedChunker};
use crate::text::word_count;
use crate::{Error, Result};

/// Cuts source code where its syntax allows: between items, then between statements, and so on down, as far as pieces
/// fit. Overlap and sections of a [`ChunkConfig`] do not apply.
///
/// The language is a tree-sitter grammar: that of Rust is here, others are crates of their own.
pub struct CodeChunker {
    splitter: CodeSplitter<Size>,
}

/// Words where there is no counter.
struct Size(Option<SizedChunker>);

impl ChunkSizer for Size {
    fn size(&self, chunk: &str) -> usize {
        self.0.as_ref().map_or_else(|| word_count(chunk), |sized| sized.size(chunk))
    }
}

impl CodeChunker {
    /// A chunker for Rust, with sizes in words.
    ///
    /// # Errors
    /// When `max_size` is 0.
    pub fn rust(config: &ChunkConfig) -> Result<Self> {
        Self::new(tree_sitter_rust::LANGUAGE, config)
    }

    /// A chunker for a language, with sizes in words.
    ///
    /// # Errors
    /// When `max_size` is 0, or the grammar is of a version that cannot be used.
    pub fn new(language: impl Into<tree_sitter::Language>, config: &ChunkConfig) -> Result<Self> {
        config.check()?;
        Self::build(language.into(), config.max_size, Size(None))
    }

    /// The same with the sizes of another chunker, such as tokens.
    ///
    /// # Errors
    /// When the grammar is of a version that cannot be used.
    pub fn sized(language: impl Into<tree_sitter::Language>, sized: &SizedChunker) -> Result<Self> {
        Self::build(language.into(), sized.config().max_size, Size(Some(sized.clone())))
    }

    fn build(language: tree_sitter::Language, max_size: usize, size: Size) -> Result<Self> {
        let config = SplitConfig::new(max_size).with_sizer(size).with_trim(true);
        let splitter = CodeSplitter::new(language, config)
            .map_err(|error| Error::config("language", error.to_string()))?;
        Ok(Self { splitter })
    }
}

impl fmt::Debug for CodeChunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeChunker").finish_non_exhaustive()
    }
}

impl Chunker for CodeChunker {
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>> {
        let pieces = self.splitter.chunk_indices(&document.text);
        let of = |(start, piece): (usize, &str)| Chunk {
            source: document.id.clone(),
            start,
            end: start + piece.len(),
            heading: Vec::new(),
            inherited: 0,
        };
        Ok(pieces.map(of).collect())
    }
}
