//! [`Pipeline`]: runs the steps, each from the file of the one before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{entry, hash_file, hash_of};
use super::config::{InputConfig, PipelineConfig};
use super::files::{CHUNK, DROPPED, ROWS, each_dropped, read_all, read_json, take, write_json};
use super::stage::{BuiltIn, Closure, Outcome, Stage, Toxicity};
use crate::card::DataCard;
use crate::curate::{DropReason, Dropped};
use crate::io::{write_atomically, write_bad_line, write_line};
use crate::{
    BadLine, Counts, Entry, Error, Example, Layout, Result, Row, RowReader, RowWriter, Similarity, leaks,
    read_examples, split,
};

/// Another layout of the cache's folders has another number.
const VERSION: &str = "2";
const BAD: &str = "bad.jsonl";
const RUN: &str = "step.json";
const SCRATCH: &str = "scratch";

/// Named steps over files of rows.
pub struct Pipeline {
    config: PipelineConfig,
    stages: Vec<(String, Box<dyn Stage>)>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.stages.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Pipeline").field("stages", &names).finish_non_exhaustive()
    }
}

/// What a run did. Rows add up: `read.rows` is what came to the first step, and each step starts with what the
/// one before it kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineReport {
    /// Lines, rows and bad lines of all inputs.
    pub read: Counts,
    /// The steps.
    pub steps: Vec<StepRun>,
    /// Rows written by file.
    pub written: BTreeMap<PathBuf, usize>,
    /// Folder of the rows as they were read, then of each step's outcome.
    pub folders: Vec<PathBuf>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepRun {
    /// Its name.
    pub name: String,
    /// Rows that came to it.
    pub input: usize,
    /// Rows that it kept.
    pub kept: usize,
    /// Rows whose text it changed.
    pub changed: usize,
    /// Rows that it dropped, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
    /// Whether the outcome was in the cache.
    #[serde(skip)]
    pub cached: bool,
}

impl Pipeline {
    /// The steps of a configuration.
    ///
    /// # Errors
    /// When a setting is out of range, or a folder or the evaluation set cannot be read.
    pub fn new(mut config: PipelineConfig) -> Result<Self> {
        config.resolve()?;
        let mut evaluation = Vec::new();
        for path in &config.evaluation {
            evaluation.extend(read_examples(path)?.items);
        }
        let memory = config.memory_mib.saturating_mul(1 << 20);
        let stage = |kind| Box::new(BuiltIn::new(kind, evaluation.clone(), memory)) as Box<dyn Stage>;
        let stages = config.step.iter().map(|step| (step.name.clone(), stage(step.kind.clone()))).collect();
        Ok(Self { config, stages })
    }

    /// Adds a step at the end.
    #[must_use]
    pub fn then(mut self, name: impl Into<String>, stage: impl Stage + 'static) -> Self {
        self.stages.push((name.into(), Box::new(stage)));
        self
    }

    /// Adds a closure that gives, for each row to drop, what gave it away; `version` stands for all that it
    /// depends on.
    #[must_use]
    pub fn then_judge(
        self,
        name: impl Into<String>,
        version: impl Into<String>,
        judge: impl FnMut(&[Example]) -> Result<Vec<Option<String>>> + 'static,
    ) -> Self {
        self.then(name, Closure { version: version.into(), judge })
    }

    /// Adds a closure that gives each row a score of toxicity, from a model or a service; rows above `most` are dropped.
    /// `version` stands for all that the scores depend on.
    #[must_use]
    pub fn then_toxicity(
        self,
        name: impl Into<String>,
        version: impl Into<String>,
        most: f64,
        score: impl FnMut(&[Example]) -> Result<Vec<f64>> + 'static,
    ) -> Self {
        self.then(name, Toxicity { version: version.into(), most, score })
    }

