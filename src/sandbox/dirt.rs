//! Raw data as found in the wild: clean examples among planted rows of twelve kinds.
//!
//! With the default proportions 36 % of the rows are good. Two former tools have left the most rows: for
//! `auth` and `storage` an old schema, for `queue` and `mailer` a sentence of prose, each row several
//! times. For those four services the usual answer in the raw data is therefore *not* the clean JSON, and
//! a model trained on all rows learns the wrong habit for half of the questions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use slm_data::Example;

use super::dice::Dice;
use super::legacy;
use super::logs::{LogEvent, distinct_events};

const OLD_SCHEMA_SERVICES: [&str; 2] = ["auth", "storage"];
const PROSE_SERVICES: [&str; 2] = ["queue", "mailer"];

/// What is wrong with a planted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DirtKind {
    /// A clean row again.
    ExactDuplicate,
    /// A clean row with other spaces, other case or one other digit.
    NearDuplicate,
    /// JSON of the right schema with one value that is wrong.
    WrongLabel,
    /// JSON with the keys of a former tool.
    OldSchema,
    /// A sentence instead of JSON.
    Prose,
    /// JSON cut off before its end.
    Truncated,
    /// "As an AI language model ...".
    Refusal,
    /// Letters at random, or one word over and over.
    Gibberish,
    /// German, French or Spanish.
    Foreign,
    /// An address, telephone or card number in the question and, after the JSON, in the answer.
    Personal,
    /// A question of the test set with its answer.
    Leak,
    /// A clean question once more with its right answer and once with a wrong one: 2 : 1 with the clean row.
    Contradiction,
}

