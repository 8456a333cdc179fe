//! Every kernel against the scalar reference.
#![expect(clippy::unwrap_used, reason = "tests")]

use half::f16;
use proptest::prelude::*;
use slm_kernels::linear::{TOLERANCE, packed_linear, packed_linear_dx, scalar};
use slm_kernels::{BlockType, Error, Format, PackedTensor};

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

/// Noise in a format of this name; for blocks that are not rounded to, random codes with small scales.
fn packed(seed: u64, rows: usize, cols: usize, format: &str) -> PackedTensor {
    let format: Format = format.parse().unwrap();
    let weights = noise(seed, rows * cols);
    let block = match (PackedTensor::quantize(&weights, rows, cols, format), format) {
        (Err(Error::NoEncoder { .. }), Format::Block(block)) => block,
        (packed, _) => return packed.unwrap(),
    };
    let mut bytes: Vec<u8> =
        noise(seed, rows * format.row_bytes(cols)).iter().map(|v| (v * 128.0) as i8 as u8).collect();
    let halves: &[usize] = match block {
        BlockType::Q6K => &[208],
        BlockType::Iq4Nl => &[0],
        _ => &[0, 2],
    };
    for (block, number) in bytes.chunks_exact_mut(block.bytes()).zip(weights) {
        for &at in halves {
            block[at..at + 2].copy_from_slice(&f16::from_f32(number * 0.01).to_le_bytes());
        }
    }
    PackedTensor::from_blocks(bytes, [rows, cols], block).unwrap()
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

const FORMATS: [&str; 13] = [
    "int8-g32",
    "int4-g32",
    "int4-g64",
    "int4a-g32",
    "nf4-g32",
    "q8_0",
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "iq4_nl",
    "int8-g64",
    "int4a-g96",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn kernels_match_the_reference(
        m in 1_usize..15,
        rows in 1_usize..75,
        groups in 1_usize..6,
        format in prop::sample::select(FORMATS.to_vec()),
        seed in any::<u64>(),
    ) {
        let group = format.parse::<Format>().unwrap().group_size();
        check(m, &packed(seed, rows, groups * group, format), seed);
    }
}

#[test]
fn kernels_match_across_several_tiles_and_threads() {
    for format in ["int4-g128", "int8-g128", "int8-g2304", "nf4-g64", "q4_K", "q5_K", "q6_K"] {
        // 2304 columns: two full depths of 1024 and a rest; 70 rows: two tasks and a rest.
        for m in [1, 4, 5, 13] {
            check(m, &packed(7, 70, 2304, format), 11);
        }
    }
}

/// One scale per row fits rows of any length.
#[test]
fn kernels_match_on_odd_rows() {
    for cols in [1, 31, 33, 100, 129, 161] {
        check(3, &packed(cols as u64, 9, cols, &format!("int8-g{cols}")), 5);
    }
}

#[test]
fn an_input_order_permutes_the_inputs() {
    let w = packed(3, 20, 64, "int4-g32").with_input_order((0..64).rev().collect::<Vec<_>>()).unwrap();
    for m in [1, 7] {
        check(m, &w, 9);
    }
}

#[test]
fn an_empty_batch_and_wrong_lengths() {
    let w = packed(1, 3, 32, "int4-g32");
    packed_linear(&[], 0, &w, &mut []).unwrap();
    packed_linear_dx(&[], 0, &w, &mut []).unwrap();
    let error = packed_linear(&[0.0; 31], 1, &w, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error, Error::Length { what: "x", expected: 32, got: 31 });
    let error = packed_linear_dx(&[0.0; 3], 1, &w, &mut [0.0; 33]).unwrap_err();
    assert_eq!(error, Error::Length { what: "dx", expected: 32, got: 33 });
}
