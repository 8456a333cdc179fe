//! From one format and schema to another.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::codec::Packer;
use super::writer::temporary_name;
use super::{BadLine, Counts, Entry, Layout, RowReader, RowWriter};
use crate::{Error, Result, Row};

/// Lines that are no rows, kept beside the rows: one JSON object with `file`, `line` and `reason` each. The
/// text itself stays where it was, as it may hold what should not be copied.
pub(crate) fn write_bad_line(out: &mut dyn Write, bad: &BadLine) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        file: String,
        line: usize,
        reason: &'a str,
    }
    let line = Line { file: bad.file.to_string_lossy().into_owned(), line: bad.line, reason: &bad.reason };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Reads files and writes their rows to one, in another format or schema, in bounded memory.
///
/// Lines that are no rows, and rows that do not fit the layout, go to the file `quarantine` with their file, line and
/// reason. `counts.rows` is the number of rows written and `counts.bad` that of lines in quarantine.
///
/// # Errors
/// When a file cannot be read or written. No output appears then.
pub fn convert(
    inputs: &[impl AsRef<Path>],
    output: impl AsRef<Path>,
    layout: Layout,
    quarantine: impl AsRef<Path>,
) -> Result<Counts> {
    let aside = quarantine.as_ref();
    let fail = |source| Error::io(aside, source);
    let temporary = temporary_name(aside);
    let mut bad_lines =
        std::fs::File::create(&temporary).and_then(|file| Packer::new(aside, file)).map_err(fail)?;
    let mut counts = Counts::default();
    let pass = || -> Result<RowWriter> {
        let mut writer = RowWriter::create(output, layout)?;
        for input in inputs {
            let file = input.as_ref().to_owned();
            for (at, entry) in RowReader::<Row>::open(input)?.enumerate() {
                counts.lines += 1;
                let bad = match entry? {
                    Entry::Bad(bad) => Some(bad),
                    Entry::Row(row) => match writer.write(&row) {
                        Ok(()) => None,
                        // The reader skips blank lines, so this is the number of the record.
                        Err(Error::Row { reason, .. }) => {
                            Some(BadLine { file: file.clone(), line: at + 1, reason })
                        }
                        Err(error) => return Err(error),
                    },
                };
                match bad {
                    None => counts.rows += 1,
                    Some(bad) => {
                        counts.bad += 1;
                        write_bad_line(&mut bad_lines, &bad).map_err(fail)?;
                    }
                }
            }
        }
        Ok(writer)
    };
    let done = pass().and_then(|writer| {
        bad_lines.finish().and_then(|()| std::fs::rename(&temporary, aside)).map_err(fail)?;
        writer.finish()
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    done.map(|_| counts)
}
