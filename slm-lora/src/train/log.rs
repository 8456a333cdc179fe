//! [`JsonLog`]: one line of JSON for each step.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Result;

/// A file to which lines of JSON are appended; each is complete once [`JsonLog::write`] returns.
#[derive(Debug)]
pub struct JsonLog {
    path: PathBuf,
    file: File,
}

impl JsonLog {
    /// Opens a file for appending, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { path: path.into(), file: file.map_err(|e| slm_core::Error::io(path, e))? })
    }

    /// Appends an entry, such as a [`StepLog`](crate::StepLog).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, entry: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|source| slm_core::Error::Json { path: self.path.clone(), source })?;
        line.push(b'\n');
        Ok(self.file.write_all(&line).map_err(|e| slm_core::Error::io(&self.path, e))?)
    }
}
