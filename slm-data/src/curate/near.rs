//! Near duplicates among rows.

use std::collections::BTreeSet;

use super::config::{Compared, NearDuplicateConfig, NearRule};
use super::reason::{DropReason, Verdict};
use crate::duplicates::{NearDuplicate, Rules, question, search};
use crate::{Example, Result, text};

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
    Ok(find(&examples.iter().collect::<Vec<_>>(), config))
}

/// A verdict per row.
pub(super) fn near(rows: &[&Example], config: &NearDuplicateConfig) -> Vec<Option<Verdict>> {
    let found = find(rows, config);
    found.into_iter().map(|found| found.map(|found| verdict(found.similarity, rows[found.of]))).collect()
}

pub(super) fn verdict(similarity: f64, earlier: &Example) -> Verdict {
    Verdict::new(DropReason::NearDuplicate, near_detail(similarity, &earlier.source)).of(earlier)
}

pub(crate) fn near_detail(similarity: f64, source: &str) -> String {
    format!("similarity {similarity:.2} to an earlier row of {source}")
}

fn find(rows: &[&Example], config: &NearDuplicateConfig) -> Vec<Option<NearDuplicate>> {
    let may_equal = |at: usize, of: usize| may_equal(rows[at], rows[of], config.rule);
    let rules = Rules { may_equal: &may_equal, duplicates_count: false };
    search(rows.len(), &|at| normal(rows[at], config.compared), &config.similarity(), &rules)
}

/// What is compared of a row, in normal form.
pub(crate) fn normal(row: &Example, compared: Compared) -> String {
    match compared {
        Compared::Question => question(row),
        Compared::Answer => text::normalize(row.answer()),
        Compared::Both => format!("{}\n{}", question(row), text::normalize(row.answer())),
    }
}

pub(crate) fn may_equal(a: &Example, b: &Example, rule: NearRule) -> bool {
    rule == NearRule::SimilarQuestion || same_meaning(a, b)
}

/// Whether the answers do not repeat what differs between the questions.
fn same_meaning(a: &Example, b: &Example) -> bool {
    let (answer_a, answer_b) = (text::normalize(a.answer()), text::normalize(b.answer()));
    if answer_a == answer_b {
        return true;
    }
    let (question_a, question_b) = (question(a), question(b));
    let only = |one: &str, other: &str| {
        let other: BTreeSet<String> = text::tokens(other).map(str::to_owned).collect();
        text::tokens(one).filter(|token| !other.contains(*token)).map(str::to_owned).collect::<Vec<_>>()
    };
    let repeats =
        |question: Vec<String>, answer: Vec<String>| question.iter().any(|word| answer.contains(word));
    !repeats(only(&question_a, &question_b), only(&answer_a, &answer_b))
        && !repeats(only(&question_b, &question_a), only(&answer_b, &answer_a))
}

#[cfg(test)]
#[path = "near_tests.rs"]
mod tests;
