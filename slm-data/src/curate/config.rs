//! [`CurateConfig`]: which steps run, and how strict they are.

use serde::{Deserialize, Serialize};
use whatlang::Lang;

use super::pii::{PiiAction, PiiConfig};
use super::reason::{DropReason, Verdict};
use super::schema::AnswerSchema;
use super::toxicity::ToxicityConfig;
use crate::clean::{C4Rules, CleanConfig, GopherRules};
use crate::duplicates::{Shingle, Similarity};
use crate::{Error, Example, Result};

/// Whether a step without settings of its own runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// It runs.
    #[default]
    On,
    /// It does not.
    Off,
}

/// Which steps of [`curate`](crate::curate) run, and how strict they are. `null` (`None`) turns a step off.
///
/// The defaults are for short instruction data in English. They were set so that real logs, code and
/// question-and-answer collections lose next to nothing to the heuristic steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CurateConfig {
    /// Repairs of the texts, before anything else.
    pub clean: Option<CleanConfig>,
    /// Personal data and secrets.
    pub pii: PiiConfig,
    /// Characters of question and answer.
    pub length: Option<LengthConfig>,
    /// Rules for pages of text, on the answers; off by default.
    pub web: Option<WebConfig>,
    /// Refusals and template phrases.
    pub refusals: Option<RefusalConfig>,
    /// Words that no row may hold; off by default.
    pub toxicity: Option<ToxicityConfig>,
    /// Repetition and gibberish.
    pub quality: Option<QualityConfig>,
    /// Languages.
    pub language: Option<LanguageConfig>,
    /// Answers that end within JSON or within a code block.
    pub truncation: Switch,
    /// The form that answers must have; off by default.
    pub schema: Option<AnswerSchema>,
    /// Overlap with the evaluation set.
    pub decontamination: Option<DecontaminationConfig>,
    /// Rows that answer the same question differently.
    pub contradictions: Option<ContradictionConfig>,
    /// Rows that are equal but for case, white space and Unicode form.
    pub exact_duplicates: Switch,
    /// Rows whose questions are almost equal.
    pub near_duplicates: Option<NearDuplicateConfig>,
}

impl Default for CurateConfig {
    fn default() -> Self {
        Self {
            clean: Some(CleanConfig::default()),
            pii: PiiConfig::default(),
            length: Some(LengthConfig::default()),
            web: None,
            refusals: Some(RefusalConfig::default()),
            toxicity: None,
            quality: Some(QualityConfig::default()),
            language: Some(LanguageConfig::default()),
            truncation: Switch::On,
            schema: None,
            decontamination: Some(DecontaminationConfig::default()),
            contradictions: Some(ContradictionConfig::default()),
            exact_duplicates: Switch::On,
            near_duplicates: Some(NearDuplicateConfig::default()),
        }
    }
}

/// Allowed numbers of characters, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthConfig {
    /// Shortest question.
    pub min_question: usize,
    /// Longest question.
    pub max_question: usize,
    /// Shortest answer.
    pub min_answer: usize,
    /// Longest answer.
    pub max_answer: usize,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self { min_question: 3, max_question: 16_384, min_answer: 1, max_answer: 16_384 }
    }
}

/// Rules for pages of text; `null` (`None`) turns one off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Quality and repetition.
    pub gopher: Option<GopherRules>,
    /// Whole sentences. Lines that do not pass stay in the row; only whole texts are judged here.
    pub c4: Option<C4Rules>,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { gopher: Some(GopherRules::default()), c4: Some(C4Rules::default()) }
    }
}

impl WebConfig {
    pub(crate) fn judge(&self, example: &Example) -> Option<Verdict> {
        let text = example.answer();
        let gopher = self.gopher.as_ref().and_then(|rules| rules.check(text));
        let found = gopher.or_else(|| self.c4.as_ref().and_then(|rules| rules.check(text).err()))?;
        Some(Verdict::new(DropReason::WebText, format!("{found:?}")))
    }
}

/// How refusals are recognised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalConfig {
    /// Phrases that drop a row wherever they stand in an answer, besides the built-in ones. Case and white
    /// space do not matter.
    pub phrases: Vec<String>,
}

