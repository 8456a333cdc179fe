//! What can go wrong, with the file or field it concerns.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with files and settings. Bad rows are not errors: they are counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A format that this build cannot read or write.
    #[error("{path}: {format} is not built in\nhint: enable the feature `{feature}` of slm-data")]
    Feature {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// A row that does not fit into the file being written.
    #[error("{path}, row {row}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, counted from 1.
        row: usize,
        /// What does not fit.
        reason: String,
    },
    /// No line of a file is an example.
    #[error(
        "{path} has no usable line ({lines} lines read{first})\nhint: one JSON object per line with \
         `messages`, or `instruction` and `output`, or `prompt` and `completion`, or `question` and `answer`"
    )]
    NoExamples {
        /// The file.
        path: PathBuf,
        /// Lines read that are not blank.
        lines: usize,
        /// What is wrong with the first of them, or nothing.
        first: String,
    },
    /// A folder holds no document.
    #[error(
        "{path} has no documents ({seen} files of other kinds or unreadable)\nhint: documents are `.md` and \
         `.txt` files in UTF-8, and `.jsonl` files with `id` (or `path`) and `text` on each line"
    )]
    NoDocuments {
        /// The folder.
        path: PathBuf,
        /// Files seen that gave no document.
        seen: usize,
    },
    /// A setting is out of range or contradicts another.
    #[error("setting `{field}`: {reason}")]
    Config {
        /// Name of the setting.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model that was lent to a step failed.
    #[error("{what} failed: {reason}")]
    Model {
        /// What it was lent for.
        what: &'static str,
        /// What it said, or what is wrong with what it gave.
        reason: String,
    },
    /// A plan failed.
    #[cfg(feature = "datafusion")]
    #[error("DataFusion cannot do it")]
    DataFusion {
        /// The cause.
        source: Box<datafusion::error::DataFusionError>,
    },
    /// Too few groups for the parts asked for.
    #[error(
        "cannot split {groups} groups into {parts} parts\nhint: rows of one group stay together; give more \
         groups, or set the share of a part to 0"
    )]
    TooFewGroups {
        /// Independent groups among the examples.
        groups: usize,
        /// Parts with a share above 0, counting the training part.
        parts: usize,
    },
}

impl Error {
    /// An [`Error::Io`] of `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::Config`] of `field`.
    pub fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }
}
