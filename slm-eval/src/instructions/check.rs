//! Whether an answer follows an instruction: [`Checker`].

use regex::{Regex, RegexBuilder};

use super::words::{count_uppercase_words, count_words, detect_language, is_lowercase, is_uppercase};
use super::{Instruction, Relation, count_sentences};
use crate::{Error, Result};

/// An instruction, ready to be checked.
#[derive(Debug)]
pub struct Checker<'a> {
    instruction: &'a Instruction,
    /// The regular expressions that it needs.
    patterns: Vec<Regex>,
}

impl<'a> Checker<'a> {
    /// Prepares an instruction. Keywords are regular expressions, as in the reference; one that is not well-formed
    /// stands for itself.
    ///
    /// # Errors
    /// When a keyword or splitter makes a regular expression that is too large.
    pub fn new(instruction: &'a Instruction) -> Result<Self> {
        Ok(Self { instruction, patterns: patterns(instruction)? })
    }

    /// Whether an answer can be checked: not so where its language is one that `whatlang` does not know.
    pub fn is_certain(&self) -> bool {
        !matches!(self.instruction, Instruction::Language { language } if !super::words::knows(language))
    }

    /// Whether `answer` follows the instruction; an empty one follows none.
    pub fn follows(&self, answer: &str) -> bool {
        !answer.trim().is_empty() && (self.in_words(answer) || self.in_form(answer))
    }

    fn in_words(&self, answer: &str) -> bool {
        match self.instruction {
            Instruction::Keywords { .. } => self.patterns.iter().all(|p| p.is_match(answer)),
            Instruction::ForbiddenWords { .. } => !self.patterns.iter().any(|p| p.is_match(answer)),
            Instruction::KeywordFrequency { frequency, relation, .. } => {
                relation.holds(self.count(answer), *frequency)
            }
            Instruction::LetterFrequency { letter, let_frequency, let_relation } => {
                let count = |letter: char| answer.to_lowercase().chars().filter(|c| *c == letter).count();
                let_relation.holds(letter.to_lowercase().map(count).sum(), *let_frequency)
            }
            Instruction::Language { language } => {
                detect_language(answer).is_none_or(|found| found == language)
            }
            Instruction::Sentences { num_sentences, relation } => {
                relation.holds(count_sentences(answer), *num_sentences)
            }
            Instruction::Words { num_words, relation } => relation.holds(count_words(answer), *num_words),
            Instruction::CapitalWords { capital_frequency, capital_relation } => {
                capital_relation.holds(count_uppercase_words(answer), *capital_frequency)
            }
            Instruction::Uppercase => is_uppercase(answer) && is_english(answer),
            Instruction::Lowercase => is_lowercase(answer) && is_english(answer),
            Instruction::NoComma => !answer.contains(','),
            Instruction::ConstrainedResponse => {
                ["My answer is yes.", "My answer is no.", "My answer is maybe."]
                    .iter()
                    .any(|option| answer.contains(option))
            }
            _ => false,
        }
    }

    fn in_form(&self, answer: &str) -> bool {
        let trimmed = answer.trim();
        match self.instruction {
            Instruction::Paragraphs { num_paragraphs } => {
                let parts: Vec<&str> = self.patterns.iter().flat_map(|p| p.split(answer)).collect();
                filled(&parts).is_some_and(|count| count == *num_paragraphs)
            }
            Instruction::ParagraphFirstWord { num_paragraphs, nth_paragraph, first_word } => {
                let parts: Vec<&str> = answer.split("\n\n").collect();
                let count = parts.iter().filter(|part| !part.trim().is_empty()).count();
                let nth = nth_paragraph.checked_sub(1).filter(|n| *n < count).map(|n| parts[n]);
                count == *num_paragraphs && nth.and_then(word_at_start) == Some(first_word.to_lowercase())
            }
            Instruction::Placeholders { num_placeholders: least }
            | Instruction::Sections { num_sections: least, .. } => self.count(answer) >= *least,
            Instruction::Postscript { .. } => self.count(&answer.to_lowercase()) > 0,
            Instruction::Bullets { num_bullets } => self.count(answer) == *num_bullets,
            Instruction::Highlights { num_highlights } => {
                let found = self.patterns.iter().flat_map(|p| p.find_iter(answer));
                found.filter(|m| !m.as_str().trim_matches('*').trim().is_empty()).count() >= *num_highlights
            }
            Instruction::Json => is_json(trimmed),
            Instruction::Title => {
                let title = |m: regex::Match<'_>| {
                    !m.as_str().trim_start_matches('<').trim_end_matches('>').trim().is_empty()
                };
                self.patterns.iter().any(|p| p.find_iter(answer).any(title))
            }
            Instruction::TwoResponses => {
                let parts: Vec<&str> = answer.split("******").collect();
                let full: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
                filled(&parts) == Some(2) && full[0] != full[1]
            }
            Instruction::RepeatPrompt { prompt_to_repeat } => {
                trimmed.to_lowercase().starts_with(&prompt_to_repeat.trim().to_lowercase())
            }
            Instruction::End { end_phrase } => {
                trimmed.trim_matches('"').to_lowercase().ends_with(&end_phrase.trim().to_lowercase())
            }
            Instruction::Quotation => trimmed.len() > 1 && trimmed.starts_with('"') && trimmed.ends_with('"'),
            _ => false,
        }
    }

    /// How often the patterns are found.
    fn count(&self, answer: &str) -> usize {
        self.patterns.iter().map(|p| p.find_iter(answer).count()).sum()
    }
}

