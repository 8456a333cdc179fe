//! ROUGE (Lin 2004) as the package `rouge_score` counts it: letters and digits in lower case, Porter stems of words of
//! more than three letters, F1; of several references the one that fits best.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};

/// F1 of words, of pairs of words, and of the longest common subsequence.
pub(crate) fn rouge(summary: &str, references: &[String]) -> [f64; 3] {
    let own = words(summary);
    let mut best = [0.0_f64; 3];
    for reference in references {
        let reference = words(reference);
        let got = [
            f1(shared(&own, &reference, 1), own.len(), reference.len()),
            f1(shared(&own, &reference, 2), own.len().saturating_sub(1), reference.len().saturating_sub(1)),
            f1(longest_common(&own, &reference), own.len(), reference.len()),
        ];
        best.iter_mut().zip(got).for_each(|(best, got)| *best = best.max(got));
    }
    best
}

fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    text.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| if word.len() > 3 { stemmer.stem(word).into_owned() } else { word.to_owned() })
        .collect()
}

fn f1(shared: usize, own: usize, reference: usize) -> f64 {
    if shared == 0 { 0.0 } else { 2.0 * shared as f64 / (own + reference) as f64 }
}

/// Runs of `n` words that both have, each as often as the one that has it less often.
fn shared(own: &[String], reference: &[String], n: usize) -> usize {
    let mut left: HashMap<&[String], usize> = HashMap::new();
    reference.windows(n).for_each(|run| *left.entry(run).or_insert(0) += 1);
    own.windows(n)
        .filter(|run| match left.get_mut(run) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        })
        .count()
}

fn longest_common(own: &[String], reference: &[String]) -> usize {
    let mut before = vec![0; reference.len() + 1];
    for word in own {
        let mut row = vec![0; reference.len() + 1];
        for (n, other) in reference.iter().enumerate() {
            row[n + 1] = if word == other { before[n] + 1 } else { before[n + 1].max(row[n]) };
        }
        before = row;
    }
    before.last().copied().unwrap_or(0)
}
