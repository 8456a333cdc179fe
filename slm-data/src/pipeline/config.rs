//! [`PipelineConfig`]: the steps as one TOML file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clean::CleanConfig;
use crate::curate::{
    AnswerSchema, ContradictionConfig, CurateConfig, DecontaminationConfig, LanguageConfig, LengthConfig,
    NearDuplicateConfig, PiiConfig, QualityConfig, RefusalConfig, Switch, ToxicityConfig, WebConfig,
};
use crate::io::row_files;
use crate::select::SelectConfig;
use crate::{Error, Result, SplitConfig};

/// Inputs, named steps and outputs.
///
/// ```
/// let config: slm_data::PipelineConfig = slm_data::PipelineConfig::parse(r#"
///     cache = "cache"
///
///     [[input]]
///     path = "chats.jsonl"
///     licence = "CC-BY-4.0"
///
///     [[step]]
///     name = "repair"
///     clean = { markup = "on" }
///
///     [[step]]
///     name = "private"
///     pii = {}
///
///     [[step]]
///     name = "twins"
///     near_duplicates = { threshold = 0.8 }
///
///     [output]
///     rows = "train.jsonl"
///     card = "card.html"
/// "#)?;
/// assert_eq!(config.step[2].name, "twins");
/// # Ok::<(), slm_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Folder of what the steps made, by content: a step that has nothing new to do is not run again.
    #[serde(default = "default_cache")]
    pub cache: PathBuf,
    /// MiB of rows above which near duplicates are compared through files beside the cache, with the same outcome.
    #[serde(default = "default_memory")]
    pub memory_mib: u64,
    /// Files of rows, in any format and schema.
    pub input: Vec<InputConfig>,
    /// Files of the evaluation set, for decontamination.
    #[serde(default)]
    pub evaluation: Vec<PathBuf>,
    /// The steps, in order.
    #[serde(default)]
    pub step: Vec<StepConfig>,
    /// What is written.
    pub output: OutputConfig,
}

fn default_cache() -> PathBuf {
    ".slm-data".into()
}

fn default_memory() -> u64 {
    1024
}

/// A file of rows, or a folder of such files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The file; of a folder, all files in it and below with a known ending, by their paths.
    pub path: PathBuf,
    /// Licence of rows that do not name one.
    #[serde(default)]
    pub licence: Option<String>,
}

/// A named step: `name`, and one key that says what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct StepConfig {
    /// Its name in reports.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub kind: StepKind,
}

impl TryFrom<toml::Table> for StepConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let Some(toml::Value::String(name)) = table.remove("name") else {
            return Err("a step has no `name`".to_owned());
        };
        if table.len() != 1 {
            let keys: Vec<&str> = table.keys().map(String::as_str).collect();
            return Err(format!(
                "step `{name}` has the keys [{}], not one that says what it does",
                keys.join(", ")
            ));
        }
        let kind = StepKind::deserialize(toml::Value::Table(table));
        Ok(Self { kind: kind.map_err(|error| format!("step `{name}`: {error}"))?, name })
    }
}

/// What a step does, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// Repairs texts.
    Clean(CleanConfig),
    /// Personal data and secrets.
    Pii(PiiConfig),
    /// Turns that are missing or empty, and characters of question and answer.
    Length(LengthConfig),
    /// Rules for pages of text.
    Web(WebConfig),
    /// Refusals and template phrases.
    Refusals(RefusalConfig),
    /// Words that no row may hold.
    Toxicity(ToxicityConfig),
    /// Repetition and gibberish.
    Quality(QualityConfig),
    /// Languages.
    Language(LanguageConfig),
    /// Answers that were cut off.
    Truncation {},
    /// The form that answers must have.
    Schema(AnswerSchema),
    /// Overlap with the evaluation set.
    Decontamination(DecontaminationConfig),
    /// Rows that answer the same question differently.
    Contradictions(ContradictionConfig),
    /// Rows that are equal.
    ExactDuplicates {},
    /// Rows that are almost equal.
    NearDuplicates(NearDuplicateConfig),
    /// Rows whose score by rules is below this.
    MinScore(f64),
    /// The best and most diverse rows, by rules and words; the controls are written beside them.
    Select(SelectConfig),
    /// All steps of [`curate`](crate::curate()) in its order.
    Curate(Box<CurateConfig>),
}

impl StepKind {
    /// The settings of [`curate`](crate::curate()) with this step alone; `None` for steps of another kind.
    pub(super) fn curation(&self) -> Option<CurateConfig> {
        let mut config = CurateConfig::none();
        match self.clone() {
            Self::Clean(clean) => config.clean = Some(clean),
            Self::Pii(pii) => config.pii = pii,
            Self::Length(length) => config.length = Some(length),
            Self::Web(web) => config.web = Some(web),
            Self::Refusals(refusals) => config.refusals = Some(refusals),
            Self::Toxicity(toxicity) => config.toxicity = Some(toxicity),
            Self::Quality(quality) => config.quality = Some(quality),
            Self::Language(language) => config.language = Some(language),
            Self::Truncation {} => config.truncation = Switch::On,
            Self::Schema(schema) => config.schema = Some(schema),
            Self::Decontamination(words) => config.decontamination = Some(words),
            Self::Contradictions(contradictions) => config.contradictions = Some(contradictions),
            Self::ExactDuplicates {} => config.exact_duplicates = Switch::On,
            Self::NearDuplicates(near) => config.near_duplicates = Some(near),
            Self::Curate(all) => config = *all,
            Self::MinScore(_) | Self::Select(_) => return None,
        }
        Some(config)
    }

