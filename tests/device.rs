//! Kernels of the GPU against their scalar twins, on the first device, which must be there, if only in software:
//! `cargo test --release --features vulkan --test device`. Nothing without the feature `wgpu` or `vulkan`.
#![cfg(feature = "wgpu")]
#![expect(clippy::unwrap_used, reason = "tests")]

use burn::tensor::{DType, Device, DeviceKind, Tensor, TensorData};
use proptest::prelude::*;

use slm_kernels::attention::{AttentionOptions, Shape, scalar as attention};
use slm_kernels::dense::{Matrix, Numbers, scalar as dense};
use slm_kernels::linear::scalar as linear;
use slm_kernels::rows::{Gate, Heads, scalar as rows};
use slm_kernels::{Format, PackedTensor, ops};

fn device() -> Device {
    Device::wgpu(DeviceKind::DefaultDevice)
}

fn wave(len: usize, step: f32, height: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin() * height).collect()
}

fn tensor<const D: usize>(numbers: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &device())
}

fn assert_close<const D: usize>(got: Tensor<D>, want: &[f32], what: &str) {
    let got: Vec<f32> = got.try_into_vec_as().unwrap();
    assert_eq!(got.len(), want.len());
    let height = want.iter().fold(1.0_f32, |height, want| height.max(want.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-5 * height, "{what} {i}: {got} instead of {want}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn norms(count in 1_usize..70, width in 1_usize..600) {
        let (x, weight) = (wave(count * width, 0.37, 2.0), wave(width, 0.73, 2.0));
        let mut want = vec![0.0; x.len()];
        rows::rms_norm(&x, &weight, 1e-6, &mut want).unwrap();
        let got = ops::rms_norm(tensor(&x, [count, width]), &tensor(&weight, [width]), 1e-6);
        assert_close(got, &want, "norm");
    }

    #[test]
    fn rotations(batch in 1_usize..3, tokens in 1_usize..9, heads in 1_usize..4, half in 0_usize..20, rest in 0_usize..9) {
        let dim = 2 * half + rest;
        prop_assume!(dim > 0);
        let x = wave(batch * tokens * heads * dim, 0.37, 1.0);
        let (cos, sin) = (wave(tokens * half, 0.11, 1.0), wave(tokens * half, 0.13, 1.0));
        let mut want = x.clone();
        for sequence in want.chunks_exact_mut(tokens * heads * dim) {
            rows::rotate(sequence, &cos, &sin, Heads { heads, dim, rotary: 2 * half });
        }
        let angles = [&cos, &sin].map(|a| tensor(a, [tokens, half]));
        let got = ops::rotate(tensor(&x, [batch, tokens, heads, dim]), &angles[0], &angles[1]);
        assert_close(got, &want, "rotation");
    }

    #[test]
    fn gates(len in 1_usize..2000) {
        let (gate, up) = (wave(len, 0.37, 9.0), wave(len, 0.23, 2.0));
        for kind in [Gate::Silu, Gate::GeluTanh] {
            let mut want = gate.clone();
            rows::gated(&mut want, &up, kind).unwrap();
            assert_close(ops::gated(tensor(&gate, [len]), tensor(&up, [len]), kind), &want, "gate");
        }
    }

    #[test]
    fn dense_products(m in 1_usize..20, count in 1_usize..70, fours in 1_usize..80) {
        let cols = 4 * fours;
        let (x, w) = (wave(m * cols, 0.37, 1.0), wave(count * cols, 0.0731, 1.0));
        let mut want = vec![0.0; m * count];
        let matrix = Matrix::new(Numbers::F32(&w), count, cols).unwrap();
        dense::dense_linear(&x, m, &matrix, &mut want).unwrap();
        let got = ops::dense_linear(tensor(&x, [m, cols]), &tensor(&w, [count, cols]));
        assert_close(got, &want, "product");
    }

    #[test]
    fn packed_products(m in 1_usize..9, count in 1_usize..70, groups in 1_usize..5, kind in 0_usize..4) {
        let group_size = 64;
        let format = [
            Format::Int8 { group_size },
            Format::Int4 { group_size },
            Format::Int4Asym { group_size },
            Format::Nf4 { group_size },
        ][kind];
        let cols = group_size * groups;
        let (x, w) = (wave(m * cols, 0.37, 1.0), wave(count * cols, 0.0731, 1.0));
        let w = PackedTensor::quantize(&w, count, cols, format).unwrap();
        let mut want = vec![0.0; m * count];
        linear::float_linear(&x, m, &w, &mut want).unwrap();
        assert_close(ops::linear(tensor(&x, [m, cols]), &w).unwrap(), &want, "packed product");
    }

    #[test]
    fn attention_over_a_growing_cache(
        sizes in (1_usize..3, 1_usize..5, 1_usize..4, 1_usize..40), steps in prop::collection::vec(1_usize..12, 1..5),
        first in 1_usize..600, window in prop::option::of(1_usize..50), cap in prop::option::of(1.0_f32..4.0),
    ) {
        let (kv_heads, group, batch, dim) = (sizes.0, sizes.1, sizes.2, sizes.3);
        let heads = kv_heads * group;
        let options = AttentionOptions { scale: 0.3, causal: true, window, softcap: cap };
        let mut cache = ops::KvTensors::new([batch, kv_heads, dim], &device());
        let mut held = vec![[Vec::new(), Vec::new()]; batch];
        for (at, new) in std::iter::once(first).chain(steps).enumerate() {
            let phase = 0.1 + at as f32 * 0.01;
            let q = wave(batch * new * heads * dim, 0.37 + phase, 2.0);
            let kv = [0.23, 0.29].map(|step| wave(batch * new * kv_heads * dim, step + phase, 2.0));
            let mut want = Vec::new();
            for (row, held) in held.iter_mut().enumerate() {
                for (held, all) in held.iter_mut().zip(&kv) {
                    held.extend(&all[row * new * kv_heads * dim..][..new * kv_heads * dim]);
                }
                let mut out = vec![0.0; new * heads * dim];
                let q = &q[row * out.len()..][..out.len()];
                attention::attention(q, held.each_ref().map(Vec::as_slice), Shape { heads, kv_heads, dim }, &options, &mut out);
                want.extend(out);
            }
            let [k, v] = kv.each_ref().map(|all| tensor(all, [batch, new, kv_heads, dim]));
            let before = cache.clone();
            let got = cache.attend([tensor(&q, [batch, new, heads, dim]), k.clone(), v.clone()], &options);
            assert_close(got, &want, "attention");
            // What a clone holds is its own.
            let mut other = before;
            other.attend([tensor(&q, [batch, new, heads, dim]), v, k], &options);
        }
    }
}

/// More rows than a kernel takes are multiplied in the type that suits the device's units for matrices.
#[test]
fn many_rows_meet_the_expanded_weight() {
    let (m, count, cols) = (40, 70, 256);
    let (x, w) = (wave(m * cols, 0.37, 1.0), wave(count * cols, 0.0731, 1.0));
    let w = PackedTensor::quantize(&w, count, cols, Format::Int4Asym { group_size: 64 }).unwrap();
    let mut want = vec![0.0; m * count];
    linear::float_linear(&x, m, &w, &mut want).unwrap();
    let got: Vec<f32> = ops::linear(tensor(&x, [m, cols]), &w).unwrap().try_into_vec_as().unwrap();
    let error: f32 = got.iter().zip(&want).map(|(got, want)| (got - want).powi(2)).sum();
    assert!((error / want.iter().map(|want| want * want).sum::<f32>()).sqrt() < 0.01);
}

#[test]
fn half_weights_are_read_as_they_are() {
    for (m, dtype) in [(1, DType::F16), (3, DType::F16)] {
        let (x, w) = (wave(m * 64, 0.37, 1.0), wave(10 * 64, 0.0731, 1.0));
        let half = tensor(&w, [10, 64]).cast(dtype);
        let w: Vec<f32> = half.clone().cast(DType::F32).try_into_vec_as().unwrap();
        let mut want = vec![0.0; m * 10];
        dense::dense_linear(&x, m, &Matrix::new(Numbers::F32(&w), 10, 64).unwrap(), &mut want).unwrap();
        assert_close(ops::dense_linear(tensor(&x, [m, 64]), &half), &want, "product");
    }
}
