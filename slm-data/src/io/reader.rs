//! [`RowReader`]: the rows of a file, one at a time.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::raw::{RawRecords, records};
use super::{BadLine, Loaded, schema};
use crate::row::FromRow;
use crate::{Error, Result, Row};

/// What has passed: `lines == rows + bad`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Records that are not blank.
    pub lines: usize,
    /// Those that are rows.
    pub rows: usize,
    /// Those that are not.
    pub bad: usize,
}

/// A row, or a line that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<T> {
    /// A row.
    Row(T),
    /// What is wrong with the line.
    Bad(BadLine),
}

/// Reads the rows of a file one at a time, in bounded memory.
///
/// `.jsonl`, `.ndjson`, `.json` (a list), `.csv` and `.tsv` (with a header), each plain, gzip or zstd, and
/// `.parquet`; other names are read as JSON lines. The schema is recognised on each record:
///
/// | schema | keys | row |
/// |---|---|---|
/// | OpenAI messages | `messages`; `tools`, `tool_calls` | conversation |
/// | ShareGPT | `conversations`; `system`, `tools` | conversation |
/// | alpaca | `instruction`, `output`; `input`, `system` | conversation |
/// | pairs | `prompt` and `completion`, `question` and `answer`, `instruction` and `response` | conversation |
/// | preference | `chosen`, `rejected`; `prompt` or a conversation | preference |
/// | KTO | a conversation or pair with `label` true or false | feedback |
/// | raw text | `text`; `id` or `path` | document |
///
/// `source`, `group` and `licence` (or `license`) are taken over where they are; without `source` it is the
/// file's name and the line: `train.jsonl:7`. A bad line ends nothing: it comes as [`Entry::Bad`]. An error of
/// the file (a cut gzip stream, say) ends the rows.
pub struct RowReader<T = Row> {
    path: PathBuf,
    name: String,
    records: RawRecords,
    counts: Counts,
    failed: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for RowReader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowReader")
            .field("path", &self.path)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl<T: FromRow> RowReader<T> {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, or its format needs a feature that is off.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let records = records(path)?;
        let (counts, failed) = (Counts::default(), false);
        Ok(Self { path: path.to_owned(), name, records, counts, failed, kind: PhantomData })
    }

    /// What has passed so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads the rest into memory.
    pub(super) fn load(mut self) -> Result<Loaded<T>> {
        let mut loaded = Loaded { items: Vec::new(), skipped: Vec::new(), lines: 0 };
        for entry in &mut self {
            match entry? {
                Entry::Row(row) => loaded.items.push(row),
                Entry::Bad(bad) => loaded.skipped.push(bad),
            }
        }
        loaded.lines = self.counts.lines;
        Ok(loaded)
    }
}

impl<T: FromRow> Iterator for RowReader<T> {
    type Item = Result<Entry<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let raw = match self.records.next()? {
            Ok(raw) => raw,
            Err(source) => {
                self.failed = true;
                return Some(Err(Error::io(&self.path, source)));
            }
        };
        let source = || format!("{}:{}", self.name, raw.line);
        let row = raw.value.and_then(|value| {
            let keys = value.as_object().map(schema::keys).unwrap_or_default();
            let row = schema::to_row(value, source)?;
            T::from_row(row).map_err(|other| format!("{}, not what is read here; keys [{keys}]", other))
        });
        self.counts.lines += 1;
        Some(Ok(match row {
            Ok(row) => {
                self.counts.rows += 1;
                Entry::Row(row)
            }
            Err(reason) => {
                self.counts.bad += 1;
                Entry::Bad(BadLine { file: self.path.clone(), line: raw.line, reason })
            }
        }))
    }
}
