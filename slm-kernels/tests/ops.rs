//! The burn operation against a dense product, forward and backward.
#![expect(clippy::unwrap_used, reason = "tests")]

use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance};
use slm_kernels::{Error, Format, PackedTensor, ops};

const ROWS: usize = 37;
const COLS: usize = 128;

fn wave(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin()).collect()
}

const INT4: Format = Format::Int4 { group_size: 32 };
const INT8: Format = Format::Int8 { group_size: 32 };

fn layer(format: Format) -> PackedTensor {
    PackedTensor::quantize(&wave(ROWS * COLS, 0.731), ROWS, COLS, format).unwrap()
}

fn dense(w: &PackedTensor, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(w.dequantize(), [w.rows(), w.cols()]), device)
}

fn assert_near<const D: usize>(got: Tensor<D>, want: Tensor<D>, tolerance: f32) {
    got.into_data().assert_approx_eq::<f32>(&want.into_data(), Tolerance::absolute(tolerance));
}

#[test]
fn output_and_gradient_are_those_of_the_dense_layer() {
    let device = Device::flex().autodiff();
    for format in [INT4, INT8] {
        let w = layer(format);
        for tokens in [1, 3, 9] {
            let input = TensorData::new(wave(2 * tokens * COLS, 0.37), [2, tokens, COLS]);
            let x = Tensor::<3>::from_data(input, &device).require_grad();
            let mask = TensorData::new(wave(2 * tokens * ROWS, 0.11), [2, tokens, ROWS]);
            let mask = Tensor::<3>::from_data(mask, &device);

            let got = ops::linear(x.clone(), &w).unwrap();
            let got_grads = (got.clone() * mask.clone()).sum().backward();
            let want = x.clone().matmul(dense(&w, &device).transpose().unsqueeze());
            let want_grads = (want.clone() * mask).sum().backward();

            assert_eq!(got.dims(), [2, tokens, ROWS]);
            assert_near(got, want, 1e-4);
            assert_near(x.grad(&got_grads).unwrap(), x.grad(&want_grads).unwrap(), 1e-4);
        }
    }
}

#[test]
fn views_and_inference_tensors() {
    let device = Device::flex();
    let w = layer(INT4);
    let x = Tensor::<2>::from_data(TensorData::new(wave(COLS * 6, 0.37), [COLS, 6]), &device);
    let view = x.transpose().slice([1..6, 0..COLS]);
    let want = view.clone().matmul(dense(&w, &device).transpose());
    let got = ops::linear(view.clone(), &w).unwrap();
    // Rows are rounded to 8 bits.
    assert_near(got.clone(), want, 6e-2);
    let rows = Tensor::from_data(view.into_data(), &device);
    assert_near(got, ops::linear(rows, &w).unwrap(), 0.0);
}

#[test]
fn half_precision_input_gives_half_precision_output() {
    let device = Device::flex();
    let w = layer(INT8);
    let x = Tensor::<2>::from_data(TensorData::new(wave(COLS * 2, 0.37), [2, COLS]), &device);
    let got = ops::linear(x.clone().cast(DType::F16), &w).unwrap();
    assert_eq!(got.dtype(), DType::F16);
    let want = x.matmul(dense(&w, &device).transpose());
    assert_near(got.cast(DType::F32), want, 2e-2);
}

#[test]
fn the_wrong_width_is_an_error() {
    let x = Tensor::<2>::zeros([2, COLS - 1], &Device::flex());
    let error = ops::linear(x, &layer(INT4)).unwrap_err();
    assert_eq!(error, Error::Features { expected: COLS, got: COLS - 1 });
}
