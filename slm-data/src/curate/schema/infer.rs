//! A schema proposed from examples.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{AnswerSchema, leaves, stands_in};
use crate::Example;
use crate::curate::duplicates::row_key;
use crate::text::share;

/// A key counts as copied when its value stands in the question of this share of the rows; what is left
/// is room for wrong rows.
const GROUNDED_SHARE: f64 = 0.8;

/// A row and its answer as an object.
type Answered<'a> = (&'a Example, Map<String, Value>);

impl AnswerSchema {
    /// Proposes keys and grounded keys from the most common set of JSON keys.
    ///
    /// Each different row counts once, so that a source that repeats itself does not decide. `None` where
    /// fewer than `min_share` (0 to 1) of the different rows have that set. Look at the proposal before
    /// curating with it: it is what most rows do, which may not be what you want.
    pub fn infer(examples: &[Example], min_share: f64) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let distinct: Vec<&Example> = examples.iter().filter(|e| seen.insert(row_key(e))).collect();
        let mut sets: BTreeMap<BTreeSet<String>, Vec<Answered<'_>>> = BTreeMap::new();
        for &example in &distinct {
            if let Ok(Value::Object(object)) = serde_json::from_str(example.answer()) {
                sets.entry(object.keys().cloned().collect()).or_default().push((example, object));
            }
        }
        // Of equally common sets the first in the order of the alphabet.
        let rows = sets.into_values().rev().max_by_key(Vec::len)?;
        if share(rows.len(), distinct.len()) < min_share {
            return None;
        }
        let keys: Vec<String> = rows.first()?.1.keys().cloned().collect();
        let grounded = keys.iter().filter(|key| is_grounded(key, &rows)).cloned().collect();
        Some(Self { keys, grounded, ..Self::default() })
    }
}

fn is_grounded(key: &str, rows: &[Answered<'_>]) -> bool {
    let copied = rows.iter().filter(|(example, object)| {
        let values = object.get(key).map(leaves).unwrap_or_default();
        !values.is_empty() && values.iter().all(|value| stands_in(value, example.question()))
    });
    share(copied.count(), rows.len()) >= GROUNDED_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_common_keys_of_different_rows_are_proposed() {
        let mut rows: Vec<Example> = (0..10)
            .map(|n| {
                let answer = format!(r#"{{"host":"web-{n}","level":"high"}}"#);
                Example::pair(format!("web-{n} is down"), answer, "new")
            })
            .collect();
        rows.extend(vec![Example::pair("db-1 is down", r#"{"node":"db-1"}"#, "old"); 30]);
        rows.push(Example::pair("web-1 is up", r#"{"host":"web-9","level":"low"}"#, "wrong"));
        let schema = AnswerSchema::infer(&rows, 0.5).unwrap_or_default();
        assert_eq!(
            (schema.keys, schema.grounded),
            (vec!["host".to_owned(), "level".to_owned()], vec!["host".to_owned()])
        );
        assert_eq!(AnswerSchema::infer(&rows, 0.95), None);
        assert_eq!(AnswerSchema::infer(&[Example::pair("q", "prose", "")], 0.0), None);
        assert_eq!(AnswerSchema::infer(&[], 0.0), None);
    }
}
