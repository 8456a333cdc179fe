//! [`CurationReport`]: what a curation did, in numbers that add up.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Dropped;
use super::contradictions::origin;
use super::pii::PiiKind;
use super::reason::{DropReason, Step};
use crate::Example;
use crate::text::{share, shorten};

const SAMPLES: usize = 3;
const SAMPLE_LENGTH: usize = 160;
/// Sources that the table shows.
const SHOWN_SOURCES: usize = 8;

/// What a curation did. `input == kept + dropped`, and each step starts with what the one before it kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurationReport {
    /// Rows given.
    pub input: usize,
    /// Rows kept.
    pub kept: usize,
    /// Rows dropped.
    pub dropped: usize,
    /// The steps that ran, in order.
    pub steps: Vec<StepReport>,
    /// Rows whose text was repaired, whether they were kept or not.
    pub cleaned_rows: usize,
    /// Rows in which something was redacted, whether they were kept or not.
    pub redacted_rows: usize,
    /// Redactions in those rows by kind.
    pub redactions: BTreeMap<PiiKind, usize>,
    /// Lengths before and after.
    pub lengths: Lengths,
    /// Rows by source; the lines of a file are one source.
    pub sources: BTreeMap<String, SourceReport>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// Rows that came to it.
    pub input: usize,
    /// Rows that it kept.
    pub kept: usize,
    /// Rows that it dropped, by reason.
    pub reasons: Vec<ReasonReport>,
}

/// Rows dropped for one reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasonReport {
    /// The reason.
    pub reason: DropReason,
    /// How many.
    pub count: usize,
    /// The first three of them.
    pub samples: Vec<Sample>,
}

/// A dropped row, shortened. Rows with personal data show placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Sample {
    /// Where the row came from.
    pub source: String,
    /// Its first user turn.
    pub question: String,
    /// Its last assistant turn.
    pub answer: String,
    /// What gave it away.
    pub detail: String,
}

/// Lengths in characters before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Questions given.
    pub question_before: Vec<LengthBucket>,
    /// Questions kept.
    pub question_after: Vec<LengthBucket>,
    /// Answers given.
    pub answer_before: Vec<LengthBucket>,
    /// Answers kept.
    pub answer_after: Vec<LengthBucket>,
}

/// Texts of `from` to `to` characters, both included; the limits are powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LengthBucket {
    /// Fewest characters.
    pub from: usize,
    /// Most characters.
    pub to: usize,
    /// Number of texts.
    pub count: usize,
}

/// Rows of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SourceReport {
    /// Rows given.
    pub input: usize,
    /// Rows kept.
    pub kept: usize,
}

impl StepReport {
    /// Rows that the step dropped.
    pub fn dropped(&self) -> usize {
        self.reasons.iter().map(|reason| reason.count).sum()
    }
}

impl CurationReport {
    /// Rows dropped for a reason.
    pub fn count(&self, reason: DropReason) -> usize {
        let reasons = self.steps.iter().flat_map(|step| &step.reasons);
        reasons.filter(|report| report.reason == reason).map(|report| report.count).sum()
    }
}

/// What is known before the first step, for the report after the last.
#[derive(Debug)]
pub(super) struct Before {
    input: usize,
    questions: BTreeMap<u32, usize>,
    answers: BTreeMap<u32, usize>,
    sources: BTreeMap<String, SourceReport>,
}

impl Before {
    pub(super) fn of(rows: &[Example]) -> Self {
        let mut sources: BTreeMap<String, SourceReport> = BTreeMap::new();
        for row in rows {
            sources.entry(origin(&row.source).to_owned()).or_default().input += 1;
        }
        let (questions, answers) = lengths(rows);
        Self { input: rows.len(), questions, answers, sources }
    }

    /// The report, with the steps that ran.
    pub(super) fn report(self, steps: &[Step], kept: &[Example], dropped: &[Dropped]) -> CurationReport {
        let mut sources = self.sources;
        for row in kept {
            sources.entry(origin(&row.source).to_owned()).or_default().kept += 1;
        }
        let (questions, answers) = lengths(kept);
        CurationReport {
            input: self.input,
            kept: kept.len(),
            dropped: dropped.len(),
            steps: step_reports(steps, self.input, dropped),
            cleaned_rows: 0,
            redacted_rows: 0,
            redactions: BTreeMap::new(),
            lengths: Lengths {
                question_before: buckets(&self.questions),
                question_after: buckets(&questions),
                answer_before: buckets(&self.answers),
                answer_after: buckets(&answers),
            },
            sources,
        }
    }
}

