//! The sentences of the chunks found that answer the question best.

use std::collections::{BTreeMap, BTreeSet};

use slm_core::Citation;

use super::{Bm25Index, Hit, Sentence};
use crate::text::{is_question_word, stemmed, term_spans};

/// Weight of what the surroundings of a sentence (its chunk and the headings above) share with the question,
/// against 1 for the sentence itself.
const CONTEXT: f64 = 0.5;
/// Weight of the rank of the chunk.
const RANK: f64 = 0.5;

const ORDINALS: [&str; 10] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/// A sentence that speaks to a question.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The sentence and where it stands.
    pub citation: Citation,
    /// How well it fits, for comparison within one question.
    pub score: f64,
    /// Share of the question's content words, weighted by rarity, that the sentence, its chunk or the headings
    /// above have: 0 to 1, comparable between questions.
    pub coverage: f64,
}

/// The content words of a question and how rare each is.
struct Question {
    weights: BTreeMap<String, f64>,
    total: f64,
}

impl Question {
    fn share(&self, terms: &BTreeSet<String>) -> f64 {
        let found: f64 =
            self.weights.iter().filter(|(term, _)| terms.contains(*term)).map(|(_, weight)| weight).sum();
        if self.total > 0.0 { found / self.total } else { 0.0 }
    }
}

impl Bm25Index {
    /// The best `limit` sentences of the given hits, best first; equal ones in order of the hits and of the text.
    ///
    /// A sentence scores by the content words of the question that it has itself, those that stand around it,
    /// and how well its chunk ranks; words count by their rarity in the index. A question without a content word
    /// ("What is it?") has no evidence.
    pub fn best_sentences(&self, hits: &[Hit<'_>], question: &str, limit: usize) -> Vec<Evidence> {
        let question = self.question(question);
        if question.total <= 0.0 {
            return Vec::new();
        }
        let top = hits.iter().map(|hit| hit.score).fold(f64::MIN_POSITIVE, f64::max);
        let mut found: Vec<Evidence> =
            hits.iter().flat_map(|hit| self.sentences_of(hit, &question, hit.score / top)).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut seen = BTreeSet::new();
        found.retain(|evidence| {
            let Citation { source, start, end, .. } = &evidence.citation;
            seen.insert((source.clone(), *start, *end))
        });
        found.truncate(limit);
        found
    }

    fn sentences_of(&self, hit: &Hit<'_>, question: &Question, rank: f64) -> Vec<Evidence> {
        let Some(entry) = self.entries.get(hit.id) else {
            return Vec::new();
        };
        let ordinals = entry.sentences.iter().filter_map(|sentence| self.ordinal(sentence));
        let mut around: BTreeSet<String> = self.content(hit.text).chain(ordinals).collect();
        around.extend(hit.chunk.heading.iter().flat_map(|heading| self.content(heading)));
        let coverage = question.share(&around);
        let evidence = |sentence: &Sentence| {
            let text = self.text_of(hit.id, sentence.start, sentence.end).to_owned();
            let own = question.share(&self.content(&text).chain(self.ordinal(sentence)).collect());
            let score = own + CONTEXT * coverage + RANK * rank;
            let (source, start, end) = (hit.chunk.source.clone(), sentence.start, sentence.end);
            Evidence { citation: Citation { source, start, end, text }, score, coverage }
        };
        entry.sentences.iter().map(evidence).collect()
    }

    /// The word for the place of a numbered item: item 1 answers to "the first step".
    fn ordinal(&self, sentence: &Sentence) -> Option<String> {
        let word = ORDINALS.get((sentence.number as usize).checked_sub(1)?)?;
        Some(stemmed(word, self.config.stemming))
    }

    fn question(&self, text: &str) -> Question {
        let weights: BTreeMap<String, f64> =
            self.content(text).map(|term| (self.idf(&term), term)).map(|(w, t)| (t, w)).collect();
        let total = weights.values().sum();
        Question { weights, total }
    }

    /// The terms of a text that say what it is about.
    pub(crate) fn content(&self, text: &str) -> impl Iterator<Item = String> {
        let words: Vec<String> = term_spans(text)
            .map(|(start, end)| text.get(start..end).unwrap_or("").to_lowercase())
            .filter(|word| !is_question_word(word))
            .collect();
        let stemming = self.config.stemming;
        words.into_iter().map(move |word| stemmed(&word, stemming))
    }
}
