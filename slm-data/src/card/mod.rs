//! [`DataCard`]: what a data set is, what was taken out of it and why, as one page.

mod page;
mod plot;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::curate::{DropReason, Dropped, Sample, origin};
use crate::io::write_atomically;
use crate::pipeline::{PipelineReport, each_dropped, each_row};
use crate::select::{RuleScore, Scorer};
use crate::text::shorten;
use crate::{Counts, Example, Result};

/// Dropped rows shown for each reason of a step.
const EXAMPLES: usize = 5;
/// Clusters of duplicates shown, and rows of each.
const CLUSTERS: usize = 40;
const CLUSTER_ROWS: usize = 8;
/// Characters of a text that is shown.
const SHOWN: usize = 300;

/// What a data set is: counts that add up, examples, distributions, duplicates, licences.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataCard {
    /// Lines of the inputs.
    pub read: Counts,
    /// Rows after the last step.
    pub kept: usize,
    /// The steps, in order.
    pub steps: Vec<CardStep>,
    /// Before and after.
    pub distributions: Vec<Distribution>,
    /// Rows by source and licence.
    pub sources: Vec<CardSource>,
    /// Kept rows and the duplicates that were dropped for them, the largest first.
    pub clusters: Vec<Cluster>,
    /// Clusters there are, shown or not.
    pub cluster_count: usize,
}

/// A step of a card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardStep {
    /// Its name.
    pub name: String,
    /// Rows that came to it.
    pub input: usize,
    /// Rows that it kept.
    pub kept: usize,
    /// Rows whose text it changed.
    pub changed: usize,
    /// Rows that it dropped, by reason, with the first of them.
    pub reasons: Vec<CardReason>,
}

/// A reason of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardReason {
    /// The reason.
    pub reason: DropReason,
    /// Rows dropped for it.
    pub count: usize,
    /// The first of them.
    pub examples: Vec<Sample>,
}

/// Counts of rows by a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// The property.
    pub name: String,
    /// Its ranges.
    pub labels: Vec<String>,
    /// Rows as they were read.
    pub before: Vec<usize>,
    /// Rows that are left.
    pub after: Vec<usize>,
}

/// Rows of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardSource {
    /// The file or generator.
    pub source: String,
    /// Licence of its rows, where they name one.
    pub licence: Option<String>,
    /// Rows as they were read.
    pub before: usize,
    /// Rows that are left.
    pub after: usize,
}

/// A kept row and its duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// The row that was kept by the step.
    pub kept: Sample,
    /// Rows dropped for it.
    pub size: usize,
    /// The first of them.
    pub dropped: Vec<Sample>,
}

