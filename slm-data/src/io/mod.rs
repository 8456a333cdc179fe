//! Files of examples and folders of documents.

mod documents;
mod examples;
mod lines;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

pub use documents::read_documents;
pub use examples::{read_examples, write_examples};

use crate::{Error, Result};

/// What was read, and what could not be.
///
/// `items.len() + skipped.len() == lines`: nothing is lost silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What was read, in order.
    pub items: Vec<T>,
    /// What was skipped, and why.
    pub skipped: Vec<BadLine>,
    /// Lines read that are not blank; a text file counts as one.
    pub lines: usize,
}

/// A line, or a whole file, that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Writes a file beside `path` and renames it once it is complete; gzip where the name ends in `.gz`.
fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = BufWriter::new(File::create(&temporary)?);
        if is_gzip_name(path) {
            let mut gzip = GzEncoder::new(file, Compression::default());
            write(&mut gzip)?;
            file = gzip.finish()?;
        } else {
            write(&mut file)?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|source| {
        // The first error is the one to report; the file may not even exist.
        let _ = fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

fn is_gzip_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}
