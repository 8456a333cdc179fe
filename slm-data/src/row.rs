//! What a line of a data set can be.

use serde::{Deserialize, Serialize};

use crate::{Document, Example, Message};

/// A conversation with a good and a bad last answer: for DPO and its kin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Preference {
    /// The turns before the answer, oldest first.
    pub prompt: Vec<Message>,
    /// The answer to prefer.
    pub chosen: String,
    /// The answer to avoid.
    pub rejected: String,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// Rows of one group never straddle a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Licence of the text, as an SPDX expression where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// A conversation whose last answer was judged: for KTO.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Feedback {
    /// The conversation.
    #[serde(flatten)]
    pub example: Example,
    /// Whether the last answer is desirable.
    pub label: bool,
}

/// A line of a data set, whatever its schema was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Row {
    /// A conversation: pairs, `messages`, ShareGPT, tool calls.
    Conversation(Example),
    /// A pair of answers.
    Preference(Preference),
    /// A judged answer.
    Feedback(Feedback),
    /// Raw text.
    Document(Document),
}

impl Row {
    /// The name of its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conversation(_) => "a conversation",
            Self::Preference(_) => "a preference pair",
            Self::Feedback(_) => "a judged answer",
            Self::Document(_) => "raw text",
        }
    }
}

impl From<Example> for Row {
    fn from(example: Example) -> Self {
        Self::Conversation(example)
    }
}

impl From<Preference> for Row {
    fn from(preference: Preference) -> Self {
        Self::Preference(preference)
    }
}

impl From<Feedback> for Row {
    fn from(feedback: Feedback) -> Self {
        Self::Feedback(feedback)
    }
}

impl From<Document> for Row {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

/// A kind of row that a file can be read as.
pub trait FromRow: Sized {
    /// The row as this kind.
    ///
    /// # Errors
    /// The name of the row's kind, when it is another.
    fn from_row(row: Row) -> Result<Self, &'static str>;
}

macro_rules! from_row {
    ($($kind:ty, $variant:ident);*) => {$(
        impl FromRow for $kind {
            fn from_row(row: Row) -> Result<Self, &'static str> {
                match row {
                    Row::$variant(inner) => Ok(inner),
                    other => Err(other.kind()),
                }
            }
        }
    )*};
}

from_row!(Example, Conversation; Preference, Preference; Feedback, Feedback; Document, Document);

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self, &'static str> {
        Ok(row)
    }
}
