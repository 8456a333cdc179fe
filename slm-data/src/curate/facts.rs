//! Answers that say the same but for a number, a name or a "not".
//!
//! Questions count as the same when their content words are: "How long does a restart take?" and "How long would the
//! restart take, please?". Of two answers to it, most of whose content words are the same, each states a number or a
//! name that the other does not, or one of them negates: then at most one of them is right. Long texts state many things
//! and are not compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::text::{self, real};

/// Smallest share of the content words of the shorter answer that the other must have, for both to say the same.
const SAME: f64 = 0.6;
/// Words of an answer, at most.
const LONGEST: usize = 60;
/// Different answers to a question that are compared with each other, at most.
const MOST: usize = 200;
/// Letters of a word that are compared: what follows is mostly inflection.
const STEM: usize = 6;

/// What two answers disagree in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disagreement {
    Number,
    Negation,
    Name,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Negation => "a negation",
            Self::Name => "a name",
        })
    }
}

/// What a text states.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Facts {
    content: BTreeSet<String>,
    numbers: BTreeSet<String>,
    names: BTreeSet<String>,
    negated: bool,
    long: bool,
}

/// Words of four letters or more that say nothing about the subject.
const EMPTY: [&str; 44] = [
    "about", "also", "been", "being", "could", "does", "doing", "done", "each", "from", "give", "have",
    "having", "into", "just", "know", "like", "made", "make", "more", "most", "much", "need", "only",
    "please", "really", "should", "show", "some", "such", "tell", "than", "that", "their", "them", "then",
    "there", "these", "they", "this", "would", "want", "what", "will",
];
/// Words of three letters or fewer that say nothing about the subject; others do in a question ("type III", "vitamin C").
const SHORT_EMPTY: [&str; 60] = [
    "a", "all", "am", "an", "and", "any", "are", "as", "ask", "at", "be", "but", "by", "can", "did", "do",
    "few", "for", "get", "got", "had", "has", "he", "her", "his", "i", "if", "in", "is", "it", "its", "let",
    "may", "me", "my", "now", "of", "off", "on", "or", "our", "out", "per", "say", "see", "she", "so", "the",
    "to", "too", "up", "us", "use", "via", "was", "way", "we", "you", "yet", "hi",
];
const NEGATIONS: [&str; 10] =
    ["no", "not", "never", "none", "neither", "nor", "cannot", "without", "nothing", "nobody"];
/// Numbers that are written as words.
const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

impl Facts {
    pub(super) fn of(original: &str) -> Self {
        let mut facts = Self::default();
        let mut negations = 0;
        let mut starts = true;
        for piece in original.split_whitespace() {
            let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
            let first = std::mem::replace(&mut starts, piece.ends_with(['.', '!', '?', ':', '"']));
            let normal = text::normalize(word).replace('\u{2019}', "'");
            let plain = normal.strip_suffix("'s").unwrap_or(&normal);
            if plain.is_empty() {
                continue;
            }
            if NEGATIONS.contains(&plain) || plain.ends_with("n't") {
                negations += 1;
            } else if plain.chars().any(char::is_numeric) {
                facts.numbers.insert(plain.to_owned());
            } else if let Some(value) = NUMBERS.iter().position(|number| *number == plain) {
                facts.numbers.insert(value.to_string());
            } else if !first && word.chars().next().is_some_and(char::is_uppercase) && plain != "i" {
                facts.names.insert(plain.to_owned());
            } else if plain.chars().count() > 3 && !EMPTY.contains(&plain) {
                let singular = plain.strip_suffix('s').filter(|rest| !rest.ends_with('s'));
                facts.content.insert(singular.unwrap_or(plain).chars().take(STEM).collect());
            }
        }
        facts.negated = negations % 2 == 1;
        facts.long = original.split_whitespace().nth(LONGEST).is_some();
        facts
    }

    /// The same for all ways to ask for the same; nothing where there is too little to go by.
    ///
    /// Capitals make no difference here: the same question is asked with and without them.
    pub(super) fn question(normal: &str) -> Option<Self> {
        let mut facts = Self::of(normal);
        let asks = |word: &str| matches!(word, "who" | "when" | "where" | "why" | "how");
        let short = |word: &str| {
            (1..4).contains(&word.chars().count())
                && !SHORT_EMPTY.contains(&word)
                && !NEGATIONS.contains(&word)
        };
        let words = text::words(normal).map(|word| word.strip_suffix("'s").unwrap_or(word));
        facts.content.extend(words.filter(|word| asks(word) || short(word)).map(str::to_owned));
        (facts.content.len() + facts.numbers.len() > 1).then_some(facts)
    }

