//! How well a model predicts a text, without generating: [`perplexity`] and [`answer_perplexity`].

use serde::{Deserialize, Serialize};
use slm_core::{LocalModel, Message};
use slm_data::Example;

use crate::evaluate::to_message;
use crate::{Error, Result};

/// How texts longer than the context are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerplexityConfig {
    /// Most tokens that a pass reads; less where the model's context is shorter. Memory grows with it times
    /// the vocabulary.
    pub window: usize,
    /// Tokens that a pass after the first adds; the rest of its window is context only. At most `window`.
    pub stride: usize,
}

impl Default for PerplexityConfig {
    fn default() -> Self {
        Self { window: 1024, stride: 512 }
    }
}

/// How well texts are predicted. Lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Perplexity {
    /// Mean negative natural-log probability of a token.
    pub nats_per_token: f64,
    /// `exp(nats_per_token)`: comparable between models of one tokenizer only.
    pub perplexity: f64,
    /// Mean bits per byte of UTF-8: comparable between tokenizers. `None` where the tokens make no bytes.
    pub bits_per_byte: Option<f64>,
    /// Tokens predicted.
    pub tokens: usize,
    /// Bytes of text that those tokens make.
    pub bytes: usize,
}

/// Perplexity of plain texts, all tokens together (long texts weigh more).
///
/// The first token of a text has nothing before it and is not predicted, be it a begin-of-text token or part
/// of the text.
///
/// # Errors
/// When no text has two tokens, a setting is out of range, or the model fails.
pub fn perplexity(model: &LocalModel, texts: &[&str], config: &PerplexityConfig) -> Result<Perplexity> {
    let mut sum = Sum::default();
    for text in texts {
        let ids = model.tokenizer.encode(text, true)?;
        if ids.len() < 2 {
            continue;
        }
        sum.add(&score(model, &ids, config)?)?;
        sum.bytes += text.len().saturating_sub(model.tokenizer.decode(&ids[..1])?.len());
    }
    sum.finish("texts of two tokens or more")
}

/// Perplexity of the assistant's turns alone, each with the tokens that end it, given the turns before them
/// in the model's chat template: what fine-tuning lowers.
///
/// The bytes are those of the turns' contents, so the tokens that end a turn raise bits per byte a little.
///
/// # Errors
/// When the model has no chat template, no example has an assistant turn, a setting is out of range, or the
/// template or the model fails.
pub fn answer_perplexity(
    model: &LocalModel,
    examples: &[Example],
    config: &PerplexityConfig,
) -> Result<Perplexity> {
    let Some(template) = &model.template else {
        return Err(Error::NoTemplate { model: model.name.clone() });
    };
    let mut sum = Sum::default();
    for example in examples {
        let messages: Vec<Message> = example.messages.iter().map(to_message).collect();
        let text = template.training_text(&model.tokenizer, &messages)?;
        if !text.learned.contains(&true) {
            continue;
        }
        let scores = score(model, &text.ids, config)?;
        // Scores start at the second token.
        let learned = scores.iter().zip(text.learned.iter().skip(1)).filter(|(_, learned)| **learned);
        sum.add(&learned.map(|(score, _)| *score).collect::<Vec<_>>())?;
        let answers = example.messages.iter().filter(|m| m.role == slm_data::Role::Assistant);
        sum.bytes += answers.map(|m| m.content.len()).sum::<usize>();
    }
    sum.finish("assistant turns")
}

/// Log-probability of each token after the first, in windows where the text is longer than one.
fn score(model: &LocalModel, ids: &[u32], config: &PerplexityConfig) -> Result<Vec<f32>> {
    let window = config.window.min(model.model.config.context_length());
    if window == 0 || config.stride == 0 || config.stride > config.window {
        let got = format!("{} with a window of {}", config.stride, config.window);
        return Err(Error::Setting { name: "stride", expected: "1 to the window, which is 1 or more", got });
    }
    let stride = config.stride.min(window);
    let mut scores: Vec<f32> = Vec::with_capacity(ids.len());
    // A pass over `window` tokens predicts as many: the last of them predicts the token after the window.
    let mut end = (window + 1).min(ids.len());
    loop {
        let start = end.saturating_sub(window + 1);
        let pass = model.score(&ids[start..end])?;
        let new = end - 1 - scores.len();
        scores.extend(&pass[pass.len() - new..]);
        if end == ids.len() {
            return Ok(scores);
        }
        end = (end + stride).min(ids.len());
    }
}

#[derive(Default)]
struct Sum {
    nats: f64,
    tokens: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, scores: &[f32]) -> Result<()> {
        for score in scores {
            if !score.is_finite() {
                let value = f64::from(*score);
                return Err(Error::NotFinite { what: "log-probability of token", index: self.tokens, value });
            }
            self.nats -= f64::from(*score);
            self.tokens += 1;
        }
        Ok(())
    }

    fn finish(self, what: &'static str) -> Result<Perplexity> {
        if self.tokens == 0 {
            return Err(Error::Empty { what });
        }
        let nats_per_token = self.nats / self.tokens as f64;
        Ok(Perplexity {
            nats_per_token,
            perplexity: nats_per_token.exp(),
            bits_per_byte: (self.bytes > 0).then(|| self.nats / std::f64::consts::LN_2 / self.bytes as f64),
            tokens: self.tokens,
            bytes: self.bytes,
        })
    }
}
