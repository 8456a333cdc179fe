//! Duplicates between the parts of a data set.

use super::near::{Rules, search};
use super::{NearDuplicate, Similarity};
use crate::text;
use crate::{Example, Result};

/// A row of a part that almost equals one of an earlier part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// Index of the part of the row.
    pub part: usize,
    /// Index of the row in it.
    pub row: usize,
    /// Index of the earlier part.
    pub of_part: usize,
    /// Index of the row there.
    pub of_row: usize,
    /// Jaccard similarity of the questions, 1 where they are equal.
    pub similarity: f64,
}

/// Rows whose question almost equals that of a row of an earlier part; within a part nothing is compared.
///
/// Give the parts in the order of what must not change: test, validation, training, replay. What is found
/// can then be dropped from the later part.
///
/// # Errors
/// When a setting is out of range.
pub fn leaks(parts: &[&[Example]], similarity: &Similarity) -> Result<Vec<Leak>> {
    similarity.check()?;
    let places: Vec<(usize, usize)> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, rows)| (0..rows.len()).map(move |row| (part, row)))
        .collect();
    let normal = |at: usize| {
        let (part, row) = places[at];
        question(&parts[part][row])
    };
    let rules = Rules { may_equal: &|at, of| places[at].0 != places[of].0, duplicates_count: true };
    let found = search(places.len(), &normal, similarity, &rules);
    let leak = |(at, found): (usize, Option<NearDuplicate>)| {
        let NearDuplicate { of, similarity } = found?;
        let ((part, row), (of_part, of_row)) = (places[at], places[of]);
        Some(Leak { part, row, of_part, of_row, similarity })
    };
    Ok(found.into_iter().enumerate().filter_map(leak).collect())
}

/// All user turns, in normal form. Instructions of the system are the same for many rows and say nothing.
pub(crate) fn question(example: &Example) -> String {
    let users = example.messages.iter().filter(|message| message.role == crate::Role::User);
    users.map(|message| text::normalize(&message.content)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_compared_and_rows_of_one_are_not() -> Result<()> {
        let rows =
            |questions: &[&str]| questions.iter().map(|q| Example::pair(*q, "a", "")).collect::<Vec<_>>();
        let long = "How do I restart the storage service on a node that is out of memory";
        let test = rows(&[&format!("{long}?"), &format!("{long}??"), "Why?"]);
        let train = rows(&["Something else altogether, about the network.", &format!("{long}!"), "why?"]);
        let replay = rows(&["Something else altogether, about the networks."]);
        let similarity = Similarity { threshold: 0.8, ..Similarity::default() };
        let found = leaks(&[&test, &train, &replay], &similarity)?;
        let places: Vec<_> = found.iter().map(|l| (l.part, l.row, l.of_part, l.of_row)).collect();
        assert_eq!(places, [(1, 1, 0, 0), (1, 2, 0, 2), (2, 0, 1, 0)]);
        Ok(())
    }
}
