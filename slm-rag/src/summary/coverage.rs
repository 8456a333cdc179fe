//! Which parts of a document a summary draws on.

use std::collections::BTreeSet;

use slm_data::Document;

use crate::chunk::Chunk;
use crate::text::{Stemming, for_each_word, is_question_word, sentences, stemmed};

/// A part of a document, and what of the summary comes from it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SectionCoverage {
    /// The headings above it, outermost first.
    pub heading: Vec<String>,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Sentences of the summary that fit this part better than any other.
    pub sentences: usize,
}

/// Lowest share of the words of a sentence that a part must have to be its source.
const SHARE: f64 = 0.5;

/// For each chunk, how many sentences of the summary it is the best source of.
pub(super) fn coverage(summary: &str, document: &Document, chunks: &[Chunk]) -> Vec<SectionCoverage> {
    let own: Vec<BTreeSet<String>> = sentences(summary, 0..summary.len())
        .into_iter()
        .map(|range| words(summary.get(range).unwrap_or("")))
        .filter(|words| !words.is_empty())
        .collect();
    let mut best: Vec<(f64, Option<usize>)> = vec![(SHARE, None); own.len()];
    // One part's words at a time, so that memory does not grow with the document.
    for (n, chunk) in chunks.iter().enumerate() {
        let known = words(document.text.get(chunk.range()).unwrap_or(""));
        for (sentence, best) in own.iter().zip(&mut best) {
            let share = sentence.intersection(&known).count() as f64 / sentence.len() as f64;
            if share > best.0 || best.1.is_none() && share >= SHARE {
                *best = (share, Some(n));
            }
        }
    }
    let of = |(n, chunk): (usize, &Chunk)| SectionCoverage {
        heading: chunk.heading.clone(),
        start: chunk.start,
        end: chunk.end,
        sentences: best.iter().filter(|(_, source)| *source == Some(n)).count(),
    };
    chunks.iter().enumerate().map(of).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for_each_word(text, |word| {
        if !is_question_word(word) {
            words.insert(stemmed(word, Stemming::English));
        }
    });
    words
}
