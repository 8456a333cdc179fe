//! [`AnswerSchema`]: the form that answers must have.

mod infer;
mod label_noise;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::share;
use super::reason::{DropReason, Verdict};
use crate::text::shorten;
use crate::{Error, Example, Result};

/// The form that answers must have: a JSON object with given keys, and what is known about their values.
///
/// Lists and objects in an answer are judged by the values in them; `null` stands for no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerSchema {
    /// The keys, all of them and no others, in any order.
    pub keys: Vec<String>,
    /// Keys whose values are copied from the question, letter by letter and as whole words. A number may
    /// stand next to letters: 250 stands in `250ms`.
    pub grounded: Vec<String>,
    /// The values that a key may have.
    pub allowed: BTreeMap<String, Vec<String>>,
    /// Keys whose value follows from that of another.
    pub determined: Vec<Determined>,
    /// Share of the rows with the same determining value that makes a clear majority; the other rows are
    /// dropped.
    pub majority: f64,
    /// Rows with the same determining value that there must be, before any is dropped.
    pub min_rows: usize,
}

/// The value of `key` follows from the value of `by`: the same error code, the same severity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Determined {
    /// The key that determines.
    pub by: String,
    /// The key that is determined.
    pub key: String,
}

impl Default for AnswerSchema {
    /// Any JSON object.
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            grounded: Vec::new(),
            allowed: BTreeMap::new(),
            determined: Vec::new(),
            majority: 0.8,
            min_rows: 5,
        }
    }
}

impl AnswerSchema {
    /// Whether all keys that are named are among [`keys`](Self::keys).
    pub(crate) fn check(&self) -> Result<()> {
        let known = |field: &str, key: &String| {
            if self.keys.contains(key) {
                return Ok(());
            }
            let reason = format!("`{key}` is not one of the keys [{}]", self.keys.join(", "));
            Err(Error::config(format!("schema.{field}"), reason))
        };
        self.grounded.iter().try_for_each(|key| known("grounded", key))?;
        self.allowed.keys().try_for_each(|key| known("allowed", key))?;
        for rule in &self.determined {
            known("determined", &rule.by)?;
            known("determined", &rule.key)?;
        }
        share("schema.majority", self.majority)
    }

    /// What is wrong with a row's answer.
    pub(crate) fn judge(&self, example: &Example) -> Option<Verdict> {
        let object = match serde_json::from_str(example.answer()) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Some(Verdict::new(DropReason::NotJson, "JSON, but not an object")),
            Err(error) => return Some(Verdict::new(DropReason::NotJson, error.to_string())),
        };
        self.wrong_keys(&object)
            .or_else(|| self.not_allowed(&object))
            .or_else(|| self.ungrounded(&object, example.question()))
    }

    fn wrong_keys(&self, object: &Map<String, Value>) -> Option<Verdict> {
        if self.keys.is_empty() {
            return None;
        }
        let wanted: BTreeSet<&str> = self.keys.iter().map(String::as_str).collect();
        let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
        if wanted == found {
            return None;
        }
        let list = |keys: Vec<&&str>| keys.into_iter().copied().collect::<Vec<_>>().join(", ");
        let missing = list(wanted.difference(&found).collect());
        let surplus = list(found.difference(&wanted).collect());
        let detail = format!("missing [{missing}], surplus [{}]", shorten(&surplus, 80));
        Some(Verdict::new(DropReason::WrongKeys, detail))
    }

    fn not_allowed(&self, object: &Map<String, Value>) -> Option<Verdict> {
        self.allowed.iter().find_map(|(key, allowed)| {
            let wrong = leaves(object.get(key)?).into_iter().find(|value| !allowed.contains(value))?;
            Some(Verdict::new(DropReason::NotAllowed, format!("{key}: \"{}\"", shorten(&wrong, 60))))
        })
    }

    fn ungrounded(&self, object: &Map<String, Value>, question: &str) -> Option<Verdict> {
        self.grounded.iter().find_map(|key| {
            let wrong = leaves(object.get(key)?).into_iter().find(|value| !stands_in(value, question))?;
            let detail = format!("{key}: \"{}\" is not in the question", shorten(&wrong, 60));
            Some(Verdict::new(DropReason::Ungrounded, detail))
        })
    }
}

/// The texts, numbers and truth values in a value, as text.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        Value::Object(object) => object.values().flat_map(leaves).collect(),
    }
}

/// Whether `value` stands in `text` and is not the end of a longer word or number there.
fn stands_in(value: &str, text: &str) -> bool {
    #[derive(PartialEq)]
    enum Class {
        Letter,
        Number,
        Other,
    }
    let class = |c: Option<char>| match c {
        Some(c) if c.is_alphabetic() => Class::Letter,
        Some(c) if c.is_numeric() => Class::Number,
        _ => Class::Other,
    };
    // Two characters of the same class belong to one word; others never do.
    let joined = |a: Option<char>, b: Option<char>| class(a) == class(b) && class(a) != Class::Other;
    !value.is_empty()
        && text.match_indices(value).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + value.len()..]);
            !joined(before.chars().next_back(), value.chars().next())
                && !joined(value.chars().next_back(), after.chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> AnswerSchema {
        let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        AnswerSchema {
            keys: strings(&["host", "level", "n"]),
            grounded: strings(&["host", "n"]),
            allowed: BTreeMap::from([("level".to_owned(), strings(&["low", "high"]))]),
            ..AnswerSchema::default()
        }
    }

    fn judge(answer: &str) -> Option<DropReason> {
        schema().judge(&Example::pair("host web-03 slow: 250ms", answer, "")).map(|verdict| verdict.reason)
    }

    #[test]
    fn answers_are_judged_by_form_keys_and_values() {
        for (answer, expected) in [
            (r#"{"host":"web-03","level":"high","n":250}"#, None),
            (r#" {"n":"250","level":"low","host":"web-03"} "#, None),
            (r#"{"host":null,"level":"low","n":250}"#, None),
            (r#"{"host":["web-03"],"level":["low","high"],"n":250}"#, None),
            ("web-03 is slow", Some(DropReason::NotJson)),
            (r#"["web-03"]"#, Some(DropReason::NotJson)),
            (r#"{"host":"web-03","level":"high","n":250} Bye"#, Some(DropReason::NotJson)),
            (r#"{"host":"web-03","level":"high"}"#, Some(DropReason::WrongKeys)),
            (r#"{"host":"web-03","level":"high","n":250,"x":1}"#, Some(DropReason::WrongKeys)),
            (r#"{"host":"web-0","level":"high","n":250}"#, Some(DropReason::Ungrounded)),
            (r#"{"host":"web-03","level":"high","n":50}"#, Some(DropReason::Ungrounded)),
            (r#"{"host":"","level":"high","n":250}"#, Some(DropReason::Ungrounded)),
            (r#"{"host":"web-03","level":"High","n":250}"#, Some(DropReason::NotAllowed)),
        ] {
            assert_eq!(judge(answer), expected, "{answer}");
        }
    }

    #[test]
    fn whole_words_and_numbers_stand_in_a_text() {
        for (value, text, expected) in [
            ("auth", "auth[412]", true),
            ("auth", "author", false),
            ("E4102", "ERROR E4102 disk", true),
            ("4102", "E4102", true),
            ("410", "E4102", false),
            ("disk full", "the disk full alarm", true),
            ("über", "grüber über", true),
            ("Disk", "disk", false),
        ] {
            assert_eq!(stands_in(value, text), expected, "{value} in {text}");
        }
    }
}
