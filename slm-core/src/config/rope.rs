//! Rotary position embedding (Su et al. 2021) and its long-context scalings.

use std::f64::consts::PI;

use crate::{Error, Result};

/// Rotary position embedding of the half-split kind: dimension `i` turns with `i + rotary_dim / 2`, and
/// dimensions from `rotary_dim` on stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric frequencies.
    pub theta: f64,
    /// How many dimensions of a head turn; even.
    pub rotary_dim: usize,
    /// How the frequencies are changed for contexts longer than those trained on.
    pub scaling: RopeScaling,
}

/// Long-context scaling of the rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// The frequencies as trained.
    Default,
    /// Position interpolation (Chen et al. 2023): all frequencies divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// "Dynamic NTK": beyond the original length the base grows with the sequence.
    ///
    /// The length at each call decides, and keys already cached keep the frequencies they were made with, as in
    /// `transformers`.
    Dynamic {
        /// How many times the original length the model shall reach.
        factor: f64,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// YaRN (Peng et al. 2023): high frequencies kept, low ones divided, linear in between.
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Turns within the original length above which a frequency is kept.
        beta_fast: f64,
        /// Turns within the original length below which a frequency is divided.
        beta_slow: f64,
        /// Whether the borders are rounded to whole dimensions.
        truncate: bool,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
        /// Multiplier of cosine and sine.
        attention_factor: f64,
    },
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
        /// Divisors up to the original length, `rotary_dim / 2` of them.
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
    /// Angle per position of each of the `rotary_dim / 2` pairs, in radians, for a sequence of `length` tokens.
    pub fn inverse_frequencies(&self, length: usize) -> Vec<f64> {
        let dim = self.rotary_dim as f64;
        let powers = |theta: f64| (0..self.rotary_dim / 2).map(move |i| theta.powf(-2.0 * i as f64 / dim));
        let base = powers(self.theta);
        match &self.scaling {
            RopeScaling::Default => base.collect(),
            RopeScaling::Linear { factor } => base.map(|f| f / factor).collect(),
            RopeScaling::Dynamic { factor, original_max_position_embeddings: original } => {
                let stretch = factor * length.max(*original) as f64 / *original as f64 - (factor - 1.0);
                powers(self.theta * stretch.powf(dim / (dim - 2.0))).collect()
            }
            RopeScaling::Yarn { factor, .. } => {
                let (low, high) = self.yarn_borders();
                base.enumerate()
                    .map(|(i, f)| {
                        let scaled = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        f / factor * scaled + f * (1.0 - scaled)
                    })
                    .collect()
            }
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

    /// The pairs between which YaRN goes over from kept to divided frequencies.
    fn yarn_borders(&self) -> (f64, f64) {
        let RopeScaling::Yarn {
            beta_fast,
            beta_slow,
            truncate,
            original_max_position_embeddings: original,
            ..
        } = &self.scaling
        else {
            return (0.0, 1.0);
        };
        let dim = self.rotary_dim as f64;
        let pair = |turns: f64| dim * (*original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (pair(*beta_fast), pair(*beta_slow));
        if *truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high { (low, high + 0.001) } else { (low, high) }
    }

    /// Multiplier of cosine and sine.
    pub fn attention_factor(&self) -> f64 {
        match &self.scaling {
            RopeScaling::LongRope { attention_factor, .. } | RopeScaling::Yarn { attention_factor, .. } => {
                *attention_factor
            }
            _ => 1.0,
        }
    }

    /// Whether the frequencies depend on which side of the original context length a sequence ends.
    pub fn is_long(&self, length: usize) -> bool {
        matches!(&self.scaling, RopeScaling::LongRope { original_max_position_embeddings: o, .. } if length > *o)
    }

    /// Whether sequences of `a` and of `b` tokens turn by the same frequencies.
    pub fn turns_alike(&self, a: usize, b: usize) -> bool {
        match &self.scaling {
            RopeScaling::LongRope { .. } => self.is_long(a) == self.is_long(b),
            RopeScaling::Dynamic { original_max_position_embeddings: original, .. } => {
                a == b || a.max(b) <= *original
            }
            _ => true,
        }
    }

    /// The longest sequence that the scaling is made for, where it is made for more than `trained` tokens.
    pub(super) fn reach(&self, trained: usize) -> usize {
        match &self.scaling {
            RopeScaling::Dynamic { factor, original_max_position_embeddings: original }
            | RopeScaling::Yarn { factor, original_max_position_embeddings: original, .. } => {
                trained.max((*original as f64 * factor) as usize)
            }
            _ => trained,
        }
    }

    pub(super) fn check(&self, head_dim: usize) -> Result<()> {
        if !(self.theta.is_finite() && self.theta > 1.0) {
            return Err(Error::config("rope_theta", format!("{} is not a number above 1", self.theta)));
        }
        let pairs = self.rotary_dim / 2;
        if pairs == 0 || !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > head_dim {
            let reason =
                format!("{} of {head_dim} dimensions turn; expected an even number", self.rotary_dim);
            return Err(Error::config("partial_rotary_factor", reason));
        }
        let positive = |name: &str, value: f64| {
            let reason = format!("{value} is not a positive number");
            if value.is_finite() && value > 0.0 { Ok(()) } else { Err(Error::config(field(name), reason)) }
        };
        let original_fits = |original: usize| {
            let reason = format!("{original} is too small");
            let name = field("original_max_position_embeddings");
            if original > 1 { Ok(()) } else { Err(Error::config(name, reason)) }
        };
        match &self.scaling {
            RopeScaling::Default => Ok(()),
            RopeScaling::Linear { factor } => positive("factor", *factor),
            RopeScaling::Dynamic { factor, original_max_position_embeddings } => {
                if self.rotary_dim == 2 {
                    return Err(Error::config("head_dim", "dynamic scaling needs more than two dimensions"));
                }
                original_fits(*original_max_position_embeddings)?;
                if *factor >= 1.0 { Ok(()) } else { Err(Error::config(field("factor"), "is less than 1")) }
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings,
                attention_factor,
                ..
            } => {
                original_fits(*original_max_position_embeddings)?;
                positive("factor", *factor)?;
                positive("beta_fast", *beta_fast)?;
                positive("beta_slow", *beta_slow)?;
                positive("attention_factor", *attention_factor)
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, .. } => {
                positive("factor", *factor)?;
                positive("low_freq_factor", *low_freq_factor)?;
                positive("high_freq_factor", *high_freq_factor)
            }
            RopeScaling::LongRope { short_factor, long_factor, attention_factor, .. } => {
                positive("attention_factor", *attention_factor)?;
                factors("short_factor", short_factor, pairs)?;
                factors("long_factor", long_factor, pairs)
            }
        }
    }
}

fn field(name: &str) -> String {
    format!("rope_scaling.{name}")
}

fn factors(name: &str, factors: &[f64], pairs: usize) -> Result<()> {
    if factors.len() != pairs {
        return Err(Error::config(field(name), format!("expected {pairs} numbers, found {}", factors.len())));
    }
    if factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
        return Err(Error::config(field(name), "all numbers must be positive"));
    }
    Ok(())
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
