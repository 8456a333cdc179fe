//! Instructions whose following can be checked by a program: the 25 of IFEval (Zhou et al. 2023).
//!
//! The rules are those of the checker in lm-evaluation-harness. Where it calls on a trained model, this does
//! otherwise and may differ in rare cases: languages are told apart by `whatlang` instead of `langdetect`, and
//! sentences are counted by rules and a list of abbreviations instead of NLTK's Punkt.

mod check;
mod sentences;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::check::Checker;
pub use self::sentences::count_sentences;
use crate::{Error, Result};

/// How a count is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// Fewer than the number.
    #[serde(rename = "less than")]
    LessThan,
    /// The number or more.
    #[serde(rename = "at least")]
    AtLeast,
}

/// An instruction and its parameters, with the names that IFEval gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "id")]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each variant is the instruction of the same name, its fields are its parameters"
)]
pub enum Instruction {
    #[serde(rename = "keywords:existence")]
    Keywords { keywords: Vec<String> },
    #[serde(rename = "keywords:frequency")]
    KeywordFrequency { keyword: String, frequency: usize, relation: Relation },
    #[serde(rename = "keywords:forbidden_words")]
    ForbiddenWords { forbidden_words: Vec<String> },
    #[serde(rename = "keywords:letter_frequency")]
    LetterFrequency { letter: char, let_frequency: usize, let_relation: Relation },
    #[serde(rename = "language:response_language")]
    Language { language: String },
    #[serde(rename = "length_constraints:number_sentences")]
    Sentences { num_sentences: usize, relation: Relation },
    #[serde(rename = "length_constraints:number_paragraphs")]
    Paragraphs { num_paragraphs: usize },
    #[serde(rename = "length_constraints:number_words")]
    Words { num_words: usize, relation: Relation },
    #[serde(rename = "length_constraints:nth_paragraph_first_word")]
    ParagraphFirstWord { num_paragraphs: usize, nth_paragraph: usize, first_word: String },
    #[serde(rename = "detectable_content:number_placeholders")]
    Placeholders { num_placeholders: usize },
    #[serde(rename = "detectable_content:postscript")]
    Postscript { postscript_marker: String },
    #[serde(rename = "detectable_format:number_bullet_lists")]
    Bullets { num_bullets: usize },
    #[serde(rename = "detectable_format:constrained_response")]
    ConstrainedResponse,
    #[serde(rename = "detectable_format:number_highlighted_sections")]
    Highlights { num_highlights: usize },
    #[serde(rename = "detectable_format:multiple_sections")]
    Sections { section_spliter: String, num_sections: usize },
    #[serde(rename = "detectable_format:json_format")]
    Json,
    #[serde(rename = "detectable_format:title")]
    Title,
    #[serde(rename = "combination:two_responses")]
    TwoResponses,
    #[serde(rename = "combination:repeat_prompt")]
    RepeatPrompt { prompt_to_repeat: String },
    #[serde(rename = "startend:end_checker")]
    End { end_phrase: String },
    #[serde(rename = "change_case:capital_word_frequency")]
    CapitalWords { capital_frequency: usize, capital_relation: Relation },
    #[serde(rename = "change_case:english_capital")]
    Uppercase,
    #[serde(rename = "change_case:english_lowercase")]
    Lowercase,
    #[serde(rename = "punctuation:no_comma")]
    NoComma,
    #[serde(rename = "startend:quotation")]
    Quotation,
}

/// A row of IFEval's data: a prompt, and what its answer must keep to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "WireTask")]
pub struct InstructionTask {
    /// What is asked.
    pub prompt: String,
    /// The ids of the instructions.
    pub ids: Vec<String>,
    /// The instructions, in the same order.
    pub instructions: Vec<Instruction>,
}

#[derive(Deserialize)]
struct WireTask {
    prompt: String,
    instruction_id_list: Vec<String>,
    kwargs: Vec<Map<String, Value>>,
}

impl TryFrom<WireTask> for InstructionTask {
    type Error = String;