    /// What the two disagree in, where they say the same otherwise.
    pub(super) fn against(&self, other: &Self) -> Option<Disagreement> {
        let (short, long) =
            if self.content.len() <= other.content.len() { (self, other) } else { (other, self) };
        let common = short.content.iter().filter(|word| long.content.contains(*word)).count();
        if short.content.len() < 2
            || self.long
            || other.long
            || real(common) < SAME * real(short.content.len())
            || real(common) < SAME / 2.0 * real(long.content.len())
        {
            return None;
        }
        let each = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            a.iter().any(|x| !b.contains(x)) && b.iter().any(|x| !a.contains(x))
        };
        if each(&self.numbers, &other.numbers) {
            return Some(Disagreement::Number);
        }
        if self.negated != other.negated {
            return Some(Disagreement::Negation);
        }
        each(&self.names, &other.names).then_some(Disagreement::Name)
    }
}

/// Of rows that ask the same, those whose answers another one disagrees with: the answers that agree with each other
/// share a number, and the first kind of disagreement stands beside it.
pub(super) fn disagreeing(answers: &[(usize, Facts)]) -> BTreeMap<usize, (usize, Disagreement)> {
    let mut classes: Vec<&Facts> = Vec::new();
    let mut class_of: HashMap<&Facts, usize> = HashMap::new();
    for (_, facts) in answers {
        if classes.len() < MOST {
            class_of.entry(facts).or_insert_with(|| {
                classes.push(facts);
                classes.len() - 1
            });
        }
    }
    let mut kinds: Vec<Option<Disagreement>> = vec![None; classes.len()];
    for a in 0..classes.len() {
        for b in a + 1..classes.len() {
            if let Some(kind) = classes[a].against(classes[b]) {
                kinds[a].get_or_insert(kind);
                kinds[b].get_or_insert(kind);
            }
        }
    }
    let stated = |facts: &Facts| (facts.numbers.clone(), facts.names.clone(), facts.negated);
    let mut numbers = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (at, facts) in answers {
        let Some(class) = class_of.get(facts).copied() else { continue };
        let Some(kind) = kinds[class] else { continue };
        let next = numbers.len();
        let number = *numbers.entry(stated(facts)).or_insert(next);
        found.insert(*at, (number, kind));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(a: &str, b: &str) -> Option<Disagreement> {
        Facts::of(a).against(&Facts::of(b))
    }

    #[test]
    fn numbers_names_and_negations_disagree() {
        let base = "A restart of the storage service takes 12 minutes, and Ben Holm watches it.";
        for (other, expected) in [
            (
                "A restart of the storage service takes 15 minutes, and Ben Holm watches it.",
                Some(Disagreement::Number),
            ),
            ("Restarting the storage service takes twelve minutes and Ben Holm watches it.", None),
            (
                "A restart of the storage service doesn't take 12 minutes; Ben Holm watches it.",
                Some(Disagreement::Negation),
            ),
            (
                "A restart of the storage service takes 12 minutes, and Ada Lind watches it.",
                Some(Disagreement::Name),
            ),
            ("A restart of the storage service takes some minutes, and somebody watches it.", None),
            ("Ask the operators of the night shift; they have 15 handbooks.", None),
        ] {
            assert_eq!(against(base, other), expected, "{other}");
        }
    }

    #[test]
    fn questions_are_the_same_by_their_content() {
        let key = |question: &str| Facts::question(&text::normalize(question));
        let one = key("How long does a restart of the storage take?");
        assert!(one.is_some());
        assert_eq!(one, key("Please tell me how long the restart of the storage would take"));
        for other in [
            "How long does a restart of the network take?",
            "How long does a restart of the storage not take?",
            "How long does a restart of storage 2 take?",
            "Who does a restart of the storage take?",
        ] {
            assert_ne!(one, key(other), "{other}");
        }
        assert_ne!(
            key("What are the symptoms of diabetes type II?"),
            key("What are the symptoms of diabetes type I?")
        );
        assert_eq!(key("What is the use of vitamin C?"), key("what is the use of a vitamin c"));
        assert_eq!(key("Why?"), None);
    }
}
