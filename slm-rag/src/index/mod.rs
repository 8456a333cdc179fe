//! [`Bm25Index`]: documents in memory, searched by words.

mod config;
mod evidence;
mod store;

use std::collections::{BTreeMap, BTreeSet};

pub use config::IndexConfig;
pub use evidence::Evidence;
use serde::{Deserialize, Serialize};
use slm_core::Citation;
use slm_data::Document;

use crate::chunk::{Chunk, Statement, chunk, statements};
use crate::text::{StopWords, is_function_word, stemmed, term_spans, word_count};
use crate::{Error, Result};

/// An exact index of chunks, ranked by BM25.
///
/// The score is Lucene's: the sum over the query's terms of `idf · tf / (tf + k1 · (1 - b + b · length / mean
/// length))` with `idf = ln(1 + (N - n + 0.5) / (n + 0.5))`, where `n` of `N` chunks have the term (Robertson & Zaragoza
/// 2009; Kamphuis et al. 2020 compare the variants). A chunk is read together with the headings above it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bm25Index {
    config: IndexConfig,
    documents: Vec<Document>,
    entries: Vec<Entry>,
    /// Per term, the entries that have it and how often, in order.
    postings: BTreeMap<String, Vec<(u32, u32)>>,
    /// Terms of all entries together.
    total_length: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    document: u32,
    chunk: Chunk,
    /// Terms of the chunk and of the headings above it.
    length: u32,
    sentences: Vec<Sentence>,
}

/// What may be quoted, as bytes of the document, and the number of the list item it is in (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sentence {
    start: usize,
    end: usize,
    number: u32,
}

/// A chunk found, best first.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Hit<'a> {
    /// Number of the chunk in the index.
    pub id: usize,
    /// Where it is.
    pub chunk: &'a Chunk,
    /// What it says.
    pub text: &'a str,
    /// Its BM25 score: larger is better, comparable within one query only.
    pub score: f64,
}

impl Hit<'_> {
    /// The whole chunk as a citation.
    pub fn citation(&self) -> Citation {
        let Chunk { source, start, end, .. } = self.chunk;
        Citation { source: source.clone(), start: *start, end: *end, text: self.text.to_owned() }
    }
}

impl Bm25Index {
    /// Cuts and indexes documents.
    ///
    /// # Errors
    /// When there is no document or none has a word, two have one identifier, or the configuration is out of
    /// range.
    pub fn build(documents: &[Document], config: &IndexConfig) -> Result<Self> {
        config.check()?;
        let mut ids = BTreeSet::new();
        if let Some(twice) = documents.iter().find(|document| !ids.insert(&document.id)) {
            return Err(Error::DuplicateDocument { id: twice.id.clone() });
        }
        let mut index = Self {
            config: config.clone(),
            documents: documents.to_vec(),
            entries: Vec::new(),
            postings: BTreeMap::new(),
            total_length: 0,
        };
        for (number, document) in (0..).zip(documents) {
            index.add(number, document);
        }
        if index.postings.is_empty() {
            let hint = "give at least one document with words other than stop words";
            return Err(Error::NoText { documents: documents.len(), hint });
        }
        Ok(index)
    }

    fn add(&mut self, number: u32, document: &Document) {
        let quotable: Vec<Statement> =
            statements(&document.text).into_iter().filter(|statement| !statement.is_heading).collect();
        for chunk in chunk(document, &self.config.chunk) {
            let text = document.text.get(chunk.range()).unwrap_or("");
            let counts = self.counts(&chunk, text);
            let length = counts.values().sum();
            let id = self.entries.len() as u32;
            for (term, count) in counts {
                self.postings.entry(term).or_default().push((id, count));
            }
            self.total_length += u64::from(length);
            let within = |quote: &Statement| Sentence {
                start: quote.range.start.max(chunk.start),
                end: quote.range.end.min(chunk.end),
                number: quote.number,
            };
            let sentences = quotable.iter().map(within).filter(|s| s.start < s.end).collect();
            self.entries.push(Entry { document: number, chunk, length, sentences });
        }
    }

    /// How often a chunk has each term. Headings above the chunk are read with it, and count more, as do its own.
    fn counts(&self, chunk: &Chunk, text: &str) -> BTreeMap<String, u32> {
        let weight = self.config.heading_weight;
        let headings = (0..).zip(&chunk.heading).map(|(depth, heading)| {
            let is_in_text = depth >= chunk.inherited;
            (heading.as_str(), if is_in_text { weight - 1 } else { weight })
        });
        let mut counts = BTreeMap::new();
        for (part, weight) in headings.chain([(text, 1)]).filter(|(_, weight)| *weight > 0) {
            for term in self.terms(part) {
                *counts.entry(term).or_insert(0) += weight;
            }
        }
        counts
    }

