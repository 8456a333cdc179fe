//! A suite, run on a model: [`Suite::run`].

use std::collections::BTreeMap;

use serde::Deserialize;
use slm_core::{Citation, LanguageModel, LocalModel, Message};

use super::rows::{self, Row};
use super::{Measure, Suite, SuiteResult, Task, TaskKind, TaskResult};
use crate::evaluate::{EvalConfig, Evaluation, Item, evaluate_items};
use crate::instructions::{InstructionScores, InstructionTask};
use crate::likelihood::{ChoiceRow, Choices, LikelihoodConfig, TextLikelihood, choose, text_likelihood};
use crate::metrics::{Binning, Calibration, JsonSchema, Metric, RiskCoverage};
use crate::{Error, Result};

/// Bins of the calibration error, as most papers have it.
const BINS: usize = 15;

type Measures = BTreeMap<String, Measure>;

/// What a suite is run on.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// A model of this machine: it answers, and says what it finds likely.
    Local(&'a LocalModel),
    /// Anything that answers.
    Answering(&'a dyn LanguageModel),
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subject({})", self.model().name())
    }
}

impl<'a> Subject<'a> {
    fn model(self) -> &'a dyn LanguageModel {
        match self {
            Self::Local(model) => model,
            Self::Answering(model) => model,
        }
    }

    fn local(self, task: &str) -> Result<&'a LocalModel> {
        match self {
            Self::Local(model) => Ok(model),
            Self::Answering(model) => {
                Err(Error::NoLikelihood { model: model.name().to_owned(), task: task.to_owned() })
            }
        }
    }
}

impl Suite {
    /// Runs all tasks on `subject`, and holds the results against the gates and, where a gate asks for it, against a
    /// `baseline`. `progress` is called with the task's name, and the number of its rows done and of all.
    ///
    /// # Errors
    /// When rows cannot be read or do not fit their templates, a task needs what the subject cannot do, or a setting
    /// is out of range. A request that fails is a row that scores 0, a gate that closes is a verdict: not errors.
    pub fn run(
        &self,
        subject: Subject<'_>,
        baseline: Option<&SuiteResult>,
        progress: &mut dyn FnMut(&str, usize, usize),
    ) -> Result<SuiteResult> {
        let run =
            |task: &Task| self.run_task(task, subject, &mut |done, all| progress(&task.name, done, all));
        let tasks = self.tasks.iter().map(run).collect::<Result<Vec<_>>>()?;
        let (suite, model) = (self.name.clone(), subject.model().name().to_owned());
        let mut result = SuiteResult { suite, model, tasks, verdicts: Vec::new() };
        let judge = |gate: &super::Gate| gate.judge(&result, baseline, (self.seed, self.level));
        result.verdicts = self.gates.iter().map(judge).collect();
        Ok(result)
    }

