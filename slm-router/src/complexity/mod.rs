//! [`Complexity`]: how much a request asks for, by its words alone.

pub(crate) mod words;

use serde::{Deserialize, Serialize};
use words::{CONNECTIVES, NEGATIONS, OPEN, QUESTION_WORDS, RELATIVES, TRANSFORMS};

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// To do something to a text that comes with it: classify, extract, translate, summarise.
    Transform,
    /// To find out a fact.
    Lookup,
    /// To explain, compare, plan or write at some length.
    OpenEnded,
}

/// Counts of what makes a request easy or hard, found by rules for English.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Complexity {
    /// What kind of work it is.
    pub kind: TaskKind,
    /// Words.
    pub words: usize,
    /// Things asked for: question marks, further question words after "and", commands.
    pub asks: usize,
    /// Words that may open a clause on something named before: that, which, who, whose, where.
    pub relatives: usize,
    /// Words that put facts in relation: before, after, both, than, same, of.
    pub connectives: usize,
    /// Question words.
    pub question_words: usize,
    /// Negations and exceptions.
    pub negations: usize,
    /// Words with a capital that do not begin a sentence.
    pub names: usize,
    /// Words with a digit.
    pub numbers: usize,
    /// Signs of formulas and code.
    pub symbols: usize,
    /// Commas, semicolons, colons.
    pub pauses: usize,
    /// Lines.
    pub lines: usize,
    /// Mean length of a word, in characters.
    pub word_length: f32,
}

impl Complexity {
    /// The complexity of a request.
    pub fn of(text: &str) -> Self {
        let tokens: Vec<&str> = text.split_whitespace().collect();
        let bare = |token: &str| token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let words: Vec<String> =
            tokens.iter().map(|token| bare(token)).filter(|word| !word.is_empty()).collect();
        let among = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
        let count = |wanted: &[char]| text.chars().filter(|c| wanted.contains(c)).count();
        let joined = |first: &String, second: &String| {
            matches!(first.as_str(), "and" | "then" | "also") && QUESTION_WORDS.contains(&second.as_str())
        };
        let also = words.iter().zip(words.iter().skip(1)).filter(|(a, b)| joined(a, b)).count();
        Self {
            kind: kind(text, &words),
            words: words.len(),
            asks: (count(&['?']) + also).max(1),
            relatives: among(RELATIVES),
            connectives: among(CONNECTIVES),
            question_words: among(QUESTION_WORDS),
            negations: among(NEGATIONS) + words.iter().filter(|word| word.ends_with("n't")).count(),
            names: names(&tokens),
            numbers: tokens.iter().filter(|token| token.contains(|c: char| c.is_ascii_digit())).count(),
            symbols: count(&['=', '+', '*', '/', '^', '\\', '{', '}', '<', '>', '_', '$', '|']),
            pauses: count(&[',', ';', ':']),
            lines: text.lines().count(),
            word_length: words.iter().map(|word| word.chars().count()).sum::<usize>() as f32
                / words.len().max(1) as f32,
        }
    }

    /// Numbers for a classifier: counts as logarithms, and the kind.
    pub(crate) fn features(&self) -> Vec<f32> {
        let counts = [
            self.words,
            self.asks,
            self.relatives,
            self.connectives,
            self.question_words,
            self.negations,
            self.names,
            self.numbers,
            self.symbols,
            self.pauses,
            self.lines,
        ];
        let logarithms = counts.iter().map(|&count| (1.0 + count as f32).ln());
        let kinds = [TaskKind::Transform, TaskKind::Lookup, TaskKind::OpenEnded];
        let kinds = kinds.iter().map(|kind| f32::from(*kind == self.kind));
        logarithms.chain(kinds).chain([self.word_length]).collect()
    }
}

fn kind(text: &str, words: &[String]) -> TaskKind {
    let begins = |list: &[&str]| words.iter().take(4).any(|word| list.contains(&word.as_str()));
    // Something to work on: after a colon, in quotes, or on a line of its own.
    let brings_text = text.contains([':', '"', '\n', '“']);
    if begins(TRANSFORMS) && (brings_text || words.iter().any(|word| word == "this" || word == "following")) {
        TaskKind::Transform
    } else if begins(OPEN) || begins(TRANSFORMS) {
        TaskKind::OpenEnded
    } else {
        TaskKind::Lookup
    }
}

/// Capitals within sentences, neighbours counted once.
fn names(tokens: &[&str]) -> usize {
    let is_capital =
        |token: &str| token.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_uppercase);
    let mut names = 0;
    let (mut begins, mut in_name) = (true, false);
    for token in tokens {
        let is_name = is_capital(token) && !begins && *token != "I";
        names += usize::from(is_name && !in_name);
        in_name = is_name && !token.ends_with([',', ';']);
        begins = token.ends_with(['.', '?', '!', ':']);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted() {
        let text = "Who directed the film that won in 1994, and what did Sofia Coppola, who isn't Ann, make before it?";
        let found = Complexity::of(text);
        assert_eq!((found.asks, found.relatives, found.connectives), (2, 3, 1));
        assert_eq!((found.names, found.numbers, found.negations, found.pauses), (2, 1, 1, 3));
        assert_eq!((found.kind, found.question_words, found.lines), (TaskKind::Lookup, 3, 1));
        assert_eq!(found.words, 19);
        assert_eq!(Complexity::of("").words, 0);
    }

    #[test]
    fn kinds_of_work() {
        for (text, kind) in [
            ("Classify this ticket: the printer is on fire", TaskKind::Transform),
            ("Please translate \"good morning\" into French", TaskKind::Transform),
            ("Extract all dates from the following text.\nOn 3 May we met.", TaskKind::Transform),
            ("Explain how a heat pump works", TaskKind::OpenEnded),
            ("Write a poem about rain", TaskKind::OpenEnded),
            ("When was pump P-204 serviced last?", TaskKind::Lookup),
            ("Is the valve open?", TaskKind::Lookup),
        ] {
            assert_eq!(Complexity::of(text).kind, kind, "{text}");
        }
    }
}
