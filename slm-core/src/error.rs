//! What can go wrong, with the file, tensor or field it concerns.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a model directory and an answer.
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
    /// A JSON file does not parse.
    #[error("{path} is not valid JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: serde_json::Error,
    },
    /// A field of `config.json` is missing, unknown or contradicts another.
    #[error("config field `{field}`: {reason}")]
    Config {
        /// Name of the field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight file is corrupt.
    #[error(
        "{path} is not a valid safetensors file: {reason}\nhint: download or copy it again; a truncated transfer is the usual cause"
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A GGUF file is damaged, or holds or would hold what this version does not know.
    #[error("{path} as GGUF: {reason}")]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tensors of a checkpoint are not those of the configured model.
    #[error("{path} does not fit the model: {}", problems.join("; "))]
    Tensors {
        /// The checkpoint.
        path: PathBuf,
        /// One line per missing, surplus or misshapen tensor, with expected and found shapes.
        problems: Vec<String>,
    },
    /// The tokenizer cannot be loaded or used.
    #[error("tokenizer {path}: {reason}")]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The chat template cannot be compiled or rendered.
    #[error("chat template: {reason}")]
    Template {
        /// What is wrong, with the line of the template.
        reason: String,
    },
    /// A model began to call a tool and wrote something else.
    #[error("tool call: {reason}; the model wrote {text:?}")]
    ToolCall {
        /// What it wrote.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request the model cannot serve.
    #[error("invalid request: {reason}")]
    Request {
        /// What is wrong.
        reason: String,
    },
    /// An answer is not what was asked for.
    #[error("the answer does not fit: {reason}\nanswer: {text}")]
    Answer {
        /// The answer.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model could not be had from the hub.
    #[error("{repository}: {reason}\nhint: {hint}")]
    Hub {
        /// Name of the repository, `owner/name`.
        repository: String,
        /// What went wrong.
        reason: String,
        /// What may help.
        hint: String,
    },
    /// Reading a tensor back from the device failed.
    #[error("device: {reason}")]
    Device {
        /// What is wrong.
        reason: String,
    },
    /// A model behind [`LanguageModel`](crate::LanguageModel) or [`Embedder`](crate::Embedder) failed.
    #[error("model {name} failed")]
    Model {
        /// Name of the model.
        name: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
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

    /// An [`Error::Gguf`] of `path`.
    pub(crate) fn gguf(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Gguf { path: path.into(), reason: reason.into() }
    }

    /// An [`Error::Model`] that wraps the failure of an implementation outside this crate.
    pub fn model(
        name: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Model { name: name.into(), source: source.into() }
    }
}
