//! Keys and values of the tokens already read.

use burn::tensor::Tensor;

use super::fused::{self, AttentionOptions};

/// Keys and values per layer, an argument of the forward pass and never part of the model.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    length: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        if length >= self.length {
            return;
        }
        self.length = length;
        for slot in &mut self.layers {
            *slot = match slot.take() {
                Some((k, v)) if length > 0 => Some((k.narrow(1, 0, length), v.narrow(1, 0, length))),
                _ => None,
            };
        }
    }

    /// Whether both hold keys and values in the same form.
    pub(crate) fn is_like(&self, _other: &Self) -> bool {
        true
    }

    /// Appends keys and values `[batch, new, kv_heads, head_dim]` of a layer, and attends queries
    /// `[batch, new, heads, head_dim]` to all of that layer.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        [q, k, v]: [Tensor<4>; 3],
        options: &AttentionOptions,
    ) -> Tensor<4> {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, None);
        }
        let (k, v) = match self.layers[layer].take() {
            Some((old_k, old_v)) => (Tensor::cat(vec![old_k, k], 1), Tensor::cat(vec![old_v, v], 1)),
            None => (k, v),
        };
        self.layers[layer] = Some((k.clone(), v.clone()));
        fused::attention(q, k, v, options)
    }

    /// Counts tokens once all layers have appended them.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
