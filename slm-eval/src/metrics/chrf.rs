//! chrF (Popović 2015) and chrF++ (2017) as `sacrebleu` counts them: characters without white space, β of 2.

use std::collections::HashMap;
use std::hash::Hash;

/// Longest run of characters.
const CHARACTERS: usize = 6;
/// Square of β: recall counts four times as much as precision.
const RECALL: f64 = 4.0;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Chrf {
    /// Runs of up to six characters: chrF.
    #[default]
    Characters,
    /// And runs of up to two words: chrF++.
    WithWords,
}

/// Of each order: runs of the text, of the reference, and of both.
type Counts = Vec<[usize; 3]>;

impl Chrf {
    /// The score of one text, 0 to 1, against the reference that it fits best. Without references, 0.
    pub fn sentence(self, prediction: &str, references: &[&str]) -> f64 {
        score(&self.best(prediction, references))
    }

    /// The score of a whole corpus, 0 to 1: texts with the references of each. It is not the mean over sentences.
    pub fn corpus(self, corpus: &[(&str, &[&str])]) -> f64 {
        let mut sum: Counts = Vec::new();
        for (prediction, references) in corpus {
            let one = self.best(prediction, references);
            sum.resize(sum.len().max(one.len()), [0; 3]);
            for (total, one) in sum.iter_mut().zip(one) {
                total.iter_mut().zip(one).for_each(|(total, one)| *total += one);
            }
        }
        score(&sum)
    }

    fn best(self, prediction: &str, references: &[&str]) -> Counts {
        let all = references.iter().map(|reference| self.counts(prediction, reference));
        let better = |best: Counts, new: Counts| if score(&new) > score(&best) { new } else { best };
        all.reduce(better).unwrap_or_default()
    }

    fn counts(self, prediction: &str, reference: &str) -> Counts {
        let characters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>();
        let (a, b) = (characters(prediction), characters(reference));
        let mut counts: Counts = (1..=CHARACTERS).map(|n| common(&a, &b, n)).collect();
        if self == Self::WithWords {
            let (a, b) = (words(prediction), words(reference));
            counts.extend((1..=2).map(|n| common(&a, &b, n)));
        }
        counts
    }
}

fn common<T: Eq + Hash>(text: &[T], reference: &[T], n: usize) -> [usize; 3] {
    let mut known: HashMap<&[T], usize> = HashMap::new();
    reference.windows(n).for_each(|run| *known.entry(run).or_default() += 1);
    let of_reference = known.values().sum();
    let mut both = 0;
    for run in text.windows(n) {
        if let Some(left) = known.get_mut(run).filter(|left| **left > 0) {
            *left -= 1;
            both += 1;
        }
    }
    // An order that the reference is too short for does not count.
    let of_text = if of_reference == 0 { 0 } else { text.windows(n).count() };
    [of_text, of_reference, both]
}

/// Words with a punctuation mark at one end parted from it.
fn words(text: &str) -> Vec<&str> {
    let mark = |c: Option<char>| c.is_some_and(|c| c.is_ascii_punctuation());
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let (first, last) = (word.chars().next(), word.chars().next_back());
        if word.chars().nth(1).is_some() && mark(last) {
            all.extend([&word[..word.len() - 1], &word[word.len() - 1..]]);
        } else if word.chars().nth(1).is_some() && mark(first) {
            all.extend([&word[..1], &word[1..]]);
        } else {
            all.push(word);
        }
    }
    all
}

/// F over the means of precision and recall of the orders that both have.
fn score(counts: &[[usize; 3]]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for [text, reference, both] in counts.iter().filter(|[text, reference, _]| *text > 0 && *reference > 0) {
        precision += *both as f64 / *text as f64;
        recall += *both as f64 / *reference as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    (1.0 + RECALL) * precision * recall / (RECALL * precision + recall)
}
