//! Terms: the words of a text in the form in which they are looked up.

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
pub(crate) fn term_spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.unicode_word_indices().flat_map(|(mut start, word)| {
        word.split_inclusive(is_cut).filter_map(move |piece| {
            let part = piece.trim_end_matches(is_cut);
            let span = (start, start + part.len());
            start += piece.len();
            (!is_noise(part)).then_some(span)
        })
    })
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
        term_spans(text).map(|(start, end)| &text[start..end]).collect()
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
    fn stems() {
        assert_eq!(stemmed("replicas", Stemming::English), "replica");
        assert_eq!(stemmed("häuser", Stemming::German), "haus");
        assert_eq!(stemmed("replicas", Stemming::Off), "replicas");
    }
}
