//! The transformer: [`CausalLm`], how it is loaded and how it is saved.

mod files;
mod float;
mod held;
mod init;
mod layout;
mod load;
mod packed;
mod quantized;
mod reading;
mod save;
mod writer;

use std::ops::Range;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
pub(crate) use files::widen;
pub use files::{TensorFile, write_atomically, write_atomically_with};
pub use float::FloatType;
pub(crate) use held::Held;
pub(crate) use layout::{Stored, layout};
use load::repeats_head;
pub use load::{LoadOptions, Value};
pub use reading::Reading;
pub(crate) use writer::TensorWriter;

use crate::config::ModelConfig;
use crate::nn::{Adapter, Block, KvCache, Linear, Pass, RmsNorm, Weight};
use crate::{Error, Result};

/// A causal language model of any [`Family`](crate::config::Family).
///
/// Weights are plain tensors and the cache is an argument, so that a model is data: cloning it shares its
/// weights.
#[derive(Debug, Clone)]
pub struct CausalLm {
    /// What it is.
    pub config: ModelConfig,
    /// `[vocab, hidden]`; where it is packed, the rows of a text's tokens are expanded.
    pub embed_tokens: Weight,
    /// Update of the embedding `E`: `A` is `[rank, vocab]` and `B` `[hidden, rank]`, of the transposed matrix. Where the
    /// embedding serves as the head too, that use of it is not updated.
    pub embed_adapter: Option<Adapter>,
    /// The blocks, first to last.
    pub layers: Vec<Block>,
    /// After the last block.
    pub norm: RmsNorm,
    /// `[vocab, hidden]`; `None` where the embedding serves as the head.
    pub lm_head: Option<Linear>,
}

