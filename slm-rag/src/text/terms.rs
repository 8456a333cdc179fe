//! Terms: the words of a text in the form in which they are looked up.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// Reduction of words to stems, so that `disks` finds `disk` (the Snowball algorithms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stemming {
    /// Words as they are.
    Off,
    /// English (Porter 2).
    #[default]
    English,
    /// Danish.
    Danish,
    /// Dutch.
    Dutch,
    /// Finnish.
    Finnish,
    /// French.
    French,
    /// German.
    German,
    /// Italian.
    Italian,
    /// Norwegian.
    Norwegian,
    /// Portuguese.
    Portuguese,
    /// Russian.
    Russian,
    /// Spanish.
    Spanish,
    /// Swedish.
    Swedish,
}

impl Stemming {
    fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Self::Off => return None,
            Self::English => Algorithm::English,
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::Finnish => Algorithm::Finnish,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Italian => Algorithm::Italian,
            Self::Norwegian => Algorithm::Norwegian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Russian => Algorithm::Russian,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
        })
    }
}

/// Words that are never looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWords {
    /// Every word counts.
    Off,
    /// The 33 commonest English words (Lucene's list).
    #[default]
    English,
}

const COMMON: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];

/// Words that a question has and its answer need not have; sorted.
const QUESTION: [&str; 78] = [
    "about", "again", "all", "am", "any", "been", "before", "being", "can", "could", "did", "do", "does",
    "doing", "each", "from", "get", "give", "had", "happen", "happens", "has", "have", "he", "her", "here",
    "him", "his", "how", "its", "know", "like", "long", "many", "may", "me", "mean", "means", "might",
    "more", "most", "much", "must", "my", "need", "often", "only", "our", "over", "please", "see", "shall",
    "she", "should", "so", "some", "soon", "tell", "than", "them", "too", "us", "very", "want", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "would", "you", "your",
];

/// The words of `text` as byte ranges.
///
/// Words are those of Unicode's UAX #29, cut further at marks within: `10.0.0.1` is four. Single Latin
/// letters (`s` of `John's`) are left out.
pub(crate) fn term_spans(text: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut start = 0;
    for token in text.split_inclusive([' ', '\n']) {
        if token.is_ascii() {
            // All that UAX #29 joins are marks, at which words are cut anyway.
            let mut at = start;
            for run in
                token.as_bytes().chunk_by(|a, b| a.is_ascii_alphanumeric() == b.is_ascii_alphanumeric())
            {
                let is_word = run.first().is_some_and(u8::is_ascii_alphanumeric);
                if is_word && (run.len() > 1 || run.first().is_some_and(u8::is_ascii_digit)) {
                    spans.push((at, at + run.len()));
                }
                at += run.len();
            }
        } else {
            spans.extend(unicode_spans(token).map(|(from, to)| (start + from, start + to)));
        }
        start += token.len();
    }
    spans
}

fn unicode_spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.unicode_word_indices().flat_map(|(mut start, word)| {
        word.split_inclusive(is_cut).filter_map(move |piece| {
            let part = piece.trim_end_matches(is_cut);
            let span = (start, start + part.len());
            start += piece.len();
            (!is_noise(part)).then_some(span)
        })
    })
}

/// Calls `each` with every word of `text` in lower case.
pub(crate) fn for_each_word(text: &str, mut each: impl FnMut(&str)) {
    let mut lower = String::new();
    for (start, end) in term_spans(text) {
        let word = text.get(start..end).unwrap_or("");
        if word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            each(word);
        } else if word.is_ascii() {
            lower.clear();
            lower.extend(word.bytes().map(|b| char::from(b.to_ascii_lowercase())));
            each(&lower);
        } else {
            each(&word.to_lowercase());
        }
    }
}

/// Words and their terms, numbered as they come; each word is stemmed once.
#[derive(Debug)]
pub(crate) struct WordForms {
    stemming: Stemming,
    stop_words: StopWords,
    forms: HashMap<String, Option<u32>, RandomState>,
    terms: HashMap<String, u32, RandomState>,
}

impl WordForms {
    pub(crate) fn new(stemming: Stemming, stop_words: StopWords) -> Self {
        Self { stemming, stop_words, forms: HashMap::default(), terms: HashMap::default() }
    }

