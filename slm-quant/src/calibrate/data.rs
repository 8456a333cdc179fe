//! [`CalibrationData`]: the text that a model is calibrated on, as tokens.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use slm_core::Tokenizer;

use crate::{Error, Result};

/// How text is cut into sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationConfig {
    /// Most sequences; more are drawn from.
    pub sequences: usize,
    /// Tokens of a sequence; fewer where the model's context is shorter.
    pub length: usize,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self { sequences: 128, length: 512, seed: 0 }
    }
}

/// Sequences of tokens to calibrate on, or to measure on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrationData {
    /// One or more tokens each.
    pub sequences: Vec<Vec<u32>>,
    /// Bytes of text that the predicted tokens make (all but the first of each sequence); 0 where it is not known.
    pub bytes: usize,
}

impl CalibrationData {
    /// Draws sequences from texts: all of them behind one another in random order, cut into equal pieces, of which
    /// a random choice is kept. Take texts of the domain, as the model will read them.
    ///
    /// # Errors
    /// When the texts make less than two tokens, or the tokenizer fails.
    pub fn from_texts(tokenizer: &Tokenizer, texts: &[&str], config: &CalibrationConfig) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.shuffle(&mut random);
        let mut ids = Vec::new();
        for index in order {
            ids.extend(tokenizer.encode(texts[index], true)?);
        }
        let mut pieces: Vec<Vec<u32>> = ids.chunks(config.length.max(2)).map(<[u32]>::to_vec).collect();
        // A short rest would count as much as a whole sequence in nothing but the number of passes.
        if pieces.len() > 1 && pieces.last().is_some_and(|p| p.len() < config.length) {
            pieces.pop();
        }
        if pieces.len() > config.sequences {
            pieces.shuffle(&mut random);
            pieces.truncate(config.sequences);
        }
        Self::from_pieces(tokenizer, pieces)
    }

    /// The first `config.sequences` pieces of one text, in order: to measure on.
    ///
    /// # Errors
    /// When the text makes less than two tokens, or the tokenizer fails.
    pub fn consecutive(tokenizer: &Tokenizer, text: &str, config: &CalibrationConfig) -> Result<Self> {
        let ids = tokenizer.encode(text, true)?;
        let pieces = ids.chunks(config.length.max(2)).filter(|p| p.len() > 1).take(config.sequences);
        Self::from_pieces(tokenizer, pieces.map(<[u32]>::to_vec).collect())
    }

    fn from_pieces(tokenizer: &Tokenizer, sequences: Vec<Vec<u32>>) -> Result<Self> {
        if sequences.iter().all(|s| s.len() < 2) {
            return Err(Error::Inputs { reason: "the texts make less than two tokens".into() });
        }
        let mut bytes = 0;
        for sequence in &sequences {
            let first = tokenizer.decode(&sequence[..1])?.len();
            bytes += tokenizer.decode(sequence)?.len().saturating_sub(first);
        }
        Ok(Self { sequences, bytes })
    }

    /// Tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }
}
