//! Rotary position embedding of queries and keys.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use slm_kernels::ops;

use crate::config::{LayerRope, ModelConfig, RopeConfig};

/// Cosines and sines of runs of positions.
#[derive(Debug, Clone)]
struct Rotation {
    /// `[positions, rotary_dim / 2]`.
    cos: Tensor<2>,
    /// `[positions, rotary_dim / 2]`.
    sin: Tensor<2>,
}

impl Rotation {
    /// The rotation of runs of positions, one run for each sequence, behind one another. The end of a run is the
    /// length of its sequence, on which some scalings depend.
    fn new(rope: &RopeConfig, runs: &[Range<usize>], device: &Device) -> Self {
        let count: usize = runs.iter().map(ExactSizeIterator::len).sum();
        let half = rope.rotary_dim / 2;
        let factor = rope.attention_factor();
        let (mut cos, mut sin) = (Vec::with_capacity(count * half), Vec::with_capacity(count * half));
        for run in runs {
            let frequencies = rope.inverse_frequencies(run.end);
            for position in run.clone() {
                for frequency in &frequencies {
                    // transformers rounds frequency and angle to f32; so does this, to agree at large positions
                    let angle = f64::from(position as f32 * *frequency as f32);
                    cos.push((angle.cos() * factor) as f32);
                    sin.push((angle.sin() * factor) as f32);
                }
            }
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, [count, half]), device);
        Self { cos: tensor(cos), sin: tensor(sin) }
    }

    /// Rotates each pair `(i, i + rotary_dim / 2)`.
    ///
    /// # Shapes
    /// `[batch, positions, heads, head_dim]` to the same.
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        ops::rotate(x, &self.cos, &self.sin)
    }
}

/// The rotations of one forward pass, computed once for all layers.
#[derive(Debug, Clone)]
pub(crate) struct Rotations {
    global: Option<Rotation>,
    local: Option<Rotation>,
}

impl Rotations {
    pub(crate) fn new(config: &ModelConfig, runs: &[Range<usize>], device: &Device) -> Self {
        let of = |kind: LayerRope| {
            let used = config.layers.iter().any(|l| l.rope == kind);
            config.rope_of(kind).filter(|_| used).map(|rope| Rotation::new(rope, runs, device))
        };
        Self { global: of(LayerRope::Global), local: of(LayerRope::Local) }
    }

    /// Rotates as the layers of a kind do.
    pub(crate) fn apply(&self, x: Tensor<4>, kind: LayerRope) -> Tensor<4> {
        let rotation = match kind {
            LayerRope::Global => self.global.as_ref(),
            LayerRope::Local => self.local.as_ref(),
            LayerRope::None => None,
        };
        match rotation {
            Some(rotation) => rotation.apply(x),
            None => x,
        }
    }
}
