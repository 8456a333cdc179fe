//! How a cascade behaves.

use serde::{Deserialize, Serialize};

/// How a [`Cascade`](super::Cascade) behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeConfig {
    /// Its name in reports; also the model name of an answer that it withholds.
    pub name: String,
    /// What to do where the larger model fails before it has said anything.
    pub fallback: Fallback,
    /// What it says where nobody knows.
    pub abstain_text: String,
}

impl Default for CascadeConfig {
    fn default() -> Self {
        let (name, abstain_text) = ("cascade".to_owned(), "I don't know.".to_owned());
        Self { name, fallback: Fallback::default(), abstain_text }
    }
}

/// What to do where the larger model fails: is down, refuses, or its budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Hand over the local answer, with its confidence; "I don't know" where there is none.
    #[default]
    Local,
    /// Say that nobody knows.
    Abstain,
    /// Report the failure.
    Fail,
}
