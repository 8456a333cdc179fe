//! Operations of a decoder on burn tensors.
//!
//! On a host device ([`is_host`]: `flex` without autodiff) the slice kernels of [`dense`](crate::dense),
//! [`rows`](crate::rows) and [`attention`](crate::attention) run. On `flex` under autodiff the operations of a
//! decoder in `f32` run them too, and have backward passes of their own: [`attention`], [`rms_norm`], [`rotate`]
//! (whose angles are constants), [`gated`], [`linear`], whose weight is packed, [`dense_linear`] where the weight
//! is constant, [`lora_linear`] and what a loss is made of, [`log_prob`] and [`kl_divergence`]. On a GPU without autodiff,
//! tensors in `f32` take kernels in CubeCL for what a token costs: norms, rotations, gates, products of a few rows with
//! dense or packed weights, attention over a growing cache. Elsewhere the same is composed of burn's own operations,
//! differentiable in everything.
//!
//! Functions here panic on shapes that do not fit, as burn's own operations do; [`linear`] returns an error.

mod attention;
mod dense;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod fused;
mod likelihood;
mod lora;
mod packed;
mod rows;

pub use attention::{KvTensors, attention, attention_cached, attention_varlen};
pub use dense::{affine, dense_linear};
pub use likelihood::{kl_divergence, log_prob};
pub use lora::{Base, lora_linear};
pub use packed::{linear, select};
pub use rows::{add_bias, add_layer_norm, gated, gelu, layer_norm, rms_norm, rotate};

pub use crate::attention::{AttentionOptions, KvBuffer, KvType};
pub use crate::dense::Activation;
pub use crate::rows::Gate;

use burn::tensor::Device;

/// Whether tensors of `device` take the slice kernels: `flex`, without autodiff.
pub fn is_host(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return flex::is_flex(device) && !device.is_autodiff();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}
