//! A segment: documents that were indexed together, unchangeable once written.
//!
//! The same bytes serve in memory and on disk. After a header (magic and version) come, one behind the other, the text and
//! the entries of each document, the lists of postings, and the parts that are held in memory while it is open:
//! documents, entries' places, dictionary, vectors. At the end stands where they are, with a checksum. What is read later
//! has a checksum of its own, so that no damage passes for content.

mod build;
mod bytes;
mod merge;
mod postings;

use std::borrow::Cow;
use std::path::Path;

pub(crate) use build::SegmentBuilder;
#[cfg(any(feature = "postgres", feature = "qdrant"))]
pub(crate) use build::{Cut, cut};
use bytes::{Source, Span};
pub(crate) use merge::merge;
pub(super) use postings::{Cursor, for_each_posting};
use serde::{Deserialize, Serialize};
use slm_data::Document;

use super::config::IndexConfig;
use super::metadata::Metadata;
use crate::chunk::Chunk;
use crate::vectors::Vectors;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"slm-rag\0";
const VERSION: u32 = 3;
/// Magic and version.
const HEADER: usize = 12;
/// Length and checksum of the directory, and the magic again.
const TRAILER: usize = 16;

/// Where the parts are.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Directory {
    config: IndexConfig,
    /// Text, entries and postings: everything before the parts that are held in memory.
    body: Span,
    documents: Span,
    entries: Span,
    dictionary: Span,
    vectors: Option<Span>,
}

/// A document of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DocumentRow {
    pub(super) id: String,
    pub(super) metadata: Metadata,
    text: Span,
    pub(super) first_entry: u32,
    pub(super) entries: u32,
}

/// Where an entry is, and what ranking asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct EntryRow {
    place: Span,
    /// Terms of the chunk and of the headings above it.
    length: u32,
}

/// A chunk as it is kept. Its words are read out of the document's, where they have a checksum of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntryBlob {
    pub(crate) start: usize,
    pub(crate) end: usize,
    checksum: u32,
    pub(crate) heading: Vec<String>,
    pub(crate) inherited: usize,
    pub(crate) sentences: Vec<Sentence>,
}

/// What may be quoted, as bytes of the document, and the number of the list item it is in (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sentence {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) number: u32,
}

/// A chunk with its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) chunk: Chunk,
    pub(super) text: String,
    pub(super) sentences: Vec<Sentence>,
}

/// The terms in order, with where their postings are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Dictionary {
    /// All terms, one behind the other.
    text: String,
    ends: Vec<u32>,
    rows: Vec<TermRow>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TermRow {
    place: Span,
    /// How many chunks have the term.
    pub(crate) count: u32,
    /// How often one has it at most.
    pub(crate) most: u32,
}

impl Dictionary {
    fn push(&mut self, term: &str, row: TermRow) {
        self.text.push_str(term);
        self.ends.push(self.text.len() as u32);
        self.rows.push(row);
    }

    fn term(&self, n: usize) -> &str {
        let start = n.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.ends.get(n).and_then(|end| self.text.get(start..*end as usize)).unwrap_or("")
    }

    fn find(&self, term: &str) -> Option<TermRow> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.term(middle).cmp(term) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.rows.get(middle).copied(),
            }
        }
        None
    }
}

/// A document out of a file that may be damaged: identifier, metadata, text.
pub(crate) type Salvaged = (String, Metadata, Result<Document>);

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    source: Source,
    directory: Directory,
    pub(crate) documents: Vec<DocumentRow>,
    /// The documents in the order of their identifiers.
    by_id: Vec<u32>,
    /// Where the entries are.
    places: Vec<Span>,
    /// Terms of each and of the headings above it.
    lengths: Vec<u32>,
    /// The least of them.
    shortest: u32,
    dictionary: Dictionary,
    pub(crate) vectors: Option<Vectors>,
}