    /// The best `k` chunks for a query; fewer where fewer have one of its words. Equal scores are in the
    /// order of the documents.
    pub fn search(&self, query: &str, k: usize) -> Vec<Hit<'_>> {
        self.ranked(self.terms(query), k)
    }

    /// As [`search`](Self::search), but without the words of asking (`what`, `how`, `should I`), which say
    /// nothing about the subject and are rare in documents. English only.
    pub fn search_question(&self, question: &str, k: usize) -> Vec<Hit<'_>> {
        self.ranked(self.content(question), k)
    }

    fn ranked(&self, terms: impl Iterator<Item = String>, k: usize) -> Vec<Hit<'_>> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for term in terms {
            *counts.entry(term).or_insert(0) += 1;
        }
        let mut scores = vec![0.0_f64; self.entries.len()];
        for (term, count) in &counts {
            let weight = self.idf(term) * f64::from(*count);
            for &(id, tf) in self.postings.get(term).into_iter().flatten() {
                if let (Some(score), Some(entry)) =
                    (scores.get_mut(id as usize), self.entries.get(id as usize))
                {
                    *score += weight * self.saturated(tf, entry.length);
                }
            }
        }
        let mut ranked: Vec<(usize, f64)> =
            scores.into_iter().enumerate().filter(|&(_, score)| score > 0.0).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(k);
        ranked.into_iter().filter_map(|(id, score)| self.hit(id, score)).collect()
    }

    /// The beginning of a chunk, at most `max_words` long, to the end of a sentence; the whole chunk where it fits.
    pub(crate) fn excerpt(&self, hit: &Hit<'_>, max_words: usize) -> Option<Citation> {
        let whole = hit.citation();
        if word_count(&whole.text) <= max_words {
            return Some(whole);
        }
        let sentences = &self.entries.get(hit.id)?.sentences;
        let up_to = |sentence: &Sentence| self.text_of(hit.id, whole.start, sentence.end);
        let last = sentences.iter().rev().find(|sentence| word_count(up_to(sentence)) <= max_words)?;
        Some(Citation { end: last.end, text: up_to(last).to_owned(), ..whole })
    }

    /// The documents, as they were given.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The chunks, in the order of the documents.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &Chunk> {
        self.entries.iter().map(|entry| &entry.chunk)
    }

    /// How the index was built.
    pub fn config(&self) -> &IndexConfig {
        &self.config
    }

    fn hit(&self, id: usize, score: f64) -> Option<Hit<'_>> {
        let chunk = &self.entries.get(id)?.chunk;
        Some(Hit { id, chunk, text: self.text_of(id, chunk.start, chunk.end), score })
    }

    /// Bytes of the document of an entry.
    fn text_of(&self, id: usize, start: usize, end: usize) -> &str {
        let document = self.entries.get(id).and_then(|entry| self.documents.get(entry.document as usize));
        document.and_then(|document| document.text.get(start..end)).unwrap_or("")
    }

    fn saturated(&self, tf: u32, length: u32) -> f64 {
        let mean = self.total_length as f64 / self.entries.len().max(1) as f64;
        let IndexConfig { k1, b, .. } = self.config;
        let tf = f64::from(tf);
        tf / (tf + k1 * (1.0 - b + b * f64::from(length) / mean))
    }

    /// Rarity of a term; a term that no chunk has is the rarest.
    fn idf(&self, term: &str) -> f64 {
        let n = self.postings.get(term).map_or(0, Vec::len) as f64;
        (1.0 + (self.entries.len() as f64 - n + 0.5) / (n + 0.5)).ln()
    }

    /// The terms of a text, in the form of the index.
    fn terms(&self, text: &str) -> impl Iterator<Item = String> {
        let IndexConfig { stemming, stop_words, .. } = self.config;
        let word = |(start, end)| text.get(start..end).unwrap_or("").to_lowercase();
        let kept = move |word: &String| stop_words == StopWords::Off || !is_function_word(word);
        term_spans(text)
            .map(word)
            .filter(kept)
            .map(move |word| stemmed(&word, stemming))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() -> Result<()> {
        let texts = ["disk full disk", "network slow", "disk"];
        let documents: Vec<Document> =
            (0..).zip(texts).map(|(n, text)| Document { id: format!("{n}"), text: text.into() }).collect();
        let index = Bm25Index::build(&documents, &IndexConfig::default())?;
        let idf = (1.0_f64 + (3.0 - 2.0 + 0.5) / 2.5).ln();
        let expected = |tf: f64, length: f64| idf * tf / (tf + 1.2 * (0.25 + 0.75 * length / 2.0));
        let hits = index.search("disks", 9);
        let got: Vec<(usize, f64)> = hits.iter().map(|hit| (hit.id, hit.score)).collect();
        let wanted = [(2, expected(1.0, 1.0)), (0, expected(2.0, 3.0))];
        for ((id, score), (wanted_id, wanted_score)) in got.iter().zip(wanted) {
            assert_eq!(*id, wanted_id);
            assert!((score - wanted_score).abs() < 1e-12, "{score} {wanted_score}");
        }
        assert_eq!(got.len(), 2);
        let twice: Vec<f64> = index.search("disk disk", 9).iter().map(|hit| hit.score).collect();
        assert!((twice[0] - 2.0 * got[0].1).abs() < 1e-12, "a repeated term counts twice");
        Ok(())
    }
}
