//! Rows of any format as a table.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use ::datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use ::datafusion::arrow::error::ArrowError;
use ::datafusion::parquet::arrow::ArrowWriter;
use ::datafusion::parquet::errors::ParquetError;

use super::functions::external;
use crate::pipeline::each_input;
use crate::{BadLine, Counts, Error, Example, InputConfig, Result};

/// Rows in a file.
const ROWS: usize = 65_536;

/// Writes the rows of files as Parquet files of `id` (from 0, in the order of the rows) and `row` into a new folder.
/// Gives what was counted, and the lines that are no rows.
///
/// # Errors
/// When a file cannot be read or written, or the folder is there and not empty.
pub fn write_table(inputs: &[InputConfig], folder: &Path) -> Result<(Counts, Vec<BadLine>)> {
    fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    if fs::read_dir(folder).map_err(|source| Error::io(folder, source))?.next().is_some() {
        return Err(Error::io(folder, std::io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let mut rows: Vec<String> = Vec::new();
    let mut first = 0;
    let (counts, bad) = each_input(inputs, |row: Example| {
        rows.push(serde_json::to_string(&row).map_err(external)?);
        if rows.len() == ROWS {
            first = write_file(folder, first, std::mem::take(&mut rows))?;
        }
        Ok(())
    })?;
    if !rows.is_empty() || first == 0 {
        write_file(folder, first, rows)?;
    }
    Ok((counts, bad))
}

/// Returns the number of the next row.
fn write_file(folder: &Path, first: i64, rows: Vec<String>) -> Result<i64> {
    let path = folder.join(format!("{first:012}.parquet"));
    let temporary = path.with_extension("partial");
    let next = first + i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let write = || -> Result<(), ParquetError> {
        let ids: Int64Array = (first..next).map(Some).collect();
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(ids)), ("row", Arc::new(StringArray::from(rows)))];
        let batch = RecordBatch::try_from_iter(columns).map_err(|error: ArrowError| error)?;
        let mut writer = ArrowWriter::try_new(File::create(&temporary)?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    };
    write().map_err(|error| Error::io(&temporary, std::io::Error::other(error)))?;
    fs::rename(&temporary, &path).map_err(|source| Error::io(&path, source))?;
    Ok(next)
}
