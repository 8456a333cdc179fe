//! Parquet, a batch of rows at a time.

use std::fs::File;
use std::io;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::Value;

use super::Raw;

/// Rows in memory at a time.
const BATCH: usize = 1024;

/// Each row as an object; values that JSON has no form for are written as arrow-json does.
pub(super) fn records(path: &Path) -> io::Result<ParquetRecords> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(io::Error::other)?;
    let batches = builder.with_batch_size(BATCH).build().map_err(io::Error::other)?;
    Ok(ParquetRecords { batches, rows: Vec::new().into_iter(), line: 0 })
}

pub(super) struct ParquetRecords {
    batches: ParquetRecordBatchReader,
    rows: std::vec::IntoIter<Result<Value, String>>,
    line: usize,
}

impl Iterator for ParquetRecords {
    type Item = io::Result<Raw>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.rows.next() {
                self.line += 1;
                return Some(Ok(Raw { line: self.line, value }));
            }
            let batch = match self.batches.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(io::Error::other(error))),
            };
            match values(&batch) {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn values(batch: &RecordBatch) -> io::Result<Vec<Result<Value, String>>> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(io::Error::other)?;
    let text = writer.into_inner();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| serde_json::from_slice(line).map_err(|e| format!("not JSON: {e}"))).collect())
}
