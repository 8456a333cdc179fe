#![doc = include_str!("../README.md")]

pub mod chat;
pub mod config;
pub mod encoder;
mod error;
pub mod generate;
pub mod gguf;
#[cfg(feature = "hub")]
pub mod hub;
pub mod model;
pub mod nn;
pub mod text;

pub use chat::{
    ChatRequest, ChatResponse, Citation, Confidence, Delta, Embedder, FinishReason, LanguageModel, Message,
    OnDelta, Role, TokenLogprob, ToolCall, ToolChoice, TopLogprob, Usage,
};
pub use config::ModelConfig;
pub use encoder::{CrossEncoder, TextEncoder};
pub use error::{Error, Result};
pub use generate::{GenerationConfig, LocalModel};
pub use model::CausalLm;
pub use nn::KvCache;
pub use text::{ChatTemplate, Tokenizer};
