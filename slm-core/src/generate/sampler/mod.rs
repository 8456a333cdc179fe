//! Choosing the next token: a chain of samplers over the candidates.

mod candidates;
mod penalties;
mod steps;

use std::collections::BTreeSet;

use candidates::Candidates;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::{GenerationConfig, Step};
use crate::{Error, Result};

/// Chooses tokens from logits; its random state is its own.
#[derive(Debug, Clone)]
pub struct Sampler {
    config: GenerationConfig,
    rng: ChaCha8Rng,
    /// Tokens over which no repeated sequence reaches.
    breakers: BTreeSet<u32>,
    /// Mirostat's threshold of surprise, in bits.
    mu: f32,
}

impl Sampler {
    /// A sampler of `config`, checked. Its [`Dry`](super::Dry) knows no sequence breakers: they are texts, see
    /// [`Sampler::with_breakers`].
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(config: &GenerationConfig) -> Result<Self> {
        config.check()?;
        let mu = config.mirostat.map_or(0.0, |m| 2.0 * m.tau);
        let rng = ChaCha8Rng::seed_from_u64(config.seed);
        Ok(Self { config: config.clone(), rng, breakers: BTreeSet::new(), mu })
    }

    /// The same with the tokens that break sequences for [`Dry`](super::Dry).
    #[must_use]
    pub fn with_breakers(mut self, breakers: impl IntoIterator<Item = u32>) -> Self {
        self.breakers = breakers.into_iter().collect();
        self
    }

    /// The next token after `seen`, given `logits` `[vocab]`, which are changed in place.
    ///
    /// # Errors
    /// When there are no logits, one is not a number, or none is left to choose.
    pub fn sample(&mut self, logits: &mut [f32], seen: &[u32]) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|l| l.is_nan()) {
            return Err(Error::Device { reason: "the model's logits are not numbers".into() });
        }
        self.bias(logits);
        if self.config.temperature == 0.0 {
            self.penalise(logits, seen);
            return argmax(logits);
        }
        let mut kept = self.candidates(logits, seen);
        match self.config.mirostat {
            Some(m) => self.draw_mirostat(&mut kept, m.tau, m.eta),
            None => self.draw(&mut kept).map(|(id, _)| id),
        }
    }

    /// The tokens among which [`Sampler::sample`] would choose, with their probabilities, by id. Nothing is drawn but
    /// whether [`Xtc`](super::Xtc) acts.
    pub fn distribution(&mut self, logits: &mut [f32], seen: &[u32]) -> Vec<(u32, f32)> {
        self.bias(logits);
        let mut kept = self.candidates(logits, seen);
        if self.config.mirostat.is_some() {
            steps::surprise_below(&mut kept, self.mu);
        }
        let weights = kept.weights();
        let total: f32 = weights.iter().sum();
        let mut all: Vec<_> = weights.iter().enumerate().map(|(i, w)| (kept.id(i), w / total)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    fn bias(&self, logits: &mut [f32]) {
        for (id, bias) in &self.config.logit_bias {
            if let Some(l) = logits.get_mut(*id as usize) {
                *l += bias;
            }
        }
    }

    /// All penalties that the order names, on the logits.
    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        for step in &self.config.order {
            self.penalise_by(*step, logits, seen);
        }
    }

    fn penalise_by(&self, step: Step, logits: &mut [f32], seen: &[u32]) {
        match (step, &self.config.dry) {
            (Step::Penalties, _) => penalties::apply(&self.config, logits, seen),
            (Step::Dry, Some(dry)) => penalties::dry(dry, &self.breakers, logits, seen),
            _ => {}
        }
    }

    /// The tokens that the chain leaves.
    fn candidates(&mut self, logits: &mut [f32], seen: &[u32]) -> Candidates {
        let order = self.config.order.clone();
        // Penalties look tokens up by id, so they act while all candidates are in place.
        let first = order.iter().position(|s| !matches!(s, Step::Penalties | Step::Dry));
        let (early, late) = order.split_at(first.unwrap_or(order.len()));
        for step in early {
            self.penalise_by(*step, logits, seen);
        }
        let mut kept = Candidates::new(logits);
        for step in late {
            let c = &self.config;
            match step {
                Step::Temperature => kept.scale(1.0 / c.temperature),
                Step::Penalties | Step::Dry => {
                    let mut all = vec![f32::NEG_INFINITY; logits.len()];
                    kept.write_to(&mut all);
                    self.penalise_by(*step, &mut all, seen);
                    kept.read_from(&all);
                }
                _ if c.mirostat.is_some() => {}
                Step::TopNSigma => steps::top_n_sigma(&mut kept, c.top_n_sigma),
                Step::TopK => steps::top_k(&mut kept, c.top_k),
                Step::Typical => steps::typical(&mut kept, c.typical_p),
                Step::TopP => steps::top_p(&mut kept, c.top_p),
                Step::MinP => steps::min_p(&mut kept, c.min_p),
                Step::Xtc => {
                    // The draw is made whether or not it acts, so that the threshold alone changes nothing else.
                    if let Some(xtc) = c.xtc {
                        let drawn = self.rng.random::<f32>();
                        if drawn < xtc.probability {
                            steps::xtc(&mut kept, xtc.threshold);
                        }
                    }
                }
            }
        }
        kept
    }

    /// A candidate and its probability.
    fn draw(&mut self, kept: &mut Candidates) -> Result<(u32, f32)> {
        let weights = kept.weights();
        let total: f32 = weights.iter().sum();
        let mut left = self.rng.random::<f32>() * total;
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return Ok((kept.id(index), weight / total));
            }
        }
        let last = weights.iter().rposition(|w| *w > 0.0).ok_or_else(nothing_left)?;
        Ok((kept.id(last), weights[last] / total))
    }

    fn draw_mirostat(&mut self, kept: &mut Candidates, tau: f32, eta: f32) -> Result<u32> {
        steps::surprise_below(kept, self.mu);
        let (id, probability) = self.draw(kept)?;
        self.mu -= eta * (-probability.log2() - tau);
        Ok(id)
    }
}

fn nothing_left() -> Error {
    Error::Request { reason: "no token is left to choose; logit_bias or the constraint forbids all".into() }
}

/// Index of the largest logit; the lowest index among equals.
fn argmax(logits: &[f32]) -> Result<u32> {
    let mut best = 0;
    for (index, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = index;
        }
    }
    if logits[best] == f32::NEG_INFINITY { Err(nothing_left()) } else { Ok(best as u32) }
}

#[cfg(test)]
mod tests;
