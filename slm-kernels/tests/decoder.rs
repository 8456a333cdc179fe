//! The operations of a decoder on burn tensors: with and without autodiff, and through a cache.
#![expect(clippy::unwrap_used, reason = "tests")]

use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance};
use slm_kernels::ops::{self, AttentionOptions, Gate, KvBuffer, KvType};

fn wave(len: usize, step: f32) -> TensorData {
    let numbers: Vec<f32> = (0..len).map(|i| (i as f32 * step).sin()).collect();
    TensorData::new(numbers, [len])
}

fn tensor<const D: usize>(shape: [usize; D], step: f32, device: &Device) -> Tensor<D> {
    Tensor::<1>::from_data(wave(shape.iter().product(), step), device).reshape(shape)
}

fn assert_near<const D: usize>(got: &Tensor<D>, want: &Tensor<D>, tolerance: f32) {
    let data = |t: &Tensor<D>| t.clone().cast(DType::F32).into_data();
    data(got).assert_approx_eq::<f32>(&data(want), Tolerance::absolute(tolerance));
}

#[test]
fn hosts_are_flex_devices_without_autodiff() {
    assert!(ops::is_host(&Device::flex()));
    assert!(!ops::is_host(&Device::flex().autodiff()));
}

#[test]
fn constant_weights_pass_gradients_to_the_input() {
    let (plain, tracking) = (Device::flex(), Device::flex().autodiff());
    let wide = tensor([37, 70], 0.731, &plain);
    for (dtype, device) in [
        (DType::F32, &plain),
        (DType::F16, &plain),
        (DType::F16, &tracking),
        (DType::BF16, &plain),
        (DType::BF16, &tracking),
    ] {
        let w = wide.clone().cast(dtype);
        let w = Tensor::<2>::from_data(w.into_data(), (device, dtype));
        let dense = Tensor::<2>::from_data(w.clone().inner().cast(DType::F32).into_data(), &tracking);
        for tokens in [1, 9] {
            let x = tensor([2, tokens, 70], 0.37, &tracking).require_grad();
            let mask = tensor([2, tokens, 37], 0.11, &tracking);
            let got = ops::dense_linear(x.clone(), &w);
            let got_grads = (got.clone() * mask.clone()).sum().backward();
            let want = x.clone().matmul(dense.clone().transpose().unsqueeze());
            let want_grads = (want.clone() * mask).sum().backward();
            assert_eq!(got.dims(), [2, tokens, 37]);
            assert_near(&got, &want, 1e-4);
            assert_near(&x.grad(&got_grads).unwrap(), &x.grad(&want_grads).unwrap(), 1e-4);
        }
    }
}

#[test]
fn a_tracked_weight_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let x = tensor([3, 8], 0.37, &device).require_grad();
    let w = tensor([5, 8], 0.73, &device).require_grad();
    let grads = ops::dense_linear(x.clone(), &w).sum().backward();
    assert_near(&w.grad(&grads).unwrap(), &x.clone().inner().sum_dim(0).expand([5, 8]), 1e-5);
    assert_near(&x.grad(&grads).unwrap(), &w.inner().sum_dim(0).expand([3, 8]), 1e-5);
}

#[test]
fn the_type_of_the_input_is_kept() {
    let device = Device::flex();
    let x = tensor([2, 3, 16], 0.37, &device);
    let w = tensor([4, 16], 0.73, &device);
    let want = ops::dense_linear(x.clone(), &w);
    for dtype in [DType::F16, DType::BF16] {
        let got = ops::dense_linear(x.clone().cast(dtype), &w);
        assert_eq!(got.dtype(), dtype);
        assert_near(&got, &want, 5e-2);
    }
    // A weight seen through a transposition is read right too.
    let turned = w.transpose().clone().transpose();
    assert_near(&ops::dense_linear(x.swap_dims(0, 1), &turned), &want.swap_dims(0, 1), 1e-5);
}

