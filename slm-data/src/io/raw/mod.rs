//! Records of a file, one at a time, before anybody knows their schema.

mod csv;
mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::Path;

use serde_json::Value;

use super::codec::{open, plain_name};
use crate::{Error, Result};

/// Bytes of one record, at the most: what is longer is a bad line, and is not kept in memory.
pub(super) const LONGEST: usize = 64 << 20;

/// A record, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Raw {
    /// Counted from 1: a line of text, an element of a JSON list, a row of a Parquet file.
    pub(super) line: usize,
    pub(super) value: Result<Value, String>,
}

/// Records in order. An error ends them.
pub(super) type RawRecords = Box<dyn Iterator<Item = std::io::Result<Raw>> + Send>;

/// How a file lays out its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    JsonLines,
    Json,
    /// With the byte between the fields.
    Csv(u8),
    Parquet,
}

impl Container {
    /// By the name, without `.gz` or `.zst`.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = plain_name(path);
        let ending = name.rsplit_once('.').map(|(_, ending)| ending)?;
        match ending {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv(b',')),
            "tsv" => Some(Self::Csv(b'\t')),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The records of a file; one with an unknown name is read as JSON lines.
pub(super) fn records(path: &Path) -> Result<RawRecords> {
    match Container::of(path).unwrap_or(Container::JsonLines) {
        Container::JsonLines => Ok(Box::new(lines::JsonLines::new(open(path)?))),
        Container::Json => Ok(Box::new(json::JsonList::new(open(path)?))),
        Container::Csv(delimiter) => Ok(Box::new(csv::records(open(path)?, delimiter))),
        Container::Parquet => parquet_records(path),
    }
}

#[cfg(feature = "parquet")]
fn parquet_records(path: &Path) -> Result<RawRecords> {
    let records = parquet::records(path);
    Ok(Box::new(records.map_err(|source| Error::io(path, source))?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_records(path: &Path) -> Result<RawRecords> {
    Err(Error::Feature { path: path.to_owned(), format: "Parquet", feature: "parquet" })
}
