//! Serves a model of this program by OpenAI's protocol, beside one from a directory.
//!
//! Run: `cargo run --release -p slm-serve --example serve -- assets/base`
//!
//! Expect: an address; `curl ADDRESS/v1/models` lists both, and the page at the address chats with them. Ctrl-C ends it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_serve::{App, Entry, Registry, ServeConfig, Server};

/// Counts words: a tool that looks like a model to its clients.
struct WordCount;

impl LanguageModel for WordCount {
    fn name(&self) -> &str {
        "word-count"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let words = request.last_user().split_whitespace().count();
        let text = format!("{words} words.");
        let finish = if on_text(&text).is_break() { FinishReason::Cancelled } else { FinishReason::Stop };
        Ok(ChatResponse::new(text, self.name(), finish, Usage { prompt_tokens: words, completion_tokens: 2 }))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: serve <model directory or GGUF file>")?;
    let config = ServeConfig::of_model(Path::new(&directory));
    let mut registry = Registry::load(&config)?;
    registry.models.push(Entry::new("word-count", "program", Arc::new(WordCount)));
    tokio::runtime::Runtime::new()?.block_on(async {
        let server = Server::bind(&config, App::new(&config, registry)).await?;
        println!("http://{}", server.address()?);
        server
            .run(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await;
        Ok(())
    })
}
