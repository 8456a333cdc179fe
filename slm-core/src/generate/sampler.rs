//! Choosing the next token.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::GenerationConfig;
use crate::{Error, Result};

/// Chooses tokens from logits; its random state is its own.
#[derive(Debug, Clone)]
pub struct Sampler {
    config: GenerationConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler of `config`, checked.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(config: &GenerationConfig) -> Result<Self> {
        let checks = [
            ("temperature", config.temperature >= 0.0),
            ("top_p", config.top_p > 0.0 && config.top_p <= 1.0),
            ("min_p", (0.0..=1.0).contains(&config.min_p)),
            ("repetition_penalty", config.repetition_penalty > 0.0),
        ];
        if let Some((name, _)) = checks.iter().find(|(_, ok)| !ok) {
            return Err(Error::Request { reason: format!("{name} is out of range") });
        }
        Ok(Self { config: config.clone(), rng: ChaCha8Rng::seed_from_u64(config.seed) })
    }

    /// The next token after `seen`, given `logits` `[vocab]`, which are changed in place.
    ///
    /// # Errors
    /// When there are no logits or one is not a number.
    pub fn sample(&mut self, logits: &mut [f32], seen: &[u32]) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|l| l.is_nan()) {
            return Err(Error::Device { reason: "the model's logits are not numbers".into() });
        }
        self.penalise(logits, seen);
        if self.config.temperature == 0.0 {
            return Ok(argmax(logits));
        }
        let kept = self.candidates(logits);
        let total: f32 = kept.iter().map(|c| c.1).sum();
        let mut left = self.rng.random::<f32>() * total;
        for (id, weight) in &kept {
            left -= weight;
            if left < 0.0 {
                return Ok(*id);
            }
        }
        Ok(kept[kept.len() - 1].0)
    }

    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.config.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(l) = logits.get_mut(id as usize) {
                *l = if *l > 0.0 { *l / penalty } else { *l * penalty };
            }
        }
    }

    /// Tokens that survive top-k, top-p and min-p, most likely first, with unnormalised probabilities.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let c = &self.config;
        let mut all: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if c.top_k > 0 && c.top_k < all.len() {
            all.select_nth_unstable_by(c.top_k - 1, order);
            all.truncate(c.top_k);
        }
        all.sort_unstable_by(order);
        let top = all[0].1;
        for item in &mut all {
            item.1 = ((item.1 - top) / c.temperature).exp();
        }
        let total: f32 = all.iter().map(|i| i.1).sum();
        let mut mass = 0.0;
        let mut keep = 0;
        while keep < all.len() && mass < c.top_p * total && (keep == 0 || all[keep].1 >= c.min_p) {
            mass += all[keep].1;
            keep += 1;
        }
        all.truncate(keep.max(1));
        all
    }
}

/// Index of the largest logit; the lowest index among equals.
pub(super) fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = index;
        }
    }
    best as u32
}

/// Natural-log probability of `id` under `logits`.
pub(super) fn log_probability(logits: &[f32], id: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - top).exp()).sum();
    (f64::from(logits[id as usize] - top) - sum.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(config: &GenerationConfig, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(config).expect("valid");
        (0..n).map(|_| sampler.sample(&mut logits.to_vec(), &[]).expect("finite")).collect()
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let config = GenerationConfig { temperature: 1.0, ..GenerationConfig::default() };
        let logits = [0.7f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
        let drawn = draw(&config, &logits, 20_000);
        let share = |id| drawn.iter().filter(|d| **d == id).count() as f64 / 20_000.0;
        assert!(
            (share(0) - 0.7).abs() < 0.015 && (share(1) - 0.2).abs() < 0.015,
            "{} {}",
            share(0),
            share(1)
        );
    }

    #[test]
    fn filters_remove_the_tail() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let base = GenerationConfig { temperature: 1.0, ..GenerationConfig::default() };
        let highest = |c: GenerationConfig| draw(&c, &logits, 2_000).into_iter().max();
        assert_eq!(highest(GenerationConfig { top_k: 2, ..base.clone() }), Some(1));
        assert_eq!(highest(GenerationConfig { top_p: 0.81, ..base.clone() }), Some(2));
        assert_eq!(highest(GenerationConfig { min_p: 0.5, ..base.clone() }), Some(1));
        assert_eq!(highest(base), Some(3));
    }

    #[test]
    fn the_seed_decides_and_penalties_move_the_choice() {
        let config = GenerationConfig { temperature: 1.0, seed: 9, ..GenerationConfig::default() };
        let logits = [0.1, 0.2, 0.3, 0.4];
        assert_eq!(draw(&config, &logits, 50), draw(&config, &logits, 50));
        let penalty = GenerationConfig { repetition_penalty: 2.0, ..GenerationConfig::default() };
        let mut sampler = Sampler::new(&penalty).expect("valid");
        assert_eq!(sampler.sample(&mut [1.0, 0.9], &[0]).expect("finite"), 1);
        assert!(Sampler::new(&GenerationConfig { top_p: 0.0, ..penalty }).is_err());
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let logits = [3.0, -1.0, 0.5];
        let total: f32 = (0..3).map(|i| log_probability(&logits, i).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }
}
