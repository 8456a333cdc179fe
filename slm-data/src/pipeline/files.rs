//! The files in the folders of a cache.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::curate::Dropped;
use crate::io::{write_atomically, write_line};
use crate::{Entry, Error, Example, Result, RowReader};

/// Rows in memory at a time, for steps that judge each alone.
pub(super) const CHUNK: usize = 4096;
pub(super) const ROWS: &str = "rows.jsonl";
pub(super) const DROPPED: &str = "dropped.jsonl";

/// The next rows of a file that this program wrote.
pub(super) fn take(reader: &mut RowReader<Example>, size: usize) -> Result<Vec<Example>> {
    let mut rows = Vec::new();
    while rows.len() < size {
        match reader.next().transpose()? {
            Some(Entry::Row(row)) => rows.push(row),
            Some(Entry::Bad(bad)) => {
                let reason = format!("line {} is broken: {}\nhint: remove the folder", bad.line, bad.reason);
                return Err(Error::config(bad.file.to_string_lossy(), reason));
            }
            None => break,
        }
    }
    Ok(rows)
}

pub(super) fn read_all(path: &Path) -> Result<Vec<Example>> {
    take(&mut RowReader::open(path)?, usize::MAX)
}

/// Visits the rows that the step of a folder dropped.
pub(crate) fn each_dropped(folder: &Path, mut visit: impl FnMut(Dropped) -> Result<()>) -> Result<()> {
    let path = folder.join(DROPPED);
    let fail = |source| Error::io(&path, source);
    for line in BufReader::new(fs::File::open(&path).map_err(fail)?).lines() {
        let row = serde_json::from_str(&line.map_err(fail)?);
        visit(row.map_err(|error| Error::io(&path, error.into()))?)?;
    }
    Ok(())
}

/// Visits the rows of a folder.
pub(crate) fn each_row(folder: &Path, mut visit: impl FnMut(Example)) -> Result<()> {
    let mut reader = RowReader::open(folder.join(ROWS))?;
    loop {
        let rows = take(&mut reader, CHUNK)?;
        if rows.is_empty() {
            return Ok(());
        }
        rows.into_iter().for_each(&mut visit);
    }
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomically(path, |out| write_line(out, value))
}

pub(super) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    serde_json::from_str(&text).map_err(|error| Error::io(path, error.into()))
}
