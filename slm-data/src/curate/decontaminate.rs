//! Overlap of training questions with the evaluation set.
//!
//! After Brown et al. 2020 (GPT-3), appendix C: shared sequences of words, without punctuation and case, where
//! sequences that many training questions have are phrases of a template.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::config::DecontaminationConfig;
use super::reason::{DropReason, Verdict};
use crate::duplicates::{Rules, Similarity, question, search};
use crate::{Example, Role, text};

/// A verdict per row: rows whose question equals one of the evaluation set or shares a sequence of words
/// that is not common among the training questions.
pub(super) fn decontaminate(
    rows: &[&Example],
    evaluation: &[Example],
    config: &DecontaminationConfig,
) -> Vec<Option<Verdict>> {
    let held: Vec<String> = evaluation.iter().flat_map(questions).collect();
    let whole: HashSet<&str> = held.iter().map(String::as_str).collect();
    let sequences: HashSet<u64> = held.iter().flat_map(|text| hashes(text, config.words)).collect();
    // Of each different training question, the sequences that are in the evaluation set too.
    let texts: Vec<Vec<String>> = rows.par_iter().map(|row| questions(row).collect()).collect();
    let shared: Vec<HashSet<u64>> = texts
        .par_iter()
        .map(|texts| {
            let all = texts.iter().flat_map(|text| hashes(text, config.words));
            all.filter(|hash| sequences.contains(hash)).collect()
        })
        .collect();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let mut counted = HashSet::new();
    for (texts, shared) in texts.iter().zip(&shared) {
        if !shared.is_empty() && counted.insert(texts) {
            for hash in shared {
                *counts.entry(*hash).or_default() += 1;
            }
        }
    }
    let is_rare = |hash: &u64| counts.get(hash).is_some_and(|&count| count <= config.common);
    let judge = |(texts, shared): (&Vec<String>, &HashSet<u64>)| {
        if texts.iter().any(|text| whole.contains(text.as_str())) {
            return Some(Verdict::new(DropReason::Contaminated, "the question is in the evaluation set"));
        }
        let rare = |text: &String| first_rare(text, config.words, |h| shared.contains(h) && is_rare(h));
        let sequence = texts.iter().find_map(rare)?;
        let detail = format!("shares \"{}\" with the evaluation set", text::shorten(&sequence, 100));
        Some(Verdict::new(DropReason::Contaminated, detail))
    };
    let mut verdicts: Vec<Option<Verdict>> = texts.iter().zip(&shared).map(judge).collect();
    if let Some(threshold) = config.similarity {
        for (at, similarity) in similar(rows, evaluation, threshold) {
            let detail = format!("similarity {similarity:.2} to a question of the evaluation set");
            verdicts[at].get_or_insert_with(|| Verdict::new(DropReason::Contaminated, detail));
        }
    }
    verdicts
}

/// Rows whose question is similar to one of the evaluation set.
fn similar(rows: &[&Example], evaluation: &[Example], threshold: f64) -> Vec<(usize, f64)> {
    let held = evaluation.len();
    let normal = |at: usize| if at < held { question(&evaluation[at]) } else { question(rows[at - held]) };
    let similarity = Similarity { threshold: threshold.max(f64::MIN_POSITIVE), ..Similarity::default() };
    let rules = Rules { may_equal: &|at, of| of < held && at >= held, duplicates_count: true };
    let found = search(held + rows.len(), &normal, &similarity, &rules);
    found
        .into_iter()
        .enumerate()
        .filter_map(|(at, found)| Some((at - held.min(at), found?.similarity)))
        .collect()
}

/// The user turns in the form in which they are compared.
fn questions(example: &Example) -> impl Iterator<Item = String> {
    let users = example.messages.iter().filter(|message| message.role == Role::User);
    users.map(|message| {
        let normal = text::normalize(&message.content);
        text::words(&normal).collect::<Vec<_>>().join(" ")
    })
}

/// Hashes of all sequences of `n` words.
fn hashes(text: &str, n: usize) -> Vec<u64> {
    spans(text, n).map(|span| text::hash(span.as_bytes(), 0)).collect()
}

fn first_rare(text: &str, n: usize, rare: impl Fn(&u64) -> bool) -> Option<String> {
    spans(text, n).find(|span| rare(&text::hash(span.as_bytes(), 0))).map(str::to_owned)
}

/// The sequences of `n` words of a text with single spaces.
fn spans(text: &str, n: usize) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = if text.is_empty() {
        Vec::new()
    } else {
        std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at + 1)).collect()
    };
    let count = (starts.len() + 1).saturating_sub(n);
    (0..count).map(move |first| {
        // A word ends one byte before the next begins.
        let end = starts.get(first + n).map_or(text.len(), |next| next - 1);
        &text[starts[first]..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(train: &[&str], evaluation: &[&str]) -> Vec<bool> {
        let train: Vec<Example> = train.iter().map(|q| Example::pair(*q, "a", "")).collect();
        let evaluation: Vec<Example> = evaluation.iter().map(|q| Example::pair(*q, "b", "")).collect();
        let rows: Vec<&Example> = train.iter().collect();
        let verdicts = decontaminate(&rows, &evaluation, &DecontaminationConfig::default());
        verdicts.iter().map(Option::is_some).collect()
    }

    #[test]
    fn sequences_of_words() {
        assert_eq!(spans("a bb c d", 2).collect::<Vec<_>>(), ["a bb", "bb c", "c d"]);
        assert_eq!(spans("a bb", 2).collect::<Vec<_>>(), ["a bb"]);
        assert_eq!((spans("a", 2).count(), spans("", 1).count()), (0, 0));
    }

    #[test]
    fn equal_and_overlapping_questions_are_found() {
        let held = "Why does the storage service refuse to start after the last update?";
        let found = verdicts(
            &[
                "why does the storage service refuse to start after the last update",
                "Tell me: why does the storage service refuse to start now?",
                "Why does the storage service start?",
                "Is it up?",
            ],
            &[held, "is it up"],
        );
        assert_eq!(found, [true, true, false, true]);
    }

    #[test]
    fn similar_questions_are_found_where_that_is_asked_for() {
        let held = [Example::pair("Why does the storage service refuse to start after an update?", "b", "")];
        let rows = [
            "Why did the storage service refuse to start after updates?",
            "Why does the printer smell of an update?",
        ]
        .map(|question| Example::pair(question, "a", ""));
        let rows: Vec<&Example> = rows.iter().collect();
        let found = |similarity| {
            let config = DecontaminationConfig { similarity, ..DecontaminationConfig::default() };
            decontaminate(&rows, &held, &config).iter().map(Option::is_some).collect::<Vec<_>>()
        };
        assert_eq!((found(None), found(Some(0.5))), (vec![false, false], vec![true, false]));
    }

    #[test]
    fn phrases_of_a_template_do_not_count_but_repeated_leaks_do() {
        let ask = |n: usize| format!("Name the one service that wrote the following log line: line-{n}");
        let train: Vec<String> = (0..40).map(ask).collect();
        let train: Vec<&str> = train.iter().map(String::as_str).collect();
        assert_eq!(verdicts(&train, &[&ask(99)]), vec![false; 40]);
        let leak = "The one sentence of the test set that somebody copied, word by word.";
        let repeated: Vec<&str> = std::iter::repeat_n(leak, 30).collect();
        assert_eq!(verdicts(&repeated, &[&format!("{leak} Why?")]), vec![true; 30]);
    }
}
