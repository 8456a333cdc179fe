//! The sentences of an answer, each checked against the passages it cites.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::config::{GroundedConfig, Unmarked};
use super::marks::BareText;
use super::prompt::Passage;
use super::support::Vocabulary;
use crate::Result;
use crate::chunk::statements;
use crate::text::Stemming;
use crate::verify::{SupportPolicy, clauses};

/// A sentence of an answer; with a [policy](super::GroundedModel::with_policy) a clause of one, where it can stand on its
/// own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckedSentence {
    /// What it says, without marks.
    pub text: String,
    /// The passages it is checked against, by their number in the prompt from 0.
    pub passages: Vec<usize>,
    /// Share of its content words in these passages, or with a policy the probability that they support it; 0 if they
    /// lack one of its quantities.
    pub support: f64,
    /// Whether that is enough.
    pub supported: bool,
    /// White space and list markers before it.
    #[serde(default)]
    pub(super) before: String,
    /// Whether it is a further clause of the sentence before it.
    #[serde(default)]
    pub(super) continues: bool,
}

/// What decides whether passages support a sentence.
pub(super) struct Judge<'a> {
    pub(super) stemming: Stemming,
    pub(super) passages: &'a [Passage],
    pub(super) config: &'a GroundedConfig,
    pub(super) policy: Option<&'a SupportPolicy>,
}

impl Judge<'_> {
    /// Checks each sentence. The whole text is checked: what is between sentences is white space, marks and the
    /// numbers of lists.
    pub(super) fn check(&self, answer: &BareText) -> Result<Vec<CheckedSentence>> {
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
            let marked: Vec<usize> = marked.into_iter().collect();
            let first = checked.len();
            for claim in self.claims(&answer.text, range) {
                let text = answer.text.get(claim.clone()).unwrap_or("").to_owned();
                let before = answer.text.get(end..claim.start).unwrap_or("").to_owned();
                end = claim.end;
                let (support, passages) = self.judge(&text, &marked)?;
                let supported = match self.policy {
                    Some(policy) => policy.passes(support),
                    None => support >= self.config.min_support,
                };
                let continues = checked.len() > first;
                checked.push(CheckedSentence { text, passages, support, supported, before, continues });
            }
        }
        Ok(checked)
    }

    /// A policy drops claims, so it needs them apart; code and tables stay whole.
    fn claims(&self, text: &str, range: Range<usize>) -> Vec<Range<usize>> {
        let is_prose = text.get(range.clone()).is_some_and(|text| !text.starts_with(['`', '~', '|', '#']));
        if self.policy.is_some() && is_prose { clauses(text, range) } else { vec![range] }
    }

    /// How well a claim is supported, and by which passages.
    fn judge(&self, claim: &str, marked: &[usize]) -> Result<(f64, Vec<usize>)> {
        if !marked.is_empty() || self.config.unmarked == Unmarked::Reject {
            return Ok((self.support(claim, marked)?, marked.to_vec()));
        }
        let mut best = (0.0, Vec::new());
        for passage in 0..self.passages.len() {
            let support = self.support(claim, &[passage])?;
            if support > best.0 {
                best = (support, vec![passage]);
            }
        }
        Ok(best)
    }

    fn support(&self, claim: &str, chosen: &[usize]) -> Result<f64> {
        let chosen = chosen.iter().filter_map(|&passage| self.passages.get(passage));
        let texts: Vec<&str> =
            chosen.flat_map(|passage| [passage.title.as_str(), passage.citation.text.as_str()]).collect();
        match self.policy {
            Some(_) if texts.is_empty() => Ok(0.0),
            Some(policy) => policy.score(claim, &texts),
            None => {
                let mut vocabulary = Vocabulary::default();
                texts.iter().for_each(|text| vocabulary.read(self.stemming, text));
                Ok(vocabulary.support(self.stemming, claim))
            }
        }
    }
}
