//! Logs of queries, one JSON object per line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A query of a log, and what is known of it. Other fields of a line are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// What was asked.
    #[serde(alias = "question", alias = "prompt", alias = "text")]
    pub query: String,
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: Option<usize>,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: Option<usize>,
    /// Whether the local model was right.
    #[serde(default)]
    pub local_is_right: Option<bool>,
    /// Whether the larger model was right.
    #[serde(default)]
    pub larger_is_right: Option<bool>,
}

/// Reads a log of JSON lines; empty lines are skipped.
///
/// # Errors
/// When the file cannot be read, or a line is no query.
pub fn read_log(path: &Path) -> Result<Vec<LogRecord>> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut records = Vec::new();
    for (n, line) in BufReader::new(File::open(path).map_err(io)?).lines().enumerate() {
        let line = line.map_err(io)?;
        if line.trim().is_empty() {
            continue;
        }
        records.push(serde_json::from_str(&line).map_err(|source| Error::LogLine {
            path: path.into(),
            line: n + 1,
            source,
        })?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_faults() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log.jsonl");
        std::fs::write(
            &path,
            "{\"question\": \"Who?\", \"prompt_tokens\": 3, \"user\": 7}\n\n{\"query\": \"What?\"}\n",
        )?;
        let records = read_log(&path)?;
        assert_eq!((records[0].query.as_str(), records[0].prompt_tokens), ("Who?", Some(3)));
        assert_eq!(records[1].query, "What?");
        std::fs::write(&path, "{\"query\": \"a\"}\n{\"who\": 1}\n")?;
        let error = read_log(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(":2"), "{error}");
        Ok(())
    }
}