fn step_reports(steps: &[Step], input: usize, dropped: &[Dropped]) -> Vec<StepReport> {
    let mut reasons: BTreeMap<DropReason, ReasonReport> = BTreeMap::new();
    for row in dropped {
        let report = reasons.entry(row.reason).or_insert_with(|| ReasonReport {
            reason: row.reason,
            count: 0,
            samples: Vec::new(),
        });
        report.count += 1;
        if report.samples.len() < SAMPLES {
            report.samples.push(Sample::of(row));
        }
    }
    let mut left = input;
    steps
        .iter()
        .map(|&step| {
            let reasons: Vec<_> =
                reasons.values().filter(|report| report.reason.step() == step).cloned().collect();
            let came = left;
            left -= reasons.iter().map(|report| report.count).sum::<usize>();
            StepReport { step, input: came, kept: left, reasons }
        })
        .collect()
}

impl Sample {
    pub(crate) fn of(row: &Dropped) -> Self {
        let hidden = row.reason == DropReason::PersonalData;
        let all = PiiKind::ALL.into_iter().collect();
        let redacted = hidden.then(|| super::pii::redact_row(&row.example, &all)).flatten();
        let example = redacted.as_ref().map_or(&row.example, |redacted| &redacted.example);
        Self {
            source: example.source.clone(),
            question: shorten(example.question(), SAMPLE_LENGTH),
            answer: shorten(example.answer(), SAMPLE_LENGTH),
            detail: row.detail.clone(),
        }
    }
}

/// Questions and answers by the number of bits of their length.
fn lengths(rows: &[Example]) -> (BTreeMap<u32, usize>, BTreeMap<u32, usize>) {
    let mut counts = (BTreeMap::new(), BTreeMap::new());
    let bits = |text: &str| usize::BITS - text.chars().count().leading_zeros();
    for row in rows {
        *counts.0.entry(bits(row.question())).or_default() += 1;
        *counts.1.entry(bits(row.answer())).or_default() += 1;
    }
    counts
}

fn buckets(counts: &BTreeMap<u32, usize>) -> Vec<LengthBucket> {
    let limit = |bits: u32| 1_usize.checked_shl(bits).map_or(usize::MAX, |limit| limit - 1);
    let from = |bits: u32| if bits == 0 { 0 } else { limit(bits - 1) + 1 };
    counts.iter().map(|(&bits, &count)| LengthBucket { from: from(bits), to: limit(bits), count }).collect()
}

impl fmt::Display for CurationReport {
    /// A table of steps, reasons, redactions, lengths and sources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * share(self.kept, self.input);
        writeln!(f, "{} of {} rows kept ({percent:.1} %)", self.kept, self.input)?;
        writeln!(f, "{:<18} {:<18} {:>9} {:>9}", "step", "reason", "dropped", "left")?;
        for step in &self.steps {
            writeln!(f, "{:<18} {:<18} {:>9} {:>9}", step.step, "", step.dropped(), step.kept)?;
            for reason in &step.reasons {
                writeln!(f, "{:<18} {:<18} {:>9}", "", reason.reason, reason.count)?;
            }
        }
        if self.cleaned_rows > 0 {
            writeln!(f, "repaired in {} rows: encoding, control characters or markup", self.cleaned_rows)?;
        }
        if self.redacted_rows > 0 {
            let kinds: Vec<_> =
                self.redactions.iter().map(|(kind, count)| format!("{} {count}", kind.label())).collect();
            writeln!(f, "redacted in {} rows: {}", self.redacted_rows, kinds.join(", "))?;
        }
        let lengths = &self.lengths;
        write_lengths(f, "question", &lengths.question_before, &lengths.question_after)?;
        write_lengths(f, "answer", &lengths.answer_before, &lengths.answer_after)?;
        self.write_sources(f)
    }
}

impl CurationReport {
    fn write_sources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sources: Vec<_> = self.sources.iter().collect();
        sources.sort_by_key(|(name, source)| (std::cmp::Reverse(source.input), *name));
        writeln!(f, "{:<37} {:>9} {:>9}", "source", "rows", "kept")?;
        for (name, source) in sources.iter().take(SHOWN_SOURCES) {
            writeln!(f, "{:<37} {:>9} {:>9}", shorten(name, 36), source.input, source.kept)?;
        }
        if sources.len() > SHOWN_SOURCES {
            writeln!(f, "and {} more", sources.len() - SHOWN_SOURCES)?;
        }
        Ok(())
    }
}

fn write_lengths(
    f: &mut fmt::Formatter<'_>,
    side: &str,
    before: &[LengthBucket],
    after: &[LengthBucket],
) -> fmt::Result {
    writeln!(f, "{:<37} {:>9} {:>9}", format!("{side} (characters)"), "rows", "kept")?;
    let mut all: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    before.iter().for_each(|b| all.entry((b.from, b.to)).or_default().0 = b.count);
    after.iter().for_each(|b| all.entry((b.from, b.to)).or_default().1 = b.count);
    for ((from, to), (before, after)) in all {
        writeln!(f, "{:>18} - {:<16} {before:>9} {after:>9}", from, to)?;
    }
    Ok(())
}
