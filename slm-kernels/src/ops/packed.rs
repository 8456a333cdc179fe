//! [`linear`]: a packed linear layer, differentiable in its input.
//!
//! On the `flex` device the slice kernels of [`linear`](mod@crate::linear) run through a burn backend extension. Without
//! autodiff `x` is rounded to 8 bits; under autodiff products are in `f32`, and the backward pass is one of the kernels too.
//! No dense weight is ever made. On a GPU without autodiff the packed weight is sent there once; a kernel reads it for a few
//! rows, and for more it is expanded there. Elsewhere the weight is expanded to `f32` for each call and multiplied by burn,
//! which also differentiates it.

#[cfg(feature = "flex")]
use super::flex::{self, Constant};
#[cfg(feature = "cube")]
use crate::cube;
use burn::tensor::{Int, Tensor, TensorData};

use crate::{Error, PackedTensor, Result};

/// `x · Wᵀ`; the weight is constant.
///
/// # Shapes
///
/// `x`: `[.., cols]`, result: `[.., rows]`, of the float type of `x`.
///
/// # Errors
///
/// [`Error::Features`] if the last dimension of `x` is not `w.cols()`.
pub fn linear<const D: usize>(x: Tensor<D>, w: &PackedTensor) -> Result<Tensor<D>> {
    let features = x.dims().last().copied().unwrap_or(0);
    if features != w.cols() {
        return Err(Error::Features { expected: w.cols(), got: features });
    }
    #[cfg(feature = "flex")]
    if flex::is_flex(&x.device()) {
        return Ok(flex::linear(x, Constant::Packed(w.clone())));
    }
    #[cfg(feature = "cube")]
    if cube::runs(&x) {
        return Ok(on_device(x, w));
    }
    Ok(dense(x, w))
}

/// Rows of `w` in `f32`, one for each of `ids`; `None` where the device has no kernel for it and
/// [`PackedTensor::dequantize_rows`] serves.
///
/// # Shapes
///
/// `[n]` to `[n, cols]`. What an id outside of the weight gives is not said.
pub fn select(ids: &Tensor<1, Int>, w: &PackedTensor) -> Option<Tensor<2>> {
    #[cfg(feature = "cube")]
    if cube::is_cube(&ids.device()) {
        return match w.on(&ids.device()) {
            cube::OnDevice::Packed(codes) => Some(cube::selected(ids.clone(), &codes)),
            cube::OnDevice::Dense(w) => Some(w.select(0, ids.clone())),
        };
    }
    let _ = (ids, w);
    None
}

/// On a GPU: few rows by the kernel that reads the packed weight, more by a matrix product with the weight expanded there.
#[cfg(feature = "cube")]
fn on_device<const D: usize>(x: Tensor<D>, w: &PackedTensor) -> Tensor<D> {
    let mut shape = x.dims();
    let m = shape.iter().rev().skip(1).product::<usize>();
    if let Some(last) = shape.last_mut() {
        *last = w.rows();
    }
    let device = x.device();
    let x = x.reshape([m, w.cols()]);
    let y = match w.on(&device) {
        cube::OnDevice::Packed(codes) if m <= cube::FEW => cube::packed_rows(x, &codes),
        cube::OnDevice::Packed(codes) => {
            super::dense_linear(x, &cube::expanded(&codes, cube::product_type(&device)))
        }
        cube::OnDevice::Dense(w) => super::dense_linear(x, &w),
    };
    y.reshape(shape)
}

/// `x · Wᵀ` by expanding `w` on the device of `x` first: what [`linear`] does without a kernel for it.
///
/// # Shapes
///
/// `x`: `[.., cols]`, result: `[.., rows]`, of the float type of `x`.
pub(crate) fn dense<const D: usize>(x: Tensor<D>, w: &PackedTensor) -> Tensor<D> {
    let mut shape = x.dims();
    let m = shape.iter().rev().skip(1).product::<usize>();
    let data = TensorData::new(w.dequantize(), [w.rows(), w.cols()]);
    let weight = Tensor::<2>::from_data(data, (&x.device(), x.dtype()));
    let y = x.reshape([m, w.cols()]).matmul(weight.transpose());
    if let Some(last) = shape.last_mut() {
        *last = w.rows();
    }
    y.reshape(shape)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::Format;

    /// The path of the devices without a kernel, run where a kernel exists to compare it with.
    #[test]
    fn expanding_the_weight_gives_the_same_output_and_gradient() -> Result<()> {
        let weights: Vec<f32> = (0..5 * 64).map(|i| (i as f32 * 0.731).sin()).collect();
        let w = PackedTensor::quantize(&weights, 5, 64, Format::Int4 { group_size: 64 })?;
        let input = TensorData::new(weights[..3 * 2 * 32].to_vec(), [1, 3, 64]);
        let x = Tensor::<3>::from_data(input, &Device::flex().autodiff()).require_grad();
        let gradient = |y: Tensor<3>| x.grad(&(y.clone() * y).sum().backward()).map(Tensor::into_data);

        let (expanded, kernel) = (dense(x.clone(), &w), linear(x.clone(), &w)?);
        assert_eq!(expanded.dims(), [1, 3, 5]);
        let tolerance = Tolerance::<f32>::absolute(1e-4);
        expanded.clone().into_data().assert_approx_eq(&kernel.clone().into_data(), tolerance);
        let (expanded, kernel) = (gradient(expanded), gradient(kernel));
        assert!(expanded.is_some() && kernel.is_some());
        for (expanded, kernel) in expanded.iter().zip(&kernel) {
            expanded.assert_approx_eq(kernel, tolerance);
        }
        Ok(())
    }
}
