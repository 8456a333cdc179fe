//! Several adapters as one: weighted sums, TIES and DARE, as PEFT's `add_weighted_adapter` computes them.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_core::nn::Adapter;

use super::linalg::{Svd, svd};
use super::{LoraAdapter, LoraConfig, Targets, values};
use crate::{Error, Result};

/// How [`combine`] makes one adapter of several.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Combination {
    /// Sums of the `A` and of the `B`, a rough approximation of the sum of the updates; of one rank.
    Linear,
    /// The exact sum, of the sum of the ranks.
    Cat,
    /// The exact sum, cut to a rank by its singular values.
    Svd {
        /// Of the result.
        rank: usize,
    },
    /// Small numbers left out, then those whose sign is the majority's (TIES, Yadav et al. 2023), of `A` and of `B`.
    Ties {
        /// Fraction of numbers kept.
        density: f32,
    },
    /// The same on the updates themselves, cut to a rank.
    TiesSvd {
        /// Fraction of numbers kept.
        density: f32,
        /// Of the result.
        rank: usize,
    },
    /// Numbers left out at random and the others enlarged (DARE, Yu et al. 2023), then [`Combination::Linear`].
    Dare {
        /// Fraction of numbers kept.
        density: f32,
        /// Of the choice.
        seed: u64,
    },
    /// Numbers left out at random, then the majority of signs.
    DareTies {
        /// Fraction of numbers kept.
        density: f32,
        /// Of the choice.
        seed: u64,
    },
}

/// The weighted sum of adapters for the same base. Weights may be negative.
///
/// # Errors
/// When there is none, ranks differ where they must not, a density is not within 0 and 1, or an adapter has magnitudes or
/// saved weights, whose sum means nothing.
pub fn combine(adapters: &[(&LoraAdapter, f32)], how: Combination) -> Result<LoraAdapter> {
    let wrong = |reason: &str| Error::Config { field: "combine", reason: reason.into() };
    if adapters.is_empty() {
        return Err(wrong("there is no adapter"));
    }
    let fixed = |a: &LoraAdapter| !a.saved.is_empty() || a.layers.values().any(|l| l.magnitude.is_some());
    if adapters.iter().any(|(a, _)| fixed(a)) {
        return Err(wrong("adapters with magnitudes or saved weights have no weighted sum"));
    }
    if let Some(density) = how.density()
        && !(density > 0.0 && density <= 1.0)
    {
        return Err(wrong(&format!("the density {density} is not within 0 and 1")));
    }
    let plain: Vec<(LoraAdapter, f32)> = adapters.iter().map(|(a, w)| (a.plain(), *w)).collect();
    let paths: BTreeSet<&String> = plain.iter().flat_map(|(a, _)| a.layers.keys()).collect();
    let mut layers = BTreeMap::new();
    let mut rng = ChaCha8Rng::seed_from_u64(how.seed());
    for path in paths {
        let own = |(a, weight): &(LoraAdapter, f32)| {
            let layer = a.layers.get(path)?.clone();
            Some((weight * layer.scale, layer))
        };
        let parts: Vec<(f32, Adapter)> = plain.iter().filter_map(own).collect();
        layers.insert(path.clone(), layer(path, &parts, how, &mut rng)?);
    }
    let rank = layers.values().map(|l| l.a.dims()[0]).max().unwrap_or(1);
    let config = LoraConfig {
        rank,
        alpha: rank as f32,
        target_modules: Targets::Names(layers.keys().cloned().collect()),
        ..LoraConfig::default()
    };
    Ok(LoraAdapter { config, layers, saved: BTreeMap::new() })
}

impl Combination {
    fn density(self) -> Option<f32> {
        match self {
            Self::Ties { density }
            | Self::TiesSvd { density, .. }
            | Self::Dare { density, .. }
            | Self::DareTies { density, .. } => Some(density),
            _ => None,
        }
    }

    fn seed(self) -> u64 {
        match self {
            Self::Dare { seed, .. } | Self::DareTies { seed, .. } => seed,
            _ => 0,
        }
    }