impl DataCard {
    /// The card of a pipeline's run, from its folders.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of_run(report: &PipelineReport) -> Result<Self> {
        let mut facts = Facts::default();
        let folders = &report.folders;
        if let (Some(first), Some(last)) = (folders.first(), folders.last()) {
            each_row(first, |row| facts.row(&row, Side::Before))?;
            each_row(last, |row| facts.row(&row, Side::After))?;
        }
        let mut steps = Vec::new();
        for (at, run) in report.steps.iter().enumerate() {
            let mut reasons: BTreeMap<DropReason, CardReason> = BTreeMap::new();
            if let Some(folder) = folders.get(at + 1) {
                each_dropped(folder, |row| {
                    facts.dropped(&row, &mut reasons);
                    Ok(())
                })?;
                if facts.wanted() {
                    each_row(folder, |row| facts.representative(&row))?;
                }
            }
            let counted = run.dropped.iter().map(|(&reason, &count)| {
                let examples = reasons.remove(&reason).map_or(Vec::new(), |found| found.examples);
                CardReason { reason, count, examples }
            });
            steps.push(CardStep {
                name: run.name.clone(),
                input: run.input,
                kept: run.kept,
                changed: run.changed,
                reasons: counted.collect(),
            });
        }
        let kept = report.steps.last().map_or(report.read.rows, |step| step.kept);
        Ok(facts.card(report.read, kept, steps))
    }

    /// Writes the page under `path`, and the same as JSON with the ending `.json`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let page = page::render(self);
        write_atomically(path, |out| out.write_all(page.as_bytes()))?;
        write_atomically(&path.with_extension("json"), |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n")
        })
    }

    /// The page.
    pub fn to_html(&self) -> String {
        page::render(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// What is gathered in one pass over each file.
#[derive(Debug, Default)]
struct Facts {
    /// By property, then by its range: rows before and after.
    counts: [BTreeMap<usize, [usize; 2]>; 4],
    sources: BTreeMap<(String, Option<String>), [usize; 2]>,
    clusters: BTreeMap<String, Cluster>,
}

const PROPERTIES: [&str; 4] =
    ["characters of the question", "characters of the answer", "turns", "score by rules"];

impl Facts {
    fn row(&mut self, row: &Example, side: Side) {
        let side = usize::from(side == Side::After);
        let bits = |text: &str| (usize::BITS - text.chars().count().leading_zeros()) as usize;
        let score =
            RuleScore.score(std::slice::from_ref(row)).ok().and_then(|scores| scores.first().copied());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20")]
        let score = (score.unwrap_or(0.0) * 20.0).floor() as usize;
        let ranges = [bits(row.question()), bits(row.answer()), row.messages.len(), score];
        for (counts, range) in self.counts.iter_mut().zip(ranges) {
            counts.entry(range).or_default()[side] += 1;
        }
        let source = (origin(&row.source).to_owned(), row.licence.clone());
        self.sources.entry(source).or_default()[side] += 1;
    }

    fn dropped(&mut self, row: &Dropped, reasons: &mut BTreeMap<DropReason, CardReason>) {
        let found = reasons.entry(row.reason).or_insert_with(|| CardReason {
            reason: row.reason,
            count: 0,
            examples: Vec::new(),
        });
        found.count += 1;
        if found.examples.len() < EXAMPLES {
            found.examples.push(Sample::of(row));
        }
        if let Some(of) = &row.of {
            let cluster = self.clusters.entry(of.clone()).or_insert_with(|| Cluster {
                kept: Sample::default(),
                size: 0,
                dropped: Vec::new(),
            });
            cluster.size += 1;
            if cluster.dropped.len() < CLUSTER_ROWS {
                cluster.dropped.push(Sample::of(row));
            }
        }
    }

    /// Whether a row is looked for that duplicates were dropped for.
    fn wanted(&self) -> bool {
        self.clusters.values().any(|cluster| cluster.kept == Sample::default())
    }

    /// Takes in a row if duplicates were dropped for it.
    fn representative(&mut self, row: &Example) {
        if let Some(cluster) = self.clusters.get_mut(&row.fingerprint()) {
            cluster.kept.source.clone_from(&row.source);
            cluster.kept.question = shorten(row.question(), SHOWN);
            cluster.kept.answer = shorten(row.answer(), SHOWN);
        }
    }

    fn card(self, read: Counts, kept: usize, steps: Vec<CardStep>) -> DataCard {
        let distributions = self.counts.iter().zip(PROPERTIES).enumerate().map(|(at, (counts, name))| {
            let (least, most) =
                (counts.keys().next().copied().unwrap_or(0), counts.keys().last().copied().unwrap_or(0));
            let of =
                |side: usize| (least..=most).map(|range| counts.get(&range).map_or(0, |n| n[side])).collect();
            Distribution {
                name: name.to_owned(),
                labels: (least..=most).map(|range| label(at, range)).collect(),
                before: of(0),
                after: of(1),
            }
        });
        let distributions = distributions.collect();
        let sources = self.sources.into_iter().map(|((source, licence), [before, after])| CardSource {
            source,
            licence,
            before,
            after,
        });
        let mut sources: Vec<CardSource> = sources.collect();
        sources.sort_by_key(|source| std::cmp::Reverse(source.before));
        let cluster_count = self.clusters.len();
        let mut clusters: Vec<Cluster> = self.clusters.into_values().collect();
        clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.size));
        clusters.truncate(CLUSTERS);
        DataCard { read, kept, steps, distributions, sources, clusters, cluster_count }
    }
}

/// A range of a property in words.
fn label(property: usize, range: usize) -> String {
    match property {
        0 | 1 if range == 0 => "0".to_owned(),
        0 | 1 => format!("{}–{}", 1_usize << (range - 1), (1_usize << range) - 1),
        2 => range.to_string(),
        _ => format!("{:.2}", crate::text::real(range) / 20.0),
    }
}
