//! [`DriftWatch`]: do scores still come as they did when the threshold was fitted?

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bins of the population stability index.
const BINS: usize = 10;

/// Compares the last scores with those of the calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftWatch {
    /// Sorted.
    reference: Vec<f64>,
    recent: VecDeque<f64>,
    window: usize,
}

/// How far the last scores are from those of the calibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Largest distance of the two distribution functions, 0 to 1 (Kolmogorov & Smirnov).
    pub distance: f64,
    /// Probability of a distance at least as large, were both drawn alike.
    pub p_value: f64,
    /// Population stability index over tenths of the reference. By custom, below 0.1 is calm, above 0.25 a shift.
    pub stability_index: f64,
    /// Scores in the window.
    pub scores: usize,
}

impl DriftWatch {
    /// A watch over the last `window` scores.
    ///
    /// # Errors
    /// When there are fewer than 20 reference scores, one is no number, or the window is shorter than 20.
    pub fn new(reference: &[f64], window: usize) -> Result<Self> {
        if reference.len() < 20 {
            return Err(Error::TooFewTexts { what: "reference", expected: 20, got: reference.len() });
        }
        if window < 20 {
            return Err(Error::config("window", format!("expected at least 20, got {window}")));
        }
        if reference.iter().any(|score| score.is_nan()) {
            return Err(Error::config("reference", "expected numbers, got NaN"));
        }
        let mut reference = reference.to_vec();
        reference.sort_unstable_by(f64::total_cmp);
        Ok(Self { reference, recent: VecDeque::with_capacity(window), window })
    }

    /// Takes in a score; the oldest of a full window goes.
    pub fn observe(&mut self, score: f64) {
        if self.recent.len() == self.window {
            self.recent.pop_front();
        }
        self.recent.push_back(score);
    }

    /// How far the window is from the reference; `None` before the window is full.
    pub fn drift(&self) -> Option<Drift> {
        if self.recent.len() < self.window {
            return None;
        }
        let mut recent: Vec<f64> = self.recent.iter().copied().collect();
        recent.sort_unstable_by(f64::total_cmp);
        let distance = distance(&self.reference, &recent);
        Some(Drift {
            distance,
            p_value: p_value(distance, self.reference.len(), recent.len()),
            stability_index: self.stability_index(&recent),
            scores: recent.len(),
        })
    }

    fn stability_index(&self, recent: &[f64]) -> f64 {
        let at = |bin: usize| self.reference.get(bin * self.reference.len() / BINS).copied();
        let edges: Vec<f64> = (1..BINS).filter_map(at).collect();
        let share = |scores: &[f64], bin: usize| {
            let below =
                |edge: Option<&f64>, all| edge.map_or(all, |edge| scores.partition_point(|s| s < edge));
            let lower = if bin == 0 { 0 } else { below(edges.get(bin - 1), 0) };
            // Half a score in each bin, so that an empty one has a logarithm.
            (below(edges.get(bin), scores.len()) - lower) as f64 / scores.len() as f64
                + 0.5 / scores.len() as f64
        };
        let term = |bin| {
            let (was, is) = (share(&self.reference, bin), share(recent, bin));
            (is - was) * (is / was).ln()
        };
        (0..BINS).map(term).sum()
    }
}

/// Largest distance of the distribution functions of two sorted samples.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let share = |scores: &[f64], x: f64| scores.partition_point(|s| *s <= x) as f64 / scores.len() as f64;
    a.iter().chain(b).map(|&x| (share(a, x) - share(b, x)).abs()).fold(0.0, f64::max)
}

/// The asymptotic probability of a distance, with Stephens' correction for small samples (1970).
fn p_value(distance: f64, n: usize, m: usize) -> f64 {
    let effective = (n as f64 * m as f64 / (n + m) as f64).sqrt();
    let lambda = (effective + 0.12 + 0.11 / effective) * distance;
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        f64::from(if k % 2 == 1 { 2 } else { -2 }) * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn alarms_are_as_rare_as_stated_and_a_shift_is_seen() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut alarms, mut seen) = (0, 0);
        for _ in 0..500 {
            let reference: Vec<f64> = (0..400).map(|_| rng.random()).collect();
            let mut watch = DriftWatch::new(&reference, 200)?;
            (0..200).for_each(|_| watch.observe(rng.random()));
            let calm = watch.drift().ok_or(Error::config("window", "not full"))?;
            alarms += usize::from(calm.p_value < 0.05);
            (0..200).for_each(|_| watch.observe(0.25 + 0.75 * rng.random::<f64>()));
            let shifted = watch.drift().ok_or(Error::config("window", "not full"))?;
            seen += usize::from(shifted.p_value < 0.001 && shifted.stability_index > 0.25);
        }
        assert!((10..=40).contains(&alarms), "{alarms} of 500 at 5 %");
        assert_eq!(seen, 500);
        Ok(())
    }

    #[test]
    fn distances_by_hand() -> Result<()> {
        assert_eq!(distance(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), 0.5);
        // scipy.special.kolmogorov(1.0)
        assert!((p_value(1.0 / (10.0 + 0.12 + 0.011), 200, 200) - 0.269_999_67).abs() < 1e-6);
        let mut watch = DriftWatch::new(&[0.0; 20], 20)?;
        (0..19).for_each(|_| watch.observe(0.0));
        assert_eq!(watch.drift(), None);
        watch.observe(0.0);
        assert_eq!(watch.drift().map(|drift| (drift.distance, drift.p_value)), Some((0.0, 1.0)));
        assert!(DriftWatch::new(&[f64::NAN; 20], 20).is_err() && DriftWatch::new(&[0.0; 19], 20).is_err());
        Ok(())
    }
}
