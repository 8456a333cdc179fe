//! The forward pass of BERT.

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use slm_kernels::ops::{self, Activation, AttentionOptions};

use super::EncoderConfig;
use crate::{Error, Result};

/// Normalisation of mean and variance (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[width]`.
    pub weight: Tensor<1>,
    /// `[width]`.
    pub bias: Tensor<1>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// Normalises the last dimension.
    ///
    /// # Shapes
    /// `[.., width]` to the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }

    /// Normalises the last dimension of `x + residual`, both of the same shape.
    pub fn forward_sum<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        ops::add_layer_norm(x, residual, [&self.weight, &self.bias], self.epsilon)
    }
}

/// One block: attention and MLP, each added to its input and then normalised.
#[derive(Debug, Clone)]
pub struct EncoderLayer {
    /// `query`, `key` and `value` of a checkpoint behind one another, `[3 * hidden, hidden]`: one product.
    pub qkv: Affine,
    /// Of the attended values, `[hidden, hidden]`.
    pub attention_output: Affine,
    /// After attention.
    pub attention_norm: LayerNorm,
    /// `[intermediate, hidden]`.
    pub intermediate: Affine,
    /// `[hidden, intermediate]`.
    pub output: Affine,
    /// After the MLP.
    pub output_norm: LayerNorm,
}

impl EncoderLayer {
    /// # Shapes
    /// `[1, tokens, hidden]` to the same; attention stays within each of `lengths` tokens.
    fn forward(&self, x: Tensor<3>, lengths: &[usize], config: &EncoderConfig) -> Tensor<3> {
        let [_, tokens, hidden] = x.dims();
        let (heads, dim) = (config.num_attention_heads, config.head_dim());
        let qkv = self.qkv.forward(x.clone(), Activation::Identity).reshape([1, tokens, 3 * heads, dim]);
        let qkv = [0, 1, 2].map(|part| qkv.clone().narrow(2, part * heads, heads));
        let scale = (dim as f32).sqrt().recip();
        let options = AttentionOptions { scale, causal: false, window: None, softcap: None };
        let attended = ops::attention_varlen(qkv, lengths, &options).reshape([1, tokens, hidden]);
        let attended = self.attention_output.forward(attended, Activation::Identity);
        let x = self.attention_norm.forward_sum(attended, x);
        let y = self.intermediate.forward(x.clone(), Activation::Gelu);
        self.output_norm.forward_sum(self.output.forward(y, Activation::Identity), x)
    }
}

/// A layer `y = act(x·Wᵀ + b)`.
#[derive(Debug, Clone)]
pub struct Affine {
    /// `[out, in]`.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Tensor<1>,
}

impl Affine {
    /// # Shapes
    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        ops::affine(x, &self.weight, &self.bias, activation)
    }
}

/// The tokens of one text, or of a pair of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, which text it belongs to.
    pub types: Vec<u32>,
}

/// A BERT encoder without its head.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// What it is.
    pub config: EncoderConfig,
    /// `[vocab, hidden]`.
    pub word_embeddings: Tensor<2>,
    /// `[positions, hidden]`.
    pub position_embeddings: Tensor<2>,
    /// `[types, hidden]`.
    pub type_embeddings: Tensor<2>,
    /// Of the summed embeddings.
    pub embedding_norm: LayerNorm,
    /// The blocks, first to last.
    pub layers: Vec<EncoderLayer>,
}

impl Encoder {
    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.word_embeddings.device()
    }

    /// The vectors of all tokens of all segments, behind one another.
    ///
    /// # Shapes
    /// To `[tokens, hidden]`.
    ///
    /// # Errors
    /// When a segment is empty, too long, or names an unknown token or type.
    pub fn hidden(&self, segments: &[Segment]) -> Result<Tensor<2>> {
        let c = &self.config;
        for segment in segments {
            self.check(segment)?;
        }
        let lengths: Vec<usize> = segments.iter().map(|s| s.ids.len()).collect();
        let tokens: usize = lengths.iter().sum();
        if tokens == 0 {
            return Err(Error::Request { reason: "there is no text to read".into() });
        }
        let device = self.device();
        let pick = |table: &Tensor<2>, ids: Vec<i32>| {
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [tokens]), &device);
            table.clone().select(0, ids).cast(FloatDType::F32)
        };
        let all = |f: fn(&Segment) -> Vec<i32>| segments.iter().flat_map(f).collect::<Vec<i32>>();
        let words = all(|s| s.ids.iter().map(|id| *id as i32).collect());
        let types = all(|s| s.types.iter().map(|id| *id as i32).collect());
        let positions = all(|s| (0..s.ids.len() as i32).collect());
        let x = pick(&self.word_embeddings, words)
            + pick(&self.type_embeddings, types)
            + pick(&self.position_embeddings, positions);
        let mut x = self.embedding_norm.forward(x).reshape([1, tokens, c.hidden_size]);
        for layer in &self.layers {
            x = layer.forward(x, &lengths, c);
        }
        Ok(x.reshape([tokens, c.hidden_size]))
    }

    fn check(&self, segment: &Segment) -> Result<()> {
        let c = &self.config;
        let (length, limit) = (segment.ids.len(), c.max_position_embeddings);
        let refuse = |reason: String| Err(Error::Request { reason });
        if length == 0 || length > limit {
            return refuse(format!("a text of {length} tokens; the encoder reads 1 to {limit}"));
        }
        if segment.types.len() != length {
            return refuse(format!("{} types for {length} tokens", segment.types.len()));
        }
        match segment.ids.iter().find(|id| **id as usize >= c.vocab_size) {
            Some(id) => refuse(format!("token {id} is not among the encoder's {}", c.vocab_size)),
            None if segment.types.iter().any(|t| *t as usize >= c.type_vocab_size) => {
                refuse(format!("the encoder knows {} types of text", c.type_vocab_size))
            }
            None => Ok(()),
        }
    }
}
