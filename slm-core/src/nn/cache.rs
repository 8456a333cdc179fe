//! Keys and values of the tokens already read.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use slm_kernels::ops::{self, AttentionOptions, KvBuffer, KvTensors, KvType};

/// Keys and values per layer, an argument of the forward pass and never part of the model.
///
/// On the `flex` device they lie in pages that clones share, so that sequences with a common beginning hold it
/// once; elsewhere in tensors.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    kind: KvCacheType,
    layers: Vec<Layer>,
    length: usize,
}

/// How keys and values are kept, on the `flex` device; others keep them as computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvCacheType {
    /// 32 bits: exact.
    #[default]
    F32,
    /// 16 bits.
    F16,
    /// 8 bits, and a scale for each token and head.
    Int8,
}

#[derive(Debug, Clone)]
enum Layer {
    /// Of each sequence of the batch.
    Pages(Vec<KvBuffer>),
    /// Of all sequences.
    Tensors(Box<KvTensors>),
}

impl KvCache {
    /// An empty cache in 32 bits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty cache that keeps keys and values as `kind` says.
    pub fn with_type(kind: KvCacheType) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Memory of the keys and values, in bytes; what clones share counts for each.
    pub fn bytes(&self) -> usize {
        let layer = |layer: &Layer| match layer {
            Layer::Pages(rows) => rows.iter().map(KvBuffer::bytes).sum::<usize>(),
            Layer::Tensors(both) => both.bytes(),
        };
        self.layers.iter().map(layer).sum()
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        if length >= self.length {
            return;
        }
        self.length = length;
        if length == 0 {
            self.layers.clear();
        }
        for layer in &mut self.layers {
            match layer {
                Layer::Pages(rows) => rows.iter_mut().for_each(|row| row.truncate(length)),
                Layer::Tensors(both) => both.truncate(length),
            }
        }
    }

    /// Whether both keep keys and values in the same form.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    /// Appends keys and values `[batch, new, kv_heads, head_dim]` of a layer, and attends queries
    /// `[batch, new, heads, head_dim]` to all of that layer. Layers come in order.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        [q, k, v]: [Tensor<4>; 3],
        options: &AttentionOptions,
    ) -> Tensor<4> {
        if self.layers.len() <= layer {
            let [batch, _, heads, width] = k.dims();
            self.layers.push(match ops::is_host(&k.device()) {
                true => Layer::Pages(vec![KvBuffer::new(heads, width, self.kind.into()); batch]),
                false => Layer::Tensors(Box::new(KvTensors::new([batch, heads, width], &k.device()))),
            });
        }
        match &mut self.layers[layer] {
            Layer::Pages(rows) => attend_pages(rows, [q, k, v], options),
            Layer::Tensors(both) => both.attend([q, k, v], options),
        }
    }

    /// Counts tokens once all layers have appended them.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}

impl From<KvCacheType> for KvType {
    fn from(kind: KvCacheType) -> Self {
        match kind {
            KvCacheType::F32 => Self::F32,
            KvCacheType::F16 => Self::F16,
            KvCacheType::Int8 => Self::Int8,
        }
    }
}

fn attend_pages(rows: &mut [KvBuffer], qkv: [Tensor<4>; 3], options: &AttentionOptions) -> Tensor<4> {
    if let [row] = rows {
        let [q, k, v] = qkv;
        return ops::attention_cached(q, k, v, row, options);
    }
    let one = |(index, row): (usize, &mut KvBuffer)| {
        let [q, k, v] = qkv.each_ref().map(|t| t.clone().narrow(0, index, 1));
        ops::attention_cached(q, k, v, row, options)
    };
    Tensor::cat(rows.iter_mut().enumerate().map(one).collect(), 0)
}
