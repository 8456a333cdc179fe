//! Sketches, cut into bands.
//!
//! The sketch is Fast Similarity Sketching (Dahlgaard, Knudsen and Thorup 2017): like `MinHash`, each bin of
//! two sketches is equal with the probability of the Jaccard similarity, with as small a variance, but most
//! elements are hashed once or twice in all instead of once per bin. Sets of any size can be compared, which
//! one-permutation hashing does badly for small ones.

use crate::text::mix;

/// Bins of a sketch, at most.
const BINS: usize = 256;
/// Share of the pairs at the threshold that become candidates.
const RECALL: f64 = 0.99;

/// How sketches are cut: two sets of similarity `s` become candidates with probability
/// `1 - (1 - s^rows)^bands`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Banding {
    pub(crate) bands: usize,
    pub(crate) rows: usize,
}

impl Banding {
    /// The longest bands, and so the fewest candidates, that find 99 % of the pairs at the threshold.
    pub(crate) fn for_threshold(threshold: f64) -> Self {
        let recall = |rows: &usize| Self { bands: BINS / rows, rows: *rows }.probability(threshold);
        let rows = (1..=BINS / 8).rev().find(|rows| recall(rows) >= RECALL).unwrap_or(1);
        // Fewer bins where fewer do.
        let found = |bands: &usize| Self { bands: *bands, rows }.probability(threshold) >= RECALL;
        let bands = (1..=BINS / rows).find(found).unwrap_or(BINS / rows);
        Self { bands, rows }
    }

    /// One key per band into `keys`; an empty set has none. Elements may come more than once, in any order.
    pub(crate) fn keys(&self, items: &[u32], sketch: &mut Vec<u64>, keys: &mut Vec<u64>) {
        if items.is_empty() {
            return;
        }
        fill(items, self.bands * self.rows, sketch);
        let fold = |band: &[u64]| band.iter().fold(0, |key, least| mix(key ^ least));
        keys.extend(sketch.chunks(self.rows).map(fold));
    }

    /// The expected share of pairs of similarity `s` that become candidates.
    pub(crate) fn probability(&self, s: f64) -> f64 {
        let exponent = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        1.0 - (1.0 - s.powi(exponent(self.rows))).powi(exponent(self.bands))
    }
}

const EMPTY: u64 = u64::MAX;

/// The sketch: in each bin the least of (round, hash). In the first `bins` rounds an element falls into a
/// random bin, after that all go to one bin per round; the rounds end when no bin is empty.
fn fill(items: &[u32], bins: usize, sketch: &mut Vec<u64>) {
    sketch.clear();
    sketch.resize(bins, EMPTY);
    let mut empty = bins;
    for round in 0..2 * bins as u64 {
        let seed = mix(round);
        let fixed = usize::try_from(round).unwrap_or_default().checked_sub(bins);
        for &item in items {
            let hash = mix(seed ^ u64::from(item));
            let bin = fixed.unwrap_or_else(|| spread(hash, bins));
            let value = (round << 32) | (hash & 0xffff_ffff);
            let least = &mut sketch[bin];
            empty -= usize::from(*least == EMPTY);
            *least = (*least).min(value);
        }
        if empty == 0 {
            return;
        }
    }
}

/// The upper half of a hash as a number below `bins`.
fn spread(hash: u64, bins: usize) -> usize {
    (((hash >> 32) * bins as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::real;

    fn keys(banding: &Banding, set: &[u32]) -> Vec<u64> {
        let mut keys = Vec::new();
        banding.keys(set, &mut Vec::new(), &mut keys);
        keys
    }

    fn number(pair: u32, i: u32) -> u32 {
        (mix(u64::from(pair * 10_000 + i)) >> 32) as u32
    }

    #[test]
    fn pairs_at_the_threshold_become_candidates_and_unlike_ones_do_not() {
        for threshold in [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 1.0] {
            let banding = Banding::for_threshold(threshold);
            assert!(banding.probability(threshold) >= 0.99, "{threshold}");
            assert!(banding.probability(threshold / 4.0) < 0.1, "{threshold}");
        }
    }

    #[test]
    fn the_share_of_candidates_is_the_expected_one_for_small_and_large_sets() {
        let banding = Banding::for_threshold(0.8);
        for size in [10, 100, 1000] {
            let pairs = 1000;
            let hits = (0..pairs).filter(|&pair| {
                // 70 % of each set are common: similarity 70 / 130.
                let a: Vec<u32> = (0..size).map(|i| number(pair, i)).collect();
                let b: Vec<u32> = (size * 3 / 10..size * 13 / 10).map(|i| number(pair, i)).collect();
                keys(&banding, &a).iter().zip(keys(&banding, &b)).any(|(a, b)| *a == b)
            });
            let found = real(hits.count()) / f64::from(pairs);
            let expected = banding.probability(70.0 / 130.0);
            assert!((found - expected).abs() < 0.06, "{size}: found {found}, expected {expected}");
        }
    }

    #[test]
    fn bins_agree_as_often_as_the_sets() {
        for (size, common) in [(4_u32, 2_u32), (50, 40), (3000, 1500)] {
            let mut equal = 0;
            for pair in 0..200 {
                let mut sketches = [Vec::new(), Vec::new()];
                let a: Vec<u32> = (0..size).map(|i| number(pair, i)).collect();
                let b: Vec<u32> = (size - common..2 * size - common).map(|i| number(pair, i)).collect();
                fill(&a, 256, &mut sketches[0]);
                fill(&b, 256, &mut sketches[1]);
                equal += sketches[0].iter().zip(&sketches[1]).filter(|(a, b)| a == b).count();
            }
            let (found, expected) =
                (real(equal) / (200.0 * 256.0), f64::from(common) / f64::from(2 * size - common));
            assert!((found - expected).abs() < 0.01, "{size}: {found} and {expected}");
        }
    }
}
