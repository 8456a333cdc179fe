//! How a grounded model asks and checks.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What becomes of a sentence that no cited passage supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupported {
    /// It is left out; an answer of which nothing is left abstains.
    #[default]
    Remove,
    /// It stays, followed by [`flag_text`](GroundedConfig::flag_text).
    Flag,
    /// The whole answer abstains.
    Abstain,
}

/// What a sentence without a valid mark is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmarked {
    /// Each passage; the one that supports it best becomes its citation. Small models often forget marks.
    #[default]
    Attribute,
    /// Nothing: it is unsupported.
    Reject,
}

/// How a [`GroundedModel`](super::GroundedModel) asks and checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroundedConfig {
    /// Its name in reports; also the model name of an answer for which no passage was found.
    pub name: String,
    /// Most passages in the prompt.
    pub top_chunks: usize,
    /// Most words of all passages together; a token is about three quarters of an English word.
    pub max_passage_words: usize,
    /// What the inner model is told.
    pub instructions: String,
    /// Lowest share of the content words of a sentence that its passages must have, 0 to 1. All of its numbers
    /// must be there in any case.
    pub min_support: f64,
    /// What a sentence without a valid mark is checked against.
    pub unmarked: Unmarked,
    /// What becomes of a sentence that its passages do not support.
    pub unsupported: Unsupported,
    /// Whether the inner model is asked once more where a sentence is not supported, with that sentence named. The
    /// better of both answers counts, and is treated as [`unsupported`](Self::unsupported) says.
    pub repair: bool,
    /// What follows such a sentence with [`Unsupported::Flag`].
    pub flag_text: String,
    /// What it says when it abstains.
    pub abstain_text: String,
}

impl Default for GroundedConfig {
    fn default() -> Self {
        Self {
            name: "grounded".to_owned(),
            top_chunks: 4,
            max_passage_words: 500,
            instructions: "Answer the question from the numbered passages only. End each sentence with the number of \
                           the passage it rests on, as in [1]. If the passages do not answer the question, say so."
                .to_owned(),
            min_support: 0.8,
            unmarked: Unmarked::Attribute,
            unsupported: Unsupported::Remove,
            repair: false,
            flag_text: "(not found in the documents)".to_owned(),
            abstain_text: "The documents do not answer this.".to_owned(),
        }
    }
}

impl GroundedConfig {
    pub(super) fn check(&self) -> Result<()> {
        for (field, value) in [("top_chunks", self.top_chunks), ("max_passage_words", self.max_passage_words)]
        {
            if value == 0 {
                return Err(Error::config(field, "expected at least 1, got 0"));
            }
        }
        if !(self.min_support > 0.0 && self.min_support <= 1.0) {
            return Err(Error::config(
                "min_support",
                format!("expected above 0, at most 1, got {}", self.min_support),
            ));
        }
        if self.unsupported == Unsupported::Flag && self.flag_text.trim().is_empty() {
            return Err(Error::config("flag_text", "expected a text with `Unsupported::Flag`, got none"));
        }
        Ok(())
    }
}
