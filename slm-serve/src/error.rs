//! What can go wrong between a configuration and an answer.

use std::path::PathBuf;
use std::time::Duration;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a configuration and an answer.
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
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The configuration file is not TOML, or has fields that are unknown or of another type.
    #[error("{path}: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// The cause, with the line.
        source: Box<toml::de::Error>,
    },
    /// A setting is out of range or contradicts another.
    #[error("{field}: {reason}")]
    Config {
        /// Name of the setting.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room for another request.
    #[error("{waiting} requests are waiting already\nhint: try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// Requests in the queue.
        waiting: usize,
        /// When there may be room.
        retry_after: Duration,
    },
    /// A request that would never fit.
    #[error("{tokens} tokens of prompt and answer do not fit in the {limit} that the cache may hold")]
    TooLong {
        /// Tokens of the prompt, and the most that the answer may have.
        tokens: usize,
        /// Tokens that the memory set aside for keys and values can hold.
        limit: usize,
    },
    /// The thread that runs the model has ended.
    #[error("the engine of model {name} has stopped\nhint: the log has the cause; a reload starts it again")]
    Stopped {
        /// The model.
        name: String,
    },
    /// A model failed or could not be loaded.
    #[error(transparent)]
    Model(#[from] slm_core::Error),
    /// An adapter could not be loaded.
    #[error(transparent)]
    Adapter(#[from] slm_lora::Error),
    /// An index could not be opened.
    #[error(transparent)]
    Index(#[from] slm_rag::Error),
    /// A router could not be put together.
    #[error(transparent)]
    Router(#[from] slm_router::Error),
}

impl Error {
    pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }

    /// This error as the failure of the model `name`, to pass it through
    /// [`LanguageModel`](slm_core::LanguageModel).
    pub(crate) fn of_model(self, name: &str) -> slm_core::Error {
        match self {
            Self::Model(e) => e,
            other => slm_core::Error::model(name, other),
        }
    }
}
