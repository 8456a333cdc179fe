//! [`RowWriter`]: rows to a file, one at a time, which appears when it is complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::codec::Packer;
use super::raw::Container;
use super::schema::{Layout, to_record};
use crate::{Error, Result, Row};

/// Writes rows one at a time, in bounded memory.
///
/// The name decides the format, as for [`RowReader`](crate::RowReader). The rows go to a file beside it, which
/// takes the name in [`finish`](Self::finish) and is removed when the writer is dropped before: a kill at any
/// moment leaves the old file or the new one. CSV and Parquet have the columns of the first row, so all rows
/// must be of its kind; lists within CSV are JSON.
pub struct RowWriter {
    path: PathBuf,
    temporary: PathBuf,
    layout: Layout,
    /// Taken by `finish`.
    sink: Option<Sink>,
    rows: usize,
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

enum Sink {
    Lines(Packer),
    List(Packer),
    Csv {
        out: Box<csv::Writer<Packer>>,
        columns: Vec<String>,
    },
    #[cfg(feature = "parquet")]
    Parquet(Box<super::columns::ColumnWriter>),
}

impl RowWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// When it cannot be created, or its format needs a feature that is off.
    pub fn create(path: impl AsRef<Path>, layout: Layout) -> Result<Self> {
        let path = path.as_ref();
        let temporary = temporary_name(path);
        let fail = |source| Error::io(path, source);
        let container = Container::of(path).unwrap_or(Container::JsonLines);
        if container == Container::Parquet && cfg!(not(feature = "parquet")) {
            return Err(Error::Feature { path: path.to_owned(), format: "Parquet", feature: "parquet" });
        }
        let file = File::create(&temporary).map_err(fail)?;
        let pack = |file| Packer::new(path, file);
        let sink = match container {
            Container::JsonLines => pack(file).map(Sink::Lines),
            Container::Json => pack(file).map(Sink::List),
            Container::Csv(delimiter) => pack(file).map(|packer| Sink::Csv {
                out: Box::new(csv::WriterBuilder::new().delimiter(delimiter).from_writer(packer)),
                columns: Vec::new(),
            }),
            #[cfg(feature = "parquet")]
            Container::Parquet => Ok(Sink::Parquet(Box::new(super::columns::ColumnWriter::new(file)))),
            #[cfg(not(feature = "parquet"))]
            Container::Parquet => Err(io::ErrorKind::Unsupported.into()),
        };
        let sink = sink.map_err(|source| {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
            fail(source)
        })?;
        Ok(Self { path: path.to_owned(), temporary, layout, sink: Some(sink), rows: 0 })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// When the row does not fit the layout or the columns ([`Error::Row`]; more rows may follow), or the file
    /// cannot be written.
    pub fn write(&mut self, row: &Row) -> Result<()> {
        let misfit = |reason| Error::Row { path: self.path.clone(), row: self.rows + 1, reason };
        let record = to_record(row, self.layout).map_err(misfit)?;
        let Some(sink) = &mut self.sink else { return Ok(()) };
        match sink.write(record, self.rows == 0) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(Failed::Misfit(reason)) => {
                Err(Error::Row { path: self.path.clone(), row: self.rows + 1, reason })
            }
            Err(Failed::Io(source)) => Err(Error::io(&self.path, source)),
        }
    }

    /// Ends the file and gives it its name; returns the number of rows.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<usize> {
        if let Some(sink) = self.sink.take() {
            let done = sink.finish(self.rows == 0).and_then(|()| fs::rename(&self.temporary, &self.path));
            done.map_err(|source| Error::io(&self.path, source))?;
        }
        Ok(self.rows)
    }
}

impl Drop for RowWriter {
    fn drop(&mut self) {
        if self.sink.take().is_some() || self.temporary.exists() {
            // Nobody asked for half a file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A value as a line of JSON.
pub(crate) fn write_line(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Writes a file beside `path`, packed as its name says, and renames it once it is complete.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let temporary = temporary_name(path);
    let written = (|| {
        let mut out = Packer::new(path, File::create(&temporary)?)?;
        write(&mut out)?;
        out.finish()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|source| {
        // The first error is the one to report; the file may not even exist.
        let _ = fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// Beside the file, so that renaming works.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

enum Failed {
    Misfit(String),
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Sink {
    fn write(&mut self, mut record: Map<String, Value>, first: bool) -> Result<(), Failed> {
        match self {
            Self::Lines(out) => {
                record.retain(|_, value| !value.is_null());
                serde_json::to_writer(&mut *out, &record).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Self::List(out) => {
                record.retain(|_, value| !value.is_null());
                out.write_all(if first { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &record).map_err(io::Error::from)?;
            }
            Self::Csv { out, columns } => {
                let same =
                    columns.len() == record.len() && columns.iter().all(|name| record.contains_key(name));
                if first {
                    *columns = record.keys().cloned().collect();
                    out.write_record(&*columns).map_err(io::Error::from)?;
                } else if !same {
                    return Err(Failed::Misfit(format!("its columns are not [{}]", columns.join(", "))));
                }
                let fields = columns.iter().map(|name| match &record[name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                out.write_record(fields).map_err(io::Error::from)?;
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(columns) => {
                columns.write(record).map_err(|e| e.map_or_else(Failed::Io, Failed::Misfit))?;
            }
        }
        Ok(())
    }

    fn finish(self, empty: bool) -> io::Result<()> {
        match self {
            Self::Lines(out) => out.finish(),
            Self::List(mut out) => {
                out.write_all(if empty { b"[]\n" } else { b"\n]\n" })?;
                out.finish()
            }
            Self::Csv { out, .. } => out.into_inner().map_err(|e| e.into_error())?.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(columns) => columns.finish(),
        }
    }
}
