//! [`curate`]: from rows as they were found to rows worth training on.

mod config;
mod contradictions;
mod decontaminate;
mod duplicates;
mod facts;
mod language;
mod near;
mod near_disk;
mod pii;
mod quality;
mod reason;
mod refusal;
mod report;
mod schema;
mod structure;
mod toxicity;
mod truncated;

use std::borrow::Cow;
use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use config::{
    Compared, ContradictionConfig, ContradictionScope, CurateConfig, DecontaminationConfig, LanguageConfig,
    LengthConfig, NearDuplicateConfig, NearRule, QualityConfig, RefusalConfig, Switch, WebConfig,
};
pub use near::near_duplicates;
pub use pii::{PiiAction, PiiConfig, PiiFinding, PiiKind, find_pii, redact};
pub use reason::{DropReason, Step};
pub use report::{CurationReport, LengthBucket, Lengths, ReasonReport, Sample, SourceReport, StepReport};
pub use schema::{AnswerSchema, Determined};
pub use toxicity::ToxicityConfig;

pub(crate) use contradictions::origin;
#[cfg(feature = "datafusion")]
pub(crate) use duplicates::EQUALS;
pub(crate) use duplicates::row_hash;
#[cfg(feature = "datafusion")]
pub(crate) use near::{may_equal, near_detail, normal};
pub(crate) use near_disk::{Verdicts, near_on_disk};

use crate::clean::clean_text;
use crate::{Example, Result};
use language::Languages;
pub(crate) use reason::Verdict;
use refusal::Refusals;
use toxicity::Toxicity;

/// The outcome of a curation: `kept.len() + dropped.len()` is the number of rows given.
#[derive(Debug, Clone, PartialEq)]
pub struct Curated {
    /// The rows to train on, in their order, with personal data replaced.
    pub kept: Vec<Example>,
    /// The other rows, in the order of the steps that dropped them, then in their own.
    pub dropped: Vec<Dropped>,
    /// Rows in which something was redacted, whether they were kept or not.
    pub redacted: usize,
    /// The same in numbers.
    pub report: CurationReport,
}

/// A row that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The row as it was when it was dropped: redacted, unless dropping is the action for personal data.
    pub example: Example,
    /// Why.
    pub reason: DropReason,
    /// What gave it away.
    pub detail: String,
    /// [`fingerprint`](Example::fingerprint) of the row that it is a duplicate of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Drops rows that would teach something wrong, and replaces personal data.
///
/// The steps run in the order of [`Step`]. Personal data comes early, so that all later rules (and what
/// they report) see the redacted text. Rules on single rows come before those on sets of rows: a row
/// without the right form has no vote. Decontamination comes before the removal of duplicates: otherwise a
/// leaked row could stand for its near duplicates and take them along. Contradictions are settled while all
/// votes are there, and label noise is found without repeated rows. The text of `evaluation` is redacted
/// in the same way before it is compared.
///
/// # Errors
/// When a setting is out of range.
pub fn curate(examples: Vec<Example>, evaluation: &[Example], config: &CurateConfig) -> Result<Curated> {
    config.check()?;
    let before = report::Before::of(&examples);
    let mut pipeline = Pipeline { steps: Vec::new(), rows: examples, dropped: Vec::new() };
    let cleaned = clean(&mut pipeline, config);
    pipeline.each(Step::Structure, structure::check_turns);
    let redactions = personal_data(&mut pipeline, &config.pii);
    single_rows(&mut pipeline, config)?;
    sets_of_rows(&mut pipeline, evaluation, config);
    let Pipeline { steps, rows: kept, dropped } = pipeline;
    let mut report = before.report(&steps, &kept, &dropped);
    report.cleaned_rows = cleaned;
    report.redacted_rows = redactions.rows;
    report.redactions = redactions.counts;
    Ok(Curated { kept, dropped, redacted: redactions.rows, report })
}

/// The rows left, and what happened to the others.
#[derive(Debug)]
struct Pipeline {
    steps: Vec<Step>,
    rows: Vec<Example>,
    dropped: Vec<Dropped>,
}

impl Pipeline {
    /// A rule that looks at one row.
    fn each(&mut self, step: Step, rule: impl Fn(&Example) -> Option<Verdict> + Send + Sync) {
        let verdicts = self.rows.par_iter().map(rule).collect();
        self.apply(step, verdicts);
    }

    /// A rule that looks at all rows, and gives a verdict for each.
    fn all(&mut self, step: Step, rule: impl FnOnce(&[&Example]) -> Vec<Option<Verdict>>) {
        let verdicts = rule(&self.rows.iter().collect::<Vec<_>>());
        self.apply(step, verdicts);
    }

