//! How likely the model found what it said.

use slm_kernels::rows;

use crate::chat::{Confidence, TokenLogprob, TopLogprob};

/// Natural-log probability of `id` under `logits`.
pub(super) fn log_probability(logits: &[f32], id: u32) -> f32 {
    logits[id as usize] - rows::entropy(logits)[0]
}

/// Log-probabilities of an answer, token by token.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    top: usize,
    pub(super) tokens: Vec<TokenLogprob>,
    margins: f64,
    entropies: f64,
}

impl Recorder {
    /// Records the `top` most likely tokens beside each.
    pub(super) fn new(top: usize) -> Self {
        Self { top, ..Self::default() }
    }

    /// Records `id`, chosen under `logits`.
    pub(super) fn push(&mut self, logits: &[f32], id: u32) {
        let [log_sum, entropy] = rows::entropy(logits);
        let logprob = |l: f32| l - log_sum;
        self.entropies += f64::from(entropy);
        let best = most_likely(logits, self.top.max(2));
        let probability = |rank: usize| best.get(rank).map_or(0.0, |b| f64::from(logprob(b.1)).exp());
        self.margins += probability(0) - probability(1);
        let named = best.iter().take(self.top);
        let top = named.map(|(id, l)| TopLogprob { id: *id, logprob: logprob(*l) }).collect();
        self.tokens.push(TokenLogprob { id, logprob: logprob(logits[id as usize]), top });
    }

    /// Means over the answer; `None` for an empty one.
    pub(super) fn confidence(&self) -> Option<Confidence> {
        let count = self.tokens.len() as f64;
        if self.tokens.is_empty() {
            return None;
        }
        let logprobs = self.tokens.iter().map(|t| f64::from(t.logprob));
        Some(Confidence {
            mean_logprob: (logprobs.clone().sum::<f64>() / count) as f32,
            min_logprob: logprobs.fold(f64::INFINITY, f64::min) as f32,
            mean_margin: (self.margins / count) as f32,
            mean_entropy: (self.entropies / count) as f32,
        })
    }
}

/// The `count` largest logits with their ids, the lower id among equals.
fn most_likely(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (id, logit) in (0u32..).zip(logits.iter().copied()) {
        if best.len() == count && best.last().is_some_and(|b| logit <= b.1) {
            continue;
        }
        let at = best.partition_point(|b| b.1 >= logit);
        best.insert(at, (id, logit));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_sum_to_one() {
        let logits = [3.0, -1.0, 0.5];
        let total: f32 = (0..3).map(|i| log_probability(&logits, i).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn confidence_is_what_the_probabilities_say() {
        let logits = [0.5f32.ln(), 0.25f32.ln(), 0.125f32.ln(), 0.125f32.ln(), f32::NEG_INFINITY];
        let mut recorder = Recorder::new(3);
        assert_eq!(recorder.confidence(), None);
        recorder.push(&logits, 1);
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
        let confidence = recorder.confidence().expect("one token");
        close(confidence.mean_logprob, 0.25f32.ln());
        close(confidence.mean_margin, 0.25);
        close(confidence.mean_entropy, 1.75 * 2f32.ln());
        let ids: Vec<u32> = recorder.tokens[0].top.iter().map(|t| t.id).collect();
        assert_eq!(ids, [0, 1, 2]);
        recorder.push(&logits, 0);
        close(recorder.confidence().expect("two tokens").min_logprob, 0.25f32.ln());
    }
}
