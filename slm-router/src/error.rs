//! What can go wrong.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a detector or in setting up a router.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file does not parse.
    #[error("{path} is not a valid detector file\nhint: copy it again, or fit and save the detector anew")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: serde_json::Error,
    },
    /// A file holds something else than expected.
    #[error("{path}: expected {expected}, got {got}\nhint: fit and save the detector anew with this version")]
    Format {
        /// The file.
        path: PathBuf,
        /// What this version reads.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// A setting is out of range.
    #[error("`{field}`: {reason}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Expected and got.
        reason: String,
    },
    /// Fewer texts or scores than the result needs.
    #[error("too few {what} texts: expected at least {expected}, got {got}")]
    TooFewTexts {
        /// Which texts.
        what: &'static str,
        /// How many are needed.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A detector has no threshold.
    #[error(
        "the detector{} has no threshold\nhint: call `DomainDetector::calibrate` with held-out texts first",
        route.as_ref().map_or_else(String::new, |name| format!(" of route {name}"))
    )]
    NotCalibrated {
        /// The route the detector was given for, if any.
        route: Option<String>,
    },
    /// Two routes have the same name.
    #[error("two routes are named {name}")]
    DuplicateRoute {
        /// The name.
        name: String,
    },
}

impl Error {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }
}
