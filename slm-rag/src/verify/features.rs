//! What can be measured between a claim and the evidence for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{Quantity, Stemming, for_each_word, is_question_word, quantities, sentences, stemmed};

/// How many measures there are without an embedder; with one there is one more.
pub(super) const MEASURES: usize = 18;

/// Words that turn a statement round; sorted.
const NEGATIONS: [&str; 15] = [
    "cannot", "couldn", "didn", "doesn", "don", "hasn", "isn", "neither", "never", "no", "none", "nor",
    "not", "wasn", "without",
];

/// Words that set one thing against another; sorted.
const CONTRASTS: [&str; 9] =
    ["although", "but", "despite", "however", "instead", "rather", "though", "unlike", "while"];
/// Letters with which two forms of one word begin alike, at least.
const ROOT: usize = 4;

/// Evidence, read once for many claims.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// Neighbouring sentences, two by two, which are read together.
    windows: Vec<Reading>,
    all: BTreeSet<String>,
    quantities: Vec<Quantity>,
    letters: BTreeSet<[char; 4]>,
    /// Its sentences, in lower case.
    sentences: Vec<String>,
    has_contrast: bool,
    /// In how many windows a word is.
    spread: BTreeMap<String, usize>,
}

/// A stretch of text as the measures see it.
#[derive(Debug, Clone)]
struct Reading {
    text: String,
    words: Vec<String>,
    is_negated: bool,
    has_contrast: bool,
}

fn read(text: &str) -> Reading {
    let mut words = Vec::new();
    let mut negations = 0;
    let mut has_contrast = false;
    for_each_word(text, |word| {
        has_contrast |= CONTRASTS.binary_search(&word).is_ok();
        negations += usize::from(NEGATIONS.binary_search(&word).is_ok());
        if !is_question_word(word) {
            words.push(stemmed(word, Stemming::English));
        }
    });
    Reading { text: text.to_owned(), words, is_negated: negations % 2 == 1, has_contrast }
}

impl Reading {
    fn joined(&self, next: Option<&Self>) -> Self {
        let mut joined = self.clone();
        if let Some(next) = next {
            joined.text = format!("{} {}", self.text, next.text);
            joined.words.extend(next.words.iter().cloned());
            joined.is_negated ^= next.is_negated;
        }
        joined
    }
}

impl Evidence {
    pub(super) fn new(texts: &[&str]) -> Self {
        let mut windows = Vec::new();
        let mut all = BTreeSet::new();
        let mut known = Vec::new();
        let mut letters = BTreeSet::new();
        let (mut lower, mut has_contrast) = (Vec::new(), false);
        for text in texts {
            let readings: Vec<Reading> = sentences(text, 0..text.len())
                .into_iter()
                .map(|range| read(text.get(range).unwrap_or("")))
                .collect();
            all.extend(readings.iter().flat_map(|reading| reading.words.iter().cloned()));
            known.extend(quantities(text));
            lower.extend(readings.iter().map(|reading| reading.text.to_lowercase()));
            has_contrast |= readings.iter().any(|reading| reading.has_contrast);
            letters.extend(runs(text));
            let next = readings.iter().skip(1).map(Some).chain([None]);
            windows.extend(readings.iter().zip(next).map(|(own, next)| own.joined(next)));
        }
        let mut spread = BTreeMap::new();
        for window in &windows {
            for word in window.words.iter().collect::<BTreeSet<_>>() {
                *spread.entry(word.clone()).or_insert(0) += 1;
            }
        }
        Self { windows, all, quantities: known, letters, sentences: lower, has_contrast, spread }
    }

    /// Text of a window, for an embedder.
    pub(super) fn window(&self, n: usize) -> &str {
        self.windows.get(n).map_or("", |window| window.text.as_str())
    }

    /// Quantities of a claim that the evidence does not say.
    pub(super) fn missing(&self, claim: &str) -> usize {
        let is_said = |asked: &Quantity| self.quantities.iter().any(|known| asked.is_said_by(known));
        quantities(claim).iter().filter(|asked| !is_said(asked)).count()
    }

    /// The measures of a claim, each from 0 to 1, and the windows, those that fit best first.
    pub(super) fn measure(&self, claim: &str) -> ([f64; MEASURES], Vec<usize>) {
        let own = read(claim);
        let words: BTreeSet<&String> = own.words.iter().collect();
        // A word that few windows have says more.
        let weight = |word: &str| {
            let n = self.spread.get(word).copied().unwrap_or(0) as f64;
            (1.0 + (self.windows.len() as f64 + 1.0) / (n + 1.0)).ln()
        };
        let total: f64 = words.iter().map(|word| weight(word)).sum::<f64>().max(1e-9);
        let share = |known: &BTreeSet<&String>| {
            words.intersection(known).map(|word| weight(word)).sum::<f64>() / total
        };
        let mut fits: Vec<(f64, usize)> = self
            .windows
            .iter()
            .enumerate()
            .map(|(n, window)| (share(&window.words.iter().collect()), n))
            .collect();
        fits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = fits.first().map_or(0.0, |(fit, _)| *fit);
        let window = fits.first().and_then(|(_, n)| self.windows.get(*n));
        let count = words.len().max(1) as f64;
        let lacking = |known: &BTreeSet<String>| words.iter().filter(|word| !known.contains(**word)).count();
        let near: BTreeSet<String> = window.map(|w| w.words.iter().cloned().collect()).unwrap_or_default();
        let asked = quantities(claim).len() as f64;
        let missing = self.missing(claim) as f64;
        let names = names(claim);
        let lost = |known: &BTreeSet<String>| {
            names.iter().filter(|name| !known.contains(*name)).count() as f64 / names.len().max(1) as f64
        };
        let turned = window.is_some_and(|window| window.is_negated != own.is_negated);
        let few = |n: usize| (n as f64 / 8.0).min(1.0);
        let measures = [
            share(&self.all.iter().collect()),
            best,
            best.powi(4),
            window.map_or(0.0, |window| pairs_shared(&own.words, &window.words)),
            missing / asked.max(1.0),
            lost(&self.all),
            f64::from(u8::from(turned)),
            (count / 30.0).min(1.0),
            few(lacking(&self.all)),
            few(lacking(&near)),
            lost(&near),
            f64::from(u8::from(asked > 0.0 && missing == 0.0)),
            window.map_or(0.0, |window| longest_run(&own.words, &window.words) as f64 / count),
            window.map_or(0.0, |window| letters_shared(claim, &runs(&window.text))),
            letters_shared(claim, &self.letters),
            words.iter().map(|word| self.kinship(word)).sum::<f64>() / count,
            f64::from(u8::from(self.has_contrast)),
            self.names_together(claim),
        ];
        (measures, fits.into_iter().map(|(_, n)| n).collect())
    }

