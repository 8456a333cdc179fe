//! The one linear layer: a weight slot and an optional adapter slot.

use std::ops::Range;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use slm_kernels::{PackedTensor, ops};

use super::Adapter;
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
    /// When the ids cannot be read from their device, or one of them is not a row of a packed matrix; a GPU does not check that.
    pub(crate) fn rows(&self, ids: Tensor<1, Int>) -> Result<Tensor<2>> {
        let packed = match self {
            Self::Dense(w) => return Ok(w.clone().select(0, ids).cast(FloatDType::F32)),
            Self::Packed(packed) => packed,
        };
        if let Some(rows) = ops::select(&ids, packed) {
            return Ok(rows);
        }
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

    /// Some rows of the matrix in f32; packed ones are expanded onto `device`.
    ///
    /// # Shapes
    /// To `[rows.len(), in]`.
    ///
    /// # Errors
    /// When a packed matrix does not have these rows.
    pub fn range(&self, rows: Range<usize>, device: &Device) -> Result<Tensor<2>> {
        match self {
            Self::Dense(w) => Ok(w.clone().narrow(0, rows.start, rows.len()).cast(FloatDType::F32)),
            Self::Packed(w) => {
                let shape = [rows.len(), w.cols()];
                let mut values = vec![0.0; shape[0] * shape[1]];
                w.dequantize_rows(rows, &mut values).map_err(|e| Error::Device { reason: e.to_string() })?;
                Ok(Tensor::from_data(TensorData::new(values, shape), device))
            }
        }
    }

    /// A weight with the numbers of `values`, `[out, in]`, held as this one is: packed ones are rounded to the same format.
    ///
    /// # Errors
    /// When the numbers cannot be read back, are not finite, or the format is one that is read but not written.
    pub fn with_values(&self, values: Tensor<2>) -> Result<Self> {
        let Self::Packed(packed) = self else { return Ok(Self::Dense(values)) };
        let failed = |e: slm_kernels::Error| Error::Device { reason: format!("packing again: {e}") };
        let [rows, cols] = values.dims();
        let mut numbers: Vec<f32> =
            values.try_into_vec_as().map_err(|e| Error::Device { reason: format!("{e:?}") })?;
        if let Some(order) = packed.input_order() {
            for row in numbers.chunks_exact_mut(cols) {
                let ordered: Vec<f32> = order.iter().map(|at| row[*at as usize]).collect();
                row.copy_from_slice(&ordered);
            }
        }
        let new = PackedTensor::quantize(&numbers, rows, cols, packed.format()).map_err(failed)?;
        Ok(Self::Packed(match packed.input_order() {
            Some(order) => new.with_input_order(order.clone()).map_err(failed)?,
            None => new,
        }))
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

impl Weight {
    /// With the update of an [`Adapter`] that is nothing but its factors.
    ///
    /// # Shapes
    /// `[.., in]` to `[.., out]`.
    fn adapted<const D: usize>(&self, x: Tensor<D>, adapter: &Adapter) -> Tensor<D> {
        let base = match self {
            Self::Dense(w) => ops::Base::Dense(w),
            Self::Packed(w) => ops::Base::Packed(w),
        };
        match ops::lora_linear(x, base, [&adapter.a, &adapter.b], adapter.scale) {
            Ok(y) => y,
            // As in `forward`.
            Err(e) => panic!("{e}"),
        }
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
        let biased = |y| match &self.bias {
            Some(bias) => ops::add_bias(y, bias),
            None => y,
        };
        let Some(adapter) = &self.adapter else { return biased(self.weight.forward(x)) };
        if adapter.is_plain() {
            return biased(self.weight.adapted(x, adapter));
        }
        let base = |x: Tensor<D>| match adapter.start(x.clone()) {
            Some(start) => self.weight.forward(x) - start,
            None => self.weight.forward(x),
        };
        let dropped = adapter.drop_inputs(&x);
        let update = adapter.forward(dropped.clone().unwrap_or_else(|| x.clone()));
        let Some(magnitude) = &adapter.magnitude else { return biased(base(x)) + update };
        let factor = magnitude.factor().unsqueeze::<D>();
        match dropped {
            None => biased((base(x) + update) * factor),
            // As PEFT has it: what the magnitude adds sees the inputs that are left.
            Some(left) => biased(base(x)) + base(left) * factor.clone().sub_scalar(1.0) + update * factor,
        }
    }

    /// Measures anew the rows that a DoRA update divides by; to be called after a change of its factors or of the weight.
    ///
    /// # Errors
    /// When a packed weight cannot be expanded.
    pub fn measure(&mut self) -> Result<()> {
        let Some(adapter) = &mut self.adapter else { return Ok(()) };
        if adapter.magnitude.is_some() {
            let norm = adapter.measure(&self.weight)?;
            adapter.magnitude.iter_mut().for_each(|m| m.norm = norm.clone());
        }
        Ok(())
    }
}
