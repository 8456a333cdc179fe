//! The transformer: [`CausalLm`], how it is loaded and how it is saved.

mod files;
mod init;
mod layout;
mod load;
mod save;

use burn::tensor::{Device, Int, Tensor};
pub use files::{TensorFile, write_atomically};
pub use load::Value;
pub use save::FloatType;

use crate::config::ModelConfig;
use crate::nn::{Block, KvCache, Linear, RmsNorm, Rotation, Weight};
use crate::nn::{Pass, causal_mask};
use crate::{Error, Result};

/// A causal language model of any [`Family`](crate::config::Family).
///
/// Weights are plain tensors and the cache is an argument, so that a model is data: cloning it shares its
/// weights.
#[derive(Debug, Clone)]
pub struct CausalLm {
    /// What it is.
    pub config: ModelConfig,
    /// `[vocab, hidden]`.
    pub embed_tokens: Tensor<2>,
    /// The blocks, first to last.
    pub layers: Vec<Block>,
    /// After the last block.
    pub norm: RmsNorm,
    /// `[vocab, hidden]`; `None` where the embedding serves as the head.
    pub lm_head: Option<Linear>,
}

/// A weight of full precision, by reference.
#[derive(Debug)]
pub enum Parameter<'a> {
    /// A norm's weight or a bias.
    Vector(&'a mut Tensor<1>),
    /// A projection or the embedding.
    Matrix(&'a mut Tensor<2>),
}

impl CausalLm {
    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// Logits of every position in `ids`, which follow the tokens of `cache`; the cache then holds them too.
    ///
    /// # Shapes
    /// `ids` `[batch, new]` to `[batch, new, vocab]`.
    ///
    /// # Errors
    /// When the sequence would exceed the model's context.
    pub fn forward(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Result<Tensor<3>> {
        Ok(self.logits(self.hidden(ids, Some(cache))?))
    }

    /// Logits of the last position alone: a prompt needs no others.
    ///
    /// # Shapes
    /// `ids` `[batch, new]` to `[batch, vocab]`.
    ///
    /// # Errors
    /// When the sequence would exceed the model's context.
    pub fn next_logits(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Result<Tensor<2>> {
        let hidden = self.hidden(ids, Some(cache))?;
        let [_, new, _] = hidden.dims();
        Ok(self.logits(hidden.narrow(1, new - 1, 1)).squeeze_dim(1))
    }

    /// The normalised output of the last block; without a cache every pass starts at position 0.
    ///
    /// # Shapes
    /// `ids` `[batch, new]` to `[batch, new, hidden]`.
    ///
    /// # Errors
    /// When the sequence is empty or would exceed the model's context.
    pub fn hidden(&self, ids: Tensor<2, Int>, mut cache: Option<&mut KvCache>) -> Result<Tensor<3>> {
        let [batch, new] = ids.dims();
        let past = cache.as_ref().map_or(0, |c| c.len());
        let limit = self.config.max_position_embeddings;
        if new == 0 || past + new > limit {
            let reason = format!("{past} cached and {new} new tokens; the context holds 1 to {limit}");
            return Err(Error::Request { reason });
        }
        let device = ids.device();
        let pass = Pass {
            config: &self.config,
            rotation: Rotation::new(&self.config, past, new, &device),
            mask: causal_mask(past, new, self.config.sliding_window, &device),
        };
        let width = self.config.hidden_size;
        let mut x =
            self.embed_tokens.clone().select(0, ids.reshape([batch * new])).reshape([batch, new, width]);
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, index, &pass, cache.as_deref_mut());
        }
        if let Some(cache) = cache {
            cache.advance(new);
        }
        Ok(self.norm.forward(x))
    }

    /// Applies the head.
    ///
    /// # Shapes
    /// `[.., hidden]` to `[.., vocab]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => Linear::dense(self.embed_tokens.clone()).forward(hidden),
        }
    }

    /// Calls `f` with each full-precision weight and its Hugging Face name (projections of a fused
    /// checkpoint by their separate names). Packed weights and adapters are not visited.
    pub fn for_each_parameter(&mut self, f: &mut dyn FnMut(&str, Parameter<'_>)) {
        f("model.embed_tokens.weight", Parameter::Matrix(&mut self.embed_tokens));
        for (index, block) in self.layers.iter_mut().enumerate() {
            let prefix = format!("model.layers.{index}");
            for (name, linear) in block.linears_mut() {
                visit_linear(&format!("{prefix}.{name}"), linear, f);
            }
            let attention = &mut block.self_attn;
            for (name, norm) in [("q_norm", &mut attention.q_norm), ("k_norm", &mut attention.k_norm)] {
                if let Some(norm) = norm {
                    f(&format!("{prefix}.self_attn.{name}.weight"), Parameter::Vector(&mut norm.weight));
                }
            }
            f(
                &format!("{prefix}.input_layernorm.weight"),
                Parameter::Vector(&mut block.input_layernorm.weight),
            );
            let name = format!("{prefix}.post_attention_layernorm.weight");
            f(&name, Parameter::Vector(&mut block.post_attention_layernorm.weight));
        }
        f("model.norm.weight", Parameter::Vector(&mut self.norm.weight));
        if let Some(head) = &mut self.lm_head {
            visit_linear("lm_head", head, f);
        }
    }

    /// The linear layers of the blocks and the head, by path, for reading.
    pub fn linears(&self) -> impl Iterator<Item = (String, &Linear)> {
        let blocks = self.layers.iter().enumerate().flat_map(|(index, block)| {
            block.linears().map(|(name, linear)| (format!("model.layers.{index}.{name}"), linear))
        });
        blocks.chain(self.lm_head.iter().map(|head| ("lm_head".to_owned(), head)))
    }

    /// Calls `f` with each linear layer of the blocks and its Hugging Face path, such as
    /// `model.layers.0.self_attn.q_proj`.
    pub fn for_each_linear(&mut self, f: &mut dyn FnMut(&str, &mut Linear)) {
        for (index, block) in self.layers.iter_mut().enumerate() {
            for (name, linear) in block.linears_mut() {
                f(&format!("model.layers.{index}.{name}"), linear);
            }
        }
    }

    /// The same model with every tensor mapped, for example onto or off an autodiff device.
    #[must_use]
    pub fn map_tensors(mut self, map: &dyn TensorMap) -> Self {
        self.for_each_parameter(&mut |_, p| match p {
            Parameter::Vector(t) => *t = map.vector(t.clone()),
            Parameter::Matrix(t) => *t = map.matrix(t.clone()),
        });
        self.for_each_linear(&mut |_, linear| {
            if let Some(adapter) = &mut linear.adapter {
                adapter.a = map.matrix(adapter.a.clone());
                adapter.b = map.matrix(adapter.b.clone());
            }
        });
        self
    }

    /// The same model with its weights on the autodiff version of its device, none of them trainable yet.
    #[must_use]
    pub fn autodiff(self) -> Self {
        self.map_tensors(&ToAutodiff)
    }

    /// The same model off the autodiff device: for inference after training.
    #[must_use]
    pub fn inner(self) -> Self {
        self.map_tensors(&ToInner)
    }
}

/// A map over tensors of both ranks that a model holds.
pub trait TensorMap {
    /// Maps a vector.
    fn vector(&self, t: Tensor<1>) -> Tensor<1>;
    /// Maps a matrix.
    fn matrix(&self, t: Tensor<2>) -> Tensor<2>;
}

struct ToAutodiff;

impl TensorMap for ToAutodiff {
    fn vector(&self, t: Tensor<1>) -> Tensor<1> {
        t.autodiff()
    }

    fn matrix(&self, t: Tensor<2>) -> Tensor<2> {
        t.autodiff()
    }
}

struct ToInner;

impl TensorMap for ToInner {
    fn vector(&self, t: Tensor<1>) -> Tensor<1> {
        t.inner()
    }

    fn matrix(&self, t: Tensor<2>) -> Tensor<2> {
        t.inner()
    }
}

fn visit_linear(path: &str, linear: &mut Linear, f: &mut dyn FnMut(&str, Parameter<'_>)) {
    if let Weight::Dense(w) = &mut linear.weight {
        f(&format!("{path}.weight"), Parameter::Matrix(w));
    }
    if let Some(bias) = &mut linear.bias {
        f(&format!("{path}.bias"), Parameter::Vector(bias));
    }
}