    /// How much of a word some word of the evidence begins with: 1 for the word itself, less for another form of it
    /// (`produced` for `production`).
    fn kinship(&self, word: &str) -> f64 {
        if self.all.contains(word) {
            return 1.0;
        }
        let Some(root) = word.get(..ROOT) else { return 0.0 };
        let alike = self.all.range(root.to_owned()..).take_while(|other| other.starts_with(root));
        let share = |other: &String| {
            let same = word.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            same as f64 / word.len().max(other.len()) as f64
        };
        alike.map(share).fold(0.0, f64::max)
    }

    /// The largest share of the claim's names that stand in one sentence of the evidence; 1 where it has none.
    fn names_together(&self, claim: &str) -> f64 {
        let phrases = phrases(claim);
        if phrases.is_empty() {
            return 1.0;
        }
        let share = |sentence: &String| {
            let held = phrases.iter().filter(|phrase| sentence.contains(phrase.as_str())).count();
            held as f64 / phrases.len() as f64
        };
        self.sentences.iter().map(share).fold(0.0, f64::max)
    }
}

/// Runs of words with a capital letter, in lower case: `the Royal Navy of Denmark` has two.
fn phrases(text: &str) -> Vec<String> {
    let mut phrases: Vec<String> = Vec::new();
    let mut goes_on = false;
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let is_name = word.chars().count() > 1 && word.starts_with(char::is_uppercase);
        match phrases.last_mut() {
            Some(phrase) if is_name && goes_on => {
                phrase.push(' ');
                phrase.push_str(&word.to_lowercase());
            }
            _ if is_name => phrases.push(word.to_lowercase()),
            _ => {}
        }
        goes_on = is_name && token.ends_with(char::is_alphanumeric);
    }
    phrases
}

/// Words with a capital letter within a sentence, as stems.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut begins = true;
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        if !begins && word.len() > 1 && word.starts_with(char::is_uppercase) {
            for_each_word(word, |word| names.push(stemmed(word, Stemming::English)));
        }
        begins = token.ends_with(['.', '!', '?', ':']);
    }
    names
}

/// Share of neighbouring words that are neighbours there, too.
fn pairs_shared(own: &[String], other: &[String]) -> f64 {
    let pairs = |words: &[String]| -> BTreeSet<(String, String)> {
        words.iter().zip(words.iter().skip(1)).map(|(a, b)| (a.clone(), b.clone())).collect()
    };
    let own = pairs(own);
    own.intersection(&pairs(other)).count() as f64 / own.len().max(1) as f64
}

/// Length of the longest stretch of words that both have.
fn longest_run(own: &[String], other: &[String]) -> usize {
    let mut longest = 0;
    let mut before = vec![0; other.len() + 1];
    for word in own {
        let mut row = vec![0; other.len() + 1];
        for ((cell, last), word_there) in row.iter_mut().skip(1).zip(&before).zip(other) {
            if word == word_there {
                *cell = last + 1;
                longest = longest.max(*cell);
            }
        }
        before = row;
    }
    longest
}

/// Share of the runs of four letters that are there, too: forgiving of other forms of a word.
fn letters_shared(own: &str, other: &BTreeSet<[char; 4]>) -> f64 {
    let own = runs(own);
    own.intersection(other).count() as f64 / own.len().max(1) as f64
}

fn runs(text: &str) -> BTreeSet<[char; 4]> {
    let letters: Vec<char> = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    letters.windows(4).filter_map(|run| <[char; 4]>::try_from(run).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_kin_and_names_stand_together() {
        assert!(CONTRASTS.is_sorted() && NEGATIONS.is_sorted());
        let evidence = Evidence::new(&["The Royal Navy produced ships. Denmark has a queen."]);
        assert_eq!(evidence.kinship("ship"), 1.0);
        assert!((0.5..1.0).contains(&evidence.kinship("producer")), "{}", evidence.kinship("producer"));
        assert_eq!((evidence.kinship("cat"), evidence.kinship("harbour")), (0.0, 0.0));
        assert_eq!(
            phrases("Ships of the \"Royal Navy\" of Denmark, Sweden"),
            ["ships", "royal navy", "denmark", "sweden"]
        );
        assert_eq!(evidence.names_together("Royal Navy ships"), 1.0);
        assert_eq!(evidence.names_together("Royal Navy of Denmark"), 0.5, "in two sentences");
        assert_eq!(evidence.names_together("no name"), 1.0);
    }
}