    /// Runs the steps that are not in the cache, and writes the outputs.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a step fails. What earlier steps made stays in the cache.
    pub fn run(&mut self) -> Result<PipelineReport> {
        let cache = self.config.cache.clone();
        let (mut hash, read) = self.read(&cache)?;
        let mut folders = vec![cache.join(&hash)];
        let mut steps: Vec<StepRun> = Vec::new();
        let mut input = read.rows;
        for (name, stage) in &mut self.stages {
            hash = hash_of(&[VERSION, &hash, &stage.fingerprint()]);
            let from = folders[folders.len() - 1].join(ROWS);
            let found = entry(&cache, &hash, |folder| step(&mut **stage, &from, folder))?;
            let mut run: StepRun = read_json(&found.folder.join(RUN))?;
            run.name.clone_from(name);
            (run.cached, run.input) = (found.cached, input);
            input = run.kept;
            steps.push(run);
            folders.push(found.folder);
        }
        let mut report = PipelineReport { read, steps, written: BTreeMap::new(), folders };
        self.write(&mut report)?;
        Ok(report)
    }

    /// All rows in one file, and the bad lines in another. The hash is that of the files' content.
    fn read(&self, cache: &Path) -> Result<(String, Counts)> {
        let mut parts = vec![VERSION.to_owned()];
        for InputConfig { path, licence } in &self.config.input {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            parts.extend([name, hash_file(path)?, licence.clone().unwrap_or_default()]);
        }
        let hash = hash_of(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        let found = entry(cache, &hash, |folder| read_inputs(&self.config.input, folder))?;
        Ok((hash, read_json(&found.folder.join(RUN))?))
    }

    fn write(&self, report: &mut PipelineReport) -> Result<()> {
        let output = &self.config.output;
        let last = report.folders[report.folders.len() - 1].clone();
        if let Some(config) = &output.split {
            self.write_parts(&read_all(&last.join(ROWS))?, config, report)?;
        } else {
            copy_rows(&last.join(ROWS), &output.rows, report)?;
        }
        for folder in &report.folders.clone() {
            for name in ["random", "length_matched"] {
                let control = folder.join(format!("{name}.jsonl"));
                if control.exists() {
                    copy_rows(&control, &beside(&output.rows, name), report)?;
                }
            }
        }
        if let Some(path) = &output.dropped {
            write_dropped(path, report)?;
        }
        if let Some(path) = &output.quarantine {
            let bad = report.folders[0].join(BAD);
            let text = fs::read(&bad).map_err(|source| Error::io(&bad, source))?;
            write_atomically(path, |out| out.write_all(&text))?;
        }
        if let Some(path) = &output.card {
            let card = DataCard::of_run(report)?;
            card.write(path)?;
        }
        Ok(())
    }

    fn write_parts(
        &self,
        rows: &[Example],
        config: &crate::SplitConfig,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let mut parts = split(rows.to_vec(), config)?;
        let similarity = Similarity::default();
        let found = leaks(&[&parts.test, &parts.validation, &parts.train], &similarity)?;
        let mut run = StepRun { name: "split".to_owned(), input: rows.len(), ..StepRun::default() };
        let leaked: std::collections::BTreeSet<usize> =
            found.iter().filter(|leak| leak.part == 2).map(|leak| leak.row).collect();
        let mut at = 0;
        parts.train.retain(|_| {
            at += 1;
            !leaked.contains(&(at - 1))
        });
        run.kept = rows.len() - leaked.len();
        if !leaked.is_empty() {
            run.dropped.insert(DropReason::Contaminated, leaked.len());
        }
        report.steps.push(run);
        let path = &self.config.output.rows;
        for (path, rows) in [
            (path.clone(), &parts.train),
            (beside(path, "validation"), &parts.validation),
            (beside(path, "test"), &parts.test),
        ] {
            write_rows(&path, rows.iter().map(|row| Ok(row.clone())), report)?;
        }
        Ok(())
    }
}

fn read_inputs(inputs: &[InputConfig], folder: &Path) -> Result<()> {
    let mut writer = RowWriter::create(folder.join(ROWS), Layout::Messages)?;
    let (counts, bad_lines) = each_input(inputs, |row| writer.write(&Row::Conversation(row)))?;
    writer.finish()?;
    write_atomically(&folder.join(BAD), |out| bad_lines.iter().try_for_each(|bad| write_bad_line(out, bad)))?;
    write_json(&folder.join(RUN), &counts)
}

/// Visits the rows of files; gives what was counted, and what is no row.
pub(crate) fn each_input(
    inputs: &[InputConfig],
    mut visit: impl FnMut(Example) -> Result<()>,
) -> Result<(Counts, Vec<BadLine>)> {
    let mut counts = Counts::default();
    let mut bad_lines = Vec::new();
    for InputConfig { path, licence } in inputs {
        for entry in RowReader::<Example>::open(path)? {
            counts.lines += 1;
            match entry? {
                Entry::Row(mut example) => {
                    counts.rows += 1;
                    example.licence = example.licence.or_else(|| licence.clone());
                    visit(example)?;
                }
                Entry::Bad(bad) => {
                    counts.bad += 1;
                    bad_lines.push(bad);
                }
            }
        }
    }
    Ok((counts, bad_lines))
}

/// Applies a step to the rows of a file.
fn step(stage: &mut dyn Stage, from: &Path, folder: &Path) -> Result<()> {
    let mut writer = RowWriter::create(folder.join(ROWS), Layout::Messages)?;
    let mut run = StepRun::default();
    let mut beside = Vec::new();
    let scratch = folder.join(SCRATCH);
    stage.prepare(from, &scratch)?;
    let size = if stage.by_row() { CHUNK } else { usize::MAX };
    let mut reader = RowReader::<Example>::open(from)?;
    let dropped = folder.join(DROPPED);
    let mut failed = None;
    write_atomically(&dropped, |out| {
        let mut pass = || -> Result<()> {
            loop {
                let rows = take(&mut reader, size)?;
                if rows.is_empty() {
                    return Ok(());
                }
                let count = rows.len();
                let outcome = stage.apply(rows)?;
                check_sum(count, &outcome)?;
                run.kept += outcome.kept.len();
                run.changed += outcome.changed;
                for row in outcome.kept {
                    writer.write(&Row::Conversation(row))?;
                }
                for row in &outcome.dropped {
                    *run.dropped.entry(row.reason).or_default() += 1;
                    write_line(out, row).map_err(|source| Error::io(&dropped, source))?;
                }
                beside.extend(outcome.beside);
            }
        };
        failed = pass().err();
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    writer.finish()?;
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|source| Error::io(&scratch, source))?;
    }
    for (name, rows) in beside {
        crate::write_examples(folder.join(format!("{name}.jsonl")), &rows)?;
    }
    write_json(&folder.join(RUN), &run)
}

fn check_sum(count: usize, outcome: &Outcome) -> Result<()> {
    let (kept, dropped) = (outcome.kept.len(), outcome.dropped.len());
    if kept + dropped == count {
        return Ok(());
    }
    let reason = format!("{count} rows given, {kept} kept and {dropped} dropped");
    Err(Error::Model { what: "the step", reason })
}

fn copy_rows(from: &Path, to: &Path, report: &mut PipelineReport) -> Result<()> {
    let mut reader = RowReader::<Example>::open(from)?;
    let rows = std::iter::from_fn(|| match take(&mut reader, 1) {
        Ok(mut row) => row.pop().map(Ok),
        Err(error) => Some(Err(error)),
    });
    write_rows(to, rows, report)
}

fn write_rows(
    path: &Path,
    rows: impl Iterator<Item = Result<Example>>,
    report: &mut PipelineReport,
) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|source| Error::io(parent, source))?;
    }
    let mut writer = RowWriter::create(path, Layout::Messages)?;
    for row in rows {
        writer.write(&Row::Conversation(row?))?;
    }
    report.written.insert(path.to_owned(), writer.finish()?);
    Ok(())
}

/// `train.jsonl.gz` with `test`: `train.test.jsonl.gz`.
fn beside(path: &Path, name: &str) -> PathBuf {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = file.split_once('.').unwrap_or((&file, "jsonl"));
    path.with_file_name(format!("{stem}.{name}.{ending}"))
}

/// A line of the file of dropped rows.
#[derive(Serialize)]
pub(crate) struct DroppedLine<'a> {
    pub(crate) step: &'a str,
    #[serde(flatten)]
    pub(crate) row: &'a Dropped,
}

/// Dropped rows of all steps, each with the name of the step.
fn write_dropped(path: &Path, report: &PipelineReport) -> Result<()> {
    let mut failed = None;
    write_atomically(path, |out| {
        for (run, folder) in report.steps.iter().zip(report.folders.iter().skip(1)) {
            let done = each_dropped(folder, |row| {
                write_line(out, &DroppedLine { step: &run.name, row: &row })
                    .map_err(|source| Error::io(path, source))
            });
            if let Err(error) = done {
                failed = Some(error);
                break;
            }
        }
        Ok(())
    })?;
    failed.map_or(Ok(()), Err)
}