impl Segment {
    /// Opens a file; most of it is read only where it is asked for.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::from_source(Source::open(path)?)
    }

    /// A segment in memory; `path` is what errors name. All of it is checked.
    pub(crate) fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self> {
        let segment = Self::from_source(Source::Memory { bytes, path: path.to_owned() })?;
        segment.verify()?;
        Ok(segment)
    }

    /// The documents of a file of which other parts may be damaged, each with its metadata and, where it is whole, its text.
    pub(crate) fn salvaged(path: &Path) -> Result<Vec<Salvaged>> {
        let source = Source::open(path)?;
        let rows: Vec<DocumentRow> = source.decode(directory(&source)?.documents)?;
        let document = |row: DocumentRow| {
            let text = text_of(&source, &row).map(|text| Document { id: row.id.clone(), text });
            (row.id, row.metadata, text)
        };
        Ok(rows.into_iter().map(document).collect())
    }

    /// Reads everything and holds it against its checksums.
    pub(crate) fn verify(&self) -> Result<()> {
        // By pieces, so that a large segment is never in memory whole.
        const PIECE: u64 = 1 << 20;
        let Span { start, .. } = self.directory.body;
        let end = self.directory.documents.start;
        let mut hash = crc32fast::Hasher::new();
        for at in (start..end).step_by(PIECE as usize) {
            hash.update(&self.source.read(at, PIECE.min(end - at) as usize)?);
        }
        if hash.finalize() != self.directory.body.checksum {
            return Err(self.source.damaged("the checksum of its texts and postings is wrong"));
        }
        Ok(())
    }

    fn from_source(source: Source) -> Result<Self> {
        let header = source.read(0, HEADER)?;
        if header.get(..8) != Some(MAGIC) {
            return Err(source.damaged("it does not begin as an index does"));
        }
        let version = number(header.get(8..HEADER).unwrap_or_default());
        if version != u64::from(VERSION) {
            return Err(source.damaged(format!("expected version {VERSION}, got {version}")));
        }
        let directory = directory(&source)?;
        directory.config.check()?;
        let documents: Vec<DocumentRow> = source.decode(directory.documents)?;
        let entries: Vec<EntryRow> = source.decode(directory.entries)?;
        let dictionary: Dictionary = source.decode(directory.dictionary)?;
        let vectors: Option<Vectors> = directory.vectors.map(|span| source.decode(span)).transpose()?;
        let mut by_id: Vec<u32> = (0..documents.len() as u32).collect();
        by_id.sort_by(|a, b| id_of(&documents, *a).cmp(id_of(&documents, *b)));
        let (places, lengths): (Vec<Span>, Vec<u32>) =
            entries.into_iter().map(|row| (row.place, row.length)).unzip();
        let shortest = lengths.iter().copied().min().unwrap_or(0);
        let segment =
            Self { source, directory, documents, by_id, places, lengths, shortest, dictionary, vectors };
        if !segment.is_sound() {
            return Err(segment.source.damaged("its parts do not fit each other"));
        }
        Ok(segment)
    }

    /// Whether every number points to something.
    fn is_sound(&self) -> bool {
        let mut next = 0;
        let consecutive = self.documents.iter().all(|row| {
            let fits = row.first_entry == next;
            next = next.saturating_add(row.entries);
            fits
        });
        consecutive
            && next as usize == self.places.len()
            && self.dictionary.ends.len() == self.dictionary.rows.len()
            && self.dictionary.ends.is_sorted()
            && self
                .vectors
                .as_ref()
                .is_none_or(|vectors| vectors.is_sound() && vectors.len() == self.places.len())
    }

    pub(crate) fn config(&self) -> &IndexConfig {
        &self.directory.config
    }

    /// Chunks, those of deleted documents too.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        let place = self.by_id.binary_search_by(|n| id_of(&self.documents, *n).cmp(id)).ok()?;
        self.by_id.get(place).copied()
    }

    pub(super) fn text(&self, document: &DocumentRow) -> Result<String> {
        text_of(&self.source, document)
    }

    /// Terms of a chunk and of the headings above it.
    pub(crate) fn length(&self, entry: u32) -> u32 {
        self.lengths.get(entry as usize).copied().unwrap_or(0)
    }

    /// The least length of a chunk.
    pub(super) fn shortest(&self) -> u32 {
        self.shortest
    }

    pub(super) fn document_of(&self, entry: u32) -> Option<&DocumentRow> {
        let after = self.documents.partition_point(|row| row.first_entry <= entry);
        // Documents without a word have no entries and share their first with the next one.
        self.documents.get(..after)?.last()
    }

    pub(super) fn entry(&self, entry: u32) -> Result<Entry> {
        let missing = || self.source.damaged(format!("it has no chunk {entry}"));
        let place = self.places.get(entry as usize).ok_or_else(missing)?;
        let blob: EntryBlob = self.source.decode(*place)?;
        let EntryBlob { start, end, checksum, heading, inherited, sentences } = blob;
        let document = self.document_of(entry).ok_or_else(missing)?;
        let length =
            end.checked_sub(start).and_then(|length| u32::try_from(length).ok()).ok_or_else(missing)?;
        let place = document.text.start.checked_add(start as u64).ok_or_else(missing)?;
        let text = self.source.checked(Span { start: place, length, checksum })?.into_owned();
        let text = String::from_utf8(text).map_err(|error| self.source.damaged(error.to_string()))?;
        let chunk = Chunk { source: document.id.clone(), start, end, heading, inherited };
        Ok(Entry { chunk, text, sentences })
    }

    /// A term, with the chunks of deleted documents, and its list; `None` where no chunk has it.
    pub(super) fn postings(&self, term: &str) -> Result<Option<(TermRow, Cow<'_, [u8]>)>> {
        let row = self.dictionary.find(term);
        row.map(|row| Ok((row, self.source.checked(row.place)?))).transpose()
    }

    pub(super) fn damaged(&self, reason: &str) -> Error {
        self.source.damaged(reason)
    }

    /// All bytes, to be written elsewhere.
    pub(super) fn copy_to(&self, out: &mut dyn std::io::Write) -> Result<()> {
        const PIECE: u64 = 1 << 20;
        let length = self.source.len();
        for at in (0..length).step_by(PIECE as usize) {
            let piece = self.source.read(at, PIECE.min(length - at) as usize)?;
            out.write_all(&piece).map_err(|source| Error::io(self.source.path(), source))?;
        }
        Ok(())
    }
}

