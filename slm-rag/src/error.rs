//! What can go wrong.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a folder of documents and an answer.
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
    /// There is nothing to index.
    #[error("no text to index in {documents} documents\nhint: {hint}")]
    NoText {
        /// Documents given.
        documents: usize,
        /// What to do.
        hint: &'static str,
    },
    /// Two documents have one identifier, so that a citation would not be unique.
    #[error("two documents are named {id}")]
    DuplicateDocument {
        /// The identifier.
        id: String,
    },
    /// A setting is out of range.
    #[error("`{field}`: {reason}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Expected and got.
        reason: String,
    },
    /// Bytes of an index could not be written.
    #[error("cannot write an index")]
    Write {
        /// The cause.
        source: std::io::Error,
    },
    /// An index without vectors was asked for what is near a vector.
    #[error("the index has no vectors\nhint: build it with an embedder")]
    NoVectors,
    /// A model or an encoder failed.
    #[error(transparent)]
    Model(#[from] slm_core::Error),
    /// A database failed.
    #[cfg(feature = "postgres")]
    #[error("PostgreSQL failed\nhint: it must be reachable, and have the extension pgvector for vectors")]
    Postgres(#[from] postgres::Error),
    /// Qdrant failed.
    #[cfg(feature = "qdrant")]
    #[error(
        "Qdrant failed\nhint: its gRPC port (6334) must be reachable, with an API key where it asks for one"
    )]
    Qdrant(#[source] Box<qdrant_client::QdrantError>),
    /// Another process writes to the store.
    #[error(
        "{path} is being written by another process\nhint: a store has one writer at a time; readers need none"
    )]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file is not an index, or not a whole one.
    #[error(
        "{path} is not a valid index: {reason}\nhint: build and save the index anew; of a store, `Store::rebuild` keeps what is whole"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Expected and got.
        reason: String,
    },
}

impl Error {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.into(), reason: reason.into() }
    }
}

#[cfg(feature = "qdrant")]
impl From<qdrant_client::QdrantError> for Error {
    fn from(error: qdrant_client::QdrantError) -> Self {
        Self::Qdrant(Box::new(error))
    }
}
