//! [`InputStatistics`]: what a linear layer's inputs look like.

use burn::tensor::Tensor;

use crate::{Error, Result};

/// Columns of `XᵀX` that are computed together: blocks below the diagonal are mirrored, not computed.
const BLOCK: usize = 512;

/// The second moment `XᵀX` and the mean magnitude of a layer's inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct InputStatistics {
    width: usize,
    /// `[width, width]`, right only in the upper blocks.
    sums: Vec<f64>,
    magnitudes: Vec<f64>,
    tokens: usize,
}

impl InputStatistics {
    /// Of no inputs yet.
    pub fn new(width: usize) -> Self {
        Self { width, sums: vec![0.0; width * width], magnitudes: vec![0.0; width], tokens: 0 }
    }

    /// Adds inputs.
    ///
    /// # Shapes
    /// `x`: `[tokens, width]`.
    ///
    /// # Errors
    /// Inputs of another width, not finite, or not readable from their device.
    pub fn add(&mut self, x: &Tensor<2>) -> Result<()> {
        let [tokens, width] = x.dims();
        if width != self.width {
            let (expected, got) = (self.width, width);
            return Err(slm_kernels::Error::Features { expected, got }.into());
        }
        for (sum, value) in self.magnitudes.iter_mut().zip(read(x.clone().abs().sum_dim(0))?) {
            if !value.is_finite() {
                return Err(Error::Inputs { reason: format!("not finite after {} tokens", self.tokens) });
            }
            *sum += f64::from(value);
        }
        for start in (0..width).step_by(BLOCK) {
            let rows = BLOCK.min(width - start);
            let left = x.clone().narrow(1, start, rows).transpose();
            let product = read(left.matmul(x.clone().narrow(1, start, width - start)))?;
            for (row, values) in product.chunks_exact(width - start).enumerate() {
                let at = (start + row) * width + start;
                for (sum, value) in self.sums[at..at + width - start].iter_mut().zip(values) {
                    *sum += f64::from(*value);
                }
            }
        }
        self.tokens += tokens;
        Ok(())
    }

    /// Inputs of the layer.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens added.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Mean of the squares of each input.
    pub fn mean_square(&self) -> Vec<f32> {
        let count = self.tokens.max(1) as f64;
        (0..self.width).map(|i| (self.sums[i * self.width + i] / count) as f32).collect()
    }

    /// Mean magnitude of each input.
    pub fn mean_magnitude(&self) -> Vec<f32> {
        self.magnitudes.iter().map(|m| (m / self.tokens.max(1) as f64) as f32).collect()
    }

    /// `XᵀX` by the number of tokens, `[width, width]`.
    pub fn second_moment(&self) -> Vec<f64> {
        let (n, count) = (self.width, self.tokens.max(1) as f64);
        let entry = |i: usize, j: usize| self.sums[i.min(j) * n + i.max(j)] / count;
        (0..n * n).map(|at| entry(at / n, at % n)).collect()
    }
}

/// A tensor's numbers.
pub(crate) fn read<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>> {
    let reason = |e| slm_core::Error::Device { reason: format!("inputs cannot be read: {e:?}") };
    Ok(x.try_into_vec_as::<f32>().map_err(reason)?)
}
