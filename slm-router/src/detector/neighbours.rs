//! Exact nearest exemplars by an inverted index.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features::Sparse;

/// Unit vectors to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Sparse>", into = "Vec<Sparse>")]
pub(super) struct Exemplars {
    rows: Vec<Sparse>,
    /// Per feature, the rows that have it and its weight there.
    postings: BTreeMap<u32, Sparse>,
}

impl From<Vec<Sparse>> for Exemplars {
    fn from(rows: Vec<Sparse>) -> Self {
        let mut postings: BTreeMap<u32, Sparse> = BTreeMap::new();
        for (row, vector) in (0..).zip(&rows) {
            for &(feature, weight) in vector {
                postings.entry(feature).or_default().push((row, weight));
            }
        }
        Self { rows, postings }
    }
}

impl From<Exemplars> for Vec<Sparse> {
    fn from(exemplars: Exemplars) -> Self {
        exemplars.rows
    }
}

impl Exemplars {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Mean cosine of `vector` and its nearest `count` exemplars, or all of them where there are fewer.
    pub(super) fn mean_cosine(&self, vector: &Sparse, count: usize) -> f64 {
        let mut cosines = vec![0.0_f32; self.rows.len()];
        for (feature, weight) in vector {
            for &(row, other) in self.postings.get(feature).into_iter().flatten() {
                if let Some(cosine) = cosines.get_mut(row as usize) {
                    *cosine += weight * other;
                }
            }
        }
        cosines.sort_unstable_by(|a, b| b.total_cmp(a));
        cosines.truncate(count);
        let sum: f64 = cosines.iter().map(|&cosine| f64::from(cosine)).sum();
        sum / cosines.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_the_nearest() {
        let exemplars = Exemplars::from(vec![vec![(1, 1.0)], vec![(1, 0.6), (2, 0.8)], vec![(3, 1.0)]]);
        let query = vec![(1, 1.0)];
        for (count, expected) in [(1, 1.0), (2, 0.8), (3, 1.6 / 3.0), (9, 1.6 / 3.0)] {
            assert!((exemplars.mean_cosine(&query, count) - expected).abs() < 1e-6, "{count}");
        }
        assert_eq!(exemplars.mean_cosine(&vec![(9, 1.0)], 2), 0.0);
        assert_eq!(exemplars.mean_cosine(&Sparse::new(), 2), 0.0);
    }
}