impl Relation {
    fn holds(self, count: usize, number: usize) -> bool {
        match self {
            Self::LessThan => count < number,
            Self::AtLeast => count >= number,
        }
    }
}

/// The number of parts that are not blank; `None` where a blank one stands between others.
fn filled(parts: &[&str]) -> Option<usize> {
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    let blank = |part: &&&str| part.trim().is_empty();
    inner.iter().all(|part| !blank(&part)).then(|| parts.iter().filter(|part| !blank(part)).count())
}

/// The first word of a paragraph in lower case, up to its first punctuation; `None` where it is blank.
fn word_at_start(paragraph: &str) -> Option<String> {
    let word = paragraph.split_whitespace().next()?.trim_start_matches('\'').trim_start_matches('"');
    Some(word.split(['.', ',', '?', '!', '\'', '"']).next().unwrap_or_default().to_lowercase())
}

fn is_english(answer: &str) -> bool {
    detect_language(answer).is_none_or(|found| found == "en")
}

fn is_json(answer: &str) -> bool {
    // Each of these is taken off in turn, as the reference does.
    let marks = ["```json", "```Json", "```JSON", "```"];
    let inner = marks.iter().fold(answer, |text, mark| text.strip_prefix(mark).unwrap_or(text));
    let inner = inner.strip_suffix("```").unwrap_or(inner).trim();
    serde_json::from_str::<serde::de::IgnoredAny>(inner).is_ok()
}

fn patterns(instruction: &Instruction) -> Result<Vec<Regex>> {
    let fixed = |sources: &[&str]| sources.iter().map(|source| compile(source)).collect();
    match instruction {
        Instruction::Keywords { keywords } => keywords.iter().map(|k| keyword(k, "")).collect(),
        Instruction::KeywordFrequency { keyword: word, .. } => Ok(vec![keyword(word.trim(), "")?]),
        Instruction::ForbiddenWords { forbidden_words } => {
            forbidden_words.iter().map(|word| keyword(word, r"\b")).collect()
        }
        Instruction::Paragraphs { .. } => fixed(&[r"\s?\*\*\*\s?"]),
        Instruction::Placeholders { .. } => fixed(&[r"\[.*?\]"]),
        Instruction::Bullets { .. } => fixed(&[r"(?m)^\s*\*[^\*].*$", r"(?m)^\s*-.*$"]),
        Instruction::Highlights { .. } => fixed(&[r"\*[^\n\*]*\*", r"\*\*[^\n\*]*\*\*"]),
        Instruction::Title => fixed(&[r"<<[^\n]+>>"]),
        Instruction::Sections { section_spliter, .. } => {
            let splitter = well_formed(section_spliter.trim());
            Ok(vec![compile(&format!(r"\s?{splitter}\s?\d+\s?"))?])
        }
        Instruction::Postscript { postscript_marker } => match postscript_marker.trim() {
            "P.P.S" => fixed(&[r"(?m)\s*p\.\s?p\.\s?s.*$"]),
            "P.S." => fixed(&[r"(?m)\s*p\.\s?s\..*$"]),
            other => Ok(vec![compile(&format!(r"(?m)\s*{}.*$", well_formed(&other.to_lowercase())))?]),
        },
        _ => Ok(Vec::new()),
    }
}

/// A keyword in any case, between `borders`.
fn keyword(word: &str, borders: &str) -> Result<Regex> {
    compile(&format!("(?i){borders}{}{borders}", well_formed(word)))
}

/// The pattern itself, or what stands for it letter by letter.
fn well_formed(pattern: &str) -> String {
    if Regex::new(pattern).is_ok() { pattern.to_owned() } else { regex::escape(pattern) }
}

fn compile(source: &str) -> Result<Regex> {
    let regex = RegexBuilder::new(source).build();
    regex.map_err(|e| Error::Setting {
        name: "keyword",
        expected: "a regular expression",
        got: e.to_string(),
    })
}
