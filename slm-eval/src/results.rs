//! Results on disk, as JSON.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slm_core::model::write_atomically;

use crate::{Error, Result};

/// Writes `value` beside its place first and then renames it; `what` it is, for the error.
pub(crate) fn save_json<T: Serialize>(value: &T, what: &'static str, path: &Path) -> Result<()> {
    let parse = |source| Error::Parse { path: path.into(), what, source };
    let json = serde_json::to_vec_pretty(value).map_err(parse)?;
    Ok(write_atomically(path, &json)?)
}

/// Reads what [`save_json`] wrote.
pub(crate) fn load_json<T: DeserializeOwned>(what: &'static str, path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|e| slm_core::Error::io(path, e))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Parse { path: path.into(), what, source })
}
