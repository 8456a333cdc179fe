//! TF-IDF vectors of words, pairs of words and character n-grams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::DetectorConfig;
use super::shapes::{Token, tokens};

/// A sparse vector: feature and weight, sorted by feature. Features are hashes, so that a saved detector
/// does not spell out the texts it was fitted on.
pub(crate) type Sparse = Vec<(u32, f32)>;

/// How often each feature occurs, by kind, sorted by feature.
#[derive(Debug, Default)]
struct Counts {
    words: Vec<(u32, u32)>,
    grams: Vec<(u32, u32)>,
}

/// Turns texts into unit vectors, with document frequencies learned from the texts it was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vectorizer {
    documents: u32,
    /// Feature and the number of documents that have it, sorted by feature.
    frequencies: Vec<(u32, u32)>,
    pub(super) config: DetectorConfig,
}

impl Vectorizer {
    pub(crate) fn fit<'a>(texts: impl IntoIterator<Item = &'a str>, config: &DetectorConfig) -> Self {
        let mut frequencies = BTreeMap::new();
        let mut documents = 0;
        for text in texts {
            documents += 1;
            let counts = count(text, config);
            for (feature, _) in counts.words.into_iter().chain(counts.grams) {
                *frequencies.entry(feature).or_insert(0) += 1;
            }
        }
        Self { documents, frequencies: frequencies.into_iter().collect(), config: config.clone() }
    }

    /// The vector of `text`, of length one; empty for a text without a word.
    ///
    /// Features never seen in fitting count fully towards the length: a text of foreign words is far from
    /// every exemplar, whatever few words it shares.
    pub(crate) fn vector(&self, text: &str) -> Sparse {
        let counts = count(text, &self.config);
        let share = self.config.word_share;
        let mut vector = self.weigh(&counts.words, if counts.grams.is_empty() { 1.0 } else { share });
        vector.extend(self.weigh(&counts.grams, if counts.words.is_empty() { 1.0 } else { 1.0 - share }));
        vector.sort_unstable_by_key(|&(feature, _)| feature);
        vector
    }

    /// Sublinear term frequency times inverse document frequency, with squares that sum to `share`.
    fn weigh(&self, counts: &[(u32, u32)], share: f64) -> Sparse {
        let weights: Vec<(u32, f64)> = counts
            .iter()
            .map(|&(feature, n)| (feature, (1.0 + f64::from(n).ln()) * self.idf(feature)))
            .collect();
        let norm = weights.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { share.sqrt() / norm } else { 0.0 };
        weights
            .into_iter()
            .map(|(feature, w)| (feature, (w * scale) as f32))
            .filter(|(_, w)| *w > 0.0)
            .collect()
    }

    /// Whether the frequencies are in order, as looking them up needs.
    pub(crate) fn is_sound(&self) -> bool {
        self.frequencies.is_sorted_by(|(a, _), (b, _)| a < b)
            && self.frequencies.iter().all(|&(_, n)| n <= self.documents)
    }

    fn idf(&self, feature: u32) -> f64 {
        let found = self.frequencies.binary_search_by_key(&feature, |&(f, _)| f);
        let frequency = found.ok().and_then(|at| self.frequencies.get(at)).map_or(0, |&(_, n)| n);
        (f64::from(1 + self.documents) / f64::from(1 + frequency)).ln() + 1.0
    }
}

fn count(text: &str, config: &DetectorConfig) -> Counts {
    let tokens = tokens(text);
    let (mut words, mut grams) = (Vec::with_capacity(2 * tokens.len()), Vec::new());
    for token in &tokens {
        words.push(hash(b'w', token.as_str().bytes()));
    }
    for (first, second) in tokens.iter().zip(tokens.iter().skip(1)) {
        words.push(hash(b'b', first.as_str().bytes().chain([b' ']).chain(second.as_str().bytes())));
    }
    for token in &tokens {
        if let Token::Word(word) = token {
            push_grams(word, config, &mut grams);
        }
    }
    Counts { words: tally(words), grams: tally(grams) }
}

fn tally(mut features: Vec<u32>) -> Vec<(u32, u32)> {
    features.sort_unstable();
    let same = features.chunk_by(|a, b| a == b);
    same.filter_map(|same| Some((*same.first()?, same.len() as u32))).collect()
}

/// Character n-grams of a word between marks, so that beginnings and ends differ from middles.
fn push_grams(word: &str, config: &DetectorConfig, grams: &mut Vec<u32>) {
    let marked = format!("_{word}_");
    let starts: Vec<usize> = marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
    for n in config.min_gram..=config.max_gram {
        for (start, end) in starts.iter().zip(starts.iter().skip(n)) {
            let gram = marked.as_bytes().get(*start..*end).unwrap_or_default();
            grams.push(hash(b'c', gram.iter().copied()));
        }
    }
}

/// FNV-1a, folded to 32 bits: stable across platforms and releases.
fn hash(kind: u8, bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let full = bytes.fold(step(0xcbf2_9ce4_8422_2325, kind), step);
    ((full >> 32) ^ full) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(a: &[(u32, f32)], b: &[(u32, f32)]) -> f32 {
        let find = |f: u32| b.iter().find(|(g, _)| *g == f).map_or(0.0, |(_, w)| *w);
        a.iter().map(|&(f, w)| w * find(f)).sum()
    }

    #[test]
    fn vectors_have_length_one_also_where_a_kind_is_missing() {
        let vectorizer = Vectorizer::fit(["disk is full on web-03"], &DetectorConfig::default());
        for text in ["disk is full", "a b", "10.0.0.1", "never seen before", "10.0.0.1 E4102"] {
            let vector = vectorizer.vector(text);
            assert!((dot(&vector, &vector) - 1.0).abs() < 1e-5, "{text}");
            assert!(vector.is_sorted_by_key(|(feature, _)| *feature));
        }
        assert!(vectorizer.vector("?!").is_empty());
    }

    #[test]
    fn foreign_words_take_a_text_away_from_the_exemplars() {
        let vectorizer =
            Vectorizer::fit(["the disk is full", "the disk is slow"], &DetectorConfig::default());
        let exemplar = vectorizer.vector("the disk is full");
        let near = dot(&exemplar, &vectorizer.vector("is the disk full"));
        let far = dot(&exemplar, &vectorizer.vector("is the moon full tonight over Lisbon"));
        assert!(near > 2.0 * far, "{near} against {far}");
    }

    #[test]
    fn hashes_are_those_of_fnv_1a() {
        // The published 64-bit value of "foobar" is 85944171f73967e8.
        assert_eq!(hash(b'f', "oobar".bytes()), 0x8594_4171 ^ 0xf739_67e8);
    }
}