    fn apply(&mut self, step: Step, verdicts: Vec<Option<Verdict>>) {
        debug_assert_eq!(verdicts.len(), self.rows.len());
        self.steps.push(step);
        let rows = std::mem::take(&mut self.rows);
        for (example, verdict) in rows.into_iter().zip(verdicts) {
            match verdict {
                None => self.rows.push(example),
                Some(Verdict { reason, detail, of }) => {
                    self.dropped.push(Dropped { example, reason, detail, of });
                }
            }
        }
    }
}

/// Repairs texts; returns the number of rows that were changed.
fn clean(pipeline: &mut Pipeline, config: &CurateConfig) -> usize {
    let Some(config) = &config.clean else { return 0 };
    let changed = pipeline.rows.par_iter_mut().map(|row| {
        let mut any = false;
        for message in &mut row.messages {
            if let Cow::Owned(text) = clean_text(&message.content, config) {
                message.content = text;
                any = true;
            }
        }
        usize::from(any)
    });
    changed.sum()
}

#[derive(Debug, Default)]
struct Redactions {
    rows: usize,
    counts: BTreeMap<PiiKind, usize>,
}

fn personal_data(pipeline: &mut Pipeline, config: &PiiConfig) -> Redactions {
    let mut redactions = Redactions::default();
    if config.action == PiiAction::Keep {
        return redactions;
    }
    let found: Vec<_> = pipeline.rows.par_iter().map(|row| pii::redact_row(row, &config.kinds)).collect();
    let mut verdicts = Vec::with_capacity(found.len());
    for (row, found) in pipeline.rows.iter_mut().zip(found) {
        let Some(found) = found else {
            verdicts.push(None);
            continue;
        };
        let kinds: Vec<_> = found.counts.iter().map(|(kind, n)| format!("{} {n}", kind.label())).collect();
        let kinds = kinds.join(", ");
        verdicts.push(match config.action {
            PiiAction::Drop => Some(Verdict::new(DropReason::PersonalData, kinds)),
            _ if found.broke_json => {
                let detail = format!("{kinds}: a placeholder would break the JSON");
                Some(Verdict::new(DropReason::PersonalData, detail))
            }
            _ => None,
        });
        if config.action == PiiAction::Redact {
            *row = found.example;
            redactions.rows += 1;
            for (kind, count) in found.counts {
                *redactions.counts.entry(kind).or_default() += count;
            }
        }
    }
    pipeline.apply(Step::PersonalData, verdicts);
    redactions
}

fn single_rows(pipeline: &mut Pipeline, config: &CurateConfig) -> Result<()> {
    if let Some(length) = &config.length {
        pipeline.each(Step::Length, |row| structure::check_length(row, length));
    }
    if let Some(web) = &config.web {
        pipeline.each(Step::Web, |row| web.judge(row));
    }
    if let Some(refusals) = &config.refusals {
        let refusals = Refusals::new(refusals);
        pipeline.each(Step::Refusal, |row| refusals.check(row));
    }
    if let Some(toxicity) = &config.toxicity {
        let toxicity = Toxicity::new(toxicity)?;
        pipeline.each(Step::Toxicity, |row| toxicity.check(row));
    }
    if let Some(quality) = &config.quality {
        pipeline.each(Step::Quality, |row| quality::check(row, quality));
    }
    if let Some(language) = &config.language {
        let languages = Languages::new(language)?;
        pipeline.each(Step::Language, |row| languages.check(row));
    }
    if config.truncation == Switch::On {
        pipeline.each(Step::Truncation, truncated::check);
    }
    if let Some(schema) = &config.schema {
        pipeline.each(Step::Schema, |row| schema.judge(row));
    }
    Ok(())
}

fn sets_of_rows(pipeline: &mut Pipeline, evaluation: &[Example], config: &CurateConfig) {
    if let Some(decontamination) = &config.decontamination {
        let hide = |row: &Example| match config.pii.action {
            PiiAction::Redact => pii::redact_row(row, &config.pii.kinds).map(|redacted| redacted.example),
            PiiAction::Drop | PiiAction::Keep => None,
        };
        let held: Vec<Example> =
            evaluation.par_iter().map(|row| hide(row).unwrap_or_else(|| row.clone())).collect();
        pipeline
            .all(Step::Decontamination, |rows| decontaminate::decontaminate(rows, &held, decontamination));
    }
    if let Some(settings) = &config.contradictions {
        pipeline.all(Step::Contradictions, |rows| contradictions::contradictions(rows, settings));
    }
    if config.exact_duplicates == Switch::On {
        pipeline.all(Step::ExactDuplicates, duplicates::exact_duplicates);
    }
    if let Some(schema) = config.schema.as_ref().filter(|schema| !schema.determined.is_empty()) {
        pipeline.all(Step::LabelNoise, |rows| schema.label_noise(rows));
    }
    if let Some(near_duplicates) = &config.near_duplicates {
        pipeline.all(Step::NearDuplicates, |rows| near::near(rows, near_duplicates));
    }
}
