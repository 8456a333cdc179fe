//! Rows that answer the same question differently.
//!
//! Every source has one vote for a question, and splits it over its answers by its number of rows: a broken
//! source that repeats one wrong answer a hundred times does not outvote a good one. Rows of one file or
//! generator are one source (`train.jsonl:7` belongs to `train.jsonl`). Where all rows come from one source,
//! this is the majority of its rows.
//!
//! Labels and JSON disagree when they are not equal. Texts disagree in what they state, see [`super::facts`].

use std::collections::{BTreeMap, HashMap};

use super::config::{ContradictionConfig, ContradictionScope};
use super::duplicates::row_key;
use super::facts::{Facts, disagreeing};
use super::quality::is_json;
use super::reason::{DropReason, Verdict};
use crate::Example;
use crate::text::{share, shorten};

/// Words of a label, at most.
const LABEL: usize = 3;
/// Rounding of sums of shares.
const EPSILON: f64 = 1e-9;

/// A verdict per row: all rows of a contradiction, but for those that give the answer of a clear majority.
pub(super) fn contradictions(rows: &[&Example], config: &ContradictionConfig) -> Vec<Option<Verdict>> {
    let mut answers = Vec::with_capacity(rows.len());
    let mut questions: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let (question, answer) = row_key(row);
        answers.push(answer);
        questions.entry(question).or_default().push(at);
    }
    let mut verdicts = vec![None; rows.len()];
    let mut vote = Vote { rows, config, verdicts: &mut verdicts };
    for members in questions.values() {
        let disagree = members.iter().any(|&at| answers[at] != answers[members[0]]);
        let closed = || members.iter().any(|&at| is_closed(&answers[at]));
        if disagree && (config.answers == ContradictionScope::All || closed()) {
            vote.settle(members, "", |at| answers[at].as_str());
        }
    }
    if config.answers == ContradictionScope::Facts {
        texts(&answers, questions, &mut vote);
    }
    verdicts
}

/// Texts that answer the same question, in its words or in others, and state something else.
fn texts(answers: &[String], questions: HashMap<String, Vec<usize>>, vote: &mut Vote<'_>) {
    let mut alike: HashMap<Facts, Vec<usize>> = HashMap::new();
    for (question, members) in questions {
        // Turns are lines that start with a letter for their role.
        let turns: Vec<&str> = question.lines().filter_map(|line| line.get(2..)).collect();
        if let Some(key) = Facts::question(&turns.join(" ")) {
            alike.entry(key).or_default().extend(members);
        }
    }
    for mut members in alike.into_values() {
        members.sort_unstable();
        let open = |at: &usize| vote.verdicts[*at].is_none() && !is_closed(&answers[*at]);
        let facts = members.into_iter().filter(open).map(|at| (at, Facts::of(vote.rows[at].answer())));
        let found = disagreeing(&facts.collect::<Vec<_>>());
        let members: Vec<usize> = found.keys().copied().collect();
        if let Some((_, kind)) = found.values().next() {
            vote.settle(&members, &format!("answers differ in {kind}: "), |at| found.get(&at).map(|f| f.0));
        }
    }
}

/// Whether an answer leaves nothing to the wording: JSON, or a label.
fn is_closed(normal: &str) -> bool {
    let label = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '%');
    (normal.split(' ').count() <= LABEL && normal.chars().all(label)) || is_json(normal)
}

struct Vote<'a> {
    rows: &'a [&'a Example],
    config: &'a ContradictionConfig,
    verdicts: &'a mut [Option<Verdict>],
}

impl Vote<'_> {
    /// Drops the members whose answer is not that of a clear majority; `answer` is equal for answers that agree.
    fn settle<T: Ord>(&mut self, members: &[usize], kind: &str, answer: impl Fn(usize) -> T) {
        let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
        for &at in members {
            *by_source.entry(origin(&self.rows[at].source)).or_default() += 1;
        }
        let mut votes: BTreeMap<T, (f64, Vec<usize>)> = BTreeMap::new();
        for &at in members {
            let rows_of_source = by_source.get(origin(&self.rows[at].source)).copied().unwrap_or(1);
            let (weight, voters) = votes.entry(answer(at)).or_default();
            *weight += share(1, rows_of_source);
            voters.push(at);
        }
        let total: f64 = votes.values().map(|(weight, _)| weight).sum();
        let winner = votes.values().find(|(weight, voters)| {
            let part = weight / total;
            part + EPSILON >= self.config.majority && voters.len() >= self.config.min_rows && part > 0.5
        });
        let detail = match winner {
            Some((weight, voters)) => {
                let percent = 100.0 * weight / total;
                let text = shorten(self.rows[voters[0]].answer(), 60);
                format!("{kind}{percent:.0} % of the votes are for \"{text}\"")
            }
            None => format!("{kind}{} answers in {} rows, no clear majority", votes.len(), members.len()),
        };
        let right = winner.map_or(&[][..], |(_, voters)| voters);
        for &at in members.iter().filter(|at| right.binary_search(at).is_err()) {
            self.verdicts[at] = Some(Verdict::new(DropReason::Contradiction, detail.as_str()));
        }
    }
}