fn text_of(source: &Source, document: &DocumentRow) -> Result<String> {
    let bytes = source.checked(document.text)?.into_owned();
    String::from_utf8(bytes).map_err(|error| source.damaged(error.to_string()))
}

fn id_of(documents: &[DocumentRow], n: u32) -> &str {
    documents.get(n as usize).map_or("", |row| row.id.as_str())
}

fn directory(source: &Source) -> Result<Directory> {
    let end = source.len();
    let short = || source.damaged("it is too short");
    let trailer_start = end.checked_sub(TRAILER as u64).ok_or_else(short)?;
    let trailer = source.read(trailer_start, TRAILER)?;
    let field = |from: usize, to: usize| trailer.get(from..to).unwrap_or_default();
    if field(8, TRAILER) != MAGIC {
        return Err(source.damaged("it does not end as an index does"));
    }
    let (length, checksum) = (number(field(0, 4)) as u32, number(field(4, 8)) as u32);
    let start = trailer_start.checked_sub(u64::from(length)).ok_or_else(short)?;
    let directory: Directory = source.decode(Span { start, length, checksum })?;
    // Nothing lies between the parts, so that every byte has a checksum.
    let vectors = directory.vectors.unwrap_or(Span { start, ..Span::default() });
    let parts = [directory.documents, directory.entries, directory.dictionary, vectors];
    let ends = parts.iter().map(|part| part.start + u64::from(part.length));
    let starts = parts.iter().skip(1).map(|part| part.start).chain([start]);
    if directory.body.start != HEADER as u64 || !ends.eq(starts) {
        return Err(source.damaged("its parts do not follow each other"));
    }
    Ok(directory)
}

/// A number, lowest byte first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}