    fn try_from(wire: WireTask) -> std::result::Result<Self, String> {
        if wire.kwargs.len() != wire.instruction_id_list.len() {
            return Err(format!("{} ids with {} kwargs", wire.instruction_id_list.len(), wire.kwargs.len()));
        }
        let parse = |(id, mut kwargs): (&String, Map<String, Value>)| {
            kwargs.retain(|_, value| !value.is_null());
            kwargs.insert("id".into(), id.as_str().into());
            serde_json::from_value(Value::Object(kwargs)).map_err(|e| format!("instruction `{id}`: {e}"))
        };
        let pairs = wire.instruction_id_list.iter().zip(wire.kwargs);
        let instructions = pairs.map(parse).collect::<std::result::Result<_, _>>()?;
        Ok(Self { prompt: wire.prompt, ids: wire.instruction_id_list, instructions })
    }
}

/// Which instructions an answer follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The ids of the instructions.
    pub ids: Vec<String>,
    /// By the answer as it is. `None`: cannot be told, as the language is not one that `whatlang` knows.
    pub strict: Vec<Option<bool>>,
    /// By the answer, or by what is left of it without its first line, its last, or asterisks.
    pub loose: Vec<Option<bool>>,
}

impl InstructionTask {
    /// Which instructions `answer` follows.
    ///
    /// # Errors
    /// When a keyword or splitter makes a regular expression that is too large.
    pub fn check(&self, answer: &str) -> Result<Followed> {
        let checkers = self.instructions.iter().map(Checker::new).collect::<Result<Vec<_>>>()?;
        let follows = |answers: &[String]| {
            let any = |checker: &Checker<'_>| {
                checker.is_certain().then(|| answers.iter().any(|answer| checker.follows(answer)))
            };
            checkers.iter().map(any).collect()
        };
        let strict = follows(&[answer.to_owned()]);
        Ok(Followed { ids: self.ids.clone(), strict, loose: follows(&loosened(answer)) })
    }
}

/// The answer, and what is left of it without its first line, its last, both, and without asterisks.
fn loosened(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let part = |from: usize, to: usize| {
        lines.get(from..to.max(from)).map_or_else(String::new, |lines| lines.join("\n").trim().to_owned())
    };
    let count = lines.len();
    let parts = vec![answer.to_owned(), part(1, count), part(0, count - 1), part(1, count - 1)];
    let plain: Vec<String> = parts.iter().map(|part| part.replace('*', "")).collect();
    [parts, plain].concat()
}

/// IFEval's four accuracies, each from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstructionScores {
    /// Share of the answers that follow all their instructions.
    pub prompt_strict: f64,
    /// Share of the instructions that are followed.
    pub instruction_strict: f64,
    /// As `prompt_strict`, with lenience.
    pub prompt_loose: f64,
    /// As `instruction_strict`, with lenience.
    pub instruction_loose: f64,
    /// Instructions that could not be checked: they count neither way.
    pub unchecked: usize,
    /// Of each kind of instruction, how many were followed strictly, and how many checked.
    pub by_id: BTreeMap<String, (usize, usize)>,
}

impl InstructionScores {
    /// Sums up answers.
    ///
    /// # Errors
    /// When no instruction was checked.
    pub fn of(answers: &[Followed]) -> Result<Self> {
        let checked = |a: &[Option<bool>]| a.iter().filter_map(|f| *f).collect::<Vec<bool>>();
        let share = |hits: &[bool]| hits.iter().filter(|hit| **hit).count() as f64 / hits.len() as f64;
        let strict: Vec<Vec<bool>> = answers.iter().map(|a| checked(&a.strict)).collect();
        let loose: Vec<Vec<bool>> = answers.iter().map(|a| checked(&a.loose)).collect();
        if strict.iter().all(Vec::is_empty) {
            return Err(Error::Empty { what: "instructions that can be checked" });
        }
        let prompts = |answers: &[Vec<bool>]| {
            let some = answers.iter().filter(|a| !a.is_empty());
            share(&some.map(|a| a.iter().all(|followed| *followed)).collect::<Vec<_>>())
        };
        let mut by_id: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (id, followed) in answers.iter().flat_map(|a| a.ids.iter().zip(&a.strict)) {
            if let Some(followed) = followed {
                let (hits, all) = by_id.entry(id.clone()).or_default();
                (*hits, *all) = (*hits + usize::from(*followed), *all + 1);
            }
        }
        Ok(Self {
            prompt_strict: prompts(&strict),
            instruction_strict: share(&strict.concat()),
            prompt_loose: prompts(&loose),
            instruction_loose: share(&loose.concat()),
            unchecked: answers.iter().flat_map(|a| &a.strict).filter(|f| f.is_none()).count(),
            by_id,
        })
    }
}
