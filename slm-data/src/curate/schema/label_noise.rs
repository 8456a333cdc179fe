//! Values that most comparable rows disagree with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AnswerSchema, Determined};
use crate::Example;
use crate::curate::reason::{DropReason, Verdict};
use crate::text::{share, shorten};

impl AnswerSchema {
    /// A verdict per row: rows whose determined value differs from a clear majority.
    pub(crate) fn label_noise(&self, rows: &[&Example]) -> Vec<Option<Verdict>> {
        let answers: Vec<Option<Value>> =
            rows.iter().map(|row| serde_json::from_str(row.answer()).ok()).collect();
        let mut verdicts = vec![None; rows.len()];
        for rule in &self.determined {
            for (by, values) in group(rule, &answers) {
                self.outvoted(rule, &by, &values, &mut verdicts);
            }
        }
        verdicts
    }

    /// Adds the verdicts of one value of `rule.by`.
    fn outvoted(
        &self,
        rule: &Determined,
        by: &str,
        values: &BTreeMap<String, Vec<usize>>,
        verdicts: &mut [Option<Verdict>],
    ) {
        let total: usize = values.values().map(Vec::len).sum();
        let Some((usual, most)) = values.iter().max_by_key(|(_, rows)| rows.len()) else {
            return;
        };
        if total < self.min_rows || share(most.len(), total) < self.majority {
            return;
        }
        for (value, rows) in values.iter().filter(|(value, _)| *value != usual) {
            let (by, value, usual) = (shorten(by, 40), shorten(value, 40), shorten(usual, 40));
            let Determined { by: by_key, key } = rule;
            let detail = format!(
                "{key} is {value} in {} and {usual} in {} of {total} rows with {by_key} {by}",
                rows.len(),
                most.len()
            );
            for &row in rows {
                if let Some(verdict) = verdicts.get_mut(row).filter(|verdict| verdict.is_none()) {
                    *verdict = Some(Verdict::new(DropReason::LabelNoise, detail.as_str()));
                }
            }
        }
    }
}

/// Rows by the value of `rule.by` and that of `rule.key`.
fn group(rule: &Determined, answers: &[Option<Value>]) -> BTreeMap<String, BTreeMap<String, Vec<usize>>> {
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
    for (row, answer) in answers.iter().enumerate() {
        let value = |key: &str| answer.as_ref().and_then(|answer| answer.get(key)).map(Value::to_string);
        if let (Some(by), Some(key)) = (value(&rule.by), value(&rule.key)) {
            groups.entry(by).or_default().entry(key).or_default().push(row);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(labels: &[&str]) -> Vec<Option<Verdict>> {
        let schema = AnswerSchema {
            keys: vec!["code".into(), "level".into()],
            determined: vec![Determined { by: "code".into(), key: "level".into() }],
            ..AnswerSchema::default()
        };
        let rows: Vec<Example> = labels
            .iter()
            .map(|label| Example::pair("q", format!(r#"{{"code":"E1","level":"{label}"}}"#), ""))
            .collect();
        schema.label_noise(&rows.iter().collect::<Vec<_>>())
    }

    #[test]
    fn rows_against_a_clear_majority_are_dropped_with_the_counts() {
        let verdicts = verdicts(&["low", "low", "high", "low", "low"]);
        assert_eq!(verdicts.iter().flatten().count(), 1);
        let detail = verdicts[2].as_ref().map(|verdict| verdict.detail.as_str());
        assert_eq!(detail, Some(r#"level is "high" in 1 and "low" in 4 of 5 rows with code "E1""#));
    }

    #[test]
    fn few_rows_and_weak_majorities_drop_nothing() {
        assert_eq!(verdicts(&["low", "low", "low", "high"]), vec![None; 4]);
        assert_eq!(verdicts(&["low", "low", "high", "low", "mid"]), vec![None; 5]);
    }
}
