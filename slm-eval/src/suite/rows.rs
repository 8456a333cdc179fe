//! Rows of a task, and the templates over them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::{Error, Result};

/// A row and where it stands.
pub(super) struct Row<'a> {
    path: &'a Path,
    line: usize,
    fields: Value,
}

/// The rows of a file of JSON lines, or of gzip of them, blank lines left out.
pub(super) fn read<'a>(path: &'a PathBuf, limit: Option<usize>) -> Result<Vec<Row<'a>>> {
    let io = |e| slm_core::Error::io(path, e);
    let file = std::fs::File::open(path).map_err(io)?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.map_err(io)?;
        if rows.len() >= limit.unwrap_or(usize::MAX) {
            break;
        }
        if !line.trim().is_empty() {
            let bad = |e: serde_json::Error| Error::Row {
                path: path.clone(),
                line: index + 1,
                reason: e.to_string(),
            };
            rows.push(Row { path, line: index + 1, fields: serde_json::from_str(&line).map_err(bad)? });
        }
    }
    if rows.is_empty() { Err(Error::Empty { what: "rows" }) } else { Ok(rows) }
}

impl Row<'_> {
    /// The name of its file.
    pub(super) fn file(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    pub(super) fn error(&self, reason: impl std::fmt::Display) -> Error {
        Error::Row { path: self.path.into(), line: self.line, reason: reason.to_string() }
    }

    /// The row as another type.
    pub(super) fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.fields).map_err(|e| self.error(e))
    }

    fn context(&self) -> minijinja::Value {
        minijinja::Value::from(Serde(&self.fields))
    }

    /// A template, filled in.
    pub(super) fn fill(&self, template: &str) -> Result<String> {
        environment().render_str(template, self.context()).map_err(|e| self.error(with_detail(&e)))
    }

    /// The value of an expression.
    pub(super) fn value(&self, expression: &str) -> Result<Value> {
        let environment = environment();
        let expression =
            environment.compile_expression(expression).map_err(|e| self.error(with_detail(&e)))?;
        let value = expression.eval(self.context()).map_err(|e| self.error(with_detail(&e)))?;
        serde_json::to_value(value).map_err(|e| self.error(e))
    }

    /// The texts of an expression that is a text or a list of them; numbers are written out.
    pub(super) fn texts(&self, expression: &str) -> Result<Vec<String>> {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            other => Err(self.error(format!("`{expression}` is {other}, which is no text"))),
        };
        match self.value(expression)? {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => values.into_iter().map(text).collect(),
            value => Ok(vec![text(value)?]),
        }
    }
}

/// A field that a row lacks is an error, not an empty text.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn with_detail(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.to_string(),
    }
}
