//! Near duplicates: `MinHash` finds candidates, the exact similarity decides.
//!
//! Questions are compared by the Jaccard similarity of their sets of character 5-grams (Broder 1997), found
//! by locality-sensitive hashing of `MinHash` signatures (Leskovec, Rajaraman and Ullman, "Mining of Massive
//! Datasets", chapter 3). A row is a duplicate only of a row that stays, never of one that was dropped
//! itself: chains of small differences do not swallow a family of templates.

mod minhash;

use std::collections::HashMap;

use rayon::prelude::*;

use super::config::{NearDuplicateConfig, NearRule};
use super::reason::{DropReason, Verdict};
use crate::text::{self, real};
use crate::{Example, Result, Role};
use minhash::Banding;

/// Characters of a shingle.
const SHINGLE: usize = 5;
/// Rows that a 5-gram must be in, at the least, to be part of a template.
const MIN_TEMPLATE: usize = 50;
/// Earlier rows that a row is compared with, at most. Only where thousands of rows are similar and none is a
/// duplicate can this let one through; it bounds the time then.
const MAX_CANDIDATES: usize = 1000;

/// An earlier row that a row almost equals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearDuplicate {
    /// Index of the earlier row, which is no duplicate itself.
    pub of: usize,
    /// Jaccard similarity of the questions' 5-grams, without those of the template.
    pub similarity: f64,
}

/// For each example the earlier one that it almost equals, if any.
///
/// The step of [`curate`](crate::curate) on its own, for measuring a threshold.
///
/// # Errors
/// When a setting is out of range.
pub fn near_duplicates(
    examples: &[Example],
    config: &NearDuplicateConfig,
) -> Result<Vec<Option<NearDuplicate>>> {
    config.check()?;
    Ok(search(&examples.iter().collect::<Vec<_>>(), config))
}

/// A verdict per row.
pub(super) fn near(rows: &[&Example], config: &NearDuplicateConfig) -> Vec<Option<Verdict>> {
    let found = search(rows, config);
    found
        .into_iter()
        .map(|found| {
            let found = found?;
            let source = rows.get(found.of).map_or("", |row| row.source.as_str());
            let detail = format!("similarity {:.2} to an earlier row of {source}", found.similarity);
            Some(Verdict::new(DropReason::NearDuplicate, detail))
        })
        .collect()
}

fn search(rows: &[&Example], config: &NearDuplicateConfig) -> Vec<Option<NearDuplicate>> {
    let questions: Vec<String> = rows.par_iter().map(|row| question(row)).collect();
    let mut sets: Vec<Vec<u32>> = questions.par_iter().map(|question| shingles(question)).collect();
    remove_template(&mut sets, config.template_share);
    let banding = Banding::for_threshold(config.threshold);
    let keys: Vec<Vec<u64>> = sets.par_iter().map(|set| banding.keys(set)).collect();
    let mut tables: Vec<HashMap<u64, Vec<usize>>> = vec![HashMap::new(); banding.bands];
    let mut last_seen = vec![usize::MAX; rows.len()];
    let mut candidates = Vec::new();
    let mut found = Vec::with_capacity(rows.len());
    for at in 0..rows.len() {
        candidates.clear();
        for (table, key) in tables.iter().zip(&keys[at]) {
            for &other in table.get(key).into_iter().flatten() {
                if candidates.len() < MAX_CANDIDATES && last_seen[other] != at {
                    last_seen[other] = at;
                    candidates.push(other);
                }
            }
        }
        candidates.sort_unstable();
        let duplicate = candidates.iter().find_map(|&other| {
            let similarity = jaccard(&sets[at], &sets[other], config.threshold)?;
            let same = config.rule == NearRule::SimilarQuestion
                || same_meaning((&questions[at], rows[at]), (&questions[other], rows[other]));
            same.then_some(NearDuplicate { of: other, similarity })
        });
        if duplicate.is_none() {
            for (table, key) in tables.iter_mut().zip(&keys[at]) {
                table.entry(*key).or_default().push(at);
            }
        }
        found.push(duplicate);
    }
    found
}

/// All user turns, in normal form. Instructions of the system are the same for many rows and say nothing.
fn question(example: &Example) -> String {
    let users = example.messages.iter().filter(|message| message.role == Role::User);
    users.map(|message| text::normalize(&message.content)).collect::<Vec<_>>().join("\n")
}

/// The sorted set of hashes of a text's 5-grams; of a shorter text, of the text itself.
fn shingles(text: &str) -> Vec<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    let short = |bytes: &[u8]| text::hash(bytes, 1) as u32;
    let mut set: Vec<u32> = if text.is_ascii() {
        text.as_bytes().windows(SHINGLE).map(short).collect()
    } else {
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        ends.windows(SHINGLE + 1).map(|w| short(&text.as_bytes()[w[0]..w[SHINGLE]])).collect()
    };
    if set.is_empty() && !text.is_empty() {
        set.push(short(text.as_bytes()));
    }
    set.sort_unstable();
    set.dedup();
    set
}

/// Takes out what more than `share` of the sets have.
fn remove_template(sets: &mut [Vec<u32>], share: f64) {
    if sets.len() <= MIN_TEMPLATE || share >= 1.0 {
        return;
    }
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for shingle in sets.iter().flatten() {
        *counts.entry(*shingle).or_default() += 1;
    }
    let limit = (share * real(sets.len())).max(real(MIN_TEMPLATE));
    counts.retain(|_, count| real(*count) > limit);
    if !counts.is_empty() {
        sets.par_iter_mut().for_each(|set| set.retain(|shingle| !counts.contains_key(shingle)));
    }
}

/// The similarity of two sorted sets, if it is at least `threshold`.
fn jaccard(a: &[u32], b: &[u32], threshold: f64) -> Option<f64> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() || real(short.len()) < threshold * real(long.len()) {
        return None;
    }
    let mut rest = long;
    let mut common = 0;
    for item in short {
        let skip = rest.iter().position(|other| other >= item).unwrap_or(rest.len());
        rest = &rest[skip..];
        common += usize::from(rest.first() == Some(item));
    }
    let similarity = real(common) / real(a.len() + b.len() - common);
    (similarity >= threshold).then_some(similarity)
}

/// Whether the answers do not repeat what differs between the questions.
fn same_meaning(a: (&str, &Example), b: (&str, &Example)) -> bool {
    let (answer_a, answer_b) = (text::normalize(a.1.answer()), text::normalize(b.1.answer()));
    if answer_a == answer_b {
        return true;
    }
    let only = |one: &str, other: &str| {
        let other: std::collections::BTreeSet<String> = text::tokens(other).map(str::to_owned).collect();
        text::tokens(one).filter(|token| !other.contains(*token)).map(str::to_owned).collect::<Vec<_>>()
    };
    let repeats =
        |question: Vec<String>, answer: Vec<String>| question.iter().any(|word| answer.contains(word));
    !repeats(only(a.0, b.0), only(&answer_a, &answer_b))
        && !repeats(only(b.0, a.0), only(&answer_b, &answer_a))
}

#[cfg(test)]
#[path = "near_tests.rs"]
mod tests;
