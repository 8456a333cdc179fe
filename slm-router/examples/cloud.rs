//! Asks a model behind an OpenAI-compatible server, with a budget, a cache and redaction.
//!
//! Run, for a server on this machine such as llama.cpp's or Ollama's:
//! `cargo run --release -p slm-router --features cloud --example cloud -- http://localhost:11434/v1 MODEL "Who are you?"`
//!
//! With a key: `OPENAI_API_KEY=... cargo run ... -- https://api.openai.com/v1 MODEL "Who are you?"`.
//!
//! Expect: the answer as it comes, what it used and cost, and the same answer from memory for nothing.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use slm_core::{ChatRequest, LanguageModel};
use slm_router::{Budget, CacheConfig, CachedModel, CloudConfig, CloudModel, Prices};

const KEY: &str = "OPENAI_API_KEY";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, model, question] = arguments.as_slice() else {
        println!("usage: cloud URL MODEL QUESTION");
        return Ok(());
    };

    // 1. Where it is, and what a million tokens cost.
    let mut config = CloudConfig::new(url, model);
    config.api_key_variable = std::env::var_os(KEY).map(|_| KEY.to_owned());
    config.prices = Prices { per_million_prompt_tokens: 2.0, per_million_completion_tokens: 8.0 };

    // 2. At most one unit of money a day; addresses of mail do not leave.
    let budget = Arc::new(Budget::new(1.0)?);
    let larger = CloudModel::new(config)?.with_budget(budget.clone()).with_redactor(without_mail);
    let cached = CachedModel::new(larger, CacheConfig::default())?;

    // 3. Ask twice.
    for _ in 0..2 {
        let response = cached.stream(&ChatRequest::question(question), &mut |piece| {
            print!("{piece}");
            match std::io::stdout().flush() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        println!("\n{:?}, cost {:?}, route {:?}", response.usage, response.cost, response.route);
    }
    println!("spent today: {:.6}; {:?}", budget.spent_today(), cached.stats());
    Ok(())
}

fn without_mail(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| if word.contains('@') { "[mail] " } else { word });
    words.collect()
}