/// The file or generator of a row: its source without the number of the line.
pub(crate) fn origin(source: &str) -> &str {
    match source.rsplit_once(':') {
        Some((origin, line)) if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) => origin,
        _ => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the rows (answer, source) to one question stay.
    fn stay(rows: &[(&str, &str)]) -> Vec<bool> {
        let rows: Vec<Example> =
            rows.iter().map(|(answer, source)| Example::pair("q", *answer, *source)).collect();
        let verdicts = contradictions(&rows.iter().collect::<Vec<_>>(), &ContradictionConfig::default());
        verdicts.iter().map(Option::is_none).collect()
    }

    #[test]
    fn a_clear_majority_stays() {
        assert_eq!(stay(&[("a", "x"), ("b", "y"), ("A ", "z")]), [true, false, true]);
        assert_eq!(stay(&[("a", "f:1"), ("b", "f:2"), ("a", "f:3")]), [true, false, true]);
    }

    #[test]
    fn without_one_all_are_dropped() {
        assert_eq!(stay(&[("a", "x"), ("b", "y")]), [false, false]);
        assert_eq!(stay(&[("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]), [false; 4]);
    }

    #[test]
    fn a_source_that_repeats_itself_does_not_outvote() {
        let mut rows = vec![("bad", "broken:1"); 9];
        rows.extend([("good", "x"), ("good", "y")]);
        let mut expected = vec![false; 9];
        expected.extend([true, true]);
        assert_eq!(stay(&rows), expected);
        assert_eq!(
            stay(&[("bad", "broken"), ("bad", "broken"), ("bad", "broken"), ("good", "x")]),
            [false; 4]
        );
    }

    #[test]
    fn agreement_is_no_contradiction() {
        assert_eq!(stay(&[("a", "x"), ("A", "x"), ("a", "y")]), [true; 3]);
    }

    #[test]
    fn texts_that_state_something_else_are_found_in_other_words_of_the_question() {
        let row = |question: &str, minutes: &str, source: &str| {
            let answer = format!("A restart of the storage service takes {minutes} minutes.");
            Example::pair(question, answer, source)
        };
        let rows = [
            row("How long does a restart of the storage take?", "12", "a"),
            row("Please tell me how long the restart of the storage takes", "12", "b"),
            row("how long will a restart of the storage take?", "20", "c"),
            row("How long does a restart of the network take?", "30", "d"),
        ];
        let rows: Vec<&Example> = rows.iter().collect();
        let config = ContradictionConfig { answers: ContradictionScope::Facts, ..Default::default() };
        let verdicts = contradictions(&rows, &config);
        assert_eq!(verdicts.iter().map(Option::is_none).collect::<Vec<_>>(), [true, true, false, true]);
        let detail = verdicts[2].as_ref().map_or("", |verdict| &verdict.detail);
        assert!(detail.starts_with("answers differ in a number: 67 % of the votes"), "{detail}");
    }

    #[test]
    fn texts_that_differ_are_no_contradiction_unless_asked() {
        let rows = [
            Example::pair("q", "It is full because of old logs.", "x"),
            Example::pair("q", "Old logs have filled it up.", "y"),
        ];
        let rows: Vec<&Example> = rows.iter().collect();
        let mut config = ContradictionConfig::default();
        assert!(contradictions(&rows, &config).iter().all(Option::is_none));
        config.answers = ContradictionScope::All;
        assert!(contradictions(&rows, &config).iter().all(Option::is_some));
    }

    #[test]
    fn origins() {
        assert_eq!(
            (origin("a.jsonl:12"), origin("gen:triage"), origin(":"), origin("a")),
            ("a.jsonl", "gen:triage", ":", "a")
        );
    }
}
