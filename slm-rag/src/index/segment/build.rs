//! Documents to a segment.

use std::io::Write;
use std::sync::{PoisonError, RwLock};

use rayon::prelude::*;
use slm_core::Embedder;
use slm_data::Document;

use super::bytes::Span;
use super::postings::Postings;
use super::{
    Dictionary, Directory, DocumentRow, EntryBlob, EntryRow, HEADER, MAGIC, Sentence, TermRow, VERSION,
};
use crate::chunk::{Chunk, Chunker, Statement, statements};
use crate::index::config::IndexConfig;
use crate::index::metadata::Metadata;
use crate::text::{WordForms, for_each_word};
use crate::vectors::{VectorConfig, Vectors};
use crate::{Error, Result};

/// Where a segment is written to, front to back.
pub(super) struct Output<W> {
    writer: W,
    at: u64,
    hash: crc32fast::Hasher,
}

impl<W: Write> Output<W> {
    pub(super) fn new(mut writer: W) -> std::io::Result<Self> {
        writer.write_all(MAGIC)?;
        writer.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { writer, at: HEADER as u64, hash: crc32fast::Hasher::new() })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> std::io::Result<Span> {
        let length = u32::try_from(bytes.len())
            .map_err(|_| std::io::Error::other(format!("a part of {} bytes is too large", bytes.len())))?;
        let span = Span { start: self.at, length, checksum: crc32fast::hash(bytes) };
        self.writer.write_all(bytes)?;
        self.hash.update(bytes);
        self.at += u64::from(length);
        Ok(span)
    }

    fn encode(&mut self, value: &impl serde::Serialize) -> std::io::Result<Span> {
        self.put(&postcard::to_stdvec(value).map_err(std::io::Error::other)?)
    }
}

/// What a segment holds in memory, as it grows.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) documents: Vec<DocumentRow>,
    pub(super) entries: Vec<EntryRow>,
    pub(super) dictionary: Dictionary,
    pub(super) vectors: Option<Vectors>,
}

impl Parts {
    /// Writes what is left of a segment; everything before is the body.
    pub(super) fn finish<W: Write>(self, config: &IndexConfig, mut out: Output<W>) -> std::io::Result<W> {
        let checksum = std::mem::take(&mut out.hash).finalize();
        let directory = Directory {
            config: config.clone(),
            body: Span { start: HEADER as u64, length: 0, checksum },
            documents: out.encode(&self.documents)?,
            entries: out.encode(&self.entries)?,
            dictionary: out.encode(&self.dictionary)?,
            vectors: self.vectors.map(|vectors| out.encode(&vectors)).transpose()?,
        };
        let Span { length, checksum, .. } = out.encode(&directory)?;
        out.writer.write_all(&length.to_le_bytes())?;
        out.writer.write_all(&checksum.to_le_bytes())?;
        out.writer.write_all(MAGIC)?;
        Ok(out.writer)
    }

    /// Adds the graph of the vectors where there are enough.
    pub(super) fn build_graph(&mut self, config: &VectorConfig) {
        if let Some(vectors) = self.vectors.as_mut().filter(|vectors| vectors.len() >= config.graph_from) {
            vectors.build_graph(config);
        }
    }
}

/// A segment in the making: texts are written at once, the rest at the end.
pub(crate) struct SegmentBuilder<'e, W> {
    config: IndexConfig,
    out: Output<W>,
    parts: Parts,
    forms: WordForms,
    /// By the number of the term.
    postings: Vec<Postings>,
    embedder: Option<&'e dyn Embedder>,
    /// What cuts, where it is not the configuration.
    chunker: Option<&'e dyn Chunker>,
    /// Texts of the last chunks, which have no vector yet.
    unembedded: Vec<String>,
}

/// Documents that are cut together, while those before them are added.
const BATCH: usize = 256;
/// Texts given to the embedder at once.
const EMBEDDED_AT_ONCE: usize = 64;

