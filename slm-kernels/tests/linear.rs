//! Every kernel against the scalar reference.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use slm_kernels::linear::{TOLERANCE, packed_linear, packed_linear_dx, scalar};
use slm_kernels::{Bits, Error, PackedTensor};

/// Numbers in -1..1 from a seed.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn packed(seed: u64, rows: usize, groups: usize, bits: Bits, group: usize) -> PackedTensor {
    PackedTensor::quantize(&noise(seed, rows * groups * group), rows, groups * group, bits, group).unwrap()
}

/// Sums of absolute products bound what rounding can do.
fn assert_close(got: &[f32], want: &[f32], bound: &[f32]) {
    for (i, ((got, want), bound)) in got.iter().zip(want).zip(bound).enumerate() {
        assert!((got - want).abs() <= TOLERANCE * bound + 1e-7, "element {i}: {got} instead of {want}");
    }
}

fn check(m: usize, w: &PackedTensor, seed: u64) {
    let (rows, cols) = (w.rows(), w.cols());
    let dense: Vec<f32> = w.dequantize().iter().map(|v| v.abs()).collect();
    let abs = |v: &[f32]| v.iter().map(|v| v.abs()).collect::<Vec<_>>();

    let x = noise(seed ^ 1, m * cols);
    // Kernels must overwrite, whatever was there.
    let (mut y, mut want) = (vec![f32::NAN; m * rows], vec![0.0; m * rows]);
    packed_linear(&x, m, w, &mut y).unwrap();
    scalar::packed_linear(&x, m, w, &mut want).unwrap();
    let ax = abs(&x);
    let bound: Vec<f32> = (0..m * rows)
        .map(|at| (0..cols).map(|k| ax[at / rows * cols + k] * dense[at % rows * cols + k]).sum())
        .collect();
    assert_close(&y, &want, &bound);

    let dy = noise(seed ^ 2, m * rows);
    let (mut dx, mut want) = (vec![f32::NAN; m * cols], vec![0.0; m * cols]);
    packed_linear_dx(&dy, m, w, &mut dx).unwrap();
    scalar::packed_linear_dx(&dy, m, w, &mut want).unwrap();
    let ady = abs(&dy);
    let bound: Vec<f32> = (0..m * cols)
        .map(|at| (0..rows).map(|o| ady[at / cols * rows + o] * dense[o * cols + at % cols]).sum())
        .collect();
    assert_close(&dx, &want, &bound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn kernels_match_the_reference(
        m in 1_usize..15,
        rows in 1_usize..75,
        groups in 1_usize..12,
        group in prop::sample::select(vec![32_usize, 64, 128]),
        bits in prop::sample::select(vec![Bits::Int4, Bits::Int8]),
        seed in any::<u64>(),
    ) {
        check(m, &packed(seed, rows, groups, bits, group), seed);
    }
}

#[test]
fn kernels_match_across_several_tiles_and_threads() {
    for bits in [Bits::Int4, Bits::Int8] {
        // 2176 columns: two full depths of 1024 and a rest; 70 rows: two tasks and a rest.
        for m in [1, 4, 5, 13] {
            check(m, &packed(7, 70, 17, bits, 128), 11);
        }
    }
}

#[test]
fn an_empty_batch_and_wrong_lengths() {
    let w = packed(1, 3, 1, Bits::Int4, 32);
    packed_linear(&[], 0, &w, &mut []).unwrap();
    packed_linear_dx(&[], 0, &w, &mut []).unwrap();
    let error = packed_linear(&[0.0; 31], 1, &w, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error, Error::Length { what: "x", expected: 32, got: 31 });
    let error = packed_linear_dx(&[0.0; 3], 1, &w, &mut [0.0; 33]).unwrap_err();
    assert_eq!(error, Error::Length { what: "dx", expected: 32, got: 33 });
}
