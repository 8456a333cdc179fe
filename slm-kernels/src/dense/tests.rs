//! Every instruction set against the reference, and rows against their neighbours.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::linear::TOLERANCE;

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

/// Runs `check` with the same weights in each type.
fn each_type(seed: u64, rows: usize, cols: usize, check: impl Fn(&Matrix<'_>)) {
    let numbers = noise(seed, rows * cols);
    let half: Vec<f16> = numbers.iter().map(|&v| f16::from_f32(v)).collect();
    let bfloat: Vec<bf16> = numbers.iter().map(|&v| bf16::from_f32(v)).collect();
    check(&Matrix::new(Numbers::F32(&numbers), rows, cols).unwrap());
    check(&Matrix::new(Numbers::F16(&half), rows, cols).unwrap());
    check(&Matrix::new(Numbers::Bf16(&bfloat), rows, cols).unwrap());
}

/// All factors are at most 1, so the number of terms bounds the sum of the absolute products.
fn assert_close(got: &[f32], want: &[f32], terms: usize, what: &str) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= TOLERANCE * terms as f32,
            "{what} element {i}: {got} instead of {want}"
        );
    }
}

fn check(m: usize, rows: usize, cols: usize, seed: u64) {
    let (x, dy) = (noise(seed ^ 1, m * cols), noise(seed ^ 2, m * rows));
    each_type(seed, rows, cols, |w| {
        let (mut y_want, mut dx_want) = (vec![0.0; m * rows], vec![0.0; m * cols]);
        scalar::dense_linear(&x, m, w, &mut y_want).unwrap();
        scalar::dense_linear_dx(&dy, m, w, &mut dx_want).unwrap();
        for level in Level::available() {
            // Kernels must overwrite, whatever was there.
            let (mut y, mut dx) = (vec![f32::NAN; m * rows], vec![f32::NAN; m * cols]);
            linear_into(level, &x, m, w, Output::new(&mut y));
            linear_dx_into(level, &dy, m, w, Output::new(&mut dx));
            assert_close(&y, &y_want, cols, &format!("{level:?} y"));
            assert_close(&dx, &dx_want, rows, &format!("{level:?} dx"));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn kernels_match_the_reference(
        m in 1_usize..48,
        rows in 1_usize..140,
        cols in 1_usize..200,
        seed in any::<u64>(),
    ) {
        check(m, rows, cols, seed);
    }
}

#[test]
fn kernels_match_across_blocks_of_columns_and_threads() {
    for (m, rows, cols) in
        [(1, 70, 1100), (5, 66, 1025), (7, 130, 1536), (33, 64, 513), (3, 1030, 40), (31, 9, 2100)]
    {
        check(m, rows, cols, 5);
    }
}

/// As with the same numbers in `f32`.
#[test]
fn nothing_is_rounded_where_gradients_flow() {
    for (m, rows, cols) in [(1, 9, 64), (4, 70, 77), (40, 66, 130)] {
        let x = noise(1, m * cols);
        let w: Vec<bf16> = noise(2, rows * cols).into_iter().map(bf16::from_f32).collect();
        let wide: Vec<f32> = w.iter().map(|w| w.to_f32()).collect();
        let [w, wide] = [Numbers::Bf16(&w), Numbers::F32(&wide)].map(|n| Matrix::new(n, rows, cols).unwrap());
        for level in Level::available() {
            let [mut got, mut want, mut short] = [(); 3].map(|()| vec![f32::NAN; m * rows]);
            exact_linear_into(level, &x, m, &w, Output::new(&mut got));
            linear_into(level, &x, m, &wide, Output::new(&mut want));
            linear_into(level, &x, m, &w, Output::new(&mut short));
            assert_eq!(got, want, "{level:?}");
            assert_ne!(short, want, "{level:?}");
        }
    }
}

/// As a product with the transposed gradient, by the reference of the forward pass.
#[test]
fn gradients_of_weights_match_the_reference() {
    for (m, rows, cols) in [(1, 1, 1), (7, 5, 70), (600, 9, 65), (33, 1030, 40), (13, 64, 128)] {
        let (x, dy) = (noise(1, m * cols), noise(2, m * rows));
        let mut want = vec![0.0; rows * cols];
        for i in 0..m {
            for (row, want) in want.chunks_exact_mut(cols).enumerate() {
                let dy = dy[i * rows + row];
                want.iter_mut().zip(&x[i * cols..]).for_each(|(sum, x)| *sum += dy * x);
            }
        }
        for level in Level::available() {
            let mut got = vec![f32::NAN; rows * cols];
            linear_dw_into(level, [&x, &dy], m, Output::new(&mut got));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-5 * m as f32, "{level:?}: {got} instead of {want}");
            }
        }
    }
}

/// What a server needs: an answer does not change with the requests that share its batch.
#[test]
fn a_row_has_the_same_bits_whatever_its_neighbours() {
    for (rows, cols, most) in [(69, 1034, 23), (66, 2082, 33), (5, 63, 33)] {
        let x = noise(3, most * cols);
        each_type(4, rows, cols, |w| neighbours(&x, w, most));
    }
}

fn neighbours(x: &[f32], w: &Matrix<'_>, most: usize) {
    let (rows, cols) = (w.rows(), w.cols());
    for level in Level::available() {
        let run = |from: usize, m: usize| {
            let mut y = vec![f32::NAN; m * rows];
            linear_into(level, &x[from * cols..(from + m) * cols], m, w, Output::new(&mut y));
            y
        };
        let all = run(0, most);
        for (from, m) in [(0, 1), (5, 1), (2, 3), (1, 6), (7, 7), (22, 1), (3, 19), (2, most - 2)] {
            assert_eq!(run(from, m), &all[from * rows..(from + m) * rows], "{level:?} {from} {m}");
        }
    }
}

#[test]
fn empty_matrices_and_wrong_lengths() {
    let w = Matrix::new(Numbers::F32(&[1.0; 6]), 2, 3).unwrap();
    dense_linear(&[], 0, &w, &mut []).unwrap();
    let error = dense_linear(&[0.0; 4], 1, &w, &mut [0.0; 2]).unwrap_err();
    assert_eq!(error, Error::Length { what: "x", expected: 3, got: 4 });
    let error = dense_linear_dx(&[0.0; 2], 1, &w, &mut [0.0; 2]).unwrap_err();
    assert_eq!(error, Error::Length { what: "dx", expected: 3, got: 2 });
    dense_linear_dw([&[1.0; 6], &[1.0; 4]], 2, &mut [0.0; 6]).unwrap();
    assert!(dense_linear_dw([&[1.0; 6], &[1.0; 5]], 2, &mut [0.0; 6]).is_err());
    assert!(dense_linear_dw([&[1.0; 6], &[1.0; 4]], 2, &mut [0.0; 5]).is_err());
    assert!(Matrix::new(Numbers::F32(&[1.0; 6]), 2, 4).is_err());
    let none = Matrix::new(Numbers::F32(&[]), 2, 0).unwrap();
    let mut y = [f32::NAN; 4];
    dense_linear(&[], 2, &none, &mut y).unwrap();
    assert_eq!(y, [0.0; 4]);
}
