//! [`dense_linear`] and [`affine`].

#[cfg(any(feature = "flex", feature = "cube"))]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::{
    flex::{self, Constant},
    fused,
};
#[cfg(feature = "cube")]
use crate::cube;
use crate::dense::{Activation, check_features};
#[cfg(feature = "flex")]
use crate::{dense::affine_into, simd::Level};

/// `x · Wᵀ`.
///
/// On a host device ([`is_host`](super::is_host)) sums are `f32`, the weight is read as it is, and a row of the result has the
/// same bits whatever the other rows of `x` are; with a weight in `bf16`, `x` is rounded to `bf16`. Under autodiff it is
/// not, and a weight in `f16` or `bf16`, or one without autodiff, is a constant: the result is differentiable in `x`, on
/// `flex` with `dx = dy · W` read from the weight as it is. An `f32` weight with autodiff gets a gradient where it is
/// tracked. On a GPU without autodiff, products of many rows are in the type of the weight, into whose range rows of
/// `x` are scaled. On other devices a weight of
/// another type than `x` is converted for each call.
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
        if x.dtype() == DType::F32 && w.dtype() == DType::F32 && flex::is_flex(&w.device()) {
            return fused::linear(x, w);
        }
    }
    #[cfg(feature = "cube")]
    if cube::runs(&x) && matches!(w.dtype(), DType::F32 | DType::F16 | DType::BF16) && !w.is_autodiff() {
        return on_device(x, w);
    }
    composed(x, w)
}

/// `act(x · Wᵀ + b)`, in one pass on a host device ([`is_host`](super::is_host)).
///
/// # Shapes
///
/// `x`: `[.., in]`, `w`: `[out, in]`, `bias`: `[out]`, result: `[.., out]`, of the float type of `x`.
///
/// # Panics
///
/// If the last dimension of `x` is not `in`, or the bias is not of `out` numbers.
#[cfg_attr(feature = "flex", expect(unsafe_code, reason = "kernels fill fresh memory"))]
pub fn affine<const D: usize>(
    x: Tensor<D>,
    w: &Tensor<2>,
    bias: &Tensor<1>,
    activation: Activation,
) -> Tensor<D> {
    let features = check_features(w.dims()[1], x.dims().last().copied().unwrap_or(0));
    assert_eq!(features, Ok(()), "affine layer");
    assert_eq!(w.dims()[0], bias.dims()[0], "affine layer: a bias for each output");
    #[cfg(feature = "flex")]
    if let (true, Some(w), Some(bias)) = (flex::runs(&x), flex::host(w), flex::host(bias)) {
        let (w, bias) = (flex::contiguous(w), flex::floats(bias));
        let matrix = flex::matrix(&w);
        let how = (&matrix, flex::slice(&bias), activation);
        // SAFETY: the kernel writes all of its output.
        let y = unsafe {
            flex::product(flex::take(x), matrix.rows(), |x, m, y| affine_into(Level::best(), x, m, how, y))
        };
        return flex::wrap(y);
    }
    let y = super::add_bias(dense_linear(x, w), bias);
    match activation {
        Activation::Identity => y,
        Activation::Gelu => super::gelu(y),
    }
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

/// On a GPU: few rows by a kernel that reads the weight once, more by a matrix product in the type of the weight.
#[cfg(feature = "cube")]
fn on_device<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let m = shape.iter().rev().skip(1).product::<usize>();
    let [rows, cols] = w.dims();
    if let Some(last) = shape.last_mut() {
        *last = rows;
    }
    let x = x.reshape([m, cols]);
    if m <= cube::FEW && cols.is_multiple_of(4) {
        return cube::dense_rows(x, w).reshape(shape);
    }
    let y = if w.dtype() == DType::F32 { x.matmul(w.clone().transpose()) } else { cube::product(x, w) };
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
            let short = if dtype == DType::BF16 { x.clone().cast(dtype).cast(DType::F32) } else { x.clone() };
            got.assert_approx_eq(&composed(short, &w).into_data(), Tolerance::<f32>::absolute(1e-4));
            let exact = dense_linear(x.clone().autodiff(), &w).inner().into_data();
            exact.assert_approx_eq(&composed(x.clone(), &w).into_data(), Tolerance::<f32>::absolute(1e-4));
        }
    }

    #[test]
    fn affine_is_product_bias_and_activation() {
        let device = Device::flex();
        let random = |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Default, &device);
        let (x, w) = (random([2, 40, 5]).swap_dims(1, 2), random([1, 7, 40]).reshape([7, 40]));
        let bias = random([1, 1, 7]).reshape([7]);
        let sums = composed(x.clone(), &w) + bias.clone().unsqueeze();
        for (activation, want) in
            [(Activation::Identity, sums.clone()), (Activation::Gelu, burn::tensor::activation::gelu(sums))]
        {
            for w in [w.clone(), w.clone().cast(DType::F16)] {
                let got = affine(x.clone(), &w, &bias, activation).into_data();
                got.assert_approx_eq(&want.clone().into_data(), Tolerance::<f32>::absolute(1e-2));
                let tracked = affine(x.clone().autodiff(), &w, &bias, activation).inner().into_data();
                tracked.assert_approx_eq(&got, Tolerance::<f32>::absolute(1e-4));
            }
        }
    }

    #[test]
    fn gradients_of_kernel_and_composition_agree() {
        let device = Device::flex();
        let x = Tensor::<3>::random([2, 5, 40], Distribution::Default, &device);
        let w = Tensor::<2>::random([70, 40], Distribution::Default, &device);
        for (frozen, w) in [(false, w.clone()), (false, w.clone().transpose().reshape([70, 40])), (true, w)] {
            let run = |f: fn(Tensor<3>, &Tensor<2>) -> Tensor<3>| {
                let x = x.clone().autodiff().require_grad();
                let w = w.clone().autodiff();
                let w = if frozen { w } else { w.require_grad() };
                let y = f(x.clone(), &w);
                let mark = Tensor::from_inner(y.clone().inner().sin());
                let grads = (y * mark).sum().backward();
                (x.grad(&grads).expect("a tracked input").into_data(), w.grad(&grads).map(Tensor::into_data))
            };
            let (got, want) = (run(dense_linear), run(composed));
            got.0.assert_approx_eq(&want.0, Tolerance::<f32>::absolute(1e-4));
            assert_eq!(got.1.is_none(), frozen);
            if let (Some(got), Some(want)) = (got.1, want.1) {
                got.assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-4));
            }
        }
    }
}
