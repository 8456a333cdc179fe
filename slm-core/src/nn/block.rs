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
        self.down_proj.forward(self.gated(x))
    }

    /// What `down_proj` reads.
    ///
    /// # Shapes
    /// `[batch, new, hidden]` to `[batch, new, intermediate]`.
    pub fn gated(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = match self.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
        };
        ops::gated(self.gate_proj.forward(x.clone()), self.up_proj.forward(x), gate)
    }
}

fn maybe(norm: Option<&RmsNorm>, x: Tensor<3>) -> Tensor<3> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// The residual stream.
fn add(x: Tensor<3>, y: Tensor<3>, pass: &Pass<'_>) -> Tensor<3> {
    match pass.config.multipliers.residual {
        1.0 => x + y,
        factor => x + y.mul_scalar(factor),
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
        let attended = self.self_attn.forward(self.attention_input(x.clone()), layer, pass, caches);
        let (x, y) = self.mlp_input(x, attended, pass);
        self.output(x, self.mlp.forward(y), pass)
    }

    /// What attention reads of the block's input.
    ///
    /// # Shapes
    /// `[batch, new, hidden]` to the same.
    pub fn attention_input(&self, x: Tensor<3>) -> Tensor<3> {
        maybe(self.input_layernorm.as_ref(), x)
    }

    /// The sum of the block's input and attention's output, and what the MLP reads of it.
    ///
    /// # Shapes
    /// All `[batch, new, hidden]`.
    pub fn mlp_input(&self, x: Tensor<3>, attended: Tensor<3>, pass: &Pass<'_>) -> (Tensor<3>, Tensor<3>) {
        match pass.config.norms {
            NormPlacement::Pre => {
                let x = add(x, attended, pass);
                (x.clone(), self.post_attention_layernorm.forward(x))
            }
            NormPlacement::Post | NormPlacement::Both => {
                let x = add(x, self.post_attention_layernorm.forward(attended), pass);
                (x.clone(), maybe(self.pre_feedforward_layernorm.as_ref(), x))
            }
        }
    }

    /// The block's output, of the sum that [`Block::mlp_input`] returned and the output of the MLP.
    ///
    /// # Shapes
    /// All `[batch, new, hidden]`.
    pub fn output(&self, x: Tensor<3>, y: Tensor<3>, pass: &Pass<'_>) -> Tensor<3> {
        add(x, maybe(self.post_feedforward_layernorm.as_ref(), y), pass)
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
