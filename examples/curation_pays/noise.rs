//! A real set with faults planted in it, of which the curation is told nothing.

use std::error::Error;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm::data::{Example, Similarity, leaks};

/// Questions of the test.
const TEST: usize = 300;
/// Rows of the evaluation set that leak; they are not asked, as an arm that learned them by heart would win.
const LEAKED: usize = 250;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Nothing.
    Clean,
    /// The answer of another question.
    Wrong,
    /// Half an answer.
    Truncated,
    /// A copy of a clean row, its question reworded a little.
    Repeated,
    /// A row of the evaluation set.
    Leaked,
}

/// Rows to learn from and to be asked.
pub(crate) struct Planted {
    /// Half of it clean, half of it not; the number of a row's source is its place in `faults`.
    pub(crate) raw: Vec<Example>,
    faults: Vec<Fault>,
    /// Asked.
    pub(crate) test: Vec<Example>,
    /// All that the curation may know of the evaluation: the test, and what leaked.
    pub(crate) evaluation: Vec<Example>,
}

impl Planted {
    /// What is wrong with a row of `raw`.
    pub(crate) fn fault(&self, row: &Example) -> Fault {
        let number = row.source.rsplit(':').next().and_then(|n| n.parse::<usize>().ok());
        number.and_then(|n| self.faults.get(n).copied()).unwrap_or(Fault::Clean)
    }

    /// Plants faults: of ten rows five are clean, two wrong, one is truncated, one and a half repeat a clean row, and
    /// half a one is leaked.
    pub(crate) fn new(mut pairs: Vec<Example>, most: usize, seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        pairs.shuffle(&mut rng);
        if pairs.len() < 4 * (TEST + LEAKED) {
            return Err(format!("{} pairs are too few", pairs.len()).into());
        }
        let mut pool = pairs.split_off(TEST + LEAKED);
        let evaluation = pairs;
        let similarity = Similarity { threshold: 0.7, ..Similarity::default() };
        // What resembles the test is in no arm, so that the test asks for what was learned, not for what was seen.
        for leak in leaks(&[&evaluation, &pool], &similarity)?.iter().rev() {
            pool.swap_remove(leak.row);
        }
        pool.shuffle(&mut rng);
        let total = most.min(pool.len() * 5 / 4) / 20 * 20;
        let (clean, rest) = pool.split_at(total / 2);
        let mut rows: Vec<(Example, Fault)> = clean.iter().map(|row| (row.clone(), Fault::Clean)).collect();
        let (wrong, rest) = rest.split_at(total / 5);
        for (at, row) in wrong.iter().enumerate() {
            let other = &wrong[(at + 1 + rng.random_range(0..wrong.len() - 1)) % wrong.len()];
            rows.push((answered(row, other.answer()), Fault::Wrong));
        }
        for row in &rest[..total / 10] {
            let length = row.answer().chars().count();
            let kept = (length * rng.random_range(30..=70) / 100).max(1);
            let half: String = row.answer().chars().take(kept).collect();
            rows.push((answered(row, half.trim_end()), Fault::Truncated));
        }
        for row in &clean[..total * 3 / 20] {
            rows.push((reworded(row, &mut rng), Fault::Repeated));
        }
        rows.extend(evaluation[TEST..].iter().take(total / 20).map(|row| (row.clone(), Fault::Leaked)));
        rows.shuffle(&mut rng);
        let faults = rows.iter().map(|(_, fault)| *fault).collect();
        let raw = rows.into_iter().enumerate();
        let raw = raw.map(|(at, (row, _))| Example { source: format!("pairs:{at}"), ..row }).collect();
        let test = evaluation[..TEST].to_vec();
        Ok(Self { raw, faults, test, evaluation })
    }
}

fn answered(row: &Example, answer: &str) -> Example {
    Example::pair(row.question(), answer, "")
}

/// The same question with other capitals, a polite word before it, or without its last word.
fn reworded(row: &Example, rng: &mut ChaCha8Rng) -> Example {
    let question = row.question();
    let question = match rng.random_range(0..3) {
        0 => question.to_uppercase(),
        1 => format!("Please {question}"),
        _ => question.rsplit_once(' ').map_or(question, |(all, _)| all).to_owned(),
    };
    Example::pair(question, row.answer(), "")
}
