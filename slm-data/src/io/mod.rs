//! Files of examples and folders of documents.

mod codec;
#[cfg(feature = "parquet")]
mod columns;
mod convert;
mod documents;
mod examples;
mod raw;
mod reader;
mod schema;
mod writer;

use std::path::PathBuf;

pub use convert::convert;
pub(crate) use convert::write_bad_line;
pub use documents::read_documents;
pub(crate) use documents::row_files;
pub use examples::{read_examples, read_rows, write_examples};
pub use reader::{Counts, Entry, RowReader};
pub use schema::Layout;
pub use writer::RowWriter;
pub(crate) use writer::{write_atomically, write_line};

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
