//! `MinHash` signatures, cut into bands.

use crate::text::mix;

/// Hash functions of a signature, at most.
const FUNCTIONS: usize = 256;
/// Share of the pairs at the threshold that become candidates.
const RECALL: f64 = 0.99;

/// How signatures are cut: two sets of similarity `s` become candidates with probability
/// `1 - (1 - s^rows)^bands`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Banding {
    pub(super) bands: usize,
    rows: usize,
    /// Multiplier and summand of each function: `x -> (a x + b) >> 32` is 2-universal (Dietzfelbinger 1996).
    functions: Vec<(u64, u64)>,
}

impl Banding {
    /// The longest bands, and so the fewest candidates, that find 99 % of the pairs at the threshold.
    pub(super) fn for_threshold(threshold: f64) -> Self {
        let recall = |rows: &usize| {
            let exponent = i32::try_from(*rows).unwrap_or(i32::MAX);
            let bands = i32::try_from(FUNCTIONS / rows).unwrap_or(i32::MAX);
            1.0 - (1.0 - threshold.powi(exponent)).powi(bands)
        };
        let rows = (1..=FUNCTIONS / 8).rev().find(|rows| recall(rows) >= RECALL).unwrap_or(1);
        let bands = FUNCTIONS / rows;
        let functions = (0..(bands * rows) as u64).map(|i| (mix(2 * i) | 1, mix(2 * i + 1))).collect();
        Self { bands, rows, functions }
    }

    /// One key per band; an empty set has none.
    pub(super) fn keys(&self, set: &[u32]) -> Vec<u64> {
        if set.is_empty() {
            return Vec::new();
        }
        let mut signature = vec![u64::MAX; self.functions.len()];
        for &item in set {
            for (least, (a, b)) in signature.iter_mut().zip(&self.functions) {
                *least = (*least).min(a.wrapping_mul(u64::from(item)).wrapping_add(*b) >> 32);
            }
        }
        signature.chunks(self.rows).map(|band| band.iter().fold(0, |key, least| mix(key ^ least))).collect()
    }

    /// The expected share of pairs of similarity `s` that become candidates.
    #[cfg(test)]
    fn probability(&self, s: f64) -> f64 {
        1.0 - (1.0 - s.powf(self.rows as f64)).powf(self.bands as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::real;

    #[test]
    fn pairs_at_the_threshold_become_candidates_and_unlike_ones_do_not() {
        for threshold in [0.7, 0.8, 0.85, 0.9, 1.0] {
            let banding = Banding::for_threshold(threshold);
            assert!(banding.probability(threshold) >= 0.99, "{threshold}");
            assert!(banding.probability(threshold / 3.0) < 0.1, "{threshold}");
        }
    }

    #[test]
    fn the_share_of_candidates_is_the_expected_one() {
        let banding = Banding::for_threshold(0.8);
        let pairs = 2000_u32;
        // Sets of 100 numbers, 70 of them common: similarity 70 / 130.
        let hits = (0..pairs).filter(|pair| {
            let number = |i: u32| mix(u64::from(pair * 1000 + i)) as u32;
            let a: Vec<u32> = (0..100).map(number).collect();
            let b: Vec<u32> = (30..130).map(number).collect();
            banding.keys(&a).iter().zip(banding.keys(&b)).any(|(a, b)| *a == b)
        });
        let found = real(hits.count()) / f64::from(pairs);
        let expected = banding.probability(70.0 / 130.0);
        assert!((found - expected).abs() < 0.04, "found {found}, expected {expected}");
    }
}
