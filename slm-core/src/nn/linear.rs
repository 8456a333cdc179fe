//! The one linear layer: a weight slot and an optional adapter slot.

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use slm_kernels::{PackedTensor, ops};

use crate::{Error, Result};

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
    /// 4 to 8 bits per weight; never expanded on the `flex` device, and without a gradient of its own.
    Packed(PackedTensor),
}

impl Weight {
    /// `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(w) => w.dims(),
            Self::Packed(w) => [w.rows(), w.cols()],
        }
    }

    /// The weight as a dense matrix `[out, in]`; a packed one is expanded onto `device`.
    pub fn to_dense(&self, device: &Device) -> Tensor<2> {
        match self {
            Self::Dense(w) => w.clone(),
            Self::Packed(w) => {
                Tensor::from_data(TensorData::new(w.dequantize(), [w.rows(), w.cols()]), device)
            }
        }
    }

    /// Rows of the matrix, in f32, on the device of `ids`.
    ///
    /// # Shapes
    /// `[n]` to `[n, in]`.
    ///
    /// # Errors
    /// When the ids cannot be read from their device, or one of them is not a row of a packed matrix.
    pub(crate) fn rows(&self, ids: Tensor<1, Int>) -> Result<Tensor<2>> {
        let packed = match self {
            Self::Dense(w) => return Ok(w.clone().select(0, ids).cast(FloatDType::F32)),
            Self::Packed(packed) => packed,
        };
        let device = ids.device();
        let ids = ids.try_into_vec_as::<i64>().map_err(|e| Error::Device { reason: format!("{e:?}") })?;
        let (rows, cols) = (packed.rows(), packed.cols());
        let mut values = vec![0.0; ids.len() * cols];
        for (id, out) in ids.iter().zip(values.chunks_exact_mut(cols)) {
            let row = usize::try_from(*id).ok().filter(|row| *row < rows).ok_or_else(|| Error::Request {
                reason: format!("token {id} is not one of the {rows} that the model knows"),
            })?;
            let device = |e| Error::Device { reason: format!("row {row} of a packed matrix: {e}") };
            packed.dequantize_rows(row..row + 1, out).map_err(device)?;
        }
        Ok(Tensor::from_data(TensorData::new(values, [ids.len(), cols]), &device))
    }

    /// # Shapes
    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Dense(w) => ops::dense_linear(x, w),
            Self::Packed(w) => match ops::linear(x, w) {
                Ok(y) => y,
                // As burn's own product does on a misshapen operand; loading has checked every shape.
                Err(e) => panic!("{e}"),
            },
        }
    }
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
        // The scale goes where the numbers are few.
        ops::dense_linear(ops::dense_linear(x, &self.a).mul_scalar(self.scale), &self.b)
    }
}

impl Linear {
    /// A packed layer without bias or adapter.
    pub fn packed(weight: PackedTensor) -> Self {
        Self { weight: Weight::Packed(weight), bias: None, adapter: None }
    }

    /// A dense layer without bias or adapter; `weight` is `[out, in]`.
    pub fn dense(weight: Tensor<2>) -> Self {
        Self { weight: Weight::Dense(weight), bias: None, adapter: None }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let update = self.adapter.as_ref().map(|a| a.forward(x.clone()));
        let mut y = self.weight.forward(x);
        if let Some(bias) = &self.bias {
            y = ops::add_bias(y, bias);
        }
        match update {
            Some(update) => y + update,
            None => y,
        }
    }
}
