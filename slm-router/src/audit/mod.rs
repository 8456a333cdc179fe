//! [`audit`]: from a log of queries, how many of them a small model can take, and what each policy would have cost.

mod log;

use std::collections::HashMap;

pub use log::{LogRecord, read_log};
use serde::{Deserialize, Serialize};
use slm_core::Usage;

use crate::complexity::{Complexity, TaskKind};
use crate::{Prices, Result};

/// What an [`audit`] takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Prices of the larger model.
    pub larger: Prices,
    /// Prices of the local model; free of charge by default.
    pub local: Prices,
    /// Longest query, in words, that is taken for a small model's.
    pub limits: AuditLimits,
}

/// Up to where a query is taken for a small model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditLimits {
    /// Words of a query that asks for a fact.
    pub words: usize,
    /// Things asked for at once.
    pub asks: usize,
    /// Relative clauses and relations between facts together.
    pub links: usize,
    /// Queries of one form that make it a form.
    pub repeats: usize,
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self { words: 60, asks: 1, links: 4, repeats: 3 }
    }
}

/// Why a query is, or is not, a small model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It has the form of others but for names and numbers.
    Repeated,
    /// It asks to do something to a text.
    Transform,
    /// It asks for one fact in plain words.
    PlainLookup,
    /// It asks for several things, or for facts in relation.
    Composed,
    /// It asks to explain, compare, plan or write.
    OpenEnded,
}

impl Fit {
    /// Whether a small model is a strong candidate.
    pub fn is_candidate(self) -> bool {
        matches!(self, Self::Repeated | Self::Transform | Self::PlainLookup)
    }
}

/// What a policy would have cost, and how right it would have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyCost {
    /// Its name.
    pub policy: String,
    /// Queries that the larger model answers.
    pub larger_calls: usize,
    /// Money.
    pub cost: f64,
    /// Share of right answers, where the log tells for every query how both models did.
    pub accuracy: Option<f64>,
}

/// What an [`audit`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Queries.
    pub queries: usize,
    /// Queries by how they fit, every kind once.
    pub fits: Vec<(Fit, usize)>,
    /// Why each query fits or not, in the order of the log.
    pub verdicts: Vec<Fit>,
    /// What each policy would have cost.
    pub policies: Vec<PolicyCost>,
}

impl AuditReport {
    /// Share of the queries that a small model is a strong candidate for, 0 to 1.
    pub fn candidate_share(&self) -> f64 {
        let candidates = self.verdicts.iter().filter(|fit| fit.is_candidate()).count();
        candidates as f64 / self.queries.max(1) as f64
    }
}

/// A policy: its name, and whether the larger model answers the query of this place in the log.
pub type Policy<'a> = (&'a str, &'a dyn Fn(usize, &LogRecord) -> bool);