impl<'e, W: Write> SegmentBuilder<'e, W> {
    pub(crate) fn new(config: &IndexConfig, writer: W, embedder: Option<&'e dyn Embedder>) -> Result<Self> {
        let vectors = embedder.map(|e| Vectors::new(e.dimension(), config.vectors.precision)).transpose()?;
        Ok(Self {
            config: config.clone(),
            out: Output::new(writer).map_err(written)?,
            parts: Parts { vectors, ..Parts::default() },
            forms: WordForms::new(config.stemming, config.stop_words),
            postings: Vec::new(),
            embedder,
            chunker: None,
            unembedded: Vec::new(),
        })
    }

    /// The same with another way to cut.
    pub(crate) fn with_chunker(self, chunker: Option<&'e dyn Chunker>) -> Self {
        Self { chunker, ..self }
    }

    /// Cuts and reads documents and adds them in order: while some are added, the next are cut on other threads.
    pub(crate) fn add(&mut self, documents: &[(&Document, &Metadata)]) -> Result<()> {
        let config = self.config.clone();
        let chunker = self.chunker.unwrap_or(&config.chunk);
        let none = WordForms::new(config.stemming, config.stop_words);
        // Who cuts looks words up, who adds numbers new ones, so that the order of the documents decides.
        let forms = RwLock::new(std::mem::replace(&mut self.forms, none));
        let cut_all = |documents: &[(&Document, &Metadata)]| -> Result<Vec<Vec<Numbered>>> {
            let cut = |document| Ok(numbered(cut(document, &config, chunker)?, &forms));
            documents.par_iter().map(|(document, _)| cut(document)).collect()
        };
        let mut batches = documents.chunks(BATCH);
        let mut batch = batches.next();
        let mut cuts = batch.map(cut_all).transpose()?;
        while let (Some(documents), Some(ready)) = (batch, cuts) {
            batch = batches.next();
            let mut next = None;
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| next = batch.map(cut_all));
                documents
                    .iter()
                    .zip(ready)
                    .try_for_each(|(document, cuts)| self.push_document(*document, cuts, &forms))
            })?;
            cuts = next.transpose()?;
        }
        self.forms = forms.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(())
    }

    fn push_document(
        &mut self,
        (document, metadata): (&Document, &Metadata),
        cuts: Vec<Numbered>,
        forms: &RwLock<WordForms>,
    ) -> Result<()> {
        let text = self.out.put(document.text.as_bytes()).map_err(written)?;
        self.parts.documents.push(DocumentRow {
            id: document.id.clone(),
            metadata: metadata.clone(),
            text,
            first_entry: self.parts.entries.len() as u32,
            entries: cuts.len() as u32,
        });
        cuts.into_iter().try_for_each(|cut| self.push(cut, forms))
    }

    fn push(&mut self, numbered: Numbered, forms: &RwLock<WordForms>) -> Result<()> {
        let id = self.parts.entries.len() as u32;
        let Numbered { cut, mut counts, new } = numbered;
        if !new.is_empty() {
            let mut forms = forms.write().unwrap_or_else(PoisonError::into_inner);
            counts.extend(new.iter().filter_map(|(word, count)| Some((forms.number(word)?, *count))));
            self.postings.resize(forms.len(), Postings::default());
            counts.sort_unstable();
        }
        // Several words may have one term.
        let mut length = 0;
        for same in counts.chunk_by(|a, b| a.0 == b.0) {
            let count = same.iter().map(|(_, count)| count).sum();
            length += count;
            if let Some(postings) = same.first().and_then(|(term, _)| self.postings.get_mut(*term as usize)) {
                postings.push(id, count);
            }
        }
        let bytes = postcard::to_stdvec(&cut.blob).map_err(|error| written(std::io::Error::other(error)))?;
        let place = self.out.put(&bytes).map_err(written)?;
        self.parts.entries.push(EntryRow { place, length });
        if self.embedder.is_some() {
            self.unembedded.push(cut.text);
            if self.unembedded.len() >= EMBEDDED_AT_ONCE {
                self.embed()?;
            }
        }
        Ok(())
    }

    fn embed(&mut self) -> Result<()> {
        if let (Some(embedder), Some(vectors)) = (self.embedder, &mut self.parts.vectors) {
            let texts: Vec<&str> = self.unembedded.iter().map(String::as_str).collect();
            for vector in embedder.embed(&texts)? {
                vectors.push(&vector)?;
            }
        }
        self.unembedded.clear();
        Ok(())
    }

    /// Whether no chunk has a word to look up.
    pub(crate) fn is_wordless(&self) -> bool {
        self.forms.len() == 0
    }

    /// Writes the rest.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.embed()?;
        let mut terms: Vec<(String, Postings)> =
            self.forms.into_terms().into_iter().zip(self.postings).collect();
        terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (term, postings) in terms {
            let (count, most) = (postings.count, postings.most);
            let place = self.out.put(&postings.finish()).map_err(written)?;
            self.parts.dictionary.push(&term, TermRow { place, count, most });
        }
        self.parts.build_graph(&self.config.vectors);
        self.parts.finish(&self.config, self.out).map_err(written)
    }
}

