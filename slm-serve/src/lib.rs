#![doc = include_str!("../README.md")]

mod access;
mod api;
pub mod config;
pub mod engine;
mod error;
mod journal;
mod metrics;
pub mod registry;
mod server;
mod spans;

pub use access::{Access, Caller, Refusal, digest, new_key};
pub use api::{App, router};
pub use config::ServeConfig;
pub use engine::{Engine, EngineConfig, EngineModel};
pub use error::{Error, Result};
pub use journal::{Journal, Minute, Record};
pub use metrics::Metrics;
pub use registry::{Entry, Registry};
pub use server::{Server, serve};
