//! Root-mean-square normalisation.

use burn::tensor::Tensor;
use slm_kernels::ops;

use crate::config::NormWeight;

/// RMSNorm (Zhang and Sennrich 2019): `x / √(mean(x²) + ε) · w`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[width]`, as the checkpoint stores it.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub epsilon: f64,
    /// Whether `w` is the weight or one plus the weight.
    pub kind: NormWeight,
}

impl RmsNorm {
    /// Normalises the last dimension.
    ///
    /// # Shapes
    /// `[.., width]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.kind {
            NormWeight::Factor => ops::rms_norm(x, &self.weight, self.epsilon),
            NormWeight::OffsetFromOne => ops::rms_norm(x, &self.weight.clone().add_scalar(1.0), self.epsilon),
        }
    }
}
