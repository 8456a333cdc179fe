//! The one linear layer: a weight slot and an optional adapter slot.

use burn::tensor::Tensor;

/// A linear layer `y = x·Wᵀ + b`, plus the low-rank path of an adapter where there is one.
///
/// Fine-tuning a packed base is [`Weight::Packed`] with an [`Adapter`]: composition, no third type.
#[derive(Debug, Clone)]
pub struct Linear {
    /// The base weight.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Low-rank update, computed in activation space.
    pub adapter: Option<Adapter>,
}

/// How a base weight is held; always `[out, in]`, as in Hugging Face checkpoints.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Weight {
    /// Full precision.
    Dense(Tensor<2>),
}

/// A low-rank update `ΔW = s·B·A` (LoRA, Hu et al. 2021) that is never materialised in training.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `[rank, in]`.
    pub a: Tensor<2>,
    /// `[out, rank]`.
    pub b: Tensor<2>,
    /// `alpha / rank`, or `alpha / √rank` for rsLoRA.
    pub scale: f32,
}

impl Adapter {
    /// The update as a matrix `[out, in]`.
    pub fn delta(&self) -> Tensor<2> {
        self.b.clone().matmul(self.a.clone()).mul_scalar(self.scale)
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        times_transposed(times_transposed(x, &self.a), &self.b).mul_scalar(self.scale)
    }
}

impl Linear {
    /// A dense layer without bias or adapter; `weight` is `[out, in]`.
    pub fn dense(weight: Tensor<2>) -> Self {
        Self { weight: Weight::Dense(weight), bias: None, adapter: None }
    }

    /// `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        match &self.weight {
            Weight::Dense(w) => w.dims(),
        }
    }

    /// The base weight as a dense matrix `[out, in]` on the device of `like`.
    pub fn dense_weight(&self) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(w) => w.clone(),
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let update = self.adapter.as_ref().map(|a| a.forward(x.clone()));
        let mut y = match &self.weight {
            Weight::Dense(w) => times_transposed(x, w),
        };
        if let Some(bias) = &self.bias {
            y = y + bias.clone().unsqueeze();
        }
        match update {
            Some(update) => y + update,
            None => y,
        }
    }
}

/// `x·Wᵀ` over the last dimension, as one matrix product whatever the rank of `x`.
fn times_transposed<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let mut dims = x.dims();
    let (rows, inputs) = (dims[..D - 1].iter().product::<usize>(), dims[D - 1]);
    dims[D - 1] = w.dims()[0];
    x.reshape([rows, inputs]).matmul(w.clone().transpose()).reshape(dims)
}
