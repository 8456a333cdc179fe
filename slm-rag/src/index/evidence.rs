//! The sentences of the chunks found that answer the question best.

use std::collections::{BTreeMap, BTreeSet};

use slm_core::Citation;

use super::{Hit, Index, Sentence};
use crate::Result;
use crate::text::{Stemming, content_terms, stemmed};

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

/// How rare each of these terms is.
pub(crate) type Rarity<'a> = &'a mut dyn FnMut(&[String]) -> Result<Vec<f64>>;

/// The content words of a question and how rare each is.
struct Question {
    stemming: Stemming,
    weights: BTreeMap<String, f64>,
    total: f64,
}

impl Index {
    /// The best `limit` sentences of the given hits, best first; equal ones in order of the hits and of the text.
    ///
    /// A sentence scores by the content words of the question that it has itself, those that stand around it,
    /// and how well its chunk ranks; words count by their rarity in the index. A question without a content word
    /// ("What is it?") has no evidence.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub fn best_sentences(&self, hits: &[Hit], question: &str, limit: usize) -> Result<Vec<Evidence>> {
        let mut rarity = |terms: &[String]| terms.iter().map(|term| self.idf(term)).collect();
        best_sentences(hits, question, limit, (self.config.stemming, &mut rarity))
    }
}

/// As [`Index::best_sentences`], with words of another place.
pub(crate) fn best_sentences(
    hits: &[Hit],
    question: &str,
    limit: usize,
    (stemming, rarity): (Stemming, Rarity<'_>),
) -> Result<Vec<Evidence>> {
    let question = Question::read(question, stemming, rarity)?;
    if question.total <= 0.0 {
        return Ok(Vec::new());
    }
    let top = hits.iter().map(|hit| hit.score).fold(f64::MIN_POSITIVE, f64::max);
    let mut found: Vec<Evidence> =
        hits.iter().flat_map(|hit| question.sentences_of(hit, hit.score / top)).collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut seen = BTreeSet::new();
    found.retain(|evidence| {
        let Citation { source, start, end, .. } = &evidence.citation;
        seen.insert((source.clone(), *start, *end))
    });
    found.truncate(limit);
    Ok(found)
}

impl Question {
    fn read(text: &str, stemming: Stemming, rarity: Rarity<'_>) -> Result<Self> {
        let terms: BTreeSet<String> = content_terms(text, stemming).into_iter().collect();
        let terms: Vec<String> = terms.into_iter().collect();
        let rarity = rarity(&terms)?;
        let weights: BTreeMap<String, f64> = terms.into_iter().zip(rarity).collect();
        let total = weights.values().sum();
        Ok(Self { stemming, weights, total })
    }

    fn share(&self, terms: &BTreeSet<String>) -> f64 {
        let found: f64 =
            self.weights.iter().filter(|(term, _)| terms.contains(*term)).map(|(_, weight)| weight).sum();
        if self.total > 0.0 { found / self.total } else { 0.0 }
    }

    fn content(&self, text: &str) -> Vec<String> {
        content_terms(text, self.stemming)
    }

    fn sentences_of(&self, hit: &Hit, rank: f64) -> Vec<Evidence> {
        let ordinals = hit.sentences.iter().filter_map(|sentence| self.ordinal(sentence));
        let mut around: BTreeSet<String> = self.content(&hit.text).into_iter().chain(ordinals).collect();
        around.extend(hit.chunk.heading.iter().flat_map(|heading| self.content(heading)));
        let coverage = self.share(&around);
        let evidence = |sentence: &Sentence| {
            let text = hit.span(sentence.start, sentence.end).to_owned();
            let own = self.share(&self.content(&text).into_iter().chain(self.ordinal(sentence)).collect());
            let score = own + CONTEXT * coverage + RANK * rank;
            let (source, start, end) = (hit.chunk.source.clone(), sentence.start, sentence.end);
            Evidence { citation: Citation { source, start, end, text }, score, coverage }
        };
        hit.sentences.iter().map(evidence).collect()
    }

    /// The word for the place of a numbered item: item 1 answers to "the first step".
    fn ordinal(&self, sentence: &Sentence) -> Option<String> {
        let word = ORDINALS.get((sentence.number as usize).checked_sub(1)?)?;
        Some(stemmed(word, self.stemming))
    }
}