    /// The number of the term of a word that came before, `None` where it is never looked up; `None` for a new word.
    pub(crate) fn known(&self, word: &str) -> Option<Option<u32>> {
        self.forms.get(word).copied()
    }

    /// The number of the term of a word in lower case; `None` for words that are never looked up.
    pub(crate) fn number(&mut self, word: &str) -> Option<u32> {
        if let Some(known) = self.known(word) {
            return known;
        }
        let term = term_of(word, self.stemming, self.stop_words);
        let next = self.terms.len() as u32;
        let number = term.map(|term| *self.terms.entry(term).or_insert(next));
        self.forms.insert(word.to_owned(), number);
        number
    }

    /// How many terms there are.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    /// The terms in the order of their numbers.
    pub(crate) fn into_terms(self) -> Vec<String> {
        let mut terms: Vec<(u32, String)> = self.terms.into_iter().map(|(term, n)| (n, term)).collect();
        terms.sort_unstable();
        terms.into_iter().map(|(_, term)| term).collect()
    }
}

/// The terms of a text that say what it is about.
pub(crate) fn content_terms(text: &str, stemming: Stemming) -> Vec<String> {
    let mut terms = Vec::new();
    for_each_word(text, |word| {
        if !is_question_word(word) {
            terms.push(stemmed(word, stemming));
        }
    });
    terms
}

/// The term of a word in lower case; `None` for words that are never looked up.
pub(crate) fn term_of(word: &str, stemming: Stemming, stop_words: StopWords) -> Option<String> {
    let kept = stop_words == StopWords::Off || !is_function_word(word);
    kept.then(|| stemmed(word, stemming))
}

/// Marks that UAX #29 allows within a word.
fn is_cut(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() || matches!(c, '’' | '‘' | '·' | '‧' | '․' | '．' | '：')
}

fn is_noise(part: &str) -> bool {
    part.is_empty() || part.len() == 1 && part.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Number of words, for budgets.
pub(crate) fn word_count(text: &str) -> usize {
    text.unicode_words().count()
}

/// The stem of a word in lower case.
pub(crate) fn stemmed(word: &str, stemming: Stemming) -> String {
    match stemming.algorithm() {
        Some(algorithm) => Stemmer::create(algorithm).stem(word).into_owned(),
        None => word.to_owned(),
    }
}

/// Whether a word in lower case is one of [`StopWords::English`].
pub(crate) fn is_function_word(word: &str) -> bool {
    COMMON.binary_search(&word).is_ok()
}

/// Whether a word in lower case says nothing about what a question is about.
pub(crate) fn is_question_word(word: &str) -> bool {
    is_function_word(word) || QUESTION.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        term_spans(text).into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn lists_are_sorted() {
        assert!(COMMON.is_sorted() && QUESTION.is_sorted());
    }

    #[test]
    fn words_of_many_scripts() {
        for (text, expected) in [
            ("The disk's 97% full.", vec!["The", "disk", "97", "full"]),
            ("10.0.0.17 web-03", vec!["10", "0", "0", "17", "web", "03"]),
            ("clean_disk()", vec!["clean", "disk"]),
            ("Plan B, part c", vec!["Plan", "part"]),
            ("naïve café", vec!["naïve", "café"]),
            ("日本", vec!["日", "本"]),
            ("e\u{301}te\u{301}", vec!["e\u{301}te\u{301}"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn the_short_way_finds_the_same_words() {
        for text in [
            "It's 3.5 o'clock, a.b.c; x_y--z \"q\" 1,000 e.g. I/O\r\nfoo\tbar:baz C++ 7",
            "état naïve plain ascii — dash 日本 x 10.0.0.1\nno’s",
            "",
        ] {
            assert_eq!(term_spans(text), unicode_spans(text).collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn forms_of_one_word_have_one_number() {
        let mut forms = WordForms::new(Stemming::English, StopWords::English);
        let numbers = ["disks", "the", "fast", "disk"].map(|word| forms.number(word));
        assert_eq!(numbers, [Some(0), None, Some(1), Some(0)]);
        assert_eq!(forms.into_terms(), ["disk", "fast"]);
    }

    #[test]
    fn stems() {
        assert_eq!(stemmed("replicas", Stemming::English), "replica");
        assert_eq!(stemmed("häuser", Stemming::German), "haus");
        assert_eq!(stemmed("replicas", Stemming::Off), "replicas");
    }
}