pub(super) fn written(source: std::io::Error) -> Error {
    Error::Write { source }
}

/// A chunk before it is put into a segment.
pub(crate) struct Cut {
    pub(crate) blob: EntryBlob,
    pub(crate) words: Words,
    /// What is embedded: the headings above, and the text.
    pub(crate) text: String,
}

/// A chunk with the numbers of its terms, in order, and how often they count.
struct Numbered {
    cut: Cut,
    counts: Vec<(u32, u32)>,
    /// Words without a number yet.
    new: Vec<(String, u32)>,
}

fn numbered(cuts: Vec<Cut>, forms: &RwLock<WordForms>) -> Vec<Numbered> {
    let forms = forms.read().unwrap_or_else(PoisonError::into_inner);
    let numbered = |mut cut: Cut| {
        let words = std::mem::take(&mut cut.words);
        let mut counts = Vec::with_capacity(words.ends.len());
        let mut new = Vec::new();
        for (word, count) in words.iter() {
            match forms.known(word) {
                Some(known) => counts.extend(known.map(|term| (term, count))),
                None => new.push((word.to_owned(), count)),
            }
        }
        counts.sort_unstable();
        Numbered { cut, counts, new }
    };
    cuts.into_iter().map(numbered).collect()
}

pub(crate) fn cut(document: &Document, config: &IndexConfig, chunker: &dyn Chunker) -> Result<Vec<Cut>> {
    let quotable: Vec<Statement> =
        statements(&document.text).into_iter().filter(|statement| !statement.is_heading).collect();
    let of_chunk = |chunk: Chunk| {
        let text = document.text.get(chunk.range()).unwrap_or("");
        let within = |quote: &Statement| Sentence {
            start: quote.range.start.max(chunk.start),
            end: quote.range.end.min(chunk.end),
            number: quote.number,
        };
        let first = quotable.partition_point(|quote| quote.range.end <= chunk.start);
        let near = quotable.iter().skip(first).take_while(|quote| quote.range.start < chunk.end);
        let words = words(&chunk, text, config.heading_weight);
        let blob = EntryBlob {
            start: chunk.start,
            end: chunk.end,
            checksum: crc32fast::hash(text.as_bytes()),
            sentences: near.map(within).filter(|s| s.start < s.end).collect(),
            inherited: chunk.inherited,
            heading: chunk.heading.clone(),
        };
        Cut { words, text: chunk.with_context(text), blob }
    };
    Ok(chunker.chunk(document)?.into_iter().map(of_chunk).collect())
}

/// Words in lower case as they come, and how often each counts.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: String,
    /// Where in the text one ends, and how often it counts.
    ends: Vec<(u32, u32)>,
}

impl Words {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut start = 0;
        self.ends.iter().map(move |(end, count)| {
            let word = self.text.get(start..*end as usize).unwrap_or("");
            start = *end as usize;
            (word, *count)
        })
    }
}

/// The words of a chunk. Headings above the chunk are read with it, and count more, as do its own.
fn words(chunk: &Chunk, text: &str, weight: u32) -> Words {
    let headings = (0..).zip(&chunk.heading).map(|(depth, heading)| {
        let is_in_text = depth >= chunk.inherited;
        (heading.as_str(), if is_in_text { weight - 1 } else { weight })
    });
    let mut all = Words::default();
    for (part, weight) in headings.chain([(text, 1)]).filter(|(_, weight)| *weight > 0) {
        for_each_word(part, |word| {
            all.text.push_str(word);
            all.ends.push((all.text.len() as u32, weight));
        });
    }
    all
}
