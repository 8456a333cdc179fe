//! Text to token ids and back: the tokenizer and the chat template, one path for training and serving.

pub mod gguf;
mod template;
mod tokenizer;

pub(crate) use template::read_json;
pub use template::{ChatTemplate, Ending, TemplateInput, TrainingText};
pub use tokenizer::{TextStream, Tokenizer};
