//! The unit of training data: a short conversation with its provenance.

use serde::{Deserialize, Serialize};

/// Who speaks in an [`Example`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person who asks.
    User,
    /// The model whose words are learned.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A conversation to learn from or to evaluate on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Example {
    /// The turns, oldest first.
    pub messages: Vec<Message>,
    /// Where it comes from: a file and line, or the name of a generator.
    #[serde(default)]
    pub source: String,
    /// Examples of one group (a template, a document, a patient) never straddle a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Licence of the text, as an SPDX expression where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl Message {
    /// A turn.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

impl Example {
    /// A single question and its answer.
    pub fn pair(question: impl Into<String>, answer: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            messages: vec![
                Message { role: Role::User, content: question.into() },
                Message { role: Role::Assistant, content: answer.into() },
            ],
            source: source.into(),
            ..Self::default()
        }
    }

    /// The same example in a group.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The first user turn, or an empty string.
    pub fn question(&self) -> &str {
        self.first(Role::User)
    }

    /// The last assistant turn, or an empty string.
    pub fn answer(&self) -> &str {
        self.messages.iter().rev().find(|m| m.role == Role::Assistant).map_or("", |m| m.content.as_str())
    }

    /// 32 hexadecimal digits of all turns in normal form: equal for rows that are equal but for case, white
    /// space and Unicode form.
    pub fn fingerprint(&self) -> String {
        format!("{:032x}", crate::curate::row_hash(self))
    }

    fn first(&self, role: Role) -> &str {
        self.messages.iter().find(|m| m.role == role).map_or("", |m| m.content.as_str())
    }
}

/// A text to retrieve from or to make pairs of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Document {
    /// Identifier: the path relative to the folder it was read from.
    pub id: String,
    /// The text; offsets into it are byte offsets.
    pub text: String,
}
