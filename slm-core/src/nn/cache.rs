//! Keys and values of the tokens already read.

use burn::tensor::Tensor;

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
                Some((k, v)) if length > 0 => Some((k.narrow(2, 0, length), v.narrow(2, 0, length))),
                _ => None,
            };
        }
    }

    /// Appends keys and values `[batch, kv_heads, new, head_dim]` of a layer and returns all of that layer.
    pub(crate) fn append(&mut self, layer: usize, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, None);
        }
        let all = match self.layers[layer].take() {
            Some((old_k, old_v)) => (Tensor::cat(vec![old_k, k], 2), Tensor::cat(vec![old_v, v], 2)),
            None => (k, v),
        };
        self.layers[layer] = Some(all.clone());
        all
    }

    /// Counts tokens once all layers have appended them.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
