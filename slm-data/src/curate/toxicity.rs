//! Words that no row may hold.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reason::{DropReason, Verdict};
use crate::{Error, Example, Result, text};

/// Words and phrases that drop a row, in whichever turn they stand. None are built in: what is toxic depends on the
/// domain, and a medical set needs words that a children's set does not. For a model that judges, see
/// [`Pipeline::then_toxicity`](crate::Pipeline::then_toxicity).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToxicityConfig {
    /// Whole words, or several in a row. Case, Unicode form and the punctuation around them do not matter.
    pub words: Vec<String>,
    /// A text file with one of them on each line; blank lines and those that start with `#` do not count.
    pub list: Option<PathBuf>,
}

impl ToxicityConfig {
    /// The same with the words of the list in `words`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn inlined(&self) -> Result<Self> {
        let mut words = self.words.clone();
        if let Some(path) = &self.list {
            let list = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
            let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            words.extend(lines.map(str::to_owned));
        }
        Ok(Self { words, list: None })
    }
}

/// Recognises the words of a configuration.
#[derive(Debug)]
pub(super) struct Toxicity {
    words: BTreeSet<String>,
    /// Words of the longest phrase.
    longest: usize,
}

impl Toxicity {
    pub(super) fn new(config: &ToxicityConfig) -> Result<Self> {
        let config = config.inlined()?;
        let words: BTreeSet<String> =
            config.words.iter().map(|word| plain(word).join(" ")).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            let reason = "there is no word\nhint: name some in `words`, or a file in `list`";
            return Err(Error::config("toxicity.words", reason));
        }
        let longest = words.iter().map(|word| word.split(' ').count()).max().unwrap_or(1);
        Ok(Self { words, longest })
    }

    pub(super) fn check(&self, example: &Example) -> Option<Verdict> {
        example.messages.iter().find_map(|message| {
            let words = plain(&message.content);
            let phrases = (0..words.len())
                .flat_map(|at| (at + 1..=words.len().min(at + self.longest)).map(move |end| at..end));
            let found =
                phrases.map(|range| words[range].join(" ")).find(|phrase| self.words.contains(phrase))?;
            Some(Verdict::new(DropReason::Toxic, format!("says \"{found}\"")))
        })
    }
}

/// Words in normal form, cut at all but letters, digits and apostrophes.
fn plain(text: &str) -> Vec<String> {
    let normal = text::normalize(text).replace('\u{2019}', "'");
    let words = normal.split(|c: char| !(c.is_alphanumeric() || c == '\''));
    words.map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_and_phrases_are_found_in_any_turn() -> Result<()> {
        let config = ToxicityConfig { words: vec!["Blockhead".into(), "son of a gnome".into()], list: None };
        let toxicity = Toxicity::new(&config)?;
        let found = |question: &str, answer: &str| {
            toxicity.check(&Example::pair(question, answer, "")).map(|verdict| verdict.detail)
        };
        assert_eq!(found("You BLOCKHEAD!", "Sorry?"), Some("says \"blockhead\"".to_owned()));
        assert_eq!(found("Why?", "He is a son-of-a  gnome."), Some("says \"son of a gnome\"".to_owned()));
        assert_eq!(found("What are blockheads?", "The son of a king, and a gnome."), None);
        assert!(matches!(Toxicity::new(&ToxicityConfig::default()), Err(Error::Config { .. })));
        Ok(())
    }
}
