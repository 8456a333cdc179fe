//! The sentences of an answer, each checked against the passages it cites.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::config::{GroundedConfig, Unmarked};
use super::marks::BareText;
use super::prompt::Passage;
use super::support::Vocabulary;
use crate::chunk::statements;
use crate::index::Index;

/// A sentence of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckedSentence {
    /// What it says, without marks.
    pub text: String,
    /// The passages it is checked against, by their number in the prompt from 0.
    pub passages: Vec<usize>,
    /// Share of its content words in these passages; 0 if they lack one of its numbers.
    pub support: f64,
    /// Whether that is enough.
    pub supported: bool,
    /// White space and list markers before it.
    #[serde(default)]
    pub(super) before: String,
}

/// Checks each sentence. The whole text is checked: what is between sentences is white space, marks and the
/// numbers of lists.
pub(super) fn check(
    index: &Index,
    answer: &BareText,
    passages: &[Passage],
    config: &GroundedConfig,
) -> Vec<CheckedSentence> {
    let mut end = 0;
    let mut checked = Vec::new();
    let statements = statements(&answer.text);
    let count = statements.len();
    for (n, statement) in statements.into_iter().enumerate() {
        let range = statement.range;
        // A mark before the first sentence is the first sentence's, one after the last is the last one's.
        let reach = (if n == 0 { 0 } else { end })..(if n + 1 == count { usize::MAX } else { range.end });
        let marked: BTreeSet<usize> = answer
            .marks
            .iter()
            .filter(|(place, _)| reach.contains(place))
            .map(|&(_, passage)| passage)
            .collect();
        let text = answer.text.get(range.clone()).unwrap_or("").to_owned();
        let before = answer.text.get(end..range.start).unwrap_or("").to_owned();
        end = range.end;
        let support_of = |chosen: &[usize]| vocabulary(index, passages, chosen).support(index, &text);
        let (support, cited) = if marked.is_empty() && config.unmarked == Unmarked::Attribute {
            let each = (0..passages.len()).map(|passage| (support_of(&[passage]), vec![passage]));
            each.fold((0.0, Vec::new()), |best, next| if next.0 > best.0 { next } else { best })
        } else {
            let marked: Vec<usize> = marked.into_iter().collect();
            (support_of(&marked), marked)
        };
        let supported = support >= config.min_support;
        checked.push(CheckedSentence { text, passages: cited, support, supported, before });
    }
    checked
}

fn vocabulary(index: &Index, passages: &[Passage], chosen: &[usize]) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    for passage in chosen.iter().filter_map(|&passage| passages.get(passage)) {
        vocabulary.read(index, &passage.title);
        vocabulary.read(index, &passage.citation.text);
    }
    vocabulary
}
