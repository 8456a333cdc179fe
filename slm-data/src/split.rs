//! Training, validation and test parts that share nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sets::DisjointSets;
use crate::text::{self, real};
use crate::{Error, Example, Result};

/// The shares of the parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share of the examples for validation, 0 to 1.
    pub validation: f64,
    /// Share of the examples for the test, 0 to 1.
    pub test: f64,
    /// Another seed gives another split.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.1, seed: 0 }
    }
}

/// The parts; each keeps the order of the examples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Splits {
    /// To learn from.
    pub train: Vec<Example>,
    /// To choose settings by.
    pub validation: Vec<Example>,
    /// To report.
    pub test: Vec<Example>,
}

/// Splits examples so that no group and no question is in two parts.
///
/// Examples stay together that have the same group, or the same question but for case, white space and
/// Unicode form, also through others: if A and B share a group, and B and C a question, all three are in one
/// part. The parts have their shares to within half the size of a group. Which part an example goes to depends
/// on the examples and the seed, not on their order.
///
/// # Errors
/// When a share is out of range, or there are fewer independent groups than parts.
pub fn split(examples: Vec<Example>, config: &SplitConfig) -> Result<Splits> {
    config.check()?;
    let groups = independent_groups(&examples, config.seed);
    let wanted = 1 + [config.validation, config.test].iter().filter(|&&share| share > 0.0).count();
    if groups.len() < wanted {
        return Err(Error::TooFewGroups { groups: groups.len(), parts: wanted });
    }
    let total = examples.len();
    let mut parts = vec![Part::Train; total];
    let mut free = groups;
    // While the test part is filled, validation and training each keep a group; after that, training does.
    let reserved = 1 + usize::from(config.validation > 0.0);
    for (part, share, reserve) in
        [(Part::Test, config.test, reserved), (Part::Validation, config.validation, 1)]
    {
        if share > 0.0 {
            for row in take(&mut free, share * real(total), reserve).into_iter().flatten() {
                parts[row] = part;
            }
        }
    }
    Ok(assign(examples, parts))
}

fn assign(examples: Vec<Example>, parts: Vec<Part>) -> Splits {
    let mut splits = Splits::default();
    for (example, part) in examples.into_iter().zip(parts) {
        match part {
            Part::Train => splits.train.push(example),
            Part::Validation => splits.validation.push(example),
            Part::Test => splits.test.push(example),
        }
    }
    splits
}

/// Splits examples by time: what was learned from is older than what is measured with.
///
/// `time` gives a number or a text that sorts like the time (`2026-03-14`). Rows are ordered by it; the newest
/// are the test, those before them the validation. Rows of one time stay together, and so do rows of one group
/// or question, which go to the oldest part that one of them falls into: a question that was asked before is
/// no test of what is new. Rows without a time are old.
///
/// # Errors
/// When a share is out of range.
pub fn split_by_time<T: Ord>(
    examples: Vec<Example>,
    config: &SplitConfig,
    time: impl Fn(&Example) -> Option<T>,
) -> Result<Splits> {
    config.check()?;
    let times: Vec<Option<T>> = examples.iter().map(time).collect();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by(|&a, &b| times[a].cmp(&times[b]).then(a.cmp(&b)));
    let total = real(examples.len());
    let mut parts = vec![Part::Train; examples.len()];
    for (rank, &at) in order.iter().enumerate() {
        let same = rank > 0 && times[order[rank - 1]] == times[at];
        let position = real(rank) / total;
        parts[at] = match () {
            () if same => parts[order[rank - 1]],
            () if times[at].is_none() || position < 1.0 - config.validation - config.test => Part::Train,
            () if position < 1.0 - config.test => Part::Validation,
            () => Part::Test,
        };
    }
    for group in independent_groups(&examples, config.seed) {
        let oldest = group.iter().map(|&at| parts[at]).min().unwrap_or(Part::Train);
        group.into_iter().for_each(|at| parts[at] = oldest);
    }
    Ok(assign(examples, parts))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train,
    Validation,
    Test,
}

impl SplitConfig {
    fn check(&self) -> Result<()> {
        for (field, share) in [("validation", self.validation), ("test", self.test)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::config(field, format!("expected 0 to below 1, got {share}")));
            }
        }
        if self.validation + self.test >= 1.0 {
            let reason = format!("nothing is left for training: {} + {}", self.validation, self.test);
            return Err(Error::config("validation", reason));
        }
        Ok(())
    }
}

/// Takes groups until there are about `target` rows, and leaves at least `reserve` groups. Takes at least one
/// group, the smallest if need be.
fn take(free: &mut Vec<Vec<usize>>, target: f64, reserve: usize) -> Vec<Vec<usize>> {
    let mut taken: Vec<Vec<usize>> = Vec::new();
    let mut rows = 0;
    let mut at = 0;
    while at < free.len() && free.len() > reserve {
        // A group comes in if the number of rows is nearer to the target with it.
        if real(rows) + real(free[at].len()) / 2.0 <= target {
            rows += free[at].len();
            taken.push(free.remove(at));
        } else {
            at += 1;
        }
    }
    if taken.is_empty() && free.len() > reserve {
        let smallest = (0..free.len()).min_by_key(|&at| free[at].len()).unwrap_or(0);
        taken.push(free.remove(smallest));
    }
    taken
}

