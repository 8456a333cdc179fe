//! What the road starts from: a base, raw pairs, a test, documents, and what is not the domain.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use slm_core::{ChatTemplate, LocalModel};
use slm_data::{
    AnswerSchema, CurateConfig, Determined, Document, Example, SplitConfig, curate, read_documents,
    read_examples, split,
};
use slm_eval::Metric;

use super::ExpertConfig;
use crate::sandbox::{self, DirtConfig, OffDomain};
use crate::{Error, Result};

/// Share of the user's rows that must have one JSON form for it to be taken for the form of answers.
const SCHEMA_SHARE: f64 = 0.5;
const MIN_TEST: usize = 10;
const CLEAN_EXAMPLES: usize = 1000;

/// A question about the documents, and the sentence that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentQuestion {
    /// The question.
    pub question: String,
    /// Identifier of the document.
    pub document: String,
    /// The sentence.
    pub answer: String,
}

/// What the road starts from.
#[derive(Debug)]
pub struct Material {
    /// The model to specialise.
    pub base: LocalModel,
    /// Pairs as they come.
    pub raw: Vec<Example>,
    /// Lines of the user's file that could not be read.
    pub bad_lines: usize,
    /// Pairs to measure with; no group of them is among `raw`, except where somebody leaked them.
    pub test: Vec<Example>,
    /// What an answer looks like, where answers are JSON.
    pub schema: Option<AnswerSchema>,
    /// How an answer is scored.
    pub metric: Metric,
    /// General pairs to mix in.
    pub replay: Vec<Example>,
    /// General pairs to measure forgetting with.
    pub suite: Vec<Example>,
    /// To retrieve from; may be empty.
    pub documents: Vec<Document>,
    /// Questions about the documents, where they are known.
    pub document_questions: Vec<DocumentQuestion>,
    /// Questions of other domains to set thresholds with.
    pub off_calibration: Vec<String>,
    /// Questions of further domains to measure with.
    pub off_test: Vec<String>,
}

impl Material {
    /// Loads what the configuration names, and generates the rest.
    ///
    /// # Errors
    /// When a file cannot be read or holds too little.
    pub fn gather(config: &ExpertConfig, device: &Device) -> Result<Self> {
        let base = match &config.model {
            None => crate::base::embedded(device)?,
            Some(directory) => load_base(directory, device)?,
        };
        let (raw, test, schema, bad_lines) = match &config.data {
            None => generated(config)?,
            Some(path) => from_file(path, config)?,
        };
        let (documents, document_questions) = match (&config.documents, &config.data) {
            (Some(folder), _) => (read_documents(folder)?.items, Vec::new()),
            (None, None) => (sandbox::runbooks(), runbook_questions(config.seed)),
            (None, Some(_)) => (Vec::new(), Vec::new()),
        };
        let metric = if schema.is_some() { Metric::JsonExactMatch } else { Metric::ExactMatch };
        Ok(Self {
            base,
            raw,
            bad_lines,
            test,
            schema,
            metric,
            replay: sandbox::general_examples(10_000, config.seed),
            suite: sandbox::general_suite(config.suite_questions, config.seed),
            documents,
            document_questions,
            off_calibration: sandbox::off_domain_questions(OffDomain::Calibration, 200, config.seed),
            off_test: sandbox::off_domain_questions(OffDomain::Test, 200, config.seed),
        })
    }
}

/// A directory without a chat template gets a plain one.
fn load_base(directory: &Path, device: &Device) -> Result<LocalModel> {
    let mut model = LocalModel::load(directory, device)?;
    if model.template.is_none() {
        model.template = Some(ChatTemplate::plain(directory)?);
    }
    Ok(model)
}

type Pairs = (Vec<Example>, Vec<Example>, Option<AnswerSchema>, usize);

/// Log triage: clean pairs, split by group, then soiled as the wild would.
fn generated(config: &ExpertConfig) -> Result<Pairs> {
    let clean = sandbox::domain_examples(CLEAN_EXAMPLES, config.seed);
    let share = SplitConfig { validation: 0.0, test: 0.25, seed: config.seed };
    let mut parts = split(clean, &share)?;
    parts.test.truncate(config.test_questions);
    let raw = sandbox::dirty(&parts.train, &parts.test, &DirtConfig::default(), config.seed);
    Ok((raw, parts.test, Some(triage_schema()), 0))
}

/// What the team knows about its answers: the form, what stands in the line, and that the code decides.
fn triage_schema() -> AnswerSchema {
    let keys = sandbox::answer_keys().map(String::from).to_vec();
    let allowed: BTreeMap<String, Vec<String>> = keys
        .iter()
        .filter_map(|key| {
            Some((key.clone(), sandbox::allowed_values(key)?.into_iter().map(String::from).collect()))
        })
        .collect();
    let determined =
        ["severity", "action"].map(|key| Determined { by: "code".into(), key: key.into() }).to_vec();
    let grounded = sandbox::grounded_keys().map(String::from).to_vec();
    AnswerSchema { keys, grounded, allowed, determined, ..AnswerSchema::default() }
}

/// The user's pairs; the test part is curated by the same rules, so that nobody is measured against dirt.
fn from_file(path: &Path, config: &ExpertConfig) -> Result<Pairs> {
    let loaded = read_examples(path)?;
    let schema = AnswerSchema::infer(&loaded.items, SCHEMA_SHARE);
    let share = SplitConfig { validation: 0.0, test: 0.2, seed: config.seed };
    let parts = split(loaded.items, &share)?;
    let rules = CurateConfig { schema: schema.clone(), ..CurateConfig::default() };
    let mut test = curate(parts.test, &[], &rules)?.kept;
    test.truncate(config.test_questions);
    if test.len() < MIN_TEST {
        return Err(Error::TooLittle {
            what: "clean pairs for the test",
            found: test.len(),
            needed: MIN_TEST,
            hint: "give more pairs; a fifth of them is kept apart for the test",
        });
    }
    Ok((parts.train, test, schema, loaded.skipped.len()))
}

fn runbook_questions(seed: u64) -> Vec<DocumentQuestion> {
    let questions = sandbox::runbook_questions(seed).into_iter();
    questions.map(|(question, document, answer)| DocumentQuestion { question, document, answer }).collect()
}
