//! Vectors of known texts, to compare with.

use serde::{Deserialize, Serialize};

use crate::linear::dot;

/// Some vectors of each class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Exemplars {
    width: usize,
    /// `[exemplars, width]`, each of length one.
    #[serde(with = "crate::file::floats")]
    vectors: Vec<f32>,
}

impl Exemplars {
    /// Takes up to `each` vectors of every class, spread evenly over their order.
    pub(super) fn choose(vectors: &[&[f32]], labels: &[usize], classes: usize, each: usize) -> Self {
        let width = vectors.first().map_or(0, |vector| vector.len());
        let mut chosen = Vec::new();
        for class in 0..classes {
            let own: Vec<&[f32]> = vectors
                .iter()
                .zip(labels)
                .filter(|(_, label)| **label == class)
                .map(|(vector, _)| *vector)
                .collect();
            let taken = each.min(own.len());
            for n in 0..taken {
                chosen.extend(unit(own.get(n * own.len() / taken).copied().unwrap_or_default()));
            }
        }
        Self { width, vectors: chosen }
    }

    /// Mean cosine to the nearest `count`; an exemplar that equals `vector` is skipped where `but_itself`.
    pub(super) fn similarity(&self, vector: &[f32], count: usize, but_itself: bool) -> f64 {
        let vector = unit(vector);
        let cosine = |other: &[f32]| dot(other, &vector);
        let mut cosines: Vec<f32> = self.vectors.chunks(self.width.max(1)).map(cosine).collect();
        if but_itself {
            cosines.retain(|cosine| *cosine < 1.0 - 1e-6);
        }
        let count = count.min(cosines.len());
        if count == 0 {
            return 0.0;
        }
        if count < cosines.len() {
            cosines.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        }
        cosines.iter().take(count).map(|&cosine| f64::from(cosine)).sum::<f64>() / count as f64
    }

    pub(super) fn is_sound(&self, width: usize) -> bool {
        self.width == width && !self.vectors.is_empty() && self.vectors.len().is_multiple_of(width.max(1))
    }
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|x| x / length).collect()
}
