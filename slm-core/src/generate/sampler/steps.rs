//! The truncating samplers. Each keeps at least one token.

use super::candidates::Candidates;

/// The `k` most likely; 0 keeps all.
pub(super) fn top_k(kept: &mut Candidates, k: usize) {
    if k > 0 && k < kept.len() {
        kept.keep_first(k);
    }
}

/// The fewest tokens with at least the mass `p`, the most likely first.
pub(super) fn top_p(kept: &mut Candidates, p: f32) {
    if p >= 1.0 || kept.len() == 0 {
        return;
    }
    let log_sum = kept.log_sum();
    let mut mass = 0.0;
    let mut count = 0;
    while count < kept.len() && mass < p {
        mass += (kept.logit_at(count) - log_sum).exp();
        count += 1;
    }
    kept.keep_first(count);
}

/// Tokens with at least the share `p` of the top probability.
pub(super) fn min_p(kept: &mut Candidates, p: f32) {
    if p > 0.0 {
        let limit = kept.max() + p.ln();
        kept.retain(|l| l >= limit);
    }
}

/// Logits within `n` standard deviations of the largest.
pub(super) fn top_n_sigma(kept: &mut Candidates, n: f32) {
    if n <= 0.0 || kept.len() == 0 {
        return;
    }
    let count = kept.len() as f64;
    let mean = kept.logits().map(f64::from).sum::<f64>() / count;
    let variance = kept.logits().map(|l| (f64::from(l) - mean).powi(2)).sum::<f64>() / count;
    let limit = kept.max() - n * variance.sqrt() as f32;
    kept.retain(|l| l >= limit);
}

/// The tokens whose surprise is nearest to the entropy, until their mass reaches `p`.
pub(super) fn typical(kept: &mut Candidates, p: f32) {
    if p >= 1.0 || kept.len() == 0 {
        return;
    }
    // Equal distances go by rank, so all of them are sorted.
    kept.sort(kept.len());
    let log_sum = kept.log_sum();
    let logs: Vec<f32> = kept.logits().map(|l| l - log_sum).collect();
    let entropy: f32 = -logs.iter().map(|l| l.exp() * l).sum::<f32>();
    let mut places: Vec<usize> = (0..logs.len()).collect();
    let distance = |i: &usize| (-logs[*i] - entropy).abs();
    places.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let mut mass = 0.0;
    let mut count = 0;
    while count < places.len() && mass < p {
        mass += logs[places[count]].exp();
        count += 1;
    }
    kept.keep_places(&places[..count.max(1)]);
}

/// Removes all tokens of at least the probability `threshold` but the least likely of them.
pub(super) fn xtc(kept: &mut Candidates, threshold: f32) {
    if kept.len() < 2 {
        return;
    }
    let log_sum = kept.log_sum();
    let mut above = 0;
    while above < kept.len() && (kept.logit_at(above) - log_sum).exp() >= threshold {
        above += 1;
    }
    kept.remove_first(above.saturating_sub(1));
}

/// Tokens with at most `mu` bits of surprise; the most likely in any case.
pub(super) fn surprise_below(kept: &mut Candidates, mu: f32) {
    if kept.len() == 0 {
        return;
    }
    let limit = kept.log_sum() - mu * std::f32::consts::LN_2;
    let top = kept.max();
    kept.retain(|l| l >= limit || l == top);
}
