//! Text to token ids and back: the tokenizer and the chat template, one path for training and serving.

pub mod gguf;
pub mod reasoning;
mod template;
mod tokenizer;
pub mod tools;

pub use reasoning::{ReasoningSplitter, ReasoningTags};
pub(crate) use template::read_json;
pub use template::{ChatTemplate, Ending, TemplateInput, TrainingText};
pub use tokenizer::{TextStream, Tokenizer};
pub use tools::{ParsedCalls, ToolCallFormat, parse_tool_calls};