/// Indices of the examples that must stay together, in an order that depends on the seed.
fn independent_groups(examples: &[Example], seed: u64) -> Vec<Vec<usize>> {
    let mut sets = DisjointSets::new(examples.len());
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = Vec::with_capacity(examples.len());
    for (at, example) in examples.iter().enumerate() {
        let question = format!("question {}", text::normalize(example.question()));
        if let Some(group) = &example.group {
            sets.join(at, *first.entry(format!("group {group}")).or_insert(at));
        }
        names.push(question.clone());
        sets.join(at, *first.entry(question).or_insert(at));
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..examples.len() {
        groups.entry(sets.root(at)).or_default().push(at);
    }
    let mut named: Vec<(u64, &str, Vec<usize>)> = groups
        .into_values()
        .map(|rows| {
            let name = rows.iter().map(|&at| names[at].as_str()).min().unwrap_or_default();
            (text::hash(name.as_bytes(), seed), name, rows)
        })
        .collect();
    named.sort();
    named.into_iter().map(|(_, _, rows)| rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(groups: usize, of: usize) -> Vec<Example> {
        (0..groups * of)
            .map(|n| Example::pair(format!("q{n}"), "a", "").in_group(format!("g{}", n / of)))
            .collect()
    }

    #[test]
    fn shares_are_met_and_nothing_is_lost() -> Result<()> {
        let splits = split(examples(200, 5), &SplitConfig { validation: 0.2, test: 0.1, seed: 7 })?;
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (700, 200, 100));
        Ok(())
    }

    #[test]
    fn the_seed_decides_and_the_order_does_not() -> Result<()> {
        let config = SplitConfig { seed: 3, ..SplitConfig::default() };
        let sorted = |mut rows: Vec<Example>| {
            rows.sort_by(|a, b| a.question().cmp(b.question()));
            rows
        };
        let forward = split(examples(100, 3), &config)?;
        let mut reversed = examples(100, 3);
        reversed.reverse();
        assert_eq!(sorted(split(reversed, &config)?.test), sorted(forward.test.clone()));
        let other = split(examples(100, 3), &SplitConfig { seed: 4, ..config })?;
        assert_ne!(sorted(other.test), sorted(forward.test));
        Ok(())
    }

    #[test]
    fn rows_stay_together_through_others() -> Result<()> {
        let mut rows = examples(20, 1);
        rows.push(Example::pair("Q3", "b", "").in_group("g4"));
        rows.push(Example::pair(" q4 ", "c", ""));
        let linked = ["q3", "q4", "Q3", " q4 "];
        for seed in 0..50 {
            let splits = split(rows.clone(), &SplitConfig { validation: 0.3, test: 0.3, seed })?;
            for part in [splits.train, splits.validation, splits.test] {
                let here = part.iter().filter(|row| linked.contains(&row.question())).count();
                assert!(here == 0 || here == 4, "seed {seed}: {here} of 4");
            }
        }
        Ok(())
    }

    #[test]
    fn every_part_gets_a_group_or_it_is_an_error() -> Result<()> {
        let config = SplitConfig { validation: 0.1, test: 0.1, seed: 0 };
        let splits = split(examples(3, 10), &config)?;
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (10, 10, 10));
        assert!(matches!(split(examples(2, 10), &config), Err(Error::TooFewGroups { groups: 2, parts: 3 })));
        let all = SplitConfig { validation: 0.0, test: 0.0, seed: 0 };
        assert_eq!(split(examples(1, 10), &all)?.train.len(), 10);
        let large = SplitConfig { validation: 0.0, test: 0.9, seed: 0 };
        assert_eq!(split(examples(2, 10), &large)?.test.len(), 10);
        Ok(())
    }

    #[test]
    fn the_newest_rows_are_the_test_unless_they_were_there_before() -> Result<()> {
        let mut rows = examples(100, 1);
        rows.reverse();
        rows.push(Example::pair("q0", "again", "").in_group("new"));
        let time = |row: &Example| match row.answer() {
            "again" => Some(1000),
            _ => row.question()[1..].parse::<usize>().ok().filter(|&n| n > 4),
        };
        let splits = split_by_time(rows, &SplitConfig::default(), time)?;
        let numbers = |rows: &[Example]| {
            rows.iter().filter_map(|row| row.question()[1..].parse().ok()).collect::<Vec<usize>>()
        };
        let least = |rows: &[Example]| numbers(rows).into_iter().min();
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (82, 10, 9));
        assert_eq!(
            (least(&splits.train), least(&splits.validation), least(&splits.test)),
            (Some(0), Some(81), Some(91))
        );
        assert!(splits.train.iter().any(|row| row.answer() == "again"));
        Ok(())
    }

    #[test]
    fn shares_out_of_range_are_errors() {
        for (validation, test) in [(-0.1, 0.1), (0.1, 1.0), (0.5, 0.5), (f64::NAN, 0.1)] {
            let config = SplitConfig { validation, test, seed: 0 };
            assert!(matches!(split(examples(9, 1), &config), Err(Error::Config { .. })), "{config:?}");
        }
    }
}
