//! Round-to-nearest: quantization without calibration data.

use slm_kernels::PackedTensor;

use crate::{QuantConfig, QuantStats, Result};

/// Packs one matrix and measures what that loses. [`QuantConfig::skip`] is not looked at.
///
/// # Shapes
///
/// `weights`: `shape` = `[out, in]`, row-major.
///
/// # Errors
///
/// A group size that is not supported or does not divide `in`; a buffer of another length; a weight that is
/// not finite.
pub fn quantize_matrix(
    weights: &[f32],
    shape: [usize; 2],
    config: &QuantConfig,
) -> Result<(PackedTensor, QuantStats)> {
    let packed = PackedTensor::quantize(weights, shape[0], shape[1], config.bits.format(config.group_size))?;
    let stats = QuantStats::measure(weights, &packed)?;
    Ok((packed, stats))
}
