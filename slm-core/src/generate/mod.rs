//! From logits to text: configuration of generation, sampling, stop strings and the decode loop.

mod local;
mod sampler;
mod stop;

pub use local::{Generated, LocalModel};
pub use sampler::Sampler;
use serde::{Deserialize, Serialize};

/// How an answer is generated. The default is greedy decoding of at most 256 tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Softmax temperature; 0 is greedy.
    pub temperature: f32,
    /// Keep the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Nucleus sampling (Holtzman et al. 2020): the smallest set with at least this mass; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the top token's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens already seen (CTRL, Keskar et al. 2019);
    /// 1 is off.
    pub repetition_penalty: f32,
    /// Seed of the sampler.
    pub seed: u64,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Report the log-probability of each generated token.
    pub logprobs: bool,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
            logprobs: false,
        }
    }
}
