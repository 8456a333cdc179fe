//! Answers in JSON: found in free text, compared by value.

use serde_json::{Deserializer, Value};

/// The first complete JSON object or array in `text`; where there is none, the whole text if it is a JSON
/// scalar. What stands around it (prose, a code fence) is ignored.
///
/// ```
/// use slm_eval::metrics::extract_json;
///
/// let text = "Sure! {not json} but:\n```json\n{\"severity\": \"high\", \"note\": \"a } in a string\"}\n```";
/// assert_eq!(extract_json(text).unwrap()["severity"], "high");
/// assert_eq!(extract_json("no value here, {\"cut\": "), None);
/// ```
pub fn extract_json(text: &str) -> Option<Value> {
    let nested = text.match_indices(['{', '[']).find_map(|(at, _)| {
        let mut values = Deserializer::from_str(&text[at..]).into_iter::<Value>();
        values.next().and_then(Result::ok)
    });
    nested.or_else(|| serde_json::from_str(text.trim()).ok())
}

/// Whether the [JSON in](extract_json) `prediction` equals `gold`. The order of keys does not matter, that of
/// array items does; `1` equals `1.0`; strings are compared exactly.
pub fn json_exact_match(prediction: &str, gold: &Value) -> bool {
    extract_json(prediction).is_some_and(|value| equal(&value, gold))
}

/// Share of the top-level fields of either object that are equal in both, 0 to 1, so that a missing, a wrong
/// and an invented field each cost. A `gold` that is not an object has one field: itself.
pub fn json_field_accuracy(prediction: &str, gold: &Value) -> f64 {
    let Some(prediction) = extract_json(prediction) else { return 0.0 };
    let (Some(p), Some(g)) = (prediction.as_object(), gold.as_object()) else {
        return if equal(&prediction, gold) { 1.0 } else { 0.0 };
    };
    let same = g.iter().filter(|(key, value)| p.get(*key).is_some_and(|v| equal(v, value))).count();
    let fields = g.len() + p.keys().filter(|key| !g.contains_key(*key)).count();
    if fields == 0 { 1.0 } else { same as f64 / fields as f64 }
}

/// Equality of JSON values. `serde_json` tells `1` from `1.0`; JSON does not.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64()
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| equal(x, y)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_complete_value_is_found() {
        for (text, expected) in [
            ("{\"a\": {\"b\": [1, 2]}} and {\"c\": 1}", Some(json!({"a": {"b": [1, 2]}}))),
            ("set {x} to [\"]\", \"{\"] please", Some(json!(["]", "{"]))),
            ("{\"a\": {\"b\": 1}", Some(json!({"b": 1}))),
            (" 42 ", Some(json!(42))),
            ("\"quoted\"", Some(json!("quoted"))),
            ("é {\"ü\": \"€\"}", Some(json!({"ü": "€"}))),
            ("about 42", None),
            ("{\"a\": ", None),
            ("", None),
        ] {
            assert_eq!(extract_json(text), expected, "{text}");
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_hangs() {
        assert_eq!(extract_json(&"[".repeat(200_000)), None);
    }

    #[test]
    fn equality_is_by_value() {
        let gold = json!({"a": 1, "b": [true, null, 0.5]});
        assert!(json_exact_match("so: {\"b\": [true, null, 5e-1], \"a\": 1.0}", &gold));
        assert!(!json_exact_match("{\"b\": [null, true, 0.5], \"a\": 1}", &gold));
        assert!(!json_exact_match("{\"a\": 1, \"b\": [true, null, 0.5], \"c\": 2}", &gold));
        assert!(!json_exact_match("{\"a\": \"1\", \"b\": [true, null, 0.5]}", &gold));
        assert!(!json_exact_match("nothing", &gold));
        // Beyond 2^53 neighbours are the same float, and still different integers.
        assert!(!json_exact_match("[9007199254740993]", &json!([9_007_199_254_740_992_u64])));
    }

    #[test]
    fn fields_by_hand() {
        let gold = json!({"a": 1, "b": "x", "c": null});
        for (prediction, expected) in [
            ("{\"a\": 1, \"b\": \"x\", \"c\": null}", 1.0),
            ("{\"a\": 1, \"b\": \"y\", \"c\": null}", 2.0 / 3.0),
            ("{\"a\": 1, \"b\": \"x\"}", 2.0 / 3.0),
            ("{\"a\": 1, \"b\": \"x\", \"c\": null, \"d\": 0}", 3.0 / 4.0),
            ("[1]", 0.0),
            ("none", 0.0),
        ] {
            let accuracy = json_field_accuracy(prediction, &gold);
            assert!((accuracy - expected).abs() < 1e-12, "{prediction}: {accuracy}");
        }
        assert_eq!(json_field_accuracy("{}", &json!({})), 1.0);
        assert_eq!(json_field_accuracy("[1]", &json!([1])), 1.0);
    }
}