/// New tokens of one sequence, and the cache of those before them.
#[derive(Debug)]
pub struct Continuation<'a> {
    /// The new tokens.
    pub ids: &'a [u32],
    /// Holds them too, after the pass.
    pub cache: &'a mut KvCache,
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
        self.norm.weight.device()
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
    pub fn hidden(&self, ids: Tensor<2, Int>, cache: Option<&mut KvCache>) -> Result<Tensor<3>> {
        let new = ids.dims()[1];
        match cache {
            Some(cache) => self.pass(ids, &[new], &mut [cache]),
            None => self.pass(ids, &[new], &mut []),
        }
    }

    /// Logits of the last `wanted` positions of several sequences of any lengths, read in one pass. Each sequence
    /// sees its own tokens and its own cache alone.
    ///
    /// # Shapes
    /// To `[sum of wanted, vocab]`; `None` where no position is wanted, as while a prompt is read in parts.
    ///
    /// # Errors
    /// When there is no sequence, one is empty, more positions are wanted than read, or a sequence would exceed the
    /// model's context.
    pub fn last_logits_of(
        &self,
        sequences: &mut [Continuation<'_>],
        wanted: &[usize],
    ) -> Result<Option<Tensor<2>>> {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.ids.len()).collect();
        if wanted.len() != lengths.len() || wanted.iter().zip(&lengths).any(|(w, l)| w > l) {
            let reason = format!("logits of {wanted:?} positions of sequences of {lengths:?} tokens");
            return Err(Error::Request { reason });
        }
        let ids: Vec<i32> = sequences.iter().flat_map(|s| s.ids.iter().map(|id| *id as i32)).collect();
        let count = ids.len();
        let ids = Tensor::from_data(TensorData::new(ids, [1, count]), &self.device());
        let mut caches: Vec<&mut KvCache> = sequences.iter_mut().map(|s| &mut *s.cache).collect();
        let hidden = self.pass(ids, &lengths, &mut caches)?;
        let mut end = 0;
        let last = lengths.iter().zip(wanted).filter_map(|(length, wanted)| {
            end += length;
            (*wanted > 0).then(|| hidden.clone().narrow(1, end - wanted, *wanted))
        });
        let last: Vec<Tensor<3>> = last.collect();
        if last.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.logits(Tensor::cat(last, 1)).squeeze_dim(0))) // of [1, sum of wanted, vocab]
    }

    /// One pass over sequences of `lengths` new tokens. `ids` holds them behind one another in one row, or is a
    /// batch of sequences of the same length, which then share one cache.
    fn pass(&self, ids: Tensor<2, Int>, lengths: &[usize], caches: &mut [&mut KvCache]) -> Result<Tensor<3>> {
        let [batch, new] = ids.dims();
        let past = |index: usize| caches.get(index).map_or(0, |c| c.len());
        let runs: Vec<_> = lengths.iter().enumerate().map(|(i, n)| past(i)..past(i) + n).collect();
        let pass = self.begin(&runs, &ids.device())?;
        let mut x = self.embed(ids.reshape([batch * new]))?.reshape([batch, new, self.config.hidden_size]);
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, index, &pass, caches);
        }
        for (cache, added) in caches.iter_mut().zip(lengths) {
            cache.advance(*added);
        }
        Ok(self.norm.forward(x))
    }

    /// Checks the positions of a pass, and computes what its layers share.
    fn begin(&self, runs: &[Range<usize>], device: &Device) -> Result<Pass<'_>> {
        let limit = self.config.context_length();
        if let Some(run) = runs.iter().find(|run| run.is_empty() || run.end > limit) {
            let (old, added) = (run.start, run.len());
            let reason = format!("{old} cached and {added} new tokens; the context holds 1 to {limit}");
            return Err(Error::Request { reason });
        }
        if runs.is_empty() {
            return Err(Error::Request { reason: "there is no sequence to read".into() });
        }
        Ok(Pass::new(&self.config, runs, device))
    }

    /// # Shapes
    /// `[tokens]` to `[tokens, hidden]`.
    fn embed(&self, ids: Tensor<1, Int>) -> Result<Tensor<2>> {
        let x = match &self.embed_adapter {
            Some(adapter) => adapter.embed(&ids, self.embed_tokens.rows(ids.clone())?),
            None => self.embed_tokens.rows(ids)?,
        };
        Ok(match self.config.multipliers.embedding {
            1.0 => x,
            factor => x.mul_scalar(factor as f32),
        })
    }

    /// Applies the head.
    ///
    /// # Shapes
    /// `[.., hidden]` to `[.., vocab]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        let logits = match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => self.embed_tokens.forward(hidden),
        };
        let logits = match self.config.multipliers.logits_divisor {
            1.0 => logits,
            divisor => logits.div_scalar(divisor as f32),
        };
        match self.config.multipliers.logits_softcap {
            None => logits,
            Some(cap) => logits.div_scalar(cap as f32).tanh().mul_scalar(cap as f32),
        }
    }

    /// Calls `f` with each full-precision weight and its Hugging Face name (projections of a fused
    /// checkpoint by their separate names). Packed weights and adapters are not visited.
    pub fn for_each_parameter(&mut self, f: &mut dyn FnMut(&str, Parameter<'_>)) {
        if let Weight::Dense(embedding) = &mut self.embed_tokens {
            f("model.embed_tokens.weight", Parameter::Matrix(embedding));
        }
        for (index, block) in self.layers.iter_mut().enumerate() {
            let prefix = format!("model.layers.{index}");
            for (name, linear) in block.linears_mut() {
                visit_linear(&format!("{prefix}.{name}"), linear, f);
            }
            for (name, norm) in block.norms_mut() {
                f(&format!("{prefix}.{name}.weight"), Parameter::Vector(&mut norm.weight));
            }
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

    /// Calls `f` with each adapter and the path of its layer, those of the embedding and the head included.
    pub fn for_each_adapter(&mut self, f: &mut dyn FnMut(&str, &mut Adapter)) {
        if let Some(adapter) = &mut self.embed_adapter {
            f("model.embed_tokens", adapter);
        }
        self.for_each_linear(&mut |path, linear| {
            if let Some(adapter) = &mut linear.adapter {
                f(path, adapter);
            }
        });
        if let Some(adapter) = self.lm_head.as_mut().and_then(|head| head.adapter.as_mut()) {
            f("lm_head", adapter);
        }
    }

    /// The same model with every tensor mapped, for example onto or off an autodiff device.
    #[must_use]
    pub fn map_tensors(mut self, map: &dyn TensorMap) -> Self {
        self.for_each_parameter(&mut |_, p| match p {
            Parameter::Vector(t) => *t = map.vector(t.clone()),
            Parameter::Matrix(t) => *t = map.matrix(t.clone()),
        });
        let one = |adapter: &mut Adapter| {
            let factors = [&mut adapter.a, &mut adapter.b];
            for t in factors.into_iter().chain(adapter.start.iter_mut().flatten()) {
                *t = map.matrix(t.clone());
            }
            if let Some(magnitude) = &mut adapter.magnitude {
                magnitude.weight = map.vector(magnitude.weight.clone());
                magnitude.norm = map.vector(magnitude.norm.clone());
            }
        };
        self.for_each_adapter(&mut |_, adapter| one(adapter));
        self
    }

    /// The same model with its matrices in another type; norms and biases stay in f32.
    #[must_use]
    pub fn cast(self, float: FloatType) -> Self {
        self.map_tensors(&Cast(float))
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

pub(crate) struct ToAutodiff;

impl TensorMap for ToAutodiff {
    fn vector(&self, t: Tensor<1>) -> Tensor<1> {
        t.autodiff()
    }

    fn matrix(&self, t: Tensor<2>) -> Tensor<2> {
        t.autodiff()
    }
}

pub(crate) struct Cast(pub(crate) FloatType);

impl TensorMap for Cast {
    fn vector(&self, t: Tensor<1>) -> Tensor<1> {
        t
    }

    fn matrix(&self, t: Tensor<2>) -> Tensor<2> {
        t.cast(FloatDType::from(self.0))
    }
}

pub(crate) struct ToInner;

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
