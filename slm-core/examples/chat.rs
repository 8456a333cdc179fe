//! Answers one question with a model of a Hugging Face directory, streamed.
//!
//! ```console
//! cargo run --release -p slm-core --example chat -- <directory> "What does exit code 137 mean?"
//! ```

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use slm_core::{ChatRequest, GenerationConfig, LanguageModel, LocalModel};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: chat <directory> <question>".into());
    };
    let model = LocalModel::load(Path::new(&directory), &Device::flex())?;
    let generation = GenerationConfig { max_new_tokens: 128, logprobs: true, ..GenerationConfig::default() };
    let request = ChatRequest { generation, ..ChatRequest::question(question) };
    let start = Instant::now();
    let answer = model.stream(&request, &mut |piece| {
        print!("{piece}");
        match std::io::stdout().flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    let (tokens, seconds) = (answer.usage.completion_tokens, start.elapsed().as_secs_f64());
    println!("\n{tokens} tokens, {:.1} per second, {:?}", tokens as f64 / seconds, answer.finish_reason);
    if let Some(mean) = answer.mean_logprob() {
        println!("mean log-probability {mean:.2}");
    }
    Ok(())
}
