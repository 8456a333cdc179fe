//! Penalties on what was already said.

use std::collections::{BTreeMap, BTreeSet};

use crate::generate::config::{Dry, GenerationConfig};

/// Repetition, presence and frequency penalties.
pub(super) fn apply(c: &GenerationConfig, logits: &mut [f32], seen: &[u32]) {
    if c.repetition_penalty == 1.0 && c.presence_penalty == 0.0 && c.frequency_penalty == 0.0 {
        return;
    }
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for id in last(seen, c.penalty_window) {
        *counts.entry(*id).or_default() += 1;
    }
    for (id, count) in counts {
        if let Some(l) = logits.get_mut(id as usize) {
            *l = if *l > 0.0 { *l / c.repetition_penalty } else { *l * c.repetition_penalty };
            *l -= c.presence_penalty + c.frequency_penalty * count as f32;
        }
    }
}

/// The last `window` tokens; all of them for 0.
fn last(seen: &[u32], window: usize) -> &[u32] {
    if window == 0 { seen } else { &seen[seen.len().saturating_sub(window)..] }
}

/// Penalises each token that would go on with a sequence already said, by the longest such sequence.
pub(super) fn dry(dry: &Dry, breakers: &BTreeSet<u32>, logits: &mut [f32], seen: &[u32]) {
    if dry.multiplier == 0.0 {
        return;
    }
    let seen = last(seen, dry.window);
    let start = seen.iter().rposition(|id| breakers.contains(id)).map_or(0, |at| at + 1);
    let longest = seen.len() - start;
    if longest == 0 {
        return;
    }
    let mut repeated: BTreeMap<u32, usize> = BTreeMap::new();
    for (end, length) in suffix_matches(seen).into_iter().enumerate().filter(|(_, n)| *n > 0) {
        let length = length.min(longest);
        let next = seen[end + 1];
        if length >= dry.allowed_length && !breakers.contains(&next) {
            let most = repeated.entry(next).or_default();
            *most = length.max(*most);
        }
    }
    for (id, length) in repeated {
        if let Some(l) = logits.get_mut(id as usize) {
            *l -= dry.multiplier * dry.base.powi((length - dry.allowed_length) as i32);
        }
    }
}

/// For each place but the last, how many tokens up to and with it equal those at the end of `seen`: the Z function
/// of the reversed sequence (Gusfield 1997), in linear time.
fn suffix_matches(seen: &[u32]) -> Vec<usize> {
    let n = seen.len();
    let reversed = |i: usize| seen[n - 1 - i];
    let mut z = vec![0; n];
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        if i < right {
            z[i] = z[i - left].min(right - i);
        }
        while i + z[i] < n && reversed(z[i]) == reversed(i + z[i]) {
            z[i] += 1;
        }
        if i + z[i] > right {
            (left, right) = (i, i + z[i]);
        }
    }
    (0..n.saturating_sub(1)).map(|place| z[n - 1 - place]).collect()
}