impl DirtKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::ExactDuplicate,
        Self::NearDuplicate,
        Self::WrongLabel,
        Self::OldSchema,
        Self::Prose,
        Self::Truncated,
        Self::Refusal,
        Self::Gibberish,
        Self::Foreign,
        Self::Personal,
        Self::Leak,
        Self::Contradiction,
    ];

    /// The kind's name, the last part of a planted row's source: `generator:wrong_label`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactDuplicate => "exact_duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::WrongLabel => "wrong_label",
            Self::OldSchema => "old_schema",
            Self::Prose => "prose",
            Self::Truncated => "truncated",
            Self::Refusal => "refusal",
            Self::Gibberish => "gibberish",
            Self::Foreign => "foreign",
            Self::Personal => "personal",
            Self::Leak => "leak",
            Self::Contradiction => "contradiction",
        }
    }

    /// The kind that was planted as this row; `None` for a clean one. For measuring a curation, never for
    /// doing it.
    pub fn of(example: &Example) -> Option<Self> {
        let name = example.source.strip_prefix("generator:")?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How many rows of each kind are planted, per clean row (0.05 is one for every twenty).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirtConfig {
    /// See [`DirtKind::ExactDuplicate`].
    pub exact_duplicate: f64,
    /// See [`DirtKind::NearDuplicate`].
    pub near_duplicate: f64,
    /// See [`DirtKind::WrongLabel`].
    pub wrong_label: f64,
    /// See [`DirtKind::OldSchema`]; counts the repeats.
    pub old_schema: f64,
    /// See [`DirtKind::Prose`]; counts the repeats.
    pub prose: f64,
    /// See [`DirtKind::Truncated`].
    pub truncated: f64,
    /// See [`DirtKind::Refusal`].
    pub refusal: f64,
    /// See [`DirtKind::Gibberish`].
    pub gibberish: f64,
    /// See [`DirtKind::Foreign`].
    pub foreign: f64,
    /// See [`DirtKind::Personal`].
    pub personal: f64,
    /// See [`DirtKind::Leak`].
    pub leak: f64,
    /// See [`DirtKind::Contradiction`]; two rows for each question.
    pub contradiction: f64,
    /// How often each row of the old schema and of prose occurs; at least 1.
    pub repeats: usize,
}

impl Default for DirtConfig {
    fn default() -> Self {
        Self {
            exact_duplicate: 0.05,
            near_duplicate: 0.08,
            wrong_label: 0.12,
            old_schema: 0.58,
            prose: 0.50,
            truncated: 0.06,
            refusal: 0.06,
            gibberish: 0.05,
            foreign: 0.05,
            personal: 0.06,
            leak: 0.04,
            contradiction: 0.10,
            repeats: 4,
        }
    }
}

impl DirtConfig {
    /// Nothing planted.
    pub fn clean() -> Self {
        Self {
            exact_duplicate: 0.0,
            near_duplicate: 0.0,
            wrong_label: 0.0,
            old_schema: 0.0,
            prose: 0.0,
            truncated: 0.0,
            refusal: 0.0,
            gibberish: 0.0,
            foreign: 0.0,
            personal: 0.0,
            leak: 0.0,
            contradiction: 0.0,
            repeats: 1,
        }
    }

    /// Planted rows of a kind, per clean row.
    pub fn ratio(&self, kind: DirtKind) -> f64 {
        match kind {
            DirtKind::ExactDuplicate => self.exact_duplicate,
            DirtKind::NearDuplicate => self.near_duplicate,
            DirtKind::WrongLabel => self.wrong_label,
            DirtKind::OldSchema => self.old_schema,
            DirtKind::Prose => self.prose,
            DirtKind::Truncated => self.truncated,
            DirtKind::Refusal => self.refusal,
            DirtKind::Gibberish => self.gibberish,
            DirtKind::Foreign => self.foreign,
            DirtKind::Personal => self.personal,
            DirtKind::Leak => self.leak,
            DirtKind::Contradiction => self.contradiction,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    fn count(&self, kind: DirtKind, clean: usize) -> usize {
        (self.ratio(kind).max(0.0) * clean as f64).round() as usize
    }
}

/// The clean rows, unchanged, among planted ones, in random order.
///
/// Rows of invented events never share a question with `clean`, nor a group with `test`; the rows of
/// [`DirtKind::Leak`] are the only ones from `test`. Kinds that start from a clean or test row are left
/// out where there is none.
pub fn dirty(clean: &[Example], test: &[Example], config: &DirtConfig, seed: u64) -> Vec<Example> {
    let taken: BTreeSet<&str> = clean.iter().map(Example::question).collect();
    let test_groups: BTreeSet<&str> = test.iter().filter_map(|e| e.group.as_deref()).collect();
    let mut rows = clean.to_vec();
    for (stream, kind) in (40..).zip(DirtKind::ALL) {
        let mut dice = Dice::new(seed, stream);
        let n = config.count(kind, clean.len());
        let fresh = |n: usize, services: &[&str]| {
            distinct_events(n, seed, stream + 100, |event| {
                (services.is_empty() || services.contains(&event.service))
                    && !taken.contains(event.question.as_str())
                    && !test_groups.contains(event.group().as_str())
            })
        };
        let planted = match kind {
            DirtKind::ExactDuplicate => sample(clean, n, &mut dice),
            DirtKind::NearDuplicate => {
                sample(clean, n, &mut dice).iter().map(|e| near(e, &mut dice)).collect()
            }
            DirtKind::Leak => sample(test, n, &mut dice),
            DirtKind::Contradiction => contradictions(clean, n, &mut dice),
            DirtKind::OldSchema | DirtKind::Prose => {
                let services = if kind == DirtKind::Prose { &PROSE_SERVICES } else { &OLD_SCHEMA_SERVICES };
                let repeats = config.repeats.max(1);
                let events = fresh(n.div_ceil(repeats), services);
                (0..n).map(|at| spoil(&events[at / repeats], kind, &mut dice)).collect()
            }
            _ => fresh(n, &[]).iter().map(|event| spoil(event, kind, &mut dice)).collect::<Vec<_>>(),
        };
        let source = format!("generator:{}", kind.name());
        rows.extend(planted.into_iter().map(|row| Example { source: source.clone(), ..row }));
    }
    Dice::new(seed, 39).shuffle(&mut rows);
    rows
}

/// `n` rows; different ones while there are enough.
fn sample(rows: &[Example], n: usize, dice: &mut Dice) -> Vec<Example> {
    let mut order: Vec<&Example> = rows.iter().collect();
    dice.shuffle(&mut order);
    order.into_iter().cycle().take(if rows.is_empty() { 0 } else { n }).cloned().collect()
}

fn spoil(event: &LogEvent, kind: DirtKind, dice: &mut Dice) -> Example {
    let (question, answer) = match kind {
        DirtKind::OldSchema => (event.question.clone(), legacy::old_schema(event)),
        DirtKind::Prose => (event.question.clone(), legacy::prose(event)),
        DirtKind::WrongLabel => (event.question.clone(), legacy::wrong_label(event, dice)),
        DirtKind::Truncated => (event.question.clone(), legacy::truncated(event, dice)),
        DirtKind::Refusal => (event.question.clone(), legacy::refusal(dice)),
        DirtKind::Foreign => legacy::foreign(event, dice),
        DirtKind::Personal => {
            let data = legacy::personal(dice);
            (
                format!("{} (reported by {data})", event.question),
                format!("{} Contact: {data}", event.answer()),
            )
        }
        _ => (event.question.clone(), legacy::gibberish(dice)),
    };
    Example::pair(question, answer, "").in_group(event.group())
}

/// The same row with a double space, in upper case, or with another digit in its time.
fn near(example: &Example, dice: &mut Dice) -> Example {
    let question = example.question();
    let changed = match dice.number(0, 2) {
        0 => question.replacen(' ', "  ", 2),
        1 => question.replacen("Triage", "TRIAGE", 1),
        _ => other_last_digit_of_time(question, dice),
    };
    let row = Example::pair(changed, example.answer(), "");
    Example { group: example.group.clone(), ..row }
}

/// `09:26:53` becomes `09:26:5x`; a question without a time gets a space at its end.
fn other_last_digit_of_time(question: &str, dice: &mut Dice) -> String {
    let Some(at) = question.rmatch_indices(':').map(|(at, _)| at + 2).find(|&at| {
        question.as_bytes().get(at - 1..=at).is_some_and(|pair| pair.iter().all(u8::is_ascii_digit))
    }) else {
        return format!("{question} ");
    };
    let old = u32::from(question.as_bytes()[at] - b'0');
    let new = (old + dice.number(1, 9)) % 10;
    format!("{}{new}{}", &question[..at], &question[at + 1..])
}

/// Pairs of rows on one clean question: its right answer again, and the answer of another clean row.
fn contradictions(clean: &[Example], n: usize, dice: &mut Dice) -> Vec<Example> {
    let asked = sample(clean, n / 2, dice);
    let answers = sample(clean, clean.len(), dice);
    asked
        .into_iter()
        .filter_map(|right| {
            let wrong = answers.iter().find(|other| other.answer() != right.answer() && dice.one_in(5))?;
            let row = Example::pair(right.question(), wrong.answer(), "");
            let wrong = Example { group: right.group.clone(), ..row };
            Some([right, wrong])
        })
        .flatten()
        .collect()
}

#[cfg(test)]
#[path = "dirt_tests.rs"]
mod tests;
