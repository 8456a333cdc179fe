//! Answers against a JSON schema.

use std::fmt;

use boon::{Compiler, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

use super::extract_json;
use crate::{Error, Result};

/// Where a schema lives that was given as a value.
const PLACE: &str = "mem:///schema.json";

/// A JSON schema that answers are held against; drafts 4 to 2020-12. References to other documents are not followed.
pub struct JsonSchema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchema").finish_non_exhaustive()
    }
}

/// Loads nothing.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> std::result::Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is another document").into())
    }
}

impl JsonSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// When it is not one, or refers to another document.
    pub fn new(schema: &Value) -> Result<Self> {
        let bad = |e: boon::CompileError| Error::Setting {
            name: "schema",
            expected: "a JSON schema, complete in itself",
            got: format!("{e:#}"),
        };
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.use_loader(Box::new(Nothing));
        compiler.add_resource(PLACE, schema.clone()).map_err(bad)?;
        let index = compiler.compile(PLACE, &mut schemas).map_err(bad)?;
        Ok(Self { schemas, index })
    }

    /// Whether the [JSON in](extract_json) `answer` is valid; an answer without JSON is not.
    ///
    /// ```
    /// use serde_json::json;
    /// use slm_eval::metrics::JsonSchema;
    ///
    /// let schema = JsonSchema::new(&json!({"type": "object", "required": ["severity"]}))?;
    /// assert!(schema.is_valid("Here: {\"severity\": \"high\"}"));
    /// assert!(!schema.is_valid("{\"level\": 3}") && !schema.is_valid("high"));
    /// # Ok::<(), slm_eval::Error>(())
    /// ```
    pub fn is_valid(&self, answer: &str) -> bool {
        extract_json(answer).is_some_and(|value| self.schemas.validate(&value, self.index).is_ok())
    }

    /// What is wrong with the answer, one sentence for each place; empty where it is valid.
    pub fn faults(&self, answer: &str) -> Vec<String> {
        let Some(value) = extract_json(answer) else { return vec!["there is no JSON in it".into()] };
        let mut faults = Vec::new();
        if let Err(error) = self.schemas.validate(&value, self.index) {
            leaves(&error, &mut faults);
        }
        faults
    }
}

/// The innermost causes of an error.
fn leaves(error: &ValidationError<'_, '_>, faults: &mut Vec<String>) {
    if error.causes.is_empty() {
        faults.push(format!("{} at {:?}", error.kind, error.instance_location.to_string()));
    }
    error.causes.iter().for_each(|cause| leaves(cause, faults));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_are_named_with_their_place() -> Result<()> {
        let schema = json!({
            "type": "object",
            "properties": {"code": {"type": "integer", "minimum": 100}, "level": {"enum": ["low", "high"]}},
            "required": ["code", "level"],
            "additionalProperties": false
        });
        let schema = JsonSchema::new(&schema)?;
        assert!(schema.is_valid("{\"level\": \"low\", \"code\": 404}"));
        assert_eq!(schema.faults("{\"level\": \"low\", \"code\": 404}"), Vec::<String>::new());
        let faults = schema.faults("{\"level\": \"mid\", \"code\": 4, \"note\": 1}");
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|f| f.contains("/code")), "{faults:?}");
        assert_eq!(schema.faults("none").len(), 1);
        let error = JsonSchema::new(&json!({"type": "shape"})).expect_err("no such type");
        assert!(matches!(error, Error::Setting { name: "schema", .. }), "{error}");
        let error =
            JsonSchema::new(&json!({"$ref": "https://example.com/other.json"})).expect_err("elsewhere");
        assert!(error.to_string().contains("another document"), "{error}");
        Ok(())
    }
}