/// Limits of the repetition and gibberish rules (after Gopher, Rae et al. 2021, fitted to short texts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Largest share of one word among the words of a text of 12 words or more.
    pub max_top_word: f64,
    /// Largest share of three-word sequences of an answer that occurred in it before.
    pub max_repeated_trigrams: f64,
    /// Smallest share of letters and digits among the visible characters of a text that is not JSON.
    pub min_alphanumeric: f64,
    /// Smallest share of vowels among the Latin letters of a text with 24 of them.
    pub min_vowels: f64,
    /// Largest share of letters that stand in a run of four or more consonants.
    pub max_consonant_runs: f64,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self {
            max_top_word: 0.5,
            max_repeated_trigrams: 0.7,
            min_alphanumeric: 0.15,
            min_vowels: 0.12,
            max_consonant_runs: 0.4,
        }
    }
}

/// Which languages stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// ISO 639-3 codes: `eng`, `deu`, `fra`.
    pub allowed: Vec<String>,
    /// Letters in plain words, each different word once, that question and answer must have together before
    /// the detector is asked. A Chinese character counts as three.
    pub min_letters: usize,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self { allowed: vec!["eng".to_owned()], min_letters: 60 }
    }
}

/// How overlap with the evaluation set is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecontaminationConfig {
    /// Words of a sequence; one shared sequence is enough. Shorter questions must be equal.
    pub words: usize,
    /// A sequence in more different training questions than this is a phrase of a template and does not
    /// count (Brown et al. 2020, appendix C).
    pub common: usize,
    /// Smallest similarity (Jaccard of the questions' character 5-grams) to a question of the evaluation set
    /// at which a row is dropped; `null` (`None`), the default, compares sequences of words only. Rows of one
    /// template are similar without being leaks.
    pub similarity: Option<f64>,
}

impl Default for DecontaminationConfig {
    fn default() -> Self {
        Self { words: 8, common: 10, similarity: None }
    }
}

/// When one of several answers to the same question stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContradictionConfig {
    /// Smallest share of the votes; every source has one.
    pub majority: f64,
    /// Fewest rows that give the answer.
    pub min_rows: usize,
    /// Which answers can contradict each other.
    pub answers: ContradictionScope,
}

/// Which answers can contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContradictionScope {
    /// Those to questions of which an answer is JSON or has at most three words. Texts can differ and all
    /// be right.
    #[default]
    Closed,
    /// Those, and texts that say the same of the same question but for a number, a name or a negation. Questions
    /// are the same here when their content words are.
    Facts,
    /// All.
    All,
}

impl Default for ContradictionConfig {
    fn default() -> Self {
        Self { majority: 2.0 / 3.0, min_rows: 2, answers: ContradictionScope::Closed }
    }
}

/// When two rows are near duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NearDuplicateConfig {
    /// Smallest Jaccard similarity of the sets of sequences, above 0 and at most 1.
    pub threshold: f64,
    /// What the sets consist of.
    pub shingle: Shingle,
    /// Which text of a row.
    pub compared: Compared,
    /// Sequences in more than this share of the rows (and in more than 50 rows) belong to the template of the
    /// texts and are left out; 1 keeps all.
    pub template_share: f64,
    /// Whether answers are looked at too.
    pub rule: NearRule,
}

impl Default for NearDuplicateConfig {
    fn default() -> Self {
        Self {
            threshold: 0.85,
            shingle: Shingle::default(),
            compared: Compared::Question,
            template_share: 0.5,
            rule: NearRule::SameMeaning,
        }
    }
}

/// Which text of rows is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// All user turns.
    #[default]
    Question,
    /// The last answer.
    Answer,
    /// The question, and the answer after it.
    Both,
}

/// Which rows with similar questions are duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NearRule {
    /// All of them.
    SimilarQuestion,
    /// Those whose answers do not repeat what differs between the questions. Two log lines that differ in
    /// the time are duplicates where the answer does not name the time; two that differ in the host are
    /// none where the answer names the host.
    #[default]
    SameMeaning,
}

impl CurateConfig {
    /// No step but that of turns that are missing or empty.
    pub fn none() -> Self {
        Self {
            clean: None,
            pii: PiiConfig { action: PiiAction::Keep, ..PiiConfig::default() },
            length: None,
            web: None,
            refusals: None,
            toxicity: None,
            quality: None,
            language: None,
            truncation: Switch::Off,
            schema: None,
            decontamination: None,
            contradictions: None,
            exact_duplicates: Switch::Off,
            near_duplicates: None,
        }
    }

