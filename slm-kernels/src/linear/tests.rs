//! Every kernel against the references: of whole numbers bit by bit, of floats within a tolerance.
#![expect(clippy::unwrap_used, reason = "tests")]

use burn::tensor::f16;
use proptest::prelude::*;

use super::*;
use crate::{BlockType, Error, Format};

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

const FORMATS: [&str; 17] = [
    "int8-g32",
    "int8-g64",
    "int4-g32",
    "int4-g64",
    "int4-g128",
    "int4-g96",
    "int4a-g32",
    "int4a-g64",
    "q8_0",
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "iq4_nl",
    "q4_K",
    "q5_K",
    "q6_K",
];

/// The scalar twin's bits, of each instruction set and of any part of the rows of `x`.
fn check(m: usize, w: &PackedTensor, seed: u64) {
    let (rows, cols) = (w.rows(), w.cols());
    let x = noise(seed ^ 1, m * cols);
    let mut want = vec![0.0; m * rows];
    scalar::packed_linear(&x, m, w, &mut want).unwrap();
    for level in Level::available() {
        // Kernels must overwrite, whatever was there.
        let mut y = vec![f32::NAN; m * rows];
        linear_into(level, &x, m, w, Output::new(&mut y));
        assert_eq!(y, want, "{level:?} {w:?}");
        let (from, to) = (m / 3, m.div_ceil(2));
        let mut y = vec![f32::NAN; (to - from) * rows];
        linear_into(level, &x[from * cols..to * cols], to - from, w, Output::new(&mut y));
        assert_eq!(y, want[from * rows..to * rows], "{level:?} {w:?} alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whole_numbers_match_the_reference_bit_by_bit(
        m in 1_usize..40,
        rows in 1_usize..75,
        groups in 1_usize..9,
        format in prop::sample::select(FORMATS.to_vec()),
        seed in any::<u64>(),
    ) {
        let group = format.parse::<Format>().unwrap().group_size();
        let groups = if group > 64 { groups.div_ceil(2) } else { groups };
        check(m, &packed(seed, rows, groups * group, format), seed);
    }
}

#[test]
fn whole_numbers_match_across_tasks_and_threads() {
    for format in FORMATS.into_iter().chain(["int8-g2304", "int4-g2304"]) {
        for m in [1, 5, 15, 16, 29] {
            check(m, &packed(7, 140, 2304, format), 11);
        }
    }
}

/// One scale per row fits rows of any length, and codes of any alignment.
#[test]
fn whole_numbers_match_on_odd_rows() {
    for cols in [1, 31, 33, 100, 127, 128, 129, 161, 257] {
        for (m, rows) in [(1, 9), (3, 1), (18, 35)] {
            check(m, &packed(cols as u64, rows, cols, &format!("int8-g{cols}")), 5);
        }
    }
}

/// Codes at every address that a file may give them.
#[test]
fn whole_numbers_match_at_any_alignment() {
    let w = packed(9, 21, 512, "q4_0");
    let mut want = vec![0.0; 21];
    let x = noise(2, 512);
    scalar::packed_linear(&x, 1, &w, &mut want).unwrap();
    for offset in 0..64 {
        let mut bytes = vec![0; offset];
        bytes.extend(w.codes());
        let bytes = crate::Bytes::from(bytes).slice(offset..offset + w.codes().len()).unwrap();
        let moved = PackedTensor::from_blocks(bytes, [21, 512], BlockType::Q4_0).unwrap();
        let mut y = vec![f32::NAN; 21];
        packed_linear(&x, 1, &moved, &mut y).unwrap();
        assert_eq!(y, want, "{offset}");
    }
}

/// The extremes of both factors: what could overflow a narrow sum.
#[test]
fn the_largest_codes_do_not_overflow() {
    for (byte, cols) in [(0x7f, 256), (0x80, 256), (0xff, 256), (0x00, 256), (0x81, 256)] {
        let w = PackedTensor::from_parts(
            vec![byte; cols],
            [f16::ONE],
            None,
            [1, cols],
            Format::Int8 { group_size: cols },
        );
        let four = PackedTensor::from_parts(
            vec![byte; cols / 2],
            [f16::ONE],
            None,
            [1, cols],
            Format::Int4 { group_size: cols },
        );
        for w in [w.unwrap(), four.unwrap()] {
            for x in [1.0, -1.0] {
                let mut want = [0.0];
                scalar::packed_linear(&vec![x; cols], 1, &w, &mut want).unwrap();
                for level in Level::available() {
                    let mut y = [f32::NAN];
                    linear_into(level, &vec![x; cols], 1, &w, Output::new(&mut y));
                    assert_eq!(y, want, "{level:?} {byte:x}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so_in_its_row() {
    let w = packed(5, 40, 160, "int4-g32");
    for (at, bad) in [(3, f32::NAN), (150, f32::INFINITY), (40, f32::NEG_INFINITY)] {
        for m in [2, 20] {
            let mut x = noise(1, m * 160);
            x[160 + at] = bad;
            for level in Level::available() {
                let mut y = vec![0.0; m * 40];
                linear_into(level, &x, m, &w, Output::new(&mut y));
                for (at, y) in y.iter().enumerate() {
                    assert_eq!(y.is_nan(), at / 40 == 1, "{level:?} {at}: {y}");
                }
            }
        }
    }
    // So small that one over it is infinite, and zeros.
    for x in [1e-42, 0.0] {
        let mut y = vec![f32::NAN; 40];
        packed_linear(&[x; 160], 1, &w, &mut y).unwrap();
        assert_eq!(y, [0.0; 40]);
    }
}

/// 8 bits per input cost little: about what rounding to 1/254 of the largest of 32 costs.
#[test]
fn rounding_the_inputs_costs_half_a_percent() {
    for format in FORMATS {
        let (w, x) = (packed(3, 64, 2304, format), noise(8, 2304));
        let (mut got, mut want) = (vec![0.0; 64], vec![0.0; 64]);
        packed_linear(&x, 1, &w, &mut got).unwrap();
        scalar::float_linear(&x, 1, &w, &mut want).unwrap();
        let error: f32 = got.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum();
        let size: f32 = want.iter().map(|v| v * v).sum();
        assert!((error / size).sqrt() < 5e-3, "{format}: {}", (error / size).sqrt());
    }
}

fn check_floats(m: usize, w: &PackedTensor, seed: u64) {
    let (rows, cols) = (w.rows(), w.cols());
    let dense: Vec<f32> = w.dequantize();
    let (x, dy) = (noise(seed ^ 1, m * cols), noise(seed ^ 2, m * rows));
    let (mut y_want, mut dx_want) = (vec![0.0; m * rows], vec![0.0; m * cols]);
    scalar::float_linear(&x, m, w, &mut y_want).unwrap();
    scalar::packed_linear_dx(&dy, m, w, &mut dx_want).unwrap();
    // All of `x` and `dy` are at most 1.
    let bound =
        |weights: &mut dyn Iterator<Item = f32>| TOLERANCE * weights.map(f32::abs).sum::<f32>() + 1e-7;
    for level in Level::available() {
        let (mut y, mut dx) = (vec![f32::NAN; m * rows], vec![f32::NAN; m * cols]);
        float_linear_into(level, &x, m, w, Output::new(&mut y));
        linear_dx_into(level, &dy, m, w, Output::new(&mut dx));
        for (at, (got, want)) in y.iter().zip(&y_want).enumerate() {
            let row = at % rows * cols;
            let bound = bound(&mut dense[row..row + cols].iter().copied());
            assert!((got - want).abs() <= bound, "{level:?} {w:?} y {at}: {got} instead of {want}");
        }
        for (at, (got, want)) in dx.iter().zip(&dx_want).enumerate() {
            let bound = bound(&mut dense[at % cols..].iter().step_by(cols).copied());
            assert!((got - want).abs() <= bound, "{level:?} {w:?} dx {at}: {got} instead of {want}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn floats_match_the_reference(
        m in 1_usize..30,
        rows in 1_usize..75,
        groups in 1_usize..6,
        format in prop::sample::select(FORMATS.into_iter().chain(["nf4-g32", "nf4-g64"]).collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let group = format.parse::<Format>().unwrap().group_size();
        let groups = if group > 64 { groups.div_ceil(2) } else { groups };
        check_floats(m, &packed(seed, rows, groups * group, format), seed);
    }
}

#[test]
fn floats_match_on_odd_rows_and_several_panels() {
    for cols in [1, 33, 129] {
        check_floats(3, &packed(cols as u64, 9, cols, &format!("int8-g{cols}")), 5);
    }
    check_floats(3, &packed(1, 530, 192, "nf4-g64"), 5);
    let w = packed(2, 33, 64, "nf4-g64");
    let x = noise(1, 5 * 64);
    let run = |from: usize, m: usize| {
        let mut y = vec![f32::NAN; m * 33];
        packed_linear(&x[from * 64..(from + m) * 64], m, &w, &mut y).unwrap();
        y
    };
    assert_eq!(run(0, 5)[2 * 33..3 * 33], run(2, 1));
}

#[test]
fn an_input_order_permutes_the_inputs() {
    let order: Vec<u32> = (0..64).map(|j| (j * 29 + 5) % 64).collect();
    let w = packed(3, 20, 64, "int4-g32").with_input_order(order).unwrap();
    for m in [1, 7] {
        check(m, &w, 9);
        check_floats(m, &w, 9);
    }
    let (mut got, mut want) = (vec![0.0; 20], vec![0.0; 20]);
    packed_linear(&noise(1, 64), 1, &w, &mut got).unwrap();
    scalar::float_linear(&noise(1, 64), 1, &w, &mut want).unwrap();
    assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 0.05), "{got:?} {want:?}");
}

#[test]
fn an_empty_batch_and_wrong_lengths() {
    let w = packed(1, 3, 32, "int4-g32");
    packed_linear(&[], 0, &w, &mut []).unwrap();
    packed_linear_dx(&[], 0, &w, &mut []).unwrap();
    let none = PackedTensor::quantize(&[], 0, 32, Format::Int4 { group_size: 32 }).unwrap();
    packed_linear(&[0.0; 32], 1, &none, &mut []).unwrap();
    let mut dx = [f32::NAN; 32];
    packed_linear_dx(&[], 1, &none, &mut dx).unwrap();
    assert_eq!(dx, [0.0; 32]);
    let error = packed_linear(&[0.0; 31], 1, &w, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error, Error::Length { what: "x", expected: 32, got: 31 });
    let error = packed_linear_dx(&[0.0; 3], 1, &w, &mut [0.0; 33]).unwrap_err();
    assert_eq!(error, Error::Length { what: "dx", expected: 32, got: 33 });
}
