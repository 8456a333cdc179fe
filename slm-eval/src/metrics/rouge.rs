//! ROUGE (Lin 2004) as Google's package `rouge-score` counts it.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::porter;

/// Which parts of a summary are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rouge {
    /// Runs of that many words; 1 and 2 are usual.
    N(usize),
    /// The longest common subsequence of the whole texts.
    L,
    /// The longest common subsequences of lines, united: a line of the text is a sentence (`rougeLsum`).
    Lsum,
}

/// Whether words are compared by their stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stemming {
    /// Words of four letters or more by their Porter stem, as papers report it.
    #[default]
    Porter,
    /// Words as they are.
    None,
}

/// How much of a text is in another, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Overlap {
    /// Share of the prediction.
    pub precision: f64,
    /// Share of the reference.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Overlap {
    /// From what both have in common, and how much each has; nothing in common is 0 throughout.
    pub(crate) fn of(common: usize, prediction: usize, reference: usize) -> Self {
        if common == 0 {
            return Self::default();
        }
        let (p, r) = (common as f64 / prediction as f64, common as f64 / reference as f64);
        Self { precision: p, recall: r, f1: 2.0 * p * r / (p + r) }
    }
}

impl Rouge {
    /// How well `prediction` overlaps with the reference that it fits best, by F1. Words are runs of ASCII letters
    /// and digits, in lower case. Without references, 0.
    ///
    /// ```
    /// use slm_eval::metrics::{Rouge, Stemming};
    ///
    /// let found = Rouge::N(1).score("the cat sat", &["a cat sits", "the dog"], Stemming::Porter);
    /// assert_eq!((found.precision, found.recall), (1.0 / 3.0, 1.0 / 2.0));
    /// ```
    pub fn score<S: AsRef<str>>(self, prediction: &str, references: &[S], stemming: Stemming) -> Overlap {
        let scores = references.iter().map(|reference| self.one(prediction, reference.as_ref(), stemming));
        scores.reduce(|best, score| if score.f1 > best.f1 { score } else { best }).unwrap_or_default()
    }

    fn one(self, prediction: &str, reference: &str, stemming: Stemming) -> Overlap {
        if self == Self::Lsum {
            return summary_level(&lines(prediction, stemming), &lines(reference, stemming));
        }
        let (p, r) = (words(prediction, stemming), words(reference, stemming));
        match self {
            Self::N(n) => runs(&p, &r, n.max(1)),
            Self::L | Self::Lsum => {
                let common = table(&p, &r).last().and_then(|row| row.last()).copied().unwrap_or(0);
                Overlap::of(common, p.len(), r.len())
            }
        }
    }
}

fn lines(text: &str, stemming: Stemming) -> Vec<Vec<String>> {
    text.split('\n').filter(|line| !line.is_empty()).map(|line| words(line, stemming)).collect()
}

fn words(text: &str, stemming: Stemming) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let form = |word: &str| match stemming {
        Stemming::Porter if word.len() > 3 => porter::stem(word).into_owned(),
        _ => word.to_owned(),
    };
    words.map(form).collect()
}

fn runs(prediction: &[String], reference: &[String], n: usize) -> Overlap {
    let (p, r) = (counts(prediction.windows(n)), counts(reference.windows(n)));
    let common: usize = p.iter().map(|(run, count)| (*count).min(r.get(run).copied().unwrap_or(0))).sum();
    Overlap::of(common, p.values().sum(), r.values().sum())
}

fn counts<T: Hash + Eq>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    items.for_each(|item| *counts.entry(item).or_insert(0) += 1);
    counts
}

/// Lengths of the longest common subsequences of all beginnings: a row per word of `a`, after one of zeros.
fn table(a: &[String], b: &[String]) -> Vec<Vec<usize>> {
    let mut rows = vec![vec![0; b.len() + 1]];
    for word in a {
        let above = &rows[rows.len() - 1];
        let mut row = vec![0];
        for (at, other) in b.iter().enumerate() {
            row.push(if word == other { above[at] + 1 } else { above[at + 1].max(row[at]) });
        }
        rows.push(row);
    }
    rows
}

/// Marks the words of `reference` on a longest common subsequence with `prediction`.
fn mark_common(reference: &[String], prediction: &[String], marked: &mut [bool]) {
    let table = table(reference, prediction);
    let (mut i, mut j) = (reference.len(), prediction.len());
    while i > 0 && j > 0 {
        if reference[i - 1] == prediction[j - 1] {
            marked[i - 1] = true;
            (i, j) = (i - 1, j - 1);
        } else if table[i][j - 1] > table[i - 1][j] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

/// Of each line of the reference, the words that some line of the prediction shares in order; no word counts more
/// often than either side has it.
fn summary_level(prediction: &[Vec<String>], reference: &[Vec<String>]) -> Overlap {
    let mut left = counts(prediction.iter().flatten());
    let mut common = 0;
    for line in reference {
        let mut marked = vec![false; line.len()];
        prediction.iter().for_each(|other| mark_common(line, other, &mut marked));
        for (word, _) in line.iter().zip(&marked).filter(|(_, marked)| **marked) {
            if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
                *count -= 1;
                common += 1;
            }
        }
    }
    Overlap::of(common, prediction.iter().map(Vec::len).sum(), reference.iter().map(Vec::len).sum())
}
