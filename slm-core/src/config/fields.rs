//! Fields of a JSON object, taken one by one, so that what nobody understood is left over.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// Reads fields and remembers which remain.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Of the object `name`.
    pub(crate) fn of(name: &str, value: Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(Error::config(name, format!("expected an object, found {other}"))),
        }
    }

    /// The field, unless it is absent or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|v| !v.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.take(name)
            .map(|v| match v {
                Value::String(s) => Ok(s),
                other => Err(Error::config(name, format!("expected a string, found {other}"))),
            })
            .transpose()
    }

    pub(crate) fn size(&mut self, name: &str) -> Result<Option<usize>> {
        self.take(name)
            .map(|v| {
                v.as_u64()
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or_else(|| Error::config(name, format!("expected a non-negative integer, found {v}")))
            })
            .transpose()
    }

    pub(crate) fn required_size(&mut self, name: &str) -> Result<usize> {
        self.size(name)?.ok_or_else(|| Error::config(name, "is missing"))
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.take(name)
            .map(|v| v.as_f64().ok_or_else(|| Error::config(name, format!("expected a number, found {v}"))))
            .transpose()
    }

    pub(crate) fn required_number(&mut self, name: &str) -> Result<f64> {
        self.number(name)?.ok_or_else(|| Error::config(name, "is missing"))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.take(name)
            .map(|v| {
                v.as_bool().ok_or_else(|| Error::config(name, format!("expected true or false, found {v}")))
            })
            .transpose()
    }

    pub(crate) fn numbers(&mut self, name: &str) -> Result<Vec<f64>> {
        let value = self.take(name).ok_or_else(|| Error::config(name, "is missing"))?;
        let items = value.as_array().and_then(|a| a.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        items.ok_or_else(|| Error::config(name, "expected a list of numbers"))
    }

    /// An error for the first field that is neither taken nor `ignored`.
    pub(crate) fn finish(self, prefix: &str, ignored: &[&str]) -> Result<()> {
        match self.0.into_iter().find(|(k, v)| !ignored.contains(&k.as_str()) && !v.is_null()) {
            None => Ok(()),
            Some((field, _)) => Err(Error::config(
                format!("{prefix}{field}"),
                "unknown to this version of slm-core; it might change the model's output\nhint: remove the field if it does not",
            )),
        }
    }
}
