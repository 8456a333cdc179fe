//! Rotary position embedding (Su et al. 2021) and its long-context scalings.

use std::f64::consts::PI;

use crate::{Error, Result};

/// Rotary position embedding of the half-split kind: dimension `i` turns with `i + head_dim / 2`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric frequencies.
    pub theta: f64,
    /// How the frequencies are changed for contexts longer than those trained on.
    pub scaling: RopeScaling,
}

/// Long-context scaling of the rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// The frequencies as trained.
    Default,
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, smooth in between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths longer than `original / low_freq_factor` are scaled.
        low_freq_factor: f64,
        /// Wavelengths shorter than `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// LongRoPE (Ding et al. 2024, Phi-3): one divisor per frequency, two sets.
    ///
    /// The long set serves sequences of more than `original_max_position_embeddings` tokens. The length at
    /// each call decides, and keys already cached keep the set they were made with; generation therefore
    /// reads the whole sequence again when it crosses the border, as `transformers` does.
    LongRope {
        /// Divisors up to the original length, `head_dim / 2` of them.
        short_factor: Vec<f64>,
        /// Divisors beyond it.
        long_factor: Vec<f64>,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
        /// Multiplier of cosine and sine.
        attention_factor: f64,
    },
}

impl RopeConfig {
    /// Angle per position of each of the `head_dim / 2` pairs, in radians, for a sequence of `length` tokens.
    pub fn inverse_frequencies(&self, head_dim: usize, length: usize) -> Vec<f64> {
        let base = (0..head_dim / 2).map(|i| self.theta.powf(-2.0 * i as f64 / head_dim as f64));
        match &self.scaling {
            RopeScaling::Default => base.collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => base.map(|f| llama3(f, *factor, *low, *high, *original as f64)).collect(),
            RopeScaling::LongRope { short_factor, long_factor, original_max_position_embeddings, .. } => {
                let factors =
                    if length > *original_max_position_embeddings { long_factor } else { short_factor };
                base.zip(factors).map(|(f, s)| f / s).collect()
            }
        }
    }

    /// Multiplier of cosine and sine.
    pub fn attention_factor(&self) -> f64 {
        match &self.scaling {
            RopeScaling::LongRope { attention_factor, .. } => *attention_factor,
            _ => 1.0,
        }
    }

    /// Whether the frequencies depend on which side of the original context length a sequence ends.
    pub fn is_long(&self, length: usize) -> bool {
        matches!(&self.scaling, RopeScaling::LongRope { original_max_position_embeddings: o, .. } if length > *o)
    }

    pub(super) fn check(&self, head_dim: usize) -> Result<()> {
        if !(self.theta.is_finite() && self.theta > 0.0) {
            return Err(Error::config("rope_theta", format!("{} is not a positive number", self.theta)));
        }
        if let RopeScaling::LongRope { short_factor, long_factor, .. } = &self.scaling {
            for (field, factors) in [("short_factor", short_factor), ("long_factor", long_factor)] {
                if factors.len() != head_dim / 2 {
                    let reason = format!("expected {} numbers, found {}", head_dim / 2, factors.len());
                    return Err(Error::config(format!("rope_scaling.{field}"), reason));
                }
                if factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
                    return Err(Error::config(
                        format!("rope_scaling.{field}"),
                        "all numbers must be positive",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// `_compute_llama3_parameters` of the Llama 3.1 release, for one frequency.
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}
