//! An index in a file: a header with a checksum, then postcard.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::{Bm25Index, Entry};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"slm-bm25";
const VERSION: u32 = 1;
/// Magic, version, length and checksum of what follows.
const HEADER: usize = 8 + 4 + 8 + 8;

impl Bm25Index {
    /// Writes the index with its documents to one file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let body = postcard::to_stdvec(self).map_err(|error| Error::format(path, error.to_string()))?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&fnv1a(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        write_whole(path, &bytes).map_err(|source| Error::io(path, source))
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is not an index, is of another version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
        let body = body_of(&bytes).map_err(|reason| Error::format(path, reason))?;
        let index: Self =
            postcard::from_bytes(body).map_err(|error| Error::format(path, error.to_string()))?;
        index.config.check()?;
        if !index.is_sound() {
            return Err(Error::format(path, "its parts do not fit each other"));
        }
        Ok(index)
    }

    /// Whether every number points to something.
    fn is_sound(&self) -> bool {
        let ids = self.entries.len();
        let sound_posting = |posting: &Vec<(u32, u32)>| {
            posting.is_sorted_by(|(a, _), (b, _)| a < b)
                && posting.last().is_some_and(|&(id, _)| (id as usize) < ids)
        };
        let length: u64 = self.entries.iter().map(|entry| u64::from(entry.length)).sum();
        length == self.total_length
            && self.postings.values().all(sound_posting)
            && self.entries.iter().all(|entry| self.is_sound_entry(entry))
    }

    fn is_sound_entry(&self, entry: &Entry) -> bool {
        self.documents.get(entry.document as usize).is_some_and(|document| {
            let within = |start, end| document.text.get(start..end).is_some();
            document.id == entry.chunk.source
                && within(entry.chunk.start, entry.chunk.end)
                && entry.sentences.iter().all(|sentence| within(sentence.start, sentence.end))
        })
    }
}

fn body_of(bytes: &[u8]) -> Result<&[u8], String> {
    let field = |start: usize, end: usize| bytes.get(start..end).ok_or_else(|| "it is too short".to_owned());
    if field(0, 8)? != MAGIC {
        return Err("it does not begin as an index does".to_owned());
    }
    let number = |start: usize, end: usize| -> Result<u64, String> {
        Ok(field(start, end)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    let version = number(8, 12)?;
    if version != u64::from(VERSION) {
        return Err(format!("expected version {VERSION}, got {version}"));
    }
    let body = bytes.get(HEADER..).ok_or_else(|| "it is too short".to_owned())?;
    let expected = number(12, 20)?;
    if expected != body.len() as u64 {
        return Err(format!("expected {expected} bytes of content, got {}", body.len()));
    }
    if number(20, HEADER)? != fnv1a(body) {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(body)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes to a temporary file next to `path` and renames it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}
