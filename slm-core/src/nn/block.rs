//! A transformer block: attention and gated MLP, each added to the residual stream.

use burn::tensor::Tensor;
use slm_kernels::ops::{self, Gate};

use super::attention::Pass;
use super::{Attention, KvCache, Linear, RmsNorm};
use crate::config::{Activation, NormPlacement};

/// The gated MLP `down(activation(gate(x)) · up(x))` (SwiGLU and its kin, Shazeer 2020).
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `[intermediate, hidden]`.
    pub gate_proj: Linear,
    /// `[intermediate, hidden]`.
    pub up_proj: Linear,
    /// `[hidden, intermediate]`.
    pub down_proj: Linear,
    /// Of the gate.
    pub activation: Activation,
}

impl Mlp {
    /// # Shapes
    /// `[batch, new, hidden]` to the same.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = match self.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
        };
        let hidden = ops::gated(self.gate_proj.forward(x.clone()), self.up_proj.forward(x), gate);
        self.down_proj.forward(hidden)
    }
}

/// One layer of the transformer. Which norms it has is [`NormPlacement`]'s.
#[derive(Debug, Clone)]
pub struct Block {
    /// Before attention, but for [`NormPlacement::Post`].
    pub input_layernorm: Option<RmsNorm>,
    /// Attention.
    pub self_attn: Attention,
    /// Before the MLP with [`NormPlacement::Pre`], else after attention.
    pub post_attention_layernorm: RmsNorm,
    /// Before the MLP with [`NormPlacement::Both`].
    pub pre_feedforward_layernorm: Option<RmsNorm>,
    /// Gated MLP.
    pub mlp: Mlp,
    /// After the MLP, but for [`NormPlacement::Pre`].
    pub post_feedforward_layernorm: Option<RmsNorm>,
}

impl Block {
    /// # Shapes
    /// `[batch, new, hidden]` to the same.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        pass: &Pass<'_>,
        caches: &mut [&mut KvCache],
    ) -> Tensor<3> {
        let config = pass.config;
        let maybe = |norm: &Option<RmsNorm>, y: Tensor<3>| match norm {
            Some(norm) => norm.forward(y),
            None => y,
        };
        let add = |x: Tensor<3>, y: Tensor<3>| match config.multipliers.residual {
            1.0 => x + y,
            factor => x + y.mul_scalar(factor),
        };
        let attended = self.self_attn.forward(maybe(&self.input_layernorm, x.clone()), layer, pass, caches);
        let (h, y) = match config.norms {
            NormPlacement::Pre => {
                let h = add(x, attended);
                (h.clone(), self.post_attention_layernorm.forward(h))
            }
            NormPlacement::Post | NormPlacement::Both => {
                let h = add(x, self.post_attention_layernorm.forward(attended));
                (h.clone(), maybe(&self.pre_feedforward_layernorm, h))
            }
        };
        add(h, maybe(&self.post_feedforward_layernorm, self.mlp.forward(y)))
    }

    /// The norms of the block, those of queries and keys included, and their names within it.
    pub fn norms_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut RmsNorm)> {
        let attention = &mut self.self_attn;
        [
            ("self_attn.q_norm", attention.q_norm.as_mut()),
            ("self_attn.k_norm", attention.k_norm.as_mut()),
            ("input_layernorm", self.input_layernorm.as_mut()),
            ("post_attention_layernorm", Some(&mut self.post_attention_layernorm)),
            ("pre_feedforward_layernorm", self.pre_feedforward_layernorm.as_mut()),
            ("post_feedforward_layernorm", self.post_feedforward_layernorm.as_mut()),
        ]
        .into_iter()
        .filter_map(|(name, norm)| Some((name, norm?)))
    }

    /// The linear layers and their names within the block.
    pub fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 7] {
        [
            ("self_attn.q_proj", &mut self.self_attn.q_proj),
            ("self_attn.k_proj", &mut self.self_attn.k_proj),
            ("self_attn.v_proj", &mut self.self_attn.v_proj),
            ("self_attn.o_proj", &mut self.self_attn.o_proj),
            ("mlp.gate_proj", &mut self.mlp.gate_proj),
            ("mlp.up_proj", &mut self.mlp.up_proj),
            ("mlp.down_proj", &mut self.mlp.down_proj),
        ]
    }

    /// The linear layers and their names within the block.
    pub fn linears(&self) -> [(&'static str, &Linear); 7] {
        [
            ("self_attn.q_proj", &self.self_attn.q_proj),
            ("self_attn.k_proj", &self.self_attn.k_proj),
            ("self_attn.v_proj", &self.self_attn.v_proj),
            ("self_attn.o_proj", &self.self_attn.o_proj),
            ("mlp.gate_proj", &self.mlp.gate_proj),
            ("mlp.up_proj", &self.mlp.up_proj),
            ("mlp.down_proj", &self.mlp.down_proj),
        ]
    }
}
