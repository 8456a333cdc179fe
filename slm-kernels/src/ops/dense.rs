//! [`dense_linear`].

#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex::{self, Constant};
use crate::dense::check_features;

/// `x · Wᵀ`.
///
/// On a host device ([`is_host`](super::is_host)) sums are `f32`, the weight is read as it is, and a row of the result has the
/// same bits whatever the other rows of `x` are. Under autodiff a weight in `f16` or `bf16`, or one without
/// autodiff, is a constant: the result is differentiable in `x`, on `flex` with `dx = dy · W` read from the
/// weight as it is. An `f32` weight with autodiff goes through burn's product, so that it gets a gradient where
/// it is tracked. On other devices a weight of another type than `x` is converted for each call.
///
/// # Shapes
///
/// `x`: `[.., in]`, `w`: `[out, in]` in `f32`, `f16` or `bf16`, result: `[.., out]`, of the float type of `x`.
///
/// # Panics
///
/// If the last dimension of `x` is not `in`.
pub fn dense_linear<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let features = check_features(w.dims()[1], x.dims().last().copied().unwrap_or(0));
    assert_eq!(features, Ok(()), "dense linear layer");
    #[cfg(feature = "flex")]
    if flex::is_flex(&x.device()) && matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16) {
        let constant = w.dtype() != DType::F32 || !w.is_autodiff();
        if let (true, Some(w)) = (constant, flex::host(&w.clone().inner())) {
            return flex::linear(x, Constant::Dense(flex::contiguous(w)));
        }
    }
    composed(x, w)
}

/// By burn's product.
fn composed<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let m = shape.iter().rev().skip(1).product::<usize>();
    let [rows, cols] = w.dims();
    let dtype = x.dtype();
    let w = if w.dtype() == dtype { w.clone() } else { w.clone().cast(dtype) };
    let y = x.reshape([m, cols]).matmul(w.transpose());
    if let Some(last) = shape.last_mut() {
        *last = rows;
    }
    y.reshape(shape)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    #[test]
    fn kernel_and_composition_agree() {
        let device = Device::flex();
        let x = Tensor::<3>::random([2, 5, 40], Distribution::Default, &device);
        let w = Tensor::<2>::random([7, 40], Distribution::Default, &device);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let w = w.clone().cast(dtype);
            let got = dense_linear(x.clone(), &w).into_data();
            got.assert_approx_eq(&composed(x.clone(), &w).into_data(), Tolerance::<f32>::absolute(1e-4));
        }
    }
}
