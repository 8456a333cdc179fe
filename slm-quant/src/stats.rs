//! [`QuantStats`]: how far a packed matrix is from the original.

use rayon::prelude::*;
use serde::Serialize;
use slm_kernels::PackedTensor;

use crate::Result;

/// Rows that one task looks at.
const ROWS: usize = 64;

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
        let cols = packed.cols();
        let (expected, got) = (packed.rows() * cols, weights.len());
        if expected != got {
            return Err(slm_kernels::Error::Length { what: "weights", expected, got }.into());
        }
        let part = |(index, weights): (usize, &[f32])| {
            let (start, mut dense) = (index * ROWS, vec![0.0; weights.len()]);
            packed.dequantize_rows(start..start + weights.len() / cols, &mut dense)?;
            let add = |(signal, noise, most): (f64, f64, f64), (w, d): (&f32, &f32)| {
                let (weight, error) = (f64::from(*w), f64::from(*w) - f64::from(*d));
                (signal + weight * weight, noise + error * error, most.max(error.abs()))
            };
            Ok(weights.iter().zip(&dense).fold((0.0, 0.0, 0.0), add))
        };
        let parts: Result<Vec<(f64, f64, f64)>> =
            weights.par_chunks((ROWS * cols).max(1)).enumerate().map(part).collect();
        let (signal, noise, max_abs) =
            parts?.into_iter().fold((0.0_f64, 0.0_f64, 0.0_f64), |a, b| (a.0 + b.0, a.1 + b.1, a.2.max(b.2)));
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