    /// The list of words, if the step has one.
    fn toxicity(&mut self) -> Option<&mut ToxicityConfig> {
        match self {
            Self::Toxicity(toxicity) => Some(toxicity),
            Self::Curate(all) => all.toxicity.as_mut(),
            _ => None,
        }
    }

    /// Reads the files that settings name, so that what the step does follows from the settings alone.
    fn inline(&mut self) -> Result<()> {
        if let Some(toxicity) = self.toxicity() {
            *toxicity = toxicity.inlined()?;
        }
        Ok(())
    }

    /// Whether each row is judged alone, so that any number of them passes through in bounded memory.
    pub(crate) fn by_row(&self) -> bool {
        match self {
            Self::Clean(_) | Self::Pii(_) | Self::Length(_) | Self::Web(_) | Self::Refusals(_) => true,
            Self::Toxicity(_)
            | Self::Quality(_)
            | Self::Language(_)
            | Self::Truncation {}
            | Self::MinScore(_) => true,
            Self::Schema(schema) => schema.determined.is_empty(),
            _ => false,
        }
    }
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// The rows that are left: the training part where there is a split. The name decides the format.
    pub rows: PathBuf,
    /// Rows that were dropped, each with step, reason and what gave it away, as JSON lines.
    #[serde(default)]
    pub dropped: Option<PathBuf>,
    /// Lines that are no rows, with file, number and reason, as JSON lines.
    #[serde(default)]
    pub quarantine: Option<PathBuf>,
    /// The data card: an HTML page, and the same as JSON beside it.
    #[serde(default)]
    pub card: Option<PathBuf>,
    /// Parts, written beside `rows` with `.validation` and `.test` in their names. Training rows that almost
    /// equal a row of the other parts are dropped.
    #[serde(default)]
    pub split: Option<SplitConfig>,
}

impl PipelineConfig {
    /// Reads a TOML file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// When it cannot be read, or a setting is unknown or of the wrong kind.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        let mut config = Self::parse(&text)?;
        let base = path.parent().unwrap_or(Path::new(""));
        for list in config.step.iter_mut().filter_map(|step| step.kind.toxicity()?.list.as_mut()) {
            *list = base.join(&*list);
        }
        let OutputConfig { rows, dropped, quarantine, card, .. } = &mut config.output;
        let inputs = config.input.iter_mut().map(|input| &mut input.path);
        let paths = inputs.chain(&mut config.evaluation).chain([rows, &mut config.cache]);
        for path in paths.chain(dropped).chain(quarantine).chain(card) {
            *path = base.join(&*path);
        }
        Ok(config)
    }

    /// Reads TOML text; paths stay as they are.
    ///
    /// # Errors
    /// When a setting is unknown or of the wrong kind.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::config("pipeline", error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks the settings, lists the files of folders, and reads the files that settings name.
    pub(crate) fn resolve(&mut self) -> Result<()> {
        self.check()?;
        let mut files = Vec::new();
        for InputConfig { path, licence } in &self.input {
            let licence = || licence.clone();
            files.extend(row_files(path)?.into_iter().map(|path| InputConfig { path, licence: licence() }));
        }
        self.input = files;
        self.step.iter_mut().try_for_each(|step| step.kind.inline())
    }

    fn check(&self) -> Result<()> {
        if self.input.is_empty() {
            return Err(Error::config("input", "no file is given"));
        }
        let mut names = std::collections::BTreeSet::new();
        for step in &self.step {
            if !names.insert(step.name.as_str()) {
                return Err(Error::config("step.name", format!("`{}` is there twice", step.name)));
            }
            if matches!(step.kind, StepKind::Decontamination(_)) && self.evaluation.is_empty() {
                return Err(Error::config("evaluation", format!("step `{}` needs a file", step.name)));
            }
            if let Some(config) = step.kind.curation() {
                config.check()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let with =
            |step: &str| format!("[[input]]\npath=\"a\"\n[[step]]\nname=\"s\"\n{step}\n[output]\nrows=\"b\"");
        for (text, expected) in [
            ("[output]\nrows=\"b\"".to_owned(), "input"),
            (with("near_duplicate = {}"), "near_duplicate"),
            (with("near_duplicates = { threshold = 2.0 }"), "near_duplicates.threshold"),
            (with("decontamination = {}"), "evaluation"),
            (with("length = { shortest = 1 }"), "shortest"),
            (with("truncation = {}\n[[step]]\nname=\"s\"\ntruncation={}"), "twice"),
        ] {
            let message =
                PipelineConfig::parse(&text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{text}: {message}");
        }
        for good in [
            "truncation = {}",
            "min_score = 0.5",
            "select = { count = 5, method = { spread = 0.9 } }",
            "curate = {}",
        ] {
            assert!(
                PipelineConfig::parse(&with(good)).is_ok(),
                "{good}: {:?}",
                PipelineConfig::parse(&with(good))
            );
        }
    }
}