    /// The sum of matrices of one shape.
    fn sum(self, matrices: &[Tensor<2>], weights: &[f32], rng: &mut ChaCha8Rng) -> Result<Tensor<2>> {
        let mut rows = matrices.iter().map(values).collect::<Result<Vec<_>>>()?;
        for row in &mut rows {
            match self {
                Self::Ties { density } | Self::TiesSvd { density, .. } => keep_largest(row, density),
                Self::Dare { density, .. } | Self::DareTies { density, .. } => keep_some(row, density, rng),
                _ => {}
            }
        }
        let majority = matches!(self, Self::Ties { .. } | Self::TiesSvd { .. } | Self::DareTies { .. });
        let count = rows.first().map_or(0, Vec::len);
        let at = |i: usize| {
            let own = rows.iter().map(|row| row[i]);
            if !majority {
                return own.zip(weights).map(|(v, w)| v * w).sum();
            }
            let sign = if own.clone().sum::<f32>() >= 0.0 { 1.0 } else { -1.0 };
            let agreeing = own.zip(weights).filter(|(v, _)| v * sign > 0.0);
            let (sum, count) = agreeing.fold((0.0, 0), |(sum, n), (v, w)| (sum + v * w, n + 1));
            sum / count.max(1) as f32
        };
        let summed: Vec<f32> = (0..count).map(at).collect();
        let (dims, device) = (matrices[0].dims(), matrices[0].device());
        Ok(Tensor::from_data(TensorData::new(summed, dims), &device))
    }
}

/// One layer of the sum; each part with its weight times its scale.
fn layer(path: &str, parts: &[(f32, Adapter)], how: Combination, rng: &mut ChaCha8Rng) -> Result<Adapter> {
    let wrong = |reason: String| Error::Config { field: "combine", reason };
    let a = || parts.iter().map(|(_, l)| l.a.clone());
    let b = || parts.iter().map(|(_, l)| l.b.clone());
    match how {
        Combination::Cat => {
            let scaled = parts.iter().map(|(w, l)| l.a.clone().mul_scalar(*w)).collect();
            Ok(Adapter::new(Tensor::cat(scaled, 0), Tensor::cat(b().collect(), 1), 1.0))
        }
        Combination::Svd { rank } | Combination::TiesSvd { rank, .. } => {
            let deltas: Vec<Tensor<2>> = parts.iter().map(|(_, l)| l.delta()).collect();
            // The scale is in the updates already.
            let weights: Vec<f32> = parts.iter().map(|(w, l)| w / l.scale).collect();
            let sum = how.sum(&deltas, &weights, rng)?;
            if rank == 0 || rank > sum.dims().into_iter().min().unwrap_or(0) {
                return Err(wrong(format!("{path} has no update of rank {rank}")));
            }
            let Svd { u, s, v } = svd(&sum, rank)?;
            let s = Tensor::<1>::from_data(TensorData::from(s.as_slice()), &v.device());
            Ok(Adapter::new(v, u * s.unsqueeze_dim::<2>(0), 1.0))
        }
        _ => {
            let ranks: BTreeSet<usize> = a().map(|a| a.dims()[0]).collect();
            if ranks.len() > 1 {
                return Err(wrong(format!(
                    "{path} has ranks {ranks:?}; this way needs one\nhint: use cat or svd"
                )));
            }
            let roots: Vec<f32> = parts.iter().map(|(w, _)| w.abs().sqrt()).collect();
            let signed: Vec<f32> = parts.iter().zip(&roots).map(|((w, _), r)| r * sign(*w)).collect();
            let a = how.sum(&a().collect::<Vec<_>>(), &signed, rng)?;
            Ok(Adapter::new(a, how.sum(&b().collect::<Vec<_>>(), &roots, rng)?, 1.0))
        }
    }
}

fn sign(weight: f32) -> f32 {
    if weight >= 0.0 { 1.0 } else { -1.0 }
}

fn keep_largest(row: &mut [f32], density: f32) {
    let keep = (f64::from(density) * row.len() as f64) as usize;
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].abs().total_cmp(&row[*a].abs()).then(a.cmp(b)));
    for at in order.into_iter().skip(keep) {
        row[at] = 0.0;
    }
}

fn keep_some(row: &mut [f32], density: f32, rng: &mut ChaCha8Rng) {
    for value in row {
        *value = if rng.random::<f32>() < density { *value / density } else { 0.0 };
    }
}
