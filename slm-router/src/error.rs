//! What can go wrong.

use std::path::PathBuf;
use std::time::Duration;

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
    #[error("{path} is not valid\nhint: copy it again, or fit and save what it held anew")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: serde_json::Error,
    },
    /// A line of a log is no query.
    #[error("{}:{line} is not a query\nhint: write an object with the field `query`, one per line", path.display())]
    LogLine {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// A file holds something else than expected.
    #[error("{path}: expected {expected}, got {got}\nhint: fit and save what it held anew with this version")]
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
    /// No threshold keeps a limit.
    #[error(
        "no threshold keeps the errors at {max_error} for {examples} examples\nhint: allow more errors, or give more examples; without any error it takes {least}"
    )]
    NoThreshold {
        /// The wanted rate.
        max_error: f64,
        /// How many examples there are.
        examples: usize,
        /// How many it takes without any error.
        least: usize,
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
    /// A vector is not as long as those that a detector was fitted to, or has no length.
    #[error("expected a vector of {expected} finite numbers that are not all 0, got {got}")]
    Vector {
        /// How many numbers.
        expected: usize,
        /// What was given.
        got: String,
    },
    /// A remote model refused, failed, or broke off.
    #[error("{model}: {reason}{}", hint_for(*status))]
    Remote {
        /// The model.
        model: String,
        /// Status of HTTP; `None` where there was no answer at all, or it broke off.
        status: Option<u16>,
        /// What is wrong.
        reason: String,
    },
    /// A remote model failed so often in a row that it is not asked for a while.
    #[error("{model} failed repeatedly and is not asked for another {:.0} s", wait.as_secs_f64())]
    CircuitOpen {
        /// The model.
        model: String,
        /// How long from now.
        wait: Duration,
    },
    /// Not enough is left of the day's budget.
    #[error("{left:.4} of the daily {per_day} are left, and the request may cost {needed:.4}\nhint: raise the budget, lower `max_new_tokens`, or wait {} s", wait.as_secs())]
    BudgetSpent {
        /// Money per day.
        per_day: f64,
        /// Money left today.
        left: f64,
        /// The most that the request may cost.
        needed: f64,
        /// Until the next day.
        wait: Duration,
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

/// What may help against a status of HTTP.
fn hint_for(status: Option<u16>) -> &'static str {
    match status {
        Some(401 | 403) => "\nhint: check the API key and what it may use",
        Some(404) => "\nhint: check `base_url` and the name of the model",
        Some(429) => "\nhint: ask less often, or check quota and billing with the provider",
        _ => "",
    }
}
