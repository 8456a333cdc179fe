#![doc = include_str!("../README.md")]

pub mod chat;
pub mod config;
mod error;
pub mod generate;
pub mod model;
pub mod nn;
pub mod text;

pub use chat::{
    ChatRequest, ChatResponse, Citation, Embedder, FinishReason, LanguageModel, Message, Role, TokenLogprob,
    ToolCall, Usage,
};
pub use config::ModelConfig;
pub use error::{Error, Result};
pub use generate::{GenerationConfig, LocalModel};
pub use model::CausalLm;
pub use nn::KvCache;
pub use text::{ChatTemplate, Tokenizer};
