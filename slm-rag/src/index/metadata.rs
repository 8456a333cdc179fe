//! What is known of a document besides its text, and conditions on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A word or a sentence.
    Text(String),
    /// A number, or a date as seconds.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// The fields of a document.
pub type Metadata = BTreeMap<String, Value>;

/// Which documents a search may find.
///
/// ```
/// use slm_rag::{Filter, Metadata};
///
/// let page: Metadata = [("team".to_owned(), "storage".into()), ("year".to_owned(), 2024.0.into())].into();
/// let recent = Filter::all([Filter::equals("team", "storage"), Filter::at_least("year", 2023.0)]);
/// assert!(recent.accepts("disk.md", &page));
/// assert!(!Filter::not(recent).accepts("disk.md", &page));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Filter {
    /// All of them.
    #[default]
    Any,
    /// Those whose identifier begins so: a folder.
    Under(String),
    /// Those whose field has this value.
    Equals(String, Value),
    /// Those whose field is a number in this range, both ends included.
    Between(String, f64, f64),
    /// Those that all of these accept.
    All(Vec<Filter>),
    /// Those that at least one of these accepts.
    OneOf(Vec<Filter>),
    /// Those that this one does not accept; also those that lack the field.
    Not(Box<Filter>),
}

impl Filter {
    /// Documents whose identifier begins so.
    pub fn under(folder: impl Into<String>) -> Self {
        Self::Under(folder.into())
    }

    /// Documents whose field has this value.
    pub fn equals(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Equals(field.into(), value.into())
    }

    /// Documents whose field is at least this number.
    pub fn at_least(field: impl Into<String>, number: f64) -> Self {
        Self::Between(field.into(), number, f64::INFINITY)
    }

    /// Documents whose field is at most this number.
    pub fn at_most(field: impl Into<String>, number: f64) -> Self {
        Self::Between(field.into(), f64::NEG_INFINITY, number)
    }

    /// Documents that all of the filters accept.
    pub fn all(filters: impl Into<Vec<Self>>) -> Self {
        Self::All(filters.into())
    }

    /// Documents that at least one of the filters accepts.
    pub fn one_of(filters: impl Into<Vec<Self>>) -> Self {
        Self::OneOf(filters.into())
    }

    /// Documents that the filter does not accept.
    #[expect(clippy::should_implement_trait, reason = "a constructor beside its siblings")]
    pub fn not(filter: Self) -> Self {
        Self::Not(Box::new(filter))
    }

    /// Whether a document may be found.
    pub fn accepts(&self, id: &str, metadata: &Metadata) -> bool {
        match self {
            Self::Any => true,
            Self::Under(folder) => id.starts_with(folder.as_str()),
            Self::Equals(field, value) => metadata.get(field) == Some(value),
            Self::Between(field, low, high) => {
                matches!(metadata.get(field), Some(Value::Number(n)) if (*low..=*high).contains(n))
            }
            Self::All(filters) => filters.iter().all(|filter| filter.accepts(id, metadata)),
            Self::OneOf(filters) => filters.iter().any(|filter| filter.accepts(id, metadata)),
            Self::Not(filter) => !filter.accepts(id, metadata),
        }
    }
}
