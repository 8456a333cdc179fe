//! [`QuantStats`]: how far a packed matrix is from the original.

use serde::Serialize;
use slm_kernels::PackedTensor;

use crate::Result;

/// How far a packed matrix is from the original, and what it costs to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QuantStats {
    /// Mean squared error of a weight.
    pub mse: f64,
    /// Largest error of a weight.
    pub max_abs: f64,
    /// Energy of the weights over that of the errors, in decibels; infinite where nothing is lost.
    pub snr_db: f64,
    /// Memory of codes and scales per weight, in bits.
    pub bits_per_weight: f64,
}

impl QuantStats {
    /// Compares `packed` with the `weights` it was made of.
    ///
    /// # Errors
    ///
    /// A buffer of another length than the packed matrix.
    pub fn measure(weights: &[f32], packed: &PackedTensor) -> Result<Self> {
        let dense = packed.dequantize();
        if dense.len() != weights.len() {
            let (expected, got) = (dense.len(), weights.len());
            return Err(slm_kernels::Error::Length { what: "weights", expected, got }.into());
        }
        let (mut signal, mut noise, mut max_abs) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (&weight, &dense) in weights.iter().zip(&dense) {
            let (weight, error) = (f64::from(weight), f64::from(weight) - f64::from(dense));
            signal += weight * weight;
            noise += error * error;
            max_abs = max_abs.max(error.abs());
        }
        // An empty matrix loses nothing.
        let count = weights.len().max(1) as f64;
        Ok(Self {
            mse: noise / count,
            max_abs,
            snr_db: if noise > 0.0 { 10.0 * (signal / noise).log10() } else { f64::INFINITY },
            bits_per_weight: packed.bytes() as f64 * 8.0 / count,
        })
    }
}
