//! Root-mean-square normalisation.

use burn::tensor::Tensor;

/// RMSNorm (Zhang and Sennrich 2019): `x / √(mean(x²) + ε) · w`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    /// Normalises the last dimension.
    ///
    /// # Shapes
    /// `[.., width]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let scale = x.clone().powi_scalar(2).mean_dim(D - 1).add_scalar(self.epsilon).sqrt();
        x / scale * self.weight.clone().unsqueeze()
    }
}
