//! Rotary position embedding of queries and keys.

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::ModelConfig;

/// Cosines and sines of a run of positions, computed once per forward pass for all layers.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// `[1, 1, positions, head_dim]`.
    cos: Tensor<4>,
    /// `[1, 1, positions, head_dim]`.
    sin: Tensor<4>,
}

impl Rotation {
    /// The rotation of `count` positions from `start` on.
    pub fn new(config: &ModelConfig, start: usize, count: usize, device: &Device) -> Self {
        let frequencies = config.rope.inverse_frequencies(config.head_dim, start + count);
        let factor = config.rope.attention_factor();
        let table = |f: fn(f64) -> f64| {
            let mut values = Vec::with_capacity(count * config.head_dim);
            for position in start..start + count {
                for _half in 0..2 {
                    // transformers rounds frequency and angle to f32; so does this, to agree at large positions
                    values.extend(
                        frequencies
                            .iter()
                            .map(|w| (f(f64::from(position as f32 * *w as f32)) * factor) as f32),
                    );
                }
            }
            Tensor::from_data(TensorData::new(values, [1, 1, count, config.head_dim]), device)
        };
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }

    /// Rotates each pair `(i, i + head_dim / 2)`.
    ///
    /// # Shapes
    /// `[batch, heads, positions, head_dim]` to the same.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.clone().narrow(3, half, half);
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        x * self.cos.clone() + turned * self.sin.clone()
    }
}