/// Sorts the queries of a log by whether a small model can take them, and reckons what policies would have cost: all to
/// the larger model, all to the local one, candidates to the local one, and those of `policies`.
///
/// The fit is judged by the words alone, and is a guess to start from: measure the local model on the candidates before
/// trusting it with them. Where the log has no token counts, four bytes count as a token, and 200 tokens as an answer.
///
/// # Errors
/// When a price is not a number of 0 or more.
pub fn audit(log: &[LogRecord], config: &AuditConfig, policies: &[Policy<'_>]) -> Result<AuditReport> {
    config.larger.check()?;
    config.local.check()?;
    let verdicts = verdicts(log, &config.limits);
    let kinds = [Fit::Repeated, Fit::Transform, Fit::PlainLookup, Fit::Composed, Fit::OpenEnded];
    let count = |kind: Fit| verdicts.iter().filter(|fit| **fit == kind).count();
    let is_hard = |n: usize, _: &LogRecord| !verdicts.get(n).copied().is_some_and(Fit::is_candidate);
    let built_in: [Policy<'_>; 3] =
        [("all larger", &|_, _| true), ("all local", &|_, _| false), ("candidates local", &is_hard)];
    let policies = built_in.iter().chain(policies).map(|policy| reckon(log, config, policy)).collect();
    let fits = kinds.into_iter().map(|kind| (kind, count(kind))).collect();
    Ok(AuditReport { queries: log.len(), fits, policies, verdicts })
}

fn verdicts(log: &[LogRecord], limits: &AuditLimits) -> Vec<Fit> {
    let forms: Vec<String> = log.iter().map(|record| form(&record.query)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for form in &forms {
        *counts.entry(form).or_insert(0) += 1;
    }
    let verdict = |(record, form): (&LogRecord, &String)| {
        let is_repeated = counts.get(form.as_str()).is_some_and(|count| *count >= limits.repeats);
        if is_repeated { Fit::Repeated } else { fit(&Complexity::of(&record.query), limits) }
    };
    log.iter().zip(&forms).map(verdict).collect()
}

fn fit(complexity: &Complexity, limits: &AuditLimits) -> Fit {
    let is_plain = complexity.words <= limits.words
        && complexity.asks <= limits.asks
        && complexity.relatives + complexity.connectives <= limits.links;
    match complexity.kind {
        TaskKind::Transform => Fit::Transform,
        TaskKind::OpenEnded => Fit::OpenEnded,
        TaskKind::Lookup if is_plain => Fit::PlainLookup,
        TaskKind::Lookup => Fit::Composed,
    }
}

/// A query with a mark in place of names, numbers and quoted text.
fn form(query: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut in_quotes = false;
    for (n, word) in query.split_whitespace().enumerate() {
        let opens = word.contains(['"', '“', '”']);
        let is_capital = n > 0 && word.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_uppercase);
        if in_quotes || opens || is_capital || word.contains(|c: char| c.is_ascii_digit()) {
            if words.last().is_none_or(|last| last != "*") {
                words.push("*".to_owned());
            }
        } else {
            words.push(word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
        }
        let marks = word.matches(['"', '“', '”']).count();
        in_quotes ^= marks % 2 == 1;
    }
    words.join(" ")
}

fn reckon(log: &[LogRecord], config: &AuditConfig, (name, goes_to_larger): &Policy<'_>) -> PolicyCost {
    let (mut larger_calls, mut cost, mut right) = (0, 0.0, Some(0.0));
    for (n, record) in log.iter().enumerate() {
        let larger = goes_to_larger(n, record);
        larger_calls += usize::from(larger);
        let prices = if larger { config.larger } else { config.local };
        cost += prices.cost(usage(record));
        let is_right = if larger { record.larger_is_right } else { record.local_is_right };
        right = right.zip(is_right).map(|(sum, right)| sum + f64::from(u8::from(right)));
    }
    let accuracy = right.filter(|_| !log.is_empty()).map(|right| right / log.len() as f64);
    PolicyCost { policy: (*name).to_owned(), larger_calls, cost, accuracy }
}

fn usage(record: &LogRecord) -> Usage {
    let prompt_tokens = record.prompt_tokens.unwrap_or(record.query.len().div_ceil(4));
    Usage { prompt_tokens, completion_tokens: record.completion_tokens.unwrap_or(200) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(query: &str, local_is_right: bool) -> LogRecord {
        LogRecord {
            query: query.into(),
            prompt_tokens: Some(1_000_000),
            completion_tokens: Some(0),
            local_is_right: Some(local_is_right),
            larger_is_right: Some(true),
        }
    }

    #[test]
    fn a_log_by_hand() -> Result<()> {
        let log = [
            record("is pump P-1 running", true),
            record("Is pump P-204 running?", true),
            record("is pump A-7 running?", true),
            record("Translate this: good morning", true),
            record("Who is on duty?", false),
            record("Explain why tanks overflow", false),
            record("Who built it? And when?", false),
        ];
        let prices = |per_million_prompt_tokens| Prices { per_million_prompt_tokens, ..Prices::default() };
        let config = AuditConfig { larger: prices(2.0), local: prices(0.1), ..AuditConfig::default() };
        let first = |n: usize, _: &LogRecord| n == 0;
        let report = audit(&log, &config, &[("the first", &first)])?;
        use Fit::*;
        assert_eq!(
            report.verdicts,
            [Repeated, Repeated, Repeated, Transform, PlainLookup, OpenEnded, Composed]
        );
        assert!((report.candidate_share() - 5.0 / 7.0).abs() < 1e-12);
        assert_eq!(report.fits.iter().map(|(_, count)| count).sum::<usize>(), 7);
        for (policy, name, calls, cost, right) in [
            (0, "all larger", 7, 14.0, 7.0),
            (1, "all local", 0, 0.7, 4.0),
            (2, "candidates local", 2, 4.5, 6.0),
            (3, "the first", 1, 2.6, 4.0),
        ] {
            let policy = &report.policies[policy];
            assert_eq!((policy.policy.as_str(), policy.larger_calls), (name, calls));
            assert!((policy.cost - cost).abs() < 1e-9, "{policy:?}");
            assert_eq!(policy.accuracy, Some(right / 7.0), "{name}");
        }
        let unknown = LogRecord { larger_is_right: None, ..record("Who?", true) };
        assert_eq!(audit(&[unknown], &config, &[])?.policies[0].accuracy, None);
        Ok(())
    }

    #[test]
    fn forms_hide_names_numbers_and_quotes() {
        assert_eq!(form("Who is Ann Lee?"), "who is *");
        assert_eq!(form("Say \"good day sir\" in French"), "say * in *");
        assert_eq!(form("Close valve V-7, now!"), "close valve * now");
    }
}