    /// Whether all settings are in range.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(length) = &self.length {
            ordered("length.min_question", length.min_question, length.max_question)?;
            ordered("length.min_answer", length.min_answer, length.max_answer)?;
        }
        if let Some(q) = &self.quality {
            share("quality.max_top_word", q.max_top_word)?;
            share("quality.max_repeated_trigrams", q.max_repeated_trigrams)?;
            share("quality.min_alphanumeric", q.min_alphanumeric)?;
            share("quality.min_vowels", q.min_vowels)?;
            share("quality.max_consonant_runs", q.max_consonant_runs)?;
        }
        if let Some(language) = &self.language {
            language.languages()?;
        }
        if let Some(schema) = &self.schema {
            schema.check()?;
        }
        if self.decontamination.as_ref().is_some_and(|d| d.words == 0) {
            return Err(Error::config("decontamination.words", "expected at least 1, got 0"));
        }
        if let Some(similarity) = self.decontamination.as_ref().and_then(|d| d.similarity) {
            share("decontamination.similarity", similarity)?;
        }
        if let Some(contradictions) = &self.contradictions {
            share("contradictions.majority", contradictions.majority)?;
        }
        self.near_duplicates.as_ref().map_or(Ok(()), NearDuplicateConfig::check)
    }
}

impl NearDuplicateConfig {
    pub(crate) fn check(&self) -> Result<()> {
        self.similarity().check().map_err(|error| match error {
            Error::Config { field, reason } => {
                Error::config(field.replace("similarity", "near_duplicates"), reason)
            }
            other => other,
        })
    }

    pub(crate) fn similarity(&self) -> Similarity {
        let Self { threshold, shingle, template_share, .. } = *self;
        Similarity { threshold, shingle, template_share }
    }
}

impl LanguageConfig {
    /// The allowed languages.
    pub(crate) fn languages(&self) -> Result<Vec<Lang>> {
        let code = |code: &String| {
            Lang::from_code(code.as_str()).ok_or_else(|| {
                let known: Vec<&str> = Lang::all().iter().map(|lang| lang.code()).collect();
                let reason = format!("unknown language `{code}`\nhint: one of {}", known.join(", "));
                Error::config("language.allowed", reason)
            })
        };
        if self.allowed.is_empty() {
            let reason = "no language is allowed\nhint: set `language` to null to keep all";
            return Err(Error::config("language.allowed", reason));
        }
        self.allowed.iter().map(code).collect()
    }
}

/// Whether a share is within 0 and 1.
pub(crate) fn share(field: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("expected 0 to 1, got {value}")))
}

fn ordered(field: &str, low: usize, high: usize) -> Result<()> {
    if low <= high {
        return Ok(());
    }
    Err(Error::config(field, format!("expected at most {high}, got {low}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> serde_json::Result<CurateConfig> {
        serde_json::from_str(text)
    }

    #[test]
    fn json_may_name_only_what_differs() -> serde_json::Result<()> {
        let config = parse(r#"{"near_duplicates":{"threshold":0.8},"language":null,"truncation":"off"}"#)?;
        let near = NearDuplicateConfig { threshold: 0.8, ..NearDuplicateConfig::default() };
        let expected = CurateConfig {
            near_duplicates: Some(near),
            language: None,
            truncation: Switch::Off,
            ..CurateConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(parse(&serde_json::to_string(&config)?)?, config);
        for bad in [r#"{"near_duplicate":{}}"#, r#"{"length":{"min":1}}"#, r#"{"pii":{"action":"hide"}}"#] {
            assert!(parse(bad).is_err(), "{bad} was accepted");
        }
        Ok(())
    }

    #[test]
    fn settings_out_of_range_are_named() -> serde_json::Result<()> {
        for (text, field) in [
            (r#"{"length":{"min_answer":9,"max_answer":8}}"#, "length.min_answer"),
            (r#"{"quality":{"max_top_word":1.5}}"#, "quality.max_top_word"),
            (r#"{"language":{"allowed":["en"]}}"#, "language.allowed"),
            (r#"{"language":{"allowed":[]}}"#, "language.allowed"),
            (r#"{"decontamination":{"words":0}}"#, "decontamination.words"),
            (r#"{"contradictions":{"majority":-0.1}}"#, "contradictions.majority"),
            (r#"{"near_duplicates":{"threshold":0}}"#, "near_duplicates.threshold"),
            (r#"{"schema":{"keys":["a"],"grounded":["b"]}}"#, "schema.grounded"),
            (r#"{"schema":{"keys":["a"],"allowed":{"b":[]}}}"#, "schema.allowed"),
            (r#"{"schema":{"keys":["a"],"determined":[{"by":"a","key":"b"}]}}"#, "schema.determined"),
        ] {
            let error = parse(text)?.check();
            assert!(matches!(&error, Err(Error::Config { field: f, .. }) if f == field), "{text}: {error:?}");
        }
        assert!(CurateConfig::default().check().is_ok());
        Ok(())
    }
}