    fn run_task(
        &self,
        task: &Task,
        subject: Subject<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TaskResult> {
        let rows = rows::read(&task.rows, task.limit)?;
        let mut asked = String::new();
        let (measures, evaluation) = match &task.kind {
            TaskKind::Answers { metrics, schema, .. } => {
                let items = rows.iter().map(|row| item(row, &task.kind)).collect::<Result<Vec<_>>>()?;
                items.iter().for_each(|item| asked.push_str(&format!("{item:?}")));
                let metric = metrics.first().copied().unwrap_or_default();
                let evaluation = evaluate_items(subject.model(), &items, &self.config(metric), progress)?;
                let mut measures = self.of_answers(&evaluation, metrics)?;
                if let Some(schema) = schema {
                    let valid = self.valid(&evaluation, &JsonSchema::new(schema)?)?;
                    measures.insert("schema_valid".into(), valid);
                }
                (measures, Some(evaluation))
            }
            TaskKind::Choices { prompt, choices, answer } => {
                let questions = rows
                    .iter()
                    .map(|row| choice(row, prompt, choices, answer))
                    .collect::<Result<Vec<_>>>()?;
                questions.iter().for_each(|question| asked.push_str(&format!("{question:?}")));
                (self.of_choices(subject.local(&task.name)?, &questions, progress)?, None)
            }
            TaskKind::Texts { text } => {
                let texts = rows.iter().map(|row| row.fill(text)).collect::<Result<Vec<_>>>()?;
                asked = texts.concat();
                (self.of_texts(subject.local(&task.name)?, &texts, progress)?, None)
            }
            TaskKind::Instructions => {
                let tasks = rows.iter().map(Row::parse).collect::<Result<Vec<InstructionTask>>>()?;
                tasks.iter().for_each(|task| asked.push_str(&format!("{task:?}")));
                self.of_instructions(subject.model(), &tasks, progress)?
            }
        };
        let fingerprint = format!("{}-{:08x}", rows.len(), crc32fast::hash(asked.as_bytes()));
        Ok(TaskResult { name: task.name.clone(), fingerprint, measures, evaluation })
    }

    fn config(&self, metric: Metric) -> EvalConfig {
        let (generation, cost) = (self.generation.clone(), self.cost.clone());
        EvalConfig { metric, generation, cost, level: self.level, seed: self.seed }
    }

    fn mean(&self, rows: Vec<f64>) -> Result<Measure> {
        Measure::mean(rows, self.seed, self.level)
    }

    fn of_answers(&self, evaluation: &Evaluation, metrics: &[Metric]) -> Result<Measures> {
        let mut measures = of_speed(evaluation);
        for metric in metrics {
            let scores =
                evaluation.rows.iter().map(|row| row.score_under(*metric)).collect::<Result<Vec<_>>>()?;
            measures.insert(metric.key().into(), self.mean(scores)?);
        }
        let cited: Vec<_> = evaluation.rows.iter().filter_map(|row| row.citation_score).collect();
        if !cited.is_empty() {
            let mean =
                |of: fn(&crate::metrics::CitationScore) -> f64| self.mean(cited.iter().map(of).collect());
            measures.insert("citation_precision".into(), mean(|c| c.bytes.precision)?);
            measures.insert("citation_recall".into(), mean(|c| c.bytes.recall)?);
            measures.insert("citation_f1".into(), mean(|c| c.bytes.f1)?);
        }
        let sure = |row: &crate::Row| Some((row.confidence()?, row.correct));
        let (confidence, correct): (Vec<f64>, Vec<bool>) = evaluation.rows.iter().filter_map(sure).unzip();
        if !confidence.is_empty() {
            let calibration = Calibration::of(&confidence, &correct, Binning::Width, BINS)?;
            let risk = RiskCoverage::of(&confidence, &correct)?;
            measures.insert("calibration_error".into(), Measure::lower(calibration.expected_error));
            measures.insert("brier".into(), Measure::lower(calibration.brier));
            measures.insert("aurc".into(), Measure::lower(risk.aurc));
            measures.insert("excess_aurc".into(), Measure::lower(risk.excess));
        }
        Ok(measures)
    }

    fn valid(&self, evaluation: &Evaluation, schema: &JsonSchema) -> Result<Measure> {
        let valid = |row: &crate::Row| f64::from(u8::from(row.answer().is_some_and(|a| schema.is_valid(a))));
        self.mean(evaluation.rows.iter().map(valid).collect())
    }

    fn of_choices(
        &self,
        model: &LocalModel,
        questions: &[Choices],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Measures> {
        let mut rows = Vec::with_capacity(questions.len());
        for question in questions {
            rows.push(choose(model, question, &LikelihoodConfig::default())?);
            progress(rows.len(), questions.len());
        }
        let measure = |picked: fn(&ChoiceRow) -> usize| {
            self.mean(rows.iter().map(|row| f64::from(u8::from(picked(row) == row.gold))).collect())
        };
        Ok(Measures::from([
            ("acc".into(), measure(|row| row.picked)?),
            ("acc_norm".into(), measure(|row| row.picked_per_character)?),
            ("acc_bytes".into(), measure(|row| row.picked_per_byte)?),
        ]))
    }

    fn of_texts(
        &self,
        model: &LocalModel,
        texts: &[String],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Measures> {
        let mut found = Vec::with_capacity(texts.len());
        for text in texts {
            found.push(text_likelihood(model, text, &LikelihoodConfig::default())?);
            progress(found.len(), texts.len());
        }
        let bits = found.iter().map(|text| TextLikelihood::bits_per_byte(&[*text])).collect();
        let bytes = found.iter().map(|text| text.bytes as f64).collect();
        Ok(Measures::from([
            ("bits_per_byte".into(), Measure::weighted_loss(bits, bytes, self.seed, self.level)?),
            ("byte_perplexity".into(), Measure::lower(TextLikelihood::byte_perplexity(&found))),
            ("word_perplexity".into(), Measure::lower(TextLikelihood::word_perplexity(&found))),
        ]))
    }

    fn of_instructions(
        &self,
        model: &dyn LanguageModel,
        tasks: &[InstructionTask],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Measures, Option<Evaluation>)> {
        let items: Vec<Item> =
            tasks.iter().map(|task| Item::new(&task.prompt, [""; 0], "instructions")).collect();
        let mut evaluation = evaluate_items(model, &items, &self.config(Metric::default()), progress)?;
        let mut followed = Vec::with_capacity(tasks.len());
        for (task, row) in tasks.iter().zip(&mut evaluation.rows) {
            let found = task.check(row.answer().unwrap_or_default())?;
            row.correct = !found.strict.contains(&Some(false));
            row.score = f64::from(u8::from(row.correct));
            followed.push(found);
        }
        let evaluation = Evaluation::of(&evaluation.model, evaluation.rows, &evaluation.config)?;
        let scores = InstructionScores::of(&followed)?;
        let mut measures = of_speed(&evaluation);
        let strict = evaluation.rows.iter().map(|row| row.score).collect();
        measures
            .insert("prompt_strict".into(), Measure { value: scores.prompt_strict, ..self.mean(strict)? });
        for (name, value) in [
            ("instruction_strict", scores.instruction_strict),
            ("prompt_loose", scores.prompt_loose),
            ("instruction_loose", scores.instruction_loose),
        ] {
            measures.insert(name.into(), Measure::higher(value));
        }
        measures.insert("unchecked".into(), Measure::lower(scores.unchecked as f64));
        Ok((measures, Some(evaluation)))
    }
}

/// What the answers took and cost.
fn of_speed(evaluation: &Evaluation) -> Measures {
    let s = &evaluation.summary;
    let mut measures = Measures::from([
        ("p50_seconds".into(), Measure::lower(s.latency.p50)),
        ("p99_seconds".into(), Measure::lower(s.latency.p99)),
        ("failure_rate".into(), Measure::lower(s.failed as f64 / s.count as f64)),
        ("abstention_rate".into(), Measure::lower(s.abstention_rate)),
        ("cost_per_query".into(), Measure::lower(s.cost.per_query)),
    ]);
    if let Some(first) = s.first_text {
        measures.insert("first_text_p99_seconds".into(), Measure::lower(first.p99));
    }
    if let Some(cost) = s.cost.per_correct {
        measures.insert("cost_per_correct".into(), Measure::lower(cost));
    }
    if let Some(rate) = s.tokens_per_second {
        measures.insert("tokens_per_second".into(), Measure::higher(rate));
    }
    measures
}

/// A span of evidence, as rows name it.
#[derive(Deserialize)]
struct Span {
    source: String,
    start: usize,
    end: usize,
}

fn item(row: &Row<'_>, kind: &TaskKind) -> Result<Item> {
    let TaskKind::Answers { prompt, system, answers, evidence, group, .. } = kind else {
        return Err(row.error("this task has no answers"));
    };
    let group = group.as_ref().map_or_else(|| Ok(row.file()), |group| row.fill(group))?;
    let mut item = Item::new(row.fill(prompt)?, row.texts(answers)?, group);
    if let Some(system) = system {
        item.messages.insert(0, Message::system(row.fill(system)?));
    }
    if let Some(evidence) = evidence {
        let spans: Vec<Span> = serde_json::from_value(row.value(evidence)?).map_err(|e| row.error(e))?;
        let cite = |s: Span| Citation { source: s.source, start: s.start, end: s.end, text: String::new() };
        item.evidence = Some(spans.into_iter().map(cite).collect());
    }
    Ok(item)
}

fn choice(row: &Row<'_>, prompt: &str, choices: &str, answer: &str) -> Result<Choices> {
    let texts = row.texts(choices)?;
    let gold = match row.value(answer)? {
        serde_json::Value::String(text) => texts.iter().position(|choice| *choice == text),
        value => value.as_u64().and_then(|at| usize::try_from(at).ok()),
    };
    let gold = gold.filter(|gold| *gold < texts.len());
    let gold = gold.ok_or_else(|| row.error(format!("`{answer}` is none of the {} choices", texts.len())))?;
    Ok(Choices { context: row.fill(prompt)?, choices: texts, gold, source: row.file() })
}