/// A decoder layer's operations give the same with autodiff, where they are composed, and gradients that agree
/// with differences of the kernels' results.
#[test]
fn gradients_agree_with_finite_differences() {
    let (plain, tracking) = (Device::flex(), Device::flex().autodiff());
    let forward = |x: Tensor<4>| {
        let device = x.device();
        let (cos, sin) = (tensor([6, 3], 0.5, &device).cos(), tensor([6, 3], 0.5, &device).sin());
        let normed = ops::rms_norm(x, &tensor([8], 0.9, &device).add_scalar(1.5), 1e-5);
        let q = ops::rotate(normed.clone(), &cos, &sin);
        let k = q.clone().narrow(2, 0, 2);
        let options = AttentionOptions { scale: 0.35, window: Some(4), softcap: Some(5.0), causal: true };
        let y = ops::attention(q, k, normed.narrow(2, 1, 2), &options);
        let y = ops::gated(y.clone(), y.clone().mul_scalar(0.5).add_scalar(1.0), Gate::Silu)
            + ops::gated(y.clone(), y, Gate::GeluTanh);
        let mask = tensor([1, 6, 4, 8], 0.77, &device);
        (y * mask).sum()
    };
    let start = tensor([1, 6, 4, 8], 0.37, &plain);
    let x = Tensor::<4>::from_data(start.clone().into_data(), &tracking).require_grad();
    let value = forward(x.clone());
    assert_near(&value.clone().inner(), &forward(start.clone()), 1e-4);
    let gradient: Vec<f32> = x.grad(&value.backward()).unwrap().into_data().try_into_vec().unwrap();
    let numbers: Vec<f32> = start.into_data().try_into_vec().unwrap();
    for at in (0..numbers.len()).step_by(13) {
        let value = |delta: f32| {
            let mut numbers = numbers.clone();
            numbers[at] += delta;
            let x = Tensor::<4>::from_data(TensorData::new(numbers, [1, 6, 4, 8]), &plain);
            forward(x).into_data().try_into_vec::<f32>().unwrap()[0]
        };
        let slope = (value(5e-3) - value(-5e-3)) / 1e-2;
        assert!((slope - gradient[at]).abs() < 5e-3, "{at}: {slope} and {}", gradient[at]);
    }
}

#[test]
fn a_cached_sequence_gives_what_the_whole_gives() {
    let device = Device::flex();
    let (q, k) = (tensor([1, 90, 4, 16], 0.37, &device), tensor([1, 90, 2, 16], 0.73, &device));
    let v = tensor([1, 90, 2, 16], 0.11, &device);
    let options = AttentionOptions { scale: 0.25, ..Default::default() };
    let want = ops::attention(q.clone(), k.clone(), v.clone(), &options);
    for (kind, tolerance) in [(KvType::F32, 0.0), (KvType::F16, 2e-3), (KvType::Int8, 3e-2)] {
        let mut buffer = KvBuffer::new(2, 16, kind);
        let mut parts = Vec::new();
        for (start, len) in [(0, 80), (80, 1), (81, 9)] {
            let part = |t: &Tensor<4>| t.clone().narrow(1, start, len);
            parts.push(ops::attention_cached(part(&q), part(&k), part(&v), &mut buffer, &options));
        }
        assert_eq!(buffer.len(), 90);
        assert_near(&Tensor::cat(parts, 1), &want, tolerance);
    }
}

#[test]
fn nothing_in_nothing_out() {
    let device = Device::flex();
    let empty = Tensor::<4>::zeros([1, 0, 4, 16], &device);
    let kv = Tensor::<4>::zeros([1, 0, 2, 16], &device);
    let options = AttentionOptions::default();
    assert_eq!(ops::attention(empty.clone(), kv.clone(), kv, &options).dims(), [1, 0, 4, 16]);
    let w = Tensor::<2>::zeros([3, 16], &device);
    assert_eq!(ops::dense_linear(empty.clone(), &w).dims(), [1, 0, 4, 3]);
    assert_eq!(ops::gated(empty.clone(), empty, Gate::Silu).dims(), [1, 0, 4, 16]);
}
