//! A chunk with its neighbours: found by what is small, read in what is around it.

use std::ops::Range;

use super::segment::{DocumentRow, Entry, Segment};
use super::{Hit, Index};
use crate::Result;
use crate::text::word_count;

/// A stretch of a document that grows by whole chunks.
struct Grown<'a> {
    segment: &'a Segment,
    row: &'a DocumentRow,
    /// Entries of the segment.
    entries: Range<u32>,
    words: usize,
    max_words: usize,
}

impl Index {
    /// The hit, grown by whole chunks of its document on both sides as far as `max_words` allow, those under its headings
    /// first. It does not grow into `taken`, which are chunks of the index.
    pub(crate) fn widened(
        &self,
        hit: Hit,
        max_words: usize,
        taken: &[Range<usize>],
    ) -> Result<(Hit, Range<usize>)> {
        let place = self.parts.partition_point(|part| part.first <= hit.id).saturating_sub(1);
        let alone = hit.id..hit.id + 1;
        let Some(part) = self.parts.get(place) else {
            return Ok((hit, alone));
        };
        let entry = (hit.id - part.first) as u32;
        let Some(row) = part.segment.document_of(entry) else {
            return Ok((hit, alone));
        };
        let words = word_count(&hit.text);
        let mut grown = Grown { segment: &part.segment, row, entries: entry..entry + 1, words, max_words };
        let is_free = |entry: u32| {
            let id = part.first + entry as usize;
            taken.iter().all(|range| !range.contains(&id))
        };
        grown.grow(|entry, near| is_free(entry) && near.chunk.heading == hit.chunk.heading)?;
        grown.grow(|entry, _| is_free(entry))?;
        let ids = part.first + grown.entries.start as usize..part.first + grown.entries.end as usize;
        Ok((grown.read(hit)?, ids))
    }
}

impl Grown<'_> {
    /// Takes one chunk after and one before by turns, until neither is wanted or fits.
    fn grow(&mut self, wanted: impl Fn(u32, &Entry) -> bool) -> Result<()> {
        let (mut after, mut before) = (true, true);
        while after || before {
            after = after && self.take(Some(self.entries.end), &wanted)?;
            before = before && self.take(self.entries.start.checked_sub(1), &wanted)?;
        }
        Ok(())
    }

    fn take(&mut self, next: Option<u32>, wanted: &impl Fn(u32, &Entry) -> bool) -> Result<bool> {
        let own = self.row.first_entry..self.row.first_entry + self.row.entries;
        let Some(next) = next.filter(|next| own.contains(next)) else {
            return Ok(false);
        };
        let near = self.segment.entry(next)?;
        let words = self.words + word_count(&near.text);
        if words > self.max_words || !wanted(next, &near) {
            return Ok(false);
        }
        self.words = words;
        self.entries = self.entries.start.min(next)..self.entries.end.max(next + 1);
        Ok(true)
    }

    fn read(&self, hit: Hit) -> Result<Hit> {
        if self.entries.len() == 1 {
            return Ok(hit);
        }
        let first = self.segment.entry(self.entries.start)?;
        let mut chunk = first.chunk;
        let mut sentences = first.sentences;
        for entry in self.entries.clone().skip(1) {
            let next = self.segment.entry(entry)?;
            chunk.end = chunk.end.max(next.chunk.end);
            // What two chunks share is there already.
            let end = sentences.last().map_or(0, |last| last.end);
            sentences.extend(next.sentences.into_iter().filter(|sentence| sentence.start >= end));
        }
        let text = self.segment.text(self.row)?;
        let text =
            text.get(chunk.range()).ok_or_else(|| self.segment.damaged("a chunk is not in its text"))?;
        Ok(Hit { chunk, text: text.to_owned(), sentences, ..hit })
    }
}
